"""Radiograph -> its knees in standard pose, checked: what grading, training and the store share."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.errors import KneeNotFoundError
from kneegrade.knees.locating.find import (
    InputKind,
    find_knees,
    is_film_of_both,
    not_found_on_film_of_both,
)
from kneegrade.knees.locating.locate import KneeLocator, LocatedKnee
from kneegrade.knees.locating.plateau_width import drop_implausible_spacing
from kneegrade.knees.posing.crop import RoiSpec, crop_knee
from kneegrade.knees.quality.checks import REFUSED_FLAGS, check_quality
from kneegrade.types import Flag, KneeROI, Landmarks, Radiograph, Side

CHECKED_ROI: Final = RoiSpec()
"""The ROI on which quality is judged, whatever ROI is asked for."""


@dataclass(frozen=True, eq=False)
class PreparedKnee:
    """One knee of a radiograph in standard pose, and whether it may be graded.

    Parameters
    ----------
    radiograph : Radiograph
        It was found on, corrected: bone bright, without a size of a pixel that cannot be.
    landmarks : Landmarks
        On the radiograph.
    roi : KneeROI
        With every flag that its making and its checks raised.
    refusal : KneeNotFoundError or None
        Why it must not be graded.
    metal_px : tuple of (k, 2) arrays
        Outlines of metal, plain or suspected, ``(row, col)`` on the radiograph; else empty.
    """

    radiograph: Radiograph
    landmarks: Landmarks
    roi: KneeROI
    refusal: KneeNotFoundError | None
    metal_px: tuple[NDArray[np.float64], ...] = ()


def prepare_knees(
    locator: KneeLocator,
    radiograph: Radiograph,
    spec: RoiSpec,
    *,
    side: Side | None = None,
    kind: InputKind = InputKind.AUTO,
) -> list[PreparedKnee]:
    """Find the knees that are meant, cut them, check them; parameters as `find_knees`'.

    Raises
    ------
    KneeNotFoundError
        As `find_knees`.
    ImageError
        As `crop_knee`.
    """
    found = find_knees(locator, radiograph, side=side, kind=kind)
    return [_prepare(knee, found.radiograph, spec) for knee in found.knees]


def prepare_landmarks(
    radiograph: Radiograph, landmarks: Landmarks, spec: RoiSpec, locator: KneeLocator
) -> PreparedKnee:
    """Cut and check one knee whose landmarks are known, as from BoneFinder."""
    radiograph = drop_implausible_spacing(radiograph, [landmarks])
    return _prepare(locator.judge(radiograph, landmarks), radiograph, spec)


def find_missing(knees: list[PreparedKnee], side: Side | None) -> KneeNotFoundError | None:
    """The error of the knee that a film for both ought to show and does not."""
    radiograph = knees[0].radiograph
    if side is not None or radiograph.side is not None or len(knees) != 1:
        return None
    refusal = knees[0].refusal
    if refusal is not None and refusal.code == "knee.not-a-knee":
        return None
    if not is_film_of_both(radiograph):
        return None
    return not_found_on_film_of_both(knees[0].roi.side.other)


def _prepare(knee: LocatedKnee, radiograph: Radiograph, spec: RoiSpec) -> PreparedKnee:
    roi = crop_knee(radiograph, knee.landmarks, spec, inverted=knee.inverted)
    checked = roi
    if spec != CHECKED_ROI:
        checked = crop_knee(radiograph, knee.landmarks, CHECKED_ROI, inverted=knee.inverted)
    flags = check_quality(radiograph, knee.landmarks, checked, knee.scores)
    if knee.inverted:
        radiograph = replace(radiograph, pixels=-radiograph.pixels)
    return PreparedKnee(
        radiograph=radiograph,
        landmarks=knee.landmarks,
        roi=replace(roi, flags=roi.flags | flags),
        refusal=_refuse(flags),
        metal_px=tuple(place.outline_px for place in knee.scores.told_metal)
        if flags & {Flag.IMPLANT, Flag.METAL_SUSPECTED}
        else (),
    )


def _refuse(flags: frozenset[Flag]) -> KneeNotFoundError | None:
    """The error of a knee that must not be graded; the first that applies."""
    if not flags & REFUSED_FLAGS:
        return None
    if Flag.NOT_A_KNEE in flags:
        return KneeNotFoundError(
            "knee.not-a-knee",
            "What was found is no knee in a PA or AP view.",
            "Give a PA or AP radiograph of the knee.",
        )
    if Flag.KNEE_CUT_OFF in flags:
        return KneeNotFoundError(
            "knee.cut-off",
            "Too much of the knee lies outside the picture.",
            "Give a film that shows the whole knee.",
        )
    if Flag.IMPLANT in flags:
        return KneeNotFoundError(
            "knee.implant",
            "The knee holds metal: a prosthesis or an osteosynthesis.",
            "The grades are made for natural knees; leave this one out.",
        )
    return KneeNotFoundError(
        "knee.badly-exposed",
        "The joint is black, white, without contrast or drowned in noise.",
        "Give the film as it was taken, or a better exposure.",
    )
