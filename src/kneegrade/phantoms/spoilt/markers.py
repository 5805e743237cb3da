"""An image of a knee -> the same knee with lead letters or steel beads beside it.

They are as white as metal in a knee, but not a reason to refuse it.
"""

from typing import Final

import cv2
import numpy as np

from kneegrade.arrays import FloatImage, GreyImage, Points, round_to_grey
from kneegrade.phantoms.spoilt.metal import PLATEAU_MM
from kneegrade.types import plateau_ends, plateau_width

_TEXTS: Final = ("L", "R", "L", "R", "L", "R", "LT", "RT", "PA", "AM", "7", "K")
_FONTS: Final = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_CANVAS_PX: Final = 256
_LETTER_PX: Final = 100
"""Height of a letter on its canvas."""


def paint_markers(picture: GreyImage, points: Points, rng: np.random.Generator) -> GreyImage:
    """Lay a lead letter (in three of four) or a row of beads beside the knee.

    Parameters
    ----------
    picture : (n, n) array, uint8
    points : (16, 2) array
        Landmarks of the knee on it, px.
    rng : numpy.random.Generator

    Returns
    -------
    (n, n) array, uint8
    """
    px_per_mm = plateau_width(points) / PLATEAU_MM
    side, end = tuple(zip((-1, 1), plateau_ends(points), strict=True))[int(rng.integers(2))]
    away = rng.uniform(-2, 20) * px_per_mm
    row = float(end[0]) + rng.uniform(-55, 55) * px_per_mm
    mask = np.zeros(picture.shape, np.float32)
    if rng.random() < 0.75:
        height = rng.uniform(7, 20) * px_per_mm
        centre = (row, float(end[1]) + side * (away + 0.5 * height))
        mask = _draw_letter(picture.shape, centre, height, rng)
        if rng.random() < 0.15:  # on a dark plate
            plate = np.asarray(cv2.dilate(mask, np.ones((9, 9), np.uint8)), np.float32)
            picture = _lay(picture, plate, rng.uniform(0, 50))
    else:
        radius, step = rng.uniform(0.8, 3) * px_per_mm, rng.uniform(10, 35) * px_per_mm
        col = float(end[1]) + side * (away + 3 * px_per_mm)
        for at in np.arange(row % step, len(picture), step):
            centre16 = (round(16 * col), round(16 * at))
            cv2.circle(mask, centre16, round(16 * radius), 1.0, -1, cv2.LINE_AA, 4)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.35, 1)), np.float32)
    white = max(rng.uniform(215, 256), float(np.percentile(picture, 97)))
    return _lay(picture, mask * np.float32(rng.uniform(0.75, 1)), white)


def _draw_letter(
    shape: tuple[int, ...], centre: tuple[float, float], height: float, rng: np.random.Generator
) -> FloatImage:
    """Cover of each pixel by one or two letters, a little askew, now and then lying or mirrored."""
    text, font = _TEXTS[int(rng.integers(len(_TEXTS)))], _FONTS[int(rng.integers(len(_FONTS)))]
    canvas = np.zeros((_CANVAS_PX, _CANVAS_PX), np.uint8)
    scale, line = _LETTER_PX / 22, int(rng.integers(8, 24))
    (width, tall), _ = cv2.getTextSize(text, font, scale, line)
    at = ((_CANVAS_PX - width) // 2, (_CANVAS_PX + tall) // 2)
    cv2.putText(canvas, text, at, font, scale, 255, line, cv2.LINE_AA)
    if rng.random() < 0.2:
        canvas = np.ascontiguousarray(canvas[:, ::-1])
    angle = rng.normal(0, 10) + rng.choice([0, 0, 0, 0, 90, -90, 180])
    step = height / _LETTER_PX
    turn = cv2.getRotationMatrix2D((_CANVAS_PX / 2, _CANVAS_PX / 2), float(angle), step)
    turn += np.array([[0, 0, centre[1] - _CANVAS_PX / 2], [0, 0, centre[0] - _CANVAS_PX / 2]])
    laid = cv2.warpAffine(canvas, turn, shape[::-1], flags=cv2.INTER_AREA)
    return np.asarray(laid, np.float32) / np.float32(255)


def _lay(picture: GreyImage, mask: FloatImage, grey: float) -> GreyImage:
    return round_to_grey(picture + (np.float32(grey) - picture) * mask)
