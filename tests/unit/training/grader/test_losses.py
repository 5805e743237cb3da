from dataclasses import replace

import pytest
import torch

from kneegrade.training.grader.losses import MISSING_GRADE, compute_loss
from kneegrade.training.grader.recipe import LossSpec
from kneegrade.types import Task

PLAIN = LossSpec(label_smoothing=0.0, expected_grade_weight=0.0)
LOGITS = torch.tensor([[2.0, 0, 0, 0, 0], [0, 1, 0, 0, 3], [0, 0, 0.5, 0, 0]])
GRADES = torch.tensor([0, 3, 2])


def test_cross_entropy_alone() -> None:
    loss = compute_loss({Task.KL: LOGITS}, {Task.KL: GRADES}, PLAIN)
    by_hand = -LOGITS.log_softmax(dim=1)[range(3), GRADES].mean()
    torch.testing.assert_close(loss, by_hand)


def test_the_squared_error_of_the_expected_grade_is_added() -> None:
    plain = compute_loss({Task.KL: LOGITS}, {Task.KL: GRADES}, PLAIN)
    spec = replace(PLAIN, expected_grade_weight=0.5)
    both = compute_loss({Task.KL: LOGITS}, {Task.KL: GRADES}, spec)
    expected = LOGITS.softmax(dim=1) @ torch.arange(5.0)
    torch.testing.assert_close(both - plain, 0.5 * ((expected - GRADES) ** 2).mean())


def test_a_missing_grade_changes_nothing() -> None:
    spec = LossSpec(0.1, 0.5)
    masked = compute_loss(
        {Task.KL: torch.cat([LOGITS, torch.full((2, 5), 9.0)])},
        {Task.KL: torch.cat([GRADES, torch.full((2,), MISSING_GRADE)])},
        spec,
    )
    torch.testing.assert_close(masked, compute_loss({Task.KL: LOGITS}, {Task.KL: GRADES}, spec))


def test_no_gradient_flows_from_a_missing_grade() -> None:
    logits = LOGITS.clone().requires_grad_()
    grades = torch.tensor([0, MISSING_GRADE, 2])
    compute_loss({Task.KL: logits}, {Task.KL: grades}, LossSpec(0.1, 0.5)).backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()
    assert logits.grad[0].any()
    assert logits.grad[2].any()


def test_a_batch_without_a_grade_has_loss_zero_and_can_be_stepped() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = compute_loss({Task.KL: logits}, {Task.KL: torch.full((3,), MISSING_GRADE)}, PLAIN)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_tasks_with_grades_count_alike() -> None:
    other, none = torch.randn(3, 4), torch.randn(3, 4)
    grades = {
        Task.KL: GRADES,
        Task.JSN_M: torch.tensor([1, MISSING_GRADE, MISSING_GRADE]),
        Task.JSN_L: torch.full((3,), MISSING_GRADE),
    }
    loss = compute_loss({Task.KL: LOGITS, Task.JSN_M: other, Task.JSN_L: none}, grades, PLAIN)
    kl = compute_loss({Task.KL: LOGITS}, grades, PLAIN)
    jsn = compute_loss({Task.JSN_M: other}, grades, PLAIN)
    assert loss.item() == pytest.approx((kl + jsn).item() / 2)
