"""Lead letters read on drawn films and on plain ones, and the time it takes.

Usage: python benchmarks/markers.py [N] [--plain FOLDER] [--letters NAME=L ...]
       (60 films)

Phantom films of one knee or both, over every scanner: with their bright letters, mirrored, with no
letters, with dark letters on bright plates, and with single characters that are no R or L. The
landmarks are the truth's. ``--plain`` names a folder of pictures, whose landmarks are the embedded
locator's; ``--letters`` names those of them that carry a letter. Letters are found (the right one,
at its place), mistaken (another one there, or mirrored wrongly) or false (anywhere else).
"""

import argparse
import string
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from kneegrade.bundles.manifest import read_bundle
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.locating.markers import read_markers
from kneegrade.phantoms.films import film as films
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side

SPACING_MM = 0.2
CORNER_MM = 70.0
"""A letter lies so near to the upper edge, and to the one on its knee's side."""
OTHERS = [c for c in string.ascii_uppercase + string.digits if c not in "RL"]
SIDES = ((Side.RIGHT,), (Side.LEFT,), (Side.RIGHT, Side.LEFT))


@dataclass(frozen=True, eq=False)
class Film:
    """Pixels, landmarks, and the letters on it: side to (row, col) or None where not known."""

    pixels: np.ndarray
    landmarks: list[Landmarks]
    letters: dict[Side, tuple[float, float] | None]
    mirrored: bool = False


def draw_phantom(i: int, *, letters: bool) -> Film:
    """Film ``i`` of a series; without letters where they are to be drawn later."""
    rng = np.random.default_rng(i)
    scanner = list(SCANNERS.values())[i % len(SCANNERS)]
    sides = SIDES[(i // len(SCANNERS) + i) % 3]
    body = draw_body(sex="female" if i % 2 else "male", bmi=20 + i % 15, rng=rng)
    knees = {side: Severity(dict.fromkeys(FEATURES, rng.uniform(0, 3))) for side in sides}

    def draw() -> films.PhantomFilm:
        spacing = max(scanner.spacing_mm, SPACING_MM)
        return films.draw_film(body=body, knees=knees, scanner=scanner, spacing_mm=spacing, rng=rng)

    if letters:
        drawn = draw()
    else:
        with patch.object(films, "_add_markers", lambda *_: None):
            drawn = draw()
    return Film(
        drawn.pixels.astype(np.float32),
        [as_landmarks(side, knee.landmarks_px) for side, knee in drawn.knees.items()],
        dict.fromkeys(sides) if letters else {},
    )


def as_landmarks(side: Side, points_px: np.ndarray) -> Landmarks:
    return Landmarks(side, LandmarkScheme.KNEEL_16, points_px, np.ones(16))


def mirror(film: Film) -> Film:
    last = film.pixels.shape[1] - 1
    turned = [
        as_landmarks(knee.side.other, knee.points_px * (1, -1) + (0, last))
        for knee in film.landmarks
    ]
    return Film(film.pixels[:, ::-1], turned, film.letters, mirrored=True)


def add_character(film: Film, text: str, side: Side, rng: np.random.Generator, plate: bool) -> Film:
    """A character near the upper corner of its side: bright, or dark on a bright plate."""
    height = rng.uniform(8, 15) / SPACING_MM
    size = round(2.2 * height)
    canvas = np.zeros((8 * size, 8 * size), np.uint8)
    scale, line = 8 * height / 22, round(8 * height * rng.uniform(0.12, 0.2))
    font = cv2.FONT_HERSHEY_SIMPLEX
    (wide, tall), _ = cv2.getTextSize(text, font, scale, line)
    cv2.putText(canvas, text, (4 * size - wide // 2, 4 * size + tall // 2), font, scale, 255, line)
    turn = cv2.getRotationMatrix2D((4 * size, 4 * size), rng.uniform(-20, 20), 1)
    letter = cv2.resize(cv2.warpAffine(canvas, turn, canvas.shape), (size, size), None, 0, 0, 3)
    share = letter.astype(np.float32) / 255
    pixels = film.pixels.copy()
    row, gap = (round(mm / SPACING_MM) for mm in rng.uniform(13, 25, 2))
    col = gap if side is Side.RIGHT else pixels.shape[1] - gap - size
    window = pixels[row : row + size, col : col + size]
    low, high = np.percentile(film.pixels, (5, 99.5))
    if plate:
        edge = size // 6
        window = window[edge:-edge, edge:-edge]
        share = share[edge:-edge, edge:-edge]
        window[:] = low + (high - low) * (0.85 - 0.5 * share)
    else:
        window += (high - window) * share
    letters = film.letters | {side: (row + size / 2, col + size / 2)} if text in "RL" else {}
    return Film(pixels, film.landmarks, letters)


def make_films(number: int) -> Iterator[tuple[str, Film]]:
    rng = np.random.default_rng(0)
    for i in range(number):
        drawn = draw_phantom(i, letters=True)
        yield "bright letters", drawn
        yield "bright letters, mirrored", mirror(drawn)
        empty = draw_phantom(i, letters=False)
        yield "no letters", empty
        plates = empty
        for knee in empty.landmarks:
            plates = add_character(plates, knee.side.value[0].upper(), knee.side, rng, plate=True)
        yield "dark on a plate", plates
        yield "dark on a plate, mirrored", mirror(plates)
        for plate in (False, True):
            text = str(rng.choice(OTHERS))
            yield (
                "another character",
                add_character(empty, text, empty.landmarks[0].side, rng, plate),
            )


def read_plain(folder: Path, letters: dict[str, Side]) -> Iterator[tuple[str, Film]]:
    locator = KneeLocator(read_bundle("default").locator, n_threads=1)
    for path in sorted(folder.glob("*.jpg")):
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        landmarks = [knee.landmarks for knee in locator.locate(Radiograph(pixels, "0")).knees]
        own = {letters[path.stem]: None} if path.stem in letters else {}
        film = Film(pixels, landmarks, own)
        kind = "plain films, a letter" if own else "plain films, none"
        yield kind, film
        yield f"{kind}, mirrored", mirror(film)


def count(film: Film) -> Counter[str]:
    """Letters on a film, and what became of them."""
    counted = Counter(films=1, letters=len(film.letters))
    shape = film.pixels.shape
    for marker in read_markers(Radiograph(film.pixels, "0"), film.landmarks):
        row, col = marker.centre_px
        if film.mirrored:
            col = shape[1] - 1 - col
        near = {side for side in film.letters if is_near(film, side, (row, col))}
        if not near:
            counted["false"] += 1
        elif marker.side in near and marker.mirrored is film.mirrored:
            counted["found"] += 1
        else:
            counted["mistaken"] += 1
    return counted


def is_near(film: Film, side: Side, at: tuple[float, float]) -> bool:
    """Whether a reading lies where the letter of a side is; anywhere, if there is but one."""
    place = film.letters[side]
    if place is not None:
        return bool(np.linalg.norm(np.subtract(place, at)) < 10 / SPACING_MM)
    if len(film.landmarks) == 1:
        return True
    edge = at[1] if side is Side.RIGHT else film.pixels.shape[1] - 1 - at[1]
    return max(at[0], edge) < CORNER_MM / SPACING_MM


def milliseconds(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(9):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def print_time() -> None:
    """Reading a film of 2500 x 3000 px, against shrinking it by area alone."""
    film = draw_phantom(14, letters=True)
    zoom = (2500 / film.pixels.shape[0], 3000 / film.pixels.shape[1])
    pixels = cv2.resize(film.pixels, (3000, 2500))
    knees = [as_landmarks(knee.side, knee.points_px * zoom) for knee in film.landmarks]
    radiograph = Radiograph(pixels, "0")
    reading = milliseconds(lambda: read_markers(radiograph, knees))
    small = (1040, 867)
    shrinking = milliseconds(lambda: cv2.resize(pixels, small, interpolation=cv2.INTER_AREA))
    print(f"2500 x 3000 px, {len(knees)} knees: {reading:.1f} ms of one core")
    print(f"reading / shrinking by area = {reading / shrinking:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Lead letters read on drawn and plain films.")
    parser.add_argument("number", type=int, nargs="?", default=60, metavar="N")
    parser.add_argument("--plain", type=Path, metavar="FOLDER")
    parser.add_argument("--letters", nargs="*", default=[], metavar="NAME=L")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    letters = {name: Side.parse(side) for name, side in (x.split("=") for x in args.letters)}
    counts: dict[str, Counter[str]] = {}
    for kind, film in make_films(args.number):
        counts.setdefault(kind, Counter()).update(count(film))
    for kind, film in read_plain(args.plain, letters) if args.plain else ():
        counts.setdefault(kind, Counter()).update(count(film))
    columns = ("films", "letters", "found", "mistaken", "false")
    print(f"{'':32}" + "".join(f"{name:>10}" for name in columns))
    for kind, counted in counts.items():
        print(f"{kind:32}" + "".join(f"{counted[name]:10}" for name in columns))
    print_time()


if __name__ == "__main__":
    main()
