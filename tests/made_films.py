"""Drawn knees in files, for tests of whatever reads one."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from kneegrade.phantoms.films import PhantomKnee, draw_phantom
from kneegrade.types import Grades, Side, Task

CROP_MM = (100.0, 100.0)
FILM_MM = (200.0, 140.0)
FEATURES_OF_KL = {0: (0, 0), 1: (1, 0), 2: (1, 1), 3: (2, 2), 4: (3, 3)}
"""Grades of all osteophytes and of the medial narrowing that make a KL grade."""


@cache
def draw_knee(
    side: Side = Side.RIGHT, *, kl: int = 1, size_mm: tuple[float, float] = CROP_MM, seed: int = 1
) -> PhantomKnee:
    """A drawn knee: cropped to 224 px, or a film of 448 x 313 px for `FILM_MM`."""
    spur, narrowing = FEATURES_OF_KL[kl]
    spurs = dict.fromkeys((Task.FO_L, Task.FO_M, Task.TO_L, Task.TO_M), spur)
    return draw_phantom(
        side=side,
        grades=Grades({Task.KL: kl, Task.JSN_L: 0, Task.JSN_M: narrowing} | spurs),
        spacing_mm=100 / 224,
        size_mm=size_mm,
        rng=np.random.default_rng(seed),
    )


def write_picture(path: Path, knee: PhantomKnee, *, inverted: bool = False) -> Path:
    """Write a knee as an 8-bit picture; ``inverted`` makes bone dark."""
    pixels = (knee.pixels >> 4).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    found, data = cv2.imencode(path.suffix, 255 - pixels if inverted else pixels)
    assert found
    path.write_bytes(data.tobytes())
    return path
