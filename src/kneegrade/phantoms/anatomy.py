"""Grades and a few shape numbers -> the outlines of a knee, its landmarks and joint space.

Coordinates are ``(row, col)`` in mm at the detector plane. The frame is that of a right knee on a
PA film: rows grow distally, lateral is at negative columns; a left knee is its mirror image.

The mean landmarks and the normal joint space widths are means over 748 annotated knees: A. Tiulpin,
I. Melekhov, S. Saarakkala, "KNEEL: Knee Anatomical Landmark Localization Using Hourglass Networks",
ICCV Workshops 2019, arXiv:1907.12237.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.phantoms import template
from kneegrade.types import Grades, Side, Task

Points = NDArray[np.float64]

LANDMARK_NAMES: Final = (*(f"t{i}" for i in range(9)), *(f"f{i}" for i in range(7)))
MEAN_PLATEAU_WIDTH_MM: Final = 79.05

_NORMAL_SPACE_MM: Final = MappingProxyType({Task.JSN_L: 5.45, Task.JSN_M: 4.56})
"""Mean smallest joint space of the KL 0 knees of the source."""
_SPACE_LOST: Final = ((0.0, 0.0), (0.15, 0.30), (0.42, 0.62), (0.84, 0.97))
"""Share of the normal width that JSN 0-3 take: none, up to 1/3, up to 2/3, nearly all."""
_SPUR_CORNERS: Final = MappingProxyType(
    {Task.FO_L: ("f0", -1), Task.FO_M: ("f6", -1), Task.TO_L: ("t0", 1), Task.TO_M: ("t8", 1)}
)
"""The landmark at which an osteophyte grows and the direction away from the joint."""
_PER_NODE: Final = 16


@dataclass(frozen=True, eq=False)
class DenseLine:
    """A line along which bone is denser: a subchondral plate, a growth scar, a notch's wall.

    Parameters
    ----------
    bone : str
        The outline inside which it lies.
    points_mm : (n, 2) array
    bone_mm : float
        Extra thickness of cortical bone on the line, in mm along the beam.
    width_mm : float
        Distance over which it falls to 1/e.
    """

    bone: str
    points_mm: Points
    bone_mm: float
    width_mm: float


@dataclass(frozen=True, eq=False)
class KneeAnatomy:
    """One knee as drawn, in mm; the origin is the centre of its film.

    Parameters
    ----------
    side : Side
    grades : Grades
        All seven tasks of the paper.
    outlines : mapping of str to (n, 2) array
        Closed outlines of ``femur tibia fibula patella skin``, spurs not included.
    spurs : mapping of Task to (n, 2) array
        Closed outlines of the osteophytes, for the sites graded above 0.
    lines : tuple of DenseLine
    landmarks_mm : (16, 2) array
        In the order of `LANDMARK_NAMES`: lateral to medial, tibia first, on either side.
    joint_space_mm : mapping of Task to float
        Smallest vertical gap of the lateral and the medial compartment, plateau level.
    """

    side: Side
    grades: Grades
    outlines: Mapping[str, Points]
    spurs: Mapping[Task, Points]
    lines: tuple[DenseLine, ...]
    landmarks_mm: Points
    joint_space_mm: Mapping[Task, float]

    def __post_init__(self) -> None:
        for name in ("outlines", "spurs", "joint_space_mm"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for points in (self.landmarks_mm, *self.outlines.values(), *self.spurs.values()):
            points.setflags(write=False)

    @property
    def scale(self) -> float:
        """Plateau width over the mean plateau width of the source."""
        width = float(np.linalg.norm(self.landmarks_mm[8] - self.landmarks_mm[0]))
        return width / MEAN_PLATEAU_WIDTH_MM

    def mirrored(self) -> "KneeAnatomy":
        """The same knee on the other side of the body."""
        flip = np.array([1.0, -1.0])
        return replace(
            self,
            side=self.side.other,
            outlines={name: points * flip for name, points in self.outlines.items()},
            spurs={task: points * flip for task, points in self.spurs.items()},
            lines=tuple(replace(line, points_mm=line.points_mm * flip) for line in self.lines),
            landmarks_mm=self.landmarks_mm * flip,
        )


def compute_kl(grades: Mapping[Task, int]) -> int:
    """Kellgren-Lawrence grade of a phantom from its feature grades.

    Rule: 4 where the worst narrowing is 3; else 3 where it is 2; else 2 where an osteophyte is
    graded 2 or more, or where an osteophyte and a narrowing of 1 meet; else 1 where either is 1;
    else 0. It follows the wording of Kellgren and Lawrence; readers of films do not follow a rule.

    Parameters
    ----------
    grades : mapping of Task to int
        Osteophytes and narrowing of all six sites.

    Returns
    -------
    int
        0 to 4.
    """
    narrowing = max(grades[t] for t in (Task.JSN_L, Task.JSN_M))
    spur = max(grades[t] for t in (Task.FO_L, Task.FO_M, Task.TO_L, Task.TO_M))
    if narrowing >= 2:
        return narrowing + 1
    if spur >= 2 or (spur and narrowing):
        return 2
    return int(bool(spur or narrowing))


def draw_knee_anatomy(*, side: Side, grades: Grades, rng: np.random.Generator) -> KneeAnatomy:
    """Draw a knee that shows the given grades.

    Parameters
    ----------
    side : Side
    grades : Grades
        Femoral and tibial osteophytes and joint space narrowing, lateral and medial.
    rng : numpy.random.Generator
        Draws size, alignment, pose and the widths within a grade. The same state gives the same
        knee: only what is graded differs between two knees drawn from it.

    Returns
    -------
    KneeAnatomy

    Raises
    ------
    ValueError
        If one of the six feature grades is absent, or a KL grade is given that `compute_kl`
        contradicts.
    """
    missing = [t.value for t in (*_SPUR_CORNERS, *_NORMAL_SPACE_MM) if t not in grades]
    if missing:
        raise ValueError(f"A phantom needs all six feature grades. Got none for {missing}.")
    kl = compute_kl(grades)
    if grades.get(Task.KL, kl) != kl:
        raise ValueError(f"These features are KL {kl} by the rule. Got {grades[Task.KL]}.")
    shape = _Shape.drawn(rng)
    knee = _draw_right_knee(Grades({**grades, Task.KL: kl}), shape)
    return knee if side is Side.RIGHT else knee.mirrored()


@dataclass(frozen=True)
class _Shape:
    """What differs between two knees of the same grades."""

    scale: float
    space_factor: float
    space_u: float
    femur_bend: float
    tibia_bend: float
    notch_mm: float
    spine_mm: float
    patella_mm: tuple[float, float]
    skin_factor: float
    spur_factors: tuple[float, ...]
    tilt: float
    shift_mm: tuple[float, float]

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "_Shape":
        """Draw every number, whatever the grades; spreads are about those of the source."""
        z = np.clip(rng.standard_normal(12), -1.8, 1.8)
        return cls(
            scale=float(0.985 + 0.075 * z[0]),
            space_factor=float(1 + 0.1 * z[1]),
            space_u=float(rng.uniform()),
            femur_bend=float(0.025 * z[2]),
            tibia_bend=float(0.02 * z[3]),
            notch_mm=float(1.5 * z[4]),
            spine_mm=float(0.9 * z[5]),
            patella_mm=(float(2.5 * z[6]), float(2 * z[7])),
            skin_factor=float(1 + 0.06 * z[8]),
            spur_factors=tuple(rng.uniform(0.94, 1.06, 4).tolist()),
            tilt=float(np.deg2rad(-0.9 + 1.6 * z[9])),
            shift_mm=(float(3 * z[10]), float(3 * z[11])),
        )


def _draw_right_knee(grades: Grades, shape: _Shape) -> KneeAnatomy:
    tibial_line, femoral_line = np.array(template.TIBIAL_LINE), np.array(template.FEMORAL_LINE)
    tibial_line[3:6, 0] -= shape.spine_mm
    femoral_line[3, 0] -= shape.notch_mm
    femur_nodes = np.vstack([template.FEMUR_LATERAL, femoral_line, template.FEMUR_MEDIAL])
    tibia_nodes = np.vstack([template.TIBIA_LATERAL, tibial_line, template.TIBIA_MEDIAL])
    target = _joint_space_target(grades, shape)
    tibia = _smooth(tibia_nodes)
    move = _fit_femur(_smooth(femur_nodes), tibia, {t: w / shape.scale for t, w in target.items()})
    patella = np.array(template.PATELLA, np.float64) + shape.patella_mm
    skin = np.array(template.SKIN, np.float64) * (1, shape.skin_factor)
    place = partial(_placed, shape=shape)
    outlines = {
        "femur": place(_moved(_smooth(femur_nodes), *move)),
        "tibia": place(tibia),
        "fibula": place(_smooth(np.array(template.FIBULA, np.float64))),
        "patella": place(_moved(_smooth(patella), *move)),
        "skin": place(_smooth(skin)),
    }
    landmarks = np.vstack([tibial_line, _moved(femoral_line, *move)])
    spurs = {
        task: place(_spur(landmarks[LANDMARK_NAMES.index(corner)], away, grades[task] * factor))
        for (task, (corner, away)), factor in zip(
            _SPUR_CORNERS.items(), shape.spur_factors, strict=True
        )
        if grades[task]
    }
    return KneeAnatomy(
        side=Side.RIGHT,
        grades=grades,
        outlines=outlines,
        spurs=spurs,
        lines=_dense_lines(tibial_line, femoral_line, grades, place, move),
        landmarks_mm=place(landmarks),
        joint_space_mm=target,
    )


def _joint_space_target(grades: Grades, shape: _Shape) -> dict[Task, float]:
    """Smallest gaps in mm; beside a collapsed compartment the healthy one opens a little."""
    widths, lost_mm = {}, {}
    for task, normal in _NORMAL_SPACE_MM.items():
        low, high = _SPACE_LOST[grades[task]]
        full = normal * shape.scale * shape.space_factor
        lost_mm[task] = full * (low + (high - low) * shape.space_u)
        widths[task] = full - lost_mm[task]
    for task, other in ((Task.JSN_L, Task.JSN_M), (Task.JSN_M, Task.JSN_L)):
        if grades[task] == 0:
            widths[task] += 0.25 * lost_mm[other]
    return widths


def _fit_femur(femur: Points, tibia: Points, target: Mapping[Task, float]) -> tuple[float, float]:
    """Rotation (rad) and shift (mm) of the femur that give both gaps."""
    angle = shift = 0.0
    for _ in range(12):
        moved = _moved(femur, angle, shift)
        excess = {t: _smallest_gap(moved, tibia, t) - width for t, width in target.items()}
        angle += (excess[Task.JSN_M] - excess[Task.JSN_L]) / 52
        shift += (excess[Task.JSN_M] + excess[Task.JSN_L]) / 2
    return angle, shift


def _smallest_gap(femur: Points, tibia: Points, task: Task) -> float:
    cols = np.linspace(15, 38, 116) * (-1 if task is Task.JSN_L else 1)
    return float((_surface(tibia, cols) - _surface(femur, cols)).min())


def _surface(outline: Points, cols: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of the joint surface of a femur or tibia outline at the given columns."""
    near = outline[(np.abs(outline[:, 0]) < 12) & (np.abs(outline[:, 1]) < 41)]
    near = near[np.argsort(near[:, 1])]
    return np.asarray(np.interp(cols, near[:, 1], near[:, 0]), np.float64)


def _moved(points: Points, angle: float, shift: float) -> Points:
    """Rotate about the origin, medial side down for a positive angle, then shift distally."""
    cos, sin = np.cos(angle), np.sin(angle)
    rows, cols = points[:, 0], points[:, 1]
    moved = np.stack([rows * cos + cols * sin + shift, cols * cos - rows * sin], axis=1)
    return np.asarray(moved, np.float64)


def _placed(points: Points, shape: _Shape) -> Points:
    """Bring a point of the mean knee to its place on the film: shafts bent, scaled, posed."""
    bent = points.copy()
    bent[:, 1] += shape.femur_bend * np.maximum(-50 - points[:, 0], 0)
    bent[:, 1] += shape.tibia_bend * np.maximum(points[:, 0] - 45, 0)
    return np.asarray(_moved(bent * shape.scale, shape.tilt, 0) + shape.shift_mm, np.float64)


def _spur(corner: Points, away: int, grade: float) -> Points:
    """An osteophyte whose area is ``grade`` thirds of the largest one's."""
    out, depth = (np.array(template.SPUR) * np.sqrt(grade / 3)).T
    offsets = np.stack([away * depth, np.sign(corner[1]) * out], axis=1)
    return np.asarray(corner + offsets, np.float64)


def _dense_lines(
    tibial: Points,
    femoral: Points,
    grades: Grades,
    place: Callable[[Points], Points],
    move: tuple[float, float],
) -> tuple[DenseLine, ...]:
    """Subchondral plates (thicker with narrowing), growth scars, walls of the notch."""
    lateral, medial = 1 + 0.35 * grades[Task.JSN_L], 1 + 0.35 * grades[Task.JSN_M]
    tibia, femur = _smooth(tibial, closed=False), _smooth(femoral, closed=False)
    rim = _smooth(np.array(template.ANTERIOR_RIM, np.float64), closed=False)
    parts = [
        ("tibia", tibia[: 3 * _PER_NODE], 9.0 * lateral, 1.3 * lateral),
        ("tibia", tibia[3 * _PER_NODE : 6 * _PER_NODE], 4.5, 1.0),
        ("tibia", tibia[6 * _PER_NODE - 4 :], 10.0 * medial, 1.5 * medial),
        ("tibia", rim, 4.0, 0.7),
        ("tibia", _smooth(np.array(template.TIBIAL_SCAR, np.float64), closed=False), 2.2, 0.8),
    ]
    of_femur = [
        (femur[: 3 * _PER_NODE], 5.0 * lateral, 0.8 * lateral),
        (femur[3 * _PER_NODE - 4 :], 5.0 * medial, 0.8 * medial),
    ]
    of_femur += [
        (_smooth(np.array(nodes, np.float64), closed=False), bone_mm, 0.7)
        for nodes, bone_mm in (
            (template.FEMORAL_SCAR, 3.0),
            (template.NOTCH_LATERAL, 2.2),
            (template.NOTCH_MEDIAL, 3.4),
        )
    ]
    parts += [("femur", _moved(line, *move), bone_mm, width) for line, bone_mm, width in of_femur]
    return tuple(DenseLine(bone, place(line), mm, width) for bone, line, mm, width in parts)


def _smooth(nodes: Points, *, closed: bool = True) -> Points:
    """Curve through the nodes (centripetal Catmull-Rom), `_PER_NODE` points to a stretch."""
    if closed:
        ring = np.vstack([nodes[-1:], nodes, nodes[:2]])
    else:
        ring = np.vstack([2 * nodes[0] - nodes[1], nodes, 2 * nodes[-1] - nodes[-2]])
    p0, p1, p2, p3 = (ring[i : len(ring) - 3 + i, None] for i in range(4))
    t1 = np.linalg.norm(p1 - p0, axis=2)[..., None] ** 0.5
    t2 = t1 + np.linalg.norm(p2 - p1, axis=2)[..., None] ** 0.5
    t3 = t2 + np.linalg.norm(p3 - p2, axis=2)[..., None] ** 0.5
    t = t1 + (t2 - t1) * np.linspace(0, 1, _PER_NODE, endpoint=False)[None, :, None]
    a1 = (t1 - t) / t1 * p0 + t / t1 * p1
    a2 = (t2 - t) / (t2 - t1) * p1 + (t - t1) / (t2 - t1) * p2
    a3 = (t3 - t) / (t3 - t2) * p2 + (t - t2) / (t3 - t2) * p3
    b1 = (t2 - t) / t2 * a1 + t / t2 * a2
    b2 = (t3 - t) / (t3 - t1) * a2 + (t - t1) / (t3 - t1) * a3
    curve = ((t2 - t) / (t2 - t1) * b1 + (t - t1) / (t2 - t1) * b2).reshape(-1, 2)
    return curve if closed else np.vstack([curve, nodes[-1:]])
