"""Whether a radiograph's size of a pixel gives its knees a width that people have."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from kneegrade.images.dicom.header import SPACING_FLAGS
from kneegrade.types import Flag, Landmarks, Radiograph, SpacingSource

WIDTHS_MM: Final = (40.0, 130.0)
"""Narrowest and widest tibial plateau of a person on a film. Of 748 knees of KNEEL (t0 to t8, at
the detector) 98 in 100 have 66 to 96 mm; the bounds leave room for small people, for greater
magnification and for landmarks that are off."""


def drop_implausible_spacing(radiograph: Radiograph, knees: Iterable[Landmarks]) -> Radiograph:
    """The radiograph, flagged and without millimetres if a plateau on it has no person's width.

    The shape of its pixels stays.

    Parameters
    ----------
    radiograph : Radiograph
    knees : iterable of Landmarks
        All that were found on it.
    """
    spacing = radiograph.spacing_mm
    if spacing is None:
        return radiograph
    for knee in knees:
        lateral, medial = knee.kneel_points_px[[0, 8]]
        if not WIDTHS_MM[0] <= np.linalg.norm((medial - lateral) * spacing) <= WIDTHS_MM[1]:
            return replace(
                radiograph,
                spacing_mm=None,
                spacing_source=SpacingSource.UNKNOWN,
                flags=radiograph.flags - set(SPACING_FLAGS.values()) | {Flag.SPACING_IMPLAUSIBLE},
            )
    return radiograph
