"""Whether this is a knee in PA or AP view, without metal, whole, sharp and rightly exposed.

A network tells what it takes for no knee, for metal or for motion (`KneeScores`, of the landmark
network); the rules here add what can be measured: the shape of the landmarks, how sure they are,
likeness to the average knee, missing parts, exposure. benchmarks/quality.py prints how each measure
is distributed over real knees, the false alarms and what is detected.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage
from kneegrade.images.geometry import apply_affine, invert_affine, resample
from kneegrade.knees.posing.pose import knee_affine
from kneegrade.knees.quality.metal import MetalPlace
from kneegrade.knees.quality.orientation import read_average_knee
from kneegrade.knees.quality.shape_model import compute_shape_distance
from kneegrade.types import Flag, KneeROI, Landmarks, Radiograph, View

Points = NDArray[np.float64]

REFUSED_FLAGS: Final = frozenset(
    {Flag.NOT_A_KNEE, Flag.IMPLANT, Flag.KNEE_CUT_OFF, Flag.BADLY_EXPOSED}
)
"""A picture with one of these is not graded; a blurred one is, and says so."""

NOT_KNEE_FROM: Final = 0.1
"""Score of the network from which a picture is no knee: 700 training knees have at most 0.001."""
NOT_KNEE_FROM_IF_OTHER_VIEW: Final = 0.03
"""The same where the header names a view that is neither PA nor AP."""
NOT_KNEE_FROM_WITH_METAL: Final = 0.02
"""The same where plain metal hides the rest of a knee from the other checks: the 46 real knees with
metal have less than 0.001, 30 drawn prostheses up to 0.010, phantoms from the side that seem to
hold metal 0.032 or more."""
IMPLANT_FROM: Final = 0.4
"""Score of the network from which a knee holds metal or is suspected to: 4 of 600 training knees
without any, 44 of 46 that hold some; 30 plain films and their mirror images have up to 0.36, one of
them 0.74 in a pose a hair's breadth away: it is the cortex."""
PLAIN_CERTAINTY: Final = 0.9
PLAIN_CONTRAST: Final = 0.18
"""Certainty and contrast of a `MetalPlace` from which the metal is plain to see: the 44 have 0.94
and 0.23 or more; of natural knees (890 of both splits, the plain films) the places that the network
outlines at a score of 0.4 or more have at most 0.87 and 0.17."""
SURE_METAL: Final = 0.95
"""Score and certainty from which plain metal need only be brighter at all: where little else is in
view, as beside a prosthesis, or the bone is burnt out. No natural knee reaches both, the nearest in
score (0.91) has 0.55, the nearest in certainty (0.87) has 0.74."""
SUSPECT_FROM: Final = 0.1
SUSPECT_CONTRAST: Final = 0.4
"""Score and contrast from which metal is suspected where the score alone does not tell it: the tip
of a nail among the 46 (0.10, 0.57); the nearest natural knee has 0.22 and 0.38."""
SHAFT_SCORE: Final = 0.8
SHAFT_CERTAINTY: Final = 0.965
SHAFT_CONTRAST: Final = 0.2
"""Score, certainty and contrast from which a shaft holds metal. Of staples, screws and plates drawn
on the plain films a plateau width from the joint 95 % have 0.97, 0.98 and 0.23 or more; natural
shafts there come as near as 0.93, 0.93, 0.17 and 0.54, 0.97, 0.15."""
NAIL_FROM: Final = 0.25
"""`measure_canal` from which a nail is suspected: natural shafts of 30 plain films, their mirror
images and 30 phantoms have at most 0.20."""
IMPLANT_ALONE_FROM: Final = 0.6
"""Score from which what plain metal does to the other measures is no further finding."""
MOVED_FROM: Final = 0.15
"""Score of the network from which a knee moved while it was exposed: none of 600 training knees, 30
plain films up to 0.121."""

SEEMS_NOT_KNEE: Final = 0.5
SEEMS_CONFIDENCE: Final = 0.3
"""Score of the network below which, and mean confidence of the landmarks on the film from which,
something seems to be a knee, whole or not: laxer than what a graded knee must have. Set on 251
pictures of other things (chests, pelves, CT and MR slices, drawn bars, phantoms of hands and of
knees from the side): none passes both, and their confidence is at most 0.15, of drawn bars 0.44. Of
real knees that an upright edge cuts through, 15 to 50 % of the plateau off, about 80 % pass, and
all knees of phantom films with too many."""

LEAST_CONFIDENCE: Final = 0.6
"""Mean confidence of the landmarks below which nothing is taken for a knee: 0.88 or more in 250
training knees."""
LARGEST_SHAPE_DISTANCE: Final = 2.0
"""`compute_shape_distance` from which points have no knee's shape: 0.3 to 1.2 in 471 training
knees."""
LEAST_LIKENESS: Final = 0.27
"""`measure_likeness` below which a picture is no knee: 471 training knees have 0.32 to 0.72."""

LEAST_INSIDE: Final = 0.6
"""Share of the region of interest that must lie on what the film shows: the training pictures, cut
close to the knee, show 0.75 to 1 of it."""
LEAST_MARGIN: Final = 0.0
"""How far inside the film each landmark must lie, in plateau widths."""
BLANK_LINE: Final = 0.02
"""Range of grey, 0 to 1, within which a whole row or column of the region shows nothing."""

MOST_WHITE: Final = 0.15
"""Share of the joint's pixels that may be at the white end of the scale: at most 0.05 in 3,000
training knees."""
MOST_BLACK: Final = 0.08
"""The same at the black end: at most 0.012 in training knees."""
FEWEST_LEVELS: Final = 25.0
"""Effective number of grey values below which the joint has no contrast: 69 or more in 471 training
knees, at most 11 where 3 to 10 grey values are left of 256."""
LEAST_GRAIN_LIKENESS: Final = 0.12
"""Correlation of detail two pixels apart below which the joint is mostly noise: 0.24 or more in 471
training knees, at most 0.07 under noise as strong as the picture."""

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
class KneeScores:
    """What the landmark network thinks of the picture it located a knee in.

    Parameters
    ----------
    not_knee : float
        Probability that it shows no knee in a PA or AP view, 0 to 1.
    implant : float
        Probability that it shows metal, 0 to 1; 0 where no place of it is seen.
    moved : float
        Probability that the knee moved while it was exposed, 0 to 1.
    shape_distance : float
        `compute_shape_distance` of the landmarks before they were smoothed.
    metal : tuple of MetalPlace
        Where metal is seen, at the joint and in the shafts.
    canal : float
        Greatest `measure_canal` of the shafts; -1 where none is shown.
    """

    not_knee: float
    implant: float
    moved: float
    shape_distance: float = 0.0
    metal: tuple[MetalPlace, ...] = ()
    canal: float = -1.0

    def __post_init__(self) -> None:
        for name in ("not_knee", "implant", "moved"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1]. Got {getattr(self, name)}.")

    @property
    def told_metal(self) -> tuple[MetalPlace, ...]:
        """The places at the joint, and those in a shaft for which all speaks."""
        return tuple(
            place
            for place in self.metal
            if not place.in_shaft
            or (
                place.score >= SHAFT_SCORE
                and place.certainty >= SHAFT_CERTAINTY
                and place.contrast >= SHAFT_CONTRAST
            )
        )

    @property
    def has_plain_metal(self) -> bool:
        """Whether the network sees metal at the joint and the film shows it."""
        if self.implant < IMPLANT_FROM:
            return False
        at_joint = [place for place in self.metal if not place.in_shaft]
        return any(
            (p.certainty >= PLAIN_CERTAINTY and p.contrast >= PLAIN_CONTRAST)
            or (min(p.certainty, self.implant) >= SURE_METAL and p.contrast > 0)
            for p in at_joint
        )

    @property
    def has_suspected_metal(self) -> bool:
        """Whether there may be metal at the joint, or there is some in a shaft."""
        contrast = max((p.contrast for p in self.metal if not p.in_shaft), default=0.0)
        return (
            self.implant >= IMPLANT_FROM
            or (self.implant >= SUSPECT_FROM and contrast >= SUSPECT_CONTRAST)
            or self.canal >= NAIL_FROM
            or any(place.in_shaft for place in self.told_metal)
        )


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


def seems_a_knee(radiograph: Radiograph, landmarks: Landmarks, scores: KneeScores) -> bool:
    """Whether what was located seems to be a knee, whole or cut off.

    It must before anything is said that is true of knees alone: that there are too many, that one
    is cut off or of an unknown side. Parameters as `check_quality`'s.
    """
    last = np.array(radiograph.pixels.shape) - 1
    on_film = ((landmarks.points_px >= 0) & (landmarks.points_px <= last)).all(axis=1)
    if scores.not_knee >= SEEMS_NOT_KNEE or not on_film.any():
        return False
    return float(landmarks.confidence[on_film].mean()) >= SEEMS_CONFIDENCE


def check_quality(
    radiograph: Radiograph, landmarks: Landmarks, roi: KneeROI, scores: KneeScores
) -> frozenset[Flag]:
    """Flag a knee that should not be graded, or not be trusted.

    Parameters
    ----------
    radiograph : Radiograph
    landmarks : Landmarks
        Of the knee, on the radiograph.
    roi : KneeROI
        The knee in standard pose, bone bright, about 1.25 plateau widths wide, as it was cut:
        before any enhancement of its contrast.
    scores : KneeScores

    Returns
    -------
    frozenset of Flag
        Any of ``not-a-knee``, ``implant``, ``metal-suspected``, ``knee-cut-off``, ``blurred``,
        ``badly-exposed``.
    """
    found = measure_quality(radiograph, landmarks, roi)
    other_view = radiograph.view is View.OTHER
    not_knee_from = NOT_KNEE_FROM_IF_OTHER_VIEW if other_view else NOT_KNEE_FROM
    is_flat_or_noise = found.n_levels < FEWEST_LEVELS or found.grain_likeness < LEAST_GRAIN_LIKENESS
    alarms = {
        Flag.NOT_A_KNEE: scores.not_knee >= not_knee_from
        or found.confidence < LEAST_CONFIDENCE
        or max(found.shape_distance, scores.shape_distance) > LARGEST_SHAPE_DISTANCE
        or found.likeness < LEAST_LIKENESS,
        Flag.IMPLANT: scores.has_plain_metal,
        Flag.METAL_SUSPECTED: scores.has_suspected_metal and not scores.has_plain_metal,
        Flag.KNEE_CUT_OFF: found.margin < LEAST_MARGIN or found.inside < LEAST_INSIDE,
        Flag.BLURRED: scores.moved >= MOVED_FROM,
        Flag.BADLY_EXPOSED: found.white > MOST_WHITE
        or found.black > MOST_BLACK
        or is_flat_or_noise,
    }
    if alarms[Flag.IMPLANT] and scores.implant >= IMPLANT_ALONE_FROM:
        alarms |= {Flag.BLURRED: False, Flag.BADLY_EXPOSED: is_flat_or_noise}
        alarms[Flag.NOT_A_KNEE] &= scores.not_knee >= NOT_KNEE_FROM_WITH_METAL
    if alarms[Flag.KNEE_CUT_OFF] and seems_a_knee(radiograph, landmarks, scores):
        alarms[Flag.NOT_A_KNEE] = False
    if alarms[Flag.NOT_A_KNEE]:  # nothing more is told of what is no knee
        alarms = {Flag.NOT_A_KNEE: True, Flag.BADLY_EXPOSED: alarms[Flag.BADLY_EXPOSED]}
    return frozenset(flag for flag, alarm in alarms.items() if alarm)


def measure_quality(radiograph: Radiograph, landmarks: Landmarks, roi: KneeROI) -> QualityMeasures:
    """Measure everything that `check_quality` sets a bar to; parameters as there."""
    points = apply_affine(invert_affine(roi.to_radiograph), landmarks.kneel_points_px)
    width = max(float(np.linalg.norm(points[8] - points[0])), 1.0)
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
    if not np.linalg.norm(points[8] - points[0]) >= 1:
        return 0.0
    affine = knee_affine(points[0], points[8], size_px=_LIKENESS_PX, plateau_widths=_AVERAGE_WIDTHS)
    affine[:, 2] -= affine[:, :2] @ (np.array(_AVERAGE_CENTRE) * _LIKENESS_PX)
    size = (_LIKENESS_PX, _LIKENESS_PX)
    laid, _ = resample(pixels, affine, size, fill=float(pixels.mean()))
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
    left, right = np.clip(np.rint(np.sort(points[[0, 8], 1])), 0, len(pixels))
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
