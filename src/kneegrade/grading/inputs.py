"""KneeROI -> network array; training and grading use the same functions.

It takes two steps, so that training can vary the picture between them: `apply_look` brings the
contrast history, size and orientation to what the bundle asks for, `normalise` sets the scale.
"""

import numpy as np
from numpy.typing import NDArray

from kneegrade.bundles.manifest import InputSpec, PoseSpec
from kneegrade.knees.posing.contrast import enhance_to, judge_contrast, resize_square, standardise
from kneegrade.knees.posing.pose import change_pose
from kneegrade.types import Contrast, KneeROI


def apply_look(roi: KneeROI, spec: InputSpec) -> NDArray[np.uint8]:
    """Bring an ROI to the look that the network was trained on.

    Returns
    -------
    (size_px, size_px) array, uint8
        A plain picture enhanced as the bundle says, an enhanced one as it is; lateral at the
        side of the columns that the bundle says.
    """
    pixels = resize_square(np.rint(roi.pixels * 255).astype(np.uint8), spec.size_px)
    if spec.enhancement is not None and contrast_of(roi) is Contrast.PLAIN:
        pixels = enhance_to(
            pixels,
            tiles=spec.enhancement.tiles,
            clip_limit=spec.enhancement.clip_limit,
            local_contrast=spec.enhancement.local_contrast,
        )
    return pixels if spec.lateral_first else np.ascontiguousarray(pixels[:, ::-1])


def contrast_of(roi: KneeROI) -> Contrast:
    """The ROI's contrast history as it is known, else as the picture shows it."""
    if roi.contrast is Contrast.UNKNOWN:
        return judge_contrast(np.rint(roi.pixels * 255).astype(np.uint8))
    return roi.contrast


def normalise(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Clip at the bundle's percentiles, then set the mean to 0 and the standard deviation to 1.

    Parameters
    ----------
    pixels : (n, n) array, uint8

    Returns
    -------
    (1, n, n) array, float32
        All zero where the picture is flat.
    """
    return standardise(pixels, spec.clip_percentiles)[np.newaxis]


def network_inputs(roi: KneeROI, spec: InputSpec) -> NDArray[np.float32]:
    """One ROI as the network takes it, in each pose: ``(n_poses, 1, size_px, size_px)``."""
    look = apply_look(roi, spec)
    return np.stack([normalise(pose_of(look, pose), spec) for pose in spec.poses])


def pose_of(look: NDArray[np.uint8], pose: PoseSpec) -> NDArray[np.uint8]:
    """The picture that `apply_look` made, in another pose."""
    return change_pose(look, scale=pose.scale, rotation_deg=pose.rotation_deg)
