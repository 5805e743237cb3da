"""What must hold of every metric, and of the bootstrap's intervals."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kneegrade.evaluation import metrics
from kneegrade.evaluation.bootstrap import bootstrap_by_subject

N_GRADES = 5
Metric = Callable[[NDArray[np.int64], NDArray[np.generic]], float]

OF_GRADES: dict[str, Metric] = {
    name: partial(metric, n_grades=N_GRADES) for name, metric in metrics.GRADE_METRICS.items()
}
OF_PROBABILITIES: dict[str, Metric] = {
    **metrics.DETECTION_METRICS,
    **metrics.CALIBRATION_METRICS,
}
ALL = {**OF_GRADES, **OF_PROBABILITIES}
RANGES = {
    "quadratic_kappa": (-1, 1),
    "balanced_accuracy": (0, 1),
    "accuracy": (0, 1),
    "mae": (0, N_GRADES - 1),
    "auc": (0, 1),
    "average_precision": (0, 1),
    "ece": (0, 1),
    "brier": (0, 2),
}
PERFECT = {name: 0 if name in {"mae", "ece", "brier"} else 1 for name in ALL}
FREE_OF_ORDER = ("balanced_accuracy", "accuracy", "ece", "brier")
"""Metrics for which the grades could as well be names."""


def draw_knees(name: str, seed: int, n_knees: int) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, N_GRADES, size=n_knees)
    if name in OF_GRADES:
        return true, rng.integers(0, N_GRADES, size=n_knees)
    return true, rng.dirichlet(np.ones(N_GRADES), size=n_knees)


def relabel(values: NDArray[np.generic], new_grade: NDArray[np.int64]) -> NDArray[np.generic]:
    return new_grade[values] if values.ndim == 1 else values[:, np.argsort(new_grade)]


seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 60)


def test_every_metric_has_a_range() -> None:
    assert set(RANGES) == set(ALL)


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, n_knees=sizes)
def test_order_of_knees_and_range(name: str, seed: int, n_knees: int) -> None:
    true, predicted = draw_knees(name, seed, n_knees)
    value = ALL[name](true, predicted)
    order = np.random.default_rng(seed).permutation(n_knees)
    assert ALL[name](true[order], predicted[order]) == pytest.approx(value, nan_ok=True)
    low, high = RANGES[name]
    assert np.isnan(value) or low - 1e-12 <= value <= high + 1e-12


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, n_knees=st.integers(2, 60))
def test_perfect_agreement(name: str, seed: int, n_knees: int) -> None:
    true, _ = draw_knees(name, seed, n_knees)
    true[:2] = 0, N_GRADES - 1
    perfect = true if name in OF_GRADES else np.eye(N_GRADES)[true]
    assert ALL[name](true, perfect) == pytest.approx(PERFECT[name])


@pytest.mark.parametrize("name", ["quadratic_kappa", "mae", *FREE_OF_ORDER])
@given(seed=seeds, n_knees=sizes)
def test_turning_the_scale_round(name: str, seed: int, n_knees: int) -> None:
    true, predicted = draw_knees(name, seed, n_knees)
    turned = np.arange(N_GRADES)[::-1].copy()
    value = ALL[name](relabel(true, turned), relabel(predicted, turned))
    assert value == pytest.approx(ALL[name](true, predicted), nan_ok=True)


@pytest.mark.parametrize("name", FREE_OF_ORDER)
@given(seed=seeds, n_knees=sizes)
def test_any_new_names_of_grades(name: str, seed: int, n_knees: int) -> None:
    true, predicted = draw_knees(name, seed, n_knees)
    names = np.random.default_rng(seed).permutation(N_GRADES)
    value = ALL[name](relabel(true, names), relabel(predicted, names))
    assert value == pytest.approx(ALL[name](true, predicted), nan_ok=True)


@given(seed=seeds, n_knees=sizes)
def test_reader_and_network_may_change_places_in_kappa(seed: int, n_knees: int) -> None:
    a, b = draw_knees("quadratic_kappa", seed, n_knees)
    kappa = ALL["quadratic_kappa"]
    assert kappa(a, b) == pytest.approx(kappa(b, a), nan_ok=True)


def test_interval_by_subject_covers_and_one_by_knee_does_not() -> None:
    """A mean of 4 like knees of each of 40 subjects, 300 times over; the truth is 0."""
    rng = np.random.default_rng(20190611)
    subjects = np.repeat(np.arange(40), 4)
    covered = {"by subject": 0, "by knee": 0}
    n_studies = 300
    for _ in range(n_studies):
        values = rng.normal(size=40)[subjects] + rng.normal(scale=0.3, size=160)
        for kind, units in (("by subject", subjects), ("by knee", np.arange(160))):
            interval = bootstrap_by_subject(
                values, subjects=units, metric=np.mean, rounds=200, rng=rng
            )
            covered[kind] += interval.low <= 0 <= interval.high
    assert 0.90 <= covered["by subject"] / n_studies <= 0.98
    assert covered["by knee"] / n_studies < 0.80
