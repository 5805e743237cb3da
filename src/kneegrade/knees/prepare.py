"""Radiograph -> its knees in standard pose, checked: what grading, training and the store share."""

from dataclasses import dataclass, replace
from typing import Final

from kneegrade.arrays import Points
from kneegrade.errors import KneeNotFoundError
from kneegrade.knees.locating.find import InputKind, find_knees, not_found_on_film_of_both
from kneegrade.knees.locating.knee_network import LocatedKnee
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.locating.plateau_width import drop_implausible_spacing
from kneegrade.knees.posing.crop import RoiSpec, crop_knee
from kneegrade.knees.quality.checks import REFUSED_FLAGS, check_quality
from kneegrade.types import Flag, KneeROI, Landmarks, Radiograph, Side

CHECKED_ROI: Final = RoiSpec(size_px=224, plateau_widths=1.25)
"""The ROI on which quality is judged, whatever ROI is asked for."""


@dataclass(frozen=True, eq=False)
class PreparedKnee:
    """One knee of a radiograph in standard pose.

    Parameters
    ----------
    radiograph : Radiograph
        It was found on, corrected: bone bright, without a size of a pixel that cannot be.
    landmarks : Landmarks
        On the radiograph.
    roi : KneeROI
        With every flag that its making and its checks raised.
    metal_px : tuple of (k, 2) arrays
        Outlines of metal, plain or suspected, ``(row, col)`` on the radiograph; else empty.
    """

    radiograph: Radiograph
    landmarks: Landmarks
    roi: KneeROI
    metal_px: tuple[Points, ...] = ()

    @property
    def side(self) -> Side:
        """The side of the knee."""
        return self.roi.side


@dataclass(frozen=True, eq=False)
class RefusedKnee:
    """A knee that is not graded, and why: the one way in which a knee goes without a grade.

    Parameters
    ----------
    side : Side or None
        None where no knee was found and no side was asked for.
    error : KneeNotFoundError
    knee : PreparedKnee or None
        Where it was found, to be looked at; None where it was not.
    """

    side: Side | None
    error: KneeNotFoundError
    knee: PreparedKnee | None = None


def prepare_knees(
    locator: KneeLocator,
    radiograph: Radiograph,
    spec: RoiSpec,
    *,
    side: Side | None = None,
    kind: InputKind = InputKind.AUTO,
) -> list[PreparedKnee | RefusedKnee]:
    """Find the knees that are meant, cut them, check them; parameters as `find_knees`'.

    Returns
    -------
    list of PreparedKnee or RefusedKnee
        One or two, from lesser to greater columns; a knee that ought to be on the film and was not
        found comes last.

    Raises
    ------
    ImageError
        As `crop_knee`.
    """
    try:
        located = find_knees(locator, radiograph, side=side, kind=kind)
    except KneeNotFoundError as error:
        return [RefusedKnee(side, error)]
    knees = [_prepare(knee, located.radiograph, spec) for knee in located.knees]
    refusals = [knee.error.code for knee in knees if isinstance(knee, RefusedKnee)]
    if located.missing is not None and refusals != ["knee.not-a-knee"]:
        knees.append(RefusedKnee(located.missing, not_found_on_film_of_both(located.missing)))
    return knees


def prepare_landmarks(
    radiograph: Radiograph, landmarks: Landmarks, spec: RoiSpec, locator: KneeLocator
) -> PreparedKnee | RefusedKnee:
    """Cut and check one knee whose landmarks are known, as from BoneFinder."""
    located = locator.judge(drop_implausible_spacing(radiograph, [landmarks]), landmarks)
    return _prepare(located.knees[0], located.radiograph, spec)


def _prepare(
    knee: LocatedKnee, radiograph: Radiograph, spec: RoiSpec
) -> PreparedKnee | RefusedKnee:
    roi = crop_knee(radiograph, knee.landmarks, spec)
    checked = roi if spec == CHECKED_ROI else crop_knee(radiograph, knee.landmarks, CHECKED_ROI)
    flags = check_quality(radiograph, knee.landmarks, checked, knee.scores)
    has_metal = bool(flags & {Flag.IMPLANT, Flag.METAL_SUSPECTED})
    prepared = PreparedKnee(
        radiograph=radiograph,
        landmarks=knee.landmarks,
        roi=replace(roi, flags=roi.flags | flags),
        metal_px=tuple(p.outline_px for p in knee.scores.evident_metal) if has_metal else (),
    )
    refusal = _refuse(flags)
    return prepared if refusal is None else RefusedKnee(prepared.side, refusal, prepared)


def _refuse(flags: frozenset[Flag]) -> KneeNotFoundError | None:
    """The error of a knee that must not be graded; the first that applies."""
    if not flags & REFUSED_FLAGS:
        return None
    if Flag.NOT_A_KNEE in flags:
        return KneeNotFoundError(
            "knee.not-a-knee",
            "What was found is not a knee in a PA or AP view.",
            "Give a PA or AP radiograph of the knee.",
        )
    if Flag.KNEE_CUT_OFF in flags:
        return KneeNotFoundError(
            "knee.cut-off",
            "Too much of the knee lies outside the radiograph.",
            "Give a film that shows the whole knee.",
        )
    if Flag.IMPLANT in flags:
        return KneeNotFoundError(
            "knee.implant",
            "The knee contains metal: a prosthesis or an osteosynthesis.",
            "The grades are meant for native knees; leave this one out.",
        )
    return KneeNotFoundError(
        "knee.badly-exposed",
        "The joint is black, white, without contrast, or lost in noise.",
        "Give the radiograph as it was acquired, or a better exposure.",
    )
