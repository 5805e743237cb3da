"""Which knees of a radiograph are meant, and which side each is.

The side that the caller gives goes before the header's, then come a lead letter on the film and
the radiograph itself: the fibula is lateral. A letter or a radiograph that clearly contradicts the
side raises a flag. A mirrored letter decides nothing: the film or the letter was turned over.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np

from kneegrade.errors import KneeNotFoundError
from kneegrade.knees.locating.knee_network import LocatedKnee
from kneegrade.knees.locating.locate import KneeLocator, LocatedKnees
from kneegrade.knees.locating.markers import SideMarker, read_markers
from kneegrade.knees.locating.plateau_width import drop_implausible_spacing
from kneegrade.knees.quality.orientation import judge_orientation
from kneegrade.types import Flag, Radiograph, Side

FILM_OF_BOTH_MM: Final = 300.0
"""A film this wide was made for both knees, whether both are found or not."""
SURE_SIDE: Final = 0.5
"""Confidence by which the radiograph must show the other side to contradict the given one."""
LEAST_SIDE: Final = 0.2
"""Confidence by which it must exceed the other where no side was given."""
MARKER_WIDTHS: Final = 2.0
"""A marker whose column is farther from a knee's centre, in plateau widths, is not that knee's."""
BETWEEN_KNEES: Final = 0.8
"""From this ratio of its distances to both knees a marker lies between them and is neither's."""
SQUARE_WITHIN: Final = 0.05
"""An image whose sides differ by less than this share can be a crop."""
CROP_MATCH: Final = 0.2
"""Least correlation of a whole image with the average knee for it to be taken for a crop."""
LEAST_CROP_MARGIN: Final = 0.015
"""The same for a crop, whose side is judged by correlation with an average knee."""


class InputKind(StrEnum):
    """What a radiograph shows."""

    AUTO = "auto"
    """Searched like a film; a square image in which no whole knee is found, but which looks like a
    knee as a whole, is taken for a crop."""
    CROP = "crop"
    """One knee, cut out before, about 1.25 plateau widths wide: it is not searched for."""
    FILM = "film"
    """A radiograph that shows a knee somewhere, or both side by side."""


def find_knees(
    locator: KneeLocator,
    radiograph: Radiograph,
    *,
    side: Side | None = None,
    kind: InputKind = InputKind.AUTO,
) -> LocatedKnees:
    """Find the knees that are meant.

    Parameters
    ----------
    locator : KneeLocator
    radiograph : Radiograph
    side : Side or None
        The side as the caller knows it. Where it, or the header, names one, that knee alone is
        returned; else every knee on the film.
    kind : InputKind

    Returns
    -------
    LocatedKnees
        One knee or two; their landmarks carry the side that is to be reported, and flags.

    Raises
    ------
    KneeNotFoundError
        ``knee.not-found``, ``knee.too-many``, ``knee.cut-off`` or ``knee.side-unknown``.
    """
    given = side or radiograph.side
    if kind is InputKind.CROP:
        return _knee_of_crop(locator, radiograph, given)
    try:
        return _knees_of_film(locator, radiograph, given)
    except KneeNotFoundError:
        if kind is InputKind.FILM or not _looks_like_crop(radiograph):
            raise
        return _knee_of_crop(locator, radiograph, given)


def _knees_of_film(
    locator: KneeLocator, radiograph: Radiograph, given: Side | None
) -> LocatedKnees:
    located = locator.locate(radiograph, hint=given)
    if not located.knees:
        raise _not_found()
    markers = _share_out(_read_markers(located), located.knees)
    if all(knee.seems_a_knee(radiograph) for knee in located.knees):
        _check_letters_differ(markers)
    if given is None and len(located.knees) == 1:
        located = _with_own_side(locator, radiograph, located, markers[0])
    shown = _drop_implausible_spacing(located.radiograph, located.knees)
    if given is None:
        knees = [_flagged(knee, Flag.SIDE_FROM_PICTURE) for knee in located.knees]
        is_alone = len(knees) == 1 and _is_film_of_both(shown)
        missing = knees[0].landmarks.side.other if is_alone else None
        return LocatedKnees(shown, tuple(_flag_conflicts(knees, markers)), missing)
    flagged = _flag_conflicts(located.knees, markers)
    meant = [knee for knee in flagged if knee.landmarks.side is given]
    if not meant and not any(knee.seems_a_knee(radiograph) for knee in located.knees):
        raise _not_found()
    if not meant or (len(flagged) == 1 and _lies_in_other_half(flagged[0], shown, given)):
        raise not_found_on_film_of_both(given)
    if len(flagged) > len(meant):
        meant = [_flagged(knee, Flag.OTHER_KNEE_LEFT_OUT) for knee in meant]
    return LocatedKnees(shown, tuple(meant[:1]))


def _read_markers(located: LocatedKnees) -> tuple[SideMarker, ...]:
    """The letters on a film; the upright ones alone where there are any."""
    markers = read_markers(located.radiograph, [knee.landmarks for knee in located.knees])
    return tuple(marker for marker in markers if not marker.mirrored) or markers


def _share_out(
    markers: Sequence[SideMarker], knees: Sequence[LocatedKnee]
) -> list[list[SideMarker]]:
    """The markers of each knee: those whose column is nearest to it, as legs run along the rows."""
    columns = np.array([knee.landmarks.kneel_points_px[:, 1].mean() for knee in knees])
    widths = np.array([knee.landmarks.measure_plateau() for knee in knees])
    shares: list[list[SideMarker]] = [[] for _ in knees]
    for marker in markers:
        away = np.abs(marker.centre_px[1] - columns)
        nearest = int(away.argmin())
        others = np.delete(away, nearest)
        if away[nearest] > MARKER_WIDTHS * widths[nearest]:
            continue
        if (away[nearest] < BETWEEN_KNEES * others).all():
            shares[nearest].append(marker)
    return shares


def _find_letter(markers: Sequence[SideMarker]) -> Side | None:
    """What the markers of one knee say, mirrored or not; None where they disagree or are none."""
    sides = {marker.side for marker in markers}
    return sides.pop() if len(sides) == 1 else None


def _check_letters_differ(markers: Sequence[Sequence[SideMarker]]) -> None:
    letters = [_find_letter(own) for own in markers]
    if len(letters) == 2 and letters[0] is not None and letters[0] is letters[1]:
        raise KneeNotFoundError(
            "knee.too-many",
            f"Both knees on the film carry the lead letter of the {letters[0].value} side.",
            "Cut the film, or give its parts one by one.",
        )


def _with_own_side(
    locator: KneeLocator,
    radiograph: Radiograph,
    located: LocatedKnees,
    markers: Sequence[SideMarker],
) -> LocatedKnees:
    """The only knee on a film, with the side that its marker says, else the radiograph."""
    (knee,) = located.knees
    letter = _find_letter(markers)
    if letter is None or markers[0].mirrored:
        if knee.side_confidence < LEAST_SIDE and knee.seems_a_knee(radiograph):
            raise _side_unknown()
        return located
    return located if letter is knee.landmarks.side else locator.locate(radiograph, hint=letter)


def _flag_conflicts(
    knees: Sequence[LocatedKnee], markers: Sequence[Sequence[SideMarker]]
) -> list[LocatedKnee]:
    """Flag each knee that looks like the other side, or whose marker says it is.

    Where the markers are mirrored, the film was turned over, or they lay face down; a radiograph
    that surely shows the letter's side speaks for the latter. A turned film flags all its knees.
    """
    against, turned = [], False
    for knee, own in zip(knees, markers, strict=True):
        letter = _find_letter(own)
        differs = letter is not None and letter is not knee.landmarks.side
        against.append(differs or knee.side_confidence < -SURE_SIDE)
        if letter is not None and own[0].mirrored:
            told = Flag.SIDE_FROM_PICTURE not in knee.landmarks.flags
            turned |= differs or (not told and knee.side_confidence < SURE_SIDE)
    return [
        _flagged(knee, Flag.SIDE_CONFLICT) if turned or conflict else knee
        for knee, conflict in zip(knees, against, strict=True)
    ]


def _looks_like_crop(radiograph: Radiograph) -> bool:
    rows, cols = np.multiply(radiograph.pixels.shape, radiograph.pixel_size)
    is_square = abs(rows - cols) <= SQUARE_WITHIN * max(rows, cols)
    return is_square and judge_orientation(radiograph.pixels).match >= CROP_MATCH


def _drop_implausible_spacing(radiograph: Radiograph, knees: Sequence[LocatedKnee]) -> Radiograph:
    return drop_implausible_spacing(radiograph, [knee.landmarks for knee in knees])


def _is_film_of_both(radiograph: Radiograph) -> bool:
    """Whether a film is wide enough for both knees; not where its size in mm is not known."""
    spacing = radiograph.spacing_mm
    return spacing is not None and radiograph.pixels.shape[1] * spacing[1] >= FILM_OF_BOTH_MM


def not_found_on_film_of_both(side: Side) -> KneeNotFoundError:
    """The error of a knee that ought to be on the film."""
    return KneeNotFoundError(
        "knee.not-found",
        f"The {side.value} knee was not found on a film for both: only the other one was.",
        "Look at the radiograph; if it was turned over, correct its side.",
    )


def _knee_of_crop(locator: KneeLocator, radiograph: Radiograph, given: Side | None) -> LocatedKnees:
    shown = judge_orientation(radiograph.pixels)
    located = locator.locate_in_crop(radiograph, given or shown.side)
    (knee,) = located.knees
    if given is None:
        if shown.side_margin < LEAST_CROP_MARGIN and knee.seems_a_knee(radiograph):
            raise _side_unknown()
        knee = _flagged(knee, Flag.SIDE_FROM_PICTURE)
    return LocatedKnees(_drop_implausible_spacing(located.radiograph, (knee,)), (knee,))


def _lies_in_other_half(knee: LocatedKnee, radiograph: Radiograph, given: Side) -> bool:
    if not _is_film_of_both(radiograph):
        return False
    middle = float(np.mean(knee.landmarks.points_px[:, 1]))
    is_left_of_middle = bool(middle < radiograph.pixels.shape[1] / 2)
    return is_left_of_middle != (given is Side.RIGHT)


def _flagged(knee: LocatedKnee, flag: Flag) -> LocatedKnee:
    flags = knee.landmarks.flags | {flag}
    return replace(knee, landmarks=replace(knee.landmarks, flags=flags))


def _not_found() -> KneeNotFoundError:
    return KneeNotFoundError(
        "knee.not-found",
        "No knee was found on the radiograph.",
        "Give a PA or AP film of the whole knee; if it is cut to one knee, say --input crop.",
    )


def _side_unknown() -> KneeNotFoundError:
    return KneeNotFoundError(
        "knee.side-unknown",
        "The side was not given, and the radiograph does not show it.",
        "Give it with --side right or --side left, or in the knee table.",
    )
