"""Where a known shape lies in an image whose frame is not known: two scales and a translation.

KNEEL's landmarks are published without their films; images of the same knees are published
without their frame. What is missing is a scale along rows, one along columns and a translation per
knee: nothing is rotated, but the images were cut as oblong boxes and made square. These are
fitted to a network's points on the image, robustly, since single points may be wrong.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from kneegrade.arrays import FloatArray, Points

ROUNDS: Final = 15
TOLERANCE_MM: Final = 1.0
"""A point that misses by this much counts half."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Scales and translation from mm to an image, and what they leave unexplained.

    Parameters
    ----------
    px_per_mm : (2,) array
        Along rows and columns.
    shift_px : (2,) array
        ``(row, col)`` of the origin.
    residuals_mm : (k,) array
        Distance of each point from where the frame puts it.
    """

    px_per_mm: FloatArray
    shift_px: FloatArray
    residuals_mm: FloatArray

    def to_px(self, points_mm: Points) -> Points:
        """``(row, col)`` in px of points ``(k, 2)`` in mm."""
        return points_mm * self.px_per_mm + self.shift_px


def fit_frame(shape_mm: Points, points_px: Points, *, robust: bool = True) -> Frame:
    """Fit scales and translation by least squares.

    Parameters
    ----------
    shape_mm, points_px : (k, 2) array
        ``(row, col)`` of the same points.
    robust : bool
        Reweight iteratively (Cauchy), so that single wrong points have little influence.
    """
    weights = np.ones(len(shape_mm))
    scale, shift, misses = np.ones(2), np.zeros(2), np.zeros(len(shape_mm))
    for _ in range(ROUNDS if robust else 1):
        share = (weights / weights.sum())[:, None]
        middle_mm, middle_px = (share * shape_mm).sum(axis=0), (share * points_px).sum(axis=0)
        centred_mm, centred_px = shape_mm - middle_mm, points_px - middle_px
        scale = (share * centred_mm * centred_px).sum(axis=0) / (share * centred_mm**2).sum(axis=0)
        shift = middle_px - scale * middle_mm
        misses = np.linalg.norm((points_px - shift) / scale - shape_mm, axis=1)
        weights = 1 / (1 + (misses / TOLERANCE_MM) ** 2)
    return Frame(scale, shift, misses)
