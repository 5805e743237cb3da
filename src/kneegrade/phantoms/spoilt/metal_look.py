"""Outlines of metal and an image -> the image with metal, as radiographs show it."""

from typing import Final

import cv2
import numpy as np

from kneegrade.arrays import FloatImage, GreyImage, Points, round_to_grey
from kneegrade.knees.posing.contrast import enhance

_SUBPIXELS: Final = 4
"""Binary digits of a pixel that outlines are drawn with."""


def fill_outlines(outlines_px: list[Points], n: int) -> FloatImage:
    """Cover of each pixel of a square image by outlines (row, col) in px, 0 to 1."""
    mask = np.zeros((n, n), np.uint8)
    for outline in outlines_px:
        xy = np.rint(np.clip(outline[:, ::-1], -4 * n, 5 * n) * 2**_SUBPIXELS).astype(np.int32)
        cv2.fillPoly(mask, [xy], 255, lineType=cv2.LINE_AA, shift=_SUBPIXELS)
    return mask.astype(np.float32) / np.float32(255)


def burn_in(
    base: FloatImage, mask: FloatImage, opacity: float, rng: np.random.Generator
) -> tuple[GreyImage, FloatImage]:
    """White where the mask is 1, and by how much; at times with a halo, or with the rest darker."""
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.35, 1.0)), np.float32)
    if rng.random() < 0.4:  # a tube, or enhanced edges
        within = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 3)), np.float32) ** 2
        mask = mask * (1 - np.float32(rng.uniform(0.1, 0.6)) * within)
    if rng.random() < 0.5:  # a window that goes up to the metal leaves less for the bone
        base = base * np.float32(rng.uniform(0.6, 1))
    white = max(rng.uniform(225, 256), float(np.percentile(base, 98)))
    level = white + (base - base.mean()) * np.float32(rng.uniform(0, 0.08))
    gain = (level - base) * mask * np.float32(opacity)
    painted = base + gain
    if rng.random() < 0.4:
        halo = np.maximum(cv2.GaussianBlur(mask, (0, 0), rng.uniform(3, 9)) - mask, 0)
        painted = painted - halo * np.float32(rng.uniform(20, 90))
    grey = round_to_grey(painted)
    if rng.random() < 0.4:
        grey = enhance(grey, tiles=int(rng.integers(4, 10)), clip_limit=rng.uniform(1.2, 3))
    return grey, gain
