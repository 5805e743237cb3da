"""Points and images under affine maps.

Points are ``(row, col)`` in pixels, ``(0, 0)`` the centre of the top-left pixel, so that an image
of ``n`` rows covers the rows from -0.5 to n - 0.5. An affine is a (2, 3) array that takes
``(row, col, 1)`` to ``(row, col)``.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from kneegrade.arrays import Affine, FloatImage, Mask, Points

MAX_FINE_SIDE_PX: Final = 8192
"""Bound on the memory of `resample`: samples along one side of the fine grid."""


def apply_affine(affine: ArrayLike, points: ArrayLike) -> Points:
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
    mapped: Points = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def compose_affines(outer: ArrayLike, inner: ArrayLike) -> Affine:
    """Affine that does ``inner`` first, then ``outer``; all (2, 3) arrays."""
    first = np.asarray(outer, dtype=np.float64)
    second = np.asarray(inner, dtype=np.float64)
    shift = first[:, :2] @ second[:, 2] + first[:, 2]
    return np.column_stack([first[:, :2] @ second[:, :2], shift])


def invert_affine(affine: ArrayLike) -> Affine:
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


def resample(
    pixels: FloatImage,
    to_source_affine: ArrayLike,
    size: tuple[int, int],
    *,
    fill: float | None,
) -> tuple[FloatImage, float]:
    """Sample an image on the grid of another, by bilinear interpolation.

    Where an output pixel covers three source pixels or more, the source is shrunk first, by means
    over whole blocks; where it still covers more than 1.2 along an axis, it is the mean of two or
    three samples along it. So fine structure doesn't turn into false coarse structure.

    Parameters
    ----------
    pixels : (rows, cols) array, float32
    to_source_affine : (2, 3) array
        Takes ``(row, col)`` of the output to ``(row, col)`` of ``pixels``.
    size : (rows, cols)
        Of the output, in px.
    fill : float or None
        Value outside ``pixels``; None continues the outermost pixels.

    Returns
    -------
    output : (rows, cols) array, float32
    inside_fraction : float
        Share of the output's area that lies on ``pixels``, in [0, 1], as sampled.
    """
    to_source, (rows, columns) = np.asarray(to_source_affine, dtype=np.float64), size
    shrunk, to_shrunk = _shrink_by_blocks(pixels, to_source, size)
    steps = np.linalg.norm(to_shrunk[:, :2], axis=0)  # shrunk px per output row and column
    per_row, per_column = (
        int(np.clip(np.ceil(step - 0.2), 1, max(1, MAX_FINE_SIDE_PX // side)))
        for step, side in zip(steps, size, strict=True)
    )
    # Sample j of k within output pixel i lies at i + (j + 0.5) / k - 0.5.
    to_output = np.array(
        [[1 / per_row, 0, 0.5 / per_row - 0.5], [0, 1 / per_column, 0.5 / per_column - 0.5]]
    )
    fine_to_shrunk = compose_affines(to_shrunk, to_output)
    fine_rows, fine_columns = rows * per_row, columns * per_column
    # OpenCV counts (x, y) = (col, row), from pixel centres as we do.
    fine = cv2.warpAffine(
        shrunk,
        fine_to_shrunk[::-1, [1, 0, 2]],
        (fine_columns, fine_rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    inside_fraction = 1.0
    if not _is_inside(_find_corners(to_source, size), pixels.shape).all():
        fine_to_source = compose_affines(to_source, to_output)
        inside = _find_inside(fine_to_source, (fine_rows, fine_columns), pixels.shape)
        inside_fraction = float(inside.mean())
        if fill is not None:
            fine[~inside] = fill
    if (per_row, per_column) != (1, 1):
        fine = cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(fine, np.float32), inside_fraction


def _shrink_by_blocks(
    pixels: FloatImage, to_source: Affine, size: tuple[int, int]
) -> tuple[FloatImage, Affine]:
    """The part of an image that is needed, in blocks that an output pixel covers, and its affine.

    Blocks are odd and lie symmetrically about the output's centre, to half a pixel, so that a
    mirrored image gives the mirrored output.
    """
    step = float(np.linalg.norm(to_source[:, :2], axis=0).min())
    block = int(np.clip(step, 1, min(pixels.shape)))
    block -= 1 - block % 2
    if block == 1:
        return np.ascontiguousarray(pixels, dtype=np.float32), to_source
    shape = np.array(pixels.shape)
    corners = _find_corners(to_source, size)
    half_px = np.rint(2 * corners.mean(axis=0)).astype(int)  # odd: a block ends in the middle
    start = np.where(half_px % 2, (half_px + 1) // 2, half_px // 2 - block // 2)
    low, high = (np.clip(corners.min(axis=0), 0, shape), np.clip(corners.max(axis=0), 0, shape))
    first = start + (np.floor((low - start) / block).astype(int) - 1) * block
    last = start + (np.ceil((high - start) / block).astype(int) + 1) * block
    (top, left), (bottom, right) = np.maximum(first, 0), np.minimum(last, shape)
    part = np.asarray(pixels[top:bottom, left:right], dtype=np.float32)
    before, after = np.maximum(-first, 0), np.maximum(last - shape, 0)
    shrunk = _mean_of_rows(part, block, int(before[0]), int(after[0]))
    shrunk = _mean_of_rows(shrunk.T, block, int(before[1]), int(after[1])).T
    middle = first + (block - 1) / 2  # of the first block
    to_shrunk = np.column_stack([np.eye(2) / block, -middle / block])
    return np.ascontiguousarray(shrunk), compose_affines(to_shrunk, to_source)


def _mean_of_rows(pixels: FloatImage, block: int, before: int, after: int) -> FloatImage:
    """Mean of every ``block`` rows; the first and last row stand for ``before`` and ``after`` more.

    Only blocks at the ends are padded: a whole film is not copied.
    """
    head, tail = -before % block, -after % block
    inner = pixels[head : len(pixels) - tail]
    parts = [inner.reshape(-1, block, pixels.shape[1])]
    if before:
        start = np.concatenate([np.repeat(pixels[:1], before, axis=0), pixels[:head]])
        parts.insert(0, start.reshape(-1, block, pixels.shape[1]))
    if after:
        end = np.concatenate([pixels[len(pixels) - tail :], np.repeat(pixels[-1:], after, axis=0)])
        parts.append(end.reshape(-1, block, pixels.shape[1]))
    shares = np.full((1, block), 1 / block, np.float32)
    means: FloatImage = np.concatenate([np.matmul(shares, part)[:, 0] for part in parts])
    return means


def _find_corners(to_source: Affine, size: tuple[int, int]) -> Points:
    """Corners of the output on the source; pixels have extent."""
    ends = [(-0.5, side - 0.5) for side in size]
    return apply_affine(to_source, [(row, column) for row in ends[0] for column in ends[1]])


def _find_inside(to_source: Affine, size: tuple[int, int], shape: tuple[int, ...]) -> Mask:
    """Whether each pixel of the output lies on the source."""
    rows, columns = np.arange(size[0])[:, np.newaxis], np.arange(size[1])
    inside = np.ones(size, bool)
    for (by_row, by_column, start), side in zip(to_source, shape, strict=True):
        along = by_row * rows + (by_column * columns + start)
        inside &= (along >= -0.5) & (along <= side - 0.5)
    return inside


def _is_inside(points: Points, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    half = np.array(shape) / 2
    return np.asarray((np.abs(points - (half - 0.5)) <= half).all(axis=-1))
