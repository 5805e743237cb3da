"""Nothing -> rough images that no reader of radiographs would take for a PA or AP knee.

Chests, spines, pelves, hands, skulls, ankles, hips, knees from the side, text, noise, gradients:
only the look is meant to be realistic (grey levels, edges, grain, contrast enhancement).
Coordinates are (row, col) as shares of the image's width.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from kneegrade.arrays import FloatArray, FloatImage, GreyImage, Points, round_to_grey
from kneegrade.knees.posing.contrast import enhance

_CANVAS_PX: Final = 288
_SUBPIXELS: Final = 4


def draw_other_picture(n_px: int, rng: np.random.Generator) -> GreyImage:
    """Draw an image of something else.

    Parameters
    ----------
    n_px : int
        Width and height.
    rng : numpy.random.Generator

    Returns
    -------
    (n_px, n_px) array, uint8
    """
    body: tuple[Callable[[np.random.Generator], FloatImage], ...] = (
        *(_chest, _spine, _pelvis, _hand, _skull, _ankle, _ball_joint, _knee_from_side),
        *(_chest, _pelvis, _hand, _knee_from_side, _knee_from_side, _shafts),
    )
    plain = (_text, _noise, _gradient, _shapes)
    if rng.random() < 0.8:
        film = body[int(rng.integers(len(body)))](rng)
        film = _look_like_film(_cut_out(film, rng), rng)
    else:
        film = plain[int(rng.integers(len(plain)))](rng)
    grey = round_to_grey(_rescale(film, rng) * 255)
    if rng.random() < 0.5:
        grey = enhance(grey, tiles=int(rng.integers(4, 11)), clip_limit=rng.uniform(1.5, 5))
    return round_to_grey(cv2.resize(grey, (n_px, n_px), interpolation=cv2.INTER_AREA))


def _cut_out(film: FloatImage, rng: np.random.Generator) -> FloatImage:
    """A part of the film, turned a little, mirrored at times."""
    share = rng.choice([1.0, rng.uniform(0.3, 1.0)])
    away = rng.uniform(-0.5, 0.5, 2) * (1 - share) * _CANVAS_PX
    centre = (_CANVAS_PX / 2 + away[1], _CANVAS_PX / 2 + away[0])
    turn = rng.normal(0, 12) if rng.random() < 0.75 else rng.uniform(-180, 180)
    matrix = cv2.getRotationMatrix2D(centre, turn, 1 / share)
    matrix[:, 2] = matrix[:, 2] + _CANVAS_PX / 2 - np.array(centre)
    moved = cv2.warpAffine(
        film,
        matrix,
        (_CANVAS_PX, _CANVAS_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(moved[:, ::-1] if rng.random() < 0.5 else moved, np.float32)


def _look_like_film(film: FloatImage, rng: np.random.Generator) -> FloatImage:
    """Spongy texture where there is much matter, scatter, blur, grain."""
    texture = _smooth_noise(rng, int(rng.integers(40, 110)))
    film = film * (1 + np.float32(rng.uniform(0.02, 0.12)) * texture)
    film = film + np.float32(rng.uniform(0.05, 0.4)) * cv2.GaussianBlur(film, (0, 0), 30)
    film = 1 - np.exp(-film * np.float32(rng.uniform(0.5, 1.6)))
    film = np.asarray(cv2.GaussianBlur(film, (0, 0), rng.uniform(0.5, 1.6)), np.float32)
    grain = rng.standard_normal(film.shape).astype(np.float32)
    return np.asarray(film + grain * rng.uniform(0.002, 0.03), np.float32)


def _rescale(film: FloatImage, rng: np.random.Generator) -> FloatImage:
    low, high = np.percentile(film, (rng.uniform(0, 3), 100 - rng.uniform(0, 3)))
    unit = np.clip((film - low) / max(float(high - low), 1e-6), 0, 1)
    return np.asarray(unit ** np.exp(rng.uniform(-0.6, 0.6)), np.float32)


def _empty() -> FloatImage:
    return np.zeros((_CANVAS_PX, _CANVAS_PX), np.float32)


def _smooth_noise(rng: np.random.Generator, cells: int) -> FloatImage:
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(
        cv2.resize(coarse, (_CANVAS_PX, _CANVAS_PX), interpolation=cv2.INTER_CUBIC), np.float32
    )


def _add_soft(
    film: FloatImage, centre: Points | tuple[float, float], size: tuple[float, float], amount: float
) -> None:
    """Soft tissue: an ellipse that thins out to its edge. ``size``: half axes (rows, cols)."""
    rows, cols = (np.indices(film.shape) + 0.5) / _CANVAS_PX
    r2 = ((rows - centre[0]) / size[0]) ** 2 + ((cols - centre[1]) / size[1]) ** 2
    film += (amount * np.sqrt(np.clip(1 - r2, 0, None))).astype(np.float32)


def _add_bone(film: FloatImage, mask: GreyImage, density: float, cortex: float = 0.012) -> None:
    """A bone of a mask: dense at its edge, less so inside. ``cortex``: share of the width."""
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / np.float32(cortex * _CANVAS_PX)
    inside = np.minimum(depth, 1)
    profile = inside * (0.55 + 0.45 * np.exp(-np.maximum(depth - 1, 0) / 1.5))
    film += (density * profile).astype(np.float32)


def _blob(outline: Points) -> GreyImage:
    mask = np.zeros((_CANVAS_PX, _CANVAS_PX), np.uint8)
    xy = np.rint(outline[:, ::-1] * _CANVAS_PX * 2**_SUBPIXELS).astype(np.int32)
    cv2.fillPoly(mask, [xy], 255, shift=_SUBPIXELS)
    return mask


def _ellipse(
    centre: Points | tuple[float, float], size: tuple[float, float], turn: float = 0.0
) -> Points:
    """Outline of an ellipse: half axes (rows, cols), turned by ``turn`` radians."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    row, col = size[0] * np.sin(angle), size[1] * np.cos(angle)
    return np.stack(
        [
            centre[0] + row * np.cos(turn) + col * np.sin(turn),
            centre[1] - row * np.sin(turn) + col * np.cos(turn),
        ],
        1,
    )


def _tube(line: Points, radius: FloatArray | float) -> GreyImage:
    """A long bone along a line (k, 2), with one radius or one for each point of the line."""
    smooth = np.linspace(0, len(line) - 1, 40)
    at = np.arange(len(line))
    rows, cols = (np.interp(smooth, at, line[:, i]) for i in (0, 1))
    radii = np.interp(smooth, at, np.broadcast_to(radius, len(line)))
    way = np.stack([np.gradient(rows), np.gradient(cols)], 1)
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    beside = np.stack([-way[:, 1], way[:, 0]], 1) * radii[:, None]
    centre = np.stack([rows, cols], 1)
    return _blob(np.vstack([centre - beside, (centre + beside)[::-1]]))


def _chest(rng: np.random.Generator) -> FloatImage:
    """Lungs dark, ribs as curved bands, spine and heart bright."""
    film = _empty() + np.float32(1.2)
    for side in (-1, 1):
        lung = _blob(_ellipse((0.47, 0.5 + side * rng.uniform(0.19, 0.23)), (0.36, 0.15)))
        film -= cv2.GaussianBlur(lung.astype(np.float32) / 255, (0, 0), 3) * rng.uniform(0.6, 1)
        slope, n_ribs = rng.uniform(0.1, 0.3), int(rng.integers(7, 11))
        for top in np.linspace(0.12, 0.8, n_ribs):
            along = np.linspace(0, 1, 12)
            rows = top + slope * along**2 - 0.08 * np.sin(np.pi * along)
            line = np.stack([rows, 0.5 + side * (0.04 + 0.38 * along)], 1)
            _add_bone(film, _tube(line, rng.uniform(0.012, 0.018)), rng.uniform(0.15, 0.35), 0.006)
        clavicle = np.array([[0.17, 0.5 + side * 0.05], [0.1, 0.5 + side * 0.4]])
        _add_bone(film, _tube(clavicle, 0.018), 0.4, 0.007)
    _add_soft(film, (0.62, 0.5 + rng.choice([-1, 1]) * 0.07), (0.2, 0.17), rng.uniform(0.5, 0.9))
    _add_vertebrae(film, np.array([[0, 0.5], [1, 0.5]]), 14, 0.05, 0.4)
    if rng.random() < 0.7:  # under the diaphragm
        for side in (-1, 1):
            _add_soft(film, (1.05, 0.5 + side * 0.25), (0.3, 0.3), 0.9)
    return film


def _add_vertebrae(film: FloatImage, line: Points, count: int, half: float, density: float) -> None:
    for share in (np.arange(count) + 0.5) / count:
        centre = line[0] + share * (line[-1] - line[0])
        length = float(np.linalg.norm(line[-1] - line[0])) / count
        box = np.array([(-0.4, -1), (-0.3, 0), (-0.4, 1), (0.4, 1), (0.3, 0), (0.4, -1)])
        _add_bone(film, _blob(centre + box * (length, half)), density, 0.008)
        _add_bone(film, _blob(_ellipse(centre, (length * 0.3, half * 0.2))), density * 0.6, 0.008)


def _spine(rng: np.random.Generator) -> FloatImage:
    """A stack of vertebrae, from the front or from the side."""
    film = _empty() + np.float32(0.4)
    _add_soft(film, (0.5, 0.5), (0.9, rng.uniform(0.3, 0.6)), rng.uniform(0.3, 1))
    lean = rng.normal(0, 0.08)
    line = np.array([[-0.05, 0.5 - lean], [1.05, 0.5 + lean]])
    half = rng.uniform(0.07, 0.16)
    _add_vertebrae(film, line, int(rng.integers(5, 10)), half, rng.uniform(0.5, 1))
    if rng.random() < 0.6:
        for row in np.linspace(0.05, 0.95, int(rng.integers(5, 9))):
            for side in (-1, 1):
                reach = half + rng.uniform(0.06, 0.3)
                wing = np.array(
                    [[row, 0.5 + side * half], [row + rng.normal(0.02, 0.02), 0.5 + side * reach]]
                )
                _add_bone(film, _tube(wing, 0.013), 0.35, 0.006)
    return film


def _pelvis(rng: np.random.Generator) -> FloatImage:
    """Wings, ring, sockets with the heads of the femora, sacrum."""
    film = _empty() + np.float32(0.3)
    _add_soft(film, (0.55, 0.5), (0.75, 0.6), rng.uniform(0.4, 1))
    for side in (-1, 1):
        wing = _ellipse((0.27, 0.5 + side * 0.27), (0.22, 0.15), side * rng.uniform(0.2, 0.7))
        _add_bone(film, _blob(wing), rng.uniform(0.35, 0.6))
        hip = np.array([0.57, 0.5 + side * 0.3])
        ring = np.vstack([_ellipse((0.62, 0.5 + side * 0.13), (0.13, 0.13))])
        hole = _ellipse((0.7, 0.5 + side * 0.13), (0.06, 0.05), side * 0.5)
        _add_bone(film, np.where(_blob(hole) > 0, 0, _blob(ring)), rng.uniform(0.35, 0.6))
        neck = np.array([hip, np.add(hip, (0.07, side * 0.1)), np.add(hip, (0.5, side * 0.12))])
        _add_bone(film, _tube(neck, np.array([0.05, 0.05, 0.045])), 0.6)
        _add_bone(film, _blob(_ellipse(hip, (0.07, 0.07))), 0.6)
        _add_bone(film, _blob(_ellipse(np.add(hip, (0.04, side * 0.13)), (0.06, 0.04))), 0.4)
    _add_vertebrae(film, np.array([[-0.05, 0.5], [0.3, 0.5]]), 4, 0.07, 0.6)
    _add_bone(film, _blob(np.array([(0.28, 0.4), (0.28, 0.6), (0.55, 0.5)])), 0.5)
    return film


def _hand(rng: np.random.Generator) -> FloatImage:
    """Rods that fan out, in three or four pieces each; at times only some of them (a foot)."""
    film = _empty() + np.float32(0.05)
    palm = np.array([rng.uniform(0.62, 0.8), 0.5])
    fan, curl = rng.uniform(0.15, 0.5), rng.normal(0, 0.1)
    for finger in np.linspace(-1, 1, 5):
        at = np.add(palm, (0.03 * finger**2, 0.13 * finger))
        angle = fan * finger + curl
        length = rng.uniform(0.17, 0.24) * (1 - 0.25 * abs(finger))
        radius = rng.uniform(0.018, 0.028)
        for _ in range(4):
            way = np.array([-np.cos(angle), np.sin(angle)])
            stop = at + way * length
            _add_soft(film, (at + stop) / 2, (length * 0.8, radius * 2.6), 0.25)
            wide = np.array([1.15, 0.75, 0.7, 1.1]) * radius
            line = np.linspace(at, stop, 4)
            _add_bone(film, _tube(line, wide), rng.uniform(0.4, 0.6), 0.008)
            at, length, radius = stop + way * 0.012, length * 0.66, radius * 0.85
            angle += rng.normal(0, 0.06)
    for _ in range(8):
        spot = np.add(palm, (rng.uniform(0.02, 0.12), rng.uniform(-0.12, 0.12)))
        _add_bone(film, _blob(_ellipse(spot, (0.035, 0.04), rng.uniform(0, 3))), 0.45, 0.008)
    for side in (-1, 1):
        fore = np.array([np.add(palm, (0.15, side * 0.06)), np.add(palm, (0.5, side * 0.05))])
        _add_bone(film, _tube(fore, np.array([0.05, 0.03])), 0.5)
    return film


def _skull(rng: np.random.Generator) -> FloatImage:
    """A bright circle with orbits and teeth."""
    film = _empty()
    size = (rng.uniform(0.34, 0.44), rng.uniform(0.28, 0.4))
    _add_bone(film, _blob(_ellipse((0.45, 0.5), size)), rng.uniform(0.8, 1.2), 0.025)
    for side in (-1, 1):
        orbit = _ellipse((0.5, 0.5 + side * 0.13), (0.07, 0.08))
        film -= cv2.GaussianBlur(_blob(orbit).astype(np.float32) / 255, (0, 0), 2) * 0.25
        _add_bone(film, _blob(_ellipse((0.5, 0.5 + side * 0.13), (0.08, 0.09))), 0.2, 0.01)
    _add_bone(film, _blob(_ellipse((0.8, 0.5), (0.12, 0.17))), 0.5, 0.02)
    for col in np.linspace(0.38, 0.62, 9):
        for row in (0.74, 0.81):
            _add_bone(film, _blob(_ellipse((row, col), (0.03, 0.012))), 0.4, 0.004)
    _add_vertebrae(film, np.array([[0.8, 0.5], [1.2, 0.5]]), 5, 0.07, 0.4)
    return film


def _ankle(rng: np.random.Generator) -> FloatImage:
    """Tibia and fibula that hold the talus between them."""
    film = _empty()
    _add_soft(film, (0.4, 0.5), (0.9, rng.uniform(0.25, 0.4)), 0.6)
    width = rng.uniform(0.1, 0.15)
    shin = np.array([[-0.1, 0.5], [0.3, 0.5], [0.5, 0.48]])
    _add_bone(film, _tube(shin, np.array([0.6, 0.75, 1.15]) * width), 0.7)
    outer = np.array([[-0.1, 0.5 + width], [0.4, 0.5 + width * 1.2], [0.64, 0.5 + width * 1.3]])
    _add_bone(film, _tube(outer, np.array([0.3, 0.35, 0.4]) * width), 0.5)
    _add_bone(film, _blob(_ellipse((0.55, 0.5 - width), (0.07, 0.03))), 0.5)
    _add_bone(film, _blob(_ellipse((0.62, 0.49), (0.09, width))), 0.7)
    _add_bone(film, _blob(_ellipse((0.8, 0.5), (0.13, width * 1.4), rng.normal(0, 0.3))), 0.6)
    return film


def _ball_joint(rng: np.random.Generator) -> FloatImage:
    """A hip or shoulder by itself: a ball in a socket on a slanted neck."""
    film = _empty() + np.float32(0.2)
    _add_soft(film, (0.5, 0.5), (0.8, 0.7), rng.uniform(0.3, 1))
    ball, radius = np.array([0.42, 0.45]), rng.uniform(0.12, 0.19)
    shaft = ball + np.array([rng.uniform(0.1, 0.25), rng.uniform(0.15, 0.3)])
    line = np.array([ball, shaft, np.add(shaft, (0.7, rng.normal(0, 0.1)))])
    _add_bone(film, _tube(line, np.array([0.7, 0.75, 0.6]) * radius), 0.6, 0.02)
    _add_bone(film, _blob(_ellipse(ball, (radius, radius))), 0.6)
    _add_bone(film, _blob(_ellipse(shaft - (0.03, -0.02), (radius * 0.9, radius * 0.5))), 0.4)
    cup = _ellipse(ball - (radius, radius * 0.9), (radius * 1.4, radius * 1.1), 0.7)
    _add_bone(film, _blob(cup), 0.5, 0.02)
    return film


def _shafts(rng: np.random.Generator) -> FloatImage:
    """One or more shafts of long bones without any joint."""
    film = _empty()
    for _ in range(int(rng.integers(1, 4))):
        col, lean, radius = rng.uniform(0.2, 0.8), rng.normal(0, 0.1), rng.uniform(0.04, 0.16)
        _add_soft(film, (0.5, col), (1.5, radius * rng.uniform(2, 4)), rng.uniform(0.2, 0.6))
        line = np.array([[-0.1, col - lean], [0.5, col], [1.1, col + lean]])
        _add_bone(film, _tube(line, radius * rng.uniform(0.8, 1.2, 3)), 0.7, radius * 0.35)
    return film


def _knee_from_side(rng: np.random.Generator) -> FloatImage:
    """Condyles as one round end, patella in front, sloping plateau, fibula behind."""
    film = _empty()
    size, bend = rng.uniform(0.13, 0.2), rng.uniform(-0.1, 0.9)
    joint = np.array([rng.uniform(0.42, 0.55), rng.uniform(0.42, 0.55)])
    up = np.array([-np.cos(bend * 0.5), -np.sin(bend * 0.5)])
    down = np.array([np.cos(bend * 0.5), -np.sin(bend * 0.5)])
    for way, share in ((up, 1.0), (down, 1.0)):
        for step in np.arange(0, 0.8, 0.1):
            _add_soft(film, joint + way * step, (size * 1.9, size * 1.9), 0.13 * share)
    knob = joint + up * size * 0.75
    thigh = np.array([knob + up * step + (0, size * 0.15) for step in (0, size, 2.5 * size, 1.0)])
    _add_bone(film, _tube(thigh, np.array([0.8, 0.75, 0.5, 0.5]) * size), 0.55)
    for shift in rng.normal(0, 0.1, (2, 2)) * size:
        _add_bone(film, _blob(_ellipse(knob + shift - (0, size * 0.1), (size * 0.8, size))), 0.4)
    slope = rng.uniform(-0.05, 0.35)
    rows, cols = np.array([(0, -1), (0.1, 1), (0.7, 0.8), (1.6, 0.5), (6, 0.45)]).T
    back = np.array([(6, -0.45), (1.6, -0.5), (0.6, -0.9)])
    outline = np.vstack([np.stack([rows + slope * -cols, cols], 1), back]) * size
    beside = np.array([-down[1], down[0]])
    placed = joint + outline[:, :1] * down + outline[:, 1:] * beside + down * size * 0.12
    _add_bone(film, _blob(placed), 0.7)
    head = joint + down * size * rng.uniform(0.6, 0.9) - beside * size * rng.uniform(0.6, 1)
    _add_bone(film, _tube(np.array([head, head + down * size, head + down * 6 * size]),
                          np.array([0.3, 0.2, 0.18]) * size), 0.35)  # fmt: skip
    front = knob + np.array([rng.uniform(-0.6, 0.1), 1.55]) * size
    _add_bone(film, _blob(_ellipse(front, (size * 0.6, size * 0.27), rng.normal(0, 0.3))), 0.5)
    return film


def _text(rng: np.random.Generator) -> FloatImage:
    """Lines of letters on a panel, dark or bright."""
    film = np.full((_CANVAS_PX, _CANVAS_PX), int(rng.integers(0, 80)), np.uint8)
    face = cv2.FONT_HERSHEY_SIMPLEX
    for row in np.arange(20, _CANVAS_PX, int(rng.integers(18, 45))):
        letters = "".join(chr(int(code)) for code in rng.integers(48, 91, int(rng.integers(3, 18))))
        at = (int(rng.integers(0, 60)), int(row))
        cv2.putText(film, letters, at, face, rng.uniform(0.4, 1.1), 255, int(rng.integers(1, 3)))
    unit = film.astype(np.float32) / 255
    return np.asarray(1 - unit if rng.random() < 0.4 else unit, np.float32)


def _noise(rng: np.random.Generator) -> FloatImage:
    """Smooth noise of one to three sizes."""
    film = _empty()
    for _ in range(int(rng.integers(1, 4))):
        film += _smooth_noise(rng, int(rng.integers(3, 90))) * np.float32(rng.uniform(0.2, 1))
    return film


def _gradient(rng: np.random.Generator) -> FloatImage:
    """A ramp, a spot of light, or an empty exposed field with grain."""
    rows, cols = np.indices((_CANVAS_PX, _CANVAS_PX)) / _CANVAS_PX
    along = rng.normal(0, 1, 2)
    film = along[0] * rows + along[1] * cols
    if rng.random() < 0.5:
        film = np.hypot(rows - rng.random(), cols - rng.random()) * along[0]
    grain = rng.standard_normal(film.shape) * rng.choice([0.01, 0.1, 0.5])
    return np.asarray(film + grain, np.float32)


def _shapes(rng: np.random.Generator) -> FloatImage:
    """Circles, boxes and rods of any grey."""
    film = _empty()
    for _ in range(int(rng.integers(2, 14))):
        centre, size = rng.random(2), rng.uniform(0.02, 0.3, 2)
        mask = _blob(_ellipse(centre, (size[0], size[1]), rng.uniform(0, 3)))
        if rng.random() < 0.4:
            mask = _tube(np.stack([centre, rng.random(2)]), float(size.min()))
        film += mask.astype(np.float32) / 255 * np.float32(rng.uniform(-1, 1))
    return np.asarray(cv2.GaussianBlur(film, (0, 0), rng.uniform(0.3, 3)), np.float32)
