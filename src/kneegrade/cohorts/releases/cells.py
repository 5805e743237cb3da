"""Cells of a release's table -> numbers, words and grades, or an error that says where it is wrong.

Every message names file, row and column. None shows a participant's ID.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

import pandas as pd

from kneegrade.errors import TableError
from kneegrade.types import Task

Decimals = Literal["drop", "floor", "paper"]
"""What a decimal becomes: no grade, its whole part, or rounded half to even as the paper did."""

DECIMALS_DONE: Final[Mapping[Decimals, str]] = MappingProxyType(
    {"drop": "no grade", "floor": "floored", "paper": "rounded half to even"}
)
N_NAMED: Final = 3
MISSING_CELL: Final = re.compile(r"\.[A-Z]?")
NUMBER_CELL: Final = re.compile(r"[+-]?(?:\d{1,9}(?:\.\d*)?|\.\d+)", re.ASCII)
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_DECIMAL = re.compile(r"[+-]?\d+[.,]\d*")
_SPREADSHEET_HINT: Final = (
    "A spreadsheet may have changed it: use the table as it was downloaded, or import the column "
    "as text."
)


def check_columns(table: pd.DataFrame, names: Sequence[str], *, file: str) -> None:
    """Check that the columns are there.

    Parameters
    ----------
    table : DataFrame
    names : sequence of str
        In upper case.
    file : str
        Name of the table, for the message.

    Raises
    ------
    TableError
        table.column-missing, naming file and columns.
    """
    missing = [name for name in names if name not in table.columns]
    if not missing:
        return
    more = f" and {len(missing) - N_NAMED} more" if len(missing) > N_NAMED else ""
    here = [name for name in names if name in table.columns]
    got = ", ".join([*here[:N_NAMED], *(["..."] if len(here) > N_NAMED else [])]) or "none of them"
    raise TableError(
        "table.column-missing",
        f"{file} has no column {', '.join(missing[:N_NAMED])}{more}: {len(names)} columns were "
        f"expected, in any case, with the prefix of the table's visit or without. Got {got}.",
        "Check that this is the study's own table of this name, unchanged.",
    )


def check_cells(
    cells: pd.Series, bad: pd.Series, *, expected: str, file: str, got: str | None = None
) -> None:
    """Refuse a column if a cell is bad.

    Parameters
    ----------
    cells : Series of text
        Named after its column; its index numbers the rows.
    bad : Series of bool
        Under the same index.
    expected : str
        What a cell may hold, in words.
    file : str
    got : str, optional
        What the first bad cell holds, where it may not be shown.

    Raises
    ------
    TableError
        table.value-invalid, naming file, row and column.
    """
    if not bad.any():
        return
    row = bad.idxmax()
    cell = cells[row]
    shown = "an empty cell" if pd.isna(cell) else (got or repr(cell[:20]))
    raise TableError(
        "table.value-invalid",
        f"{file}, row {row}, column {cells.name}: expected {expected}. Got {shown}; wrong in "
        f"{int(bad.sum())} of {len(bad)} rows.",
        _SPREADSHEET_HINT,
    )


def check_ids(ids: pd.Series, *, digits: int | None, file: str) -> None:
    """Check that no spreadsheet has mangled the participants' IDs.

    Parameters
    ----------
    ids : Series of text
        Named after its column; its index numbers the rows (see `read_release_table`).
    digits : int or None
        How many digits an ID has (OAI: 7); None for IDs with letters and any length (MOST).
    file : str
        Name of the table, for the message.

    Raises
    ------
    TableError
        table.value-invalid, naming file, row and column and what happened, never the ID.
    """
    faults = {cell: _find_fault(cell, digits) for cell in ids.dropna().unique()}
    found = [fault for cell in ids if not pd.isna(cell) and (fault := faults[cell])]
    expected = "an ID" if digits is None else f"an ID of {digits} digits"
    bad = ids.isna() | ids.isin([cell for cell, fault in faults.items() if fault])
    check_cells(ids, bad, expected=expected, file=file, got=found[0] if found else None)


def _find_fault(cell: str, digits: int | None) -> str:
    text = cell.strip()
    if _SCIENTIFIC.fullmatch(text):
        return "a number in scientific notation"
    if _DECIMAL.fullmatch(text):
        return "a number with decimals"
    if digits is None:
        return ""
    if not (text.isascii() and text.isdigit()):
        return "a cell with something other than digits"
    if len(text) < digits:
        return f"{len(text)} digits (leading zeros lost, or cut)"
    return "" if len(text) == digits else f"{len(text)} digits"


def check_unique(table: pd.DataFrame, key: Sequence[str], *, file: str) -> pd.DataFrame:
    """Drop rows that are repeated word for word, and refuse a key with two contents.

    Parameters
    ----------
    table : DataFrame
        Its index numbers the rows of the file.
    key : sequence of str
    file : str

    Returns
    -------
    DataFrame

    Raises
    ------
    TableError
        table.key-duplicate, naming file and rows.
    """
    single = table.drop_duplicates()
    repeated = single.duplicated(list(key), keep=False)
    if repeated.any():
        groups = single.groupby(list(key), sort=False, dropna=False).ngroup()
        first, second = single.index[groups == groups[repeated.idxmax()]][:2]
        raise TableError(
            "table.key-duplicate",
            f"{file}: one row for each {' and '.join(key)} was expected. Got two in rows {first} "
            f"and {second}; {int(repeated.sum())} rows repeat.",
            "Use the table as the study published it.",
        )
    return single


def parse_numbers(
    cells: pd.Series, *, low: float, high: float, file: str, absent: frozenset[str] = frozenset()
) -> pd.Series:
    """Turn cells into numbers.

    Parameters
    ----------
    cells : Series of text
        Named after its column; its index numbers the rows.
    low, high : float
        Range, both ends included.
    file : str
    absent : frozenset of str
        Codes that mean a missing number.

    Returns
    -------
    Series of Float64

    Raises
    ------
    TableError
        As `check_cells`.
    """
    shown = cells.where(~cells.isin(absent))
    numbers = pd.to_numeric(shown, errors="coerce").astype("Float64")
    bad = shown.notna() & ~(numbers.between(low, high)).fillna(False).astype(bool)
    check_cells(cells, bad, expected=f"a number {low:g}-{high:g}, or a missing cell", file=file)
    return numbers


def translate(cells: pd.Series, words: Mapping[str, str], *, file: str) -> pd.Series:
    """Turn codes into words; words that the file has already stay.

    Parameters
    ----------
    cells : Series of text
        Named after its column; its index numbers the rows.
    words : mapping of str to str
    file : str

    Returns
    -------
    Series of string

    Raises
    ------
    TableError
        As `check_cells`, for a number that is not a code.
    """
    unknown = cells.str.fullmatch(r"-?[\d.]+").fillna(False).astype(bool) & ~cells.isin(words)
    check_cells(cells, unknown, expected=f"one of the codes {', '.join(words)}", file=file)
    return cells.map(lambda cell: words.get(cell, cell), na_action="ignore").astype("string")


def read_grades(cells: pd.Series, task: Task, decimals: Decimals) -> tuple[Any, Any]:
    """Tell the grade of each cell, and what it holds instead of one.

    Parameters
    ----------
    cells : (n,) Series of text
        From `read_release_table` with the letters of missing cells.
    task : Task
    decimals : {"drop", "floor", "paper"}

    Returns
    -------
    grades : (n,) array, Int8
    raws : (n,) array, string
        See `decode_grade`.
    """
    decoded = {cell: decode_grade(cell, task, decimals) for cell in cells.dropna().unique()}
    pairs = [decoded.get(cell, (pd.NA, pd.NA)) for cell in cells]
    grades = pd.array([grade for grade, _ in pairs], dtype="Int8")
    return grades, pd.array([raw for _, raw in pairs], dtype="string")


def decode_grade(cell: str, task: Task, decimals: Decimals) -> tuple[Any, Any]:
    """Tell what a cell of the readings holds.

    Parameters
    ----------
    cell : str
        A number, a letter (``P``; ``.P`` for a missing cell), or a lone dot.
    task : Task
    decimals : {"drop", "floor", "paper"}

    Returns
    -------
    grade : int or NA
        NA too for a number off the scale.
    raw : str or NA
        The cell, where it is neither a plain grade nor blank.
    """
    if not NUMBER_CELL.fullmatch(cell):
        return pd.NA, cell.removeprefix(".").upper() or pd.NA
    number = float(cell)
    grade = round(number) if decimals == "paper" else int(number)
    is_plain = number == grade
    is_grade = number >= 0 and grade < task.n_grades and (is_plain or decimals != "drop")
    return grade if is_grade else pd.NA, pd.NA if is_grade and is_plain else f"{number:.12g}"


def count_no_grades(rows: pd.DataFrame, tasks: Iterable[Task]) -> Counter[str]:
    """Count the cells that hold something else than a grade, by what they hold.

    Parameters
    ----------
    rows : DataFrame
        With the columns of `read_grades` for each task: ``<task>`` and ``<task>_raw``.
    tasks : iterable of Task

    Returns
    -------
    Counter
        In order of the codes, in words.
    """
    counted: Counter[str] = Counter()
    for task in tasks:
        codes = rows.loc[rows[task.value].isna(), f"{task.value}_raw"]
        for code, n in codes.value_counts().items():
            counted[f"cells with code {code}: no grade"] += int(n)
    return Counter(dict(sorted(counted.items())))
