"""Temperature scaling (Guo et al. 2017, arXiv:1706.04599)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from kneegrade.grading.grader import softmax
from kneegrade.training.grader.losses import MISSING_GRADE

BOUNDS: Final = (0.2, 5.0)


def fit_temperature(logits: NDArray[np.float64], grades: NDArray[np.int64]) -> float:
    """Temperature that makes the readers' grades most likely.

    Parameters
    ----------
    logits : (n, n_poses, n_grades) array
        The probabilities of the poses are averaged.
    grades : (n,) array
        -1 where there is no grade.

    Returns
    -------
    float
        In [0.2, 5]; 1 where there is no grade at all.
    """
    present = grades != MISSING_GRADE
    if not present.any():
        return 1.0
    scores, truth = logits[present], grades[present]

    def surprise(temperature: float) -> float:
        p = softmax(scores / temperature).mean(axis=1)[np.arange(len(truth)), truth]
        return float(-np.log(np.maximum(p, 1e-12)).mean())

    return float(minimize_scalar(surprise, bounds=BOUNDS, method="bounded").x)
