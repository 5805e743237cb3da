"""An image of a knee -> the same knee, moved while it was exposed."""

import cv2
import numpy as np

from kneegrade.arrays import GreyImage, round_to_grey


def blur_by_motion(picture: GreyImage, length_px: float, rng: np.random.Generator) -> GreyImage:
    """Move the image steadily along a line while it is exposed; fresh grain on top.

    Parameters
    ----------
    picture : (n, n) array, uint8
    length_px : float
        Length of the motion.
    rng : numpy.random.Generator
        Draws its direction and the grain.

    Returns
    -------
    (n, n) array, uint8
    """
    fine = 8  # the kernel is drawn this many times as fine as the image
    n = 2 * int(np.ceil(length_px / 2)) + 5
    angle = rng.uniform(0, np.pi)
    half = np.array([np.cos(angle), np.sin(angle)]) * length_px * fine / 2
    ends = [tuple(np.rint(n * fine / 2 + sign * half).astype(int).tolist()) for sign in (-1, 1)]
    drawn = np.zeros((n * fine, n * fine), np.float32)
    cv2.line(drawn, ends[0], ends[1], 1.0, fine, cv2.LINE_AA)
    kernel = cv2.resize(drawn, (n, n), interpolation=cv2.INTER_AREA)
    moved = cv2.filter2D(
        picture.astype(np.float32), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT
    )
    return round_to_grey(moved + rng.normal(0, rng.uniform(0, 3), moved.shape))
