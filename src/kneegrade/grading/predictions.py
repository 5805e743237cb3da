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
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kneegrade.errors import KneegradeError, MissingExtraError, TableError
from kneegrade.grading.grader import expected_grade
from kneegrade.knees.joint_space import JointSpace
from kneegrade.types import Flag, KneePrediction, Side, Task

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Final = 1
KEY_COLUMNS: Final = ("cohort", "subject_id", "visit_months", "side", "reading")
FIRST_COLUMNS: Final = ("source", *KEY_COLUMNS, "status", "error_code", "error")
LAST_COLUMNS: Final = ("flags", "bundle_id")
TEXT_COLUMNS: Final = tuple(
    name for name in (*FIRST_COLUMNS, "spacing_source", *LAST_COLUMNS) if name != "visit_months"
)
DECIMALS: Final = 6
SPACE_COLUMNS: Final = (
    *(f"jsw_{half}_{unit}" for half in "lm" for unit in ("mm", "share")),
    *(f"jsw_fixed_{half}_{unit}" for half in "lm" for unit in ("mm", "share")),
    *(
        f"{name}_{half}_{unit}"
        for name in ("jsa", "spur_f", "spur_t")
        for half in "lm"
        for unit in ("mm2", "share")
    ),
    *("fta_deg", "plateau_width_mm", "spacing_source"),
)
"""Smallest and fixed-location joint space width, its area, area of the osteophytes of femur and
tibia, lateral and medial, and the femorotibial angle; shares are of the plateau's width, or of its
square. See `kneegrade.knees.joint_space`."""

Row = dict[str, Any]


def task_columns(task: Task) -> list[str]:
    """Columns of one task: grade, probabilities, expected grade, spread."""
    name = task.value
    return [
        name,
        *(f"{name}_p{grade}" for grade in range(task.n_grades)),
        f"{name}_expected",
        f"{name}_spread",
    ]


def table_columns(tasks: Sequence[Task]) -> list[str]:
    """All columns of a prediction table with these tasks, in order."""
    columns = [column for task in tasks for column in task_columns(task)]
    return [*FIRST_COLUMNS, *columns, *SPACE_COLUMNS, *LAST_COLUMNS]


def row_of_prediction(
    prediction: KneePrediction,
    source: str,
    key: Mapping[str, Any],
    joint_space: JointSpace | None = None,
) -> Row:
    """Row of a graded knee; ``key`` holds the knee table's key columns, or nothing."""
    row: Row = {
        **_first_columns(source, key),
        "side": prediction.side.value,
        "status": "ok",
        "error_code": "",
        "error": "",
        "flags": ";".join(sorted(prediction.flags)),
        "bundle_id": prediction.bundle_id,
        **({} if joint_space is None else space_columns(joint_space)),
    }
    for task, grade in prediction.grades.items():
        probabilities = prediction.probabilities[task]
        spread = prediction.spread.get(task)
        values = [
            grade,
            *(round(float(p), DECIMALS) for p in probabilities),
            round(float(expected_grade(probabilities)), DECIMALS),
            None if spread is None else round(spread, DECIMALS),
        ]
        row |= dict(zip(task_columns(task), values, strict=True))
    return row


def space_columns(space: JointSpace) -> Row:
    """What was measured of a joint, by column; None where the spacing is not known."""
    row: Row = {
        "fta_deg": space.femorotibial and space.femorotibial.degrees,
        "plateau_width_mm": space.width_mm,
        "spacing_source": space.spacing_source.value,
    }
    for half, part in (("l", space.lateral), ("m", space.medial)):
        for name, length in (("jsw", part.minimum), ("jsw_fixed", part.fixed)):
            row |= {f"{name}_{half}_mm": length.mm, f"{name}_{half}_share": length.share}
        spurs = (("spur_f", part.femur_spur), ("spur_t", part.tibia_spur))
        for name, area in (("jsa", part.area), *spurs):
            row |= {f"{name}_{half}_mm2": area.mm2, f"{name}_{half}_share": area.share}
    return {
        name: round(value, DECIMALS) if isinstance(value, float) else value
        for name, value in row.items()
    }


def row_of_error(
    error: KneegradeError,
    source: str,
    key: Mapping[str, Any],
    side: Side | None,
    bundle_id: str,
    flags: frozenset[Flag] = frozenset(),
    *,
    refused: bool = False,
) -> Row:
    """Row of a file that gave no knee, or of a knee that was found and refused."""
    return {
        **_first_columns(source, key),
        "side": side.value if side else None,
        "status": "refused" if refused else "failed",
        "error_code": error.code,
        "error": f"{error.message} {error.hint}",
        "flags": ";".join(sorted(flags)),
        "bundle_id": bundle_id,
    }


def write_csv(rows: Sequence[Row], tasks: Sequence[Task], path: Path) -> None:
    """Write the table as CSV; an absent value is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table_columns(tasks), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(rows: Sequence[Row], about: Mapping[str, Any], path: Path) -> None:
    """Write ``{"schema_version", **about, "predictions": [...]}``; an absent value is left out."""
    present = [{k: v for k, v in row.items() if v is not None and v != ""} for row in rows]
    document = {"schema_version": SCHEMA_VERSION, **about, "predictions": present}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_parquet(rows: Sequence[Row], tasks: Sequence[Task], path: Path) -> None:
    """Write the table as Parquet.

    Raises
    ------
    MissingExtraError
        Without the extra ``[study]``.
    """
    pandas = _import_pandas("Writing Parquet")
    table = pandas.DataFrame(list(rows), columns=table_columns(tasks))
    _normalise(table).to_parquet(path, index=False)


def read_predictions(path: Path) -> "pd.DataFrame":
    """Read a prediction table by its suffix: .parquet, .csv or .json.

    Raises
    ------
    TableError
        ``table.not-found``, ``table.unreadable`` or ``table.column-missing``.
    MissingExtraError
        Without the extra ``[study]``.
    """
    pandas = _import_pandas("Reading a prediction table")
    if not path.is_file():
        raise TableError(
            "table.not-found",
            f"There is no prediction table at {str(path)!r}.",
            "Check the path: kneegrade grade writes predictions.parquet, .csv and .json.",
        )
    try:
        if path.suffix == ".parquet":
            table = pandas.read_parquet(path)
        elif path.suffix == ".json":
            document = json.loads(path.read_text(encoding="utf-8"))
            table = pandas.DataFrame(document["predictions"])
        else:
            table = pandas.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, "string"))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _unreadable(path, error) from error
    missing = [name for name in ("source", "status") if name not in table.columns]
    if missing:
        raise TableError(
            "table.column-missing",
            f"A prediction table needs the columns source and status. {missing} is not there.",
            "Give a table that kneegrade grade or train wrote.",
        )
    try:
        return _normalise(_add_left_out(table) if path.suffix == ".json" else table)
    except (ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> TableError:
    return TableError(
        "table.unreadable",
        f"{str(path)!r} is no prediction table: {error}.",
        "Give a table that kneegrade grade or train wrote (.parquet, .csv or .json).",
    )


def _add_left_out(table: "pd.DataFrame") -> "pd.DataFrame":
    """Columns that JSON left out because every value was absent."""
    columns = table_columns([task for task in Task if task.value in table.columns])
    return table.reindex(columns=[*columns, *table.columns.difference(columns)])


def _normalise(table: "pd.DataFrame") -> "pd.DataFrame":
    """Text as strings, visit and grades as nullable integers, the rest as floats."""
    tasks = {task.value for task in Task}
    for name in table.columns:
        if name in TEXT_COLUMNS:
            table[name] = table[name].astype("string")
            if name not in KEY_COLUMNS:
                table[name] = table[name].fillna("")
        elif name == "visit_months":
            table[name] = table[name].astype("Int16")
        elif name in tasks:
            table[name] = table[name].astype("Int8")
        elif name in SPACE_COLUMNS or _task_of(name) in tasks:
            table[name] = table[name].astype("float64")
    return table


def _task_of(column: str) -> str:
    """``kl`` of ``kl_p0``, ``kl_expected``, ``kl_spread``."""
    return column.split("_p")[0].removesuffix("_expected").removesuffix("_spread")


def _first_columns(source: str, key: Mapping[str, Any]) -> Row:
    return {"source": source, **{name: key.get(name) for name in KEY_COLUMNS}}


def _import_pandas(purpose: str) -> Any:
    try:
        import pandas
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("study", purpose) from error
    return pandas
