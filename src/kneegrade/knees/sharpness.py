"""Motion blur of a knee picture: fine detail that is missing along one direction."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.types import FloatImage

Energies = NDArray[np.float64]

SCALES_PX: Final = (0.6, 1.0, 1.6, 2.5, 4.0)
"""Standard deviations of the Gaussians under which detail is measured."""
N_DIRECTIONS: Final = 8
_TILES: Final = 7
_FLOOR: Final = 1e-2
"""Added to energies before their logarithm: of one hundredth of a grey level squared (of 255)."""

ALONG: Final = (-11.73, -4.09, 3.06, 4.86, 1.03)
ACROSS: Final = (4.46, 2.05, 1.84, 0.87, -3.04)
BIASES: Final = (0.22, 1.63, 1.83, 0.76, 0.38, -0.49, 1.48, 1.02)
"""Weights by scale, along and across the motion, and biases by its direction, of a logistic
regression that tells training knees from the same knees after a motion of 3 to 9 mm, as
benchmarks/fit_motion_blur.py prints them."""


def measure_motion_blur(pixels: FloatImage) -> float:
    """How much a picture looks like one of a knee that moved.

    Contrast enhancement changes the strength of detail in a place at all scales and directions
    alike; what is compared here are scales and directions with one another.

    Parameters
    ----------
    pixels : (n, n) array, float32 in [0, 1]
        A knee, 175 px to a plateau width.

    Returns
    -------
    float
        Log odds by the logistic regression: negative for sharp knees.
    """
    along, across = arrange_energies(measure_energies(pixels))
    per_direction = along @ np.array(ALONG) + across @ np.array(ACROSS) + np.array(BIASES)
    return float(np.logaddexp.reduce(per_direction))


def arrange_energies(energies: Energies) -> tuple[Energies, Energies]:
    """Energies along and across each direction, (directions, scales), relative to the coarsest."""
    along = (energies - energies[-1].mean()).T
    return along, np.roll(along, N_DIRECTIONS // 2, axis=0)


def measure_energies(pixels: FloatImage) -> Energies:
    """Logarithm of the detail in a picture, (scales, directions).

    Detail is the squared slope along a direction, median over the inner tiles of the picture. The
    directions are ``k / 8`` of half a turn from the columns' towards the rows'.
    """
    grey = pixels * np.float32(255)
    angles = np.pi * np.arange(N_DIRECTIONS) / N_DIRECTIONS
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    energies = []
    for scale in SCALES_PX:
        smooth = cv2.GaussianBlur(grey, (0, 0), scale)
        by_row = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1)
        by_col = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1)
        cc, rc, rr = (
            cv2.resize(product, (_TILES, _TILES), interpolation=cv2.INTER_AREA)[1:-1, 1:-1].ravel()
            for product in (by_col * by_col, by_row * by_col, by_row * by_row)
        )
        squared = cos**2 * cc + 2 * cos * sin * rc + sin**2 * rr
        energies.append(np.log(np.median(squared, axis=1) + _FLOOR))
    return np.array(energies, dtype=np.float64)
