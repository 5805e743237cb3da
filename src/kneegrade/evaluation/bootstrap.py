"""Intervals that know that the knees of one subject are alike.

Two knees of one person, or one knee at two visits, are graded alike and go wrong alike. Resampling
knees would take them for independent and give intervals that are too narrow; here whole subjects
are resampled, each with all of its knees.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

COVERAGE: Final = 0.95
"""Of every interval: it goes from percentile 2.5 to 97.5."""


class Interval(NamedTuple):
    """An estimate with its percentile interval; ``nan`` where one is not defined."""

    estimate: float
    low: float
    high: float


def bootstrap_by_subject(
    *values: ArrayLike,
    subjects: ArrayLike,
    metric: Callable[..., float],
    rng: np.random.Generator,
    rounds: int = 1000,
) -> Interval:
    """Percentile interval of a metric under resampling of subjects with replacement.

    Parameters
    ----------
    *values : (n, ...) arrays
        What the metric takes, one row per knee.
    subjects : (n,) array
        Which subject each knee belongs to. The order of the rows does not matter.
    metric : callable
        Takes the arrays of ``values`` and gives a float; ``nan`` where it is not defined.
    rng : numpy.random.Generator
    rounds : int
        Number of resamples, at least 1.

    Returns
    -------
    Interval
        The estimate is the metric of the knees as they are; rounds without a value are left out.
        With fewer than two subjects, or without an estimate, low and high are ``nan``.

    Raises
    ------
    ValueError
        If the arrays differ in length, or ``rounds`` is below 1.

    Notes
    -----
    C. A. Field and A. H. Welsh, Bootstrapping clustered data, J. R. Statist. Soc. B 69 (2007).
    """
    arrays: list[Any] = [np.asarray(value) for value in values]
    names, subject_of = np.unique(np.asarray(subjects), return_inverse=True)
    if {len(array) for array in arrays} != {len(subject_of)}:
        raise ValueError(f"All arrays must have {len(subject_of)} rows, as many as subjects.")
    if rounds < 1:
        raise ValueError(f"Need rounds >= 1. Got {rounds}.")
    estimate = float(metric(*arrays))
    if np.isnan(estimate) or len(names) < 2:
        return Interval(estimate, float("nan"), float("nan"))
    rows = np.arange(len(subject_of))
    resampled = np.empty(rounds)
    for i in range(rounds):
        drawn = rng.integers(len(names), size=len(names))
        taken = np.repeat(rows, np.bincount(drawn, minlength=len(names))[subject_of])
        resampled[i] = metric(*(array[taken] for array in arrays))
    resampled = resampled[~np.isnan(resampled)]
    if not resampled.size:
        return Interval(estimate, float("nan"), float("nan"))
    outside = (1 - COVERAGE) / 2
    low, high = np.quantile(resampled, [outside, 1 - outside])
    return Interval(estimate, float(low), float(high))
