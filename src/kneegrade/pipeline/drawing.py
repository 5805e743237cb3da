"""What is drawn over an ROI: landmarks, margins, joint space widths, metal.

Everything is in px of the ROI, as plain lists, so that it can be kept in JSON and drawn as SVG.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from kneegrade.images.geometry import apply_affine, invert_affine
from kneegrade.knees.locating.knee_network import UNSURE
from kneegrade.knees.measuring.joint_space import JointSpace
from kneegrade.knees.measuring.sizes import Length
from kneegrade.types import KneeROI, Landmarks, SpacingSource

Line = list[list[float]]

EXACT: Final = frozenset({SpacingSource.CALIBRATED, SpacingSource.CALLER, SpacingSource.TABLE})
"""Pixel sizes that hold in the patient, as far as whoever gave them can be trusted."""


@dataclass(frozen=True)
class WidthLine:
    """One width: its two ends ``[[row, col], [row, col]]``, what is written beside it and below."""

    ends: Line
    label: str
    note: str = ""


@dataclass(frozen=True)
class KneeDrawing:
    """Lines and points over an ROI, ``[row, col]`` in its px.

    Parameters
    ----------
    size_px : int
        Rows and columns of the ROI.
    landmarks : list of [row, col]
        t0 to t8, f0 to f6; empty where they are the average knee's.
    margins : list of lines
        Femur and tibia, lateral and medial; empty where nothing was measured.
    widths : tuple of WidthLine
        The smallest lateral and medial widths.
    metal : list of lines
        Closed outlines of what is taken for metal.
    """

    size_px: int
    landmarks: Line
    margins: list[Line]
    widths: tuple[WidthLine, ...]
    metal: list[Line]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The drawing that `to_json` gave."""
        widths = tuple(WidthLine(**width) for width in values["widths"])
        return cls(**values | {"widths": widths})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def draw_knee(
    roi: KneeROI,
    landmarks: Landmarks,
    joint_space: JointSpace | None = None,
    metal_px: Sequence[NDArray[np.float64]] = (),
) -> KneeDrawing:
    """Bring landmarks and measures from the radiograph to the ROI.

    Parameters
    ----------
    roi : KneeROI
    landmarks : Landmarks
        On the radiograph.
    joint_space : JointSpace or None
    metal_px : sequence of (k, 2) arrays
        Outlines on the radiograph.
    """
    to_roi = invert_affine(roi.to_radiograph)

    def line(points: NDArray[np.float64]) -> Line:
        return [[round(row, 1), round(col, 1)] for row, col in apply_affine(to_roi, points)]

    is_found = landmarks.confidence.mean() >= UNSURE
    spaces = () if joint_space is None else (joint_space.lateral, joint_space.medial)
    source = SpacingSource.UNKNOWN if joint_space is None else joint_space.spacing_source
    note = "at the detector" if source is SpacingSource.DETECTOR_PLANE else ""
    return KneeDrawing(
        size_px=roi.pixels.shape[0],
        landmarks=line(landmarks.kneel_points_px) if is_found else [],
        margins=[line(margin) for s in spaces for margin in (s.femur_px, s.tibia_px)],
        widths=tuple(
            WidthLine(line(s.minimum_line_px), _write_length(s.minimum, source), note)
            for s in spaces
        ),
        metal=[line(outline) for outline in metal_px],
    )


def _write_length(length: Length, source: SpacingSource) -> str:
    """A length as text: in mm where they are known, else as a share of the plateau's width."""
    return f"{100 * length.share:.1f} %" if length.mm is None else write_mm(length.mm, source)


def write_mm(mm: float, source: SpacingSource) -> str:
    """Millimetres as text, with ``≈`` unless they are calibrated, or given by a person."""
    return f"{'' if source in EXACT else '≈'}{mm:.1f} mm"
