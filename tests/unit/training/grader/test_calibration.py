import numpy as np
import pytest

from kneegrade.grading.grader import softmax
from kneegrade.training.grader.calibration import BOUNDS, fit_temperature


def knees(temperature: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``temperature`` times too large, and grades drawn from the true odds."""
    rng = np.random.default_rng(11)
    logits = rng.normal(0, 2, (n, 5))
    odds = softmax(logits).cumsum(axis=1)
    grades = (rng.random((n, 1)) > odds).sum(axis=1)
    return (logits * temperature)[:, np.newaxis], np.minimum(grades, 4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    assert fit_temperature(*knees(temperature)) == pytest.approx(temperature, rel=0.06)


def test_missing_grades_are_left_out() -> None:
    logits, grades = knees(2.0)
    junk = np.tile([50.0, 0, 0, 0, 0], (500, 1, 1))
    with_missing = fit_temperature(
        np.concatenate([logits, junk]), np.concatenate([grades, np.full(500, -1)])
    )
    assert with_missing == fit_temperature(logits, grades)


def test_without_a_grade() -> None:
    assert fit_temperature(np.zeros((3, 1, 5)), np.full(3, -1)) == 1.0


def test_the_temperature_stays_within_bounds() -> None:
    sure = np.eye(5)[[0, 1, 2, 3], np.newaxis] * 5
    assert fit_temperature(sure, np.arange(4)) == pytest.approx(BOUNDS[0], abs=0.01)
    assert fit_temperature(sure, np.array([4, 4, 0, 0])) == pytest.approx(BOUNDS[1], abs=0.01)
