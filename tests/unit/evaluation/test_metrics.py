import math

import numpy as np
import pytest

from kneegrade.evaluation import metrics

GRADE_METRICS = pytest.mark.parametrize("metric", metrics.GRADE_METRICS.values())


@GRADE_METRICS
def test_no_knee_is_not_defined(metric: metrics.GradeMetric) -> None:
    assert math.isnan(metric([], [], n_grades=5))


@pytest.mark.parametrize(
    "metric", [*metrics.DETECTION_METRICS.values(), *metrics.CALIBRATION_METRICS.values()]
)
def test_no_knee_is_not_defined_for_probabilities(metric: metrics.GradeMetric) -> None:
    assert math.isnan(metric([], np.empty((0, 5))))


def test_kappa_of_one_class_is_not_defined() -> None:
    assert math.isnan(metrics.compute_quadratic_kappa([2, 2], [2, 2], n_grades=5))


def test_kappa_of_one_true_class_is_zero() -> None:
    assert metrics.compute_quadratic_kappa([2, 2, 2], [1, 2, 3], n_grades=5) == 0


def test_kappa_by_hand() -> None:
    # Seen: one miss by 2 grades, squared 4. By chance: of the 16 pairs of (0, 0, 2, 2) with
    # (0, 2, 2, 2), 2 * 3 + 2 * 1 are 2 apart: 8 * 4 / 4 = 8 for four knees.
    kappa = metrics.compute_quadratic_kappa([0, 0, 2, 2], [0, 2, 2, 2], n_grades=5)
    assert kappa == pytest.approx(1 - 4 / 8)


@pytest.mark.parametrize("true", [[0, 1, 1], [2, 3, 4]])
def test_detection_of_one_class_is_not_defined(true: list[int]) -> None:
    probabilities = np.full((3, 5), 0.2)
    assert math.isnan(metrics.compute_auc(true, probabilities))
    assert math.isnan(metrics.compute_average_precision(true, probabilities))


def test_ece_by_hand() -> None:
    # two knees at 0.8, one of them right; two at 0.6, both right
    probabilities = [[0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [0.4, 0.6]]
    assert metrics.compute_ece([0, 1, 0, 1], probabilities) == pytest.approx(0.5 * 0.3 + 0.5 * 0.4)


def test_reliability_keeps_filled_bins_only() -> None:
    bins = metrics.compute_reliability([0, 1], [[1.0, 0.0], [0.45, 0.55]])
    assert bins.n_knees.tolist() == [1, 1]
    assert bins.confidence.tolist() == [0.55, 1.0]
    assert bins.accuracy.tolist() == [1.0, 1.0]


@GRADE_METRICS
@pytest.mark.parametrize(
    ("true", "pred"),
    [([0, 5], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0]), ([0.0, 1.9], [0, 1]), ([True], [True])],
)
def test_what_is_no_grade_is_refused(
    metric: metrics.GradeMetric, true: list[int], pred: list[int]
) -> None:
    with pytest.raises(ValueError):
        metric(true, pred, n_grades=5)


def test_shapes_and_threshold_of_probabilities_are_checked() -> None:
    with pytest.raises(ValueError, match="n_grades"):
        metrics.compute_brier([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="same length"):
        metrics.compute_brier([0], np.full((2, 5), 0.2))
    with pytest.raises(ValueError, match="threshold"):
        metrics.compute_auc([0, 1], np.full((2, 5), 0.2), threshold=5)
