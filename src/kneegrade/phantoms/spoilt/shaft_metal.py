"""A film of a whole knee -> the same film with metal in a shaft, away from the joint."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage, Points
from kneegrade.knees.measuring.bone_sides import SHAFTS
from kneegrade.knees.measuring.margins import Bone
from kneegrade.phantoms.spoilt.metal_look import burn_in, fill_outlines
from kneegrade.phantoms.spoilt.metal_outlines import rod, screw
from kneegrade.types import plateau_ends

_WIDTH_MM: Final = 80.0


def paint_shaft_metal(
    pixels: NDArray[np.generic],
    points: Points,
    rng: np.random.Generator,
    *,
    kind: str,
    below_plateau: float,
) -> FloatImage:
    """Paint metal in the femur or tibia as radiographs show it.

    Parameters
    ----------
    pixels : (rows, cols) array
        A film, bone bright.
    points : (16, 2) array, float64
        Landmarks of the knee, in px of the film.
    rng : numpy.random.Generator
    kind : str
        A key of `SHAFT_METAL_KINDS`.
    below_plateau : float
        How far below the plateau, in its widths; negative: above it, in the femur.

    Returns
    -------
    (rows, cols) array, float32
        The film, its darkest pixel 0, its brightest 255.

    Raises
    ------
    ValueError
        If ``kind`` is anything else.
    """
    if kind not in SHAFT_METAL_KINDS:
        raise ValueError(f"kind must be one of {', '.join(SHAFT_METAL_KINDS)}. Got {kind!r}.")
    row_mm = below_plateau * _WIDTH_MM
    down, lateral, medial = SHAFTS[Bone.TIBIA if row_mm > 0 else Bone.FEMUR]
    first, last = (float(np.interp(row_mm, down, side)) for side in (lateral, medial))
    outlines = SHAFT_METAL_KINDS[kind](row_mm, first, last, rng)
    ends = plateau_ends(points)
    across = (ends[1] - ends[0]) / _WIDTH_MM
    distal = np.array([across[1], -across[0]]) * (1 if across[1] >= 0 else -1)
    middle = ends.mean(axis=0)
    grey = pixels.astype(np.float32)
    grey = (grey - grey.min()) / max(float(np.ptp(grey)), 1e-6) * 255
    mask = fill_outlines(
        [middle + at[:, :1] * distal + at[:, 1:] * across for at in outlines], max(grey.shape)
    )[: grey.shape[0], : grey.shape[1]]
    return burn_in(grey, mask, rng.uniform(0.8, 1), rng)[0].astype(np.float32)


def _staples(row: float, first: float, last: float, rng: np.random.Generator) -> list[Points]:
    """One to three, driven in from one side."""
    edge, inwards = _choose_side(first, last, rng)
    outlines = []
    for i in range(int(rng.integers(1, 4))):
        gap, radius = rng.uniform(8, 17), rng.uniform(0.9, 1.8)
        length = inwards * min(rng.uniform(14, 28), 0.9 * (last - first))
        top, tilt = row + i * rng.uniform(5, 16), rng.normal(0, 4)
        low = top + gap
        outlines += [
            rod((top, edge), (low, edge - inwards), radius),
            rod((top, edge), (top + tilt, edge + length), radius),
            rod((low, edge - inwards), (low + tilt, edge + length), radius),
        ]
    return outlines


def _screws(row: float, first: float, last: float, rng: np.random.Generator) -> list[Points]:
    """One to three, through both cortices."""
    edge, inwards = _choose_side(first, last, rng)
    diameter, thread = rng.uniform(3.2, 5.5), rng.choice([0.0, 0.35, 1.0])
    outlines = []
    for i in range(int(rng.integers(1, 4))):
        start, turn = (row + i * rng.uniform(8, 13), edge - 2 * inwards), rng.normal(0, 8)
        angle = turn if inwards > 0 else 180 - turn
        length = (last - first) * rng.uniform(0.9, 1.15)
        outlines += screw(start, angle, length, diameter, thread)
    return outlines


def _plate(row: float, first: float, last: float, rng: np.random.Generator) -> list[Points]:
    edge, inwards = _choose_side(first, last, rng)
    half_length, half_width = rng.uniform(20, 30), rng.uniform(1.2, 2.3)
    outlines = [rod((row - half_length, edge), (row + half_length, edge), half_width)]
    for at in np.arange(row - half_length + 5, row + half_length - 4, rng.uniform(9, 14)):
        length, angle = (last - first) * rng.uniform(0.8, 1), 0 if inwards > 0 else 180
        outlines += screw((at, edge), angle, length, rng.uniform(3.2, 4.5), 1.0)
    return outlines


def _nail(row: float, first: float, last: float, rng: np.random.Generator) -> list[Points]:
    """Its end 15 mm nearer to the joint, the rest away from it."""
    middle, away = (first + last) / 2, np.sign(row)
    radius = rng.uniform(4, 6)
    return [rod((row - 15 * away, middle), (row + 90 * away, middle + rng.normal(0, 2)), radius)]


def _choose_side(first: float, last: float, rng: np.random.Generator) -> tuple[float, int]:
    """Column of the cortex that metal enters by, and which way it goes."""
    return (first, 1) if rng.random() < 0.5 else (last, -1)


SHAFT_METAL_KINDS: Final[
    Mapping[str, Callable[[float, float, float, np.random.Generator], list[Points]]]
] = MappingProxyType({"staples": _staples, "screws": _screws, "plate": _plate, "nail": _nail})
"""What `paint_shaft_metal` paints: its outlines from the row, the first and the last column of the
shaft there, mm."""
