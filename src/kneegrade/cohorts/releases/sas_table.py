"""A SAS table (``.sas7bdat``, ``.xpt``) -> its cells, written as in the studies' text files."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyreadstat

from kneegrade.errors import TableError

_FAILURES = (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, ValueError, OverflowError)


def read_sas_table(path: Path, keep: re.Pattern[str]) -> pd.DataFrame:
    """Read a SAS table as text.

    Parameters
    ----------
    path : Path
        ``.xpt`` for a transport file, else ``.sas7bdat``.
    keep : compiled pattern
        Only columns whose whole upper-case name matches are read.

    Returns
    -------
    DataFrame
        Names in upper case; numbers as plain codes (``2``, ``1.4``); a missing number empty, or
        ``.A`` where the file keeps its letter; dates MM/DD/YYYY. The first observation is row 1.

    Raises
    ------
    TableError
        table.unreadable if the file is not a SAS table, or is damaged or truncated.
    """
    _, meta = _call_reader(path, metadataonly=True)
    chosen = [name for name in meta.column_names if keep.fullmatch(name.strip().upper())]
    frame, _ = _call_reader(path, usecols=chosen or meta.column_names[:1])
    cells = {
        name: [
            _write_cell(value, is_text=meta.readstat_variable_types[name] == "string")
            for value in frame[name]
        ]
        for name in chosen
    }
    table = pd.DataFrame(cells, index=range(1, len(frame) + 1), dtype=object)
    return table.set_axis([name.strip().upper() for name in chosen], axis="columns")


def _call_reader(path: Path, **options: Any) -> tuple[pd.DataFrame, Any]:
    """Read in the encoding that the file names, else in that of the releases."""
    read: Any = pyreadstat.read_xport
    if path.suffix.lower() != ".xpt":
        read = pyreadstat.read_sas7bdat
        options["user_missing"] = True
    failure: Exception | None = None
    for encoding in (None, "ISO-8859-1"):
        try:
            frame, meta = read(str(path), encoding=encoding, **options)
        except _FAILURES as error:
            failure = error
        else:
            return frame, meta
    raise TableError(
        "table.unreadable",
        f"{path.name} is not a SAS table, or is damaged or truncated ({failure}).",
        "Copy or download the table again.",
    ) from failure


def _write_cell(value: Any, *, is_text: bool) -> str:
    if isinstance(value, str):
        return value if is_text else f".{value.upper()}"
    if pd.isna(value):
        return ""
    if isinstance(value, date):
        return f"{value:%m/%d/%Y}"
    number = float(value)
    return str(int(number)) if number.is_integer() else f"{number:.12g}"
