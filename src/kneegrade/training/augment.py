"""Random changes of a training image: pose and contrast."""

import cv2
import numpy as np

from kneegrade.arrays import FloatImage, GreyImage, round_to_grey
from kneegrade.knees.posing.contrast import enhance
from kneegrade.knees.posing.pose import change_pose
from kneegrade.training.recipe_fields import AugmentSpec


def augment(pixels: GreyImage, spec: AugmentSpec, rng: np.random.Generator) -> GreyImage:
    """Change pose, then contrast, at random.

    Parameters
    ----------
    pixels : (n, n) array, uint8
        An image with the look that the network asks for.
    spec : AugmentSpec
    rng : numpy.random.Generator
    """
    return vary_contrast(_draw_pose(pixels, spec, rng), spec, rng)


def vary_contrast(pixels: GreyImage, spec: AugmentSpec, rng: np.random.Generator) -> GreyImage:
    """Change contrast, sharpness and noise at random; parameters as `augment`'s."""
    return _change_scale(_change_detail(pixels, spec, rng), spec, rng)


def _draw_pose(pixels: GreyImage, spec: AugmentSpec, rng: np.random.Generator) -> GreyImage:
    rotation_deg = rng.uniform(-spec.rotation_deg, spec.rotation_deg)
    scale = 1 + rng.uniform(-spec.scale_share, spec.scale_share)
    columns, rows = rng.uniform(-spec.shift_share, spec.shift_share, 2) * pixels.shape[0]
    return change_pose(pixels, scale=scale, rotation_deg=rotation_deg, shift_px=(rows, columns))


def _change_detail(pixels: GreyImage, spec: AugmentSpec, rng: np.random.Generator) -> GreyImage:
    """Blur, flattened or enhanced local contrast, noise."""
    if rng.random() < spec.p_blur:
        pixels = round_to_grey(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 2.0)))
    if rng.random() < spec.p_flatten:
        coarse = _blur_wide(pixels, rng.uniform(12, 30))
        fine = pixels.astype(np.float32) - coarse
        middle = float(coarse.mean())
        coarse = middle + (coarse - middle) * rng.uniform(1.0, 2.5)
        pixels = round_to_grey(coarse + fine * rng.uniform(0.4, 1.0))
    if rng.random() < spec.p_enhance:
        pixels = enhance(pixels, tiles=int(rng.integers(4, 11)), clip_limit=rng.uniform(1.5, 6))
    if rng.random() < spec.p_noise:
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        pixels = round_to_grey(pixels + noise * rng.uniform(1, 12))
    return pixels


def _change_scale(pixels: GreyImage, spec: AugmentSpec, rng: np.random.Generator) -> GreyImage:
    """Gamma and linear window, by an 8-bit table."""
    levels = np.arange(256, dtype=np.float64) / 255
    if rng.random() < spec.p_window:
        low, high = np.percentile(pixels, (rng.uniform(0, 10), 100 - rng.uniform(0, 10))) / 255
        levels = np.clip((levels - low) / max(high - low, 1e-3), 0, 1)
    if rng.random() < spec.p_gamma:
        levels = levels ** np.exp(rng.uniform(-1, 1) * np.log(spec.gamma))
    table = round_to_grey(levels * 255)
    return table[pixels]


def _blur_wide(pixels: GreyImage, sigma_px: float) -> FloatImage:
    """Gaussian blur of many pixels at a quarter of the size: it looks the same, but is faster."""
    small = cv2.resize(pixels, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small.astype(np.float32), (0, 0), sigma_px / 4)
    return np.asarray(cv2.resize(small, pixels.shape[::-1], interpolation=cv2.INTER_LINEAR))
