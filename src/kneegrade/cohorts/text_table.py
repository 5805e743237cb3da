"""A CSV file -> its cells as text, and the number of each row as a person counts."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kneegrade.errors import TableError

SEPARATORS = (",", ";", "\t")


def read_text_table(path: Path) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Read a CSV file without guessing types: a subject ``0012`` stays ``0012``.

    UTF-8 with or without a byte order mark; the separator (comma, semicolon, tab) is the one the
    header uses most. Blank rows are left out, and so are nameless columns without a value.

    Parameters
    ----------
    path : Path

    Returns
    -------
    cells : DataFrame
        Every column of dtype ``string``; an empty cell is missing.
    row_numbers : (n,) array, int64
        Row of the file for each row of ``cells``; the header is row 1.

    Raises
    ------
    TableError
        table.not-found, table.unreadable (no UTF-8 text, a row of another length than the header,
        a column name twice), table.empty (no header).
    """
    text = _read_text(path)
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=_find_separator(text), strict=True
        )
        records = list(reader)
    except csv.Error as error:
        raise _unreadable(f"it is no CSV ({error})") from error
    return arrange_cells(records)


def arrange_cells(records: Iterable[Sequence[str]]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Make a table of rows of text, the first of which with a value is the header.

    Parameters
    ----------
    records : iterable of sequence of str
        From row 1 on, blank rows included.

    Returns
    -------
    cells, row_numbers
        As `read_text_table`.

    Raises
    ------
    TableError
        table.empty (no header); table.unreadable: a row of another length than the header, a column
        with values but without a name, or a name twice.
    """
    rows = [
        (number, cells)
        for number, cells in enumerate(records, start=1)
        if any(cell.strip() for cell in cells)
    ]
    if not rows:
        raise TableError(
            "table.empty",
            "The table is empty: a header and rows were expected.",
            "Check that the file was saved.",
        )
    header = [name.strip() for name in rows[0][1]]
    for number, cells in rows[1:]:
        if len(cells) != len(header):
            raise _unreadable(
                f"row {number} has {len(cells)} cells, the header has {len(header)} columns"
            )
    row_numbers = np.array([number for number, _ in rows[1:]], dtype=np.int64)
    columns = {}
    for position, name in enumerate(header):
        cells = [row[position] for _, row in rows[1:]]
        if not name:
            if any(cell.strip() for cell in cells):
                raise _unreadable(f"column {position + 1} has no name")
            continue
        if name in columns:
            raise _unreadable(f"two columns are named {name!r}")
        columns[name] = pd.array([cell or pd.NA for cell in cells], dtype="string")
    return pd.DataFrame(columns, index=pd.RangeIndex(len(row_numbers))), row_numbers


def _read_text(path: Path) -> str:
    if not path.exists():
        raise TableError(
            "table.not-found", f"There is no table at {path}.", "Check the spelling of the path."
        )
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(f"the file cannot be opened ({type(error).__name__})") from error
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise _unreadable(f"row {row} is no UTF-8 text") from error


def _find_separator(text: str) -> str:
    header = text.lstrip().partition("\n")[0]
    return max(SEPARATORS, key=header.count)


def _unreadable(reason: str) -> TableError:
    return TableError(
        "table.unreadable",
        f"The table cannot be read: {reason}.",
        "Save it as CSV in UTF-8 with one header row, as .xlsx or as Parquet.",
    )
