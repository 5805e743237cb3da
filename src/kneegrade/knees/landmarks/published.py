"""Landmark files -> Landmarks: BoneFinder's ``.pts`` and the published table of KNEEL.

KNEEL: A. Tiulpin, I. Melekhov, S. Saarakkala, "KNEEL: Knee Anatomical Landmark Localization Using
Hourglass Networks", ICCV Workshops 2019, arXiv:1907.12237. Who uses the table must cite it.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.errors import TableError
from kneegrade.knees.landmarks.table import read_rows
from kneegrade.types import Flag, Landmarks, LandmarkScheme, Side

Points = NDArray[np.float64]

KNEEL_SPACING_MM: Final = 0.3
KNEEL_ROI_PX: Final = 466
KNEEL_PADDING_PX: Final = 100
_KNEEL_COLUMNS: Final = ("subject_id", "side", "kl", "tibia", "femur", "bbox")
_PER_KNEE: Final = LandmarkScheme.BONEFINDER_74.n_points
_WIDEST_KNEE_MM: Final = 130.0
"""No knee is wider than that; one in pixels of 0.3 mm or less is."""
_MARGIN_PX: Final = 2.0


class PointUnit(StrEnum):
    """What the numbers of a ``.pts`` file count."""

    MM = "mm"
    PX = "px"


@dataclass(frozen=True, eq=False)
class KneelKnee:
    """One row of KNEEL's table.

    Parameters
    ----------
    subject_id : str
    side : Side
    kl : int
        0 to 4.
    shape_mm : (16, 2) array
        ``(row, col)`` in mm at the detector, as a right knee: lateral at the lesser columns; the
        origin is the upper left corner of the region of interest of 140 mm. Read-only.
    landmarks : Landmarks
        On the film at 0.3 mm a pixel, without its padding.
    """

    subject_id: str
    side: Side
    kl: int
    shape_mm: Points
    landmarks: Landmarks

    def __post_init__(self) -> None:
        self.shape_mm.setflags(write=False)


def read_bonefinder(
    path: Path,
    *,
    film_shape: tuple[int, int],
    spacing_mm: float | tuple[float, float] | None,
    unit: PointUnit | None = None,
    side: Side | None = None,
) -> tuple[Landmarks, ...]:
    """Read a BoneFinder file; its points are ``x y`` and there are 74 of them, or 74 for each side.

    A file whose name ends in ``_f`` was found on the mirrored film and is a right knee, as the
    programs of Oulu name them; another is a left one. A file of 148 points has the left knee first.

    Parameters
    ----------
    path : Path
    film_shape : (rows, cols)
        Of the radiograph in px.
    spacing_mm : float, (row, col) or None
        Size of its pixels: needed where the unit is mm.
    unit : PointUnit or None
        None: judged by the width of the knee, and flagged.
    side : Side or None
        Overrides what the name says; not for a file of both knees.

    Returns
    -------
    tuple of Landmarks
        One knee, or left and right.

    Raises
    ------
    TableError
        landmarks.invalid or landmarks.off-film.
    """
    points = _read_points(path)
    if len(points) not in {_PER_KNEE, 2 * _PER_KNEE}:
        raise _invalid(path, f"{_PER_KNEE} or {2 * _PER_KNEE} points were expected", len(points))
    knees = points.reshape(-1, _PER_KNEE, 2)
    flags: frozenset[Flag] = frozenset()
    if unit is None:
        widest = max(float(np.ptp(knee[:, 0])) for knee in knees)
        unit = PointUnit.MM if widest <= _WIDEST_KNEE_MM else PointUnit.PX
        flags = frozenset({Flag.LANDMARK_UNIT_INFERRED})
    if unit is PointUnit.MM:
        if spacing_mm is None:
            raise _invalid(path, "points in mm need the size of the film's pixels", "none")
        knees = knees / np.broadcast_to(spacing_mm, 2)[::-1]
    mirrored = path.stem.endswith("_f")
    one = side or (Side.RIGHT if mirrored else Side.LEFT)
    sides = (Side.LEFT, Side.RIGHT) if len(knees) == 2 else (one,)
    found = []
    for knee, knee_side in zip(knees, sides, strict=True):
        points_px = knee[:, ::-1].copy()
        if mirrored:
            points_px[:, 1] = film_shape[1] - 1 - points_px[:, 1]
        _check_on_film(path, points_px, film_shape)
        whole = np.ones(_PER_KNEE)
        found.append(Landmarks(knee_side, LandmarkScheme.BONEFINDER_74, points_px, whole, flags))
    return tuple(found)


def read_kneel_table(path: Path) -> list[KneelKnee]:
    """Read KNEEL's table of 16 points a knee (``bf_landmarks_1_0.3.csv``).

    Parameters
    ----------
    path : Path
        CSV: ``subject_id, side, kl, tibia, femur, bbox, center``; points in pixels of 0.3 mm in the
        box ``bbox``, left knees mirrored; ``bbox`` counts 100 px of padding around the film.

    Returns
    -------
    list of KneelKnee

    Raises
    ------
    TableError
        landmarks.invalid, with the row; table.not-found or table.column-missing.
    """
    rows = read_rows(path, _KNEEL_COLUMNS)
    return [_read_kneel_row(path, number, row) for number, row in rows]


def _read_kneel_row(path: Path, number: int, row: dict[str, str]) -> KneelKnee:
    try:
        side = Side.parse(row["side"])
        kl = int(row["kl"])
        tibia, femur, box = (_pairs(row[name]) for name in ("tibia", "femur", "bbox"))
        points = np.vstack([tibia, femur])[:, ::-1]
        if tibia.shape != (9, 2) or femur.shape != (7, 2) or box.shape != (2, 2):
            raise ValueError("9 points of the tibia, 7 of the femur and 2 of the box")
        if not all(np.isfinite(numbers).all() for numbers in (points, box)):
            raise ValueError("finite numbers")
    except ValueError as error:
        raise _invalid(path, f"row {number}: {error}", "other cells") from error
    on_film = points.copy()
    if side is Side.LEFT:
        on_film[:, 1] = KNEEL_ROI_PX - 1 - on_film[:, 1]
    on_film += box[0][::-1] - KNEEL_PADDING_PX
    return KneelKnee(
        subject_id=row["subject_id"].strip(),
        side=side,
        kl=kl,
        shape_mm=points * KNEEL_SPACING_MM,
        landmarks=Landmarks(side, LandmarkScheme.KNEEL_16, on_film, np.ones(len(points))),
    )


def _pairs(cell: str) -> Points:
    numbers = np.array([float(text) for text in cell.split(",")], np.float64)
    return numbers.reshape(-1, 2)


def _read_points(path: Path) -> Points:
    """The ``x y`` lines between the braces; any number of lines, blank ones left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(path, "it cannot be read", type(error).__name__) from error
    _, opened, rest = text.partition("{")
    inside, closed, _ = rest.partition("}")
    if not opened or not closed:
        raise _invalid(path, "points between { and } were expected", "none")
    lines = [line.split() for line in inside.splitlines() if line.strip()]
    try:
        points = np.array([[float(x), float(y)] for x, y in lines], np.float64).reshape(-1, 2)
    except ValueError as error:
        raise _invalid(path, "two numbers a line were expected", "something else") from error
    if not np.isfinite(points).all():
        raise _invalid(path, "finite numbers were expected", "others")
    return points


def _check_on_film(path: Path, points_px: Points, film_shape: tuple[int, int]) -> None:
    low, high = -_MARGIN_PX, np.array(film_shape) - 1 + _MARGIN_PX
    outside = int(((points_px < low) | (points_px > high)).any(axis=1).sum())
    if outside:
        raise TableError(
            "landmarks.off-film",
            f"{path.name}: points on its film of {film_shape[0]} x {film_shape[1]} px expected. "
            f"Got {outside} of {len(points_px)} off it.",
            "Check that the file belongs to this film, its unit and the size of the pixels.",
        )


def _invalid(path: Path, expected: str, got: object) -> TableError:
    return TableError(
        "landmarks.invalid",
        f"{path.name} holds no landmarks as published: {expected}. Got {got}.",
        "Give a BoneFinder .pts file of 74 points, or KNEEL's table.",
    )
