"""Cells of a release, decoded and refused."""

import re

import pandas as pd
import pytest

from kneegrade.cohorts.releases.cells import (
    check_columns,
    check_ids,
    check_unique,
    decode_grade,
    parse_numbers,
)
from kneegrade.errors import TableError
from kneegrade.types import Task

NA = pd.NA


def test_columns_that_are_needed() -> None:
    table = pd.DataFrame(columns=["ID", "SIDE"])
    check_columns(table, ["ID", "SIDE"], file="t.txt")
    with pytest.raises(TableError, match=r"^t\.txt has no column XRKL, READPRJ: .* ID\.") as caught:
        check_columns(table, ["ID", "XRKL", "READPRJ"], file="t.txt")
    assert caught.value.code == "table.column-missing"
    with pytest.raises(TableError, match=r"no column A, B, C and 2 more: 5 .* Got none of them"):
        check_columns(table, list("ABCDE"), file="t.txt")


def test_good_ids() -> None:
    check_ids(pd.Series(["9000001", "9000002"], name="ID"), digits=7, file="t.txt")
    check_ids(pd.Series(["MA00001", "M12"], name="MOSTID"), digits=None, file="t.txt")


@pytest.mark.parametrize(
    ("bad", "digits", "says"),
    [
        ("9.00E+06", 7, "scientific notation"),
        ("9,00E+06", 7, "scientific notation"),
        ("9000001.0", 7, "decimals"),
        ("012345", 7, "6 digits (leading zeros lost, or cut)"),
        ("90000011", 7, "8 digits"),
        ("9000 01", 7, "something other than digits"),
        (NA, 7, "an empty cell"),
        (NA, None, "an empty cell"),
        ("1.2E+5", None, "scientific notation"),
    ],
)
def test_mangled_ids(bad: object, digits: int | None, says: str) -> None:
    good = "9000001"
    ids = pd.Series([good, bad, good, bad], index=[2, 3, 4, 7], name="ID", dtype="string")
    with pytest.raises(TableError, match=re.escape(says)) as caught:
        check_ids(ids, digits=digits, file="kxr_sq_bu00.txt")
    error = caught.value
    assert error.code == "table.value-invalid"
    assert error.message.startswith("kxr_sq_bu00.txt, row 3, column ID: ")
    assert "2 of 4 rows" in error.message
    assert "spreadsheet" in error.hint
    assert bad is NA or str(bad) not in str(error)


@pytest.mark.parametrize(
    ("cell", "task", "decimals", "grade", "raw"),
    [
        ("3", "jsn_l", "drop", 3, None),
        ("3.0", "jsn_l", "drop", 3, None),
        ("4", "kl", "drop", 4, None),
        ("4", "jsn_l", "drop", None, "4"),
        ("5", "kl", "floor", None, "5"),
        ("-1", "kl", "paper", None, "-1"),
        ("0.5", "jsn_l", "paper", 0, "0.5"),
        ("1.5", "jsn_l", "paper", 2, "1.5"),
        ("2.5", "kl", "paper", 2, "2.5"),
        ("3.9", "kl", "paper", 4, "3.9"),
        ("3.6", "jsn_l", "paper", None, "3.6"),
        ("3.6", "jsn_l", "floor", 3, "3.6"),
        ("-0.4", "jsn_l", "paper", None, "-0.4"),
        ("1.4", "kl", "drop", None, "1.4"),
        ("12345678", "kl", "drop", None, "12345678"),
        (".", "kl", "drop", None, None),
        (".P", "kl", "floor", None, "P"),
        ("x", "kl", "drop", None, "X"),
        ("nan", "kl", "paper", None, "NAN"),
        ("9" * 400, "kl", "floor", None, "9" * 400),
        ("1e0", "kl", "floor", None, "1E0"),
    ],
)
def test_grades(cell: str, task: str, decimals: str, grade: int | None, raw: str | None) -> None:
    decoded = decode_grade(cell, Task(task), decimals)  # type: ignore[arg-type]
    assert tuple(None if value is NA else value for value in decoded) == (grade, raw)


def test_numbers() -> None:
    cells = pd.Series(["1.5", NA, "-9", "abc", "7"], index=[2, 3, 4, 5, 6], name="BMI")
    good = parse_numbers(cells.drop(5), low=0, high=9, file="t.txt", absent=frozenset({"-9"}))
    assert good.tolist() == [1.5, NA, NA, 7]
    with pytest.raises(
        TableError, match=r"t\.txt, row 5, column BMI: .* Got 'abc'; .* 2 of 5 rows"
    ):
        parse_numbers(cells, low=0, high=5, file="t.txt", absent=frozenset({"-9"}))


def test_a_key_with_two_contents() -> None:
    table = pd.DataFrame(
        {"ID": ["1", "2", "1", "1"], "X": ["a", "b", "a", "c"]}, index=[2, 3, 4, 5]
    )
    assert check_unique(table.drop(5), ["ID"], file="t.txt").index.tolist() == [2, 3]
    with pytest.raises(TableError, match="rows 2 and 5; 2 rows repeat") as caught:
        check_unique(table, ["ID"], file="t.txt")
    assert caught.value.code == "table.key-duplicate"
