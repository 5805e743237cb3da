"""Radiograph -> the lead letters R and L on it, which tell the side.

Compact strokes of a letter's size, bright on the film or dark on a bright plate, are compared with
drawn letters: R and L, turned a little and mirrored, and others that must not be taken for them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage, GreyImage
from kneegrade.images.geometry import resample
from kneegrade.types import Landmarks, Radiograph, Side

Boxes = NDArray[np.int64]

PLATEAU_PX: Final = 180.0
"""Width of a plateau on the film that is searched: about 2.3 px/mm."""
LETTER_WIDTHS: Final = (0.07, 0.26)
"""Least and greatest height of a letter in plateau widths: 8 to 15 mm of lead, turned or not."""
STROKE_WIDTHS: Final = 0.09
"""No stroke is thicker than so many plateau widths."""
KNEE_WIDTHS: Final = 0.6
"""No letter lies nearer to the joint's centre than so many plateau widths."""
LEAST_SCORE: Final = 0.87
"""Least correlation of a letter with what it is taken for."""
LEAST_MARGIN: Final = 0.015
"""By which its score must exceed that of any other letter or shape."""
LEAST_MIRROR_MARGIN: Final = 0.03
"""By which its score must exceed that of its own mirror image."""
CONTRASTS: Final = (24, 48, 96)
"""Steps of 256 by which strokes must differ from what is around them, tried in turn."""
WORD_GAP: Final = 0.8
"""Strokes that are nearer than so many heights of a letter make a word with it."""

_PATCH_PX: Final = 24
_LETTER_PX: Final = 18
_FINER: Final = 4
_SMOOTH_PX: Final = 0.8
_ANGLES_DEG: Final = (-24, -16, -8, 0, 8, 16, 24)
_THICKNESSES: Final = (0.12, 0.18, 0.25)
_ASPECTS: Final = (0.55, 0.7, 0.9)

# Strokes on a grid 4 wide and 6 high: each word is a line through points named column, row.
_LETTERS: Final = MappingProxyType(
    {
        Side.RIGHT: (
            "06 00 30 41 42 33 03,23 46",
            "06 00 30 41 42 33 03,13 46",
            "06 00 20 31 32 23 03,23 46",
        ),
        Side.LEFT: ("00 06 46",),
    }
)
_DECOYS: Final = (
    "00 06 36 45 44 33 03,33 42 41 30 00",  # B
    "06 00 30 41 42 33 03",  # P
    "00 06,40 03,13 46",  # K
    "06 00 46 40",  # N
    "00 06 26 44 42 20 00",  # D
    "40 00 06 46,03 33",  # E
    "40 00 06,03 33",  # F
    "40 00 06",  # a corner above
    "00 06 86",  # a corner below
    "40 45 36 16 05",  # J
    "20 40 45 36 16",  # J, with a bar
    "41 30 10 01 05 16 36 45",  # C
    "41 30 10 01 05 16 36 45 43 23",  # G
    "10 01 05 16 36 45 41 30 10,24 46",  # Q
    "00 40 06 46",  # Z
    "02 20 26,06 46",  # 1
    "01 10 30 41 42 06 46",  # 2
    "01 10 30 41 42 33 13,33 44 45 36 16 05",  # 3
    "36 30 04 44",  # 4
    "40 00 03 33 44 45 36 06",  # 5
    "41 30 10 01 05 16 36 45 44 33 13 04",  # 6
    "05 16 36 45 41 30 10 01 02 13 33 42",  # 9
    "42 33 13 02 01 10 30 41 42 16",  # 9, aslant
    "00 40 16",  # 7
    "40 03 46",  # an arrow
    "20 46 06 20",  # a triangle
)
_ALIKE_MIRRORED: Final = (
    "06 20 46,14 34",  # A
    "00 06,40 46,03 43",  # H
    "06 00 23 40 46",  # M
    "00 06",  # I, a bar
    "00 40,20 26",  # T
    "20 26,06 46",  # T upside down
    "00 05 16 36 45 40",  # U
    "10 01 05 16 36 45 41 30 10",  # O
    "00 40 46 06 00",  # a frame
    "00 26 40",  # V
    "00 46,40 06",  # X
    "00 23 40,23 26",  # Y
    "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",  # 8
    "00 40,01 41,02 42,03 43,04 44,05 45,06 46",  # a plate
    "22 24",  # a disc
)


@dataclass(frozen=True)
class SideMarker:
    """A letter R or L on a radiograph.

    Parameters
    ----------
    side : Side
        What the letter says.
    centre_px : (row, col)
        On the radiograph.
    score : float
        Correlation with a drawn letter, up to 1.
    mirrored : bool
        Whether the letter is turned round.
    """

    side: Side
    centre_px: tuple[float, float]
    score: float
    mirrored: bool


def read_markers(radiograph: Radiograph, landmarks: Sequence[Landmarks]) -> tuple[SideMarker, ...]:
    """Read the lead letters R and L on a film.

    A letter stands alone, upright within 25 degrees, is 0.07 to 0.26 plateau widths high and lies
    off the joints. It is bright, or dark on a bright plate.

    Parameters
    ----------
    radiograph : Radiograph
        Bone bright.
    landmarks : sequence of Landmarks
        Of the knees on it: their plateaus give the scale.

    Returns
    -------
    tuple of SideMarker
        From the best score down; empty where there is none, or where there are no landmarks.
    """
    if not landmarks:
        return ()
    knees = [knee.kneel_points_px for knee in landmarks]
    width = float(np.mean([knee.measure_plateau(radiograph.pixel_size) for knee in landmarks]))
    size = np.array(radiograph.pixel_size)  # in the unit of width
    grey, steps = _shrink(radiograph.pixels, PLATEAU_PX * size / max(width, float(size.max())))
    centres = np.array([points.mean(axis=0) for points in knees]) / steps
    side = 2 * round(STROKE_WIDTHS * PLATEAU_PX / 2) + 1
    kernel = np.ones((side, side), np.uint8)
    found: list[SideMarker] = []
    for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        strokes = np.asarray(cv2.morphologyEx(grey, kind, kernel), np.uint8)
        boxes = np.concatenate([_find_boxes(strokes, least, centres) for least in CONTRASTS])
        found += _read_boxes(strokes, boxes, steps)
    return tuple(_drop_repeats(found, 0.5 * LETTER_WIDTHS[1] * width / float(size.max())))


def _shrink(
    pixels: FloatImage, factors: NDArray[np.float64]
) -> tuple[GreyImage, NDArray[np.float64]]:
    """The film in 256 steps at another size, and film px per row and column of it."""
    rows, cols = np.maximum(np.rint(pixels.shape * factors), 1).astype(int).tolist()
    size = (rows, cols)
    steps = np.array(pixels.shape) / size
    to_film = np.column_stack([np.diag(steps), (steps - 1) / 2])
    small, _ = resample(pixels, to_film, size, fill=0.0)
    low, high = np.percentile(small[::3, ::3], (0.5, 99.9))
    scale = 255 / max(float(high - low), 1e-6)
    grey = np.clip((small - low) * scale, 0, 255)
    return grey.astype(np.uint8), steps


def _find_boxes(strokes: GreyImage, least: int, centres: NDArray[np.float64]) -> Boxes:
    """Boxes (top, left, height, width) of strokes that could be a letter and stand alone."""
    _, mask = cv2.threshold(strokes, least - 1, 255, cv2.THRESH_BINARY)
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = [cv2.boundingRect(outline) for outline in outlines]
    boxes = np.array(found, np.int64).reshape(-1, 4)[:, [1, 0, 3, 2]]
    low, high = (share * PLATEAU_PX for share in LETTER_WIDTHS)
    size, tall, wide = boxes[:, 2:].max(axis=1), boxes[:, 2], boxes[:, 3]
    big = boxes[(size >= low / 2) & (size <= 2 * high)]
    chosen = (tall >= low) & (tall <= high) & (wide >= 0.35 * tall) & (wide <= 1.3 * tall)
    middles = boxes[:, :2] + boxes[:, 2:] / 2
    away = np.linalg.norm(middles[:, np.newaxis] - centres, axis=2).min(axis=1)
    chosen &= away > KNEE_WIDTHS * PLATEAU_PX
    alone = [box for box in boxes[chosen] if not _has_neighbour(box, big)]
    return np.array(alone, np.int64).reshape(-1, 4)


def _has_neighbour(box: NDArray[np.int64], boxes: Boxes) -> bool:
    """Whether strokes of about a letter's size are so near that both belong to a word."""
    ends, box_ends = boxes[:, :2] + boxes[:, 2:], box[:2] + box[2:]
    gaps = np.maximum(boxes[:, :2] - box_ends, box[:2] - ends).max(axis=1)
    alike = (boxes[:, 2:].max(axis=1) > 0.5 * box[2]) & (boxes[:, 2] < 1.6 * box[2])
    return bool((alike & (gaps > 0) & (gaps < WORD_GAP * box[2])).any())


def _read_boxes(
    strokes: GreyImage, boxes: Boxes, steps: NDArray[np.float64]
) -> Iterator[SideMarker]:
    if not len(boxes):
        return
    letters = _draw_letters()
    patches = np.stack([_cut_patch(strokes, box) for box in boxes])
    scores = np.stack([(patches @ drawn.T).max(axis=1) for drawn in letters.values()], axis=1)
    for box, patch, likeness in zip(boxes, patches, scores, strict=True):
        second, first = np.sort(likeness)[-2:]
        if first < LEAST_SCORE or first - second < LEAST_MIRROR_MARGIN:
            continue
        if first - float((_draw_decoys() @ patch).max()) < LEAST_MARGIN:
            continue
        side, mirrored = tuple(letters)[int(likeness.argmax())]
        row, col = (box[:2] + box[2:] / 2) * steps - 0.5
        yield SideMarker(side, (float(row), float(col)), float(first), mirrored)


def _drop_repeats(found: Iterable[SideMarker], apart_px: float) -> list[SideMarker]:
    """The best of those that lie at one place."""
    kept: list[SideMarker] = []
    for marker in sorted(found, key=lambda marker: -marker.score):
        away = [np.subtract(marker.centre_px, other.centre_px) for other in kept]
        if all(np.linalg.norm(gap) > apart_px for gap in away):
            kept.append(marker)
    return kept


def _cut_patch(strokes: GreyImage, box: NDArray[np.int64]) -> FloatImage:
    """A box in the middle of a small square, (px,), with mean 0 and norm 1."""
    top, left, tall, wide = box.tolist()
    step = max(tall, wide) / _LETTER_PX
    middle = (_PATCH_PX - 1) / 2
    row, col = top + (tall - 1) / 2, left + (wide - 1) / 2
    to_strokes = np.array([[step, 0, col - step * middle], [0, step, row - step * middle]])
    method = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return _to_unit(cv2.warpAffine(strokes, to_strokes, (_PATCH_PX, _PATCH_PX), flags=method))


def _to_unit(patch: NDArray[Any]) -> FloatImage:
    """Smoothed, flat, with mean 0 and norm 1 where there is any contrast."""
    smooth = cv2.GaussianBlur(patch.astype(np.float32), (0, 0), _SMOOTH_PX).ravel()
    smooth -= smooth.mean()
    return np.asarray(smooth / max(float(np.linalg.norm(smooth)), 1e-6), np.float32)


@cache
def _draw_letters() -> MappingProxyType[tuple[Side, bool], FloatImage]:
    """Patches (n, px) of R and L, as they are and mirrored."""
    return MappingProxyType(
        {
            (side, mirrored): _draw_glyphs(glyphs, mirrored=mirrored)
            for side, glyphs in _LETTERS.items()
            for mirrored in (False, True)
        }
    )


@cache
def _draw_decoys() -> FloatImage:
    """Patches (n, px) of what must not be taken for a letter."""
    upright = _draw_glyphs(_DECOYS + _ALIKE_MIRRORED, mirrored=False)
    return np.concatenate([upright, _draw_glyphs(_DECOYS, mirrored=True)])


def _draw_glyphs(glyphs: Iterable[str], *, mirrored: bool) -> FloatImage:
    """Patches (n, px) of glyphs at every angle, thickness and aspect."""
    patches = []
    for glyph, aspect, angle in product(glyphs, _ASPECTS, np.deg2rad(_ANGLES_DEG)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        scale = np.array([-aspect if mirrored else aspect, 1]) / (4, 6)
        lines = [
            [(int(point[0]), int(point[1])) for point in line.split()] for line in glyph.split(",")
        ]
        drawn = [np.array(line) * scale @ turn.T for line in lines]
        patches += [_draw_patch(drawn, thickness) for thickness in _THICKNESSES]
    return np.stack(patches)


def _draw_patch(lines: Sequence[NDArray[np.float64]], thickness: float) -> FloatImage:
    """Lines of a given thickness, both in any unit, in the middle of a patch."""
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    zoom = _FINER * _LETTER_PX / (float((high - low).max()) + thickness)
    canvas = np.zeros((_FINER * _PATCH_PX, _FINER * _PATCH_PX), np.uint8)
    for line in lines:
        at = (line - (low + high) / 2) * zoom + (_FINER * _PATCH_PX - 1) / 2
        corners = np.rint(at * 16).astype(np.int32)
        cv2.polylines(canvas, [corners], False, 255, round(zoom * thickness), cv2.LINE_8, 4)
    size = (_PATCH_PX, _PATCH_PX)
    return _to_unit(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA))
