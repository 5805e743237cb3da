"""Draw the films of the demonstration: python demo/make_films.py [FOLDER].

Writes FOLDER/films/ and FOLDER/truth.csv (FOLDER is this script's own folder by default).
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from kneegrade.images.raster import SYNTHETIC_TEXT
from kneegrade.phantoms.films.dicom_film import write_dicom_film
from kneegrade.phantoms.films.film import PhantomFilm, draw_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.severity import NARROWING, OSTEOPHYTES, Severity
from kneegrade.phantoms.knees.shape import Sex, draw_body
from kneegrade.types import Side, Task

TASKS = (*OSTEOPHYTES, *NARROWING)
SYNTAXES = {"jpegls": JPEGLSLossless, "jpeg2000": JPEG2000Lossless, "rle": RLELossless}
BARE_HEADER = dict.fromkeys(("ImageLaterality", "ViewPosition", "PatientOrientation"))


@dataclass(frozen=True)
class DemoFilm:
    """One film of the demonstration.

    ``features`` are the grades in the order of `TASKS`; None: the knee is replaced.
    """

    file: str
    side: Side
    features: tuple[int, int, int, int, int, int] | None
    seed: int
    note: str
    sex: Sex = "female"
    scanner: str = "oai-cr-a"
    spacing_mm: float = 0.22
    size_mm: tuple[float, float] = (180, 140)
    syntax: str = "jpegls"
    header_complete: bool = True
    inverted: bool = False

    def draw(self) -> PhantomFilm:
        """The film and its truth; the same every time."""
        rng = np.random.default_rng(self.seed)
        body = draw_body(sex=self.sex, bmi=27, rng=rng)
        severity = None
        if self.features is not None:
            severity = Severity.from_grades(dict(zip(TASKS, self.features, strict=True)), rng)
        return draw_film(
            body=body,
            knees={self.side: severity},
            scanner=SCANNERS[self.scanner],
            spacing_mm=self.spacing_mm,
            size_mm=self.size_mm,
            rng=rng,
        )

    def write(self, path: Path, film: PhantomFilm) -> None:
        """In the format that the file's name says; a picture has 8 bits, and a text as its mark."""
        if path.suffix == ".dcm":
            write_dicom_film(
                path,
                film,
                header={} if self.header_complete else BARE_HEADER,
                inverted=self.inverted,
                transfer_syntax=SYNTAXES[self.syntax],
            )
        else:
            picture = Image.fromarray((film.pixels >> (film.bits_stored - 8)).astype(np.uint8))
            options: dict[str, Any] = {
                ".png": {"pnginfo": _png_text(), "optimize": True},
                ".tif": {
                    "description": SYNTHETIC_TEXT,
                    "compression": "tiff_lzw",
                    "tiffinfo": {317: 2},
                },
                ".jpg": {"comment": SYNTHETIC_TEXT, "quality": 95},
            }[path.suffix]
            picture.save(path, **options)


def _png_text() -> PngInfo:
    text = PngInfo()
    text.add_text("Description", SYNTHETIC_TEXT)
    return text


R, L = Side.RIGHT, Side.LEFT
FILMS = (
    DemoFilm("01-normal-right.dcm", R, (0, 0, 0, 0, 0, 0), 101, "complete header, JPEG-LS"),
    DemoFilm(
        "02-normal-left.dcm",
        *(L, (0, 0, 0, 0, 0, 0), 126, "no side, view or orientation in the header, JPEG 2000"),
        sex="male",
        syntax="jpeg2000",
        header_complete=False,
    ),
    DemoFilm(
        "03-mild-right.png",
        *(R, (1, 2, 1, 2, 0, 1), 103, "picture without a header"),
        scanner="most-cr",
    ),
    DemoFilm("04-moderate-medial-left.dcm", L, (1, 2, 1, 2, 0, 2), 104, "complete header, JPEG-LS"),
    DemoFilm(
        "05-severe-lateral-right.tif",
        *(R, (3, 2, 3, 1, 3, 0), 105, "picture without a header, valgus"),
        scanner="oai-cr-b",
    ),
    DemoFilm(
        "06-severe-medial-left.jpg",
        *(L, (1, 3, 2, 3, 0, 3), 106, "JPEG with loss, varus"),
        sex="male",
    ),
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
    DemoFilm(
        "09-implant-left.dcm",
        *(L, None, 109, "knee prosthesis: there is nothing to grade"),
        scanner="oai-dx",
        spacing_mm=0.25,
    ),
)


def main(folder: Path) -> None:
    """Write every film and the table of their truth."""
    films = folder / "films"
    films.mkdir(parents=True, exist_ok=True)
    with (folder / "truth.csv").open("w", newline="") as handle:
        table = csv.writer(handle, lineterminator="\n")
        columns = (Task.KL, *TASKS)
        table.writerow(["file", "side", *(task.value for task in columns), "note"])
        for film in FILMS:
            drawn = film.draw()
            film.write(films / film.file, drawn)
            severity = drawn.knees[film.side].severity
            grades = [severity.grades[task] if severity else "" for task in columns]
            table.writerow([film.file, film.side.value, *grades, film.note])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
