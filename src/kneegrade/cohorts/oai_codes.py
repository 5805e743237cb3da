"""Codes that all tables of the OAI share, and how a table of one row per person or knee is read."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pandas as pd

from kneegrade.cohorts.release_tables import check_columns, check_ids, read_release_table
from kneegrade.errors import TableError
from kneegrade.types import Side

ID_DIGITS: Final = 7
VISIT_MONTHS: Final = MappingProxyType(
    {
        "00": 0,
        "01": 12,
        "02": 18,
        "03": 24,
        "04": 30,
        "05": 36,
        "06": 48,
        "07": 60,
        "08": 72,
        "09": 84,
        "10": 96,
        "11": 108,
    }
)
"""Number of a visit, as in V06 or ``kxr_sq_bu06``, to months since baseline."""
FILM_MONTHS: Final = (0, 12, 18, 24, 30, 36, 48, 72, 96)
"""Visits at which knees were filmed: 18 and 30 months in sub-cohorts only."""
SIDES: Final = MappingProxyType({"1": Side.RIGHT.value, "2": Side.LEFT.value})
_PREFIX: Final = r"(?:V\d\d|P0[12])?"


def read_oai_table(
    path: Path,
    needed: Sequence[str],
    wanted: Sequence[str] = (),
    *,
    prefix: str = _PREFIX,
    missing_letters: bool = False,
) -> pd.DataFrame:
    """Read columns of a table of the OAI, in any dialect, by their bare names.

    Parameters
    ----------
    path : Path
    needed, wanted : sequence of str
        Upper-case names without the visit prefix: those that must be there, and those that may.
    prefix : str
        Regular expression for what may stand in front of a name.
    missing_letters : bool
        As in `read_release_table`.

    Returns
    -------
    DataFrame
        ``subject_id``, then the columns that are there, under their bare names, as text; the index
        numbers the rows of the file.

    Raises
    ------
    TableError
        As `read_release_table`, `check_columns` and `check_ids`; table.unreadable if two columns
        have the same bare name.
    """
    bare_names = list(dict.fromkeys([*needed, *wanted]))
    pattern = re.compile(f"{prefix}({'|'.join(map(re.escape, bare_names))})")
    columns = f"ID|SRC_SUBJECT_ID|{pattern.pattern}"
    table = read_release_table(path, columns=columns, missing_letters=missing_letters)
    names = {name: match[1] for name in table.columns if (match := pattern.fullmatch(str(name)))}
    if len(set(names.values())) < len(names):
        raise TableError(
            "table.unreadable",
            f"{path.name}: the columns of one visit were expected. Got the same column of several: "
            f"{', '.join(sorted(names))}.",
            "Use the table as the study published it, one file for a visit.",
        )
    id_column = "SRC_SUBJECT_ID" if "SRC_SUBJECT_ID" in table.columns else "ID"
    named = table.rename(columns=names)
    check_columns(named, [id_column, *needed], file=path.name)
    check_ids(named[id_column], digits=ID_DIGITS, file=path.name)
    chosen = [id_column, *(name for name in bare_names if name in named.columns)]
    return named[chosen].rename(columns={id_column: "subject_id"})


def read_months(table: pd.DataFrame, path: Path) -> pd.Series:
    """Tell the visit of each row: from the column VISIT (NDA), else from the file's name.

    Parameters
    ----------
    table : DataFrame
    path : Path
        A name that ends in the two digits of the visit, if there is no column VISIT.

    Returns
    -------
    Series of Int16
        Months since baseline; NA for a code that is no visit, such as V99 (outcomes).
    """
    if "VISIT" in table.columns:
        codes = table["VISIT"].str.upper().str.removeprefix("V")
    else:
        codes = pd.Series(path.stem[-2:], index=table.index, dtype="string")
    return codes.map(VISIT_MONTHS).astype("Int16")


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
        table.value-invalid, naming file, row and column.
    """
    shown = cells.where(~cells.isin(absent))
    numbers = pd.to_numeric(shown, errors="coerce").astype("Float64")
    bad = shown.notna() & ~(numbers.between(low, high)).fillna(False).astype(bool)
    if bad.any():
        raise TableError(
            "table.value-invalid",
            f"{file}, row {bad.idxmax()}, column {cells.name}: expected a number {low:g}-{high:g}, "
            f"or a missing cell. Got {shown[bad.idxmax()][:20]!r}; {int(bad.sum())} rows are so.",
            "Use the table as it was downloaded; a spreadsheet may have changed it.",
        )
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
        table.value-invalid for a number that is no code, naming file, row and column.
    """
    unknown = cells.str.fullmatch(r"-?[\d.]+").fillna(False).astype(bool) & ~cells.isin(words)
    if unknown.any():
        raise TableError(
            "table.value-invalid",
            f"{file}, row {unknown.idxmax()}, column {cells.name}: expected one of the codes "
            f"{', '.join(words)}. Got {cells[unknown.idxmax()][:20]!r}; {int(unknown.sum())} rows "
            "are so.",
            "Use the table as it was downloaded; a spreadsheet may have changed it.",
        )
    return cells.map(lambda cell: words.get(cell, cell), na_action="ignore").astype("string")


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
            f"{file}: one row for each {' and '.join(key)} was expected. Got two different ones in "
            f"rows {first} and {second}; {int(repeated.sum())} rows repeat.",
            "Use the table as the study published it.",
        )
    return single
