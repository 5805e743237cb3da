"""An image of a knee -> one that is not a PA or AP knee: the same distorted, or something else."""

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from kneegrade.arrays import GreyImage, Points, round_to_grey
from kneegrade.phantoms.spoilt.other_pictures import draw_other_picture


def draw_not_knee(picture: GreyImage, rng: np.random.Generator) -> GreyImage:
    """Make an image that is not a PA or AP knee in its usual pose.

    Half of the time the image itself is spoilt (turned, one part of it enlarged, shuffled,
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
    makers: tuple[Callable[[GreyImage, np.random.Generator], GreyImage], ...] = (
        *(_turn, _turn, _enlarge_part, _enlarge_part),
        *(_shuffle_tiles, _join_halves, _warp, _blend, _squeeze),
    )
    return makers[int(rng.integers(len(makers)))](picture, rng)


def _turn(picture: GreyImage, rng: np.random.Generator) -> GreyImage:
    """By 60 to 300 degrees, or upside down."""
    if rng.random() < 0.2:
        return round_to_grey(picture[::-1])
    return _move(picture, rng.uniform(60, 300), rng.uniform(0.85, 1.3), rng.normal(0, 0.05, 2))


def _enlarge_part(picture: GreyImage, rng: np.random.Generator) -> GreyImage:
    """Only a piece of a shaft, of a condyle or of the skin."""
    zoom = rng.uniform(2.3, 4.5)
    angle = rng.uniform(0, 2 * np.pi)
    away = np.array([np.sin(angle), np.cos(angle)]) * rng.uniform(0.22, 0.45)
    return _move(picture, rng.uniform(-40, 40), zoom, away * zoom)


def _shuffle_tiles(picture: GreyImage, rng: np.random.Generator) -> GreyImage:
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
    return round_to_grey(np.vstack(rows)[:n, :n])


def _join_halves(picture: GreyImage, rng: np.random.Generator) -> GreyImage:
    """One half twice, or the halves swapped."""
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
    return round_to_grey(cv2.resize(joined, (n, n)))


def _warp(picture: GreyImage, rng: np.random.Generator) -> GreyImage:
    """Bend the image by a smooth random field of a tenth of its width and more."""
    n = len(picture)
    rows, cols = np.indices((n, n), dtype=np.float32)
    coarse = rng.normal(0, 1, (2, *rng.integers(3, 7, 2))).astype(np.float32)
    strength = np.float32(n * rng.uniform(0.1, 0.2))
    d_row, d_col = (cv2.resize(c, (n, n), interpolation=cv2.INTER_CUBIC) * strength for c in coarse)
    warped = cv2.remap(
        picture, cols + d_col, rows + d_row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return round_to_grey(warped)


def _blend(picture: GreyImage, rng: np.random.Generator) -> GreyImage:
    """Lay a turned copy, or another image, over it."""
    other = draw_other_picture(len(picture), rng) if rng.random() < 0.5 else _turn(picture, rng)
    share = rng.uniform(0.4, 0.6)
    turned = _turn(picture, rng)
    mixed = share * turned.astype(np.float32) + (1 - share) * other.astype(np.float32)
    return round_to_grey((mixed - mixed.mean()) * 1.3 + mixed.mean())


def _squeeze(picture: GreyImage, rng: np.random.Generator) -> GreyImage:
    """A knee far too narrow or too flat, or a small one among others."""
    n, few = len(picture), int(rng.integers(2, 4))
    if rng.random() < 0.5:
        small = cv2.resize(picture, (n // few, n // few), interpolation=cv2.INTER_AREA)
        return round_to_grey(cv2.resize(np.tile(small, (few, few)), (n, n)))
    flat = cv2.resize(picture, (n, n // few), interpolation=cv2.INTER_AREA)
    tiled = cv2.resize(np.tile(flat, (few, 1)), (n, n))
    return round_to_grey(tiled if rng.random() < 0.5 else tiled.T)


def _move(picture: GreyImage, turn_deg: float, zoom: float, away: Points) -> GreyImage:
    """Turn and zoom about the middle, then bring what lies ``away`` (in widths) to the middle."""
    n = len(picture)
    matrix = cv2.getRotationMatrix2D(((n - 1) / 2, (n - 1) / 2), turn_deg, zoom)
    matrix[:, 2] = matrix[:, 2] - away[::-1] * n
    moved = cv2.warpAffine(
        picture, matrix, (n, n), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return round_to_grey(moved)
