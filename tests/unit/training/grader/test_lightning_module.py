from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from kneegrade.knees.store import read_index
from kneegrade.training.grader.datasets import LabelledKnees, read_labelled_knees
from kneegrade.training.grader.lightning_module import GradingModule, KneeData
from kneegrade.training.grader.recipe import Recipe
from kneegrade.types import Task


def data_of(store: Path, recipe: Recipe) -> KneeData:
    index = read_index(store)
    train, heldout = (
        read_labelled_knees(index[index["split"] == split], store, recipe)
        for split in ("train", "val")
    )
    return KneeData(recipe, train, heldout, n_workers=0)


def test_logits_by_task(recipe: Recipe) -> None:
    module = GradingModule(replace(recipe, tasks=(Task.TO_L, Task.KL))).eval()
    logits = module(torch.zeros(2, 1, 64, 64))
    assert {task: tuple(values.shape) for task, values in logits.items()} == {
        Task.TO_L: (2, 4),
        Task.KL: (2, 5),
    }


def test_a_training_step_gives_a_loss_that_can_be_followed(
    store: Path, recipe: Recipe, monkeypatch: object
) -> None:
    module = GradingModule(recipe)
    module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    batch = next(iter(data_of(store, recipe).train_dataloader()))
    loss = module.training_step(batch, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in module.network.parameters())


def test_batches_of_training_are_shuffled_and_whole(store: Path, recipe: Recipe) -> None:
    batches = list(data_of(store, recipe).train_dataloader())
    assert [len(images) for images, _ in batches] == [4, 4, 4]
    grades = torch.cat([grades["kl"] for _, grades in batches])
    in_order = read_index(store)["kl"].fillna(-1).to_numpy(int)[:12]
    assert sorted(grades.tolist()) == sorted(in_order.tolist())
    assert grades.tolist() != in_order.tolist()


def test_a_last_batch_that_is_short_is_left_out_but_not_all_there_is(recipe: Recipe) -> None:
    def sizes(n: int) -> list[int]:
        knees = LabelledKnees(np.zeros((n, 64, 64), np.uint8), {Task.KL: np.zeros(n, np.int64)})
        data = KneeData(recipe, knees, knees, n_workers=0)
        return [len(images) for images, _ in data.train_dataloader()]

    assert sizes(9) == [4, 4]
    assert sizes(3) == [3]


def test_heldout_batches_are_in_order_and_unchanged(store: Path, recipe: Recipe) -> None:
    data = data_of(store, recipe)
    (first,), (again,) = (list(data.val_dataloader()) for _ in range(2))
    assert first[1]["kl"].tolist() == [1, 2, 3, 4]
    torch.testing.assert_close(first[0], again[0], rtol=0, atol=0)


def test_bfloat16_is_asked_for_by_the_recipe(recipe: Recipe) -> None:
    schedule = replace(recipe.schedule, precision="bf16-mixed")
    module = GradingModule(replace(recipe, schedule=schedule)).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        (logits,) = module(torch.zeros(1, 1, 64, 64)).values()
    assert logits.dtype == torch.bfloat16
