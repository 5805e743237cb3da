"""An image of a knee -> the same knee with metal: prostheses, screws, plates, nails, wires.

All sizes are in mm of a knee whose plateau is 79 mm wide, in the frame of the knee: rows grow
distally from the valley between the tubercles (landmark t4), columns from lateral to medial.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import cv2
import numpy as np

from kneegrade.arrays import FloatImage, GreyImage, Points
from kneegrade.phantoms.spoilt.metal_look import burn_in, fill_outlines
from kneegrade.phantoms.spoilt.metal_outlines import box, graft_screw, rod, screw, wire
from kneegrade.types import plateau_ends, plateau_width

PLATEAU_MM: Final = 79.1
"""Mean width of the plateau (t0 to t8) of KNEEL's annotated knees, mm."""
_SEEN_WITHIN_MM: Final = 46.0
"""How far an ROI reaches from the joint's centre, along rows and columns."""
_LEAST_SEEN_MM2, _LEAST_CONTRAST, _MOST_TRIES = 25.0, 30.0, 20
"""Metal is drawn again, so often at most, until this area is so much brighter than the bone."""
_LATERAL, _MEDIAL = -1, 1


@dataclass(frozen=True, eq=False)
class _Metal:
    """Outlines of metal, (k, 2) each in mm, and how much of the beam it stops, 0 to 1."""

    outlines: list[Points]
    opacity: float
    insert: Points | None = None
    """Where plastic stands between metals: the joint space of a replaced knee."""


class _Kind(NamedTuple):
    """A kind of metal: its share of all, and what makes one."""

    chance: float
    make: Callable[[np.random.Generator], _Metal]


def paint_metal(
    picture: GreyImage, points: Points, rng: np.random.Generator, kind: str | None = None
) -> tuple[GreyImage, FloatImage]:
    """Paint a prosthesis or an osteosynthesis on a knee, as radiographs show metal.

    It is drawn again until enough of it stands out within an ROI.

    Parameters
    ----------
    picture : (n, n) array, uint8
        A knee, lateral at column 0.
    points : (16, 2) array, float64
        Its landmarks in px of the image: t0..t8 of the tibia, f0..f6 of the femur.
    rng : numpy.random.Generator
    kind : str or None
        A key of `METAL_KINDS`; None: drawn by their chances.

    Returns
    -------
    painted : (n, n) array, uint8
    shown : (n, n) array, float32 in [0, 1]
        How plainly the metal is seen at each pixel.

    Raises
    ------
    ValueError
        If ``kind`` is anything else.
    """
    if kind is None:
        chances = [each.chance for each in METAL_KINDS.values()]
        kind = list(METAL_KINDS)[int(rng.choice(len(METAL_KINDS), p=chances))]
    elif kind not in METAL_KINDS:
        raise ValueError(f"kind must be one of {', '.join(METAL_KINDS)}. Got {kind!r}.")
    px_per_mm = plateau_width(points) / PLATEAU_MM
    reach = _SEEN_WITHIN_MM * px_per_mm
    (top, left), (bottom, right) = (
        np.clip(np.rint(points[4] + away), 0, len(picture)).astype(int) for away in (-reach, reach)
    )
    for _ in range(_MOST_TRIES):
        made, brighter_by = _paint_once(picture, points, rng, kind)
        near = brighter_by[top:bottom, left:right]
        if (near >= _LEAST_CONTRAST).sum() >= _LEAST_SEEN_MM2 * px_per_mm**2:
            break
    return made, np.clip(brighter_by / np.float32(_LEAST_CONTRAST), 0, 1)


def _paint_once(
    picture: GreyImage, points: Points, rng: np.random.Generator, kind: str
) -> tuple[GreyImage, FloatImage]:
    """The image, and by how many grey levels the metal is brighter than what it covers."""
    metal = METAL_KINDS[kind].make(rng)
    turn = np.deg2rad(rng.normal(0, 2.5))
    shift_mm = rng.normal(0, 1.5, 2)
    px_per_mm = plateau_width(points) / PLATEAU_MM
    lateral, medial = plateau_ends(points)
    across = (medial - lateral) / plateau_width(points)
    across = across @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    down = np.array([across[1], -across[0]])

    def to_px(outline: Points) -> Points:
        moved = outline + shift_mm
        px: Points = points[4] + px_per_mm * (moved[:, :1] * down + moved[:, 1:] * across)
        return px

    base = picture.astype(np.float32)
    if metal.insert is not None:
        gap = fill_outlines([to_px(metal.insert)], len(picture))
        gap = cv2.GaussianBlur(gap, (0, 0), 1.5) * np.float32(rng.uniform(0.5, 0.95))
        plastic = np.percentile(base, rng.uniform(12, 45))
        base += gap * (np.float32(plastic) + 0.15 * (base - base.mean()) - base)
    mask = fill_outlines([to_px(outline) for outline in metal.outlines], len(picture))
    return burn_in(base, mask, metal.opacity, rng)


def _total_knee(rng: np.random.Generator) -> _Metal:
    """Femoral shield, tibial tray with stem or keel, the insert between them, screws at times."""
    half = rng.uniform(33, 40)
    tray_row, insert, thick = rng.uniform(6, 12), rng.uniform(7, 13), rng.uniform(2.5, 5)
    tray = box((tray_row, -half), (tray_row + thick, half * rng.uniform(0.9, 1)))
    reach, radius = rng.choice([rng.uniform(22, 42), rng.uniform(45, 80)]), rng.uniform(4.5, 9)
    centre = rng.normal(0, 1.5)
    stem = [(0, -1.3), (0.15, -1), (0.9, -0.65), (1, 0), (0.9, 0.65), (0.15, 1), (0, 1.3)]
    keel = np.array(stem) * (reach, radius) + (tray_row + thick - 1, centre)
    outlines = [tray, keel]
    if rng.random() < 0.5:  # fins
        wing, low = rng.uniform(12, 22), rng.uniform(10, 20)
        start = tray_row + thick - 1
        outlines.append(
            np.array([(start, centre - wing), (start, centre + wing), (start + low, centre)])
        )
    bottom = tray_row - insert
    cols = np.linspace(-half, half, 61)
    shape = np.abs(cols) / half
    notch = rng.uniform(4, 10) * np.exp(-((cols / rng.uniform(5, 9)) ** 2))
    lower = bottom - notch - rng.uniform(4, 10) * shape ** rng.uniform(4, 8)
    upper = bottom - rng.uniform(8, 14) - 0 * cols
    upper = upper - rng.uniform(0, 26) * np.exp(-((cols / rng.uniform(12, 24)) ** 4))
    upper = np.minimum(np.where(shape > rng.uniform(0.8, 0.92), bottom - 25, upper), lower - 4)
    shield = np.vstack([np.stack([lower, cols], 1), np.stack([upper, cols], 1)[::-1]])
    outlines.append(shield)
    if rng.random() < 0.3:  # a revision's long stem in the femur
        outlines.append(rod((bottom - 20, centre), (bottom - 75, centre - 3), radius))
    insert_box = box((bottom - 3, -half), (tray_row + 1, half))
    return _Metal(outlines, rng.uniform(0.85, 1), insert_box)


def _half_knee(rng: np.random.Generator) -> _Metal:
    """One compartment replaced: a cap on the condyle over a half tray."""
    side = _MEDIAL if rng.random() < 0.8 else _LATERAL
    inner, outer = rng.uniform(6, 11), rng.uniform(33, 40)
    row, thick, insert = rng.uniform(7, 13), rng.uniform(2, 4), rng.uniform(4, 9)
    keel_at, keel = rng.uniform(16, 28), rng.uniform(4, 14)
    tray = box((row, inner), (row + thick, outer))
    outlines = [tray, rod((row, keel_at), (row + thick + keel, keel_at), rng.uniform(1, 2.5))]
    if rng.random() < 0.5:  # the tray's upright rim at the spines
        outlines.append(box((row - 4, inner), (row + thick, inner + 2)))
    middle, radius = rng.uniform(20, 26), rng.uniform(13, 18)
    depth = radius * rng.uniform(1, 1.5)
    arc = np.linspace(-1, 1, 25) * rng.uniform(1.1, 1.55)
    outer_arc = np.stack([np.cos(arc) * depth, np.sin(arc) * radius], 1)
    wall = rng.uniform(0.15, 0.8)
    inner_arc = outer_arc * (1 - wall, 0.86)
    cap = np.vstack([outer_arc, inner_arc[::-1]]) + np.array((row - insert - depth, middle))
    outlines.append(cap)
    if rng.random() < 0.7:
        peg = row - insert - depth * 0.5
        outlines.append(rod((peg, middle), (peg - rng.uniform(6, 16), middle), 2.5))
    mirror = np.array([1, side])
    return _Metal([outline * mirror for outline in outlines], rng.uniform(0.85, 1))


def _screws(rng: np.random.Generator) -> _Metal:
    outlines: list[Points] = []
    if rng.random() < 0.5:  # in the tunnels of a cruciate ligament's graft
        where = rng.random()
        if where < 0.75:
            start = (rng.uniform(12, 38), rng.uniform(-6, 14))
            outlines += graft_screw(start, rng.uniform(40, 100), rng)
        if where > 0.3:
            start = (rng.uniform(-36, -12), rng.uniform(-16, 6))
            outlines += graft_screw(start, rng.uniform(215, 285), rng)
        return _Metal(outlines, rng.uniform(0.5, 1))
    if rng.random() < 0.15:
        return _Metal(_bolt(rng), rng.uniform(0.75, 1))
    side = rng.choice([_LATERAL, _MEDIAL])
    in_tibia = rng.random() < 0.65
    row = rng.uniform(13, 34) if in_tibia else rng.uniform(-38, -10)
    slope, step = rng.normal(0, 14), rng.choice([-1, 1]) * rng.uniform(7, 13)
    diameter, thread = rng.uniform(3.2, 7), rng.choice([0.0, 0.35, 1.0])
    for i in range(int(rng.integers(1, 4))):
        start = (row + i * step, side * rng.uniform(32, 39))
        turn = slope + rng.normal(0, 4)
        angle = 180 - turn if side > 0 else turn
        outlines += screw(start, angle, rng.uniform(25, 75), diameter, thread)
    return _Metal(outlines, rng.uniform(0.75, 1))


def _bolt(rng: np.random.Generator) -> list[Points]:
    """Through the whole bone, with a nut and a washer at either end."""
    row = rng.uniform(10, 30) if rng.random() < 0.7 else rng.uniform(-40, -14)
    slope, radius = rng.uniform(-4, 4), rng.uniform(1.2, 2.5)
    ends = [(row - slope, -rng.uniform(36, 42)), (row + slope, rng.uniform(36, 42))]
    outlines = [rod(ends[0], ends[1], radius)]
    for at, col in ends:
        inner = col - np.sign(col) * rng.uniform(4, 9)
        outlines.append(box((at - 2 * radius, col), (at + 2 * radius, inner)))
        outlines.append(box((at - 4 * radius, inner), (at + 4 * radius, inner - np.sign(col))))
    return outlines


def _plate(rng: np.random.Generator) -> _Metal:
    """A plate that follows one side of the tibia or femur, held by screws."""
    side = rng.choice([_LATERAL, _MEDIAL])
    down = 1 if rng.random() < 0.6 else -1
    first = rng.uniform(9, 18)
    steps = np.linspace(0, 1, 30)
    rows = first + steps * rng.uniform(35, 70)
    cols = rng.uniform(36, 41) - rng.uniform(15, 22) * np.minimum(steps * 1.6, 1) ** 0.8
    width = rng.choice([rng.uniform(2.5, 4.5), rng.uniform(8, 14)])
    line = np.stack([down * rows, side * cols], 1)
    beside = np.array((0, width / 2))
    outlines = [np.vstack([line - beside, line[::-1] + beside])]
    n_near = int(rng.integers(1, 4))
    near = first + 2 + np.arange(n_near) * rng.uniform(4, 9)
    far = np.arange(first + 28, rows[-1], rng.uniform(8, 14))
    diameter, thread = rng.uniform(3.2, 5.5), rng.choice([0.0, 1.0])
    tilt = rng.normal(0, 6)
    for row in (*near, *far):
        if rng.random() < 0.2:
            continue
        col = float(np.interp(row, rows, cols))
        length = rng.uniform(35, 68) if row in near else rng.uniform(20, 36)
        turn = tilt + rng.normal(0, 2)
        angle = 180 - turn if side > 0 else turn
        outlines += screw((down * row, side * col), angle, length, diameter, thread)
    return _Metal(outlines, rng.uniform(0.85, 1))


def _nail(rng: np.random.Generator) -> _Metal:
    """A nail in the shaft of the tibia or femur, open at its end or not, with locking screws."""
    down = 1 if rng.random() < 0.5 else -1
    end = rng.choice([rng.uniform(8, 43), rng.uniform(30, 44)])  # its tip alone is shown
    col = rng.normal(0, 4)
    radius, lean = rng.uniform(4, 6.5), rng.normal(0, 4)
    body = end + (rng.uniform(4, 12) if rng.random() < 0.4 else 0)
    outlines = [rod((down * 95, col + lean), (down * body, col), radius)]
    if body > end:
        wall = radius * rng.uniform(0.15, 0.35)
        outlines += [
            rod((down * body, at), (down * end, at), wall)
            for at in (col - radius + wall, col + radius - wall)
        ]
    row = end + rng.uniform(5, 12)
    for _ in range(int(rng.integers(0, 4))):
        half, slope = rng.uniform(18, 36), rng.normal(0, 6)
        start, angle = (down * row, col - half), slope
        outlines += screw(start, angle, half * rng.uniform(1.5, 2), rng.uniform(4, 6), 0)
        row += rng.uniform(8, 16)
    return _Metal(outlines, rng.uniform(0.65, 0.95))


def _staples(rng: np.random.Generator) -> _Metal:
    outlines: list[Points] = []
    side, row = rng.choice([_LATERAL, _MEDIAL]), rng.choice([-1, 1]) * rng.uniform(12, 28)
    for i in range(int(rng.integers(1, 4))):
        gap, length, radius = rng.uniform(8, 17), rng.uniform(14, 28), rng.uniform(0.9, 1.8)
        top, col = row + i * rng.uniform(5, 16), rng.uniform(30, 38)
        tilt = rng.normal(0, 4)
        for start, stop in (
            ((top, col), (top + gap, col + 1)),
            ((top, col), (top + tilt, col - length)),
            ((top + gap, col + 1), (top + gap + tilt, col - length)),
        ):
            outlines.append(rod(start, stop, radius) * np.array([1, side]))
    return _Metal(outlines, rng.uniform(0.8, 1))


def _wires(rng: np.random.Generator) -> _Metal:
    """Pins through the patella with a loop around them, rings around a shaft, or a lone wire."""
    radius, kind = rng.uniform(0.4, 1), rng.random()
    if kind < 0.35:
        outlines = _tension_band(radius, rng)
    elif kind < 0.5:
        outlines = _rings(radius, rng)
    else:
        outlines = _lone_wire(radius, rng)
    return _Metal(outlines, rng.uniform(0.75, 1))


def _tension_band(radius: float, rng: np.random.Generator) -> list[Points]:
    """One or two pins, and a wire around their ends: an O or an 8, bent by hand, with a twist."""
    centre = np.array([rng.uniform(-34, -14), rng.normal(0, 8)])
    tilt, spread = rng.normal(0, 12), rng.uniform(4, 9)
    outlines = []
    for side in (-1, 1) if rng.random() < 0.7 else (0,):
        angle = np.deg2rad(90 + tilt + rng.normal(0, 5))
        way = np.array([np.sin(angle), np.cos(angle)])
        middle = centre + np.array([rng.normal(0, 2), side * spread])
        half = way * rng.uniform(10, 25)
        outlines += [rod(middle - half, middle + half, radius * rng.uniform(1, 1.8))]
        if rng.random() < 0.4:  # the end is bent over
            outlines += [rod(middle - half, middle - half + rng.normal(0, 4, 2), radius * 1.5)]
    turn = np.linspace(0, 2 * np.pi, 60)
    figure = rng.choice([1, 2])
    size = np.array([rng.uniform(7, 22), rng.uniform(7, 18)])
    waves = [rng.normal(0, 0.25 / k) * np.sin(k * turn + rng.uniform(0, 6)) for k in (2, 3, 4)]
    bends = np.sum(waves, axis=0)
    loop = np.stack([np.cos(turn), np.sin(figure * turn)], 1) * (1 + bends[:, None])
    if rng.random() < 0.3:  # corners where it was pulled over the pins
        loop = loop[:: int(rng.integers(8, 16))]
    loop = centre + loop * size
    twist = loop[int(rng.integers(len(loop)))]
    outlines += wire(np.vstack([loop, loop[:1]]) + rng.normal(0, 0.3, 2), radius)
    return [*outlines, rod(twist, twist + rng.normal(0, 4, 2), radius * 1.8)]


def _rings(radius: float, rng: np.random.Generator) -> list[Points]:
    """Wire around the shaft, seen from the side."""
    outlines: list[Points] = []
    bone, width = rng.choice([-1, 1]), rng.uniform(14, 24)
    row, turn = rng.uniform(26, 40), np.linspace(0, 2 * np.pi, 40)
    for _ in range(int(rng.integers(1, 4))):
        height = rng.uniform(1, 4)
        ring = np.stack([bone * row + height * np.sin(turn), width * np.cos(turn)], 1)
        outlines += wire(ring, radius)
        row -= rng.uniform(5, 10)
    return outlines


def _lone_wire(radius: float, rng: np.random.Generator) -> list[Points]:
    """A wire somewhere: straight stretches, wide and sharp bends, a knot or two."""
    turns: list[float] = []  # rad per mm
    for _ in range(int(rng.integers(1, 5))):
        turns += [0.0] * int(rng.integers(3, 40))
        bend = rng.normal(0, 1)
        length_mm = int(np.ceil(abs(bend) * rng.uniform(1, 14)))
        turns += [bend / length_mm] * length_mm
    turns += [0.0] * int(rng.integers(8, 30))
    uneven = rng.normal(0, rng.choice([0.01, 0.06]), len(turns))
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(turns + uneven + rng.normal(0, 0.01))
    line = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], 1), axis=0)
    seen = line[int(rng.integers(len(line) // 4, 3 * len(line) // 4))]
    line += np.array([rng.choice([-1, 1]) * rng.uniform(4, 36), rng.normal(0, 18)]) - seen
    outlines = wire(line[::2], radius)
    for _ in range(int(rng.integers(0, 3))):
        knot = line[int(rng.choice(np.array([0, -1, rng.integers(len(line))])))]
        for end in knot + rng.normal(0, 2.2, (int(rng.integers(1, 4)), 2)):
            outlines.append(rod(knot, end, radius * 1.7))
    return outlines


METAL_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "total knee": _Kind(0.06, _total_knee),
        "half knee": _Kind(0.06, _half_knee),
        "screws": _Kind(0.29, _screws),
        "plate": _Kind(0.08, _plate),
        "nail": _Kind(0.21, _nail),
        "staples": _Kind(0.07, _staples),
        "wires": _Kind(0.23, _wires),
    }
)
"""What `paint_metal` paints. The chances add up to 1; thin metal is drawn more often than it
occurs, as it is easily missed. Their order is part of what a seed draws."""
