"""The training loop's parts for Lightning: module and data."""

from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from kneegrade.evaluation.metrics import compute_quadratic_kappa
from kneegrade.training.fitting import FittedModule
from kneegrade.training.grader.datasets import KneeDataset, LabelledKnees
from kneegrade.training.grader.losses import MISSING_GRADE, compute_loss
from kneegrade.training.grader.networks import GradingNetwork, keep_wide_depthwise_in_float32
from kneegrade.training.grader.recipe import Recipe
from kneegrade.types import Task

Batch = tuple[Tensor, dict[str, Tensor]]


class GradingModule(FittedModule):
    """A grading network with its loss and optimiser.

    Logs ``train_loss`` per epoch and, on the held-out knees with the EMA of the weights,
    ``heldout_loss`` and ``heldout_<task>_kappa`` (quadratic kappa of the rounded expected grade).
    """

    network: GradingNetwork

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(GradingNetwork(recipe.network, recipe.tasks), recipe.schedule)
        self.recipe = recipe
        if recipe.schedule.precision == "bf16-mixed":
            keep_wide_depthwise_in_float32(self.network)
        self._outputs: list[tuple[dict[Task, Tensor], dict[Task, Tensor]]] = []

    def forward(self, images: Tensor) -> dict[Task, Tensor]:
        """Logits ``(n, n_grades)`` per task for images ``(n, 1, size, size)``."""
        images = images.contiguous(memory_format=torch.channels_last)
        return dict(zip(self.recipe.tasks, self.network(images), strict=True))

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Make dropout depend on seed and step only, so that a continued run draws the same."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch."""
        images, grades = batch
        loss = compute_loss(self(images), _by_task(grades), self.recipe.loss)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Keep the logits of one held-out batch."""
        images, grades = batch
        logits = {task: scores.float().cpu() for task, scores in self(images).items()}
        self._outputs.append((logits, {task: g.cpu() for task, g in _by_task(grades).items()}))

    def on_validation_epoch_end(self) -> None:
        """Log loss and kappas over all held-out knees."""
        tasks = self.recipe.tasks
        logits = {
            task: torch.cat([outputs[task] for outputs, _ in self._outputs]) for task in tasks
        }
        truths = {task: torch.cat([truth[task] for _, truth in self._outputs]) for task in tasks}
        self._outputs.clear()
        self.log("heldout_loss", compute_loss(logits, truths, self.recipe.loss))
        for task in tasks:
            present = truths[task] != MISSING_GRADE
            if self.trainer.sanity_checking or not bool(present.any()):
                continue
            scores = logits[task][present].softmax(dim=1)
            expected = scores @ torch.arange(task.n_grades, dtype=scores.dtype)
            kappa = compute_quadratic_kappa(
                truths[task][present].numpy(),
                torch.floor(expected + 0.5).long().numpy(),
                n_grades=task.n_grades,
            )
            self.log(f"heldout_{task.value}_kappa", kappa, prog_bar=True)


class KneeData(lightning.LightningDataModule):
    """Training and held-out knees as batches; a new order and new augmentation each epoch."""

    def __init__(
        self, recipe: Recipe, train: LabelledKnees, heldout: LabelledKnees, *, n_workers: int
    ) -> None:
        super().__init__()
        self._recipe = recipe
        self._train = train
        self._heldout = heldout
        self._n_workers = n_workers

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of the current epoch (Lightning asks for them anew each epoch)."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        rng = np.random.default_rng([self._recipe.seed, epoch])
        return DataLoader(
            KneeDataset(self._train, self._recipe, epoch=epoch),
            batch_size=self._recipe.schedule.batch_size,
            sampler=rng.permutation(len(self._train)).tolist(),
            drop_last=len(self._train) > self._recipe.schedule.batch_size,
            num_workers=self._n_workers,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of the held-out knees."""
        return DataLoader(KneeDataset(self._heldout, self._recipe, epoch=None), batch_size=64)


def _by_task(grades: dict[str, Tensor]) -> dict[Task, Tensor]:
    return {Task(name): values for name, values in grades.items()}
