"""Outlines -> an x-ray film: attenuation along the beam, scatter, detector, noise, 12 bits.

Every part of the knee is a body whose thickness along the beam follows from the distance to its
outline, as in a cylinder. Attenuation adds up, the beam weakens exponentially (Beer-Lambert), and
the film shows its logarithm through the s-shaped curve of a film meant for reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.phantoms.anatomy import DenseLine, KneeAnatomy, Points

FloatMap = NDArray[np.float32]

_FAT_PER_MM: Final = 0.0165
_MUSCLE_OVER_FAT_PER_MM: Final = 0.006
_CORTEX_OVER_SOFT_PER_MM: Final = 0.052
_MARROW_OVER_SOFT_PER_MM: Final = 0.0125
_FAT_LAYER_MM: Final = 8.0
_SKIN_ASIDE_MM: Final = 60.0
"""How far beyond the film's edges the skin is followed."""
_SCATTER_SHARE: Final = 0.12
_PHOTONS_PER_MM2: Final = 2e5
_MIDDLE_BELOW_BONE: Final = 0.42
_SLOPE_OF_CURVE: Final = 2.3
_OVERSAMPLED_MM: Final = 0.1


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
            cortex_mm=(5.0, 3.4, 1.3, 0.55, 0.45, 0.5),
            marrow=(0.1, 0.4, 0.8, 0.95, 1.0, 1.0),
        ),
        "tibia": _Profile(
            rows=(-4, 2, 9, 16, 30, 50, 75, 110),
            depth_mm=(20, 34, 47, 48, 44, 37, 31, 26),
            rounding_mm=(6, 6, 5, 8, 13, 16, 15, 14),
            cortex_mm=(0.4, 0.4, 0.5, 0.5, 0.7, 1.5, 3.4, 4.8),
            marrow=(1.0, 1.05, 1.1, 1.0, 0.8, 0.6, 0.35, 0.1),
        ),
        "fibula": _Profile(
            rows=(15, 35, 55, 80, 110),
            depth_mm=(24, 25, 17, 15, 15),
            rounding_mm=(8, 8, 6, 6, 6),
            cortex_mm=(0.7, 0.8, 1.4, 2.4, 3.0),
            marrow=(1.2, 1.1, 0.7, 0.4, 0.3),
        ),
        "patella": _Profile((0,), (19,), (13,), (0.3,), (1.0,)),
    }
)


@dataclass(frozen=True)
class FilmGrid:
    """The pixels of a film whose centre is the origin of an anatomy.

    Parameters
    ----------
    shape : (rows, cols)
    spacing_mm : float
        The same along rows and columns.
    """

    shape: tuple[int, int]
    spacing_mm: float

    def to_px(self, points_mm: Points) -> Points:
        """Take (n, 2) points from mm to (row, col) px; (0, 0) is the first pixel's centre."""
        return points_mm / self.spacing_mm + (np.array(self.shape) - 1) / 2


def film_grid(*, spacing_mm: float, size_mm: tuple[float, float]) -> FilmGrid:
    """Lay out a film.

    Parameters
    ----------
    spacing_mm : float
        Size of a pixel, 0.05 to 1 mm.
    size_mm : (rows, cols)
        Height and width of the film in mm.

    Raises
    ------
    ValueError
        If the spacing is out of range or the film is smaller than 40 mm.
    """
    if not 0.05 <= spacing_mm <= 1:
        raise ValueError(f"spacing_mm must be in [0.05, 1]. Got {spacing_mm!r}.")
    if not all(40 <= side <= 250 for side in size_mm):
        raise ValueError(f"size_mm must be 40 to 250 mm each way. Got {size_mm!r}.")
    return FilmGrid((round(size_mm[0] / spacing_mm), round(size_mm[1] / spacing_mm)), spacing_mm)


def expose_film(
    anatomy: KneeAnatomy,
    *,
    spacing_mm: float,
    size_mm: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Take the radiograph of a knee.

    Parameters
    ----------
    anatomy : KneeAnatomy
        Its origin comes to the film's centre.
    spacing_mm : float
        Size of a pixel in mm.
    size_mm : (rows, cols)
        Height and width of the film in mm.
    rng : numpy.random.Generator
        Draws the trabecular texture and the noise.

    Returns
    -------
    (rows, cols) array, uint16 in [0, 4095]
        Bone bright, air black.

    Raises
    ------
    ValueError
        As `film_grid`.
    """
    grid = film_grid(spacing_mm=spacing_mm, size_mm=size_mm)
    attenuation = _soft_tissue(anatomy, grid) + _bones(anatomy, grid, rng)
    beam = np.exp(-_blurred(attenuation, 0.12 / spacing_mm))
    beam = (1 - _SCATTER_SHARE) * beam + _SCATTER_SHARE * _scatter(beam, spacing_mm)
    incident = np.float32(_PHOTONS_PER_MM2 * spacing_mm**2)
    photons = beam * incident
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    photons = np.maximum(photons + np.sqrt(photons) * _blurred(noise, 0.6), 1)
    density = -np.log(photons / incident)
    rows, cols = grid.shape
    bone = np.median(density[rows // 4 : 3 * rows // 4, 2 * cols // 5 : 3 * cols // 5])
    shown = 1 / (1 + np.exp(-_SLOPE_OF_CURVE * (density - bone + _MIDDLE_BELOW_BONE)))
    return np.asarray(np.clip(np.rint(4095 * shown), 0, 4095), np.uint16)


def _soft_tissue(anatomy: KneeAnatomy, grid: FilmGrid) -> FloatMap:
    aside = round(_SKIN_ASIDE_MM / grid.spacing_mm)
    wide = FilmGrid((grid.shape[0], grid.shape[1] + 2 * aside), grid.spacing_mm)
    inside = _distance_inside([anatomy.outlines["skin"]], wide)[:, aside:-aside]
    depth = np.float32(104 * anatomy.scale)
    whole = depth * _rounded(inside, np.float32(50 * anatomy.scale))
    muscle = (depth - 2 * _FAT_LAYER_MM) * _rounded(
        np.maximum(inside - _FAT_LAYER_MM, 0), np.float32(40 * anatomy.scale)
    )
    return _FAT_PER_MM * whole + _MUSCLE_OVER_FAT_PER_MM * muscle


def _bones(anatomy: KneeAnatomy, grid: FilmGrid, rng: np.random.Generator) -> FloatMap:
    scale, joint_row = anatomy.scale, grid.to_px(anatomy.landmarks_mm)[4, 0]
    rows = (np.arange(grid.shape[0]) - joint_row) * grid.spacing_mm / scale
    total: FloatMap = np.zeros(grid.shape, np.float32)
    for name, profile in _PROFILES.items():
        spurs = [p for task, p in anatomy.spurs.items() if task.value[0] == name[0]]
        inside = _distance_inside(
            [anatomy.outlines[name], *(spurs if name != "fibula" else ())], grid
        )
        depth, rounding, cortex, marrow = (
            np.interp(rows, profile.rows, values).astype(np.float32)[:, None]
            for values in (profile.depth_mm, profile.rounding_mm, profile.cortex_mm, profile.marrow)
        )
        whole = depth * scale * _rounded(inside, rounding * scale)
        within = np.maximum(inside - cortex, 0)
        inner = (depth * scale - 2 * cortex) * _rounded(within, rounding * scale - cortex)
        shell = whole - inner
        for line in anatomy.lines:
            if line.bone == name:
                shell = shell + _dense_line(line, grid) * np.minimum(inside / grid.spacing_mm, 1)
        spongy = inner * marrow * (1 + 0.11 * _trabeculae(grid, rng))
        total += _CORTEX_OVER_SOFT_PER_MM * shell + _MARROW_OVER_SOFT_PER_MM * spongy
    return total


def _rounded(inside: FloatMap, radius: Any) -> FloatMap:
    """Thickness of a body as a share of its full depth: a quarter circle, then flat."""
    short = 1 - np.minimum(inside / radius, 1)
    return np.asarray(np.sqrt(1 - short * short), np.float32)


def _distance_inside(outlines: Sequence[Points], grid: FilmGrid) -> FloatMap:
    """Distance in mm to the edge of the union of outlines, 0 outside."""
    factor = ceil(grid.spacing_mm / _OVERSAMPLED_MM)
    fine = _canvas(outlines, grid, factor)
    distance = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return _coarsened(distance, grid) * np.float32(grid.spacing_mm / factor)


def _dense_line(line: DenseLine, grid: FilmGrid) -> FloatMap:
    """Extra cortical bone in mm along the beam."""
    factor = ceil(grid.spacing_mm / _OVERSAMPLED_MM)
    fine = np.full((grid.shape[0] * factor, grid.shape[1] * factor), 255, np.uint8)
    cv2.polylines(fine, [_fixed_point(line.points_mm, grid, factor)], False, 0, 1, cv2.LINE_8, 4)
    distance = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_5)
    distance = _coarsened(distance, grid) * np.float32(grid.spacing_mm / factor)
    return np.asarray(line.bone_mm * np.exp(-distance / np.float32(line.width_mm)), np.float32)


def _canvas(outlines: Sequence[Points], grid: FilmGrid, factor: int) -> NDArray[np.uint8]:
    fine = np.zeros((grid.shape[0] * factor, grid.shape[1] * factor), np.uint8)
    for outline in outlines:
        cv2.fillPoly(fine, [_fixed_point(outline, grid, factor)], 255, cv2.LINE_8, 4)
    return fine


def _fixed_point(points_mm: Points, grid: FilmGrid, factor: int) -> NDArray[np.int32]:
    """(col, row) in sixteenths of a fine pixel, as OpenCV draws."""
    fine = (grid.to_px(points_mm) + 0.5) * factor - 0.5
    return np.rint(fine[:, ::-1] * 16).astype(np.int32)


def _coarsened(fine: Any, grid: FilmGrid) -> FloatMap:
    resized = cv2.resize(fine, grid.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32)


def _blurred(image: Any, sigma_px: float) -> FloatMap:
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma_px), np.float32)


def _scatter(beam: FloatMap, spacing_mm: float) -> FloatMap:
    """The beam spread over 12 mm, computed on a grid of about 2 mm."""
    size = (max(beam.shape[1] * spacing_mm / 2, 1), max(beam.shape[0] * spacing_mm / 2, 1))
    small = cv2.resize(beam, (round(size[0]), round(size[1])), interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(small, (0, 0), 6)
    wide = cv2.resize(spread, beam.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(wide, np.float32)


def _trabeculae(grid: FilmGrid, rng: np.random.Generator) -> FloatMap:
    """Texture of unit standard deviation: struts along the leg, some across, patches of density."""
    total: FloatMap = np.zeros(grid.shape, np.float32)
    for share, along_mm, across_mm in ((1.0, 1.2, 0.2), (0.7, 0.25, 0.35), (0.8, 6.0, 4.0)):
        noise = rng.standard_normal(grid.shape, dtype=np.float32)
        sigma = (max(across_mm / grid.spacing_mm, 0.3), max(along_mm / grid.spacing_mm, 0.3))
        layer = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
        total += np.float32(share) * layer / layer.std()
    return np.asarray(total / total.std(), np.float32)
