"""The prediction table: its columns, and reading and writing it as Parquet, CSV and JSON.

One row per knee, or per file that gave none: ``source``, the knee table's key (empty for a loose
file), ``status`` (``ok``, ``refused``:
found but not to be graded, or ``failed``), ``error_code``, ``error``, per task the reported grade
(``kl``), its probabilities (``kl_p0 ..``), the expected grade (``kl_expected``) and the spread
over members (``kl_spread``), then what was measured (``SPACE_COLUMNS``), ``flags`` (joined by
``;``) and ``bundle_id``. CSV and JSON need nothing installed; Parquet and reading need the extra
``[study]``.
"""

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.errors import MissingExtraError, TableError
from kneegrade.output import write_whole
from kneegrade.text_table import find_columns, tell_renames
from kneegrade.types import Task

if TYPE_CHECKING:
    import pandas as pd

    from kneegrade.cohorts.tables.schema import Column

SCHEMA_VERSION: Final = 1
KEY_COLUMNS: Final = ("cohort", "subject_id", "visit_months", "side", "reading")
FIRST_COLUMNS: Final = ("source", *KEY_COLUMNS, "status", "error_code", "error")
LAST_COLUMNS: Final = ("flags", "bundle_id")
TEXT_COLUMNS: Final = tuple(
    name for name in (*FIRST_COLUMNS, "spacing_source", *LAST_COLUMNS) if name != "visit_months"
)
STATUSES: Final = ("ok", "refused", "failed")
DECIMALS: Final = 6
ROUNDING: Final = 1e-6
SUM_TOLERANCE: Final = 0.01
"""How far the probabilities of a knee may sum to more or less than 1."""
SPACE_COLUMNS: Final = (
    *(f"jsw_{half}_{unit}" for half in "lm" for unit in ("mm", "share")),
    *(f"jsw_fixed_{half}_{unit}" for half in "lm" for unit in ("mm", "share")),
    *(f"jsa_{half}_{unit}" for half in "lm" for unit in ("mm2", "share")),
    *("fta_deg", "plateau_width_mm", "spacing_source"),
)
"""Smallest and fixed-location joint space width and its area, lateral and medial, and the
femorotibial angle; shares are of the plateau's width, or of its square. See
`kneegrade.knees.measuring.sizes`."""
SPUR_COLUMNS: Final = tuple(
    f"spur_{bone}_{half}_{unit}" for bone in "ft" for half in "lm" for unit in ("mm2", "share")
)
"""Area of the osteophytes of femur and tibia: only where asked for, since their rank correlation
with the Kellgren-Lawrence grade is about 0.2 (benchmarks/joint_space.py)."""

Row = dict[str, Any]

_log = logging.getLogger(__name__)


def task_columns(task: Task) -> list[str]:
    """Columns of one task: grade, probabilities, expected grade, spread."""
    name = task.value
    return [
        name,
        *(f"{name}_p{grade}" for grade in range(task.n_grades)),
        f"{name}_expected",
        f"{name}_spread",
    ]


def table_columns(tasks: Sequence[Task], *, osteophyte_areas: bool = False) -> list[str]:
    """All columns of a prediction table with these tasks, in order."""
    columns = [column for task in tasks for column in task_columns(task)]
    spurs = SPUR_COLUMNS if osteophyte_areas else ()
    return [*FIRST_COLUMNS, *columns, *SPACE_COLUMNS, *spurs, *LAST_COLUMNS]


def write_csv(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    """Write the table as CSV; an absent value is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, "", "ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def write_json(
    rows: Sequence[Row], columns: Sequence[str], about: Mapping[str, Any], path: Path
) -> None:
    """Write ``{"schema_version", **about, "predictions": [...]}``; an absent value is left out."""
    present = [
        {k: v for k, v in row.items() if k in columns and v is not None and v != ""} for row in rows
    ]
    document = {"schema_version": SCHEMA_VERSION, **about, "predictions": present}
    write_whole(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    """Write the table as Parquet.

    Raises
    ------
    MissingExtraError
        Without the extra ``[study]``.
    """
    pandas = _import_pandas("Writing Parquet")
    table = pandas.DataFrame(list(rows), columns=list(columns))
    content = io.BytesIO()
    _normalise(table, np.arange(len(table)) + 2).to_parquet(content, index=False)
    write_whole(path, content.getvalue())


def read_predictions(path: Path) -> "pd.DataFrame":
    """Read a prediction table, kneegrade's own or another's; what was let pass goes to the log.

    Parameters
    ----------
    path : Path
        ``.json``, ``.parquet``, ``.xlsx``, or text (see `kneegrade.text_table`).

    Returns
    -------
    DataFrame
        As `read_with_notes`.

    Raises
    ------
    TableError, MissingExtraError
        As `read_with_notes`.
    """
    table, notes = read_with_notes(path)
    for note in notes:
        _log.warning(f"{path.name}: {note}")
    return table


def read_with_notes(path: Path) -> tuple["pd.DataFrame", tuple[str, ...]]:
    """Read a prediction table and say what is odd about it.

    Returns
    -------
    table : DataFrame
        Text as ``string``, sides spelled ``right`` or ``left``, ``status`` in lower case, visit and
        grades as nullable integers, the other numbers as float64.
    notes : tuple of str
        One sentence for each leniency; a ``status`` that is not one of `STATUSES` is kept, and
        noted.

    Raises
    ------
    TableError
        ``table.not-found``, ``table.unreadable``, ``table.empty``, ``table.column-missing``, or
        ``table.value-invalid``: an invalid side, grade or number, or probabilities of a graded
        knee that do not sum to 1.
    MissingExtraError
        Without the extra ``[study]``.
    """
    _import_pandas("Reading a prediction table")
    if not path.is_file():
        raise TableError(
            "table.not-found",
            f"There is no prediction table at {str(path)!r}.",
            "Check the path: kneegrade grade writes predictions.parquet, .csv and .json.",
        )
    try:
        return _read(path)
    except TableError as error:
        raise error if path.name in error.message else error.within(path.name) from error


def _read(path: Path) -> tuple["pd.DataFrame", tuple[str, ...]]:
    from kneegrade.cohorts.tables.raw_table import RawTable, read_raw_table

    if path.suffix.lower() == ".json":
        table = _read_json(path)
        raw = RawTable(table, np.arange(len(table)) + 2)
    else:
        raw = read_raw_table(path)
    renames = find_columns(
        map(str, raw.cells.columns), table_columns(list(Task), osteophyte_areas=True)
    )
    table = raw.cells.rename(columns=renames)
    missing = [name for name in ("source", "status") if name not in table.columns]
    if missing:
        raise TableError(
            "table.column-missing",
            f"A prediction table needs the columns source and status. {missing} is not there.",
            "Give a table that kneegrade grade or train wrote.",
        )
    table = _normalise(table, raw.row_numbers)
    _check_probabilities(table, raw.row_numbers)
    unknown = ~table["status"].isin(STATUSES).to_numpy(bool)
    notes = [*raw.notes, *tell_renames(renames)]
    if unknown.any():
        notes.append(
            f"{int(unknown.sum())} of {len(table)} rows have a status that is not one of "
            f"{', '.join(STATUSES)}, first in row {raw.row_numbers[unknown.argmax()]}: they count "
            "as failed."
        )
    return table, tuple(notes)


def _read_json(path: Path) -> "pd.DataFrame":
    """Rows of the JSON form, with the columns it left out because every value was absent."""
    pandas = _import_pandas("Reading a prediction table")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        table = pandas.DataFrame(document["predictions"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise TableError(
            "table.unreadable",
            f"{path.name} is not a prediction table in JSON ({type(error).__name__}).",
            "Give a table that kneegrade grade or train wrote (.parquet, .csv or .json).",
        ) from error
    columns = table_columns([task for task in Task if task.value in table.columns])
    return table.reindex(columns=[*columns, *table.columns.difference(columns)])


def _normalise(table: "pd.DataFrame", row_numbers: NDArray[np.int64]) -> "pd.DataFrame":
    """Bring every column of a prediction table to its type (see `read_with_notes`)."""
    from kneegrade.cohorts.tables.schema import convert_cells

    columns = _columns_to_check()
    result = table.copy()
    for name in table.columns:
        if name in columns:
            cells = convert_cells(table[name], columns[name], row_numbers)
            is_float = columns[name].dtype == "Float64"
            result[name] = cells.to_numpy(np.float64, na_value=np.nan) if is_float else cells
        elif name in TEXT_COLUMNS:
            cells = table[name].astype("string")
            result[name] = cells if name == "reading" else cells.fillna("")
    result["status"] = result["status"].str.strip().str.lower()
    return result


def _columns_to_check() -> "dict[str, Column]":
    """What a cell of each column may hold, where it is not free text."""
    from kneegrade.cohorts.tables.schema import SCHEMA, Column

    def number(name: str, words: str, low: float = -np.inf, high: float = np.inf) -> Column:
        return Column(name, "Float64", f"{words}, or empty", "", low=low, high=high)

    checked = {"cohort", "subject_id", "visit_months", "side", *Task}
    columns = [replace(column, required=False) for column in SCHEMA if column.name in checked]
    for task in Task:
        high = task.n_grades - 1
        columns += [
            *(
                number(f"{task}_p{grade}", "a probability 0-1", 0, 1 + ROUNDING)
                for grade in range(task.n_grades)
            ),
            number(f"{task}_expected", f"a number 0-{high}", 0, high + ROUNDING),
            number(f"{task}_spread", "a number from 0", 0),
        ]
    measured = [name for name in (*SPACE_COLUMNS, *SPUR_COLUMNS) if name not in TEXT_COLUMNS]
    columns += [number(name, "a number") for name in measured]
    return {column.name: column for column in columns}


def _check_probabilities(table: "pd.DataFrame", row_numbers: NDArray[np.int64]) -> None:
    for task in Task:
        names = [f"{task}_p{grade}" for grade in range(task.n_grades)]
        if not {task.value, *names} <= set(table.columns):
            continue
        graded = ((table["status"] == "ok") & table[task.value].notna()).to_numpy(bool)
        probabilities = table.loc[graded, names].to_numpy(np.float64)
        if np.isnan(probabilities).all():
            continue
        sums = probabilities.sum(axis=1)
        wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE)
        if wrong.any():
            at = wrong.argmax()
            got = "an empty cell" if np.isnan(sums[at]) else f"a sum of {sums[at]:.3g}"
            raise TableError(
                "table.value-invalid",
                f"Row {row_numbers[graded][at]}, columns {names[0]} to {names[-1]}: probabilities "
                f"that sum to 1 were expected. Got {got}.",
                "Correct the row, or leave these columns out: a grade alone is compared too.",
            )


def _import_pandas(purpose: str) -> Any:
    try:
        import pandas
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("study", purpose) from error
    return pandas
