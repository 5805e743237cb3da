"""A user's table as an Excel workbook."""

import datetime
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from kneegrade.cohorts.tables.table import read_with_notes
from kneegrade.errors import TableError

HEADER = ("Image_Path", "side", "subject_id", "KL", "age")


def write_book(path: Path, rows: Sequence[Sequence[Any]], *more_sheets: str) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(list(row))
    for name in more_sheets:
        book.create_sheet(name).append(["something else"])
    book.save(path)
    return path


def error_of(path: Path) -> TableError:
    with pytest.raises(TableError) as caught:
        read_with_notes(path)
    return caught.value


def test_cells(tmp_path: Path) -> None:
    rows = [
        HEADER,
        ("a.png", "R", "0012", 2, 61.5),
        (),
        ("b.png", "left", 9000001, 3.0, None),
        ("c.png", "L", "1e5", "NA", 70),
    ]
    table, notes = read_with_notes(write_book(tmp_path / "knees.xlsx", rows))
    assert table["subject_id"].tolist() == ["0012", "9000001", "1e5"]
    assert table["kl"].fillna(-1).tolist() == [2, 3, -1]
    assert table["age"].fillna(-1).tolist() == [61.5, -1, 70]
    assert table["side"].tolist() == ["right", "left", "left"]
    assert not any("sheets" in note for note in notes)


def test_rows_are_counted_as_the_spreadsheet_does(tmp_path: Path) -> None:
    rows = [(), (), HEADER, ("a.png", "R", "1", 2, 60), (), ("b.png", "R", "2", 5, 60)]
    error = error_of(write_book(tmp_path / "knees.xlsx", rows))
    assert error.code == "table.value-invalid"
    assert "Row 6, column 'kl': expected a whole number 0-4, or empty. Got '5'" in error.message


@pytest.mark.parametrize("got", [2.5, "2-3", True, datetime.date(2020, 1, 2)])
def test_cell_that_is_no_grade(tmp_path: Path, got: Any) -> None:
    error = error_of(write_book(tmp_path / "knees.xlsx", [HEADER, ("a.png", "R", "1", got, 60)]))
    assert error.code == "table.value-invalid"
    assert "Row 2, column 'kl'" in error.message
    assert str(got) in error.message


def test_first_of_several_sheets_is_read_and_named(tmp_path: Path) -> None:
    path = write_book(tmp_path / "knees.xlsx", [HEADER, ("a.png", "R", "1", 2, 60)], "more")
    table, notes = read_with_notes(path)
    assert len(table) == 1
    assert "The workbook has 2 sheets: the first, 'Sheet', was read." in notes


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        ([], "table.empty", "a header and rows"),
        ([HEADER], "table.empty", "no rows"),
        ([HEADER[:1], ("a.png",)], "table.column-missing", "'side'"),
        ([HEADER, ("a.png", "R", "1", 2, 60, "note")], "table.unreadable", "column 6 has no name"),
        ([("side", "side"), ("R", "R")], "table.unreadable", "two columns"),
    ],
)
def test_bad_sheet(tmp_path: Path, rows: list[tuple[Any, ...]], code: str, words: str) -> None:
    error = error_of(write_book(tmp_path / "knees.xlsx", rows))
    assert error.code == code
    assert words in error.message


def test_no_workbook(tmp_path: Path) -> None:
    path = tmp_path / "knees.xlsx"
    whole = write_book(path, [HEADER, ("a.png", "R", "1", 2, 60)]).read_bytes()
    for content in (b"", b"image_path,side\na.png,R\n", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert error_of(path).code == "table.unreadable"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    assert error_of(path).code == "table.unreadable"


def test_broken_byte_anywhere_is_survived_or_a_clear_message(tmp_path: Path) -> None:
    path = tmp_path / "knees.xlsx"
    whole = write_book(path, [HEADER, ("a.png", "R", "1", 2, 60)]).read_bytes()
    codes = []
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_with_notes(path)
        except TableError as error:
            codes.append(error.code)
    assert set(codes) <= {"table.unreadable", "table.column-missing", "table.empty"}
    assert codes.count("table.unreadable") > 10
