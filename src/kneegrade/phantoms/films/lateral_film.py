"""A person's leg -> how much of the beam a knee seen from the side takes away.

Each bone is drawn as `attenuation` draws it from the front, as deep along the beam as it is wide
there. The outlines are guessed by hand, for a mean knee: ``(row, col)`` in mm, the middle of the
plateau at the origin, rows grow distally, the patella is at negative columns.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from kneegrade.arrays import FloatImage, Points
from kneegrade.phantoms.films.attenuation import (
    FilmGrid,
    compute_bone,
    compute_soft_tissue,
)
from kneegrade.phantoms.knees.anatomy import DenseLine, KneeAnatomy
from kneegrade.phantoms.knees.outline import smooth_curve
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.knees.shape import KneeShape
from kneegrade.types import Side

_FRONT_OF_SHAFT: Final = ((-250, -14), (-160, -18), (-120, -19), (-85, -18), (-62, -20))
_BACK_OF_SHAFT: Final = ((-57, 12), (-80, 11), (-120, 11), (-160, 14), (-250, 18))
_CONDYLE: Final = (
    *((-50, -26), (-40, -32), (-28, -34), (-16, -31), (-7, -22), (-3, -9), (-2.5, 4)),
    *((-5, 16), (-13, 26), (-24, 31), (-35, 29), (-42, 22), (-48, 15)),
)
_TIBIA: Final = (
    *((1, -25), (0.5, -17), (1, -9), (-2, -6), (-7, -3), (-5.5, 1), (-7.5, 4), (-1, 8)),
    *((2, 14), (4, 22), (7, 25), (13, 25), (22, 21), (35, 16), (60, 13), (120, 12), (250, 14)),
    *((250, -13), (120, -18), (70, -20), (52, -22), (41, -26), (34, -29.5), (29, -28)),
    *((20, -26), (9, -27)),
)
_FIBULA: Final = (
    *((11, 17), (9, 23), (12, 30), (20, 33), (29, 30), (42, 26), (80, 26), (250, 26)),
    *((250, 13), (80, 14), (42, 16), (29, 15), (19, 14)),
)
_PATELLA: Final = (
    *((-57, -47), (-53, -54), (-44, -60), (-32, -62), (-21, -59), (-13, -51), (-15, -47)),
    *((-22, -42), (-33, -38.5), (-46, -40.5)),
)
_SKIN: Final = (
    *((-250, -75), (-160, -70), (-100, -64), (-68, -65), (-48, -69), (-30, -71), (-14, -66)),
    *((6, -53), (24, -43), (38, -39), (60, -33), (120, -28), (250, -26)),
    *((250, 58), (120, 70), (80, 68), (40, 56), (5, 47), (-25, 49), (-60, 60), (-120, 76)),
    (-250, 88),
)
_SHARES: Final = MappingProxyType({"femur": 0.55, "tibia": 1.4, "fibula": 1.1, "patella": 2.8})
"""Depth from the side over depth from the front; a femur is drawn once for each condyle."""
_HINGE: Final = np.array([-22.0, 9.0])
"""Middle of the condyles' round part, about which the knee bends."""
_PATELLA_FOLLOWS: Final = 0.55
"""How far the patella goes with the tibia when the knee bends."""


class _Part(NamedTuple):
    bone: str
    outline: Points
    lines: Sequence[tuple[Points, float, float]]
    """Points, extra thickness of cortical bone and width of dense lines, mm."""


def compute_lateral_knee(
    shape: KneeShape, side: Side, grid: FilmGrid, rng: np.random.Generator
) -> FloatImage:
    """Attenuation of a knee seen from the side: soft tissue and bones.

    Parameters
    ----------
    shape : KneeShape
        Its size, fat, girth and spongy bone.
    side : Side
        The patella of a right knee is at the lesser columns, that of a left knee at the greater.
    grid : FilmGrid
        Its origin is the middle of the joint.
    rng : numpy.random.Generator
        Draws how far the knee is bent and turned, and what differs between people.

    Returns
    -------
    (rows, cols) array, float32, in nepers
    """
    bend, lean = np.deg2rad(np.clip([rng.normal(22, 11), rng.normal(0, 4)], -10, 50))
    parts = _draw_parts(rng)  # before any noise, whose amount depends on the grid
    size = np.array([1.0, 1.0 if side is Side.RIGHT else -1.0]) * shape.scale

    def place(points: Points, follows: Points | float) -> Points:
        """Bend as far as a point moves with the tibia, turn the leg as a whole, then scale."""
        bent = _turn(points, np.asarray(bend * follows))
        return _turn(bent, np.asarray(lean - bend / 2)) * size

    skin = np.array(_SKIN, np.float64)
    skin[:, 1] *= 0.5 + 0.5 * shape.girth
    follows = np.clip(skin[:, 0] / 50 + 0.6, 0, 1)
    legs = [_knee_of("skin", smooth_curve(place(skin, follows)), (), side, shape)]
    total = compute_soft_tissue(legs, [grid], rng)
    for part in parts:
        goes = {"femur": 0.0, "patella": _PATELLA_FOLLOWS}.get(part.bone, 1.0)
        lines = [
            DenseLine(part.bone, place(smooth_curve(line, closed=False), goes), mm, width)
            for line, mm, width in part.lines
        ]
        knee = _knee_of(part.bone, place(smooth_curve(part.outline), goes), lines, side, shape)
        total += np.float32(_SHARES[part.bone]) * compute_bone(knee, grid, rng)
    return total


def _draw_parts(rng: np.random.Generator) -> list[_Part]:
    """The bones of one person: two condyles that do not quite coincide, then the rest."""
    parts = []
    apart = rng.normal(0, 1.6, 2)
    for sign, flat in ((1, 1.0), (-1, rng.uniform(0.9, 0.97))):
        condyle = np.array(_CONDYLE, np.float64) * (flat, flat) - (5 * (1 - flat), 0)
        condyle += sign * apart / 2 + rng.normal(0, 0.5, condyle.shape)
        edge = smooth_curve(condyle, closed=False)
        notch = np.array([(-34, 17), (-26, 4), (-18, -9), (-14, -14)]) + rng.normal(0, 1, 2)
        outline = np.vstack([_FRONT_OF_SHAFT, condyle, _BACK_OF_SHAFT])
        parts.append(_Part("femur", outline, [(edge[::6], 9.0, 0.9), (notch, 4.5, 0.8)]))
    slope = np.deg2rad(rng.normal(3, 3))
    tibia = np.array(_TIBIA, np.float64)
    near = np.clip(1 - tibia[:, :1] / 25, 0, 1)  # only the plateau slopes
    tibia += near * np.array([np.tan(slope), 0]) * tibia[:, 1:]
    tibia += rng.normal(0, 0.4, tibia.shape)
    plates = [
        (tibia[[0, 1, 2]] + (0.8, 0), 8.0, 0.9),
        (tibia[[8, 9, 10]] + (0.0, 0), 7.0, 0.9),
        (tibia[[1, 2, 7, 8]] + (3.5, 0), 5.0, 0.8),
    ]
    scar = np.array([(20, -22), (17, -8), (18, 6), (19, 19)]) + rng.normal(0, 0.7, (4, 2))
    parts.append(_Part("tibia", tibia, [*plates, (scar, 3.0, 0.8)]))
    away = rng.normal(0, (3, 3))
    parts.append(_Part("fibula", np.array(_FIBULA) + away, ()))
    patella = np.array(_PATELLA, np.float64) + rng.normal(0, 0.6, (len(_PATELLA), 2))
    patella += (rng.normal(0, 4), 0)
    parts.append(_Part("patella", patella, [(patella[[6, 7, 8, 9]] - (0, 0.8), 3.5, 0.9)]))
    return parts


def _knee_of(
    name: str, outline: Points, lines: Sequence[DenseLine], side: Side, shape: KneeShape
) -> KneeAnatomy:
    return KneeAnatomy(
        side=side,
        shape=shape,
        severity=Severity(dict.fromkeys(FEATURES, 0.0)),
        outlines={name: outline},
        spurs={},
        lines=tuple(lines),
        landmarks_mm=np.empty((0, 2)),
        joint_space_mm={},
    )


def _turn(points: Points, angle: Points) -> Points:
    """Turn about the hinge by one angle or one for each point; positive: the shin goes back."""
    cos, sin = np.cos(angle), np.sin(angle)
    rows, cols = (points - _HINGE).T
    turned: Points = np.stack([rows * cos - cols * sin, rows * sin + cols * cos], axis=1) + _HINGE
    return turned
