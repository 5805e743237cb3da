"""Draw the films of the demonstration: python demo/make_films.py [FOLDER].

Writes FOLDER/films/ and FOLDER/truth.csv (FOLDER is this script's own folder by default).
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from kneegrade.phantoms.films import (
    PhantomKnee,
    draw_phantom,
    write_dicom_film,
    write_raster_film,
)
from kneegrade.types import Grades, Side, Task

TASKS = (Task.FO_L, Task.FO_M, Task.TO_L, Task.TO_M, Task.JSN_L, Task.JSN_M)
SYNTAXES = {"jpegls": JPEGLSLossless, "jpeg2000": JPEG2000Lossless, "rle": RLELossless}


@dataclass(frozen=True)
class DemoFilm:
    """One film of the demonstration; ``features`` are the grades in the order of `TASKS`."""

    file: str
    side: Side
    features: tuple[int, int, int, int, int, int]
    seed: int
    note: str
    spacing_mm: float = 0.2
    size_mm: tuple[float, float] = (180, 140)
    syntax: str = "jpegls"
    header_complete: bool = True
    inverted: bool = False

    def draw(self) -> PhantomKnee:
        """The film and its truth; the same every time."""
        return draw_phantom(
            side=self.side,
            grades=Grades(dict(zip(TASKS, self.features, strict=True))),
            spacing_mm=self.spacing_mm,
            size_mm=self.size_mm,
            rng=np.random.default_rng(self.seed),
            marker=self.size_mm[0] > 120,
        )

    def write(self, path: Path, knee: PhantomKnee) -> None:
        """In the format that the file's name says."""
        if path.suffix == ".dcm":
            write_dicom_film(
                path,
                knee.pixels,
                side=knee.side,
                spacing_mm=knee.spacing_mm,
                header_complete=self.header_complete,
                inverted=self.inverted,
                transfer_syntax=SYNTAXES[self.syntax],
            )
        else:
            write_raster_film(path, knee.pixels)


R, L = Side.RIGHT, Side.LEFT
FILMS = (
    DemoFilm("01-normal-right.dcm", R, (0, 0, 0, 0, 0, 0), 101, "complete header, JPEG-LS"),
    DemoFilm(
        "02-normal-left.dcm",
        *(L, (0, 0, 0, 0, 0, 0), 102, "no side, view or orientation in the header, JPEG 2000"),
        syntax="jpeg2000",
        header_complete=False,
    ),
    DemoFilm(
        "03-mild-right.png",
        *(R, (1, 2, 1, 2, 0, 1), 103, "picture without a header"),
        spacing_mm=0.22,
        size_mm=(160, 132),
    ),
    DemoFilm("04-moderate-medial-left.dcm", L, (1, 2, 1, 2, 0, 2), 104, "complete header, JPEG-LS"),
    DemoFilm(
        "05-severe-lateral-right.tif",
        *(R, (3, 2, 3, 1, 3, 0), 105, "picture without a header, valgus"),
        spacing_mm=0.22,
        size_mm=(160, 132),
    ),
    DemoFilm("06-severe-medial-left.jpg", L, (1, 3, 2, 3, 0, 3), 106, "JPEG with loss, varus"),
    DemoFilm(
        "07-cropped-right.png",
        *(R, (0, 1, 1, 2, 0, 1), 115, "cropped to 100 mm about the joint, no side marker"),
        spacing_mm=100 / 300,
        size_mm=(100, 100),
    ),
    DemoFilm(
        "08-inverted-right.dcm",
        *(R, (1, 1, 1, 2, 0, 2), 108, "MONOCHROME1: stored as a negative, RLE"),
        spacing_mm=0.25,
        syntax="rle",
        inverted=True,
    ),
)


def main(folder: Path) -> None:
    """Write every film and the table of their truth."""
    films = folder / "films"
    films.mkdir(parents=True, exist_ok=True)
    with (folder / "truth.csv").open("w", newline="") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow(["file", "side", "kl", *(task.value for task in TASKS), "note"])
        for film in FILMS:
            knee = film.draw()
            film.write(films / film.file, knee)
            grades = [knee.grades[task] for task in (Task.KL, *TASKS)]
            table.writerow([film.file, knee.side.value, *grades, film.note])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
