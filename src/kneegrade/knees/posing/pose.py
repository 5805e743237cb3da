"""Standard pose: the affine from a square picture of a knee, or of a film, to the radiograph."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Gray8 = NDArray[np.uint8]

CENTRE_ABOVE_PLATEAU: Final = 0.101
"""How far the valley between the tibial spines, the joint's centre, lies proximally of the line
between the ends of the plateau, in plateau widths: mean of 748 knees of KNEEL
(arXiv:1907.12237)."""


def knee_affine(
    lateral_px: NDArray[np.float64],
    medial_px: NDArray[np.float64],
    *,
    size_px: int,
    plateau_widths: float,
    pixel_size: tuple[float, float] = (1.0, 1.0),
) -> NDArray[np.float64]:
    """Affine (2, 3) from a square picture in standard pose to the radiograph.

    The plateau is level, lateral at the lesser columns, the joint's centre in the middle, proximal
    above; the picture is ``plateau_widths`` times the distance of the two ends wide. Its pixels are
    square, whatever shape those of the radiograph have.

    Parameters
    ----------
    lateral_px, medial_px : (2,) array
        Outer ends of the tibial plateau on the radiograph, ``(row, col)``.
    size_px : int
        Rows and columns of the picture.
    plateau_widths : float
    pixel_size : (row, col)
        Of the radiograph, in mm or in any other unit.
    """
    stretch = np.array(pixel_size) / pixel_size[0]
    lateral, medial = lateral_px * stretch, medial_px * stretch
    across = medial - lateral
    step = plateau_widths / size_px
    col_axis = across * step
    # Rows grow distally, hence down the film, whichever way across points.
    distal = np.array([across[1], -across[0]]) * (1.0 if across[1] >= 0 else -1.0)
    row_axis = distal * step
    centre = (lateral + medial) / 2 - CENTRE_ABOVE_PLATEAU * distal
    linear = np.stack([row_axis, col_axis], axis=1)
    first = centre - linear @ np.full(2, (size_px - 1) / 2)
    return np.column_stack([linear, first]) / stretch[:, None]


def film_affine(
    shape: tuple[int, ...], size_px: int, pixel_size: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.float64]:
    """Affine (2, 3) from a square picture that holds the whole film, in its middle, to the film.

    Its pixels are square; ``pixel_size`` (row, col) is the film's, in any unit.
    """
    step = max(np.multiply(shape, pixel_size)) / size_px
    row_step, col_step = (step / size for size in pixel_size)
    first = [
        (side - 1) / 2 - own * (size_px - 1) / 2
        for side, own in zip(shape, (row_step, col_step), strict=True)
    ]
    return np.array([[row_step, 0.0, first[0]], [0.0, col_step, first[1]]])


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
