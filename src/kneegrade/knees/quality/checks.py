"""Whether this is a knee in PA or AP view, without metal, whole, sharp and rightly exposed.

The landmark network scores whether it sees no knee, metal or motion (`KneeScores`); the rules here
add what can be measured: the shape of the landmarks, how sure they are, likeness to the average
knee, missing parts, exposure. benchmarks/quality.py prints how each measure is distributed over
real knees, the false alarms and what is detected.
"""

from typing import Final

from kneegrade.knees.quality.measures import measure_quality
from kneegrade.knees.quality.scores import KneeScores, seems_a_knee
from kneegrade.types import Flag, KneeROI, Landmarks, Radiograph, View

REFUSED_FLAGS: Final = frozenset(
    {Flag.NOT_A_KNEE, Flag.IMPLANT, Flag.KNEE_CUT_OFF, Flag.BADLY_EXPOSED}
)
"""A knee with one of these is not graded; one with motion is, and is flagged."""

NOT_KNEE_FROM: Final = 0.1
"""Score of the network from which it is not a knee: 700 training knees have at most 0.001."""
NOT_KNEE_FROM_IF_OTHER_VIEW: Final = 0.03
"""The same where the header names a view that is neither PA nor AP."""
NOT_KNEE_FROM_WITH_METAL: Final = 0.02
"""The same where plain metal hides the rest of a knee from the other checks: the 46 real knees with
metal have less than 0.001, 30 drawn prostheses up to 0.010, phantoms from the side that seem to
hold metal 0.032 or more."""
METAL_ALONE_FROM: Final = 0.6
"""Score from which what plain metal does to the other measures is not a further finding."""
MOTION_FROM: Final = 0.15
"""Score of the network from which a knee moved while it was exposed: none of 600 training knees, 30
plain films up to 0.121."""

LEAST_CONFIDENCE: Final = 0.6
"""Mean confidence of the landmarks below which nothing is taken for a knee: 0.88 or more in 250
training knees."""
LARGEST_SHAPE_DISTANCE: Final = 2.0
"""`compute_shape_distance` from which points do not have the shape of a knee: 0.3 to 1.2 in 471
training knees."""
LEAST_LIKENESS: Final = 0.27
"""`measure_likeness` below which it is not a knee: 471 training knees have 0.32 to 0.72."""

LEAST_INSIDE: Final = 0.6
"""Share of the region of interest that must lie on what the film shows: the training pictures, cut
close to the knee, show 0.75 to 1 of it."""
LEAST_MARGIN: Final = 0.0
"""How far inside the film each landmark must lie, in plateau widths."""

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
        Flag.BLURRED: scores.motion >= MOTION_FROM,
        Flag.BADLY_EXPOSED: found.white > MOST_WHITE
        or found.black > MOST_BLACK
        or is_flat_or_noise,
    }
    if alarms[Flag.IMPLANT] and scores.metal >= METAL_ALONE_FROM:
        alarms |= {Flag.BLURRED: False, Flag.BADLY_EXPOSED: is_flat_or_noise}
        alarms[Flag.NOT_A_KNEE] &= scores.not_knee >= NOT_KNEE_FROM_WITH_METAL
    if alarms[Flag.KNEE_CUT_OFF] and seems_a_knee(radiograph, landmarks, scores):
        alarms[Flag.NOT_A_KNEE] = False
    if alarms[Flag.NOT_A_KNEE]:  # nothing more is said about what is not a knee
        alarms = {Flag.NOT_A_KNEE: True, Flag.BADLY_EXPOSED: alarms[Flag.BADLY_EXPOSED]}
    return frozenset(flag for flag, alarm in alarms.items() if alarm)
