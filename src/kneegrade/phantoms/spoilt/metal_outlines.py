"""Sizes in mm -> outlines of what metal in a knee is made of: rods, screws, wires.

Each is an (n, 2) array of points, (row, col) in mm; an angle of 0 points along the columns, 90 deg
down the rows.
"""

from itertools import pairwise

import numpy as np

from kneegrade.arrays import Points

Place = Points | tuple[float, float]


def box(first: tuple[float, float], last: tuple[float, float]) -> Points:
    """A rectangle from one corner to the opposite one."""
    return np.array([first, (first[0], last[1]), last, (last[0], first[1])])


def rod(start: Place, stop: Place, radius: float) -> Points:
    """A rod whose end at ``stop`` is rounded."""
    first, last = np.asarray(start, np.float64), np.asarray(stop, np.float64)
    way = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
    beside = np.array([-way[1], way[0]])
    turn = np.linspace(-np.pi / 2, np.pi / 2, 9)[:, None]
    tip = last + radius * (np.cos(turn) * way + np.sin(turn) * beside)
    return np.vstack([first - radius * beside, tip, first + radius * beside])


def wire(line: Points, radius: float) -> list[Points]:
    """A wire along a line of points."""
    return [rod(a, b, radius) for a, b in pairwise(line)]


def screw(
    start: tuple[float, float], angle_deg: float, length: float, diameter: float, thread: float
) -> list[Points]:
    """A screw from its head on; the last ``thread`` share of it is threaded (0: plain or fine)."""
    way = np.array([np.sin(np.deg2rad(angle_deg)), np.cos(np.deg2rad(angle_deg))])
    beside = np.array([-way[1], way[0]])
    along = np.arange(0, length, 0.6)
    radius = np.full(len(along), diameter / 2 * (1 if thread == 0 else 0.72))
    threaded = along > length * (1 - thread)
    radius[threaded] = diameter / 2 * np.where(np.arange(len(along)) % 4 < 2, 1, 0.62)[threaded]
    radius = np.minimum(radius, (length - along) * 0.8)
    centre = np.array(start) + along[:, None] * way
    offset = radius[:, None] * beside
    shaft = np.vstack([centre + offset, (centre - offset)[::-1]])
    head = rod(np.array(start) - 1.5 * way, np.array(start) + 1.8 * way, diameter * 0.8)
    return [shaft, head]


def graft_screw(
    start: tuple[float, float], angle_deg: float, rng: np.random.Generator
) -> list[Points]:
    """A short thick screw, headless and fully threaded; a hollow one lets bone show through."""
    way = np.array([np.sin(np.deg2rad(angle_deg)), np.cos(np.deg2rad(angle_deg))])
    beside = np.array([-way[1], way[0]])
    first, length = np.array(start), rng.uniform(14, 32)
    radius, pitch = rng.uniform(3, 5.5), rng.uniform(1.8, 3.6)
    core = radius * rng.uniform(0.6, 0.95)
    if rng.random() < 0.5:
        outlines = [rod(first, first + length * way, core)]
    else:
        wall = core * rng.uniform(0.15, 0.3)
        to_wall = (core - wall) * beside
        outlines = [
            rod(first + side * to_wall, first + length * way + side * to_wall, wall)
            for side in (-1, 1)
        ]
    half = radius * beside + rng.uniform(-0.25, 0.25) * pitch * way
    thick = pitch * rng.uniform(0.18, 0.32)
    middles = first + np.arange(pitch / 2, length, pitch)[:, None] * way
    return outlines + [rod(middle - half, middle + half, thick) for middle in middles]
