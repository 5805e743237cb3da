"""A table file of any kind that is read -> its cells as they are, and the number of each row."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kneegrade.cohorts.tables.schema import SCHEMA_VERSION
from kneegrade.cohorts.tables.workbook import read_workbook
from kneegrade.errors import TableError
from kneegrade.text_table import TextTable, check_table_exists, read_text_table


class RawTable(NamedTuple):
    """A table before its cells are checked.

    Parameters
    ----------
    cells : DataFrame, n rows
        Of a text table or a workbook every column is of dtype ``string``; an empty cell is missing.
    row_numbers : (n,) array, int64
        Row of the file for each row of ``cells``; the header is row 1.
    notes : tuple of str
        One sentence for each leniency.
    """

    cells: pd.DataFrame
    row_numbers: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def read_raw_table(path: Path) -> RawTable:
    """Read a table by its suffix: ``.parquet``, ``.xlsx`` (first sheet), else text.

    Raises
    ------
    TableError
        table.not-found, table.unreadable or table.empty; see `kneegrade.text_table`.
    """
    if path.suffix.lower() == ".parquet":
        cells = _read_parquet(path)
        return RawTable(cells, np.arange(len(cells), dtype=np.int64) + 2)
    table = read_workbook(path) if path.suffix.lower() == ".xlsx" else read_text_table(path)
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.names)
    frame = pd.DataFrame(
        {
            name: pd.array([cell or pd.NA for cell in cells], dtype="string")
            for name, cells in zip(table.names, columns, strict=True)
        },
        index=pd.RangeIndex(len(table.rows)),
    )
    return RawTable(frame, np.array(table.row_numbers, dtype=np.int64), table.notes)


def read_cells(path: Path) -> TextTable:
    """Read the same files as `read_raw_table` into cells of text."""
    raw = read_raw_table(path)
    rows = (tuple(map(_write_cell, row)) for row in raw.cells.itertuples(index=False))
    names = tuple(str(name) for name in raw.cells.columns)
    return TextTable(names, tuple(rows), tuple(raw.row_numbers.tolist()), raw.notes)


def _write_cell(value: Any) -> str:
    missing = pd.api.types.is_scalar(value) and pd.isna(value)
    return "" if missing else str(value)


def _read_parquet(path: Path) -> pd.DataFrame:
    check_table_exists(path)
    try:
        with pq.ParquetFile(path) as file:
            arrow = file.read()
        frame = arrow.to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TableError(
            "table.unreadable",
            f"{path} is not a Parquet file, or is damaged ({type(error).__name__}).",
            "Write it again, or give a CSV file a name that ends in .csv.",
        ) from error
    version = (arrow.schema.metadata or {}).get(b"schema_version", b"1")
    if not version.isdigit() or int(version) > SCHEMA_VERSION:
        raise TableError(
            "table.unreadable",
            f"The table has schema version {version.decode(errors='replace')}; this kneegrade "
            f"reads up to {SCHEMA_VERSION}.",
            "Install a newer kneegrade.",
        )
    return frame.reset_index(drop=all(name is None for name in frame.index.names))
