"""What every image must pass, whatever file it comes from."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage
from kneegrade.errors import ImageError

MAX_PIXELS: Final = 100_000_000
"""More than any radiograph: the largest film scanners give about 40 million."""
MIN_SIDE_PX: Final = 64
"""Below this, no knee can be recognised."""
GREY_TOLERANCE: Final = 1 / 16
"""Largest difference between the channels of a grey pixel, as a share of the full scale. JPEG and
WebP round colour differences to a few percent of it; a tint that the eye sees is beyond it."""
GREY_SHARE: Final = 0.99
"""Share of the pixels that must be grey; the rest may be a coloured mark such as a side letter."""


def check_file_size(n_bytes: int, max_bytes: int) -> None:
    """Refuse a file that is larger than any radiograph's.

    Raises
    ------
    ImageError
        ``image.too-large``.
    """
    if n_bytes > max_bytes:
        raise ImageError(
            "image.too-large",
            f"A radiograph's file may have at most {max_bytes >> 20} MiB. Got {n_bytes >> 20} MiB.",
            "Check that this is a single radiograph.",
        )


def check_size(rows: int, columns: int) -> None:
    """Refuse a size that no radiograph has, before anything is allocated for it.

    Raises
    ------
    ImageError
        ``image.too-large`` or ``image.too-small``.
    """
    if rows * columns > MAX_PIXELS:
        raise ImageError(
            "image.too-large",
            f"The header announces more pixels than any radiograph has, which is at most "
            f"{MAX_PIXELS // 1_000_000} million. Got {rows} x {columns}.",
            "Check the file, or shrink the image.",
        )
    if min(rows, columns) < MIN_SIDE_PX:
        raise ImageError(
            "image.too-small",
            f"A radiograph must have at least {MIN_SIDE_PX} pixels on each side. "
            f"Got {rows} x {columns}.",
            "Use the full image, not a thumbnail.",
        )


def check_not_blank(pixels: FloatImage) -> None:
    """Refuse an image that shows nothing.

    Raises
    ------
    ImageError
        ``image.blank``.
    """
    if pixels.min() == pixels.max():
        raise ImageError(
            "image.blank",
            "Every pixel has the same value; a radiograph was expected.",
            "Export the image again.",
        )


def grey_from_colour(channels: NDArray[Any], full_scale: float) -> FloatImage:
    """Take the mean of three channels that hold the same grey.

    Parameters
    ----------
    channels : (rows, cols, 3) array of an unsigned integer type
        Red, green, blue in any order.
    full_scale : float
        The largest value that a channel can have.

    Returns
    -------
    (rows, cols) array, float32

    Raises
    ------
    ImageError
        ``image.colour`` where the channels differ: see `GREY_TOLERANCE` and `GREY_SHARE`.
    """
    difference = channels.max(axis=2) - channels.min(axis=2)
    grey_share = float((difference <= GREY_TOLERANCE * full_scale).mean())
    if grey_share < GREY_SHARE:
        raise ImageError(
            "image.colour",
            f"A radiograph is grey; at least {GREY_SHARE:.0%} of its pixels must be. "
            f"Got {grey_share:.1%}.",
            "Export the radiograph itself, not a photograph or a coloured display of it.",
        )
    grey: FloatImage = channels.mean(axis=2, dtype=np.float32)
    return grey
