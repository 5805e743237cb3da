"""The films that ship are those that the script draws."""

import csv
import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from kneegrade.images.read import read_radiograph
from kneegrade.phantoms.knees.severity import NARROWING, OSTEOPHYTES
from kneegrade.types import Flag, Task

DEMO = Path(__file__).parents[3] / "demo"


@pytest.fixture(scope="module")
def films():
    spec = importlib.util.spec_from_file_location("make_films", DEMO / "make_films.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield {film.file: film for film in module.FILMS}
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def truth():
    with (DEMO / "truth.csv").open(newline="") as handle:
        return {row["file"]: row for row in csv.DictReader(handle)}


def test_every_film_is_there_and_together_they_are_small(films, truth):
    on_disk = {path.name: path.stat().st_size for path in (DEMO / "films").iterdir()}
    assert set(on_disk) == set(films) == set(truth)
    assert sum(on_disk.values()) < 6e6
    assert max(on_disk.values()) < 1.5e6


def test_every_film_says_that_it_is_synthetic(truth):
    for name in truth:
        assert Flag.SYNTHETIC in read_radiograph(DEMO / "films" / name).flags, name


@pytest.mark.parametrize("name", ["07-cropped-right.png", "08-inverted-right.dcm"])
def test_a_film_drawn_again_has_the_same_pixels(films, truth, name):
    """Within 2 of 255 grey levels: other processors round the last bits differently."""
    drawn = films[name].draw()
    path = DEMO / "films" / name
    if path.suffix == ".dcm":
        shipped = (4095 - pydicom.dcmread(path).pixel_array) >> 4
    else:
        shipped = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert np.abs(shipped.astype(int) - (drawn.pixels >> 4)).max() <= 2
    row = truth[name]
    ((side, knee),) = drawn.knees.items()
    assert row["side"] == side.value
    for task in (Task.KL, *OSTEOPHYTES, *NARROWING):
        assert int(row[task.value]) == knee.severity.grades[task]
