"""What is measured on one knee to judge its picture by: shape, likeness, exposure, grain."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from kneegrade.arrays import FloatImage, Points
from kneegrade.images.geometry import apply_affine, invert_affine, resample
from kneegrade.knees.posing.pose import StandardPose
from kneegrade.knees.quality.orientation import read_average_knee
from kneegrade.knees.quality.shape_model import compute_shape_distance
from kneegrade.types import KneeROI, Landmarks, Radiograph, plateau_ends, plateau_width

BLANK_LINE: Final = 0.02
"""Range of grey, 0 to 1, within which a whole row or column of the region shows nothing."""

_AVERAGE_WIDTHS: Final = 1 / 0.780
"""Width of the average knee's picture in plateau widths; where its joint's centre lies below is
measured like it, by the landmarks of 471 training knees."""
_AVERAGE_CENTRE: Final = (0.040, -0.007)
"""The joint's centre in the average knee's picture, from its middle: rows, cols as shares."""
_LIKENESS_PX: Final = 32
_LOCAL_PX: Final = 4.0
"""Standard deviation of the Gaussian window of local contrast, px of `_LIKENESS_PX`."""

_PX_PER_WIDTH: Final = 175.0
"""Scale at which grain is measured: that of 224 px over 1.28 plateau widths."""


@dataclass(frozen=True)
class QualityMeasures:
    """What is measured on one knee; `check_quality` sets the bars.

    Parameters
    ----------
    confidence : float
        Mean of the landmarks' confidence.
    shape_distance : float
        Of `compute_shape_distance`.
    likeness : float
        Of `measure_likeness`.
    margin : float
        How far the outermost landmark lies inside the film, in plateau widths; negative: off it.
    inside : float
        Share of the region of interest that shows something.
    white, black : float
        Shares of the joint's pixels at the ends of the scale.
    n_levels : float
        Effective number of grey values of the film around the landmarks.
    grain_likeness : float
        Correlation of the joint's detail with that two pixels on.
    """

    confidence: float
    shape_distance: float
    likeness: float
    margin: float
    inside: float
    white: float
    black: float
    n_levels: float
    grain_likeness: float


def measure_quality(radiograph: Radiograph, landmarks: Landmarks, roi: KneeROI) -> QualityMeasures:
    """Measure everything that `check_quality` sets a bar to; parameters as there."""
    points = apply_affine(invert_affine(roi.to_radiograph), landmarks.kneel_points_px)
    width = max(plateau_width(points), 1.0)
    joint = _cut_joint(roi.pixels, points, width)
    white, black = _measure_ends(joint)
    return QualityMeasures(
        confidence=float(landmarks.confidence.mean()),
        shape_distance=compute_shape_distance(points),
        likeness=measure_likeness(roi.pixels, points),
        margin=_measure_margin(radiograph, landmarks.kneel_points_px, roi, points) / width,
        inside=roi.inside_fraction * _shown_share(roi.pixels),
        white=white,
        black=black,
        n_levels=_count_levels(radiograph, landmarks.kneel_points_px),
        grain_likeness=_measure_grain(_to_scale(joint, width)),
    )


def measure_likeness(pixels: FloatImage, points: Points) -> float:
    """Correlation of a knee with the average knee after both got the same local contrast.

    Parameters
    ----------
    pixels : (n, n) array, float32
        In standard pose.
    points : (16, 2) array
        Landmarks on it, px. Both pictures are laid over one another by the plateau's ends.

    Returns
    -------
    float
        -1 to 1; 0 where the ends coincide.
    """
    if not plateau_width(points) >= 1:
        return 0.0
    size = (_LIKENESS_PX, _LIKENESS_PX)
    pose = StandardPose.of_plateau(plateau_ends(points))
    frame = pose.square_frame(_LIKENESS_PX, _AVERAGE_WIDTHS)
    frame[:, 2] -= frame[:, :2] @ (np.array(_AVERAGE_CENTRE) * _LIKENESS_PX)
    laid, _ = resample(pixels, frame, size, fill=float(pixels.mean()))
    average = read_average_knee(_LIKENESS_PX)
    return float((_even_out(laid) * _even_out(average)).mean())


def _even_out(pixels: FloatImage) -> FloatImage:
    """Local mean 0 and local contrast 1 (where there is any), then mean 0 and variance 1."""
    low = cv2.GaussianBlur(pixels, (0, 0), _LOCAL_PX)
    spread = np.sqrt(cv2.GaussianBlur((pixels - low) ** 2, (0, 0), _LOCAL_PX))
    floor = max(0.25 * float(spread.mean()), 1e-6)
    even = (pixels - low) / np.maximum(spread, floor)
    even = even - even.mean()
    return np.asarray(even / max(float(even.std()), 1e-6), dtype=np.float32)


def _measure_margin(
    radiograph: Radiograph, points_px: Points, roi: KneeROI, in_roi: Points
) -> float:
    """How far the outermost landmark lies inside the film and what it shows, in px of the ROI."""
    rows, cols = radiograph.pixels.shape
    edges = np.array([(-0.5, -0.5), (rows - 0.5, cols - 0.5)])
    to_edge = np.minimum(points_px - edges[0], edges[1] - points_px).min()
    step = float(np.sqrt(abs(np.linalg.det(roi.to_radiograph[:, :2]))))
    first, last = _shown_box(roi.pixels)
    to_blank = np.minimum(in_roi - first, last - in_roi).min()
    return float(min(to_edge / step, to_blank))


def _shown_box(pixels: FloatImage) -> tuple[Points, Points]:
    """Corners (row, col) of what is left without the blank rows and columns around it."""
    corners = []
    for axis in (1, 0):
        lively = np.flatnonzero(np.ptp(pixels, axis=axis) > BLANK_LINE)
        corners.append((lively[0] - 0.5, lively[-1] + 0.5) if lively.size else (0.0, 0.0))
    first, last = np.array(corners).T
    return first, last


def _shown_share(pixels: FloatImage) -> float:
    """Share of the rows that show something (at the sides, air may be blank)."""
    first, last = _shown_box(pixels)
    return float((last - first)[0] / len(pixels))


def _cut_joint(pixels: FloatImage, points: Points, width: float) -> FloatImage:
    """The joint: from one end of the plateau to the other, 0.7 plateau widths high."""
    middle = points[4]
    top, bottom = np.clip(np.rint(middle[0] + np.array([-0.35, 0.35]) * width), 0, len(pixels))
    left, right = np.clip(np.rint(np.sort(plateau_ends(points)[:, 1])), 0, len(pixels))
    joint = pixels[int(top) : int(bottom), int(left) : int(right)]
    return joint if min(joint.shape) >= 8 else pixels


def _measure_ends(joint: FloatImage) -> tuple[float, float]:
    """Shares of the pixels at the white and at the black end of the scale."""
    levels = np.rint(joint * 255)
    return float((levels >= 254).mean()), float((levels <= 1).mean())


def _count_levels(radiograph: Radiograph, points_px: Points) -> float:
    """Effective number of grey values around the landmarks: exp of their entropy.

    Counted on the film itself, where nothing was interpolated yet.
    """
    size = np.array(radiograph.pixels.shape)
    first = np.clip(np.floor(points_px.min(axis=0)), 0, size - 1).astype(int)
    last = np.clip(np.ceil(points_px.max(axis=0)) + 1, first + 1, size).astype(int)
    step = np.maximum((last - first) // 200, 1)
    part = radiograph.pixels[first[0] : last[0] : step[0], first[1] : last[1] : step[1]]
    shares = np.unique(part, return_counts=True)[1] / part.size
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _measure_grain(joint: FloatImage) -> float:
    """Correlation of detail with that two pixels on: near 0 for noise, 0.4 for bone.

    Interpolation ties a pixel to the next one, not to the one after.
    """
    detail = joint - cv2.GaussianBlur(joint, (0, 0), 3)
    below = float((detail[2:] * detail[:-2]).mean())
    beside = float((detail[:, 2:] * detail[:, :-2]).mean())
    return (below + beside) / 2 / max(float((detail**2).mean()), 1e-9)


def _to_scale(pixels: FloatImage, width: float) -> FloatImage:
    """The picture at about 175 px to a plateau width; left alone within a tenth of that."""
    factor = _PX_PER_WIDTH / width
    if abs(factor - 1) <= 0.1 or not 0.1 < factor < 10:
        return pixels
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=method), np.float32
    )
