"""Radiograph -> KneeROI: the one function that training and grading share.

Until landmarks are found, standard pose means: cut around the knee, mirrored so that lateral is at
column 0, not levelled. The field of view is that of the open training crops, about 1.25 widths of
the tibial plateau.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.errors import KneeNotFoundError
from kneegrade.images.geometry import resample
from kneegrade.knees.contrast import scale_to_unit
from kneegrade.knees.orientation import (
    KneeBox,
    Orientation,
    judge_orientation,
    locate_by_average_knee,
)
from kneegrade.types import Flag, FloatImage, KneeROI, Radiograph, Side

SQUARE_WITHIN: Final = 0.05
"""A picture whose sides differ by less than this share can be a crop."""
CROP_MATCH: Final = 0.2
"""Least correlation of a whole picture with the average knee for it to be taken for a crop."""
FILM_MATCH: Final = 0.6
"""Least correlation of a box with the average knee for a knee to be found on a film."""
TWO_KNEES_MATCH: Final = 0.74
"""Least correlation in either half of a film for it to show both knees. Films of both, drawn as
phantoms, reach 0.82 or more in the poorer half; 30 plain films of one knee 0.66 at most."""
FILM_OF_BOTH_MM: Final = 300.0
"""A film this wide was made for both knees, whether both are found or not."""
SURE_SIDE_MARGIN: Final = 0.035
"""Correlation margin from which the picture may contradict the side that was given."""
LEAST_SIDE_MARGIN: Final = 0.015
"""Correlation margin below which the picture does not tell the side."""


class InputKind(StrEnum):
    """What a picture shows."""

    AUTO = "auto"
    CROP = "crop"
    """One knee, cut out before, as in the open set of crops."""
    FILM = "film"
    """A radiograph that shows a knee somewhere, or both side by side."""


def crop_knee(
    radiograph: Radiograph,
    *,
    size_px: int,
    side: Side | None = None,
    kind: InputKind = InputKind.AUTO,
) -> KneeROI:
    """Cut one knee out of a radiograph, lateral at column 0.

    Parameters
    ----------
    radiograph : Radiograph
    size_px : int
        Rows and columns of the ROI.
    side : Side or None
        The side as the caller knows it; it goes before the header's, which goes before what the
        picture shows. On a film of both knees it says which one is meant: the patient's right knee
        lies at the lesser columns.
    kind : InputKind
        ``auto`` takes a square picture that matches an average knee as a whole for a crop.

    Raises
    ------
    KneeNotFoundError
        ``knee.not-found``, ``knee.two-knees`` or ``knee.side-unknown``.
    """
    whole = judge_orientation(radiograph.pixels)
    if kind is InputKind.AUTO:
        kind = InputKind.CROP if _is_crop(radiograph, whole) else InputKind.FILM
    if kind is InputKind.CROP:
        box = _box_of_crop(radiograph, whole)
        margin = whole.side_margin
    else:
        box, margin = _box_on_film(radiograph, side or radiograph.side)
    chosen, flags = _choose_side(box.side, margin, side or radiograph.side)
    flags |= _polarity_flags(box, radiograph)
    if kind is InputKind.FILM:
        flags |= {Flag.LOCATED_BY_RULE}
    roi = _cut(radiograph, box, chosen, size_px)
    if roi.inside_fraction < 1:
        flags |= {Flag.OUTSIDE_FILM}
    return replace(roi, flags=radiograph.flags | flags | {Flag.NOT_CHECKED})


def _is_crop(radiograph: Radiograph, whole: Orientation) -> bool:
    rows, columns = radiograph.pixels.shape
    is_square = abs(rows - columns) <= SQUARE_WITHIN * max(rows, columns)
    return is_square and whole.match >= CROP_MATCH


def _box_of_crop(radiograph: Radiograph, whole: Orientation) -> KneeBox:
    rows, columns = radiograph.pixels.shape
    size_px = float(max(rows, columns))
    return KneeBox(
        top=(rows - size_px) / 2,
        left=(columns - size_px) / 2,
        size_px=size_px,
        side=whole.side,
        inverted=whole.polarity < 0,
        score=whole.match,
    )


def _box_on_film(radiograph: Radiograph, given: Side | None) -> tuple[KneeBox, float]:
    """The knee that is meant, and by how much it looks more like its own side than the other."""
    both = _boxes_of_both(radiograph)
    if both is not None:
        if given is None:
            raise KneeNotFoundError(
                "knee.two-knees",
                "The film shows both knees, and nobody said which one is meant.",
                "Say --side right or --side left, or give a knee table with a row for each.",
            )
        return both[given]
    best, margin = _best_match(radiograph.pixels)
    if best.score < FILM_MATCH:
        raise KneeNotFoundError(
            "knee.not-found",
            "No knee was found: nothing on the film looks enough like an average knee "
            f"(correlation {best.score:.2f}, expected {FILM_MATCH} or more).",
            "If the picture is cut to one knee, say --input crop.",
        )
    if given is not None and _lies_in_other_half(best, radiograph, given):
        raise KneeNotFoundError(
            "knee.not-found",
            f"The {given.value} knee was not found on a film for both: only the other one was.",
            "An implant is not found; if the picture was turned round, correct its side.",
        )
    return best, margin


def _lies_in_other_half(box: KneeBox, radiograph: Radiograph, given: Side) -> bool:
    columns = radiograph.pixels.shape[1]
    if radiograph.spacing_mm is None or columns * radiograph.spacing_mm[1] < FILM_OF_BOTH_MM:
        return False
    is_left_of_middle = box.left + box.size_px / 2 < columns / 2
    return bool(is_left_of_middle != (given is Side.RIGHT))


def _boxes_of_both(radiograph: Radiograph) -> dict[Side, tuple[KneeBox, float]] | None:
    """A knee in either half of the film, or None where one half has none."""
    middle = radiograph.pixels.shape[1] // 2
    found = {}
    for side, part, first in (
        (Side.RIGHT, slice(None, middle), 0),
        (Side.LEFT, slice(middle, None), middle),
    ):
        box, margin = _best_match(radiograph.pixels[:, part])
        if box.score < TWO_KNEES_MATCH:
            return None
        found[side] = replace(box, left=box.left + first), margin
    return found


def _best_match(pixels: FloatImage) -> tuple[KneeBox, float]:
    boxes = locate_by_average_knee(pixels)
    best = max(boxes.values(), key=lambda box: box.score)
    return best, best.score - boxes[best.side.other].score


def _choose_side(shown: Side, margin: float, given: Side | None) -> tuple[Side, set[Flag]]:
    if given is None:
        if margin < LEAST_SIDE_MARGIN:
            raise KneeNotFoundError(
                "knee.side-unknown",
                "The side was not given and the picture does not tell it.",
                "Give it with --side right or --side left, or in the knee table.",
            )
        return shown, {Flag.SIDE_FROM_PICTURE}
    if given is not shown and margin > SURE_SIDE_MARGIN:
        return given, {Flag.SIDE_CONFLICT}
    return given, set()


def _polarity_flags(box: KneeBox, radiograph: Radiograph) -> set[Flag]:
    if not box.inverted:
        return set()
    if radiograph.polarity_stated:
        return {Flag.POLARITY_CORRECTED, Flag.POLARITY_CONFLICT}
    return {Flag.POLARITY_CORRECTED}


def _cut(radiograph: Radiograph, box: KneeBox, side: Side, size_px: int) -> KneeROI:
    mirrored = side is Side.LEFT
    to_radiograph = box_affine(box, size_px, mirrored=mirrored)
    source = -radiograph.pixels if box.inverted else radiograph.pixels
    pixels, inside_fraction = resample(
        source, to_radiograph, (size_px, size_px), fill=float(source.min())
    )
    step = box.size_px / size_px
    spacing_mm = radiograph.spacing_mm
    return KneeROI(
        side=side,
        pixels=scale_to_unit(pixels),
        to_radiograph=to_radiograph,
        mirrored=mirrored,
        source_id=radiograph.source_id,
        spacing_mm=(spacing_mm[0] * step, spacing_mm[1] * step) if spacing_mm else None,
        inside_fraction=min(inside_fraction, 1.0),
        contrast=radiograph.contrast,
    )


def box_affine(box: KneeBox, size_px: int, *, mirrored: bool) -> NDArray[np.float64]:
    """Affine (2, 3) from ROI ``(row, col)`` to radiograph ``(row, col)``, both in px."""
    step = box.size_px / size_px
    first = step / 2 - 0.5
    if mirrored:
        last = box.left + box.size_px - step / 2 - 0.5
        return np.array([[step, 0, box.top + first], [0, -step, last]])
    return np.array([[step, 0, box.top + first], [0, step, box.left + first]])
