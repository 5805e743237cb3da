"""Radiograph and landmarks -> KneeROI: the one function that training and grading share.

Standard pose: the tibial plateau level, lateral at column 0, the joint's centre in the middle.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from kneegrade.errors import ImageError
from kneegrade.images.geometry import resample
from kneegrade.knees.posing.contrast import SCALE_PERCENTILES, scale_to_unit
from kneegrade.knees.posing.pose import StandardPose
from kneegrade.types import Flag, KneeROI, Landmarks, Radiograph


@dataclass(frozen=True)
class RoiSpec:
    """How a knee is cut.

    Parameters
    ----------
    size_px : int
        Rows and columns of the ROI.
    plateau_widths : float
        Width of the ROI as a multiple of the tibial plateau's; used where ``width_mm`` is None.
    width_mm : float or None
        Width of the ROI in mm; the film's pixels must have a size.
    clip_percentiles : (low, high)
        Grey values that become 0 and 1, as percentiles of the ROI.
    """

    size_px: int = 224
    plateau_widths: float = 1.25
    width_mm: float | None = None
    clip_percentiles: tuple[float, float] = SCALE_PERCENTILES


PAPER_ROI: Final = RoiSpec(size_px=310, width_mm=140.0, clip_percentiles=(5.0, 99.0))
"""As Tiulpin & Saarakkala 2019: 140 x 140 mm, clipped at percentiles 5 and 99, scaled over the
whole of the ROI to 0..1, 310 x 310 px, bilinear."""


def crop_knee(radiograph: Radiograph, landmarks: Landmarks, spec: RoiSpec) -> KneeROI:
    """Cut one knee out of a radiograph in standard pose.

    Parameters
    ----------
    radiograph : Radiograph
        Bone bright.
    landmarks : Landmarks
        Of this knee; the ends of the plateau give pose and size.
    spec : RoiSpec

    Returns
    -------
    KneeROI
        With the radiograph's and the landmarks' flags, and ``outside-film`` where it applies.

    Raises
    ------
    ImageError
        ``image.spacing-missing`` if a width in mm is asked of a film without a pixel size.
    """
    pose = StandardPose.of_plateau(landmarks.plateau_px, radiograph.pixel_size)
    frame = pose.square_frame(spec.size_px, _plateau_widths(radiograph, pose, spec))
    source, size = radiograph.pixels, (spec.size_px, spec.size_px)
    pixels, inside_fraction = resample(source, frame, size, fill=float(source.min()))
    spacing = radiograph.spacing_mm
    return KneeROI(
        side=landmarks.side,
        pixels=scale_to_unit(pixels, spec.clip_percentiles),
        to_radiograph=frame,
        mirrored=bool(np.linalg.det(frame[:, :2]) < 0),
        source_id=radiograph.source_id,
        spacing_mm=spacing
        and (
            float(np.linalg.norm(frame[:, 0] * spacing)),
            float(np.linalg.norm(frame[:, 1] * spacing)),
        ),
        inside_fraction=min(inside_fraction, 1.0),
        contrast=radiograph.contrast,
        flags=radiograph.flags
        | landmarks.flags
        | ({Flag.OUTSIDE_FILM} if inside_fraction < 1 else set()),
    )


def _plateau_widths(radiograph: Radiograph, pose: StandardPose, spec: RoiSpec) -> float:
    if spec.width_mm is None:
        return spec.plateau_widths
    if radiograph.spacing_mm is None:
        raise ImageError(
            "image.spacing-missing",
            "A width in mm needs the size of the radiograph's pixels, which is not known.",
            "Give --spacing or a column spacing_mm, or a width in plateau widths.",
        )
    return spec.width_mm / pose.width
