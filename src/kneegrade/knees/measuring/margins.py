"""Landmarks -> the bone margins of the two compartments, traced on the picture.

Sixteen landmarks are too coarse to measure a joint space: between them the margin is traced by a
path of least cost. Everything happens in the standard pose (plateau level, lateral at column 0) on
a grid of `PX_PER_WIDTH` pixels per plateau width, so that nothing depends on the size of a pixel.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from kneegrade.arrays import FloatArray, FloatImage
from kneegrade.images.geometry import (
    apply_affine,
    invert_affine,
    resample,
)
from kneegrade.terms import N_TIBIAL
from kneegrade.types import Landmarks, Radiograph, Side

PX_PER_WIDTH: Final = 400.0
"""Pixels of the standard pose to a plateau width: 0.2 mm where the plateau is 80 mm wide."""
PX_PER_MM: Final = PX_PER_WIDTH / 80
"""Pixels of the standard pose to a millimetre of a knee whose plateau is 80 mm wide."""
_ABOVE, _BELOW, _ASIDE = 0.40, 0.42, 0.22
"""Reach of the pose's picture from the middle of the plateau, in plateau widths (cols: + 0.5)."""
_N_ALONG: Final = 110
"""Places along a margin."""
_SEARCH_MM: Final = 3.0
_TRUST_MM: Final = 1.5
"""How far from the landmarks' curve to look, and the distance that costs half a unit of edge."""
_SMOOTH_MM: Final = 0.7
_STIFFNESS: Final = 0.7
"""Cost of a step of one pixel between neighbouring places."""
_ACROSS_MM: Final = 0.25
_ALONG_MM: Final = 0.8
"""Smoothing of the picture across and along a margin before its slope is taken."""
_MOST_GAIN: Final = 4.0
"""Edges stronger than this (in local root mean squares) gain no more."""
_SPARE: Final = 10
"""Pixels read beyond the search at either end, for smoothing."""
_N_LOCAL: Final = 25
"""Places over which the local root mean square is taken."""
_RIM_NEAR_MM: Final = 1.2
_RIM_FAR_MM: Final = 4.5
_RIM_ALONG_MM: Final = 1.6
_RIM_SHARE: Final = 0.5
"""A second rim: between near and far, at least this share of the margin's own strength."""
_CLEAR_EDGE: Final = 1.1
"""Mean edge strength along a margin (in local root mean squares) below which it is not traced."""


class Compartment(StrEnum):
    """The two halves of the joint between femur and tibia."""

    LATERAL = "lateral"
    MEDIAL = "medial"


class Bone(StrEnum):
    """The two bones of the joint."""

    FEMUR = "femur"
    TIBIA = "tibia"


SPANS: Final = {Compartment.LATERAL: (0.0, 0.37), Compartment.MEDIAL: (0.65, 1.0)}
"""Where margins are traced: shares of the plateau width from its lateral edge."""


@dataclass(frozen=True, eq=False)
class StandardPose:
    """A knee with its plateau level and lateral at column 0.

    Parameters
    ----------
    pixels : (rows, cols) array, float32
        `PX_PER_WIDTH` to a plateau width.
    to_radiograph : (2, 3) array
        Takes ``(row, col)`` of the pose to that of the radiograph.
    landmarks : (16, 2) array
        Of `Landmarks.kneel_points_px`, in pixels of the pose.
    width_mm : float or None
        Of the plateau, t0 to t8; None where the radiograph has no spacing.
    """

    pixels: FloatImage
    to_radiograph: FloatArray
    landmarks: FloatArray
    width_mm: float | None

    @property
    def lateral_col(self) -> float:
        """Column of the plateau's lateral edge."""
        return float(self.landmarks[0, 1])

    def cols_at(self, shares: ArrayLike) -> FloatArray:
        """Columns at shares of the plateau width from its lateral edge."""
        return self.lateral_col + PX_PER_WIDTH * np.asarray(shares, np.float64)


@dataclass(frozen=True, eq=False)
class Margin:
    """One bone's margin in one compartment, lateral to medial.

    Parameters
    ----------
    points : (n, 2) array
        ``(row, col)`` in pixels of the standard pose; columns never go back.
    strength : float
        Mean strength of the edge that was followed, in root mean squares of its surroundings.
    is_traced : bool
        False where there was no edge to follow: the points are those of the landmarks' curve.
    """

    points: FloatArray
    strength: float
    is_traced: bool

    def rows_at(self, cols: ArrayLike) -> FloatArray:
        """Rows of the margin at columns; beyond its ends, those of its ends."""
        return np.asarray(np.interp(np.asarray(cols), self.points[:, 1], self.points[:, 0]))


def take_standard_pose(radiograph: Radiograph, landmarks: Landmarks) -> StandardPose:
    """Turn, mirror and scale a knee to the standard pose.

    Raises
    ------
    ValueError
        If the plateau of the landmarks has no width.
    """
    points = landmarks.kneel_points_px
    pixel_size = np.array(radiograph.pixel_size)
    down, along = (points[8] - points[0]) * pixel_size
    width = float(np.hypot(down, along))
    if width == 0:
        raise ValueError("The first and the last landmark of the plateau must differ.")
    step = width / PX_PER_WIDTH
    along_axis = np.array([down, along]) / width  # from lateral to medial, of length 1
    mirror = -1.0 if landmarks.side is Side.LEFT else 1.0
    down_axis = mirror * np.array([along_axis[1], -along_axis[0]])
    linear = step * np.stack([down_axis, along_axis], axis=1) / pixel_size[:, None]
    size = (
        round((_ABOVE + _BELOW) * PX_PER_WIDTH),
        round((1 + 2 * _ASIDE) * PX_PER_WIDTH),
    )
    middle = np.array([_ABOVE * PX_PER_WIDTH, (0.5 + _ASIDE) * PX_PER_WIDTH])
    shift = (points[0] + points[8]) / 2 - linear @ middle
    to_radiograph = np.column_stack([linear, shift])
    return StandardPose(
        pixels=_take_pixels(radiograph.pixels, to_radiograph, size),
        to_radiograph=to_radiograph,
        landmarks=apply_affine(invert_affine(to_radiograph), points),
        width_mm=None if radiograph.spacing_mm is None else width,
    )


def _take_pixels(
    pixels: FloatImage, to_radiograph: FloatArray, size: tuple[int, int]
) -> FloatImage:
    """`resample`, with the picture's outermost pixels continued: its end is no edge to follow."""
    corners = apply_affine(to_radiograph, [(0, 0), (0, size[1]), (size[0], 0), size])
    shape = np.array(pixels.shape)
    before = np.clip(np.ceil(1 - corners.min(axis=0)).astype(int), 0, shape)
    after = np.clip(np.ceil(corners.max(axis=0) + 2 - shape).astype(int), 0, shape)
    if before.any() or after.any():
        (top, left), (bottom, right) = before.tolist(), after.tolist()
        wider = cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_REPLICATE)
        pixels = np.asarray(wider, np.float32)
    shifted = np.column_stack([to_radiograph[:, :2], to_radiograph[:, 2] + before])
    taken, _ = resample(pixels, shifted, size, fill=float(pixels.min()))
    return taken


def trace_margins(pose: StandardPose) -> dict[tuple[Bone, Compartment], Margin]:
    """Trace the margins of both bones in both compartments.

    Going down, the picture turns dark at the femur's margin and bright at the tibia's: the bright
    subchondral line of the plateau's floor, not a fainter rim above or below it.
    """
    keys = [(bone, half) for bone in Bone for half in Compartment]
    curves = []
    for bone, half in keys:
        part = slice(N_TIBIAL, None) if bone is Bone.FEMUR else slice(N_TIBIAL)
        nodes = pose.landmarks[part]
        first, last = np.clip(pose.cols_at(SPANS[half]), nodes[0, 1], nodes[-1, 1])
        cols = np.linspace(first, last, _N_ALONG)
        curves.append(np.stack([curve_rows(nodes, cols), cols], axis=1))
    signs = np.array([-1.0 if bone is Bone.FEMUR else 1.0 for bone, _ in keys])
    traced, strength = follow_edges(
        pose.pixels,
        np.stack(curves),
        signs,
        reach_mm=_SEARCH_MM,
        trust_mm=_TRUST_MM,
        px_per_mm=PX_PER_MM,
    )
    is_traced = strength >= _CLEAR_EDGE
    chosen = np.where(is_traced[:, None, None], traced, curves)
    chosen[..., 1] = np.maximum.accumulate(chosen[..., 1], axis=1)
    apart = {
        (bone, half): _part_bones(chosen[i], chosen[(i + len(Compartment)) % len(keys)], signs[i])
        for i, (bone, half) in enumerate(keys)
    }
    return {
        key: Margin(apart[key], float(strength[i]), bool(is_traced[i]))
        for i, key in enumerate(keys)
    }


def _part_bones(margin: FloatArray, other: FloatArray, sign: float) -> FloatArray:
    """The margin, half way back to the other bone's where it crosses that: there bones touch."""
    rows = np.interp(margin[:, 1], other[:, 1], other[:, 0])
    between = (other[0, 1] <= margin[:, 1]) & (margin[:, 1] <= other[-1, 1])
    crossed = between & (sign * (margin[:, 0] - rows) < 0)
    met = np.where(crossed, (margin[:, 0] + rows) / 2, margin[:, 0])
    return np.stack([met, margin[:, 1]], axis=1)


def find_second_rim(pose: StandardPose, tibia: Margin, first: float, last: float) -> float | None:
    """Distance of a second rim of the plateau from the margin that was traced.

    Parameters
    ----------
    pose : StandardPose
    tibia : Margin
    first, last : float
        Columns between which to look.

    Returns
    -------
    float or None
        In pixels of the pose, mean over the columns; None where no second rim is seen.
    """
    cols = np.linspace(first, last, _N_ALONG)
    curve = np.stack([tibia.rows_at(cols), cols], axis=1)[None]
    normals = np.broadcast_to(np.array([1.0, 0.0]), curve.shape)
    half = np.ceil(_RIM_FAR_MM * PX_PER_MM)
    offsets = np.arange(-half, half + 1)
    bands = _straighten(pose.pixels, curve, normals, offsets)
    along = _RIM_ALONG_MM * PX_PER_MM * _N_ALONG / (last - first)
    edges = _edge_strength(bands, np.array([1.0]), across=_ACROSS_MM * PX_PER_MM, along=along)
    main = edges[0][:, np.abs(offsets) <= 0.5 * PX_PER_MM].max(axis=1).mean()
    near = round(half - _RIM_NEAR_MM * PX_PER_MM)
    beside = np.concatenate([edges[:, :, near::-1], edges[:, :, -near - 1 :]])  # above, below
    path = _cheapest_paths(-beside)
    strength = np.take_along_axis(beside, path[..., None], axis=2).mean(axis=(1, 2))
    clearer = int(strength.argmax())
    if strength[clearer] < _RIM_SHARE * main:
        return None
    return float(half - near + path[clearer].mean())


def curve_rows(nodes: ArrayLike, cols: ArrayLike) -> FloatArray:
    """Rows at columns of the smooth curve through nodes (cubic, slopes limited).

    Parameters
    ----------
    nodes : (n, 2) array
        ``(row, col)``; a node that does not lie beyond the one before it is left out.
    cols : (m,) array
    """
    points = np.asarray(nodes, np.float64)
    ahead = np.concatenate([[True], np.diff(np.maximum.accumulate(points[:, 1])) > 1e-6])
    row, col = points[ahead].T
    if len(col) == 1:
        return np.full(np.shape(cols), row[0])
    steps = np.diff(col)
    rises = np.diff(row) / steps
    inner = (rises[:-1] * steps[1:] + rises[1:] * steps[:-1]) / (steps[:-1] + steps[1:])
    slopes = np.concatenate([rises[:1], inner, rises[-1:]])
    at = np.asarray(cols, np.float64)
    i = np.clip(np.searchsorted(col, at) - 1, 0, len(steps) - 1)
    t = np.clip((at - col[i]) / steps[i], 0, 1)
    return np.asarray(
        row[i] * (1 + 2 * t) * (1 - t) ** 2
        + slopes[i] * steps[i] * t * (1 - t) ** 2
        + row[i + 1] * t**2 * (3 - 2 * t)
        + slopes[i + 1] * steps[i] * t**2 * (t - 1)
    )


def follow_edges(
    pixels: FloatImage,
    curves: FloatArray,
    signs: NDArray[np.float64],
    *,
    reach_mm: float,
    trust_mm: float,
    px_per_mm: float,
) -> tuple[FloatArray, FloatArray]:
    """Move curves onto the edges beside them, by the path of least cost.

    The cost is the picture's slope along the curve's normal, divided by its local root mean square
    (no matter how the contrast was set), plus the squared distance from the curve and the squared
    change from one place to the next.

    Parameters
    ----------
    pixels : (rows, cols) array
    curves : (m, n, 2) array
        ``(row, col)`` px; normals point to their left, downwards for a curve that goes right.
    signs : (m,) array
        1 where the picture turns bright along the normal, -1 where it turns dark.
    reach_mm, trust_mm : float
        How far to look, and the distance that costs as much as half a faint edge, in mm of a knee
        whose plateau is 80 mm wide.
    px_per_mm : float
        Pixels to such a millimetre.

    Returns
    -------
    moved : (m, n, 2) array
    strength : (m,) array
        Mean slope along the path over the local root mean square.
    """
    tangents = np.gradient(curves, axis=1)
    length = np.linalg.norm(tangents, axis=2, keepdims=True)
    tangents /= np.maximum(length, 1e-9)
    normals = np.stack([tangents[..., 1], -tangents[..., 0]], axis=2)
    per_mm = px_per_mm / max(float(np.mean(length)), 1e-9)  # places on the curve to a millimetre
    half = np.ceil(reach_mm * px_per_mm)
    offsets = np.arange(-half, half + 1)
    bands = _straighten(pixels, curves, normals, offsets)
    edges = _edge_strength(
        bands, signs, across=max(_ACROSS_MM * px_per_mm, 0.5), along=_ALONG_MM * per_mm
    )
    cost = 0.5 * (offsets / (trust_mm * px_per_mm)) ** 2 - np.minimum(edges, _MOST_GAIN)
    path = _cheapest_paths(cost)
    moved_by = _parabola_peak(edges, path) + offsets[0]
    moved_by = _smooth_along(moved_by, _SMOOTH_MM * per_mm)
    strength = np.take_along_axis(edges, path[..., None], axis=2)[..., 0].mean(axis=1)
    return curves + moved_by[..., None] * normals, strength


def _straighten(
    pixels: FloatImage, curves: FloatArray, normals: FloatArray, offsets: FloatArray
) -> NDArray[np.float32]:
    """Grey values beside the curves, (m, n, offsets and `_SPARE` more at either end)."""
    wide = np.concatenate(
        [offsets[0] + np.arange(-_SPARE, 0), offsets, offsets[-1] + np.arange(1, _SPARE + 1)]
    )
    at = curves[:, :, None] + wide[:, None] * normals[:, :, None]
    flat = at.reshape(-1, len(wide), 2).astype(np.float32)
    band = cv2.remap(
        pixels, flat[..., 1], flat[..., 0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(band, np.float32).reshape(at.shape[:3])


def _edge_strength(
    bands: NDArray[np.float32], signs: NDArray[np.float64], *, across: float, along: float
) -> FloatArray:
    """Slope along the normals over its local root mean square, 0 where it has the other sign."""
    edges = np.empty((*bands.shape[:2], bands.shape[2] - 2 * _SPARE))
    for i, sign in enumerate(signs):
        smooth = cv2.GaussianBlur(
            bands[i], (0, 0), sigmaX=across, sigmaY=along, borderType=cv2.BORDER_REPLICATE
        )
        slope = np.float32(sign) * (smooth[:, 2:] - smooth[:, :-2])
        slope = slope[:, _SPARE - 1 : 1 - _SPARE]
        power = cv2.blur(np.square(slope).mean(axis=1, keepdims=True), (1, _N_LOCAL))
        edges[i] = np.maximum(slope / np.sqrt(power + np.finfo(np.float32).tiny), 0)
    return edges


def _cheapest_paths(cost: FloatArray) -> NDArray[np.int_]:
    """Places (m, n) of the cheapest paths through costs (m, n, offsets), at most 1 a step."""
    n_curves, n_along, n_across = cost.shape
    totals = np.full((n_along, n_curves, n_across + 2), np.inf)  # a wall at either end
    totals[0, :, 1:-1] = cost[:, 0]
    for i in range(1, n_along):
        before, now = totals[i - 1], totals[i, :, 1:-1]
        np.minimum(before[:, :-2], before[:, 2:], out=now)
        now += _STIFFNESS
        np.minimum(now, before[:, 1:-1], out=now)
        now += cost[:, i]
    path = np.empty((n_along, n_curves), np.int64)
    path[-1] = totals[-1].argmin(axis=1)
    rows, steps = np.arange(n_curves)[:, None], np.array([-1, 0, 1])
    toll = _STIFFNESS * np.abs(steps)
    for i in range(n_along - 1, 0, -1):
        ways = totals[i - 1][rows, path[i][:, None] + steps] + toll
        path[i - 1] = path[i] + ways.argmin(axis=1) - 1
    return path.T - 1


def _parabola_peak(values: FloatArray, path: NDArray[np.int_]) -> FloatArray:
    """Path refined to the top of the parabola through the values at it and beside it."""
    inside = np.clip(path, 1, values.shape[2] - 2)
    before, at, after = (
        np.take_along_axis(values, (inside + by)[..., None], axis=2)[..., 0] for by in (-1, 0, 1)
    )
    bend = before - 2 * at + after
    refined = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0)
    return np.asarray(path + np.where(inside == path, np.clip(refined, -0.5, 0.5), 0.0))


def _smooth_along(values: FloatArray, sigma: float) -> FloatArray:
    """Gaussian mean along the rows of (m, n) values; ends are continued."""
    smoothed = cv2.GaussianBlur(
        values, (0, 0), sigmaX=max(sigma, 0.1), sigmaY=1e-3, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(smoothed, np.float64)
