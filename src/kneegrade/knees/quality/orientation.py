"""Polarity and side of a knee picture, by an average knee.

The average knee is the pixel-wise median of 5,708 knees in standard pose (48 x 48, ``lateral at
column 0``), an aggregate that shows no participant. `compute_average_knee` made it from the open
training knees: Pingjun Chen, "Knee Osteoarthritis Severity Grading Dataset", Mendeley Data, V1
(2018), doi:10.17632/56rmx5bjcr.1, CC BY 4.0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage
from kneegrade.types import Side

AVERAGE_KNEE_FILE: Final = Path(__file__).parent / "average_knee.png"
AVERAGE_KNEE_PX: Final = 48


@dataclass(frozen=True)
class Orientation:
    """What a picture of one knee shows about its side and polarity.

    Parameters
    ----------
    side : Side
        The likelier side.
    side_margin : float
        Correlation with the average knee of that side minus that of the other side, 0 to 2.
    polarity : float
        Correlation with the average knee without its sides, -1 to 1; negative where bone is dark.
    match : float
        Correlation with the average knee of that side and polarity, 0 to 1.
    """

    side: Side
    side_margin: float
    polarity: float
    match: float


@cache
def read_average_knee(size_px: int = AVERAGE_KNEE_PX) -> FloatImage:
    """The average knee, ``(size_px, size_px)``, mean 0 and standard deviation 1, lateral first.

    Read-only: it is read once.
    """
    stored = cv2.imread(str(AVERAGE_KNEE_FILE), cv2.IMREAD_GRAYSCALE)
    if stored is None:
        raise FileNotFoundError(AVERAGE_KNEE_FILE.name)
    average = _standardise(_shrink(np.asarray(stored, dtype=np.float32), size_px))
    average.setflags(write=False)
    return average


def compute_average_knee(rois: Iterable[FloatImage]) -> NDArray[np.uint8]:
    """Pixel-wise median of ROIs in standard pose, scaled to 0..255: ``(48, 48)``, uint8."""
    thumbnails = [_standardise(_shrink(roi, AVERAGE_KNEE_PX)) for roi in rois]
    median = np.median(np.stack(thumbnails), axis=0)
    scaled = (median - median.min()) / (median.max() - median.min())
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)


def judge_orientation(pixels: FloatImage) -> Orientation:
    """Tell side and polarity of a picture that shows one knee and little else.

    Parameters
    ----------
    pixels : (rows, cols) array, float32
        About square, joint near the middle, hung the usual way or mirrored.
    """
    picture = _standardise(_shrink(pixels, AVERAGE_KNEE_PX))
    right = read_average_knee()
    left = right[:, ::-1]
    without_side = _standardise(np.asarray((right + left) / 2, dtype=np.float32))
    polarity = float((picture * without_side).mean())
    sign = -1.0 if polarity < 0 else 1.0
    as_right = sign * float((picture * right).mean())
    as_left = sign * float((picture * left).mean())
    return Orientation(
        side=Side.RIGHT if as_right >= as_left else Side.LEFT,
        side_margin=abs(as_right - as_left),
        polarity=polarity,
        match=max(as_right, as_left, 0.0),
    )


def _shrink(pixels: FloatImage, size_px: int) -> FloatImage:
    shrunk = cv2.resize(
        np.ascontiguousarray(pixels, np.float32), (size_px, size_px), interpolation=cv2.INTER_AREA
    )
    return np.asarray(shrunk, dtype=np.float32)


def _standardise(pixels: FloatImage) -> FloatImage:
    deviation = float(pixels.std())
    scaled: FloatImage = (pixels - pixels.mean()) / (deviation if deviation > 0 else 1.0)
    return scaled
