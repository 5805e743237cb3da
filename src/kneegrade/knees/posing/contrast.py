"""Contrast of an ROI: scaling, enhancement, and whether it was enhanced before."""

from collections.abc import Iterable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage, GreyImage
from kneegrade.types import Contrast

SCALE_PERCENTILES: Final = (0.5, 99.5)
PLAIN_FROM: Final = 2.0
"""Between-tile over within-tile contrast from which an ROI is taken for plain.
benchmarks/contrast.py shows how often that is right on real pictures."""


def scale_to_unit(
    pixels: FloatImage, percentiles: tuple[float, float] = SCALE_PERCENTILES
) -> FloatImage:
    """Scale linearly so that two percentiles become 0 and 1, in steps of 1/255; clip the rest.

    This is the global contrast normalisation of Tiulpin & Saarakkala 2019 (percentiles 5 and 99).
    The steps make a picture that is stored in 8 bits equal to one that never was.
    """
    low, high = np.percentile(pixels, percentiles)
    if high <= low:
        low, high = float(pixels.min()), float(pixels.max())
    unit = np.clip((pixels - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    steps: FloatImage = (np.rint(unit * 255) / 255).astype(np.float32)
    return steps


def standardise(pixels: NDArray[Any], clip_percentiles: tuple[float, float]) -> FloatImage:
    """Clip at two percentiles, then set the mean to 0 and the standard deviation to 1.

    Parameters
    ----------
    pixels : (rows, cols) array
    clip_percentiles : (low, high)
        In 0..100.

    Returns
    -------
    (rows, cols) array, float32
        All zero where the picture is flat.
    """
    low, high = np.percentile(pixels, clip_percentiles).tolist()
    clipped = np.clip(pixels.astype(np.float32), low, high)
    deviation = float(clipped.std())
    scaled: FloatImage = (clipped - clipped.mean()) / (deviation if deviation > 0 else 1.0)
    return scaled.astype(np.float32)


def resize_square(pixels: GreyImage, size_px: int) -> GreyImage:
    """Resize ``(n, n)`` to ``(size_px, size_px)``: area average when shrinking, else bilinear."""
    if pixels.shape == (size_px, size_px):
        return pixels
    shrinks = pixels.shape[0] > size_px
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: GreyImage = np.asarray(
        cv2.resize(pixels, (size_px, size_px), interpolation=method), dtype=np.uint8
    )
    return resized


def enhance(pixels: GreyImage, *, tiles: int, clip_limit: float) -> GreyImage:
    """Contrast-limited adaptive histogram equalisation (CLAHE), as OpenCV defines its limit."""
    clahe = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    enhanced: GreyImage = np.asarray(clahe.apply(np.ascontiguousarray(pixels)), dtype=np.uint8)
    return enhanced


def enhance_to(
    pixels: GreyImage, *, tiles: int, clip_limit: float, local_contrast: float, steps: int = 5
) -> GreyImage:
    """Enhance a plain picture until its local contrast is that of the training pictures.

    Films differ in sharpness, so one clip limit gives them different looks. The limit is found by
    bisection between 1 (hardly any enhancement) and ``clip_limit``.

    Parameters
    ----------
    pixels : (n, n) array, uint8
    tiles : int
        Tiles along each side.
    clip_limit : float
        The strongest enhancement allowed, in OpenCV's terms.
    local_contrast : float
        Wanted `measure_local_contrast` of the result, in grey levels.
    steps : int
        Halvings of the interval.
    """
    low, high = 1.0, clip_limit
    enhanced = enhance(pixels, tiles=tiles, clip_limit=high)
    if measure_local_contrast(enhanced, tiles=tiles) <= local_contrast:
        return enhanced
    for _ in range(steps):
        middle = (low + high) / 2
        enhanced = enhance(pixels, tiles=tiles, clip_limit=middle)
        if measure_local_contrast(enhanced, tiles=tiles) > local_contrast:
            high = middle
        else:
            low = middle
    return enhance(pixels, tiles=tiles, clip_limit=low)


def measure_local_contrast(pixels: GreyImage, *, tiles: int = 8) -> float:
    """Median over tiles of the grey levels' standard deviation within a tile, in grey levels."""
    return float(np.median(_tiles(pixels, tiles).std(axis=1)))


def judge_contrast(pixels: GreyImage) -> Contrast:
    """Tell from an ROI whether its contrast was enhanced before.

    A plain radiograph differs more from place to place (bone, soft tissue, air) than within a
    place; local enhancement takes that away. The measure, the standard deviation of the tiles'
    means over the median standard deviation within a tile, is not moved by linear windowing.

    Returns
    -------
    Contrast
        ``plain`` or ``enhanced``.
    """
    tiles = _tiles(pixels, 8)
    within = float(np.median(tiles.std(axis=1)))
    between = float(tiles.mean(axis=1).std())
    return Contrast.PLAIN if between > PLAIN_FROM * within else Contrast.ENHANCED


def judge_set_contrast(pictures: Iterable[GreyImage], *, majority: float = 0.8) -> Contrast:
    """Tell whether a set of pictures, processed alike, was enhanced: surer than any one picture.

    Returns
    -------
    Contrast
        ``unknown`` where fewer than ``majority`` of the pictures agree.
    """
    votes = [judge_contrast(picture) for picture in pictures]
    for contrast in (Contrast.PLAIN, Contrast.ENHANCED):
        if votes and votes.count(contrast) >= majority * len(votes):
            return contrast
    return Contrast.UNKNOWN


def _tiles(pixels: GreyImage, count: int) -> NDArray[np.float32]:
    """Cut ``(n, n)`` into ``(count * count, pixels of a tile)``; a remainder is left out."""
    step = pixels.shape[0] // count
    cut = pixels[: step * count, : step * count].astype(np.float32)
    return cut.reshape(count, step, count, step).swapaxes(1, 2).reshape(count * count, -1)
