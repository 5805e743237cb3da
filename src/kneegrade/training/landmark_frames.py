"""Where a known shape lies in a picture whose frame is not known: scale and translation.

KNEEL's landmarks are published without their films; pictures of the same knees are published
without their frame. What is missing is a scale and a translation per knee, since neither turns
the knee. A network's points on the picture give it: robustly, for single points may be wrong.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ROUNDS: Final = 15
TOLERANCE_MM: Final = 1.0
"""A point that misses by so much counts half."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Scale and translation from mm to a picture, and what they leave unexplained.

    Parameters
    ----------
    px_per_mm : float
    shift_px : (2,) array
        ``(row, col)`` of the origin.
    residuals_mm : (k,) array
        Distance of each point from where the frame puts it.
    """

    px_per_mm: float
    shift_px: NDArray[np.float64]
    residuals_mm: NDArray[np.float64]

    def to_px(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(row, col)`` in px of points ``(k, 2)`` in mm."""
        return points_mm * self.px_per_mm + self.shift_px


def fit_frame(shape_mm: NDArray[np.float64], points_px: NDArray[np.float64]) -> Frame:
    """Fit scale and translation by iteratively reweighted least squares (Cauchy weights).

    Parameters
    ----------
    shape_mm, points_px : (k, 2) array
        ``(row, col)`` of the same points.
    """
    weights = np.ones(len(shape_mm))
    scale, shift, misses = 1.0, np.zeros(2), np.zeros(len(shape_mm))
    for _ in range(ROUNDS):
        share = (weights / weights.sum())[:, None]
        middle_mm, middle_px = (share * shape_mm).sum(axis=0), (share * points_px).sum(axis=0)
        centred_mm, centred_px = shape_mm - middle_mm, points_px - middle_px
        scale = float((share * centred_mm * centred_px).sum() / (share * centred_mm**2).sum())
        shift = middle_px - scale * middle_mm
        misses = np.linalg.norm(points_px - (scale * shape_mm + shift), axis=1) / abs(scale)
        weights = 1 / (1 + (misses / TOLERANCE_MM) ** 2)
    return Frame(scale, shift, misses)
