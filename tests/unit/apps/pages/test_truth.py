"""Known grades beside the knees of a run."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from made_results import make_failed, make_result

from kneegrade.apps.pages.truth import match_truth, read_truth
from kneegrade.errors import MissingExtraError, TableError
from kneegrade.pipeline.results import KneeResult
from kneegrade.types import Grades, Side, Task


def table_at(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text(text, encoding="utf-8")
    return path


def run_of(*knees: str) -> list[KneeResult]:
    """Results of a run, from texts such as ``a.dcm left``; a failed one has no side."""
    pairs = (knee.rpartition(" ") for knee in knees)
    return [
        make_result(source, side=Side(side)) if side else make_failed(source)
        for source, _, side in pairs
    ]


def grades_of(tmp_path: Path, text: str, *knees: str) -> dict[str, dict[Task, int]]:
    grades, _ = match_truth(read_truth(table_at(tmp_path, text)), run_of(*knees))
    return {" ".join(knee): dict(known) for knee, known in grades.items()}


@pytest.mark.parametrize(
    "text",
    [
        "file,side,kl\nfilm.dcm,left,3\n",
        "\ufefffile;side;kl\nfilm.dcm;left;3,0\n",
        "File,SIDE,Kl,fo_l\nfilm.dcm,Left,3.0,\n",
        "image_path\tside\tkl\nfilms\\film.dcm\tL\t3\n",
        ",source,side,kl\n0,films/film.dcm,LEFT, 3 \n1,other.dcm,left,NA\n",
        "source,file,side,kl\nx,film.dcm ,l,3\n",
    ],
)
def test_dialects(tmp_path: Path, text: str) -> None:
    assert grades_of(tmp_path, text, "films/film.dcm left") == {"films/film.dcm left": {"kl": 3}}


def test_no_table_no_grades() -> None:
    assert match_truth(None, run_of("a.dcm left")) == ({}, [])


def test_what_the_reader_let_pass_is_said(tmp_path: Path) -> None:
    table = read_truth(table_at(tmp_path, ",file,side,kl\n0,a.dcm,L,2\n"))
    _, (note,) = match_truth(table, run_of("a.dcm left"))
    assert note.startswith("truth.csv: Column 1 was left out")


def test_rows_of_a_knee_are_one(tmp_path: Path) -> None:
    text = "file,side,kl,jsn_m\na.dcm,L,2,\na.dcm,left,2,1\n"
    known = read_truth(table_at(tmp_path, text)).knees
    assert [(knee.row_number, knee.grades) for knee in known] == [
        (2, Grades({Task.KL: 2, Task.JSN_M: 1}))
    ]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("file,side,kl\na.dcm,left,9\n", "table.value-invalid", "Row 2, column 'kl'"),
        ("file,side,kl\na.dcm,left,-1\n", "table.value-invalid", "Row 2, column 'kl'"),
        ("file,side,jsn_m\na.dcm,left,4\n", "table.value-invalid", "0-3, or empty. Got '4'"),
        ("file,side,kl\na.dcm,left,2.5\n", "table.value-invalid", "Got '2.5'"),
        ("file,side,kl\na.dcm,left,inf\n", "table.value-invalid", "Got 'inf'"),
        ("file,side,kl\n\na.dcm,left,two\n", "table.value-invalid", "Row 3, column 'kl'"),
        ("file,side,kl\na.dcm,up,2\n", "table.value-invalid", "column 'side'"),
        ("file,side,kl\na.dcm,,2\n", "table.value-invalid", "Got an empty cell"),
        ("file,side,kl\n,left,2\n", "table.value-invalid", "Row 2, column 'file'"),
        ("file,side,kl\na.dcm,L,2\nb.dcm,L,2\na.dcm,left,3\n", "table.key-duplicate", "Rows 2 and"),
        ("file,side\na.dcm,left\n", "table.column-missing", "such as kl"),
        ("side,kl\nleft,2\n", "table.column-missing", "file"),
        ("file,kl\na.dcm,2\n", "table.column-missing", "side"),
        ("file,side,kl\na.dcm,left,\n", "table.empty", "no row with a grade"),
        ("file,side,kl\na.dcm,left\n", "table.unreadable", "row 2"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, code: str, words: str) -> None:
    with pytest.raises(TableError) as caught:
        read_truth(table_at(tmp_path, text))
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.message.startswith("truth.csv: ")
    assert "a.dcm" not in str(caught.value)


def test_unmatched_rows_are_counted(tmp_path: Path) -> None:
    table = read_truth(
        table_at(tmp_path, "file,side,kl\na.dcm,L,1\nb.dcm,L,1\n\na.dcm,R,1\nc.dcm,L,\n")
    )
    grades, notes = match_truth(table, run_of("x/a.dcm left", "b.dcm "))
    assert set(grades) == {("x/a.dcm", "left")}
    assert notes == [
        "2 of 3 rows of truth.csv match no knee that was found, by file name and side: first, "
        "row 3."
    ]
    grades, notes = match_truth(table, run_of("z.dcm left"))
    assert grades == {}
    assert notes[0].startswith("No row of truth.csv matches a knee")


def test_where_names_repeat_the_path_decides(tmp_path: Path) -> None:
    text = "file,side,kl\np1\\knee.dcm,left,1\np2/knee.dcm,left,2\n"
    run = ("/data/p1/knee.dcm left", "/data/p2/knee.dcm left", "/data/p3/knee.dcm left")
    assert grades_of(tmp_path, text, *run) == {run[0]: {"kl": 1}, run[1]: {"kl": 2}}
    absolute = text.replace("p1", "C:\\study\\p1").replace("p2", "/study/p2")
    assert grades_of(tmp_path, absolute, "p2/knee.dcm left") == {"p2/knee.dcm left": {"kl": 2}}
    assert grades_of(tmp_path, absolute, "a.zip::p2/knee.dcm left") == {}
    inside = text.replace("p2/", "a.zip::p2/")
    assert list(grades_of(tmp_path, inside, "x/a.zip::p2/knee.dcm left").values()) == [{"kl": 2}]


def test_a_name_that_is_there_twice_is_no_ones(tmp_path: Path) -> None:
    table = read_truth(table_at(tmp_path, "file,side,kl\nknee.dcm,left,1\n"))
    grades, notes = match_truth(table, run_of("p1/knee.dcm left", "p2/knee.dcm left"))
    assert grades == {}
    assert "several times" in notes[0]
    text = "file,side,kl\np1/knee.dcm,left,1\np2/knee.dcm,left,2\n"
    assert grades_of(tmp_path, text, "knee.dcm left") == {}


def test_the_same_path_goes_before_a_longer_one(tmp_path: Path) -> None:
    text = "file,side,kl\nknee.dcm,left,1\np1/knee.dcm,left,2\n"
    run = ("knee.dcm left", "p1/knee.dcm left")
    assert grades_of(tmp_path, text, *run) == {run[0]: {"kl": 1}, run[1]: {"kl": 2}}


def test_letters_made_of_parts_are_the_same_letters(tmp_path: Path) -> None:
    text = "file,side,kl\nMu\u0308ller.dcm,left,1\n"
    assert grades_of(tmp_path, text, "M\u00fcller.dcm left") == {"M\u00fcller.dcm left": {"kl": 1}}


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_workbook_and_parquet(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"truth{suffix}"
    frame = pd.DataFrame({"file": ["a.dcm", "b.dcm"], "Side": ["L", "R"], "kl": [3.0, None]})
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_excel(path, index=False)
    (knee,) = read_truth(path).knees
    assert (knee.side, knee.grades) == (Side.LEFT, Grades({Task.KL: 3}))
    monkeypatch.setitem(sys.modules, "pandas", None)
    for module in [name for name in sys.modules if name.startswith("kneegrade.cohorts")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(MissingExtraError, match=rf"Reading {suffix}.*\[study\]"):
        read_truth(path)
    assert read_truth(table_at(tmp_path, "file,side,kl\na.dcm,L,3\n")).knees
