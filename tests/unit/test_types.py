from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from kneegrade.types import (
    Flag,
    Grades,
    KneePrediction,
    KneeROI,
    Landmarks,
    LandmarkScheme,
    Radiograph,
    Side,
    SpacingSource,
    Task,
    plateau_ends,
    plateau_width,
)

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
MIRROR = np.array([[1.0, 0, 0], [0, -1, 7]])
EVEN = np.full(5, 0.2)


def roi(**changes: Any) -> KneeROI:
    values: dict[str, Any] = {
        "side": Side.RIGHT,
        "pixels": np.linspace(0, 1, 64).reshape(8, 8),
        "to_radiograph": IDENTITY,
        "mirrored": False,
        "source_id": "1.2.3",
    }
    return KneeROI(**values | changes)


def prediction(**changes: Any) -> KneePrediction:
    values: dict[str, Any] = {
        "side": Side.LEFT,
        "grades": Grades({Task.KL: 2}),
        "probabilities": {Task.KL: EVEN},
        "bundle_id": "b",
        "source_id": "1.2.3",
    }
    return KneePrediction(**values | changes)


@pytest.mark.parametrize("text", ["right", "R", "r", " Right\n", "RIGHT"])
def test_sides_are_parsed(text: str) -> None:
    assert Side.parse(text) is Side.RIGHT
    assert Side.parse(text).other is Side.LEFT
    assert Side.parse(text).other.other is Side.RIGHT


@pytest.mark.parametrize("text", ["", "rechts", "L R", "b", "1", "ri"])
def test_no_side(text: str) -> None:
    with pytest.raises(ValueError, match="right or left"):
        Side.parse(text)


def test_every_task_has_a_scale_and_a_label_of_its_own() -> None:
    assert {task for task in Task if task.n_grades == 5} == {Task.KL}
    assert {task.n_grades for task in Task} == {4, 5}
    assert len({task.label for task in Task}) == len(Task)
    assert list(Task)[:7] == ["kl", "fo_l", "fo_m", "to_l", "to_m", "jsn_l", "jsn_m"]


def test_grades_are_a_mapping() -> None:
    given = {Task.KL: np.int8(4), Task.JSN_M: 3}
    grades = Grades(given)
    given[Task.KL] = 0
    assert dict(grades) == {Task.KL: 4, Task.JSN_M: 3}
    assert type(grades[Task.KL]) is int
    assert grades.get(Task.FO_L) is None
    assert grades == Grades({Task.JSN_M: 3, Task.KL: 4}) != Grades({Task.KL: 4})
    assert len(Grades()) == 0


@pytest.mark.parametrize("grade", [1.9, 2.0, True, "2", None, np.float32(1)])
def test_a_grade_that_is_no_integer(grade: object) -> None:
    with pytest.raises(TypeError, match="integer"):
        Grades({Task.KL: grade})  # type: ignore[dict-item]


@pytest.mark.parametrize(("task", "grade"), [(Task.KL, 5), (Task.KL, -1), (Task.JSN_L, 4)])
def test_a_grade_off_its_scale(task: Task, grade: int) -> None:
    with pytest.raises(ValueError, match=task.value):
        Grades({task: grade})


def test_a_grade_of_no_task() -> None:
    with pytest.raises(TypeError, match="Task"):
        Grades({"kl": 1})  # type: ignore[dict-item]


def test_grades_cannot_be_changed() -> None:
    grades = Grades({Task.KL: 1})
    with pytest.raises(TypeError):
        grades.values_by_task[Task.KL] = 2  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        grades.values_by_task = {}  # type: ignore[misc]


def test_a_radiograph_keeps_a_copy_that_cannot_be_written() -> None:
    pixels = np.ones((3, 4), np.float32)
    radiograph = Radiograph(pixels, "id")
    pixels[0, 0] = 7
    assert radiograph.pixels[0, 0] == 1
    assert radiograph.pixels.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        radiograph.pixels[0, 0] = 2


def test_an_array_that_nobody_can_write_is_not_copied() -> None:
    """A view of one that somebody can is."""
    first = Radiograph(np.ones((3, 4), np.float32), "id")
    assert replace(first, source_id="other").pixels is first.pixels
    writable = np.ones((3, 4), np.float32)
    view = writable[:]
    view.setflags(write=False)
    for given in (writable, view, first.pixels[:2]):
        assert not np.shares_memory(Radiograph(given, "id").pixels, given)
    assert writable.flags.writeable, "the caller's array stays the caller's"
    doubles = np.ones((3, 4))
    doubles.setflags(write=False)
    assert Radiograph(doubles, "id").pixels.dtype == np.float32
    landmarks = knee_landmarks()
    moved = replace(landmarks, flags=frozenset({Flag.SIDE_FROM_PICTURE}))
    assert moved.points_px is landmarks.points_px


def knee_landmarks() -> Landmarks:
    points = np.random.default_rng(0).uniform(0, 100, (16, 2))
    return Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))


def test_the_plateau_lies_between_its_lateral_and_its_medial_end() -> None:
    landmarks = knee_landmarks()
    points = landmarks.points_px
    np.testing.assert_array_equal(landmarks.plateau_px, points[[0, 8]])
    np.testing.assert_array_equal(plateau_ends(points), points[[0, 8]])
    row, col = points[8] - points[0]
    assert plateau_width(points) == pytest.approx(np.hypot(row, col))
    assert landmarks.measure_plateau() == plateau_width(points)
    assert landmarks.measure_plateau((0.3, 0.2)) == pytest.approx(np.hypot(0.3 * row, 0.2 * col))


@pytest.mark.parametrize(
    "pixels", [np.zeros(4), np.zeros((0, 4)), np.zeros((2, 2, 3)), np.full((2, 2), np.nan)], ids=str
)
def test_pixels_of_a_radiograph(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels"):
        Radiograph(pixels, "id")


@pytest.mark.parametrize("spacing", [(0.1,), (0.1, 0.0), (-1.0, 1.0), (np.nan, 1.0), (np.inf, 1.0)])
def test_spacing(spacing: Any) -> None:
    with pytest.raises(ValueError, match="size of a pixel"):
        Radiograph(np.zeros((2, 2)), "id", spacing, SpacingSource.CALLER)
    with pytest.raises(ValueError, match="size of a pixel"):
        roi(spacing_mm=spacing)


def test_the_shape_of_a_pixel() -> None:
    unknown = Radiograph(np.zeros((2, 2)), "id", pixel_aspect=0.8)
    assert unknown.pixel_size == (0.8, 1.0)
    known = Radiograph(np.zeros((2, 2)), "id", (0.1, 0.2), SpacingSource.TABLE, pixel_aspect=3)
    assert (known.pixel_aspect, known.pixel_size) == (0.5, (0.1, 0.2))
    forgotten = replace(known, spacing_mm=None, spacing_source=SpacingSource.UNKNOWN)
    assert forgotten.pixel_size == (0.5, 1.0)
    with pytest.raises(ValueError, match="size of a pixel"):
        Radiograph(np.zeros((2, 2)), "id", pixel_aspect=0.0)


def test_a_spacing_says_where_it_is_from() -> None:
    with pytest.raises(ValueError, match="spacing_source"):
        Radiograph(np.zeros((2, 2)), "id", (0.1, 0.1))
    with pytest.raises(ValueError, match="spacing_source"):
        Radiograph(np.zeros((2, 2)), "id", spacing_source=SpacingSource.TABLE)


def test_flags_are_flags() -> None:
    for make in (roi, prediction, lambda **k: Radiograph(np.zeros((2, 2)), "id", **k)):
        assert make(flags=frozenset({Flag.VIEW_UNKNOWN})).flags == {"view-unknown"}
        with pytest.raises(TypeError, match="Flag"):
            make(flags=frozenset({"view-unknown"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pixels", np.zeros((8, 7))),
        ("pixels", np.zeros(8)),
        ("pixels", np.zeros((0, 0))),
        ("pixels", np.full((8, 8), 1.01)),
        ("pixels", np.full((8, 8), -0.01)),
        ("pixels", np.full((8, 8), np.nan)),
        ("to_radiograph", np.eye(3)),
        ("to_radiograph", np.zeros((2, 3))),
        ("to_radiograph", np.full((2, 3), np.nan)),
        ("to_radiograph", np.array([[1.0, 0, np.inf], [0, 1, 0]])),
        ("to_radiograph", MIRROR),
        ("mirrored", True),
        ("inside_fraction", 1.1),
        ("inside_fraction", -0.1),
        ("inside_fraction", np.nan),
    ],
)
def test_an_roi_that_makes_no_sense(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        roi(**{name: value})


def test_a_mirrored_roi_has_a_mirroring_affine() -> None:
    mirrored = roi(side=Side.LEFT, to_radiograph=MIRROR, mirrored=True)
    assert mirrored.to_radiograph.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        mirrored.to_radiograph[0, 0] = 2
    assert replace(mirrored, flags=frozenset({Flag.OUTSIDE_FILM})).side is Side.LEFT


@pytest.mark.parametrize(
    "p",
    [[0.5, 0.5], [0.2] * 6, [0.3] * 5, [1.2, -0.2, 0, 0, 0], [np.nan] * 5, [[0.2] * 5]],
    ids=str,
)
def test_probabilities_that_make_no_sense(p: object) -> None:
    with pytest.raises(ValueError, match="probabilities of kl"):
        prediction(probabilities={Task.KL: p})


def test_grades_and_probabilities_go_together() -> None:
    with pytest.raises(ValueError, match="same tasks"):
        prediction(grades=Grades({Task.KL: 1, Task.JSN_L: 1}))
    with pytest.raises(ValueError, match="same tasks"):
        prediction(grades=Grades())


def test_a_prediction_cannot_be_changed() -> None:
    spread = {Task.KL: 0.5}
    made = prediction(spread=spread)
    spread[Task.KL] = 9
    assert made.spread[Task.KL] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        made.probabilities[Task.KL][0] = 1
    with pytest.raises(TypeError):
        made.probabilities[Task.KL] = EVEN  # type: ignore[index]
