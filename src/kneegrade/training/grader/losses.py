"""Losses over the tasks of a network; a missing grade is masked."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from kneegrade.training.grader.recipe import LossSpec
from kneegrade.types import Task

MISSING_GRADE: Final = -1


def compute_loss(
    logits: Mapping[Task, Tensor], grades: Mapping[Task, Tensor], spec: LossSpec
) -> Tensor:
    """Mean over tasks of cross-entropy plus the weighted squared error of the expected grade.

    Parameters
    ----------
    logits : mapping of Task to (n, n_grades) tensor
    grades : mapping of Task to (n,) tensor, int64
        -1 where the reader gave no grade.
    spec : LossSpec

    Returns
    -------
    scalar tensor
        0 where a batch holds no grade at all.
    """
    losses = []
    for task, outputs in logits.items():
        present = grades[task] != MISSING_GRADE
        if not bool(present.any()):
            continue
        scores, truth = outputs[present].float(), grades[task][present]
        loss = cross_entropy(scores, truth, label_smoothing=spec.label_smoothing)
        if spec.expected_grade_weight > 0:
            levels = torch.arange(task.n_grades, dtype=scores.dtype, device=scores.device)
            expected = (scores.softmax(dim=1) * levels).sum(dim=1)
            loss = loss + spec.expected_grade_weight * ((expected - truth) ** 2).mean()
        losses.append(loss)
    if not losses:
        return next(iter(logits.values())).sum() * 0
    return torch.stack(losses).mean()
