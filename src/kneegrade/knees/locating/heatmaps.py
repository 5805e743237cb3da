"""Heat maps of a landmark network -> points, each with its confidence."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

STRIDE: Final = 2
"""Pixels of the network's input per pixel of its heat maps, along rows and along columns."""
WINDOW_PX: Final = 4
"""The point is the mean within so many px of a heat map's highest value."""


def compute_probabilities(
    heatmaps: NDArray[np.float32], absent: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How probable each pixel is: a softmax over all of them and one more class, "not there".

    Parameters
    ----------
    heatmaps : (n, k, rows, cols) array, float32
        Logits.
    absent : (n, k) array, float32
        Logits of the class "not in the picture".

    Returns
    -------
    (n, k, rows, cols) array, float32
        What a heat map lacks to a sum of 1 is "not there".
    """
    n, k = absent.shape
    flat = heatmaps.reshape(n, k, -1)
    highest = np.maximum(flat.max(axis=2), absent)[..., None]
    shares = np.exp(flat - highest)
    shares /= shares.sum(axis=2, keepdims=True) + np.exp(absent[..., None] - highest)
    return np.asarray(shares.reshape(heatmaps.shape), np.float32)


def decode_heatmaps(
    probabilities: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each point is, to a fraction of a pixel, and how sure that is.

    The point is the mean over the window around the most probable pixel; its confidence is the
    probability in that window.

    Parameters
    ----------
    probabilities : (n, k, rows, cols) array, float32
        Of `compute_probabilities`.

    Returns
    -------
    points_px : (n, k, 2) array, float64
        ``(row, col)`` in px of the network's input.
    confidence : (n, k) array, float64 in [0, 1]
    """
    n, k = probabilities.shape[:2]
    points = np.empty((n, k, 2))
    confidence = np.empty((n, k))
    for i in range(n):
        for j in range(k):
            points[i, j], confidence[i, j] = _mean_around_peak(probabilities[i, j])
    return points * STRIDE + (STRIDE - 1) / 2, confidence


def find_second_peak(
    probabilities: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best place that is not near the point itself; as `decode_heatmaps`."""
    rest = probabilities.copy()
    near = 2 * WINDOW_PX
    for heatmap in rest.reshape(-1, *rest.shape[2:]):
        row, col = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
        heatmap[max(row - near, 0) : row + near + 1, max(col - near, 0) : col + near + 1] = 0
    return decode_heatmaps(rest)


def _mean_around_peak(probability: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    row, col = np.unravel_index(int(probability.argmax()), probability.shape)
    top, left = max(int(row) - WINDOW_PX, 0), max(int(col) - WINDOW_PX, 0)
    window = probability[top : row + WINDOW_PX + 1, left : col + WINDOW_PX + 1].astype(np.float64)
    total = float(window.sum())
    if total <= 0:
        return np.array([row, col], np.float64), 0.0
    mean_row = float(window.sum(axis=1) @ np.arange(window.shape[0])) / total + top
    mean_col = float(window.sum(axis=0) @ np.arange(window.shape[1])) / total + left
    return np.array([mean_row, mean_col]), min(total, 1.0)
