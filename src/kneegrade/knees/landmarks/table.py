"""Landmark table, CSV or another text table: one row per point of a knee on a radiograph.

Columns: ``cohort``, ``subject_id``, ``image_path`` (relative to the table; or
``archive.zip::member``), ``side``, ``landmark`` (``t0`` to ``t8``, ``f0`` to ``f6``), ``row`` and
``col`` in px of the radiograph.
Phantom studies write one (``truth-landmarks.csv``), training reads them.
"""

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from kneegrade.errors import TableError
from kneegrade.terms import LANDMARK_NAMES
from kneegrade.text_table import find_columns, parse_number, read_text_table
from kneegrade.types import Landmarks, LandmarkScheme, Side

LANDMARK_COLUMNS: Final = (
    *("cohort", "subject_id", "image_path", "side"),
    *("landmark", "row", "col"),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TabledKnee:
    """The landmarks of one knee and where its radiograph is.

    Parameters
    ----------
    cohort, subject_id : str
    image_path : str
        As in the table.
    landmarks : Landmarks
    """

    cohort: str
    subject_id: str
    image_path: str
    landmarks: Landmarks


def read_landmark_table(path: Path) -> list[TabledKnee]:
    """Read a landmark table, in the order of its knees.

    Raises
    ------
    TableError
        ``table.not-found``, ``table.column-missing`` or ``landmarks.invalid``, with the row.
    """
    knees: dict[tuple[str, str], tuple[dict[str, str], dict[str, tuple[float, float]]]] = {}
    for number, row in read_rows(path, LANDMARK_COLUMNS):
        _, points = knees.setdefault((row["image_path"], row["side"]), (row, {}))
        try:
            down, across = parse_number(row["row"]), parse_number(row["col"])
        except ValueError:
            down = across = None
        if down is None or across is None:
            raise _invalid(path, f"row {number} has no numbers in row and col")
        points[row["landmark"].strip().lower()] = (down, across)
    return [_knee_of(path, about, points) for about, points in knees.values()]


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read the rows of a text table, each with its number; what was let pass goes to the log.

    Raises
    ------
    TableError
        ``table.not-found``, ``table.column-missing`` or ``landmarks.invalid``.
    """
    try:
        table = read_text_table(path)
    except TableError as error:
        if error.code == "table.not-found":
            raise
        raise _invalid(path, error.message) from error
    renames = find_columns(table.names, columns)
    names = [renames.get(name, name) for name in table.names]
    missing = [name for name in columns if name not in names]
    if missing:
        raise TableError(
            "table.column-missing",
            f"{path.name} has no column {missing[0]!r}.",
            f"It needs the columns {', '.join(columns)}.",
        )
    for note in table.notes:
        _log.warning(f"{path.name}: {note}")
    rows = [dict(zip(names, cells, strict=True)) for cells in table.rows]
    return list(zip(table.row_numbers, rows, strict=True))


def write_landmark_table(knees: Sequence[TabledKnee], path: Path) -> None:
    """Write a landmark table; points to a thousandth of a pixel."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LANDMARK_COLUMNS)
        for knee in knees:
            about = (knee.cohort, knee.subject_id, knee.image_path, knee.landmarks.side.value)
            for name, (row, col) in zip(
                LANDMARK_NAMES, knee.landmarks.kneel_points_px, strict=True
            ):
                place = (f"{row:.3f}", f"{col:.3f}")
                writer.writerow((*about, name, *place))


def _knee_of(
    path: Path, about: dict[str, str], points: dict[str, tuple[float, float]]
) -> TabledKnee:
    try:
        side = Side.parse(about["side"])
        places = np.array([points[name] for name in LANDMARK_NAMES])
        found = Landmarks(side, LandmarkScheme.KNEEL_16, places, np.ones(len(places)))
    except (KeyError, ValueError) as error:
        raise _invalid(path, f"a knee has not all of t0 to t8, f0 to f6: {error}") from error
    return TabledKnee(
        cohort=about["cohort"],
        subject_id=about["subject_id"],
        image_path=about["image_path"],
        landmarks=found,
    )


def _invalid(path: Path, what: str) -> TableError:
    return TableError(
        "landmarks.invalid",
        f"{path.name} is not a landmark table: {what}.",
        "Write one as kneegrade phantom study does, or give KNEEL's as published.",
    )
