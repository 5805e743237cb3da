import errno
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from made_films import draw_knee, write_picture
from made_work import run_here

from kneegrade.bundles.manifest import read_bundle
from kneegrade.errors import OutputError, TableError
from kneegrade.images.geometry import apply_affine
from kneegrade.images.read import read_file, read_radiograph
from kneegrade.knees import fill_store
from kneegrade.knees.fill_store import JOURNAL, write_rois, write_unused_landmarks
from kneegrade.knees.landmarks.folder import LandmarkFolder
from kneegrade.knees.landmarks.table import TabledKnee, write_landmark_table
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.crop import RoiSpec
from kneegrade.knees.prepare import PreparedKnee, prepare_knees
from kneegrade.knees.store import (
    AFFINE_COLUMNS,
    StoreSettings,
    read_index,
    read_roi_pixels,
    read_rois,
    read_settings,
    summarise_index,
)
from kneegrade.types import Contrast, Landmarks, LandmarkScheme, Radiograph, RadiographFile, Side
from kneegrade.workers import run_on_workers

SPEC = RoiSpec(size_px=80)
SETTINGS = StoreSettings(SPEC, InputKind.CROP)
LOCATOR = read_bundle("default").locator


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Knees are cut where a test can look on, but for the tests of the processes."""
    monkeypatch.setattr(fill_store, "run_on_workers", run_here)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Six knees of three subjects; the picture of one is no picture."""
    paths = [f"p{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        write_picture(tmp_path / path, draw_knee(Side.LEFT if i % 2 else Side.RIGHT, kl=i % 3))
    (tmp_path / "p3.png").write_bytes(b"not a picture")
    return pd.DataFrame(
        {
            "cohort": "oai",
            "subject_id": np.repeat(["9000001", "9000002", "9000003"], 2),
            "visit_months": pd.array([0] * 6, dtype="Int16"),
            "side": ["right", "left"] * 3,
            "reading": "bu",
            "image_path": paths,
            "kl": pd.array([0, 1, 2, 3, None, 4], dtype="Int8"),
            "contrast": ["plain", "enhanced", "unknown"] * 2,
        },
        index=[5, 5, 7, 8, 9, 0],  # rows are told apart by key, not by label
    )


def write(table: pd.DataFrame, folder: Path, **options: Any) -> pd.DataFrame:
    settings = options.pop("settings", SETTINGS)
    return write_rois(table, folder / "knees.csv", folder / "rois", settings, LOCATOR, **options)


def count_cuts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures read from now on."""
    read: list[str] = []

    def spy(file: RadiographFile) -> Radiograph:
        read.append(Path(file.path).name)
        return read_file(file)

    monkeypatch.setattr(fill_store, "read_file", spy)
    return read


def test_every_row_of_the_table_has_a_row_in_the_index(tmp_path: Path, table: pd.DataFrame) -> None:
    index = write(table, tmp_path)
    stored = read_index(tmp_path / "rois")
    pd.testing.assert_frame_equal(
        stored.drop(columns="landmarks"), index.drop(columns="landmarks"), check_dtype=False
    )
    assert [len(points) for points in stored["landmarks"]] == [32, 32, 32, 0, 32, 32]
    assert list(index["image_path"]) == list(table["image_path"])
    assert list(index["status"]) == ["ok"] * 3 + ["failed"] + ["ok"] * 2
    assert index["error_code"][3] == "image.unreadable"
    assert index["kl"].fillna(-1).tolist() == [0, 1, 2, 3, -1, 4]
    assert not list((tmp_path / "rois").glob("*.part"))


def test_no_file_name_holds_an_id(tmp_path: Path, table: pd.DataFrame) -> None:
    index = write(table, tmp_path)
    assert index["roi_file"].is_unique
    assert index["roi_file"].str.fullmatch("roi-[0-9a-f]{16}[.]png").all()
    assert not [p for p in (tmp_path / "rois").iterdir() if "900000" in p.name]


def test_rois_come_back_as_they_were_cut(
    tmp_path: Path, table: pd.DataFrame, locator: KneeLocator
) -> None:
    index = write(table, tmp_path)
    usable = index[index["status"] == "ok"]
    for (_, row), roi in zip(usable.iterrows(), read_rois(tmp_path / "rois", usable), strict=True):
        radiograph = read_radiograph(
            tmp_path / row["image_path"], contrast=Contrast(row["contrast"])
        )
        side, kind = Side(row["side"]), InputKind.CROP
        (knee,) = prepare_knees(locator, radiograph, SPEC, side=side, kind=kind)
        assert isinstance(knee, PreparedKnee)
        cut = knee.roi
        points = apply_affine(cut.to_radiograph, np.reshape(row["landmarks"], (16, 2)))
        np.testing.assert_allclose(points, knee.landmarks.points_px, atol=0.05)
        np.testing.assert_array_equal(roi.pixels, cut.pixels)
        np.testing.assert_array_equal(roi.to_radiograph, cut.to_radiograph)
        assert (roi.side, roi.mirrored, roi.flags) == (cut.side, cut.mirrored, cut.flags)
        assert (roi.contrast, roi.inside_fraction) == (cut.contrast, cut.inside_fraction)


def test_several_processes_write_the_same(
    tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write(table.iloc[:4], tmp_path)
    monkeypatch.setattr(fill_store, "run_on_workers", run_on_workers)
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "rois").glob("*.png")}
    for path in (tmp_path / "rois").iterdir():
        path.unlink()
    two = write(table.iloc[:4], tmp_path, n_workers=2)
    pd.testing.assert_frame_equal(two, one)
    assert {p.name: p.read_bytes() for p in (tmp_path / "rois").glob("*.png")} == pictures


def test_a_second_call_reads_only_what_failed(
    tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(table, tmp_path)
    read = count_cuts(monkeypatch)
    progress: list[tuple[int, int]] = []
    again = write(table, tmp_path, on_progress=lambda *now: progress.append(now))
    assert read == ["p3.png"]
    assert progress == [(6, 6)]
    pd.testing.assert_frame_equal(again, first)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_call_is_continued_in_the_tables_order(
    tmp_path: Path,
    table: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    whole = write(table, tmp_path / ".." / tmp_path.name)
    for path in (tmp_path / "rois").iterdir():
        path.unlink()

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise error

    with pytest.raises(error):
        write(table.iloc[::-1], tmp_path, on_progress=stop, n_workers=1)
    journal = tmp_path / "rois" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-9])  # the line of p3.png, which is no picture
    read = count_cuts(monkeypatch)
    pd.testing.assert_frame_equal(write(table, tmp_path), whole)
    assert read == ["p0.png", "p1.png", "p2.png", "p3.png"]
    assert not journal.exists()


def test_a_knee_that_cannot_be_cut_in_time_keeps_its_row(
    tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_store, "run_on_workers", run_on_workers)

    def stop_the_process(done: int, total: int) -> None:
        if done == 1:
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid or 0, signal.SIGSTOP)

    options = {"n_workers": 1, "limit_s": 5, "on_progress": stop_the_process}
    index = write(table.iloc[:3], tmp_path, **options)
    assert list(index["status"]) == ["ok", "failed", "ok"]
    assert list(index["error_code"]) == ["", "worker.timeout", ""]
    assert list(write(table.iloc[:3], tmp_path)["status"]) == ["ok"] * 3


def test_the_index_holds_the_table_it_was_given_last(
    tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table, tmp_path)
    read = count_cuts(monkeypatch)
    changed = table.iloc[[4, 0]].assign(kl=pd.array([3, 3], dtype="Int8"), split="train")
    index = write(changed, tmp_path)
    assert read == []
    assert list(index["image_path"]) == ["p4.png", "p0.png"]
    assert list(index["kl"]) == [3, 3]
    assert list(index["split"]) == ["train", "train"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("image_path", "p2.png"),
        ("contrast", "enhanced"),
        ("spacing_mm", 0.3),
        ("spacing_col_mm", 0.25),
    ],
)
def test_another_picture_of_a_knee_is_cut_anew(
    tmp_path: Path,
    table: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    column: str,
    value: str,
) -> None:
    knee = table.iloc[:1].assign(spacing_mm=0.2)
    first = write(knee, tmp_path)
    read = count_cuts(monkeypatch)
    index = write(knee.assign(**{column: value}), tmp_path)
    assert len(read) == 1
    assert index[column][0] == value
    assert index["roi_file"][0] == first["roi_file"][0]


def test_a_lost_picture_is_cut_again(tmp_path: Path, table: pd.DataFrame) -> None:
    first = write(table, tmp_path)
    (tmp_path / "rois" / first["roi_file"][0]).unlink()
    write(table, tmp_path)
    assert (tmp_path / "rois" / first["roi_file"][0]).is_file()


def write_landmarks(folder: Path, knees: dict[str, tuple[str, Side]], shift: float = 0) -> None:
    """A landmark table of the drawn knees' true points, by picture: subject and side."""
    folder.mkdir(exist_ok=True)
    tabled = [
        TabledKnee(
            "oai",
            subject,
            picture,
            Landmarks(
                side,
                LandmarkScheme.KNEEL_16,
                draw_knee(side, kl=0).knees[side].landmarks_px + shift,
                np.ones(16),
            ),
        )
        for picture, (subject, side) in knees.items()
    ]
    write_landmark_table(tabled, folder / "own.csv")


def test_landmarks_of_files_go_before_the_networks(tmp_path: Path, table: pd.DataFrame) -> None:
    write_landmarks(
        tmp_path / "own", {"../p0.png": ("9000001", Side.RIGHT), "gone.png": ("7", Side.LEFT)}, 3.0
    )
    own = LandmarkFolder.read(tmp_path / "own", tmp_path / "knees.csv")
    index = write(table.iloc[:2], tmp_path, landmarks=own)
    assert list(index["landmark_source"]) == ["file", "network"]
    assert index["confidence"][0] == 1
    row = index.iloc[0]
    affine = row[list(AFFINE_COLUMNS)].to_numpy(float).reshape(2, 3)
    points = apply_affine(affine, np.reshape(row["landmarks"], (16, 2)))
    given = draw_knee(kl=0).knees[Side.RIGHT].landmarks_px + 3
    np.testing.assert_allclose(points, given, atol=0.05)
    assert summarise_index(index) == {
        "knees": 2,
        "refused": 0,
        "failed": 0,
        "error_codes": {},
        "landmarks_from_files": 1,
    }
    assert write_unused_landmarks(own, table.iloc[:2], tmp_path / "rois") == 1
    unused = (tmp_path / "rois" / "landmarks-unused.csv").read_text().splitlines()
    assert unused[1:] == ["gone.png,left,failed,landmarks.no-image"]
    with pytest.raises(TableError) as caught:
        write(table.iloc[:2], tmp_path)
    assert caught.value.code == "store.other-settings"


def test_a_knee_whose_landmarks_changed_is_cut_again(
    tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, left = ({f"../p{i}.png": ("9000001", side)} for i, side in enumerate(Side))

    def cut(knees: dict[str, tuple[str, Side]], shift: float) -> tuple[pd.DataFrame, list[str]]:
        write_landmarks(tmp_path / "own", knees, shift)
        own = LandmarkFolder.read(tmp_path / "own", tmp_path / "knees.csv")
        read = count_cuts(monkeypatch)
        return write(table.iloc[:3], tmp_path, landmarks=own), read

    first, read = cut(right, 3.0)
    assert read == ["p0.png", "p1.png", "p2.png"]
    assert cut(right, 3.0)[1] == []
    edited, read = cut(right, 4.0)
    assert read == ["p0.png"]
    assert list(edited["a02"] != first["a02"]) == [True, False, False]
    assert list(read_index(tmp_path / "rois")["a02"]) == list(edited["a02"])
    assert cut(right | left, 4.0)[1] == ["p1.png"]
    index, read = cut(left, 4.0)
    assert read == ["p0.png"]
    assert list(index["landmark_source"]) == ["network", "file", "network"]


def test_kneels_landmarks_count_as_used_at_baseline_alone(
    tmp_path: Path, table: pd.DataFrame
) -> None:
    points = draw_knee(Side.LEFT, kl=0).knees[Side.LEFT].landmarks_px
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    own = LandmarkFolder(tmp_path / "knees.csv", by_subject={("9000001", "left"): landmarks})
    later = table.assign(visit_months=12)
    assert write_unused_landmarks(own, table, tmp_path) == 0
    assert write_unused_landmarks(own, later, tmp_path) == 1
    index = write(later.iloc[1:2].assign(spacing_mm=0.4), tmp_path, landmarks=own)
    assert list(index["landmark_source"]) == ["network"]


def test_a_refused_knee_keeps_its_picture(tmp_path: Path, table: pd.DataFrame) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224), np.uint8)
    cv2.imwrite(str(tmp_path / "p0.png"), noise)
    index = write(table.iloc[:1], tmp_path)
    assert list(index["status"]) == ["refused"]
    assert list(index["error_code"]) == ["knee.not-a-knee"]
    assert (tmp_path / "rois" / index["roi_file"][0]).is_file()
    assert summarise_index(index)["error_codes"] == {"knee.not-a-knee": 1}


def test_other_settings_are_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    write(table, tmp_path)
    stored = read_settings(tmp_path / "rois")
    assert (stored.roi, stored.kind, stored.has_landmark_files) == (SPEC, InputKind.CROP, False)
    assert len(stored.locator) == 25
    for settings in (StoreSettings(RoiSpec(size_px=81), InputKind.CROP), StoreSettings(SPEC)):
        with pytest.raises(TableError) as caught:
            write(table, tmp_path, settings=settings)
        assert caught.value.code == "store.other-settings"


def test_where_nothing_can_be_cut(tmp_path: Path, table: pd.DataFrame) -> None:
    index = write(table.iloc[[3]], tmp_path)
    assert list(index["status"]) == ["failed"]
    assert {"contrast", "a00", "inside_fraction"} <= set(index.columns)
    assert len(write(table.iloc[:0], tmp_path)) == 0


def test_no_store_there(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read_index(tmp_path)
    assert caught.value.code == "store.not-found"


def test_a_picture_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read_roi_pixels(tmp_path, "roi-0123456789abcdef.png")
    assert caught.value.code == "store.not-found"


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rois").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        write(table, tmp_path)
    assert caught.value.code == "output.not-writable"
    (tmp_path / "rois").unlink()

    def fill_the_disk(pixels: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fill_store, "encode_png", fill_the_disk)
    with pytest.raises(OutputError) as caught:
        write(table, tmp_path)
    assert caught.value.code == "output.not-writable"
