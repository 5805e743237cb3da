"""Curves of (row, col) points in mm: smoothing, placing, roughening, distances between them."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kneegrade.arrays import FloatArray, Points

PER_NODE: Final = 16
"""Points that `smooth_curve` makes of each stretch between two nodes."""
_STEP_MM: Final = 0.25
_ROUGH_NEAR_MM: Final = 20.0
_SMOOTH_FROM_MM: Final = 45.0


class Similarity(NamedTuple):
    """Scale, turn (rad, medial side down) about ``old``, then shift to ``new``."""

    scale: float
    angle: float
    old: Points
    new: Points


def smooth_curve(nodes: ArrayLike, *, closed: bool = True) -> Points:
    """Curve through the nodes (centripetal Catmull-Rom), `PER_NODE` points to a stretch.

    Parameters
    ----------
    nodes : (n, 2) array
    closed : bool

    Returns
    -------
    (m, 2) array
        Every `PER_NODE`-th point is a node.
    """
    nodes = np.asarray(nodes, np.float64)
    if closed:
        ring = np.vstack([nodes[-1:], nodes, nodes[:2]])
    else:
        ring = np.vstack([2 * nodes[0] - nodes[1], nodes, 2 * nodes[-1] - nodes[-2]])
    p0, p1, p2, p3 = (ring[i : len(ring) - 3 + i, None] for i in range(4))
    t1 = np.linalg.norm(p1 - p0, axis=2)[..., None] ** 0.5
    t2 = t1 + np.linalg.norm(p2 - p1, axis=2)[..., None] ** 0.5
    t3 = t2 + np.linalg.norm(p3 - p2, axis=2)[..., None] ** 0.5
    t = t1 + (t2 - t1) * np.linspace(0, 1, PER_NODE, endpoint=False)[None, :, None]
    a1 = (t1 - t) / t1 * p0 + t / t1 * p1
    a2 = (t2 - t) / (t2 - t1) * p1 + (t - t1) / (t2 - t1) * p2
    a3 = (t3 - t) / (t3 - t2) * p2 + (t - t2) / (t3 - t2) * p3
    b1 = (t2 - t) / t2 * a1 + t / t2 * a2
    b2 = (t3 - t) / (t3 - t1) * a2 + (t - t1) / (t3 - t1) * a3
    curve = ((t2 - t) / (t2 - t1) * b1 + (t - t1) / (t2 - t1) * b2).reshape(-1, 2)
    return curve if closed else np.vstack([curve, nodes[-1:]])


def turn_and_shift(points: Any, angle: float, shift: float) -> Points:
    """Rotate about the origin, medial side down for a positive angle, then shift distally."""
    cos, sin = np.cos(angle), np.sin(angle)
    rows, cols = np.asarray(points, np.float64).T
    return np.stack([rows * cos + cols * sin + shift, cols * cos - rows * sin], axis=1)


def fit_similarity(old: Points, new: Points) -> Similarity:
    """The scale, turn and shift that bring two points to two others.

    Parameters
    ----------
    old, new : (2, 2) array
        Lateral and medial end.
    """
    (old_down, old_along), (new_down, new_along) = old[1] - old[0], new[1] - new[0]
    return Similarity(
        scale=float(np.hypot(new_down, new_along) / np.hypot(old_down, old_along)),
        angle=float(np.arctan2(new_down, new_along) - np.arctan2(old_down, old_along)),
        old=old.mean(axis=0),
        new=new.mean(axis=0),
    )


def move_similarly(points: Any, fit: Similarity) -> Points:
    """Apply a similarity to (n, 2) points."""
    centred = (np.asarray(points, np.float64) - fit.old) * fit.scale
    return turn_and_shift(centred, fit.angle, 0.0) + fit.new


def roughen_outline(outline: Points, noise: FloatArray) -> Points:
    """Give a closed outline the small bumps of a real bone's edge.

    Bumps are about 0.2 mm away from the joint line and 0.05 mm on it and on the shafts.

    Parameters
    ----------
    outline : (n, 2) array
        The joint line lies about row 0.
    noise : (m, 2) array
        Standard normal values, one row for each 0.25 mm of the outline, repeated where they end.

    Returns
    -------
    (k, 2) array
        Points about 0.25 mm apart.
    """
    ring = np.vstack([outline, outline[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=1))])
    n = round(along[-1] / _STEP_MM)
    places = np.linspace(0, along[-1], n, endpoint=False)
    dense = np.stack([np.interp(places, along, ring[:, axis]) for axis in (0, 1)], axis=1)
    tangent = np.roll(dense, -1, axis=0) - np.roll(dense, 1, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    fine, coarse = (
        _smooth_ring(np.resize(noise[:, i], n), width) for i, width in ((0, 5), (1, 19))
    )
    away = np.abs(dense[:, 0])
    amount = np.where((away > _ROUGH_NEAR_MM) & (away < _SMOOTH_FROM_MM), 1.0, 0.25)
    amount = _smooth_ring(amount, 14)
    bumps = np.clip(0.08 * _unit(fine) + 0.2 * _unit(coarse), -0.5, 0.5) * amount
    return np.asarray(dense + normal * bumps[:, None], np.float64)


def surface_rows(outline: Points, cols: FloatArray, reach: float) -> FloatArray:
    """Rows of the joint surface of a femur or tibia outline at the given columns.

    Parameters
    ----------
    outline : (n, 2) array
    cols : (m,) array
        In mm, within the joint.
    reach : float
        How far from the origin the joint surface goes sideways, in mm.
    """
    near = outline[(np.abs(outline[:, 0]) < 16) & (np.abs(outline[:, 1]) < reach)]
    near = near[np.argsort(near[:, 1])]
    return np.asarray(np.interp(cols, near[:, 1], near[:, 0]), np.float64)


def _smooth_ring(values: FloatArray, width: int) -> FloatArray:
    """Running mean of ``2 * width + 1`` values of a closed line, taken twice."""
    kernel = np.ones(2 * width + 1) / (2 * width + 1)
    for _ in range(2):
        padded = np.concatenate([values[-width:], values, values[:width]])
        values = np.convolve(padded, kernel, mode="valid")
    return values


def _unit(values: FloatArray) -> FloatArray:
    return values / max(float(values.std()), 1e-9)
