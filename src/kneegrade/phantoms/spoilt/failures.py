"""A picture of a knee -> pictures that fail: with metal, moved, or of no knee at all.

What the landmark network's head for quality learns from.
"""

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.phantoms.spoilt.metal import paint_metal as paint_metal
from kneegrade.phantoms.spoilt.other_pictures import draw_other_picture

Gray8 = NDArray[np.uint8]
Points = NDArray[np.float64]


def draw_not_knee(picture: Gray8, rng: np.random.Generator) -> Gray8:
    """Make a picture that is no PA or AP knee in its usual pose.

    Half of the time the picture itself is spoilt (turned, one part of it enlarged, shuffled,
    warped, two parts joined), else another one is drawn: other parts of the body, a knee from the
    side, text, noise.

    Parameters
    ----------
    picture : (n, n) array, uint8
    rng : numpy.random.Generator

    Returns
    -------
    (n, n) array, uint8
    """
    if rng.random() < 0.55:
        return draw_other_picture(len(picture), rng)
    makers: tuple[Callable[[Gray8, np.random.Generator], Gray8], ...] = (
        *(_turn, _turn, _enlarge_part, _enlarge_part),
        *(_shuffle_tiles, _join_halves, _warp, _blend, _squeeze),
    )
    return makers[int(rng.integers(len(makers)))](picture, rng)


def blur_by_motion(picture: Gray8, length_px: float, rng: np.random.Generator) -> Gray8:
    """Move the picture steadily along a line while it is exposed; fresh grain on top.

    Parameters
    ----------
    picture : (n, n) array, uint8
    length_px : float
        Way of the motion.
    rng : numpy.random.Generator
        Draws its direction and the grain.

    Returns
    -------
    (n, n) array, uint8
    """
    fine = 8  # the kernel is drawn so many times as fine as the picture
    n = 2 * int(np.ceil(length_px / 2)) + 5
    angle = rng.uniform(0, np.pi)
    half = np.array([np.cos(angle), np.sin(angle)]) * length_px * fine / 2
    ends = [tuple(np.rint(n * fine / 2 + sign * half).astype(int).tolist()) for sign in (-1, 1)]
    drawn = np.zeros((n * fine, n * fine), np.float32)
    cv2.line(drawn, ends[0], ends[1], 1.0, fine, cv2.LINE_AA)
    kernel = cv2.resize(drawn, (n, n), interpolation=cv2.INTER_AREA)
    moved = cv2.filter2D(
        picture.astype(np.float32), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT
    )
    return _to_gray8(moved + rng.normal(0, rng.uniform(0, 3), moved.shape))


def _turn(picture: Gray8, rng: np.random.Generator) -> Gray8:
    """By 60 to 300 degrees, or upside down."""
    if rng.random() < 0.2:
        return _to_gray8(picture[::-1])
    return _move(picture, rng.uniform(60, 300), rng.uniform(0.85, 1.3), rng.normal(0, 0.05, 2))


def _enlarge_part(picture: Gray8, rng: np.random.Generator) -> Gray8:
    """Only a piece of a shaft, of a condyle or of the skin."""
    zoom = rng.uniform(2.3, 4.5)
    angle = rng.uniform(0, 2 * np.pi)
    away = np.array([np.sin(angle), np.cos(angle)]) * rng.uniform(0.22, 0.45)
    return _move(picture, rng.uniform(-40, 40), zoom, away * zoom)


def _shuffle_tiles(picture: Gray8, rng: np.random.Generator) -> Gray8:
    n, tiles = len(picture), int(rng.integers(2, 5))
    edges = np.linspace(0, n, tiles + 1).astype(int)
    size = -(-n // tiles)
    parts = [
        cv2.resize(picture[a:b, c:d], (size, size))
        for a, b in pairwise(edges)
        for c, d in pairwise(edges)
    ]
    drawn = rng.permutation(len(parts))
    order = np.empty_like(drawn)
    order[drawn] = np.roll(drawn, 1)  # no tile stays in its place
    rows = [np.hstack([parts[i] for i in row]) for row in order.reshape(tiles, tiles)]
    return _to_gray8(np.vstack(rows)[:n, :n])


def _join_halves(picture: Gray8, rng: np.random.Generator) -> Gray8:
    """One half twice, or the halves changed over."""
    n, half = len(picture), len(picture) // 2
    kind = int(rng.integers(4))
    if kind == 0:
        joined = np.vstack([picture[half:], picture[:half]])
    elif kind == 1:
        joined = np.hstack([picture[:, half:], picture[:, :half]])
    elif kind == 2:
        joined = np.vstack([picture[: n - half], picture[:half][::-1]])
    else:
        joined = np.vstack([picture[half:][::-1], picture[half:]])
    return _to_gray8(cv2.resize(joined, (n, n)))


def _warp(picture: Gray8, rng: np.random.Generator) -> Gray8:
    """Bend the picture by a smooth random field of a tenth of its width and more."""
    n = len(picture)
    rows, cols = np.indices((n, n), dtype=np.float32)
    coarse = rng.normal(0, 1, (2, *rng.integers(3, 7, 2))).astype(np.float32)
    strength = np.float32(n * rng.uniform(0.1, 0.2))
    d_row, d_col = (cv2.resize(c, (n, n), interpolation=cv2.INTER_CUBIC) * strength for c in coarse)
    warped = cv2.remap(
        picture, cols + d_col, rows + d_row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return _to_gray8(warped)


def _blend(picture: Gray8, rng: np.random.Generator) -> Gray8:
    """Lay a turned copy, or another picture, over it."""
    other = draw_other_picture(len(picture), rng) if rng.random() < 0.5 else _turn(picture, rng)
    share = rng.uniform(0.4, 0.6)
    turned = _turn(picture, rng)
    mixed = share * turned.astype(np.float32) + (1 - share) * other.astype(np.float32)
    return _to_gray8((mixed - mixed.mean()) * 1.3 + mixed.mean())


def _squeeze(picture: Gray8, rng: np.random.Generator) -> Gray8:
    """A knee far too narrow or too flat, or a small one among others."""
    n, few = len(picture), int(rng.integers(2, 4))
    if rng.random() < 0.5:
        small = cv2.resize(picture, (n // few, n // few), interpolation=cv2.INTER_AREA)
        return _to_gray8(cv2.resize(np.tile(small, (few, few)), (n, n)))
    flat = cv2.resize(picture, (n, n // few), interpolation=cv2.INTER_AREA)
    tiled = cv2.resize(np.tile(flat, (few, 1)), (n, n))
    return _to_gray8(tiled if rng.random() < 0.5 else tiled.T)


def _move(picture: Gray8, turn_deg: float, zoom: float, away: Points) -> Gray8:
    """Turn and zoom about the middle, then bring what lies ``away`` (in widths) to the middle."""
    n = len(picture)
    matrix = cv2.getRotationMatrix2D(((n - 1) / 2, (n - 1) / 2), turn_deg, zoom)
    matrix[:, 2] = matrix[:, 2] - away[::-1] * n
    moved = cv2.warpAffine(
        picture, matrix, (n, n), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return _to_gray8(moved)


def _to_gray8(values: NDArray[np.generic]) -> Gray8:
    grey: Gray8 = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return grey
