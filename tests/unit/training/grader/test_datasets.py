from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kneegrade.grading.inputs import network_inputs
from kneegrade.knees.store import read_index, read_rois
from kneegrade.training.grader.datasets import KneeDataset, LabelledKnees, read_labelled_knees
from kneegrade.training.grader.losses import MISSING_GRADE
from kneegrade.training.grader.recipe import Recipe
from kneegrade.types import Task


def read(store: Path, recipe: Recipe) -> tuple[pd.DataFrame, LabelledKnees]:
    index = read_index(store)
    return index, read_labelled_knees(index, store, recipe)


def test_pictures_and_grades_are_read_in_order(store: Path, recipe: Recipe) -> None:
    index, knees = read(store, recipe)
    assert len(knees) == 16
    assert knees.pictures.shape == (16, 64, 64)
    grades = index["kl"].fillna(MISSING_GRADE).tolist()
    assert knees.grades[Task.KL].tolist() == grades
    assert MISSING_GRADE in grades


def test_training_sees_what_grading_sees(store: Path, recipe: Recipe) -> None:
    index, knees = read(store, recipe)
    dataset = KneeDataset(knees, recipe, epoch=None)
    for i, roi in enumerate(read_rois(store, index)):
        image, grades = dataset[i]
        assert image.dtype == torch.float32
        np.testing.assert_array_equal(image.numpy(), network_inputs(roi, recipe.input)[0])
        assert grades == {"kl": knees.grades[Task.KL][i]}


def test_a_picture_changes_from_epoch_to_epoch_and_not_within(store: Path, recipe: Recipe) -> None:
    _, knees = read(store, recipe)
    first, again, second = (KneeDataset(knees, recipe, epoch=epoch) for epoch in (0, 0, 1))
    for i in (3, 0):  # in any order
        torch.testing.assert_close(first[i][0], again[i][0], rtol=0, atol=0)
        assert not torch.equal(first[i][0], second[i][0])
    kept = KneeDataset(knees, recipe, epoch=None)
    assert not torch.equal(first[0][0], kept[0][0])


def test_two_knees_are_changed_differently(recipe: Recipe) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    knees = LabelledKnees(np.stack([picture, picture]), {Task.KL: np.array([1, 1])})
    dataset = KneeDataset(knees, recipe, epoch=0)
    assert not torch.equal(dataset[0][0], dataset[1][0])
