"""Whole films by command: both knees of one, what is refused, the ways to cut a store."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from command import kneegrade, read_rows
from made_films import WHOLE_FILM_MM, draw_whole_film, write_picture
from made_landmarks import tabled_knees
from tiny_bundle import write_tiny_bundle

from kneegrade.knees.landmarks.table import write_landmark_table
from kneegrade.knees.store import read_index, read_rois
from kneegrade.phantoms.films.film import PhantomFilm
from kneegrade.types import Side

DEMO = Path(__file__).parents[2] / "demo" / "films"
BOTH = (Side.RIGHT, Side.LEFT)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


def write_pixels(path: Path, pixels: np.ndarray) -> Path:
    cv2.imwrite(str(path), np.clip(pixels >> 4, 0, 255).astype(np.uint8))
    return path


def grade(*arguments: str | Path, bundle: Path, out: Path) -> tuple[int, list[dict[str, str]]]:
    reply = kneegrade("grade", *arguments, "--bundle", bundle, "--out", out)
    return reply.code, read_rows(out)


def told(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(row["side"], row["status"], row["error_code"]) for row in rows]


# grading


def test_the_demo_is_graded_and_its_implant_refused(tmp_path: Path) -> None:
    """With the embedded bundle, as the README shows it."""
    reply = kneegrade("grade", DEMO, "--out", tmp_path)
    assert reply.code == 0
    rows = {Path(row["source"]).name: row for row in read_rows(tmp_path)}
    assert len(rows) == 9
    implant = rows.pop("09-implant-left.dcm")
    assert implant["status"] == "refused"
    assert implant["error_code"] in {"knee.implant", "knee.not-a-knee"}
    assert implant["kl"] == implant["kl_p0"] == implant["jsw_m_share"] == ""
    assert f"{implant['error_code']}: " in reply.out
    for name, row in rows.items():
        assert row["status"] == "ok", name
        assert row["kl"] in set("01234")
        assert row["side"] in name
        assert 0 < float(row["jsw_m_share"]) < 0.2
    severe = [rows[name] for name in rows if "severe" in name]
    normal = [rows[name] for name in rows if "normal" in name]
    assert min(float(r["kl_expected"]) for r in severe) > max(
        float(r["kl_expected"]) for r in normal
    )
    assert "polarity-corrected" not in rows["08-inverted-right.dcm"]["flags"].split(";")


def test_both_knees_of_a_film(bundle: Path, tmp_path: Path) -> None:
    film = write_picture(tmp_path / "both.png", draw_whole_film(*BOTH))
    code, rows = grade(film, "--spacing", str(WHOLE_FILM_MM), bundle=bundle, out=tmp_path / "out")
    assert code == 0
    assert told(rows) == [("right", "ok", ""), ("left", "ok", "")]
    assert len({row["source"] for row in rows}) == 1
    assert all("side-from-picture" in row["flags"].split(";") for row in rows)
    widths = [float(row["plateau_width_mm"]) for row in rows]
    assert all(60 < width < 110 for width in widths)
    assert len(list((tmp_path / "out" / "knees").iterdir())) == 2


@pytest.mark.parametrize("side", BOTH)
def test_one_knee_of_a_film_of_both(bundle: Path, tmp_path: Path, side: Side) -> None:
    film = write_picture(tmp_path / "both.png", draw_whole_film(*BOTH))
    code, rows = grade(film, "--side", side.value, bundle=bundle, out=tmp_path / "out")
    assert (code, told(rows)) == (0, [(side.value, "ok", "")])
    assert "side-conflict" not in rows[0]["flags"]


def test_a_knee_beside_an_implant_is_graded(bundle: Path, tmp_path: Path) -> None:
    film = draw_whole_film(*BOTH, implant=Side.LEFT)
    path = write_picture(tmp_path / "both.png", film)
    code, rows = grade(path, bundle=bundle, out=tmp_path / "out")
    assert code == 0, "what is refused is no failure"
    assert told(rows) == [("right", "ok", ""), ("left", "refused", "knee.implant")]
    assert "implant" in rows[1]["flags"].split(";")


def test_more_than_two_knees(bundle: Path, tmp_path: Path) -> None:
    pixels = draw_whole_film(*BOTH).pixels
    path = write_pixels(tmp_path / "twice.png", np.vstack([pixels, pixels]))
    code, rows = grade(path, bundle=bundle, out=tmp_path / "out")
    assert code == 3
    assert told(rows) == [("", "failed", "knee.too-many")]


def test_a_knee_that_is_cut_off(bundle: Path, tmp_path: Path) -> None:
    film = draw_whole_film(Side.RIGHT)
    points = film.knees[Side.RIGHT].landmarks_px
    middle = int(points[:, 1].mean())
    path = write_pixels(tmp_path / "half.png", film.pixels[:, middle:])
    _, rows = grade(path, "--input", "film", bundle=bundle, out=tmp_path / "out")
    ((_, status, code),) = told(rows)
    assert status in {"failed", "refused"}
    assert code in {"knee.cut-off", "knee.not-found", "knee.not-a-knee"}


# the store


@pytest.fixture(scope="module")
def film() -> PhantomFilm:
    return draw_whole_film(*BOTH)


@pytest.fixture
def table(tmp_path: Path, film: PhantomFilm) -> Path:
    """A film of both knees, a film of one and an implant, and one that is not there."""
    write_picture(tmp_path / "both.png", film)
    write_picture(tmp_path / "implant.png", draw_whole_film(*BOTH, implant=Side.LEFT))
    rows = [
        {"subject_id": subject, "side": side, "image_path": name, "kl": 1}
        for subject, side, name in (
            ("1", "right", "both.png"),
            ("1", "left", "both.png"),
            ("2", "left", "implant.png"),
            ("3", "left", "gone.png"),
        )
    ]
    knees = pd.DataFrame(rows).assign(
        cohort="own", visit_months=0, reading="one", spacing_mm=WHOLE_FILM_MM
    )
    knees.to_csv(tmp_path / "knees.csv", index=False)
    return tmp_path / "knees.csv"


def prepare(table: Path, *options: str | Path) -> tuple[int, dict[str, object], pd.DataFrame]:
    out = table.parent / "rois"
    reply = kneegrade("prepare", table, "--out", out, "--workers", "1", "--json", *options)
    return reply.code, json.loads(reply.out), read_index(out)


def test_a_store_of_films(table: Path) -> None:
    code, summary, index = prepare(table)
    assert code == 1, "one picture is not there"
    assert (summary["knees"], summary["refused"], summary["failed"]) == (4, 1, 1)
    assert summary["error_codes"] == {"image.not-found": 1, "knee.implant": 1}
    assert list(index["status"]) == ["ok", "ok", "refused", "failed"]
    assert "landmarks_without_image" not in summary
    rois = list(read_rois(table.parent / "rois", index[index["status"] == "ok"]))
    assert [roi.pixels.shape for roi in rois] == [(224, 224)] * 2
    right, left = (roi.pixels for roi in rois)
    assert np.corrcoef(right.ravel(), left.ravel())[0, 1] > 0.5, "both lateral first"


def roi_mm(index: pd.DataFrame, size_px: int) -> np.ndarray:
    """Widths of the ROIs in mm."""
    ok = index[index["status"] == "ok"]
    return np.asarray(np.hypot(ok["a01"], ok["a11"]) * size_px * WHOLE_FILM_MM, float)


@pytest.mark.parametrize(
    ("options", "size_px", "width_mm"),
    [
        (("--paper",), 310, 140.0),
        (("--width-mm", "90"), 224, 90.0),
        (("--width-mm", "120", "--size", "64"), 64, 120.0),
    ],
)
def test_a_width_in_mm(
    table: Path, options: tuple[str, ...], size_px: int, width_mm: float
) -> None:
    _, _, index = prepare(table, *options)
    found = index[index["status"] == "ok"]
    assert len(found) == 2
    np.testing.assert_allclose(roi_mm(index, size_px), width_mm, rtol=1e-6)
    roi = next(iter(read_rois(table.parent / "rois", found)))
    assert roi.pixels.shape == (size_px, size_px)


def test_paper_and_a_size_exclude_each_other(table: Path) -> None:
    for options in (("--size", "64"), ("--width-mm", "90")):
        reply = kneegrade("prepare", table, "--out", table.parent / "r", "--paper", *options)
        assert (reply.code, reply.err.count("\n")) == (2, 1)
        assert reply.err.endswith("[input.conflict]\n")
    assert not (table.parent / "r").exists()


def test_your_own_landmarks_go_first(table: Path, film: PhantomFilm) -> None:
    folder = table.parent / "landmarks"
    folder.mkdir()
    knees = tabled_knees(film, "own", "1", "../both.png")
    right = next(knee for knee in knees if knee.landmarks.side is Side.RIGHT)
    other = tabled_knees(film, "own", "9", "other.png")
    write_landmark_table([right, *other], folder / "mine.csv")
    _, summary, index = prepare(table, "--landmarks", folder)
    assert list(index["landmark_source"])[:2] == ["file", "network"]
    assert summary["landmarks_from_files"] == 1
    assert summary["landmarks_without_image"] == 2
    assert (table.parent / "rois" / "landmarks-unused.csv").is_file()
    affine = index.loc[0, ["a00", "a01", "a02", "a10", "a11", "a12"]].to_numpy(float)
    on_roi = np.reshape(index.loc[0, "landmarks"], (16, 2))
    on_film = np.column_stack([on_roi, np.ones(16)]) @ affine.reshape(2, 3).T
    np.testing.assert_allclose(on_film, right.landmarks.kneel_points_px, atol=0.05)


def test_a_folder_without_landmarks(table: Path) -> None:
    (table.parent / "empty").mkdir()
    out = table.parent / "rois"
    reply = kneegrade("prepare", table, "--out", out, "--landmarks", table.parent / "empty")
    assert (reply.code, reply.out) == (3, "")
    assert reply.err.endswith("[landmarks.not-found]\n")


def test_a_store_of_other_landmarks_is_not_continued(table: Path, film: PhantomFilm) -> None:
    prepare(table)
    folder = table.parent / "landmarks"
    folder.mkdir()
    write_landmark_table(tabled_knees(film, "own", "1", "../both.png"), folder / "mine.csv")
    out = table.parent / "rois"
    reply = kneegrade("prepare", table, "--out", out, "--landmarks", folder)
    assert reply.code == 3
    assert reply.err.endswith("[store.other-settings]\n")
