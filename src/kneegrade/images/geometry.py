"""Points and pictures under affine maps.

Points are ``(row, col)`` in pixels, ``(0, 0)`` the centre of the top-left pixel, so that a picture
of ``n`` rows covers the rows from -0.5 to n - 0.5. An affine is a (2, 3) array that takes
``(row, col, 1)`` to ``(row, col)``.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from kneegrade.types import FloatImage

FloatArray = NDArray[np.float64]

MAX_FINE_SIDE_PX: Final = 8192
"""Bound on the memory of `resample`: samples along one side of the fine grid."""


def apply_affine(affine: ArrayLike, points: ArrayLike) -> FloatArray:
    """Map points.

    Parameters
    ----------
    affine : (2, 3) array
    points : (..., 2) array
        ``(row, col)`` in px.

    Returns
    -------
    (..., 2) array, float64
    """
    matrix = np.asarray(affine, dtype=np.float64)
    mapped: FloatArray = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def compose_affines(outer: ArrayLike, inner: ArrayLike) -> FloatArray:
    """Affine that does ``inner`` first, then ``outer``; all (2, 3) arrays."""
    first = np.asarray(outer, dtype=np.float64)
    second = np.asarray(inner, dtype=np.float64)
    shift = first[:, :2] @ second[:, 2] + first[:, 2]
    return np.column_stack([first[:, :2] @ second[:, :2], shift])


def invert_affine(affine: ArrayLike) -> FloatArray:
    """Affine that undoes ``affine``; both (2, 3) arrays.

    Raises
    ------
    ValueError
        If the affine takes the plane to a line or a point.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    linear = matrix[:, :2]
    if not np.isfinite(matrix).all() or np.linalg.matrix_rank(linear) < 2:
        raise ValueError(f"An affine must be invertible. Got {matrix.tolist()}.")
    inverse = np.linalg.inv(linear)
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def mirror_columns_affine(columns: int) -> FloatArray:
    """Affine (2, 3) that reverses the columns of a picture ``columns`` px wide; its own inverse."""
    return np.array([[1.0, 0.0, 0.0], [0.0, -1.0, columns - 1.0]])


def px_to_mm(lengths_px: ArrayLike, spacing_mm: tuple[float, float]) -> FloatArray:
    """Turn ``(row, col)`` distances, a (..., 2) array in px, into mm (mm per px by row, col)."""
    return np.asarray(lengths_px, dtype=np.float64) * np.asarray(spacing_mm, dtype=np.float64)


def mm_to_px(lengths_mm: ArrayLike, spacing_mm: tuple[float, float]) -> FloatArray:
    """Turn ``(row, col)`` distances, a (..., 2) array in mm, into px (mm per px by row, col)."""
    return np.asarray(lengths_mm, dtype=np.float64) / np.asarray(spacing_mm, dtype=np.float64)


def resample(
    pixels: FloatImage,
    to_source_affine: ArrayLike,
    size: tuple[int, int],
    *,
    fill: float,
) -> tuple[FloatImage, float]:
    """Sample a picture on the grid of another.

    Bilinear interpolation. Where one output pixel covers about ``k`` source pixels along an axis
    (1.5 and more), it is the mean of ``k`` evenly spaced bilinear samples along that axis: area
    averaging, which keeps fine structure from turning into false coarse structure.

    Parameters
    ----------
    pixels : (rows, cols) array, float32
    to_source_affine : (2, 3) array
        Takes ``(row, col)`` of the output to ``(row, col)`` of ``pixels``.
    size : (rows, cols)
        Of the output, in px.
    fill : float
        Value outside ``pixels``.

    Returns
    -------
    output : (rows, cols) array, float32
    inside_fraction : float
        Share of the output's area that lies on ``pixels``, in [0, 1], as sampled.
    """
    to_source, (rows, columns) = np.asarray(to_source_affine, dtype=np.float64), size
    steps = np.linalg.norm(to_source[:, :2], axis=0)  # source px per output row and column
    per_row, per_column = (
        int(np.clip(np.rint(step), 1, max(1, MAX_FINE_SIDE_PX // side)))
        for step, side in zip(steps, size, strict=True)
    )
    # Sample j of k within output pixel i lies at i + (j + 0.5) / k - 0.5.
    to_output = np.array(
        [[1 / per_row, 0, 0.5 / per_row - 0.5], [0, 1 / per_column, 0.5 / per_column - 0.5]]
    )
    fine_to_source = compose_affines(to_source, to_output)
    fine_rows, fine_columns = rows * per_row, columns * per_column
    # OpenCV counts (x, y) = (col, row), from pixel centres as we do.
    fine = cv2.warpAffine(
        np.ascontiguousarray(pixels, dtype=np.float32),
        fine_to_source[::-1, [1, 0, 2]],
        (fine_columns, fine_rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    row, column = (
        fine_to_source[axis, 0] * np.arange(fine_rows)[:, None]
        + fine_to_source[axis, 1] * np.arange(fine_columns)[None, :]
        + fine_to_source[axis, 2]
        for axis in (0, 1)
    )
    inside = (np.abs(row - (pixels.shape[0] - 1) / 2) <= pixels.shape[0] / 2) & (
        np.abs(column - (pixels.shape[1] - 1) / 2) <= pixels.shape[1] / 2
    )
    blocks = np.where(inside, fine, np.float32(fill)).reshape(rows, per_row, columns, per_column)
    return blocks.mean(axis=(1, 3), dtype=np.float32), float(inside.mean())
