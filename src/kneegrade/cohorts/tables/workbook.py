"""An Excel workbook -> the cells of its first sheet as text, and the number of each row."""

import lzma
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import pandas as pd

from kneegrade.errors import TableError
from kneegrade.text_table import TextTable, arrange_cells, check_table_exists

_DAMAGES: Final = (
    OSError,
    EOFError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    RuntimeError,
    ValueError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    lzma.LZMAError,
)
"""What openpyxl and zipfile raise on damage: a broken sheet is a SyntaxError, encryption a
RuntimeError."""


def read_workbook(path: Path) -> TextTable:
    """Read the first sheet of an ``.xlsx`` file; of a formula, the value that was saved.

    Parameters
    ----------
    path : Path

    Returns
    -------
    TextTable
        A number of the sheet as Python writes it (12, 1.4), a date as ``2020-01-31 00:00:00``; rows
        as the spreadsheet numbers them. A note says which sheet was read where there are several.

    Raises
    ------
    TableError
        table.not-found, table.unreadable (damaged, encrypted, no workbook, or a column without a
        name), table.empty.
    """
    check_table_exists(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # styles that openpyxl does not know
            with pd.ExcelFile(path, engine="openpyxl") as book:
                names = [str(name) for name in book.sheet_names]
                sheet = pd.read_excel(book, header=None, dtype=object, na_filter=False)
    except _DAMAGES as error:
        raise TableError(
            "table.unreadable",
            f"{path.name} is not an .xlsx workbook, is encrypted, or is damaged "
            f"({type(error).__name__}).",
            "Open it in a spreadsheet and save it again as .xlsx or as CSV in UTF-8.",
        ) from error
    notes = []
    if len(names) > 1:
        notes.append(f"The workbook has {len(names)} sheets: the first, {names[0]!r}, was read.")
    rows = sheet.itertuples(index=False)
    return arrange_cells([[_write_cell(value) for value in row] for row in rows], notes)


def _write_cell(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)
