"""The knee table on disk: the only reader and writer of it. Its columns are in `schema`."""

import io
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kneegrade.cohorts.tables.raw_table import read_raw_table
from kneegrade.cohorts.tables.schema import (
    SCHEMA,
    SCHEMA_VERSION,
    check_columns,
    check_knee_table,
    normal_form,
)
from kneegrade.errors import TableError
from kneegrade.output import write_whole, writing_to
from kneegrade.text_table import BINARY_SUFFIXES, TEXT_SUFFIXES, find_columns, tell_renames
from kneegrade.types import Contrast, RadiographFile, SpacingSource

MEMBER_SEPARATOR: Final = "::"
READ_SUFFIXES: Final = (*BINARY_SUFFIXES, *TEXT_SUFFIXES)
WRITTEN_SUFFIXES: Final = (".parquet", ".csv")
ID_DIGITS: Final = 5
"""Ids of fewer digits may be running numbers, whose lengths differ anyway."""
DEFAULTS: Final = MappingProxyType({"cohort": "own", "visit_months": 0, "reading": ""})

_ROUNDED_ID: Final = re.compile(r"[0-9]([.,][0-9]*)?E\+[0-9]{2,}")
_log = logging.getLogger(__name__)


def read_knee_table(path: Path) -> pd.DataFrame:
    """Read a knee table, kneegrade's own or a user's; what was filled in goes to the log.

    Parameters
    ----------
    path : Path
        ``.parquet``, ``.csv``, ``.tsv``, ``.txt`` or ``.xlsx``.

    Returns
    -------
    DataFrame
        The normal form (see `check_knee_table`).

    Raises
    ------
    TableError
        As `read_with_notes`.
    """
    table, notes = read_with_notes(path)
    for note in notes:
        _log.warning(f"{path.name}: {note}")
    return table


def read_with_notes(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a knee table and say what had to be filled in or renamed.

    Only ``image_path`` and ``side`` must be there. ``cohort`` becomes ``own``, ``visit_months`` 0,
    ``reading`` empty; a missing ``subject_id`` becomes the ``image_path``, so that two images
    count as two people. Column names of the schema are found in any case.

    Parameters
    ----------
    path : Path
        ``.parquet``, ``.xlsx`` (its first sheet), or text (see `kneegrade.text_table`):
        ``.csv``, ``.tsv`` or ``.txt``.

    Returns
    -------
    table : DataFrame
        The normal form (see `check_knee_table`).
    notes : tuple of str
        One sentence for each leniency.

    Raises
    ------
    TableError
        table.not-found, table.unreadable, and all of `check_knee_table`; table.value-invalid also
        for a subject_id that a spreadsheet has turned into a rounded number.
    """
    _check_suffix(path, READ_SUFFIXES)
    try:
        return _read(path)
    except TableError as error:
        if path.name in error.message:
            raise
        raise error.within(path.name) from error


def _read(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    raw, row_numbers, notes = read_raw_table(path)
    renames = find_columns(map(str, raw.columns), (column.name for column in SCHEMA))
    renamed = raw.rename(columns=renames)
    check_columns(renamed, ("image_path", "side"))
    notes += tuple(tell_renames(renames))
    if "subject_id" in renamed:
        notes += _check_ids(renamed["subject_id"], row_numbers)
    filled, more = _fill_key(renamed)
    return normal_form(filled, row_numbers), (*notes, *more)


def write_knee_table(table: pd.DataFrame, path: Path) -> None:
    """Check a knee table and write it whole or not at all.

    Parameters
    ----------
    table : DataFrame
        Its ``image_path`` must be relative to the folder of ``path``: see `rebase_images`.
    path : Path
        ``.parquet`` (carries ``schema_version``) or ``.csv``. The folder is made if needed.

    Raises
    ------
    TableError
        As `check_knee_table`; table.unreadable for another suffix.
    OutputError
        output.not-writable.
    """
    suffix = _check_suffix(path, WRITTEN_SUFFIXES)
    checked = check_knee_table(table)
    try:
        content = _pack_csv(checked) if suffix == ".csv" else _pack_parquet(checked)
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise TableError(
            "table.value-invalid",
            f"A column holds values that no table file can hold ({type(error).__name__}).",
            "Give each extra column values of a single type, and text in UTF-8.",
        ) from error
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def _pack_csv(table: pd.DataFrame) -> bytes:
    text: str = table.to_csv(index=False)
    return text.encode("utf-8")


def _pack_parquet(table: pd.DataFrame) -> bytes:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**arrow.schema.metadata, b"schema_version": str(SCHEMA_VERSION).encode()}
    file = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata(metadata), file)
    return file.getvalue()


def check_table_name(path: Path) -> None:
    """Check that a knee table can be written under this name, before the work for it is done.

    Raises
    ------
    TableError
        table.unreadable for another suffix than ``.parquet`` or ``.csv``.
    """
    _check_suffix(path, WRITTEN_SUFFIXES)


def resolve_image(table_path: Path, image_path: str) -> str:
    """Turn an ``image_path`` of a knee table into a path that can be opened.

    Parameters
    ----------
    table_path : Path
        The file of the table.
    image_path : str
        Relative to the table's folder, or absolute; as POSIX or Windows writes it.
        ``a.zip::member`` names an image inside an archive (.zip, .tar, .tar.gz, .tgz).

    Returns
    -------
    str
        The same with the folder in front; ``::member`` stays.
    """
    file, separator, member = image_path.partition(MEMBER_SEPARATOR)
    return f"{table_path.parent / _find_file(table_path.parent, file)}{separator}{member}"


def _find_file(folder: Path, file: str) -> str:
    r"""Name of a file as this machine writes it, of one typed by hand or written on Windows.

    ``films\a.png`` is ``films/a.png`` and blanks around are left out, unless there is a file of
    just that name.
    """
    plain = file.strip().replace("\\", "/")
    if plain == file or not plain or os.path.lexists(folder / file):
        return file
    return plain


def read_spacing(row: Mapping[str, Any]) -> float | tuple[float, float] | None:
    """Size of an image's pixels in mm, ``(row, col)`` or that of the rows, by a knee table."""
    cells = [row.get(name) for name in ("spacing_mm", "spacing_col_mm")]
    row_mm, col_mm = (None if cell is None or pd.isna(cell) else float(cell) for cell in cells)
    return row_mm if row_mm is None or col_mm is None else (row_mm, col_mm)


_UNTOLD: Final = ("", SpacingSource.UNKNOWN)


def read_radiograph_file(row: Mapping[str, Any], table_path: Path) -> RadiographFile:
    """The radiograph of a knee table's row, and what the row tells about it."""
    source, contrast = (
        "" if (cell := row.get(name)) is None or pd.isna(cell) else str(cell)
        for name in ("spacing_source", "contrast")
    )
    return RadiographFile(
        path=resolve_image(table_path, row["image_path"]),
        spacing_mm=read_spacing(row),
        spacing_source=SpacingSource(source) if source not in _UNTOLD else SpacingSource.TABLE,
        contrast=Contrast(contrast or Contrast.UNKNOWN),
    )


def find_missing_images(table: pd.DataFrame, table_path: Path) -> list[str]:
    """Find the images of a table that are not on disk.

    Parameters
    ----------
    table : DataFrame
        A knee table.
    table_path : Path
        Its file, from whose folder ``image_path`` counts.

    Returns
    -------
    list of str
        The ``image_path`` of each, in the order of the table. Of an image inside an archive only
        the archive is looked for.
    """
    files = [resolve_image(table_path, path) for path in table["image_path"]]
    here = {
        file: Path(file).is_file() for file in {f.partition(MEMBER_SEPARATOR)[0] for f in files}
    }
    return [
        path
        for path, file in zip(table["image_path"], files, strict=True)
        if not here[file.partition(MEMBER_SEPARATOR)[0]]
    ]


def rebase_images(table: pd.DataFrame, old_folder: Path, new_folder: Path) -> pd.DataFrame:
    """Make ``image_path`` relative to another folder, as when a table is written elsewhere.

    Parameters
    ----------
    table : DataFrame
        ``image_path`` relative to ``old_folder``; absolute paths stay.
    old_folder, new_folder : Path
        They need not exist.

    Returns
    -------
    DataFrame
        A copy.
    """
    old, new = old_folder.resolve(), new_folder.resolve()

    def rebase(image_path: str) -> str:
        file, separator, member = image_path.partition(MEMBER_SEPARATOR)
        if Path(file).is_absolute() or PureWindowsPath(file).is_absolute():
            return image_path
        file = _find_file(old, file)
        try:
            moved = Path(os.path.relpath(old / file, new))
        except ValueError:  # another drive on Windows
            moved = old / file
        return f"{moved.as_posix()}{separator}{member}"

    paths = pd.array([rebase(path) for path in table["image_path"]], dtype="string")
    return table.assign(image_path=paths)


def _check_suffix(path: Path, allowed: tuple[str, ...]) -> str:
    suffix = path.suffix.lower()
    if suffix not in allowed:
        words = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        raise TableError(
            "table.unreadable",
            f"A knee table is a {words} file here. Got {path.name!r}.",
            f"Give the file a name that ends in {words}, and that format.",
        )
    return suffix


def _check_ids(ids: pd.Series, row_numbers: NDArray[np.int64]) -> tuple[str, ...]:
    """Refuse ids that a spreadsheet has rounded; note those that may have lost leading zeros."""
    texts = [("" if pd.isna(value) else str(value).strip()) for value in ids]
    for row, text in zip(row_numbers, texts, strict=True):
        if _ROUNDED_ID.fullmatch(text):
            raise TableError(
                "table.value-invalid",
                f"Row {row}, column 'subject_id': an id was expected. Got a number in scientific "
                "notation, as a spreadsheet writes long ids: digits are lost.",
                "Format the column as text, then fill it again from its source.",
            )
    lengths = [len(text) if text.isdigit() else 0 for text in texts]
    longest = max(lengths, default=0)
    short = [row for row, n in zip(row_numbers, lengths, strict=True) if 0 < n < longest]
    if longest < ID_DIGITS or not 0 < len(short) < lengths.count(longest):
        return ()
    return (
        f"{len(short)} ids have fewer digits than the {longest} that most have, first in row "
        f"{short[0]}: if a spreadsheet has dropped leading zeros, two people may count as one.",
    )


def _fill_key(raw: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    table, notes = raw.copy(), []
    for name, default in DEFAULTS.items():
        if name not in table:
            table[name] = default
            notes.append(f"There is no column {name!r}: {default!r} was filled in.")
    if "subject_id" not in table:
        table["subject_id"] = pd.Series(pd.NA, index=table.index, dtype="string")
    ids = table["subject_id"].astype(object)
    blank = ids.isna() | (ids.astype(str).str.strip() == "")
    if blank.any():
        # An empty image_path is an error of its own column, not of this one.
        table["subject_id"] = ids.where(~blank, table["image_path"].astype(object).fillna("-"))
        notes.append(
            f"{int(blank.sum())} rows have no subject_id: the image_path was taken, so each "
            "image counts as a different person."
        )
    return table, notes
