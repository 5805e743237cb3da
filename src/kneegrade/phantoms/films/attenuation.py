"""Outlines of a knee -> how much of the beam it takes away at each pixel of a film.

Every part of the knee is a body whose thickness along the beam follows from the distance to its
outline, as in a cylinder; a shell of dense bone lies around spongy bone with its struts.
Attenuation is in nepers (the beam falls to 1/e at 1) and adds up along the beam.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage, Points
from kneegrade.phantoms.knees.anatomy import DenseLine, KneeAnatomy

_FAT_PER_MM: Final = 0.0165
_MUSCLE_OVER_FAT_PER_MM: Final = 0.006
_CORTEX_OVER_SOFT_PER_MM: Final = 0.052
_MARROW_OVER_SOFT_PER_MM: Final = 0.0105
_METAL: Final = 3.5
_DEPTH_OF_LEG_MM: Final = 104.0
_FINE_MM: Final = 0.1
_SOFT_GRID_MM: Final = 1.0
_TEXTURED_MM: Final = 110.0


@dataclass(frozen=True)
class FilmGrid:
    """The pixels of a film, or of a window of it, and where an anatomy lies on them.

    Parameters
    ----------
    shape : (rows, cols)
    spacing_mm : float
        The same along rows and columns.
    origin_px : (row, col)
        Where the origin of the anatomy falls.
    """

    shape: tuple[int, int]
    spacing_mm: float
    origin_px: tuple[float, float]

    def to_px(self, points_mm: Points) -> Points:
        """Take (n, 2) points from mm to (row, col) px; (0, 0) is the first pixel's centre."""
        return points_mm / self.spacing_mm + self.origin_px

    def window(self, outlines: Iterable[Points], margin_mm: float) -> tuple[slice, slice]:
        """Rows and columns of the pixels within a margin of some points; may be empty."""
        points = self.to_px(np.vstack(list(outlines)))
        margin = margin_mm / self.spacing_mm + 1
        low = np.clip(np.floor(points.min(axis=0) - margin).astype(int), 0, self.shape)
        high = np.clip(np.ceil(points.max(axis=0) + margin).astype(int) + 1, 0, self.shape)
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))

    def cut(self, window: tuple[slice, slice]) -> "FilmGrid":
        """The grid of a window."""
        rows, cols = window
        return FilmGrid(
            (rows.stop - rows.start, cols.stop - cols.start),
            self.spacing_mm,
            (self.origin_px[0] - rows.start, self.origin_px[1] - cols.start),
        )


@dataclass(frozen=True)
class _Profile:
    """How a part changes along the leg: rows from the joint centre in mm (mean-sized knee)."""

    rows: Sequence[float]
    depth_mm: Sequence[float]
    rounding_mm: Sequence[float]
    cortex_mm: Sequence[float]
    marrow: Sequence[float]


_PROFILES: Final = MappingProxyType(
    {
        "femur": _Profile(
            rows=(-110, -80, -55, -35, -12, 5),
            depth_mm=(28, 31, 40, 56, 60, 56),
            rounding_mm=(17, 18, 16, 12, 8, 4),
            cortex_mm=(5.0, 3.4, 1.3, 0.6, 0.5, 0.5),
            marrow=(0.1, 0.4, 0.8, 0.95, 1.0, 1.0),
        ),
        "tibia": _Profile(
            rows=(-4, 2, 9, 16, 30, 50, 75, 110),
            depth_mm=(20, 34, 47, 48, 44, 37, 31, 26),
            rounding_mm=(6, 6, 5, 8, 13, 16, 15, 14),
            cortex_mm=(0.4, 0.4, 0.5, 0.6, 0.8, 1.6, 3.4, 4.8),
            marrow=(1.0, 1.05, 1.1, 1.0, 0.8, 0.6, 0.35, 0.1),
        ),
        "fibula": _Profile(
            rows=(15, 35, 55, 80, 110),
            depth_mm=(24, 25, 17, 15, 15),
            rounding_mm=(8, 8, 6, 6, 6),
            cortex_mm=(0.4, 0.5, 1.0, 2.0, 2.8),
            marrow=(1.2, 1.1, 0.7, 0.4, 0.3),
        ),
        "patella": _Profile((0,), (14,), (18,), (0.3,), (1.0,)),
        "fabella": _Profile((0,), (7,), (4,), (0.6,), (1.5,)),
    }
)
_SPUR_DEPTH: Final = 0.5
"""Depth of an osteophyte along the beam over that of its bone."""


def compute_bone(anatomy: KneeAnatomy, grid: FilmGrid, rng: np.random.Generator) -> FloatImage:
    """Attenuation of a knee's bones beyond that of the soft tissue that they replace.

    Parameters
    ----------
    anatomy : KneeAnatomy
    grid : FilmGrid
    rng : numpy.random.Generator
        Draws the struts of the spongy bone.

    Returns
    -------
    (rows, cols) array, float32, in nepers
    """
    total: FloatImage = np.zeros(grid.shape, np.float32)
    for name in _PROFILES:
        if name not in anatomy.outlines:
            continue
        spurs = [p for task, p in anatomy.spurs.items() if task.value[0] == name[0]]
        spurs = spurs if name in {"femur", "tibia"} else []
        window = grid.window([anatomy.outlines[name], *spurs], 2)
        part = grid.cut(window)
        if 0 not in part.shape:
            total[window] += _one_bone(anatomy, name, spurs, part, rng)
    for metal in anatomy.metal:
        window = grid.window([metal], 2)
        part = grid.cut(window)
        if 0 not in part.shape:
            total[window] += _METAL * (_distance_inside([metal], part) > 0)
    return total


def compute_soft_tissue(
    anatomies: Sequence[KneeAnatomy], grids: Sequence[FilmGrid], rng: np.random.Generator
) -> FloatImage:
    """Attenuation of the legs: skin, fat, muscle; where they meet the thicker one counts.

    Parameters
    ----------
    anatomies, grids : sequence, one per leg
        The grids have one shape and spacing.
    rng : numpy.random.Generator
        Draws the unevenness of the muscles.

    Returns
    -------
    (rows, cols) array, float32, in nepers
    """
    shape, spacing = grids[0].shape, grids[0].spacing_mm
    ratio = spacing / _SOFT_GRID_MM
    coarse_shape = (max(round(shape[0] * ratio), 1), max(round(shape[1] * ratio), 1))
    uneven = _unevenness(coarse_shape, rng)
    total: FloatImage = np.zeros(coarse_shape, np.float32)
    for anatomy, grid in zip(anatomies, grids, strict=True):
        row, col = (np.array(grid.origin_px) + 0.5) * ratio - 0.5
        coarse = FilmGrid(coarse_shape, _SOFT_GRID_MM, (float(row), float(col)))
        total = np.maximum(total, _one_leg(anatomy, coarse, uneven))
    total = np.asarray(cv2.GaussianBlur(total, (0, 0), 1.5), np.float32)
    wide = cv2.resize(total, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.maximum(wide, 0), np.float32)


def compute_rods(shape: tuple[int, int], spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """Attenuation of a hand: five fingers, each a chain of bony rods in soft tissue.

    Parameters
    ----------
    shape : (rows, cols)
        Of a film 240 x 180 mm or larger.
    spacing_mm : float
    rng : numpy.random.Generator
        Draws the lengths.

    Returns
    -------
    (rows, cols) array, float32, in nepers
    """
    wrist = np.array([shape[0] * spacing_mm * 0.8, shape[1] * spacing_mm * 0.5])
    below = wrist + np.array([150.0, 0.0])
    palm = _rod([wrist - (12.0, 0.0), wrist - (48.0, 0.0)], 36, shape, spacing_mm)
    total = np.float32(0.015) * np.maximum(palm, _rod([wrist, below], 27, shape, spacing_mm))
    for aside, thick in ((-11.0, 9.0), (12.0, 7.0)):  # the forearm
        bone = _rod(
            [wrist + np.array([6.0, aside]), below + np.array([0.0, aside])],
            thick,
            shape,
            spacing_mm,
        )
        total = total + np.float32(0.05) * bone
    for finger, angle in enumerate(np.deg2rad([-38, -14, 0, 13, 27])):
        length = rng.uniform(0.9, 1.05) * (0.8 if finger == 0 else 1)
        joints = np.cumsum([16.0, 54, 38, 24, 18]) * length
        knuckles = wrist + joints[:, None] * (-np.cos(angle), np.sin(angle))
        for (start, stop), thick in zip(pairwise(knuckles), (5, 4.5, 4, 3.5), strict=True):
            gap = 0.04 * (stop - start)
            flesh = _rod([start, stop], 2.4 * thick, shape, spacing_mm)
            bone = _rod([start + gap, stop - gap], thick, shape, spacing_mm)
            total = np.maximum(total, np.float32(0.03) * flesh + np.float32(0.09) * bone)
    return total


def _rod(
    points: Sequence[Points], radius_mm: float, shape: tuple[int, int], spacing_mm: float
) -> FloatImage:
    """Half the thickness in mm of a round rod between two points, 0 outside."""
    canvas = np.full(shape, 255, np.uint8)
    ends = np.rint(np.array(points)[:, ::-1] / spacing_mm).astype(np.int32)
    cv2.polylines(canvas, [ends], False, 0, 1)
    away = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_5) * np.float32(spacing_mm)
    return np.sqrt(np.maximum(np.float32(radius_mm) ** 2 - away * away, 0)).astype(np.float32)


def _one_leg(anatomy: KneeAnatomy, grid: FilmGrid, uneven: FloatImage) -> FloatImage:
    aside = round(150 / grid.spacing_mm)  # the leg goes on beyond the film's edges
    wide = FilmGrid(
        (grid.shape[0] + 2 * aside, grid.shape[1] + 2 * aside),
        grid.spacing_mm,
        (grid.origin_px[0] + aside, grid.origin_px[1] + aside),
    )
    inside = _distance_inside([anatomy.outlines["skin"]], wide)[aside:-aside, aside:-aside]
    shape = anatomy.shape
    depth = np.float32(_DEPTH_OF_LEG_MM * shape.scale * (0.5 + 0.5 * shape.girth))
    whole = depth * _rounded(inside, np.float32(36 * shape.scale * shape.girth))
    muscle = (depth - 2 * np.float32(shape.fat_mm)) * _rounded(
        np.maximum(inside - shape.fat_mm, 0), np.float32(28 * shape.scale)
    )
    return np.asarray(_FAT_PER_MM * whole + _MUSCLE_OVER_FAT_PER_MM * muscle * uneven, np.float32)


def _one_bone(
    anatomy: KneeAnatomy,
    name: str,
    spurs: Sequence[Points],
    grid: FilmGrid,
    rng: np.random.Generator,
) -> FloatImage:
    profile, scale = _PROFILES[name], np.float32(anatomy.shape.scale)
    rows = (np.arange(grid.shape[0]) - grid.origin_px[0]) * grid.spacing_mm / scale
    depth, rounding, cortex, marrow = (
        np.interp(rows, profile.rows, values).astype(np.float32)[:, None]
        for values in (profile.depth_mm, profile.rounding_mm, profile.cortex_mm, profile.marrow)
    )
    depth, rounding = depth * scale, rounding * scale
    inside = _distance_inside([anatomy.outlines[name], *spurs], grid)
    if spurs:  # a spur is a lip: thinner along the beam than the bone that it grows from
        own = _distance_inside([anatomy.outlines[name]], grid)
        depth = depth * np.where(inside > own, _SPUR_DEPTH + own / np.float32(12), 1)
        depth = np.minimum(depth, np.float32(60 * scale))
    whole = depth * _rounded(inside, rounding)
    inner = np.maximum(depth - 2 * cortex, 0) * _rounded(
        np.maximum(inside - cortex, 0), np.maximum(rounding - cortex, 1)
    )
    shell = whole - inner
    for line in anatomy.lines:
        near = grid.window([line.points_mm], 4 * line.width_mm)
        if line.bone == name and 0 not in grid.cut(near).shape:
            within = np.minimum(inside[near] / np.float32(grid.spacing_mm), 1)
            shell[near] += _dense_line(line, grid.cut(near), rng) * within
    spongy = inner * marrow
    middle = np.flatnonzero(np.abs(rows) < _TEXTURED_MM)
    if len(middle):
        textured = slice(int(middle[0]), int(middle[-1]) + 1)
        struts = _struts((len(middle), grid.shape[1]), grid.spacing_mm, rng)
        spongy[textured] = spongy[textured] * (1 + np.float32(anatomy.shape.coarseness) * struts)
    return np.asarray(
        _CORTEX_OVER_SOFT_PER_MM * shell + _MARROW_OVER_SOFT_PER_MM * spongy, np.float32
    )


def _rounded(inside: FloatImage, radius: Any) -> FloatImage:
    """Thickness of a body as a share of its full depth: a quarter circle, then flat."""
    short = 1 - np.minimum(inside / radius, 1)
    return np.asarray(np.sqrt(1 - short * short), np.float32)


def _distance_inside(outlines: Sequence[Points], grid: FilmGrid) -> FloatImage:
    """Distance in mm to the edge of the union of outlines, 0 outside."""
    factor = ceil(grid.spacing_mm / _FINE_MM) if grid.spacing_mm < _SOFT_GRID_MM else 1
    fine = np.zeros((grid.shape[0] * factor, grid.shape[1] * factor), np.uint8)
    for outline in outlines:
        cv2.fillPoly(fine, [_fixed_point(outline, grid, factor)], 255, cv2.LINE_8, 4)
    distance = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Its last bits differ from call to call (opencv issue 24082); squares are whole numbers.
    distance = np.sqrt(np.rint(distance * distance))
    distance = np.maximum(distance - np.float32(0.5), 0)
    return _coarsened(distance, grid) * np.float32(grid.spacing_mm / factor)


def _dense_line(line: DenseLine, grid: FilmGrid, rng: np.random.Generator) -> FloatImage:
    """Extra cortical bone in mm along the beam, uneven along the line."""
    fine = np.full(grid.shape, 255, np.uint8)
    cv2.polylines(fine, [_fixed_point(line.points_mm, grid, 1)], False, 0, 1, cv2.LINE_8, 4)
    distance = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_5)
    fallen = np.exp(-distance * np.float32(grid.spacing_mm / line.width_mm))
    uneven = np.clip(1 + 0.3 * _patches(grid.shape, grid.spacing_mm, (5.0, 5.0), rng), 0.2, 1.8)
    return np.asarray(line.bone_mm * fallen * uneven, np.float32)


def _fixed_point(points_mm: Points, grid: FilmGrid, factor: int) -> NDArray[np.int32]:
    """(col, row) in sixteenths of a fine pixel, as OpenCV draws."""
    fine = (grid.to_px(points_mm) + 0.5) * factor - 0.5
    return np.rint(fine[:, ::-1] * 16).astype(np.int32)


def _coarsened(fine: Any, grid: FilmGrid) -> FloatImage:
    if fine.shape == grid.shape:
        return np.asarray(fine, np.float32)
    resized = cv2.resize(fine, grid.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32)


def _struts(shape: tuple[int, int], spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """Spongy bone, mean 0, SD 1: struts along the leg, cross links, grain, patches of density."""
    total: FloatImage = np.zeros(shape, np.float32)
    layers = ((1.0, 2.2, 0.24, True), (0.5, 0.22, 0.7, True), (0.45, 0.25, 0.25, False))
    for share, along_mm, across_mm, ridged in layers:
        noise = rng.standard_normal(shape, dtype=np.float32)
        sigma = [max(mm / spacing_mm, 0.35) for mm in (across_mm, along_mm)]
        layer = _unit(cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1]))
        if ridged:  # thin bright lines where the noise crosses 0
            layer = _unit(np.exp(np.float32(-2.5) * layer * layer))
        total += np.float32(share) * layer
    total += np.float32(0.6) * _patches(shape, spacing_mm, (6.0, 4.0), rng)
    return _unit(total)


def _unit(image: Any) -> FloatImage:
    """The same with mean 0 and SD 1."""
    return np.asarray((image - image.mean()) / max(float(image.std()), 1e-6), np.float32)


def _patches(
    shape: tuple[int, int],
    spacing_mm: float,
    size_mm: tuple[float, float],
    rng: np.random.Generator,
) -> FloatImage:
    """Smooth noise of SD about 1 whose bumps are about the given size along rows and columns."""
    small = tuple(ceil(n * spacing_mm / mm) + 3 for n, mm in zip(shape, size_mm, strict=True))
    noise = rng.standard_normal(small, dtype=np.float32)
    wide = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(wide, np.float32)


def _unevenness(shape: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Muscles and their fat planes along the leg, as factors about 1."""
    fibres = _patches(shape, _SOFT_GRID_MM, (70.0, 6.0), rng)
    lumps = _patches(shape, _SOFT_GRID_MM, (55.0, 25.0), rng)
    return np.asarray(1 + 0.05 * fibres + 0.06 * lumps, np.float32)
