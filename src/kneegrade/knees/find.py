"""Which knees of a radiograph are meant, and which side each is.

The side that the caller gives goes before the header's, which goes before what the picture shows:
the fibula is lateral. A picture that clearly shows the other side raises a flag.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np

from kneegrade.errors import KneeNotFoundError
from kneegrade.knees.locate import KneeLocator, LocatedKnee
from kneegrade.knees.orientation import judge_orientation
from kneegrade.types import Flag, Radiograph, Side

FILM_OF_BOTH_MM: Final = 300.0
"""A film this wide was made for both knees, whether both are found or not."""
SURE_SIDE: Final = 0.5
"""Confidence by which the picture must show the other side to contradict the given one."""
LEAST_SIDE: Final = 0.2
"""Confidence by which it must exceed the other where no side was given."""
SQUARE_WITHIN: Final = 0.05
"""A picture whose sides differ by less than this share can be a crop."""
CROP_MATCH: Final = 0.2
"""Least correlation of a whole picture with the average knee for it to be taken for a crop."""
LEAST_CROP_MARGIN: Final = 0.015
"""The same for a crop, whose side is judged by correlation with an average knee."""


class InputKind(StrEnum):
    """What a picture shows."""

    AUTO = "auto"
    """Searched like a film; a square picture in which no whole knee is found, and which looks like
    a knee as a whole, is taken for a crop."""
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
) -> list[LocatedKnee]:
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
    list of LocatedKnee
        One or two; their landmarks carry the side that is to be reported, and flags.

    Raises
    ------
    KneeNotFoundError
        ``knee.not-found``, ``knee.too-many``, ``knee.cut-off`` or ``knee.side-unknown``.
    """
    given = side or radiograph.side
    if kind is InputKind.CROP:
        return [_knee_of_crop(locator, radiograph, given)]
    try:
        return _knees_of_film(locator, radiograph, given)
    except KneeNotFoundError:
        if kind is InputKind.FILM or not _looks_like_crop(radiograph):
            raise
        return [_knee_of_crop(locator, radiograph, given)]


def _knees_of_film(
    locator: KneeLocator, radiograph: Radiograph, given: Side | None
) -> list[LocatedKnee]:
    found = locator.locate(radiograph, hint=given)
    if not found:
        raise KneeNotFoundError(
            "knee.not-found",
            "No knee was found on the picture.",
            "If the picture is cut to one knee, say --input crop.",
        )
    if given is None:
        return [_with_shown_side(knee) for knee in found]
    meant = [knee for knee in found if knee.landmarks.side is given]
    if not meant or (len(found) == 1 and _lies_in_other_half(found[0], radiograph, given)):
        raise not_found_on_film_of_both(given)
    contradicted = meant[0].side_confidence < -SURE_SIDE
    return [_flagged(meant[0], Flag.SIDE_CONFLICT) if contradicted else meant[0]]


def _looks_like_crop(radiograph: Radiograph) -> bool:
    rows, cols = radiograph.pixels.shape
    is_square = abs(rows - cols) <= SQUARE_WITHIN * max(rows, cols)
    return is_square and judge_orientation(radiograph.pixels).match >= CROP_MATCH


def is_film_of_both(radiograph: Radiograph) -> bool:
    """Whether a film is wide enough for both knees; no where its size in mm is not known."""
    spacing = radiograph.spacing_mm
    return spacing is not None and radiograph.pixels.shape[1] * spacing[1] >= FILM_OF_BOTH_MM


def not_found_on_film_of_both(side: Side) -> KneeNotFoundError:
    """The error of a knee that ought to be on the film."""
    return KneeNotFoundError(
        "knee.not-found",
        f"The {side.value} knee was not found on a film for both: only the other one was.",
        "Look at the film; if the picture was turned round, correct its side.",
    )


def _knee_of_crop(locator: KneeLocator, radiograph: Radiograph, given: Side | None) -> LocatedKnee:
    shown = judge_orientation(radiograph.pixels)
    if given is not None:
        return locator.locate_in_crop(radiograph, given)
    if shown.side_margin < LEAST_CROP_MARGIN:
        raise _side_unknown()
    return _flagged(locator.locate_in_crop(radiograph, shown.side), Flag.SIDE_FROM_PICTURE)


def _with_shown_side(knee: LocatedKnee) -> LocatedKnee:
    if knee.side_confidence < LEAST_SIDE:
        raise _side_unknown()
    return _flagged(knee, Flag.SIDE_FROM_PICTURE)


def _lies_in_other_half(knee: LocatedKnee, radiograph: Radiograph, given: Side) -> bool:
    if not is_film_of_both(radiograph):
        return False
    middle = float(np.mean(knee.landmarks.points_px[:, 1]))
    is_left_of_middle = bool(middle < radiograph.pixels.shape[1] / 2)
    return is_left_of_middle != (given is Side.RIGHT)


def _flagged(knee: LocatedKnee, flag: Flag) -> LocatedKnee:
    flags = knee.landmarks.flags | {flag}
    return replace(knee, landmarks=replace(knee.landmarks, flags=flags))


def _side_unknown() -> KneeNotFoundError:
    return KneeNotFoundError(
        "knee.side-unknown",
        "The side was not given and the picture does not tell it.",
        "Give it with --side right or --side left, or in the knee table.",
    )
