"""A knee -> the same knee after a total replacement, as a film shows it."""

from dataclasses import replace
from typing import Final

import numpy as np

from kneegrade.phantoms.knees.anatomy import KneeAnatomy, Positioning, draw_knee_anatomy
from kneegrade.phantoms.knees.outline import smooth_curve, surface_rows
from kneegrade.phantoms.knees.severity import FEATURES, NARROWING, Severity
from kneegrade.phantoms.knees.shape import KneeShape
from kneegrade.terms import N_TIBIAL
from kneegrade.types import Side, plateau_ends

_INSERT_MM: Final = 9.0
"""Gap between the metal parts: the polyethylene insert lets the beam through."""
_TRAY_MM: Final = 4.0
_SHIELD_MM: Final = 8.0
_KEEL: Final = ((0, -8), (6, -7), (34, -4.5), (37, 0), (34, 4.5), (6, 7), (0, 8))


def draw_replaced_knee(*, side: Side, shape: KneeShape, positioning: Positioning) -> KneeAnatomy:
    """Draw a total knee prosthesis: femoral shield, tibial tray with its keel.

    Parameters
    ----------
    side : Side
    shape : KneeShape
        The knee as it was before any disease.
    positioning : Positioning

    Returns
    -------
    KneeAnatomy
        With outlines in ``metal``. Its severity is 0 throughout and means nothing.
    """
    cut = shape.landmarks_mm.copy()
    cut[:N_TIBIAL, 0] = plateau_ends(cut)[:, 0].mean()
    flat = replace(
        shape, landmarks_mm=cut, normal_space_mm=dict.fromkeys(NARROWING, _INSERT_MM + 5)
    )
    level = replace(positioning, tilt_deg=0.0)
    severity = Severity(dict.fromkeys(FEATURES, 0.0))
    knee = draw_knee_anatomy(side=Side.RIGHT, shape=flat, severity=severity, positioning=level)
    row, scale = float(cut[0, 0]), shape.scale
    left, right = cut[0, 1] + 1, cut[8, 1] - 1
    tray = np.array([(row - 1, left), (row - 1, right), (row + 3, right), (row + 3, left)])
    keel = np.array(_KEEL) * scale + (row + _TRAY_MM - 1.5, cut[4, 1])
    cols = np.linspace(-38, 38, 77) * scale
    lower = surface_rows(knee.outlines["femur"], cols, 40 * scale) + 4
    thick = _SHIELD_MM + 9 * np.exp(-((cols / (9 * scale)) ** 2)) * 0.3
    around = np.abs(cols) > 35 * scale  # the shield's flanks rise over the condyles
    upper = lower - np.where(around, 22, thick)
    shield = np.vstack([np.stack([lower, cols], axis=1), np.stack([upper, cols], axis=1)[::-1]])
    metal = (tray, smooth_curve(keel), shield)
    with_metal = replace(knee, metal=metal, joint_space_mm={})
    turned = with_metal.turned(positioning.tilt_deg)
    return turned if side is Side.RIGHT else turned.mirrored()
