"""Heat maps of a landmark network -> points, each with its confidence."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

STRIDE: Final = 2
"""Pixels of the network's input per pixel of its heat maps, along rows and along columns."""
WINDOW_PX: Final = 4
"""The point is the mean within so many px of a heat map's highest value."""


def decode_heatmaps(
    heatmaps: NDArray[np.float32], absent: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each point is, to a fraction of a pixel, and how sure that is.

    A softmax over all pixels of a heat map and one more class, "not in the picture", gives a
    probability per pixel. The point is the mean over the window around the most probable pixel;
    its confidence is the probability in that window.

    Parameters
    ----------
    heatmaps : (n, k, rows, cols) array, float32
        Logits.
    absent : (n, k) array, float32
        Logits of the class "not in the picture".

    Returns
    -------
    points_px : (n, k, 2) array, float64
        ``(row, col)`` in px of the network's input.
    confidence : (n, k) array, float64 in [0, 1]
    """
    probabilities = _softmax(heatmaps, absent)
    n, k = absent.shape
    points = np.empty((n, k, 2))
    confidence = np.empty((n, k))
    for i in range(n):
        for j in range(k):
            points[i, j], confidence[i, j] = _mean_around_peak(probabilities[i, j])
    return points * STRIDE + (STRIDE - 1) / 2, confidence


def find_second_peak(
    heatmaps: NDArray[np.float32], absent: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Confidence of the best place that is not near the point itself; parameters as above.

    Returns
    -------
    (n, k) array, float64 in [0, 1]
    """
    probabilities = _softmax(heatmaps, absent)
    n, k = absent.shape
    second = np.empty((n, k))
    for i in range(n):
        for j in range(k):
            rest = probabilities[i, j].copy()
            row, col = np.unravel_index(int(rest.argmax()), rest.shape)
            near = 2 * WINDOW_PX
            rest[max(row - near, 0) : row + near + 1, max(col - near, 0) : col + near + 1] = 0
            second[i, j] = _mean_around_peak(rest)[1]
    return second


def _softmax(heatmaps: NDArray[np.float32], absent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of each pixel, ``(n, k, rows, cols)``; what lacks to 1 is "not there"."""
    n, k = absent.shape
    flat = np.concatenate([heatmaps.reshape(n, k, -1), absent[..., None]], axis=2)
    flat = np.exp(flat - flat.max(axis=2, keepdims=True))
    shares: NDArray[np.float32] = flat / flat.sum(axis=2, keepdims=True)
    return shares[..., :-1].reshape(heatmaps.shape)


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
