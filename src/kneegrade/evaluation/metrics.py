"""Agreement of grades and of probabilities with a reader's grades.

Every metric takes arrays over knees and gives one float; ``nan`` where it is not defined. The
metrics of whole grades come from the confusion counts by our own few lines of numpy, because a
bootstrap calls them thousands of times; scikit-learn is their oracle in the tests.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

OSTEOARTHRITIS_FROM: Final = 2
"""The Kellgren-Lawrence grade from which a knee counts as radiographic osteoarthritis."""

ECE_BINS: Final = 15
"""Bins of equal width over [0, 1] of the expected calibration error and the reliability diagram,
each open below and closed above."""


class Reliability(NamedTuple):
    """Stated confidence beside what came true, for the bins that hold knees.

    Each is an array over bins: mean probability of the most probable grade, share of knees whose
    most probable grade was the reader's, number of knees.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    n_knees: NDArray[np.int64]


class GradeMetric(Protocol):
    """A metric of whole grades."""

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, *, n_grades: int) -> float:
        """Compare the grades of the same knees."""


def compute_confusion(y_true: ArrayLike, y_pred: ArrayLike, *, n_grades: int) -> NDArray[np.int64]:
    """Count knees by the reader's grade (rows) and the predicted grade (columns).

    Parameters
    ----------
    y_true, y_pred : (n,) array of int
        Grades in 0..n_grades - 1.
    n_grades : int
        Number of grades of the scale.

    Returns
    -------
    (n_grades, n_grades) array of int64

    Raises
    ------
    ValueError
        If the arrays differ in length, are not of integers, or hold a grade outside the scale.
    """
    true, pred = _check_grades(y_true, n_grades), _check_grades(y_pred, n_grades)
    if true.shape != pred.shape:
        raise ValueError(f"Both must have the same length. Got {true.size} and {pred.size}.")
    counts = np.bincount(true * n_grades + pred, minlength=n_grades * n_grades)
    return counts.reshape(n_grades, n_grades).astype(np.int64)


def compute_quadratic_kappa(y_true: ArrayLike, y_pred: ArrayLike, *, n_grades: int) -> float:
    """Cohen's kappa with quadratic weights, in [-1, 1].

    Returns
    -------
    float
        ``nan`` where both give every knee one and the same grade, or there is no knee.

    Raises
    ------
    ValueError
        As `compute_confusion`.

    Notes
    -----
    J. Cohen, Psychological Bulletin 70 (1968), 213-220.
    """
    confusion = compute_confusion(y_true, y_pred, n_grades=n_grades)
    grades = np.arange(n_grades)
    disagreement = (grades[:, None] - grades[None, :]) ** 2
    by_chance = confusion.sum(axis=1) @ disagreement @ confusion.sum(axis=0)
    if by_chance == 0:
        return float("nan")
    return float(1 - confusion.sum() * (confusion * disagreement).sum() / by_chance)


def compute_balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike, *, n_grades: int) -> float:
    """Mean recall over the grades that the reader gave, in [0, 1].

    Returns
    -------
    float
        ``nan`` where there is no knee.

    Raises
    ------
    ValueError
        As `compute_confusion`.
    """
    confusion = compute_confusion(y_true, y_pred, n_grades=n_grades)
    n_by_grade = confusion.sum(axis=1)
    present = n_by_grade > 0
    if not present.any():
        return float("nan")
    return float((confusion.diagonal()[present] / n_by_grade[present]).mean())


def compute_accuracy(y_true: ArrayLike, y_pred: ArrayLike, *, n_grades: int) -> float:
    """Share of knees with exactly the reader's grade, in [0, 1]; ``nan`` without a knee.

    Raises
    ------
    ValueError
        As `compute_confusion`.
    """
    confusion = compute_confusion(y_true, y_pred, n_grades=n_grades)
    n_knees = confusion.sum()
    return float(confusion.trace() / n_knees) if n_knees else float("nan")


def compute_mae(y_true: ArrayLike, y_pred: ArrayLike, *, n_grades: int) -> float:
    """Mean distance to the reader's grade, in grades, in [0, n_grades - 1]; ``nan`` without a knee.

    Raises
    ------
    ValueError
        As `compute_confusion`.
    """
    confusion = compute_confusion(y_true, y_pred, n_grades=n_grades)
    n_knees = confusion.sum()
    grades = np.arange(n_grades)
    distance = np.abs(grades[:, None] - grades[None, :])
    return float((confusion * distance).sum() / n_knees) if n_knees else float("nan")


def compute_auc(
    y_true: ArrayLike, probabilities: ArrayLike, *, threshold: int = OSTEOARTHRITIS_FROM
) -> float:
    """Area under the ROC curve of "the grade is ``threshold`` or more", in [0, 1].

    Parameters
    ----------
    y_true : (n,) array of int
    probabilities : (n, n_grades) array
        The rows sum to 1.
    threshold : int
        In 1..n_grades - 1.

    Returns
    -------
    float
        ``nan`` where the reader put all knees on one side of the threshold.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a grade or the threshold is outside the scale.
    """
    positive, score = _split_at(y_true, probabilities, threshold)
    if not 0 < positive.sum() < positive.size:
        return float("nan")
    return float(roc_auc_score(positive, score))


def compute_average_precision(
    y_true: ArrayLike, probabilities: ArrayLike, *, threshold: int = OSTEOARTHRITIS_FROM
) -> float:
    """Average precision of "the grade is ``threshold`` or more", in [0, 1].

    Parameters, ``nan`` and errors as `compute_auc`.
    """
    positive, score = _split_at(y_true, probabilities, threshold)
    if not 0 < positive.sum() < positive.size:
        return float("nan")
    return float(average_precision_score(positive, score))


def compute_brier(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Brier score over all grades: mean squared distance to certainty, in [0, 2].

    Parameters
    ----------
    y_true : (n,) array of int
    probabilities : (n, n_grades) array

    Returns
    -------
    float
        ``nan`` without a knee.

    Raises
    ------
    ValueError
        If the shapes do not fit or a grade is outside the scale.

    Notes
    -----
    G. W. Brier, Monthly Weather Review 78 (1950), 1-3.
    """
    true, probability = _check_probabilities(y_true, probabilities)
    if not true.size:
        return float("nan")
    certain = np.eye(probability.shape[1])[true]
    return float(((probability - certain) ** 2).sum(axis=1).mean())


def compute_reliability(y_true: ArrayLike, probabilities: ArrayLike) -> Reliability:
    """Confidence and accuracy of the most probable grade in `ECE_BINS` bins of confidence.

    Parameters
    ----------
    y_true : (n,) array of int
    probabilities : (n, n_grades) array

    Raises
    ------
    ValueError
        If the shapes do not fit or a grade is outside the scale.
    """
    true, probability = _check_probabilities(y_true, probabilities)
    confidence = probability.max(axis=1)
    correct = probability.argmax(axis=1) == true
    bins = np.searchsorted(np.linspace(0, 1, ECE_BINS + 1)[1:-1], confidence)
    n_knees = np.bincount(bins, minlength=ECE_BINS)
    filled = n_knees > 0
    sums = [np.bincount(bins, weights=v, minlength=ECE_BINS)[filled] for v in (confidence, correct)]
    return Reliability(
        sums[0] / n_knees[filled], sums[1] / n_knees[filled], n_knees[filled].astype(np.int64)
    )


def compute_ece(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Expected calibration error of the most probable grade, in [0, 1]; ``nan`` without a knee.

    Parameters and errors as `compute_reliability`.

    Notes
    -----
    C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    bins = compute_reliability(y_true, probabilities)
    if not bins.n_knees.size:
        return float("nan")
    return float(np.average(np.abs(bins.confidence - bins.accuracy), weights=bins.n_knees))


GRADE_METRICS: Final[Mapping[str, GradeMetric]] = MappingProxyType(
    {
        "quadratic_kappa": compute_quadratic_kappa,
        "balanced_accuracy": compute_balanced_accuracy,
        "accuracy": compute_accuracy,
        "mae": compute_mae,
    }
)
"""The metrics of whole grades, by name."""

DETECTION_METRICS: Final[Mapping[str, Callable[[ArrayLike, ArrayLike], float]]] = MappingProxyType(
    {"auc": compute_auc, "average_precision": compute_average_precision}
)
"""The metrics of finding osteoarthritis (KL >= 2) by its probability, by name."""

CALIBRATION_METRICS: Final[Mapping[str, Callable[[ArrayLike, ArrayLike], float]]] = (
    MappingProxyType({"ece": compute_ece, "brier": compute_brier})
)
"""The metrics of honest confidence, by name."""


def _check_grades(values: ArrayLike, n_grades: int) -> NDArray[np.int64]:
    grades = np.asarray(values)
    if grades.ndim != 1 or (grades.size and grades.dtype.kind not in "iu"):
        raise ValueError(f"Grades must be (n,) integers. Got {grades.shape}, {grades.dtype}.")
    if grades.size and not (grades.min() >= 0 and grades.max() < n_grades):
        raise ValueError(
            f"Grades must be in 0..{n_grades - 1}. Got {grades.min()}..{grades.max()}."
        )
    return grades.astype(np.int64)


def _check_probabilities(
    y_true: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    probability = np.asarray(probabilities, dtype=np.float64)
    if probability.ndim != 2:
        raise ValueError(f"probabilities must be (n, n_grades). Got {probability.shape}.")
    true = _check_grades(y_true, probability.shape[1])
    if len(true) != len(probability):
        raise ValueError(f"Both must have the same length. Got {len(true)}, {len(probability)}.")
    return true, probability


def _split_at(
    y_true: ArrayLike, probabilities: ArrayLike, threshold: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    true, probability = _check_probabilities(y_true, probabilities)
    if not 1 <= threshold < probability.shape[1]:
        raise ValueError(f"threshold must be in 1..{probability.shape[1] - 1}. Got {threshold}.")
    return true >= threshold, probability[:, threshold:].sum(axis=1)
