import numpy as np
import pytest

from kneegrade.phantoms.anatomy import LANDMARK_NAMES, draw_knee_anatomy
from kneegrade.phantoms.exposure import expose_film, film_grid
from kneegrade.types import Grades, Side, Task

HEALTHY = Grades(
    dict.fromkeys((Task.FO_L, Task.FO_M, Task.TO_L, Task.TO_M, Task.JSN_L, Task.JSN_M), 0)
)
SIZE = {"spacing_mm": 0.4, "size_mm": (160.0, 130.0)}


def film_of(side: Side, seed: int = 1):
    knee = draw_knee_anatomy(side=side, grades=HEALTHY, rng=np.random.default_rng(seed))
    return knee, expose_film(knee, **SIZE, rng=np.random.default_rng(9))


def mean_around(film, point, half=3):
    row, col = np.rint(point).astype(int)
    return film[row - half : row + half + 1, col - half : col + half + 1].mean()


def test_a_film_is_12_bit_with_bone_bright_and_air_black():
    knee, film = film_of(Side.RIGHT)
    assert film.dtype == np.uint16
    assert film.shape == (400, 325)
    assert film.max() <= 4095
    to_px = film_grid(**SIZE).to_px
    tibia = mean_around(film, to_px(knee.landmarks_mm + np.array([25, 0]))[4])
    flank = mean_around(film, to_px(knee.landmarks_mm + np.array([35, 0]))[8])
    air = film[200, -8:].mean()
    assert tibia > 2 * flank > 4 * air
    assert air < 150


def test_the_joint_space_is_darker_than_the_bone_on_either_side():
    knee, film = film_of(Side.LEFT)
    points = dict(zip(LANDMARK_NAMES, film_grid(**SIZE).to_px(knee.landmarks_mm), strict=True))
    for upper, lower in (("f1", "t1"), ("f5", "t7")):
        gap = mean_around(film, (points[upper] + points[lower]) / 2, half=1)
        for bone in (points[upper] - (10, 0), points[lower] + (10, 0)):
            assert gap < 0.75 * mean_around(film, bone)


def test_landmarks_lie_where_the_film_turns_from_bone_to_joint_space():
    knee, film = film_of(Side.RIGHT)
    points = dict(zip(LANDMARK_NAMES, film_grid(**SIZE).to_px(knee.landmarks_mm), strict=True))
    for name, towards_joint in (("f1", 1), ("f5", 1), ("t1", -1), ("t7", -1)):
        row, col = np.rint(points[name]).astype(int)
        column = film[:, col - 2 : col + 3].mean(axis=1)
        steps = towards_joint * np.diff(column)[row - 5 : row + 5]
        edge = row - 5 + steps.argmin() + 0.5
        assert abs(edge - points[name][0]) < 1.5, name


def test_the_same_seed_gives_the_same_film_and_another_one_another_noise():
    knee, film = film_of(Side.RIGHT)
    assert np.array_equal(film, film_of(Side.RIGHT)[1])
    other = expose_film(knee, **SIZE, rng=np.random.default_rng(10))
    assert not np.array_equal(film, other)
    assert np.corrcoef(film.ravel(), other.ravel())[0, 1] > 0.99


def test_a_left_film_is_a_mirrored_right_film_but_for_texture_and_noise():
    right, left = film_of(Side.RIGHT)[1], film_of(Side.LEFT)[1]
    assert np.corrcoef(left[:, ::-1].ravel(), right.ravel())[0, 1] > 0.99
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] < 0.98


@pytest.mark.parametrize(
    ("spacing_mm", "size_mm"), [(0, (100, 100)), (2, (100, 100)), (0.2, (10, 100))]
)
def test_a_film_out_of_range_is_refused(spacing_mm, size_mm):
    with pytest.raises(ValueError, match="Got"):
        film_grid(spacing_mm=spacing_mm, size_mm=size_mm)
