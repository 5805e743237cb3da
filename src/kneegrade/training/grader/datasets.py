"""ROIs and grades as tensors."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from kneegrade.bundles.manifest import PoseSpec
from kneegrade.grading.inputs import apply_look, normalise, pose_of
from kneegrade.knees.store import read_rois
from kneegrade.training.augment import augment
from kneegrade.training.grader.losses import MISSING_GRADE
from kneegrade.training.grader.recipe import Recipe
from kneegrade.types import Task


@dataclass(frozen=True)
class LabelledKnees:
    """Images with the look that the network asks for, and their grades.

    Parameters
    ----------
    pictures : (n, size_px, size_px) array, uint8
    grades : mapping of Task to (n,) array, int64
        -1 where there is none.
    """

    pictures: NDArray[np.uint8]
    grades: dict[Task, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.pictures)


def read_labelled_knees(index: pd.DataFrame, store: Path, recipe: Recipe) -> LabelledKnees:
    """Read the index's rows from an ROI store into memory."""
    size = recipe.input.size_px
    pictures = np.empty((len(index), size, size), dtype=np.uint8)
    for i, roi in enumerate(read_rois(store, index)):
        pictures[i] = apply_look(roi, recipe.input)
    grades = {
        task: index[task.value].fillna(MISSING_GRADE).to_numpy(dtype=np.int64)
        for task in recipe.tasks
    }
    return LabelledKnees(pictures, grades)


class KneeDataset(Dataset[tuple[Tensor, dict[str, int]]]):
    """Network inputs and grades, augmented in training.

    What a knee looks like in an epoch depends on seed, epoch and position only, not on the number
    of worker processes.

    Parameters
    ----------
    knees : LabelledKnees
    recipe : Recipe
    epoch : int or None
        None leaves the images as they are, apart from the pose.
    pose : PoseSpec
        Pose in which the images are shown where ``epoch`` is None.
    """

    def __init__(
        self,
        knees: LabelledKnees,
        recipe: Recipe,
        *,
        epoch: int | None,
        pose: PoseSpec = PoseSpec(),  # noqa: B008 - frozen
    ) -> None:
        self._knees = knees
        self._recipe = recipe
        self._epoch = epoch
        self._pose = pose

    def __len__(self) -> int:
        return len(self._knees)

    def __getitem__(self, position: int) -> tuple[Tensor, dict[str, int]]:
        picture = self._knees.pictures[position]
        if self._epoch is None:
            picture = pose_of(picture, self._pose)
        else:
            rng = np.random.default_rng([self._recipe.seed, self._epoch, position])
            picture = augment(picture, self._recipe.augment, rng)
        image = torch.from_numpy(normalise(picture, self._recipe.input))
        return image, {
            task.value: int(grades[position]) for task, grades in self._knees.grades.items()
        }
