import numpy as np
import pytest

from kneegrade.phantoms.films.film import (
    BOTH_KNEES_MM,
    LEAST_EDGE_MM,
    draw_film,
    draw_hand_film,
)
from kneegrade.phantoms.films.scanners import MOST_SCANNERS, OAI_SCANNERS, SCANNERS
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.terms import LANDMARK_NAMES
from kneegrade.types import Side, Task

HEALTHY = Severity(dict.fromkeys(FEATURES, 0.5))
WORN = Severity({**dict.fromkeys(FEATURES, 0.5), Task.JSN_M: 3.5})
CR = SCANNERS["oai-cr-a"]


def taken(knees, scanner=CR, seed=1, **more):
    rng = np.random.default_rng(seed)
    more = {"spacing_mm": 0.4, **more}
    body = draw_body(sex="female", bmi=26, rng=rng)
    return draw_film(body=body, knees=knees, scanner=scanner, rng=rng, **more)


def mean_around(pixels, point, half=2):
    row, col = np.rint(point).astype(int)
    return pixels[row - half : row + half + 1, col - half : col + half + 1].mean()


@pytest.fixture(scope="module")
def both():
    return taken({Side.RIGHT: HEALTHY, Side.LEFT: WORN})


def test_a_film_of_both_knees_has_the_right_one_at_the_lesser_columns(both):
    assert both.pixels.shape == tuple(round(mm / 0.4) for mm in BOTH_KNEES_MM)
    right, left = (both.knees[side].landmarks_px for side in (Side.RIGHT, Side.LEFT))
    assert right[:, 1].max() < left[:, 1].min()
    assert right[0, 1] < right[8, 1], "lateral is at the film's left edge for a right knee"
    assert left[0, 1] > left[8, 1]
    assert both.knees[Side.LEFT].joint_space_mm[Task.JSN_M] < 1.5
    assert both.knees[Side.RIGHT].severity is HEALTHY


@pytest.mark.parametrize("name", SCANNERS)
def test_bone_is_bright_the_joint_space_darker_air_black(name):
    scanner = SCANNERS[name]
    film = taken({Side.LEFT: HEALTHY}, scanner, spacing_mm=0.3)
    assert film.pixels.dtype == np.uint16
    assert film.pixels.max() <= scanner.white == 2**film.bits_stored - 1
    points = dict(zip(LANDMARK_NAMES, film.knees[Side.LEFT].landmarks_px, strict=True))
    for upper, lower in (("f1", "t1"), ("f5", "t7")):
        gap = mean_around(film.pixels, (points[upper] + points[lower]) / 2, half=1)
        for bone in (points[upper] - (20, 0), points[lower] + (20, 0)):
            assert gap < 0.9 * mean_around(film.pixels, bone)
    assert film.pixels[300:500, -60:-50].mean() < 0.12 * scanner.white


@pytest.mark.parametrize("spacing_mm", [0.15, 0.3])
def test_landmarks_lie_where_the_film_turns_from_bone_to_joint_space(spacing_mm):
    for seed in range(3):
        film = taken({Side.RIGHT: HEALTHY}, seed=seed, spacing_mm=spacing_mm)
        points = dict(zip(LANDMARK_NAMES, film.knees[Side.RIGHT].landmarks_px, strict=True))
        for name, towards_joint in (("f1", 1), ("f5", 1), ("t7", -1)):
            row, col = np.rint(points[name]).astype(int)
            reach = round(1.5 / spacing_mm)
            near = film.pixels[row - reach : row + reach + 1, col - 2 : col + 3].mean(axis=1)
            steps = towards_joint * np.diff(near)
            edge = row - reach + steps.argmin() + 0.5
            assert abs(edge - points[name][0]) * spacing_mm < 0.45, (seed, name)


def test_the_same_seed_gives_the_same_film_and_another_one_another():
    first = taken({Side.RIGHT: HEALTHY}, size_mm=(100, 100))
    assert np.array_equal(first.pixels, taken({Side.RIGHT: HEALTHY}, size_mm=(100, 100)).pixels)
    other = taken({Side.RIGHT: HEALTHY}, size_mm=(100, 100), seed=2)
    assert not np.array_equal(first.pixels, other.pixels)


def test_every_film_is_stamped_away_from_its_joints(both):
    rows, cols = both.pixels.shape
    corner = both.pixels[-rows // 12 :, : cols // 6]
    assert (corner == both.scanner.white).sum() > 40
    assert both.knees[Side.RIGHT].landmarks_px[:, 0].max() < rows * 0.8


def test_scanners_of_the_two_studies_differ_in_look():
    assert not set(OAI_SCANNERS) & set(MOST_SCANNERS)
    assert set(OAI_SCANNERS) | set(MOST_SCANNERS) == set(SCANNERS)
    shown = [
        taken({Side.RIGHT: HEALTHY}, SCANNERS[name]).pixels / SCANNERS[name].white
        for name in ("oai-film", "most-dx")
    ]
    assert np.abs(shown[0] - shown[1]).mean() > 0.05


def test_beads_of_the_frame_stand_between_the_knees(both):
    middle = np.mean([knee.landmarks_px[4, 1] for knee in both.knees.values()])
    strip = both.pixels[:, round(middle) - 2 : round(middle) + 3].max(axis=1)
    assert (np.diff((strip > 0.8 * both.scanner.white).astype(int)) == 1).sum() >= 10


def test_an_implant_is_white_and_has_nothing_to_grade():
    film = taken({Side.RIGHT: None})
    knee = film.knees[Side.RIGHT]
    assert (knee.severity, dict(knee.joint_space_mm)) == (None, {})
    row, col = np.rint(knee.landmarks_px[4]).astype(int)
    keel = film.pixels[row + 30 : row + 60, col - 3 : col + 4]
    assert keel.min() > 0.8 * film.scanner.white


def test_a_hand_film_shows_no_knee():
    film = draw_hand_film(scanner=CR, spacing_mm=0.5, rng=np.random.default_rng(0))
    assert film.pixels.shape == (480, 360)
    assert not film.knees


@pytest.mark.parametrize(
    ("knees", "more"),
    [
        ({}, {}),
        ({Side.RIGHT: HEALTHY}, {"spacing_mm": 0}),
        ({Side.RIGHT: HEALTHY}, {"spacing_mm": 3}),
        ({Side.RIGHT: HEALTHY}, {"size_mm": (90, 200)}),
        ({Side.RIGHT: HEALTHY, Side.LEFT: HEALTHY}, {"size_mm": (200, 4 * LEAST_EDGE_MM - 1)}),
        ({Side.RIGHT: HEALTHY}, {"size_mm": (200, 700)}),
    ],
)
def test_what_does_not_fit_is_refused(knees, more):
    with pytest.raises(ValueError, match="Got"):
        taken(knees, **more)


def test_knees_stay_off_the_edges_and_apart_on_the_smallest_film():
    for seed in range(8):
        film = taken(
            {Side.RIGHT: HEALTHY, Side.LEFT: HEALTHY}, seed=seed, size_mm=(100, 200), spacing_mm=1
        )
        right, left = (film.knees[side].landmarks_px[4, 1] for side in (Side.RIGHT, Side.LEFT))
        assert 48 <= right <= 51
        assert 148 <= left <= 151
