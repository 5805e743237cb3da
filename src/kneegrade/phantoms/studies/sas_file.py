"""Columns of a table -> a SAS transport file (.xpt), the same bytes each time.

The releases' own SAS files are ``.sas7bdat``, which no open library writes.
"""

import re
from pathlib import Path
from typing import Final

import pandas as pd
import pyreadstat

_STAMP: Final = re.compile(rb"\d{2}[A-Z]{3}\d{2}:\d{2}:\d{2}:\d{2}")
_FIXED_STAMP: Final = b"01JAN25:12:00:00"


def write_sas_file(path: Path, table: pd.DataFrame, *, name: str) -> None:
    """Write a table of text and floats, version 8; a missing number has no letter there.

    Parameters
    ----------
    path : Path
        ``.xpt``; its folder is made.
    table : DataFrame
    name : str
        Of the table in the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pyreadstat.write_xport(table, path, table_name=name, file_format_version=8)
    # The time of writing is in the file's header: the same study must give the same bytes.
    path.write_bytes(_STAMP.sub(_FIXED_STAMP, path.read_bytes()))
