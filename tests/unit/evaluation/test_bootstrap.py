import math

import numpy as np
import pytest

from kneegrade.evaluation.bootstrap import bootstrap_by_subject


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_percentiles_are_exactly_2_5_and_97_5() -> None:
    values, subjects = np.arange(50.0), np.arange(50)
    seen: list[float] = []

    def mean(sample: np.ndarray) -> float:
        seen.append(float(sample.mean()))
        return seen[-1]

    interval = bootstrap_by_subject(values, subjects=subjects, metric=mean, rng=rng(), rounds=400)
    assert interval.estimate == seen[0] == values.mean()
    assert interval[1:] == tuple(np.percentile(seen[1:], [2.5, 97.5]))
    assert len(seen) == 401


def test_all_knees_of_a_drawn_subject_come_along() -> None:
    subjects = np.array(["a", "b", "a", "c", "c", "c"])

    def check(sample: np.ndarray) -> float:
        names, counts = np.unique(sample, return_counts=True)
        knees = {"a": 2, "b": 1, "c": 3}
        times = [count / knees[name] for name, count in zip(names, counts, strict=True)]
        assert all(t == int(t) for t in times)
        assert sum(times) == 3
        return 0.0

    bootstrap_by_subject(subjects, subjects=subjects, metric=check, rng=rng(), rounds=50)


def test_order_of_rows_does_not_matter() -> None:
    values = rng().normal(size=60)
    subjects = np.repeat(np.arange(20), 3)
    order = rng().permutation(60)
    one = bootstrap_by_subject(values, subjects=subjects, metric=np.mean, rng=rng())
    other = bootstrap_by_subject(values[order], subjects=subjects[order], metric=np.mean, rng=rng())
    assert one == pytest.approx(other)


def test_one_subject_has_no_interval() -> None:
    interval = bootstrap_by_subject([1.0, 2.0], subjects=["a", "a"], metric=np.mean, rng=rng())
    assert interval.estimate == 1.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_rounds_without_a_value_are_left_out() -> None:
    def spread(sample: np.ndarray) -> float:
        return float(np.ptp(sample)) or float("nan")

    interval = bootstrap_by_subject([0.0, 1.0], subjects=[0, 1], metric=spread, rng=rng())
    assert interval == (1.0, 1.0, 1.0)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="rows"):
        bootstrap_by_subject([1.0], subjects=[0, 1], metric=np.mean, rng=rng())
    with pytest.raises(ValueError, match="rounds"):
        bootstrap_by_subject([1.0], subjects=[0], metric=np.mean, rng=rng(), rounds=0)
