"""Landmarks -> widths, areas and the angle of the joint, in mm and as shares of the bone's width.

The parameters are those of KOACAD (Oka et al., "Fully automatic quantification of knee
osteoarthritis severity on plain radiographs", Osteoarthritis Cartilage 16, 2008): minimum width and
area of the joint space in each compartment, osteophyte area (there of the tibia, here of the femur
too), femorotibial angle; and the widths at fixed locations of the Osteoarthritis Initiative (OAI),
after Duryea.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatArray
from kneegrade.flags import Flag
from kneegrade.images.geometry import apply_affine
from kneegrade.knees.measuring.bone_sides import FemorotibialAngle, measure_angle, measure_spurs_px2
from kneegrade.knees.measuring.margins import (
    PX_PER_WIDTH,
    Bone,
    Compartment,
    Margin,
    StandardPose,
    find_second_rim,
    take_standard_pose,
    trace_margins,
)
from kneegrade.types import Landmarks, Radiograph, Side, SpacingSource

MEASURED: Final = MappingProxyType(
    {Compartment.LATERAL: (0.10, 0.30), Compartment.MEDIAL: (0.70, 0.88)}
)
"""Where the joint space is measured: shares of the plateau width from its lateral edge. It leaves
out the plateau's outer edges, where osteophytes grow, and the slopes of the tibial spines."""
FIXED: Final = MappingProxyType({Compartment.LATERAL: 0.20, Compartment.MEDIAL: 0.82})
"""Fixed locations, as shares of the plateau width from its lateral edge. They are where the OAI's
JSW250 (medial, x = 0.25) and LJSW800 (lateral, x = 0.80) fall in a mean knee; x runs from 0 at the
medial to 1 at the lateral edge of the femur, here of the plateau. Guess: 89 mm of femoral to 79 mm
of plateau width, as in the mean knee of the phantoms."""
RIMS_APART: Final = 1.5 / 80
"""Distance of the plateau's rims, in plateau widths, from which it is flagged. Guess: 1.5 mm, the
bound that readers use for a well aligned plateau, of an 80 mm wide knee."""
_FIXED_SPREAD: Final = 0.01
"""Half of the stretch over which a fixed-location width is averaged, in plateau widths."""


@dataclass(frozen=True)
class Length:
    """A length of one knee, twice.

    Parameters
    ----------
    share : float
        Of the plateau width (t0 to t8), 0 or more.
    mm : float or None
        None where the radiograph has no spacing.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.
    """

    share: float
    mm: float | None

    def __post_init__(self) -> None:
        _check_size("A length", self.share, self.mm)


@dataclass(frozen=True)
class Area:
    """An area of one knee, twice.

    Parameters
    ----------
    share : float
        Of the squared plateau width, 0 or more.
    mm2 : float or None
        None where the radiograph has no spacing.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.
    """

    share: float
    mm2: float | None

    def __post_init__(self) -> None:
        _check_size("An area", self.share, self.mm2)


def _check_size(what: str, *sizes: float | None) -> None:
    if not all(size is None or (np.isfinite(size) and size >= 0) for size in sizes):
        raise ValueError(f"{what} must be finite and 0 or more. Got {sizes!r}.")


@dataclass(frozen=True, eq=False)
class CompartmentSpace:
    """The joint space of one compartment. Points are ``(row, col)`` px of the radiograph.

    Parameters
    ----------
    minimum : Length
        Smallest gap, across the plateau, over `MEASURED`. 0 where bone meets bone.
    minimum_line_px : (2, 2) array
        Where it lies: the point of the femur, then that of the tibia. Read-only.
    fixed : Length
        Gap at the location `FIXED`.
    fixed_line_px : (2, 2) array
        As ``minimum_line_px``.
    area : Area
        Between the two margins over `MEASURED`.
    femur_spur, tibia_spur : Area
        Osteophyte area: bone outside its expected contour at the compartment's outer end
        (`measure_spurs_px2`).
    rim_distance : Length or None
        From the plateau's margin to its second rim; None where no second rim is seen.
    femur_px, tibia_px : (n, 2) array
        The margins as traced, lateral to medial. Read-only.
    """

    minimum: Length
    minimum_line_px: FloatArray
    fixed: Length
    fixed_line_px: FloatArray
    area: Area
    femur_spur: Area
    tibia_spur: Area
    rim_distance: Length | None
    femur_px: FloatArray
    tibia_px: FloatArray

    def __post_init__(self) -> None:
        for name in ("minimum_line_px", "fixed_line_px", "femur_px", "tibia_px"):
            object.__setattr__(self, name, _checked_points(name, getattr(self, name)))
        if not self.minimum_line_px.shape == self.fixed_line_px.shape == (2, 2):
            raise ValueError("A width is drawn from one point to another.")


def _checked_points(name: str, points: Any) -> FloatArray:
    array: NDArray[np.float64] = np.array(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < 2 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be (2 or more, 2) and finite. Got shape {array.shape}.")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class JointSpace:
    """What was measured of one knee's joint.

    Parameters
    ----------
    side : Side
    compartments : mapping of Compartment to CompartmentSpace
        Both; also as ``lateral`` and ``medial``.
    width_mm : float or None
        Plateau width t0 to t8, of which all shares are; None where the radiograph has no spacing.
    spacing_mm : (row, col) or None
    spacing_source : SpacingSource
        Of the radiograph: which millimetres these are.
    femorotibial : FemorotibialAngle or None
        None where too little of the shafts is on the picture.
    flags : frozenset of Flag
        `Flag.MARGIN_NOT_TRACED`, `Flag.PLATEAU_RIMS_APART`, `Flag.SHAFTS_SHORT`.

    Raises
    ------
    ValueError
        If a compartment is absent or millimetres are given without a spacing, or the reverse.
    """

    side: Side
    compartments: Mapping[Compartment, CompartmentSpace]
    width_mm: float | None
    spacing_mm: tuple[float, float] | None
    spacing_source: SpacingSource
    femorotibial: FemorotibialAngle | None = None
    flags: frozenset[Flag] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "compartments", MappingProxyType(dict(self.compartments)))
        if set(self.compartments) != set(Compartment):
            raise ValueError("A joint has a lateral and a medial compartment.")
        unknown = self.spacing_mm is None
        if unknown != (self.width_mm is None) or unknown != (
            self.spacing_source is SpacingSource.UNKNOWN
        ):
            raise ValueError("width_mm, spacing_mm and its source are all known or none is.")
        for space in self.compartments.values():
            areas = (space.area.mm2, space.femur_spur.mm2, space.tibia_spur.mm2)
            if any((mm is None) != unknown for mm in (space.minimum.mm, space.fixed.mm, *areas)):
                raise ValueError("A knee is measured in mm exactly where the spacing is known.")

    @property
    def lateral(self) -> CompartmentSpace:
        """The lateral compartment."""
        return self.compartments[Compartment.LATERAL]

    @property
    def medial(self) -> CompartmentSpace:
        """The medial compartment."""
        return self.compartments[Compartment.MEDIAL]


def measure_joint_space(radiograph: Radiograph, landmarks: Landmarks) -> JointSpace:
    """Trace the bone margins of both compartments and measure between them.

    Widths are measured across the plateau, that is along the rows of the standard pose, and never
    negative.

    Parameters
    ----------
    radiograph : Radiograph
        Bone bright.
    landmarks : Landmarks
        Of one of its knees.

    Returns
    -------
    JointSpace
    """
    pose = take_standard_pose(radiograph, landmarks)
    margins = trace_margins(pose)
    spurs = {bone: measure_spurs_px2(pose, bone) for bone in Bone}
    compartments = {
        half: _measure_compartment(
            pose,
            half,
            {bone: margins[bone, half] for bone in Bone},
            {bone: _area(pose, spurs[bone][half]) for bone in Bone},
        )
        for half in Compartment
    }
    angle = measure_angle(radiograph, pose)
    return JointSpace(
        side=landmarks.side,
        compartments=compartments,
        width_mm=pose.width_mm,
        spacing_mm=radiograph.spacing_mm,
        spacing_source=radiograph.spacing_source,
        femorotibial=angle,
        flags=_flags(margins.values(), compartments.values(), angle),
    )


def _flags(
    margins: Iterable[Margin],
    spaces: Iterable[CompartmentSpace],
    angle: FemorotibialAngle | None,
) -> frozenset[Flag]:
    flags = set()
    if not all(margin.is_traced for margin in margins):
        flags.add(Flag.MARGIN_NOT_TRACED)
    rims = [space.rim_distance.share for space in spaces if space.rim_distance is not None]
    if max(rims, default=0.0) >= RIMS_APART:
        flags.add(Flag.PLATEAU_RIMS_APART)
    if angle is not None and not angle.is_sure:
        flags.add(Flag.SHAFTS_SHORT)
    return frozenset(flags)


def _measure_compartment(
    pose: StandardPose,
    half: Compartment,
    margins: Mapping[Bone, Margin],
    spurs: Mapping[Bone, Area],
) -> CompartmentSpace:
    femur, tibia = margins[Bone.FEMUR], margins[Bone.TIBIA]
    cols = _measured_cols(pose, half, femur, tibia)
    upper, lower = femur.rows_at(cols), tibia.rows_at(cols)
    gaps = np.maximum(lower - upper, 0)
    narrowest = int(gaps.argmin())
    fixed = float(pose.cols_at(FIXED[half]))
    spread = fixed + PX_PER_WIDTH * np.linspace(-_FIXED_SPREAD, _FIXED_SPREAD, 9)
    fixed_gap = float(np.maximum(tibia.rows_at(spread) - femur.rows_at(spread), 0).mean())
    area = float(gaps.mean()) * float(cols[-1] - cols[0])

    rim = find_second_rim(pose, tibia, float(cols[0]), float(cols[-1]))

    def line(col: float) -> FloatArray:
        top = float(femur.rows_at(col))
        ends = [(top, col), (max(top, float(tibia.rows_at(col))), col)]
        return apply_affine(pose.to_radiograph, ends)

    return CompartmentSpace(
        minimum=_length(pose, float(gaps[narrowest])),
        minimum_line_px=line(float(cols[narrowest])),
        fixed=_length(pose, fixed_gap),
        fixed_line_px=line(fixed),
        area=_area(pose, area),
        femur_spur=spurs[Bone.FEMUR],
        tibia_spur=spurs[Bone.TIBIA],
        rim_distance=None if rim is None else _length(pose, rim),
        femur_px=apply_affine(pose.to_radiograph, femur.points),
        tibia_px=apply_affine(pose.to_radiograph, tibia.points),
    )


def _measured_cols(
    pose: StandardPose, half: Compartment, femur: Margin, tibia: Margin
) -> FloatArray:
    """Columns of `MEASURED` that lie on both margins; all of them where hardly any does."""
    first, last = pose.cols_at(MEASURED[half])
    low = max(first, femur.points[0, 1], tibia.points[0, 1])
    high = min(last, femur.points[-1, 1], tibia.points[-1, 1])
    if high - low < 0.3 * (last - first):
        low, high = first, last
    return np.linspace(low, high, 121)


def _length(pose: StandardPose, px: float) -> Length:
    share = px / PX_PER_WIDTH
    return Length(share, None if pose.width_mm is None else share * pose.width_mm)


def _area(pose: StandardPose, px2: float) -> Area:
    share = px2 / PX_PER_WIDTH**2
    return Area(share, None if pose.width_mm is None else share * pose.width_mm**2)
