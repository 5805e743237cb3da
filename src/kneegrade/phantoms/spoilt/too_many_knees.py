"""Knees of several films -> one film that shows too many: three, or two of the same side."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from kneegrade.arrays import GreyImage, Points, round_to_grey
from kneegrade.images.geometry import apply_affine, invert_affine, resample

MOST_KNEES: Final = 3
PLATEAU_SHARES: Final = (0.5, 0.75)
"""Plateau width over the width of a knee's strip."""


def join_knees(
    films: Sequence[tuple[GreyImage, Points]], rng: np.random.Generator
) -> tuple[GreyImage, Points]:
    """Put one knee of each film side by side, in strips and with plateaus of one width.

    Parameters
    ----------
    films : sequence of (pixels, points)
        2 or 3 images of whole films, (n, n) uint8, with the ends of their plateaus, (4, 2):
        lateral and medial of the right, then of the left knee; NaN where there is none.
    rng : numpy.random.Generator

    Returns
    -------
    pixels : (n, n) array, uint8
    points_px : (films, 4, 2) array
        The ends of the plateau that each strip shows.
    """
    n = len(films[0][0])
    edges = np.linspace(0, n, len(films) + 1).round().astype(int)
    share, row = rng.uniform(*PLATEAU_SHARES), n * rng.uniform(0.35, 0.65)
    strips, points = [], np.full((len(films), 4, 2), np.nan)
    for i, (pixels, ends) in enumerate(films):
        sides = [s for s in (0, 2) if np.isfinite(ends[s : s + 2]).all()]
        side = sides[int(rng.integers(len(sides)))]
        shown = ends[side : side + 2]
        width = int(edges[i + 1] - edges[i])
        wanted = width * share * np.exp(rng.normal(0, 0.05))
        step = float(np.linalg.norm(shown[1] - shown[0])) / wanted
        centre = np.array([row, (width - 1) / 2]) + rng.normal(0, 0.03 * width, 2)
        affine = np.column_stack([np.eye(2) * step, shown.mean(axis=0) - step * centre])
        fill = float(np.percentile(pixels, 2))
        strip, _ = resample(pixels.astype(np.float32), affine, (n, width), fill=fill)
        strips.append(strip)
        on_strip = apply_affine(invert_affine(affine), shown)
        points[i, side : side + 2] = on_strip + np.array([0, edges[i]])
    return round_to_grey(np.hstack(strips)), points
