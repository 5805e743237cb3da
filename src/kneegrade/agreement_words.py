"""Agreement with the readers in words: its measures, of whose knees it is, figures."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kneegrade.terms import SubjectUse

METRIC_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "quadratic_kappa": "quadratic kappa",
        "balanced_accuracy": "balanced accuracy",
        "accuracy": "accuracy",
        "mae": "MAE",
        "auc": "AUC of KL >= 2",
        "average_precision": "AP of KL >= 2",
        "ece": "ECE",
        "brier": "Brier score",
    }
)

USE_LABELS: Final[Mapping[SubjectUse, str]] = MappingProxyType(
    {
        SubjectUse.UNSEEN: "unseen subjects",
        SubjectUse.SELECTED: "used to select or calibrate",
        SubjectUse.UNKNOWN: "not known whether the network was trained on these subjects",
        SubjectUse.TRAINED: "trained on: no agreement is reported",
    }
)

USE_SENTENCES: Final[Mapping[SubjectUse, str]] = MappingProxyType(
    {
        SubjectUse.UNSEEN: "The network was neither trained, chosen nor calibrated on these "
        "subjects.",
        SubjectUse.SELECTED: "These subjects helped to choose or calibrate the network, so the "
        "figures are somewhat too good.",
        SubjectUse.UNKNOWN: "No bundle could be asked. If the network was trained on these "
        "subjects, the figures mean nothing.",
        SubjectUse.TRAINED: "A network agrees with the readers on the knees that it was trained "
        "on; that says nothing about others.",
    }
)


def format_interval(estimate: float | None, low: float | None, high: float | None) -> str:
    """Write a figure and its interval, such as ``0.812 (0.790-0.834)``; None is not defined."""
    if estimate is None:
        return "not defined"
    if low is None or high is None:
        return f"{estimate:.3f}"
    return f"{estimate:.3f} ({low:.3f}{'-' if low >= 0 else ' to '}{high:.3f})"
