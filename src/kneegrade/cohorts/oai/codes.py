"""Codes that all tables of the OAI share, and how a table of one row per person or knee is read."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from kneegrade.cohorts.releases.cells import check_columns, check_ids
from kneegrade.cohorts.releases.tables import read_release_table
from kneegrade.errors import TableError
from kneegrade.types import Side

KNEE: Final = ("subject_id", "visit_months", "side")
ID_DIGITS: Final = 7
BARCODE_DIGITS: Final = 12
SERIES_DIGITS: Final = 8
"""The last digits of a barcode are the name of the series' folder."""
BARCODE_START: Final = "0166"
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
READ_MONTHS: Final = (0, 12, 24, 36, 48, 72, 96)
"""Visits whose films were read."""
FILM_MONTHS: Final = (0, 12, 18, 24, 30, 36, 48, 72, 96)
"""Visits at which knees were filmed: 18 and 30 months in sub-cohorts only."""
SIDES: Final = MappingProxyType({"1": Side.RIGHT.value, "2": Side.LEFT.value})
_BARCODE = re.compile(r"(\d{1,12})(?:\.0*)?", re.ASCII)
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
            f"{path.name}: the columns of one visit were expected. Got the same column of several "
            f"visits: {', '.join(sorted(names))}.",
            "Use the table as the study published it, one file for each visit.",
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
        Months since baseline; NA for a code that is not a visit, such as V99 (outcomes).
    """
    if "VISIT" in table.columns:
        codes = table["VISIT"].str.upper().str.removeprefix("V")
    else:
        codes = pd.Series(path.stem[-2:], index=table.index, dtype="string")
    return codes.map(VISIT_MONTHS).astype("Int16")


def normalise_barcode(text: object) -> Any:
    """Write a film's barcode in full: 12 digits, the last 8 of which name the series folder.

    Tables lose leading zeros. Up to 8 digits are the series; 9 to 12 are padded to 12.

    Parameters
    ----------
    text : object
        A cell: text, or missing.

    Returns
    -------
    str or NA
        NA for a cell that holds no barcode: blank, ``T``, zeros, scientific notation.
    """
    match = _BARCODE.fullmatch(str(text).strip()) if isinstance(text, str) else None
    if match is None or not int(match[1]):
        return pd.NA
    digits = match[1]
    if len(digits) <= SERIES_DIGITS:
        return BARCODE_START + digits.zfill(SERIES_DIGITS)
    return digits.zfill(BARCODE_DIGITS)
