"""The sides of the bones: osteophytes at the joint, axes of the shafts, femorotibial angle.

Tables of where the sides of a mean knee lie are in mm of a knee whose plateau is 80 mm wide.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np

from kneegrade.arrays import FloatArray, FloatImage
from kneegrade.images.geometry import (
    apply_affine,
    compose_affines,
    invert_affine,
    resample,
)
from kneegrade.knees.measuring.margins import (
    PX_PER_MM,
    PX_PER_WIDTH,
    Bone,
    Compartment,
    StandardPose,
    follow_edges,
)
from kneegrade.terms import N_TIBIAL
from kneegrade.types import Radiograph

_CORNERS: Final = MappingProxyType(
    {
        (Bone.FEMUR, Compartment.LATERAL): (2.3, 3.7, 4.4, 3.4, 2.0, 1.3, 1.2, 1.6, 2.6, 3.7, 6.1),
        (Bone.FEMUR, Compartment.MEDIAL): (2.5, 3.8, 4.8, 5.4, 5.6, 5.7, 5.8, 5.8, 6.0, 6.4, 6.5),
        (Bone.TIBIA, Compartment.LATERAL): (2.2, 2.8, 3.4, 3.5, 3.5, 3.5, 3.2, 2.8, 2.3, 1.7, 1.1),
        (Bone.TIBIA, Compartment.MEDIAL): (1.2, 2.1, 2.3, 2, 1.5, 1, 0.4, -0.3, -1, -1.6, -2.2),
    }
)
"""Side of a bone without osteophytes: mm outwards of its joint line's end, 0, 2, ... 20 mm away
from the joint. Median of traced real knees of Kellgren-Lawrence grade 0 and 1 of the open set of
crops: 320 of its training split for the femur, 219 for the tibia."""
_SIDE_REACH_MM: Final = MappingProxyType({Bone.FEMUR: (7.0, 2.5), Bone.TIBIA: (9.0, 5.0)})
"""Reach and trust of `follow_edges`: beside the femur the skin is nearer than beside the tibia."""
SHAFTS: Final = MappingProxyType(
    {
        Bone.FEMUR: (
            (-158, -123, -93, -76, -65, -56, -47),
            (-32.7, -28.7, -26.7, -27.7, -30.7, -36.7, -41.0),
            (5.3, 10.3, 19.3, 27.3, 35.3, 42.3, 46.6),
        ),
        Bone.TIBIA: (
            (23, 34, 47, 67, 97, 142),
            (-32.7, -25.2, -19.2, -14.7, -10.7, -6.7),
            (36.0, 29.4, 24.4, 19.3, 17.3, 16.3),
        ),
    }
)
"""Sides of the shafts: mm below the plateau, mm from its middle, lateral and medial side, drawn
by hand about the mean landmarks of KNEEL (arXiv:1907.12237)."""
_SHAFT_FROM_MM: Final = MappingProxyType({Bone.FEMUR: (-115.0, -46.0), Bone.TIBIA: (25.0, 110.0)})
"""Rows over which a shaft's axis is fitted, where the picture shows them."""
_LEAST_SHAFT_MM: Final = 20.0
SURE_SHAFT_MM: Final = 40.0
_SHAFT_PX_PER_WIDTH: Final = 100.0
_SHAFT_PX_PER_MM: Final = _SHAFT_PX_PER_WIDTH / 80
_SHAFT_SIZE: Final = (310, 200)
"""Rows and columns of the coarse picture in which shafts are traced."""
_CLEAR_SIDE: Final = 0.8
_SPUR_MM: Final = (0.0, 8.0)
_STEM_MM: Final = (10.0, 18.0)
"""How far from the joint line's end an osteophyte is sought, and where the side is that of the bone
itself."""


@dataclass(frozen=True)
class FemorotibialAngle:
    """The angle between the axes of the two shafts, on the lateral side.

    Parameters
    ----------
    degrees : float
        180 where the axes are in line; a healthy knee lies a few degrees below. Not the
        hip-knee-ankle angle.
    femur_mm, tibia_mm : float
        Length of shaft that each axis rests on, in mm of a knee whose plateau is 80 mm wide.

    Raises
    ------
    ValueError
        If the angle is not in (90, 270) or a length is not positive.
    """

    degrees: float
    femur_mm: float
    tibia_mm: float

    def __post_init__(self) -> None:
        if not 90 < self.degrees < 270 or min(self.femur_mm, self.tibia_mm) <= 0:
            raise ValueError(f"An angle of two shafts must be in (90, 270). Got {self!r}.")

    @property
    def is_sure(self) -> bool:
        """Whether both shafts are shown over `SURE_SHAFT_MM` or more."""
        return min(self.femur_mm, self.tibia_mm) >= SURE_SHAFT_MM


def measure_spurs_px2(pose: StandardPose, bone: Bone) -> dict[Compartment, float]:
    """Area of a bone outside its expected contour at the outer ends of its joint line.

    The expected contour is that of a bone without osteophytes (`_CORNERS`), moved sideways to where
    the side was traced beyond the reach of an osteophyte.

    Parameters
    ----------
    pose : StandardPose
    bone : Bone
        The femur's sides are followed upwards from f0 and f6, the tibia's downwards from t0 and t8.

    Returns
    -------
    dict of Compartment to float
        Square px of the pose, 0 or more.
    """
    away = np.arange(0.0, 20.0, 0.2)
    frames = [_corner_frame(pose, bone, half) for half in Compartment]
    nodes = np.arange(0, 21, 2)
    expected = [np.interp(away, nodes, _CORNERS[bone, half]) for half in Compartment]
    curves = [
        apply_affine(frame, np.stack([away, outwards], axis=1))
        for frame, outwards in zip(frames, expected, strict=True)
    ]
    # Normals must point away from the bone: down its lateral side, up its medial one.
    turned = int(bone is Bone.TIBIA)
    curves[turned] = curves[turned][::-1]
    reach_mm, trust_mm = _SIDE_REACH_MM[bone]
    moved, _ = follow_edges(
        pose.pixels,
        np.stack(curves),
        np.array([-1.0, -1.0]),
        reach_mm=reach_mm,
        trust_mm=trust_mm,
        px_per_mm=PX_PER_MM,
    )
    spur, stem = ((first <= away) & (away <= last) for first, last in (_SPUR_MM, _STEM_MM))
    areas = {}
    for half, frame, outwards, side in zip(Compartment, frames, expected, moved, strict=True):
        excess = _cols_at(apply_affine(invert_affine(frame), side), away) - outwards
        outside = np.maximum(excess[spur] - np.median(excess[stem]), 0)
        areas[half] = float(outside.sum() * (away[1] - away[0]) * PX_PER_MM**2)
    return areas


def _corner_frame(pose: StandardPose, bone: Bone, half: Compartment) -> FloatArray:
    """Takes (mm away from the joint, mm outwards) of the end of a bone's joint line to the pose."""
    part = slice(N_TIBIAL, None) if bone is Bone.FEMUR else slice(N_TIBIAL)
    lateral, medial = pose.landmarks[part][[0, -1]]
    tilt = np.arctan2(*(medial - lateral))
    across = np.array([np.sin(tilt), np.cos(tilt)])
    away = np.array([across[1], -across[0]]) * (1.0 if bone is Bone.TIBIA else -1.0)
    corner, outwards = (lateral, -across) if half is Compartment.LATERAL else (medial, across)
    return np.column_stack([away * PX_PER_MM, outwards * PX_PER_MM, corner])


def _cols_at(side: FloatArray, rows: FloatArray) -> FloatArray:
    """Columns at rows of a line that goes up or down."""
    order = np.argsort(side[:, 0], kind="stable")
    return np.asarray(np.interp(rows, side[order, 0], side[order, 1]))


def measure_angle(radiograph: Radiograph, pose: StandardPose) -> FemorotibialAngle | None:
    """The femorotibial angle from the shafts as far as the picture shows them.

    An axis is the line midway between a shaft's two traced sides; where only a stump is shown, its
    flare is taken out by that of a mean knee.

    Returns
    -------
    FemorotibialAngle or None
        None where either shaft is shown over less than 20 mm (of an 80 mm wide knee), as on a
        crop to the joint, or cannot be traced.
    """
    to_radiograph = _wide_affine(pose)
    shown = {bone: _shown_rows(to_radiograph, radiograph.pixels.shape, bone) for bone in Bone}
    lengths = {bone: len(rows) / _SHAFT_PX_PER_MM for bone, rows in shown.items()}
    if min(lengths.values()) < _LEAST_SHAFT_MM:
        return None
    wide = _take_wide_picture(radiograph, to_radiograph)
    slopes = {bone: _trace_axis(wide, bone, rows) for bone, rows in shown.items()}
    femur, tibia = (slopes[bone] for bone in Bone)
    if femur is None or tibia is None:
        return None
    degrees = 180 - float(np.rad2deg(np.arctan(femur) - np.arctan(tibia)))
    return FemorotibialAngle(degrees, lengths[Bone.FEMUR], lengths[Bone.TIBIA])


def _wide_affine(pose: StandardPose) -> FloatArray:
    """Takes points of the coarse picture, the plateau's middle in its centre, to the radiograph."""
    step = PX_PER_WIDTH / _SHAFT_PX_PER_WIDTH
    first = (pose.landmarks[0] + pose.landmarks[8]) / 2 - step * np.array(_SHAFT_SIZE) / 2
    return np.column_stack(
        [pose.to_radiograph[:, :2] * step, apply_affine(pose.to_radiograph, first)]
    )


def _sides_of(bone: Bone, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lateral and medial side of a mean knee's shaft in the coarse picture, (n, 2) each."""
    down, *tables = (np.array(values) * _SHAFT_PX_PER_MM for values in SHAFTS[bone])
    lateral, medial = (
        np.stack([rows, np.interp(rows, down, table)], axis=1) + np.array(_SHAFT_SIZE) / 2
        for table in tables
    )
    return lateral, medial


def _shown_rows(to_radiograph: FloatArray, shape: tuple[int, ...], bone: Bone) -> FloatArray:
    """Rows below the plateau, in px of the coarse picture, at which both sides are on the film."""
    first, last = (mm * _SHAFT_PX_PER_MM for mm in _SHAFT_FROM_MM[bone])
    rows = np.arange(first, last)
    places = [apply_affine(to_radiograph, side) for side in _sides_of(bone, rows)]
    on_film = [((p >= 2) & (p <= np.array(shape) - 3)).all(axis=1) for p in places]
    return np.asarray(rows[on_film[0] & on_film[1]], np.float64)


def _take_wide_picture(radiograph: Radiograph, to_radiograph: FloatArray) -> FloatImage:
    """The coarse picture; the film is shrunk by whole pixels first."""
    size = _SHAFT_SIZE
    corners = apply_affine(to_radiograph, [(0, 0), (0, size[1]), (size[0], 0), size])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, None)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 3, 0, None)
    part = radiograph.pixels[low[0] : high[0], low[1] : high[1]]
    factor = max(int(np.abs(np.linalg.det(to_radiograph[:, :2])) ** 0.5), 1)
    rows, cols = (side // factor for side in part.shape)
    small = cv2.resize(
        part[: rows * factor, : cols * factor], (cols, rows), interpolation=cv2.INTER_AREA
    )
    shrink = np.array([[1 / factor, 0, 0.5 / factor - 0.5], [0, 1 / factor, 0.5 / factor - 0.5]])
    to_part = np.column_stack([to_radiograph[:, :2], to_radiograph[:, 2] - low])
    pixels, _ = resample(
        np.asarray(small, np.float32),
        compose_affines(shrink, to_part),
        size,
        fill=float(small.min()),
    )
    return pixels


def _trace_axis(pixels: FloatImage, bone: Bone, rows: FloatArray) -> float | None:
    """Slope of a shaft's axis, columns per row going down; None where it has no clear sides."""
    lateral, medial = _sides_of(bone, rows)
    moved, strength = follow_edges(
        pixels,
        np.stack([lateral, medial[::-1]]),
        np.array([-1.0, -1.0]),
        reach_mm=14.0,
        trust_mm=8.0,
        px_per_mm=_SHAFT_PX_PER_MM,
    )
    if strength.min() < _CLEAR_SIDE:
        return None
    found = [_cols_at(side, lateral[:, 0]) for side in moved]
    off = (found[0] + found[1] - lateral[:, 1] - medial[:, 1]) / 2
    return float(np.polyfit(rows, off, 1)[0]) + _mean_axis_slope(bone)


def _mean_axis_slope(bone: Bone) -> float:
    """Slope of the mean knee's shaft, from its part that does not flare."""
    rows, lateral, medial = (np.array(values) for values in SHAFTS[bone])
    middle = (lateral + medial) / 2
    far = (np.abs(rows) >= 67) & (np.abs(rows) <= 125)
    return float(np.polyfit(rows[far], middle[far], 1)[0])
