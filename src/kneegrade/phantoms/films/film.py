"""Knees -> a whole film: both legs side by side, marker, frame, collimation, stamp, and the truth.

Every film carries the word SYNTHETIC in its pixels, away from the joints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage, Mask, Points
from kneegrade.phantoms.films.attenuation import (
    FilmGrid,
    compute_bone,
    compute_rods,
    compute_soft_tissue,
)
from kneegrade.phantoms.films.exposure import expose_film
from kneegrade.phantoms.films.implant import draw_replaced_knee
from kneegrade.phantoms.films.lateral_film import compute_lateral_knee
from kneegrade.phantoms.films.scanners import Scanner
from kneegrade.phantoms.knees.anatomy import KneeAnatomy, Positioning, draw_knee_anatomy
from kneegrade.phantoms.knees.severity import Severity
from kneegrade.phantoms.knees.shape import Body, film_geometry
from kneegrade.types import Side, Task

STAMP: Final = "SYNTHETIC"
BOTH_KNEES_MM: Final = (350.0, 430.0)
"""Height and width of a film of both knees."""
ONE_KNEE_MM: Final = (240.0, 180.0)
LEAST_EDGE_MM: Final = 50.0
"""Least distance of a knee's centre from the edges of its film; twice that between two knees."""
_BEAD_STEP_MM: Final = 20.0
_BEAD_RADIUS_MM: Final = 1.3
_MARKER_MM: Final = 11.0
_WHOLE_FILM_MM: Final = 120.0
_LEAD: Final = 8.0
"""Attenuation of a lead letter or a steel bead, in nepers."""


@dataclass(frozen=True, eq=False)
class FilmKnee:
    """The truth of one knee on a film.

    Parameters
    ----------
    severity : Severity or None
        None for an implant: there is nothing to grade.
    landmarks_px : (16, 2) array
        ``(row, col)`` on the film, in the order of `types.LANDMARK_NAMES`; read-only. Of an implant
        they only say where it lies.
    joint_space_mm : mapping of Task to float
        Smallest lateral and medial gap at the detector, along the rows, plateau level. Empty for an
        implant.
    """

    severity: Severity | None
    landmarks_px: Points
    joint_space_mm: Mapping[Task, float]

    def __post_init__(self) -> None:
        self.landmarks_px.setflags(write=False)


@dataclass(frozen=True, eq=False)
class PhantomFilm:
    """One film and the truth that it was drawn from.

    Parameters
    ----------
    pixels : (rows, cols) array, uint16 in [0, scanner.white]
        Bone bright, stamped. Read-only.
    spacing_mm : float
        Size of a pixel at the detector, the same along rows and columns.
    scanner : Scanner
    knees : mapping of Side to FilmKnee
        The patient's right knee lies at the lesser columns.
    """

    pixels: NDArray[np.uint16]
    spacing_mm: float
    scanner: Scanner
    knees: Mapping[Side, FilmKnee]

    def __post_init__(self) -> None:
        self.pixels.setflags(write=False)
        object.__setattr__(self, "knees", MappingProxyType(dict(self.knees)))

    @property
    def bits_stored(self) -> int:
        """Bits of a pixel."""
        return self.scanner.bits


def draw_film(
    *,
    body: Body,
    knees: Mapping[Side, Severity | None],
    scanner: Scanner,
    size_mm: tuple[float, float] | None = None,
    spacing_mm: float | None = None,
    rng: np.random.Generator,
) -> PhantomFilm:
    """Draw a posteroanterior film of one knee or both.

    Parameters
    ----------
    body : Body
        The person's legs.
    knees : mapping of Side to Severity or None
        The knees on the film; None: replaced by a prosthesis.
    scanner : Scanner
    size_mm : (rows, cols) or None
        Height and width of the film; None: `BOTH_KNEES_MM` or `ONE_KNEE_MM`.
    spacing_mm : float or None
        Size of a pixel, 0.05 to 2 mm; None: the scanner's.
    rng : numpy.random.Generator
        Draws how the person stood, the spongy bone and the noise.

    Returns
    -------
    PhantomFilm

    Raises
    ------
    ValueError
        If there is no knee, the spacing is out of range, or the knees don't fit on the film.
    """
    size = size_mm or (BOTH_KNEES_MM if len(knees) == 2 else ONE_KNEE_MM)
    spacing, shape = _measure_film(scanner, spacing_mm, size, n_knees=len(knees))
    places = _place_knees(tuple(knees), size, rng)
    anatomies, grids = [], []
    for side, severity in knees.items():
        anatomies.append(_draw_one(side, severity, body, rng))
        row, col = (mm / spacing - 0.5 for mm in places[side])
        grids.append(FilmGrid(shape, spacing, (row, col)))
    attenuation = _add_up(anatomies, grids, rng)
    whole = min(size) > _WHOLE_FILM_MM  # a smaller one is cut to the joint
    if whole:
        _add_markers(attenuation, tuple(knees), spacing, rng)
    if scanner.beads and len(knees) == 2:
        _add_frame(attenuation, spacing, float(np.mean([col for _, col in places.values()])))
    field = _collimate(shape, spacing, rng) if whole else None
    shown = {
        anatomy.side: FilmKnee(
            knees[anatomy.side], grid.to_px(anatomy.landmarks_mm), anatomy.joint_space_mm
        )
        for anatomy, grid in zip(anatomies, grids, strict=True)
    }
    return _finish_film(attenuation, spacing, scanner, shown, rng, field=field)


def draw_hand_film(
    *, scanner: Scanner, spacing_mm: float | None = None, rng: np.random.Generator
) -> PhantomFilm:
    """Draw a film on which there is no knee: a hand, its bones as rods.

    Parameters
    ----------
    scanner : Scanner
    spacing_mm : float or None
        Size of a pixel, 0.05 to 2 mm; None: the scanner's.
    rng : numpy.random.Generator

    Returns
    -------
    PhantomFilm
        240 x 180 mm, without knees.
    """
    spacing, shape = _measure_film(scanner, spacing_mm, ONE_KNEE_MM, n_knees=1)
    attenuation = compute_rods(shape, spacing, rng)
    return _finish_film(attenuation, spacing, scanner, {}, rng)


def draw_lateral_film(
    *,
    body: Body,
    side: Side,
    scanner: Scanner,
    spacing_mm: float | None = None,
    rng: np.random.Generator,
) -> PhantomFilm:
    """Draw a film of one knee seen from the side: nothing to grade.

    Parameters
    ----------
    body : Body
        The person's legs.
    side : Side
        A right knee faces the film's left edge, a left one its right edge.
    scanner : Scanner
    spacing_mm : float or None
        Size of a pixel, 0.05 to 2 mm; None: the scanner's.
    rng : numpy.random.Generator
        Draws how the knee is bent, and what `draw_film` draws.

    Returns
    -------
    PhantomFilm
        240 x 180 mm; its ``knees`` are empty, since none is seen from behind.

    Raises
    ------
    ValueError
        If the spacing is out of range.
    """
    spacing, shape = _measure_film(scanner, spacing_mm, ONE_KNEE_MM, n_knees=1)
    row, col = (mm / spacing - 0.5 for mm in _place_knees((side,), ONE_KNEE_MM, rng)[side])
    attenuation = compute_lateral_knee(
        body.legs[side], side, FilmGrid(shape, spacing, (row, col)), rng
    )
    _add_markers(attenuation, (side,), spacing, rng)
    field = _collimate(shape, spacing, rng)
    return _finish_film(attenuation, spacing, scanner, {}, rng, field=field)


def check_film_size(size_mm: tuple[float, float], spacing_mm: float, *, n_knees: int) -> None:
    """Check that a film holds its knees and has a reasonable number of pixels.

    Raises
    ------
    ValueError
        If not; the message says what would fit.
    """
    if n_knees not in {1, 2}:
        raise ValueError(f"A film shows one knee or two. Got {n_knees}.")
    if not 0.05 <= spacing_mm <= 2:
        raise ValueError(f"A pixel must be 0.05 to 2 mm wide. Got {spacing_mm!r}.")
    least = (2 * LEAST_EDGE_MM, 2 * LEAST_EDGE_MM * n_knees)
    fits = all(low <= mm <= 600 for low, mm in zip(least, size_mm, strict=True))
    if not fits:
        raise ValueError(
            f"A film of {n_knees} must be {least[0]:g} x {least[1]:g} to 600 x 600 mm. "
            f"Got {size_mm[0]:g} x {size_mm[1]:g}."
        )


def _add_up(
    anatomies: Sequence[KneeAnatomy], grids: Sequence[FilmGrid], rng: np.random.Generator
) -> FloatImage:
    attenuation = compute_soft_tissue(anatomies, grids, rng)
    for anatomy, grid in zip(anatomies, grids, strict=True):
        attenuation += compute_bone(anatomy, grid, rng)
    return attenuation


def _finish_film(
    attenuation: FloatImage,
    spacing_mm: float,
    scanner: Scanner,
    knees: Mapping[Side, FilmKnee],
    rng: np.random.Generator,
    *,
    field: Mask | None = None,
) -> PhantomFilm:
    """Expose and stamp."""
    pixels = expose_film(attenuation, spacing_mm=spacing_mm, scanner=scanner, field=field, rng=rng)
    return PhantomFilm(_stamp(pixels, scanner.white), spacing_mm, scanner, knees)


def _measure_film(
    scanner: Scanner, spacing_mm: float | None, size_mm: tuple[float, float], *, n_knees: int
) -> tuple[float, tuple[int, int]]:
    """Size of a pixel in mm, and rows and columns."""
    spacing = scanner.spacing_mm if spacing_mm is None else spacing_mm
    check_film_size(size_mm, spacing, n_knees=n_knees)
    return spacing, (round(size_mm[0] / spacing), round(size_mm[1] / spacing))


def _draw_one(
    side: Side, severity: Severity | None, body: Body, rng: np.random.Generator
) -> KneeAnatomy:
    tilt = film_geometry()["plateau_tilt_deg"]
    z = np.clip(rng.standard_normal(5), -2.2, 2.2)
    positioning = Positioning(
        tilt_deg=float(tilt["mean"] + tilt["sd"] * z[0]),
        rim_mm=(float(2.2 + 0.9 * z[1]), float(2.6 + 1.0 * z[2])),
        patella_mm=(float(2.5 * z[3]), float(2 * z[4])),
    )
    shape = body.legs[side]
    if severity is None:
        return draw_replaced_knee(side=side, shape=shape, positioning=positioning)
    return draw_knee_anatomy(side=side, shape=shape, severity=severity, positioning=positioning)


def _place_knees(
    sides: tuple[Side, ...], size_mm: tuple[float, float], rng: np.random.Generator
) -> dict[Side, tuple[float, float]]:
    """Centres of the knees in mm from the upper left corner, spread as on the study's films."""
    study = film_geometry()
    z = np.clip(rng.standard_normal(4), -2, 2)
    height, width = size_mm
    row = study["centre_row_mm_from_film_top"]
    middle = (row["mean"] + row["sd"] * z[0]) * height / BOTH_KNEES_MM[0]
    apart = study["height_difference_left_minus_right_mm"]["sd"] * z[1] / 2
    places = {}
    for i, side in enumerate(sides):
        if len(sides) == 1:
            col = width / 2 + 0.04 * width * z[2]
        else:
            measured = study[f"{side.value}_knee_centre_col_mm_from_film_left"]
            col = (measured["mean"] + measured["sd"] * z[2 + i]) * width / BOTH_KNEES_MM[1]
        up = -apart if side is Side.RIGHT else apart
        places[side] = (
            float(np.clip(middle + up, LEAST_EDGE_MM, height - LEAST_EDGE_MM)),
            float(np.clip(col, *_reach(side, len(sides), width))),
        )
    return places


def _reach(side: Side, n_knees: int, width: float) -> tuple[float, float]:
    """Columns in mm that a knee's centre may take: its own part of the film."""
    if n_knees == 1:
        return LEAST_EDGE_MM, width - LEAST_EDGE_MM
    if side is Side.RIGHT:
        return LEAST_EDGE_MM, width / 2 - LEAST_EDGE_MM
    return width / 2 + LEAST_EDGE_MM, width - LEAST_EDGE_MM


def _add_markers(
    attenuation: FloatImage, sides: tuple[Side, ...], spacing: float, rng: np.random.Generator
) -> None:
    """Lead letters at the lateral edge of each knee, near the top, a little askew."""
    cols = attenuation.shape[1]
    for side in sides:
        letter = _letter(side.value[0].upper(), _MARKER_MM / spacing, float(rng.normal(0, 6)))
        gap = round(12 / spacing)
        row = gap + round(abs(float(rng.normal(0, 8))) / spacing)
        col = gap if side is Side.RIGHT else cols - gap - letter.shape[1]
        window = attenuation[row : row + letter.shape[0], col : col + letter.shape[1]]
        window += np.float32(_LEAD) * letter[: window.shape[0], : window.shape[1]]


def _letter(text: str, size_px: float, angle_deg: float) -> FloatImage:
    """A letter of the given height, turned, as the share of each pixel that it covers."""
    side = max(round(1.8 * size_px), 8)
    canvas = np.zeros((8 * side, 8 * side), np.uint8)
    font, scale, line = cv2.FONT_HERSHEY_SIMPLEX, 8 * size_px / 22, max(round(8 * size_px / 7), 1)
    (width, height), _ = cv2.getTextSize(text, font, scale, line)
    at = ((8 * side - width) // 2, (8 * side + height) // 2)
    cv2.putText(canvas, text, at, font, scale, 255, line, cv2.LINE_8)
    turn = cv2.getRotationMatrix2D((4 * side, 4 * side), angle_deg, 1)
    turned = cv2.warpAffine(canvas, turn, canvas.shape[::-1])
    small = cv2.resize(turned, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def _add_frame(attenuation: FloatImage, spacing: float, middle_mm: float) -> None:
    """The positioning frame between the knees: a plastic bar with a row of steel beads."""
    low, high = (round((middle_mm + away) / spacing) for away in (-6, 6))
    bar = np.full((attenuation.shape[0], high - low), 0.18, np.float32)
    for row in np.arange(14, attenuation.shape[0] * spacing, _BEAD_STEP_MM):
        centre = (round(16 * (middle_mm / spacing - low)), round(16 * row / spacing))
        cv2.circle(bar, centre, round(16 * _BEAD_RADIUS_MM / spacing), _LEAD, -1, cv2.LINE_8, 4)
    attenuation[:, low:high] += bar


def _collimate(shape: tuple[int, int], spacing: float, rng: np.random.Generator) -> Mask:
    """The field of the beam: edges 2 to 12 mm inside the film's."""
    field = np.zeros(shape, bool)
    top, bottom, left, right = (max(round(mm / spacing), 1) for mm in rng.uniform(2, 12, 4))
    field[top:-bottom, left:-right] = True
    return field


def _stamp(pixels: NDArray[np.uint16], white: int) -> NDArray[np.uint16]:
    """Burn SYNTHETIC into the bottom left corner: white letters on a black plate."""
    rows, cols = pixels.shape
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, cols / 1800 if cols > 900 else max(cols / 1000, 0.25)
    line = max(round(2 * scale), 1)
    (width, height), below = cv2.getTextSize(STAMP, font, scale, line)
    gap = max(round(0.012 * cols), 2)
    plate = np.zeros((height + below + 2 * gap, width + 2 * gap), np.uint8)
    cv2.putText(plate, STAMP, (gap, gap + height), font, scale, 255, line, cv2.LINE_8)
    stamped = pixels.copy()
    plate = plate[: rows - gap, : cols - gap]
    top = rows - gap - plate.shape[0]
    stamped[top : top + plate.shape[0], gap : gap + plate.shape[1]] = np.where(plate, white, 0)
    return stamped
