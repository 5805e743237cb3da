"""Polarity and side of a knee picture, and where the knee is on a film: by an average knee.

The average knee is the pixel-wise median of 5,708 knees in standard pose (48 x 48, ``lateral at
column 0``), an aggregate that shows no participant. `compute_average_knee` made it from the open
training knees: Pingjun Chen, "Knee Osteoarthritis Severity Grading Dataset", Mendeley Data, V1
(2018), doi:10.17632/56rmx5bjcr.1, CC BY 4.0.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.types import FloatImage, Side

AVERAGE_KNEE_FILE: Final = Path(__file__).parent / "average_knee.png"
AVERAGE_KNEE_PX: Final = 48
SEARCH_PX: Final = 32
SMALLEST_BOX: Final = 0.2
"""Smallest searched box, as a share of the film's shorter side."""
OVERHANG_PX: Final = 4
"""How far a searched box may hang over the film's edge, in px of the 32 px box."""


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


@dataclass(frozen=True)
class KneeBox:
    """A square around one knee on a film, with the field of view of the average knee.

    Parameters
    ----------
    top, left : float
        Its corner in px: ``(row, col)`` of its outer edge, where the film's own edge is 0.
    size_px : float
        Its width and height in px of the film.
    side : Side
        The side that the picture shows.
    inverted : bool
        Whether bone is dark.
    score : float
        Correlation with the average knee, 0 to 1.
    """

    top: float
    left: float
    size_px: float
    side: Side
    inverted: bool
    score: float


def read_average_knee(size_px: int = AVERAGE_KNEE_PX) -> FloatImage:
    """The average knee, ``(size_px, size_px)``, mean 0 and standard deviation 1, lateral first."""
    stored = cv2.imread(str(AVERAGE_KNEE_FILE), cv2.IMREAD_GRAYSCALE)
    if stored is None:
        raise FileNotFoundError(AVERAGE_KNEE_FILE.name)
    return _standardise(_shrink(np.asarray(stored, dtype=np.float32), size_px))


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


def locate_by_average_knee(pixels: FloatImage) -> dict[Side, KneeBox]:
    """Find the best match of a right and of a left average knee on a film, at any scale.

    Parameters
    ----------
    pixels : (rows, cols) array, float32

    Returns
    -------
    mapping of Side to KneeBox
        One box per side; the better score tells which knee it is. Both are always there, however
        poor: the caller sets the bar.
    """
    low, high = np.percentile(pixels, (1, 99.5))
    film = np.clip((pixels - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    shorter = min(pixels.shape)
    # Twice the detail that the smallest box needs: the many scales below start from this.
    shrink = min(1.0, 2 * SEARCH_PX / (SMALLEST_BOX * shorter))
    small = cv2.resize(
        film.astype(np.float32), None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA
    )
    right = read_average_knee(SEARCH_PX)
    best: dict[Side, KneeBox] = {}
    for size_px in np.geomspace(SMALLEST_BOX * shorter, shorter, 18):
        for side in Side:
            average = right if side is Side.RIGHT else right[:, ::-1]
            box = _match_at(small, float(size_px) * shrink, average, side)
            if side not in best or box.score > best[side].score:
                best[side] = box
    return {side: _enlarge(box, 1 / shrink) for side, box in best.items()}


def _enlarge(box: KneeBox, factor: float) -> KneeBox:
    return replace(box, top=box.top * factor, left=box.left * factor, size_px=box.size_px * factor)


def _match_at(film: FloatImage, size_px: float, average: FloatImage, side: Side) -> KneeBox:
    scale = SEARCH_PX / size_px
    size = (
        max(SEARCH_PX, round(film.shape[1] * scale)),
        max(SEARCH_PX, round(film.shape[0] * scale)),
    )
    small = cv2.resize(film, size, interpolation=cv2.INTER_AREA)
    edge = OVERHANG_PX
    small = cv2.copyMakeBorder(small, edge, edge, edge, edge, borderType=cv2.BORDER_REPLICATE)
    scores = cv2.matchTemplate(small, np.ascontiguousarray(average), cv2.TM_CCOEFF_NORMED)
    # A box of nearly one grey value matches anything: leave it out.
    mean = _box_means(small)
    variance = _box_means(small * small) - mean * mean
    rows, columns = scores.shape
    lively = variance[:rows, :columns] > 0.1 * float(small.var())
    usable = np.where(lively & np.isfinite(scores), scores, 0)
    row, column = np.unravel_index(int(np.argmax(np.abs(usable))), usable.shape)
    return KneeBox(
        top=(float(row) - OVERHANG_PX) * film.shape[0] / size[1],
        left=(float(column) - OVERHANG_PX) * film.shape[1] / size[0],
        size_px=size_px,
        side=side,
        inverted=bool(usable[row, column] < 0),
        score=float(abs(usable[row, column])),
    )


def _box_means(pixels: NDArray[Any]) -> NDArray[Any]:
    """Mean of the box that has its top left corner at each pixel."""
    return cv2.boxFilter(
        pixels, -1, (SEARCH_PX, SEARCH_PX), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE
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
