"""Our metrics of agreement against scikit-learn's."""

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    mean_absolute_error,
    roc_auc_score,
)

from kneegrade.evaluation import metrics

N_GRADES = 5


@pytest.fixture(params=range(5))
def grades(request: pytest.FixtureRequest) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(request.param)
    true = rng.choice(N_GRADES, size=200, p=[0.4, 0.2, 0.25, 0.1, 0.05])
    return true, np.clip(true + rng.integers(-1, 2, size=200), 0, N_GRADES - 1)


@pytest.fixture(params=range(5))
def probable(request: pytest.FixtureRequest) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(request.param)
    true = rng.integers(0, N_GRADES, size=200)
    return true, rng.dirichlet(np.ones(N_GRADES), size=200)


def test_metrics_of_grades(grades: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    true, pred = grades
    expected = {
        "quadratic_kappa": cohen_kappa_score(true, pred, weights="quadratic"),
        "balanced_accuracy": balanced_accuracy_score(true, pred),
        "accuracy": accuracy_score(true, pred),
        "mae": mean_absolute_error(true, pred),
    }
    ours = {
        name: metric(true, pred, n_grades=N_GRADES)
        for name, metric in metrics.GRADE_METRICS.items()
    }
    assert ours == pytest.approx(expected, abs=1e-12)


def test_balanced_accuracy_leaves_out_grades_absent_from_truth() -> None:
    true, pred = np.array([0, 0, 1, 1]), np.array([0, 3, 1, 4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of y_pred classes not in y_true
        expected = balanced_accuracy_score(true, pred)
    ours = metrics.compute_balanced_accuracy(true, pred, n_grades=N_GRADES)
    assert ours == pytest.approx(expected, abs=1e-12)


def test_confusion(grades: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    ours = metrics.compute_confusion(*grades, n_grades=N_GRADES)
    np.testing.assert_array_equal(ours, confusion_matrix(*grades, labels=range(N_GRADES)))


@pytest.mark.parametrize("threshold", [1, 2, 4])
def test_detection(probable: tuple[NDArray[np.int64], NDArray[np.float64]], threshold: int) -> None:
    true, probabilities = probable
    score = 1 - probabilities[:, :threshold].sum(axis=1)
    auc = metrics.compute_auc(true, probabilities, threshold=threshold)
    precision = metrics.compute_average_precision(true, probabilities, threshold=threshold)
    assert auc == pytest.approx(roc_auc_score(true >= threshold, score))
    assert precision == pytest.approx(average_precision_score(true >= threshold, score))


def test_ece(probable: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    true, probabilities = probable
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == true
    share, mean_confidence = calibration_curve(correct, confidence, n_bins=15)
    counts = np.histogram(confidence, bins=np.linspace(0, 1, 16))[0]
    expected = (np.abs(share - mean_confidence) * counts[counts > 0]).sum() / len(true)
    assert metrics.compute_ece(true, probabilities) == pytest.approx(expected)


def test_brier(probable: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    true, probabilities = probable
    expected = np.mean(
        [
            sum((p - (grade == t)) ** 2 for grade, p in enumerate(row))
            for t, row in zip(true, probabilities, strict=True)
        ]
    )
    assert metrics.compute_brier(true, probabilities) == pytest.approx(expected)
