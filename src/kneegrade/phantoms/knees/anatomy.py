"""A knee's shape and the severity of its features -> outlines, landmarks and joint space.

Coordinates are ``(row, col)`` in mm at the detector plane, the valley between the tibial spines
at the origin. The frame is that of a right knee on a PA film: rows grow distally, lateral is at
negative columns; a left knee is its mirror image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from kneegrade.arrays import Points
from kneegrade.phantoms.knees import template
from kneegrade.phantoms.knees.outline import (
    PER_NODE,
    Similarity,
    fit_similarity,
    move_similarly,
    roughen_outline,
    smooth_curve,
    surface_rows,
    turn_and_shift,
)
from kneegrade.phantoms.knees.severity import ATTRITION, NARROWING, SCLEROSIS, Severity
from kneegrade.phantoms.knees.shape import KneeShape, mean_landmarks
from kneegrade.terms import LANDMARK_NAMES, N_TIBIAL
from kneegrade.types import Side, Task, plateau_ends

_SPUR_CORNERS: Final = MappingProxyType(
    {Task.FO_L: ("f0", -1), Task.FO_M: ("f6", -1), Task.TO_L: ("t0", 1), Task.TO_M: ("t8", 1)}
)
"""The landmark at which an osteophyte grows and the direction away from the joint."""
_OPENS_BY: Final = 0.3
"""Share of the width lost on one side by which the other, unaffected one opens."""
_LEAST_SPACE: Final = 0.02
"""Share of the normal width that stays where bone meets bone: no outline touches another."""
_ATTRITION_MM: Final = (0.0, 1.0, 2.5, 4.5, 6.0)
"""Depth by which attrition of severity 1, 2, 3, 4 lowers the middle of a plateau (guess)."""


@dataclass(frozen=True)
class Positioning:
    """How one knee stood for one film.

    Parameters
    ----------
    tilt_deg : float
        Plateau in the film; positive: medial edge lower.
    rim_mm : (lateral, medial)
        How far below the plateau's near rim its far rim is seen: by how much the beam is off, mm.
    patella_mm : (rows, cols)
        Shift of the patella.
    """

    tilt_deg: float = 0.0
    rim_mm: tuple[float, float] = (2.0, 2.5)
    patella_mm: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class DenseLine:
    """A line along which bone is denser (a subchondral plate, a growth scar) or less dense.

    Parameters
    ----------
    bone : str
        The outline inside which it lies.
    points_mm : (n, 2) array
    bone_mm : float
        Extra thickness of cortical bone on the line, in mm along the beam; negative: less.
    width_mm : float
        Distance over which it falls to 1/e.
    """

    bone: str
    points_mm: Points
    bone_mm: float
    width_mm: float


@dataclass(frozen=True, eq=False)
class KneeAnatomy:
    """One knee as drawn, in mm; the origin is the valley between the spines.

    Parameters
    ----------
    side : Side
    shape : KneeShape
    severity : Severity
    outlines : mapping of str to (n, 2) array
        Closed outlines of ``femur tibia fibula patella skin`` and, if there is one, ``fabella``;
        spurs not included.
    spurs : mapping of Task to (n, 2) array
        Closed outlines of the osteophytes, for the sites graded above 0.
    lines : tuple of DenseLine
    landmarks_mm : (16, 2) array
        In the order of `types.LANDMARK_NAMES`: lateral to medial, tibia first, on either side.
    joint_space_mm : mapping of Task to float
        Smallest gap of the lateral and the medial compartment, along the rows, plateau level.
    metal : tuple of (n, 2) array
        Closed outlines of an implant's parts.
    """

    side: Side
    shape: KneeShape
    severity: Severity
    outlines: Mapping[str, Points]
    spurs: Mapping[Task, Points]
    lines: tuple[DenseLine, ...]
    landmarks_mm: Points
    joint_space_mm: Mapping[Task, float]
    metal: tuple[Points, ...] = ()

    def __post_init__(self) -> None:
        for name in ("outlines", "spurs", "joint_space_mm"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for points in (self.landmarks_mm, *self.outlines.values(), *self.spurs.values()):
            points.setflags(write=False)

    def mirrored(self) -> "KneeAnatomy":
        """The same knee on the other side of the body."""
        flip = np.array([1.0, -1.0])
        return replace(self._moved(lambda points: points * flip), side=self.side.other)

    def turned(self, angle_deg: float) -> "KneeAnatomy":
        """The same knee turned about its origin; positive: the greater columns go down."""
        angle = np.deg2rad(angle_deg)
        return self._moved(lambda points: turn_and_shift(points, angle, 0.0))

    def _moved(self, move: Callable[[Points], Points]) -> "KneeAnatomy":
        return replace(
            self,
            outlines={name: move(points) for name, points in self.outlines.items()},
            spurs={task: move(points) for task, points in self.spurs.items()},
            lines=tuple(replace(line, points_mm=move(line.points_mm)) for line in self.lines),
            landmarks_mm=move(self.landmarks_mm),
            metal=tuple(move(points) for points in self.metal),
        )


def draw_knee_anatomy(
    *,
    side: Side,
    shape: KneeShape,
    severity: Severity,
    positioning: Positioning = Positioning(),
) -> KneeAnatomy:
    """Draw a knee: nothing is random, the same arguments give the same knee.

    The compartment that lost more of its joint space is drawn first; an unaffected one beside it
    opens by a share of what was lost, and the femur turns and sinks until both gaps fit.

    Parameters
    ----------
    side : Side
    shape : KneeShape
        The knee without disease.
    severity : Severity
        Osteophytes take thirds of the largest spur's area (1.5 one third, 2.5 two thirds, 3.5 all
        of it); narrowing 1, 2, 3 takes up to a third, two thirds, all of the normal width (Altman &
        Gold 2007; Nagaosa 2000); sclerosis thickens the subchondral plate, attrition lowers it.
    positioning : Positioning

    Returns
    -------
    KneeAnatomy
    """
    knee = _draw_right_knee(shape, severity, positioning)
    return knee if side is Side.RIGHT else knee.mirrored()


def compute_joint_space(shape: KneeShape, severity: Severity) -> dict[Task, float]:
    """Smallest lateral and medial gap in mm of a knee with this narrowing."""
    widths, lost_mm = {}, {}
    for task in NARROWING:
        lost = min(max(severity[task] - 1, 0) / 3, 1 - _LEAST_SPACE)
        lost_mm[task] = shape.normal_space_mm[task] * lost
        widths[task] = shape.normal_space_mm[task] - lost_mm[task]
    for task, other in (NARROWING, NARROWING[::-1]):
        if severity[task] < 1:
            widths[task] += _OPENS_BY * lost_mm[other]
    return widths


def compute_spur_share(severity: float) -> float:
    """Area of a spur over the largest one's: 0 below a severity of 1, then about its thirds."""
    return 0.0 if severity < 1 else (severity - 0.5) / 3


@dataclass(frozen=True, eq=False)
class _Joint:
    """Femur and tibia brought together, plateau level."""

    femur: Points
    tibia: Points
    landmarks: Points
    on_femur: Callable[[Any], Points]
    """Takes points of the mean femur, drawn in `template`, to this knee's."""
    on_tibia: Callable[[Any], Points]
    space_mm: Mapping[Task, float]


def _draw_right_knee(shape: KneeShape, severity: Severity, position: Positioning) -> KneeAnatomy:
    joint = _bring_together(shape, severity)
    patella = np.array(template.PATELLA) + shape.patella_mm + position.patella_mm
    skin = np.array(template.SKIN) * (1, shape.girth)
    outlines = {
        "femur": joint.femur,
        "tibia": joint.tibia,
        "fibula": smooth_curve(joint.on_tibia(np.array(template.FIBULA) + shape.fibula_mm)),
        "patella": smooth_curve(joint.on_femur(patella)),
    }
    rng = np.random.default_rng(shape.contour_seed)
    outlines = {
        name: roughen_outline(points, rng.standard_normal((4096, 2)))
        for name, points in outlines.items()
    }
    outlines["skin"] = smooth_curve(joint.on_tibia(skin))
    if shape.fabella:
        outlines["fabella"] = smooth_curve(joint.on_femur(template.FABELLA))

    def bend(points: Points) -> Points:
        bent = points.copy()
        bent[:, 1] += shape.femur_bend * np.maximum(-50 - bent[:, 0], 0)
        bent[:, 1] += shape.tibia_bend * np.maximum(bent[:, 0] - 45, 0)
        return bent

    level = KneeAnatomy(
        side=Side.RIGHT,
        shape=shape,
        severity=severity,
        outlines={name: bend(points) for name, points in outlines.items()},
        spurs=_spurs(joint, shape, severity),
        lines=_dense_lines(joint, shape, severity, position),
        landmarks_mm=joint.landmarks,
        joint_space_mm=joint.space_mm,
    )
    return level.turned(position.tilt_deg)


def _bring_together(shape: KneeShape, severity: Severity) -> _Joint:
    tibial, femoral = shape.landmarks_mm[:N_TIBIAL].copy(), shape.landmarks_mm[N_TIBIAL:]
    for task, middle in zip(ATTRITION, (1, 7), strict=True):
        depth = float(np.interp(severity[task], range(5), _ATTRITION_MM))
        tibial[middle - 1 : middle + 2, 0] += depth * np.array([0.35, 1, 0.35])
    mean = mean_landmarks()
    with_tibia = fit_similarity(plateau_ends(mean), plateau_ends(tibial))
    with_femur = fit_similarity(mean[[9, 15]], femoral[[0, 6]])
    tibia = _join(template.TIBIA_LATERAL, tibial, template.TIBIA_MEDIAL, with_tibia)
    femur = _join(template.FEMUR_LATERAL, femoral, template.FEMUR_MEDIAL, with_femur)
    target = compute_joint_space(shape, severity)
    move = _fit_femur(femur, tibia, target, shape.scale)
    return _Joint(
        femur=turn_and_shift(femur, *move),
        tibia=tibia,
        landmarks=np.vstack([tibial, turn_and_shift(femoral, *move)]),
        on_femur=lambda points: turn_and_shift(move_similarly(points, with_femur), *move),
        on_tibia=lambda points: move_similarly(points, with_tibia),
        space_mm=target,
    )


def _join(lateral: Any, joint_line: Points, medial: Any, fit: Similarity) -> Points:
    """A bone's outline: its joint line and the sides of the mean bone moved to its ends."""
    ends = [move_similarly(nodes, fit) for nodes in (lateral, medial)]
    return smooth_curve(np.vstack([ends[0], joint_line, ends[1]]))


def _fit_femur(
    femur: Points, tibia: Points, target: Mapping[Task, float], scale: float
) -> tuple[float, float]:
    """Rotation (rad) and shift (mm) of the femur that give both gaps."""
    angle = shift = 0.0
    for _ in range(25):
        moved = turn_and_shift(femur, angle, shift)
        excess = {
            task: compute_smallest_gap(moved, tibia, task, scale) - width
            for task, width in target.items()
        }
        angle += (excess[Task.JSN_M] - excess[Task.JSN_L]) / (58 * scale)
        shift += (excess[Task.JSN_M] + excess[Task.JSN_L]) / 2
    return angle, shift


def compute_smallest_gap(femur: Points, tibia: Points, task: Task, scale: float) -> float:
    """Smallest distance along the rows between two outlines, over one compartment.

    Parameters
    ----------
    femur, tibia : (n, 2) array
        Outlines of a right knee, plateau level, mm.
    task : Task
        ``jsn_l`` or ``jsn_m``.
    scale : float
        Plateau width over the mean one; the compartment reaches from 12 to 36 mm times that.

    Returns
    -------
    float
        mm; negative where the outlines cross.
    """
    cols = np.linspace(12, 36, 97) * scale * (-1 if task is Task.JSN_L else 1)
    gaps = surface_rows(tibia, cols, 39 * scale) - surface_rows(femur, cols, 39 * scale)
    return float(gaps.min())


def _spurs(joint: _Joint, shape: KneeShape, severity: Severity) -> dict[Task, Points]:
    """The osteophytes: areas in the ratio of `compute_spur_share`, varied by knee."""
    rng = np.random.default_rng([shape.contour_seed, 1])
    spurs = {}
    for (task, (corner, away)), size in zip(_SPUR_CORNERS.items(), shape.spur_size, strict=True):
        bumps = rng.uniform(0.9, 1.1, (len(template.SPUR), 1))
        share = compute_spur_share(severity[task])
        if share:
            tip = joint.landmarks[LANDMARK_NAMES.index(corner)]
            out, depth = (template.SPUR * bumps * np.sqrt(share * size)).T
            offsets = np.stack([away * depth, np.sign(tip[1]) * out], axis=1)
            spurs[task] = smooth_curve(tip + offsets)
    return spurs


def _dense_lines(
    joint: _Joint, shape: KneeShape, severity: Severity, position: Positioning
) -> tuple[DenseLine, ...]:
    """Subchondral plates (thicker with sclerosis), far rims, growth scars, walls of the notch."""
    first_t, first_f = (
        len(nodes) * PER_NODE for nodes in (template.TIBIA_LATERAL, template.FEMUR_LATERAL)
    )
    plateau = joint.tibia[first_t : first_t + 8 * PER_NODE + 1]
    condyles = joint.femur[first_f : first_f + 6 * PER_NODE + 1]
    hard = {task: 1 + 0.3 * max(severity[task] - 0.5, 0) for task in SCLEROSIS}
    lateral, medial = hard[Task.SCL_TL], hard[Task.SCL_TM]
    parts = [
        ("tibia", plateau[: 3 * PER_NODE], 13.0 * lateral, 1.5 * lateral),
        ("tibia", plateau[3 * PER_NODE : 6 * PER_NODE], 7.0, 0.8),
        ("tibia", plateau[6 * PER_NODE - 6 :], 16.0 * medial, 2.0 * medial),
        ("tibia", _far_rim(joint.landmarks[:3], position.rim_mm[0]), 7.0, 0.5),
        ("tibia", _far_rim(joint.landmarks[6:9], position.rim_mm[1]), 8.0, 0.5),
        ("femur", condyles[: 3 * PER_NODE], 4.5 * hard[Task.SCL_FL], 0.7 * hard[Task.SCL_FL]),
        ("femur", condyles[3 * PER_NODE - 6 :], 5.0 * hard[Task.SCL_FM], 0.8 * hard[Task.SCL_FM]),
    ]
    for part in (plateau[: 2 * PER_NODE], plateau[6 * PER_NODE :]):
        parts.append(("tibia", part + np.array([11.0, 0.0]), -3.0, 4.0))  # thinner below it
    parts.append(("tibia", joint.tibia[first_t + 3 * PER_NODE : first_t + 5 * PER_NODE], 4.0, 5.0))
    inner = (
        ("tibia", joint.on_tibia, template.TIBIAL_SCAR, 5.0, 0.7),
        ("tibia", joint.on_tibia, template.SPINE_LINE, 6.0, 0.6),
        ("femur", joint.on_femur, template.FEMORAL_SCAR_LATERAL, 6.0, 0.6),
        ("femur", joint.on_femur, template.FEMORAL_SCAR_MEDIAL, 7.0, 0.6),
        ("femur", joint.on_femur, template.NOTCH_LATERAL, 6.0, 0.6),
        ("femur", joint.on_femur, template.NOTCH_MEDIAL, 10.0, 0.8),
    )
    rng = np.random.default_rng([shape.contour_seed, 2])
    for bone, move, nodes, bone_mm, width in inner:
        bumpy = np.array(nodes) + rng.normal(0, 0.7, (len(nodes), 2))
        seen = rng.uniform(0.1, 0.8)
        parts.append((bone, smooth_curve(move(bumpy), closed=False), seen * bone_mm, width))
    return tuple(DenseLine(bone, line, mm, width) for bone, line, mm, width in parts)


def _far_rim(plateau: Points, below_mm: float) -> Points:
    """The rim of a plateau that is farther from the detector, seen below the near one."""
    outer, middle, inner = plateau
    straight = (outer + inner) / 2
    rim = np.stack([outer * (1, 0.97), 0.5 * middle + 0.5 * straight, inner * (1, 1.1)])
    return smooth_curve(rim + np.array([below_mm, 0]), closed=False)
