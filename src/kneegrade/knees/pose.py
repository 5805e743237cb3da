"""Small changes of an ROI's pose."""

import cv2
import numpy as np
from numpy.typing import NDArray

Gray8 = NDArray[np.uint8]


def change_pose(
    pixels: Gray8,
    *,
    scale: float,
    rotation_deg: float,
    shift_px: tuple[float, float] = (0.0, 0.0),
) -> Gray8:
    """Enlarge, rotate about the centre, and shift, in this order; edges are continued outwards.

    Parameters
    ----------
    pixels : (n, n) array, uint8
    scale : float
        Above 1 enlarges the knee.
    rotation_deg : float
        Counter-clockwise.
    shift_px : (row, col)
    """
    if (scale, rotation_deg, *shift_px) == (1, 0, 0, 0):
        return pixels
    size = pixels.shape[0]
    affine = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), rotation_deg, scale)
    affine[:, 2] += np.array(shift_px[::-1])
    moved = cv2.warpAffine(pixels, affine, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)
