"""The verb ``grade``: its tables, its options, what it prints."""

import io
import json
import logging
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from command import Reply, kneegrade, read_rows
from made_films import CROP_MM, FILM_MM, NOTHING_IN_HEADER, draw_knee, write_picture
from made_results import make_failed, make_joint, make_refused, make_result
from made_work import run_here
from rich.console import Console
from tiny_bundle import write_tiny_bundle

from kneegrade.apps.cli.grade_table import ROWS_SHOWN, print_results
from kneegrade.errors import KneeNotFoundError
from kneegrade.grading.predictions import SPUR_COLUMNS, read_predictions
from kneegrade.images.read import read_file
from kneegrade.phantoms.films.dicom_film import write_dicom_film
from kneegrade.pipeline import batch
from kneegrade.pipeline import grader as pipeline
from kneegrade.pipeline.results import KneeResult
from kneegrade.types import Flag, Radiograph, RadiographFile, Side, SpacingSource, Task

COLUMNS = (
    "source side status error_code kl kl_p0 kl_p1 kl_p2 kl_p3 kl_p4 flags "
    "cohort subject_id visit_months reading"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A right and a left cropped knee, a right film, and a file that is none."""
    folder = tmp_path / "films"
    write_picture(folder / "a-right.png", draw_knee(Side.RIGHT))
    write_picture(folder / "b-left.jpg", draw_knee(Side.LEFT))
    write_picture(folder / "c-film.tif", draw_knee(Side.RIGHT, size_mm=FILM_MM))
    (folder / "d-broken.dcm").write_text("This is no film.\n" * 20)
    return folder


def grade(*arguments: str | Path, bundle: Path, out: Path) -> Reply:
    return kneegrade("grade", *arguments, "--bundle", bundle, "--out", out)


def flags_of(row: dict[str, str]) -> set[str]:
    return set(row["flags"].split(";")) - {""}


def test_a_folder_becomes_tables_and_a_page(films: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    reply = grade(films, bundle=bundle, out=out)
    assert reply.code == 1
    rows = read_rows(out)
    assert set(COLUMNS.split()) <= set(rows[0])
    assert [Path(row["source"]).name for row in rows] == sorted(p.name for p in films.iterdir())
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "failed"]
    assert [row["side"] for row in rows] == ["right", "left", "right", ""]
    assert rows[3]["error_code"] == "image.unreadable"
    for row in rows[:3]:
        probabilities = [float(row[f"kl_p{grade}"]) for grade in range(5)]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        expected = sum(grade * p for grade, p in enumerate(probabilities))
        assert int(row["kl"]) == int(expected + 0.5), "the bundle's decoding"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(path.name in page for path in films.iterdir())
    document = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    assert len(document["predictions"]) == len(read_predictions(out / "predictions.parquet")) == 4
    assert reply.err.count("\n") == 1
    assert "report.html" in reply.err


def test_all_done_is_0_and_nothing_done_is_3(films: Path, bundle: Path, tmp_path: Path) -> None:
    assert grade(films / "a-right.png", bundle=bundle, out=tmp_path / "one").code == 0
    reply = grade(films / "d-broken.dcm", bundle=bundle, out=tmp_path / "two")
    assert reply.code == 3
    assert [row["error_code"] for row in read_rows(tmp_path / "two")] == ["image.unreadable"]


def test_a_file_that_is_named_three_times_is_one_row(
    films: Path, bundle: Path, tmp_path: Path
) -> None:
    grade(films, films / "*.png", films / "a-right.png", bundle=bundle, out=tmp_path / "out")
    assert len(read_rows(tmp_path / "out")) == 4


def test_json_is_all_that_stdout_holds(films: Path, bundle: Path, tmp_path: Path) -> None:
    reply = grade(films, "--json", bundle=bundle, out=tmp_path / "out")
    assert reply.code == 1
    document = json.loads(reply.out)
    assert reply.out == (tmp_path / "out" / "predictions.json").read_text(encoding="utf-8")
    assert document["bundle"]["bundle_id"].startswith("tiny-0.1-")
    assert [row["status"] for row in document["predictions"]] == ["ok", "ok", "ok", "failed"]


def test_a_second_call_says_the_same(films: Path, bundle: Path, tmp_path: Path) -> None:
    first = grade(films, bundle=bundle, out=tmp_path / "out")
    assert grade(films, bundle=bundle, out=tmp_path / "out") == first
    assert kneegrade("grade", films, "--out", tmp_path / "out", "--bundle", films).code == 3


def test_an_archive_is_graded_like_a_folder(films: Path, bundle: Path, tmp_path: Path) -> None:
    (films / "readme.txt").write_text("Not a film.")
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        for path in films.iterdir():
            archive.write(path, f"deep/{path.name}")
    truth = tmp_path / "truth.csv"
    truth.write_text("file,side,kl\na-right.png,right,4\n")
    folder, packed = (
        grade(path, "--truth", truth, bundle=bundle, out=tmp_path / out)
        for path, out in ((films, "one"), (tmp_path / "films.zip", "two"))
    )
    assert packed.code == folder.code == 1
    line = "Skipped 1 file that is not an image: 1 .txt."
    assert packed.err.splitlines()[0] == folder.err.splitlines()[0] == line
    of_folder, of_archive = read_rows(tmp_path / "one"), read_rows(tmp_path / "two")
    assert [row["source"].partition("::deep/")[2] for row in of_archive] == [
        Path(row["source"]).name for row in of_folder
    ]
    for row, other in zip(of_folder, of_archive, strict=True):
        assert row | {"source": ""} == other | {"source": ""}
    for out in ("one", "two"):
        assert "Reader: KL 4" in (tmp_path / out / "report.html").read_text(encoding="utf-8")


def test_results_within_the_folder_are_not_graded(films: Path, bundle: Path) -> None:
    first = grade(films, bundle=bundle, out=films)
    assert grade(films, bundle=bundle, out=films) == first
    inside = films / "results"
    assert grade(films, bundle=bundle, out=inside).out == first.out
    assert grade(films, bundle=bundle, out=inside).out == first.out
    assert len(read_rows(inside)) == 4


# a knee table


def write_table(films: Path) -> Path:
    table = films.parent / "tables" / "knees.csv"
    table.parent.mkdir()
    with zipfile.ZipFile(films / "set.zip", "w") as archive:
        archive.write(films / "b-left.jpg", "val/3/9000001L.jpg")
    table.write_text(
        "cohort,subject_id,visit_months,side,reading,image_path,split,kl,contrast,"
        "spacing_mm,spacing_col_mm\n"
        "hospital,0012,24,right,ann,../films/a-right.png,train,2,plain,0.45,0.4\n"
        "hospital,0012,24,left,ann,../films/set.zip::val/3/9000001L.jpg,val,3,enhanced,,\n"
        "hospital,0013,0,right,,../films/gone.png,val,,,,\n",
        encoding="utf-8",
    )
    return table


def test_a_knee_table_keeps_its_keys(films: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    reply = grade("--knees", write_table(films), bundle=bundle, out=out)
    assert reply.code == 1
    rows = read_rows(out)
    keys = [
        [row[name] for name in ("cohort", "subject_id", "visit_months", "side", "reading")]
        for row in rows
    ]
    assert keys == [
        ["hospital", "0012", "24", "right", "ann"],
        ["hospital", "0012", "24", "left", "ann"],
        ["hospital", "0013", "0", "right", ""],
    ]
    assert [row["source"] for row in rows] == [
        "../films/a-right.png",
        "../films/set.zip::val/3/9000001L.jpg",
        "../films/gone.png",
    ]
    assert [row["error_code"] for row in rows] == ["", "", "image.not-found"]
    assert "spacing-unknown" not in flags_of(rows[0])
    ends = draw_knee(Side.RIGHT).knees[Side.RIGHT].landmarks_px[[0, 8]]
    width_mm = np.linalg.norm((ends[1] - ends[0]) * (0.45, 0.4))
    assert float(rows[0]["plateau_width_mm"]) == pytest.approx(width_mm, rel=0.05)
    assert "spacing-unknown" in flags_of(rows[1])
    assert not {"contrast-judged-plain", "contrast-judged-enhanced"} & flags_of(rows[1])
    again = grade("--knees", films.parent / "tables/knees.csv", bundle=bundle, out=out)
    assert (again.code, read_rows(out)) == (1, rows)


def test_one_split_of_a_knee_table(films: Path, bundle: Path, tmp_path: Path) -> None:
    table = write_table(films)
    grade("--knees", table, "--split", "train", bundle=bundle, out=tmp_path / "out")
    assert [row["subject_id"] for row in read_rows(tmp_path / "out")] == ["0012"]
    reply = grade("--knees", table, "--split", "test", bundle=bundle, out=tmp_path / "none")
    assert reply.code == 3
    assert "[table.empty]" in reply.err
    assert "train" in reply.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("image_path,kl\na.png,1\n", "table.column-missing"),
        ("image_path,side\n", "table.empty"),
        ("image_path,side\na.png,up\n", "table.value-invalid"),
        ("image_path,side\na.png,right\na.png,right\n", "table.key-duplicate"),
    ],
)
def test_a_table_that_cannot_be_used(bundle: Path, tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "knees.csv").write_text(text)
    reply = grade("--knees", tmp_path / "knees.csv", bundle=bundle, out=tmp_path / "out")
    assert (reply.code, reply.out) == (3, "")
    assert reply.err.splitlines()[-1].endswith(f"[{code}]")
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_not_there(bundle: Path, tmp_path: Path) -> None:
    reply = grade("--knees", tmp_path / "knees.parquet", bundle=bundle, out=tmp_path / "out")
    assert reply.code == 3
    assert reply.err.count("\n") == 1
    assert "[table.not-found]" in reply.err


# side and kind of a picture


def test_the_side_is_read_given_or_seen(films: Path, bundle: Path, tmp_path: Path) -> None:
    knee = draw_knee(Side.LEFT, size_mm=FILM_MM)
    write_dicom_film(films / "e.dcm", knee)
    write_dicom_film(films / "f.dcm", knee, header=NOTHING_IN_HEADER)
    given = [films / "a-right.png", films / "e.dcm", films / "f.dcm"]
    grade(*given, bundle=bundle, out=tmp_path / "seen")
    rows = read_rows(tmp_path / "seen")
    assert [row["side"] for row in rows] == ["right", "left", "left"]
    assert ["side-from-picture" in flags_of(row) for row in rows] == [True, False, True]
    grade(*given, "--side", "R", bundle=bundle, out=tmp_path / "given")
    rows = read_rows(tmp_path / "given")
    assert [row["side"] for row in rows] == ["right"] * 3
    assert not any("side-from-picture" in flags_of(row) for row in rows)
    assert ["side-conflict" in flags_of(row) for row in rows] == [False, True, True]


@pytest.mark.parametrize("kind", ["auto", "crop", "film"])
def test_what_a_picture_is(films: Path, bundle: Path, tmp_path: Path, kind: str) -> None:
    given = [films / "a-right.png", films / "c-film.tif"]
    grade(*given, "--input", kind, bundle=bundle, out=tmp_path / "out")
    crop, film = read_rows(tmp_path / "out")
    assert crop["status"] == "ok"
    assert (film["status"] == "ok") is (kind != "crop"), "a film is no crop"


@pytest.mark.parametrize(
    "wrong",
    [
        ("--side", "up"),
        ("--input", "hand"),
        ("--spacing", "0"),
        ("--spacing", "-1"),
        ("--contrast", "much"),
        ("--split", "val"),
        ("--knees", "knees.csv"),
        ("--no-such-option",),
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(
    films: Path, bundle: Path, tmp_path: Path, wrong: tuple[str, ...]
) -> None:
    reply = grade(films, *wrong, bundle=bundle, out=tmp_path / "out")
    assert (reply.code, reply.out) == (2, "")
    assert wrong[0] in reply.err or "[input.conflict]" in reply.err
    assert not (tmp_path / "out").exists()


def test_neither_paths_nor_table(bundle: Path, tmp_path: Path) -> None:
    reply = grade(bundle=bundle, out=tmp_path / "out")
    assert (reply.code, reply.err.count("\n")) == (2, 1)
    assert "[input.conflict]" in reply.err


# polarity


def test_an_inverted_picture_is_corrected(bundle: Path, tmp_path: Path) -> None:
    for size_mm, name in ((CROP_MM, "crop"), (FILM_MM, "film")):
        knee = draw_knee(size_mm=size_mm)
        write_picture(tmp_path / f"{name}-1.png", knee)
        write_picture(tmp_path / f"{name}-2.png", knee, inverted=True)
    grade(tmp_path / "*.png", bundle=bundle, out=tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    assert len(rows) == 4
    for upright, inverted in (rows[:2], rows[2:]):
        assert flags_of(inverted) - flags_of(upright) == {"polarity-corrected"}
        assert flags_of(upright) < flags_of(inverted)
        assert inverted["kl"] == upright["kl"]
        for grade_ in range(5):
            name = f"kl_p{grade_}"
            assert float(inverted[name]) == pytest.approx(float(upright[name]), abs=0.05)


def test_a_header_that_contradicts_the_pixels(bundle: Path, tmp_path: Path) -> None:
    knee = draw_knee(size_mm=FILM_MM)
    for name, inverted in (("honest-1.dcm", True), ("honest-2.dcm", False), ("lying.dcm", True)):
        write_dicom_film(tmp_path / name, knee, inverted=inverted)
    dataset = pydicom.dcmread(tmp_path / "lying.dcm")
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.save_as(tmp_path / "lying.dcm")
    grade(tmp_path / "*.dcm", bundle=bundle, out=tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    polarity = [{f for f in flags_of(row) if f.startswith("polarity")} for row in rows]
    assert polarity == [set(), set(), {"polarity-corrected", "polarity-conflict"}]
    assert rows[0]["kl_expected"] == rows[1]["kl_expected"]
    assert float(rows[2]["kl_expected"]) == pytest.approx(float(rows[1]["kl_expected"]), abs=0.1)


# names


def test_no_name_of_a_file_reaches_the_log_or_a_name(
    films: Path, bundle: Path, tmp_path: Path
) -> None:
    (films / "a-right.png").rename(films / "9003380R-Jane-Doe.png")
    (films / "d-broken.dcm").rename(films / "9003381L-John-Doe.dcm")
    out = tmp_path / "out"
    reply = kneegrade("--verbose", "grade", films, "--bundle", bundle, "--out", out)
    assert reply.code == 1
    assert "Doe" not in reply.err
    assert "Doe" in reply.out
    assert not [path for path in out.rglob("*") if "Doe" in path.name or "900338" in path.name]


def test_names_in_any_script(films: Path, bundle: Path, tmp_path: Path) -> None:
    names = ["колено 1.png", "膝.png", "knäck [red]é.png"]
    for name in names:
        write_picture(films / "more" / name, draw_knee())
    reply = grade(films / "more", bundle=bundle, out=tmp_path / "out")
    assert reply.code == 0
    assert sorted(Path(row["source"]).name for row in read_rows(tmp_path / "out")) == sorted(names)
    assert all(name in reply.out for name in names)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_a_name_that_is_no_text(films: Path, bundle: Path, tmp_path: Path) -> None:
    (films / "a-right.png").rename(films / "a-\udcff.png")
    reply = grade(films, bundle=bundle, out=tmp_path / "out")
    assert reply.code == 1
    assert [row["status"] for row in read_rows(tmp_path / "out")] == ["ok", "ok", "ok", "failed"]
    assert r"a-\udcff.png" in reply.out


# the truth beside the grades


def test_known_grades_stand_on_the_page(films: Path, bundle: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("file,side,kl,fo_l\na-right.png,right,3,\n")
    reply = grade(films / "a-right.png", "--truth", truth, bundle=bundle, out=tmp_path / "out")
    assert reply.code == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Reader: KL 3" in page
    assert "SYNTHETIC" not in page


def test_a_film_that_says_so_is_synthetic_in_rows_and_page(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_dicom_film(tmp_path / "in" / "a.dcm", draw_knee(Side.RIGHT, size_mm=FILM_MM))
    truth = tmp_path / "truth.csv"
    truth.write_text("file,side,kl\na.dcm,right,1\n")
    out = tmp_path / "out"
    reply = grade(
        tmp_path / "in", "--truth", truth, "--attribution", "By us", out=out, bundle=bundle
    )
    assert reply.code == 0
    (row,) = read_rows(out)
    assert "synthetic" in row["flags"].split(";")
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("SYNTHETIC film.", "drawn with KL 1", "By us"):
        assert words in page


def test_known_grades_that_cannot_be_read_stop_before_any_work(
    films: Path, bundle: Path, tmp_path: Path
) -> None:
    reply = grade(films, "--truth", tmp_path / "no.csv", bundle=bundle, out=tmp_path / "out")
    assert reply.code == 3
    assert "[table.not-found]" in reply.err
    assert not (tmp_path / "out").exists()
    (tmp_path / "nine.csv").write_text("file,side,kl\na-right.png,right,9\n")
    reply = grade(films, "--truth", tmp_path / "nine.csv", bundle=bundle, out=tmp_path / "out")
    assert (reply.code, reply.err.count("\n")) == (3, 1)
    assert "Row 2, column 'kl'" in reply.err
    assert not (tmp_path / "out").exists()


def test_rows_of_known_grades_that_match_no_knee_are_said(
    films: Path, bundle: Path, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.csv"
    for rows, code, words in (
        ("films\\a-right.png;R;3,0\nother.png;L;2\n", 0, "1 of 2 rows of truth.csv match no knee"),
        ("other.png;L;2\n", 1, "No row of truth.csv matches a knee"),
    ):
        truth.write_text("\ufeffFile;Side;KL\n" + rows, encoding="utf-8")
        reply = grade(films / "a-right.png", "--truth", truth, bundle=bundle, out=tmp_path / "out")
        assert (reply.code, reply.err.count(words)) == (code, 1)
        assert (tmp_path / "out" / "report.html").is_file()


# without the extra [study]


def test_without_pandas_csv_and_json_are_written(
    films: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    reply = grade(films / "a-right.png", bundle=bundle, out=tmp_path / "out")
    assert reply.code == 0
    assert {path.name for path in (tmp_path / "out").glob("predictions.*")} == {
        "predictions.csv",
        "predictions.json",
    }
    assert (tmp_path / "out" / "report.html").is_file()
    assert caplog.text == ""  # kneegrade info tells that there is no Parquet
    for module in [name for name in sys.modules if name.startswith("kneegrade.cohorts")]:
        monkeypatch.delitem(sys.modules, module)
    (tmp_path / "truth.csv").write_text("file,side,kl\na-right.png,R,3\n")
    known = ("--truth", tmp_path / "truth.csv")
    assert grade(films / "a-right.png", *known, bundle=bundle, out=tmp_path / "out").code == 0
    reply = grade("--knees", tmp_path / "k.csv", bundle=bundle, out=tmp_path / "out")
    assert (reply.code, reply.err.count("\n")) == (3, 1)
    assert "[extra.missing]" in reply.err


def test_osteophyte_areas_are_written_where_they_are_asked_for(
    bundle: Path, tmp_path: Path
) -> None:
    """Without the option the tables don't have these columns; the batch need not be graded anew."""
    picture, out = write_picture(tmp_path / "a.png", draw_knee()), tmp_path / "out"

    def columns_of(*options: str) -> list[set[str]]:
        assert grade(picture, "--side", "right", *options, bundle=bundle, out=out).code == 0
        (knee,) = json.loads((out / "predictions.json").read_text())["predictions"]
        parquet = pd.read_parquet(out / "predictions.parquet")
        return [set(read_rows(out)[0]), set(parquet.columns), set(knee)]

    plain = columns_of()
    journal = (out / "journal.jsonl").read_text()
    asked = columns_of("--osteophyte-areas")
    assert (out / "journal.jsonl").read_text() == journal
    for before, after in zip(plain[:2], asked[:2], strict=True):
        assert after - before == set(SPUR_COLUMNS)
        assert before < after
    shares = {name for name in SPUR_COLUMNS if name.endswith("_share")}
    assert asked[2] - plain[2] == shares, "a crop of a picture has no millimetres"
    assert all(0 <= float(read_rows(out)[0][name]) < 0.1 for name in shares)
    table = read_predictions(out / "predictions.json")
    assert table[sorted(shares)].notna().all(axis=None)


# the screen


def show(
    results: Sequence[KneeResult], width: int, tasks: Sequence[Task] = (Task.KL,)
) -> list[str]:
    file = io.StringIO()
    print_results(results, tasks, Console(width=width, file=file, highlight=False, markup=False))
    return [line.rstrip() for line in file.getvalue().splitlines()]


SHARED = Flag.SIDE_FROM_PICTURE
LONG_FLAGS = frozenset(
    {Flag.CONTRAST_JUDGED_ENHANCED, Flag.SPACING_DETECTOR_PLANE, Flag.VIEW_UNKNOWN, SHARED}
)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_a_narrow_screen_breaks_no_flag_and_no_number(width: int) -> None:
    joint = make_joint(lateral_mm=5.63, medial_mm=0.0)
    results = [
        make_result("films/04-moderate-medial-left.dcm", flags=LONG_FLAGS, joint=joint),
        make_result("films/b.png", flags=frozenset({SHARED})),
        make_failed("films/c.png"),
    ]
    lines = show(results, width)
    assert all(len(line) <= width for line in lines)
    words = " ".join(lines).split()
    assert set(LONG_FLAGS) <= set(words)
    assert "5.6 mm 0.0 mm" in " ".join(words)
    assert words.count("0.20") == 10
    assert words.count(SHARED) == 1, "a flag of every knee is named once"
    assert f"Flags of every knee: {SHARED}" in lines
    assert "2 knees graded, 1 file failed (1 image.empty)." in lines
    assert ("Flags:" in lines) == (width < 160)


def test_every_other_task_is_one_column() -> None:
    tasks = (Task.KL, Task.FO_L, Task.JSN_M)
    header = show([make_result(tasks=tasks)], 100, tasks)[0]
    assert header.split() == [
        "source",
        "side",
        "kl",
        *(f"p{k}" for k in range(5)),
        "fo_l",
        "jsn_m",
        "flags",
    ]


def test_equal_names_are_told_apart() -> None:
    text = "\n".join(
        show([make_result("one/a.png"), make_result("two/a.png"), make_failed("z/b.png")], 100)
    )
    assert all(source in text for source in ("one/a.png", "two/a.png", "z/b.png"))
    assert "one/" not in "\n".join(show([make_result("one/a.png"), make_result("two/b.png")], 100))


CUT_OFF = KneeNotFoundError("knee.cut-off", "The knee is cut.", "Give the whole of it.")


def test_refused_knees_stand_apart_from_failed_pictures() -> None:
    both = [make_result("f/both.dcm"), make_refused("f/both.dcm")]
    cut = make_refused("f/cut.dcm", CUT_OFF)
    lines = show([*both, make_failed("f/c.png"), cut, make_refused("f/d.dcm")], 120)
    counts = "1 knee graded, 3 refused (2 knee.implant, 1 knee.cut-off), "
    assert f"{counts}1 file failed (1 image.empty)." in lines
    refused, failed = lines.index("Refused:"), lines.index("Failed:")
    told = "    knee.implant: The knee contains metal. Leave this one out."
    assert lines[refused + 1 : refused + 3] == ["  both.dcm, left", told]
    assert [line for line in lines[refused:failed] if line.startswith("  ") and line[2] != " "] == [
        "  both.dcm, left",
        "  cut.dcm, left",
        "  d.dcm, left",
    ]
    assert lines[failed + 1] == "  c.png"
    text = show([make_result("a.png"), make_refused("b.png")], 120)
    assert "1 knee graded, 1 refused (1 knee.implant), 0 files failed." in text


def test_smallest_joint_spaces_are_in_mm_or_shares() -> None:
    sources = {"a.png": SpacingSource.CALIBRATED, "b.png": SpacingSource.UNKNOWN}
    joints = {
        name: make_joint(source, lateral_mm=5.63, medial_mm=3.12)
        for name, source in sources.items()
    }
    lines = show([make_result(name, joint=joint) for name, joint in joints.items()], 120)
    assert lines[0].split()[-3:] == ["jsw_l", "jsw_m", "flags"]
    rows = {line.split()[0]: " ".join(line.split()) for line in lines if ".png" in line}
    assert rows["a.png"].endswith("5.6 mm 3.1 mm")
    assert rows["b.png"].endswith("7.0 % 3.9 %")


def test_a_long_list_is_cut() -> None:
    results = [make_result(f"{i}.png") for i in range(ROWS_SHOWN + 3)]
    lines = show([*results, make_failed("z.png")], 100)
    assert sum(line.endswith("0.20") for line in lines) == ROWS_SHOWN
    assert "and 3 more, in the files" in lines
    assert f"{ROWS_SHOWN + 3} knees graded, 1 file failed (1 image.empty)." in lines
    assert any("image.empty: The file must" in line for line in lines)


@pytest.mark.parametrize("verbose", [False, True])
def test_a_bug_costs_one_film_its_grades(
    films: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    verbose: bool,
) -> None:
    patient = "Doe^Jane"

    def read(file: RadiographFile) -> Radiograph:
        if file.path.endswith("b-left.jpg"):
            raise ZeroDivisionError(patient)
        return read_file(file)

    monkeypatch.setattr(pipeline, "read_file", read)
    monkeypatch.setattr(batch, "run_on_workers", run_here)
    out = tmp_path / "out"
    with caplog.at_level(logging.INFO if verbose else logging.WARNING):
        reply = grade(films, bundle=bundle, out=out)
    assert reply.code == 70
    codes = ["", "internal.error", "", "image.unreadable"]
    assert [row["error_code"] for row in read_rows(out)] == codes
    assert "ZeroDivisionError" in read_rows(out)[1]["error"]
    assert "internal.error" in caplog.text
    assert ('File "' in caplog.text) is verbose
    written = (caplog.text, reply.out, reply.err, (out / "report.html").read_text())
    assert not any(patient in text for text in written)
    monkeypatch.undo()
    assert grade(films, bundle=bundle, out=out).code == 1
    assert [row["status"] for row in read_rows(out)] == ["ok", "ok", "ok", "failed"]
