"""A knee table comes back from disk as it went."""

import csv
import tempfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kneegrade.cohorts.tables.table import (
    check_knee_table,
    read_knee_table,
    read_with_notes,
    write_knee_table,
)
from kneegrade.text_table import SEPARATORS
from kneegrade.types import Contrast, Side, SpacingSource, Task

letters = st.characters(exclude_categories=["Cs", "Cc"])
texts = st.text(letters, min_size=1, max_size=8).filter(lambda text: text.strip() == text)
optional_texts = st.none() | texts
ids = (
    texts
    | st.from_regex(r"0[0-9]{0,5}", fullmatch=True)
    | st.sampled_from(["NA", "nan", "1e5", "1.0"])
)


def grades(task: Task) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(0, task.n_grades - 1)


rows = st.fixed_dictionaries(
    {
        "cohort": texts,
        "subject_id": ids,
        "visit_months": st.integers(0, 32767),
        "side": st.sampled_from(Side).map(str),
        "reading": st.just("") | texts,
        "image_path": st.text(letters, min_size=1, max_size=8),
    },
    optional={
        "kl": grades(Task.KL),
        "jsn_m": grades(Task.JSN_M),
        "split": optional_texts,
        "contrast": st.sampled_from(Contrast).map(str),
        "spacing_mm": st.none() | st.floats(0.001, 5),
        "spacing_col_mm": st.none() | st.floats(0.001, 5),
        "spacing_source": st.none() | st.sampled_from(SpacingSource).map(str),
        "bmi": st.none() | st.floats(5, 150),
        "note": texts,
    },
)


def key(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("cohort", "subject_id", "visit_months", "side", "reading"))


tables = st.lists(rows, min_size=1, max_size=6, unique_by=key).map(pd.DataFrame)


def write_book(table: pd.DataFrame, path: Path) -> None:
    """As a person would who formats every cell with letters as text."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(list(table.columns))
    for row, values in enumerate(table.itertuples(index=False), start=2):
        for column, value in enumerate(values, start=1):
            if not pd.isna(value):
                cell = sheet.cell(row, column, value)
                cell.data_type = "s" if isinstance(value, str) else "n"
    book.save(path)


def is_in_xml(table: pd.DataFrame) -> bool:
    text = "".join(map(str, table.to_numpy().ravel()))
    return not any(ord(letter) & 0xFFFE == 0xFFFE for letter in text)


@settings(max_examples=40, deadline=None)
@given(table=tables.filter(is_in_xml))
def test_round_trip_of_a_workbook(table: pd.DataFrame) -> None:
    normal = check_knee_table(table)
    if "note" in normal:
        normal["note"] = normal["note"].astype("string")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "knees.xlsx"
        write_book(normal, path)
        back = read_knee_table(path)
    pd.testing.assert_frame_equal(back, normal)


def write_dialect(
    table: pd.DataFrame, separator: str, encoding: str, path: Path, *, says_so: bool, index: bool
) -> None:
    """As a spreadsheet or a person's program would save the table."""
    text = table.rename(columns=str.upper).to_csv(
        sep=separator,
        decimal="." if separator == "," else ",",
        index=index,
        lineterminator="\r\n",
        quoting=csv.QUOTE_ALL if index else csv.QUOTE_MINIMAL,
    )
    if says_so:
        text = f"sep={separator}\r\n{text}\r\n"
    path.write_bytes(text.encode(encoding))


@settings(max_examples=100, deadline=None)
@given(
    table=tables,
    separator=st.sampled_from(SEPARATORS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    says_so=st.booleans(),
    index=st.booleans(),
)
def test_round_trip_of_a_dialect(
    table: pd.DataFrame, separator: str, encoding: str, says_so: bool, index: bool
) -> None:
    normal = check_knee_table(table).drop(columns="note", errors="ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "knees.txt"
        write_dialect(normal, separator, encoding, path, says_so=says_so, index=index)
        back, notes = read_with_notes(path)
    pd.testing.assert_frame_equal(back, normal)
    assert sum("was left out" in note for note in notes) == index


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@settings(max_examples=60, deadline=None)
@given(table=tables)
def test_round_trip(suffix: str, table: pd.DataFrame) -> None:
    normal = check_knee_table(table)
    if "note" in normal:
        normal["note"] = normal["note"].astype("string")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"knees{suffix}"
        write_knee_table(table, path)
        back = read_knee_table(path)
    if "note" in back:
        back["note"] = back["note"].astype("string")
    pd.testing.assert_frame_equal(back, normal)
    pd.testing.assert_frame_equal(check_knee_table(normal), normal)
