"""The schema of the knee table, and the check of a table against it.

The page ``docs/knee-table.md`` tells `SCHEMA`; a test holds the two together.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kneegrade.errors import TableError
from kneegrade.text_table import parse_number
from kneegrade.types import Contrast, Side, SpacingSource, Task

SCHEMA_VERSION: Final = 1
KEY_COLUMNS: Final = ("cohort", "subject_id", "visit_months", "side", "reading")


@dataclass(frozen=True)
class Column:
    """One column of the knee table.

    Parameters
    ----------
    name : str
    dtype : str
        The pandas dtype of the normal form.
    expected : str
        What a cell may hold, in words.
    meaning : str
    required : bool
        Whether every row has a value in a table that kneegrade writes.
    low, high : float
        Range of a number, both ends included.
    choices : tuple of str
        The only texts allowed; empty for any text.
    """

    name: str
    dtype: str
    expected: str
    meaning: str
    required: bool = False
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


def _task_column(task: Task) -> Column:
    high = task.n_grades - 1
    return Column(
        task.value, "Int8", f"a whole number 0-{high}, or empty", task.label, low=0, high=high
    )


def _text(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "string", more.pop("expected", "text"), meaning, **more)


SCHEMA: Final = (
    _text("cohort", "study that the knee comes from", required=True),
    _text("subject_id", "person, as text: leading zeros stay", required=True),
    Column(
        "visit_months", "Int16", "a whole number 0-32767", "months since baseline", True, 0, 32767
    ),
    _text(
        "side",
        "the patient's side",
        expected="right or left (R or L)",
        required=True,
        choices=tuple(Side),
    ),
    _text("reading", "reader or reading project; may be empty text", required=True),
    _text(
        "image_path",
        "image, relative to the table's folder; `a.zip::member` inside an archive (also .tar, "
        ".tar.gz, .tgz)",
        required=True,
    ),
    *(_task_column(task) for task in Task),
    _text("split", "part of a published split"),
    _text(
        "contrast",
        "what was done to the image's contrast",
        expected="plain, enhanced or unknown",
        choices=tuple(Contrast),
    ),
    Column(
        "spacing_mm",
        "Float64",
        "a number 0.001-5, or empty",
        "millimetres per pixel from row to row; across, by the shape that the file gives its "
        "pixels (square where it gives none), unless `spacing_col_mm` says",
        low=0.001,
        high=5,
    ),
    Column(
        "spacing_col_mm",
        "Float64",
        "a number 0.001-5, or empty",
        "millimetres per pixel from column to column",
        low=0.001,
        high=5,
    ),
    _text(
        "spacing_source",
        "where the spacing comes from",
        expected=", ".join(SpacingSource),
        choices=tuple(SpacingSource),
    ),
    _text("sex", "as the study writes it"),
    Column("age", "Float64", "a number 0-130, or empty", "years at the visit", low=0, high=130),
    _text("race", "as the study writes it"),
    Column("bmi", "Float64", "a number 5-150, or empty", "body mass index, kg/m2", low=5, high=150),
    _text("site", "clinical centre"),
    _text("scanner", "x-ray device"),
)


def check_knee_table(table: pd.DataFrame) -> pd.DataFrame:
    """Check a table against the schema and give it back in its normal form.

    Parameters
    ----------
    table : DataFrame
        With every key column and ``image_path``.

    Returns
    -------
    DataFrame
        A copy: columns of the schema first and in its order, with its dtypes (``string``, ``Int8``,
        ``Int16``, ``Float64``); sides spelled ``right`` or ``left``; an empty ``contrast`` is
        ``unknown``; other columns as they were; rows in the same order, numbered from 0.

    Raises
    ------
    TableError
        table.column-missing, table.empty, table.value-invalid or table.key-duplicate. Rows are
        numbered as in a file whose header is row 1.
    """
    check_columns(table, (*KEY_COLUMNS, "image_path"))
    return normal_form(table, np.arange(len(table)) + 2)


def check_columns(table: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Check that the columns are there, each once, and that there are rows.

    Raises
    ------
    TableError
        table.column-missing, table.unreadable or table.empty.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise TableError(
            "table.column-missing",
            f"The table has no column {', '.join(map(repr, missing))}. Got {len(table.columns)} "
            f"columns: {', '.join(map(str, table.columns[:12]))}.",
            "The page docs/knee-table.md lists the columns.",
        )
    if not table.columns.is_unique:
        raise TableError(
            "table.unreadable",
            "Each column must have its own name. Got one twice.",
            "Rename or remove one of them.",
        )
    if table.empty:
        raise TableError(
            "table.empty", "The table has no rows; one per knee was expected.", "Add the knees."
        )


def normal_form(table: pd.DataFrame, row_numbers: NDArray[np.int64]) -> pd.DataFrame:
    """Bring a table with all key columns to its normal form (see `check_knee_table`).

    Parameters
    ----------
    table : DataFrame, n rows
    row_numbers : (n,) array, int64
        How messages number the rows.

    Raises
    ------
    TableError
        table.value-invalid or table.key-duplicate.
    """
    columns: dict[str, Any] = {}
    for column in SCHEMA:
        if column.name in table.columns:
            columns[column.name] = convert_cells(table[column.name], column, row_numbers)
    if "contrast" in columns:
        columns["contrast"] = columns["contrast"].fillna(Contrast.UNKNOWN.value)
    extras = table[[name for name in table.columns if name not in columns]].reset_index(drop=True)
    extras.columns = [str(name) for name in extras.columns]
    normal = pd.concat([pd.DataFrame(columns), extras], axis=1)
    repeated = normal.duplicated(list(KEY_COLUMNS), keep=False).to_numpy()
    if repeated.any():
        groups = normal.groupby(list(KEY_COLUMNS), sort=False).ngroup().to_numpy()
        first, second = np.flatnonzero(groups == groups[repeated.argmax()])[:2]
        raise TableError(
            "table.key-duplicate",
            f"Each row must have its own key ({', '.join(KEY_COLUMNS)}). Got the same in rows "
            f"{row_numbers[first]} and {row_numbers[second]}; {int(repeated.sum())} rows repeat.",
            "Remove one row, or tell them apart by visit_months or reading.",
        )
    return normal


def convert_cells(series: pd.Series, column: Column, row_numbers: NDArray[np.int64]) -> Any:
    """Bring the cells of one column to its dtype.

    Parameters
    ----------
    series : Series, n cells
    column : Column
    row_numbers : (n,) array, int64
        How messages number the rows.

    Returns
    -------
    ExtensionArray, n values

    Raises
    ------
    TableError
        table.value-invalid.
    """
    parse: Callable[[Any, Column], Any] = _parse_text if column.dtype == "string" else _parse_number
    values, known = [], {}
    for row, value in zip(row_numbers, series, strict=True):
        try:
            cell = type(value), value  # True, 1 and 1.0 are the same key otherwise
            if cell not in known:
                known[cell] = parse(value, column)
            parsed = known[cell]
            if parsed is pd.NA and column.required:
                raise ValueError
        except (ValueError, TypeError) as error:
            if _is_missing(value) or str(value).strip() == "":
                got = "an empty cell"
            elif column.name in {"subject_id", "image_path"}:
                got = "a value that is not shown here"
            else:
                got = repr(str(value)[:40])
            raise TableError(
                "table.value-invalid",
                f"Row {row}, column {column.name!r}: expected {column.expected}. Got {got}.",
                "Correct the cell, or leave it empty if the column may be empty.",
            ) from error
        values.append(parsed)
    return pd.array(values, dtype=column.dtype)


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _parse_number(value: Any, column: Column) -> Any:
    if _is_missing(value):
        return pd.NA
    if isinstance(value, bool | np.bool_):
        raise TypeError
    number = parse_number(value) if isinstance(value, str) else float(value)
    if number is None:
        return pd.NA
    if not (column.low <= number <= column.high):
        raise ValueError
    if column.dtype == "Float64":
        return number
    if number != int(number):
        raise ValueError
    return int(number)


def _parse_text(value: Any, column: Column) -> Any:
    if _is_missing(value):
        return "" if column.name == "reading" else pd.NA
    if not pd.api.types.is_scalar(value):
        raise TypeError
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value) if column.name == "image_path" else str(value).strip()
    if any(ord(character) < 32 for character in text):
        raise ValueError
    if text == "":
        return "" if column.name == "reading" else pd.NA
    if column.name == "side":
        return Side.parse(text).value
    if column.choices:
        text = text.lower()
        if text not in column.choices:
            raise ValueError
    return text
