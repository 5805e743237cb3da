"""Measure how fast films of both knees are drawn at full size, against compressing them.

Usage: python benchmarks/phantom_speed.py [N]

Draws N films (12 by default) of every scanner in turn in two processes, then compresses the same
films (JPEG-LS, DICOM) in two processes. Prints films a second and the ratio of the times.
"""

import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from kneegrade.phantoms.films.dicom_film import write_dicom_film
from kneegrade.phantoms.films.film import PhantomFilm, draw_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.phantoms.studies.population import Study, draw_subject

N_WORKERS = 2


def draw(number: int) -> PhantomFilm:
    """The first film of a subject, at its scanner's own spacing."""
    subject = draw_subject(Study.OAI, number, 0)
    rng = np.random.default_rng(number)
    return draw_film(
        body=draw_body(sex=subject.sex, bmi=subject.bmi, rng=rng),
        knees=subject.visits[0].severity,
        scanner=SCANNERS[tuple(SCANNERS)[number % len(SCANNERS)]],
        rng=rng,
    )


def draw_only(number: int) -> int:
    """As `draw`, without sending the film back; its number of pixels."""
    return int(draw(number).pixels.size)


def compress(number: int) -> float:
    """Seconds that compressing and writing one film takes."""
    film = draw(number)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_dicom_film(Path(folder) / "film.dcm", film)
        return time.perf_counter() - start


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    with get_context("spawn").Pool(N_WORKERS) as pool:
        pool.map(draw_only, range(N_WORKERS))  # imports
        start = time.perf_counter()
        sizes = pool.map(draw_only, range(count), chunksize=1)
        drawing = time.perf_counter() - start
        compressing = sum(pool.map(compress, range(count), chunksize=1)) / N_WORKERS
    print(
        f"{count} films of {min(sizes) / 1e6:.1f} to {max(sizes) / 1e6:.1f} megapixels, "
        f"{N_WORKERS} processes: {count / drawing:.2f} drawn a second, "
        f"{count / (drawing + compressing):.2f} drawn and written; "
        f"drawing takes {drawing / compressing:.1f} times as long as compressing"
    )


if __name__ == "__main__":
    main()
