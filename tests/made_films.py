"""Drawn knees in files, for tests of whatever reads one."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from kneegrade.phantoms.films.film import PhantomFilm, draw_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.severity import FEATURES, NARROWING, OSTEOPHYTES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.types import Grades, Radiograph, Side, SpacingSource, Task

CROP_MM = (100.0, 100.0)
FILM_MM = (200.0, 140.0)
WHOLE_FILM_MM = 0.4
"""Size of a pixel of `draw_whole_film`."""
NOTHING_IN_HEADER = dict.fromkeys(("ImageLaterality", "ViewPosition", "PatientOrientation"))
FEATURES_OF_KL = {
    0: {},
    1: {Task.TO_M: 1},
    2: dict.fromkeys(OSTEOPHYTES, 1),
    3: dict.fromkeys(OSTEOPHYTES, 2) | {Task.JSN_M: 2},
    4: dict.fromkeys(OSTEOPHYTES, 3) | {Task.JSN_M: 3},
}


@cache
def draw_knee(
    side: Side = Side.RIGHT, *, kl: int = 1, size_mm: tuple[float, float] = CROP_MM, seed: int = 1
) -> PhantomFilm:
    """A drawn knee: cropped to 224 px, or a film of 448 x 314 px for `FILM_MM`."""
    rng = np.random.default_rng(seed)
    features = dict.fromkeys((*OSTEOPHYTES, *NARROWING), 0) | FEATURES_OF_KL[kl]
    return draw_film(
        body=draw_body(sex="female", bmi=27, rng=rng),
        knees={side: Severity.from_grades(Grades({Task.KL: kl, **features}), rng)},
        scanner=SCANNERS["oai-cr-a"],
        size_mm=size_mm,
        spacing_mm=100 / 224,
        rng=rng,
    )


@cache
def draw_whole_film(*sides: Side, implant: Side | None = None, seed: int = 5) -> PhantomFilm:
    """A whole film of healthy knees, 0.4 mm a pixel; the knee ``implant`` is a prosthesis."""
    rng = np.random.default_rng(seed)
    healthy = Severity(dict.fromkeys(FEATURES, 0.3))
    return draw_film(
        body=draw_body(sex="male", bmi=28, rng=rng),
        knees={side: None if side is implant else healthy for side in sides},
        scanner=SCANNERS["oai-cr-a"],
        spacing_mm=WHOLE_FILM_MM,
        rng=rng,
    )


def whole_radiograph(pixels: np.ndarray, *, mm: float = WHOLE_FILM_MM) -> Radiograph:
    """A radiograph without a side, of pixels of a known size."""
    return Radiograph(
        pixels.astype(np.float32),
        "1.2.3",
        spacing_mm=(mm, mm),
        spacing_source=SpacingSource.DETECTOR_PLANE,
    )


def write_picture(path: Path, knee: PhantomFilm, *, inverted: bool = False) -> Path:
    """Write a knee as an 8-bit picture; ``inverted`` makes bone dark."""
    pixels = (knee.pixels >> 4).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    found, data = cv2.imencode(path.suffix, 255 - pixels if inverted else pixels)
    assert found
    path.write_bytes(data.tobytes())
    return path
