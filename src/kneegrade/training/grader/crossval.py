"""Which knees a run trains on and which it holds out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kneegrade.bundles.subjects import Subjects, hash_subject
from kneegrade.cohorts.tables.folds import assign_folds
from kneegrade.errors import TableError
from kneegrade.training.grader.recipe import Recipe


@dataclass(frozen=True)
class HoldOut:
    """Rows of an ROI store's index: those to train on, and those held out to select on."""

    train: pd.DataFrame
    heldout: pd.DataFrame
    name: str

    def hashed_subjects(self) -> Subjects:
        """Those trained on, and those held out, which were seen when choices were made."""
        return Subjects(_hash_subjects(self.train), _hash_subjects(self.heldout))


def hold_out(index: pd.DataFrame, recipe: Recipe, fold: int | None) -> HoldOut:
    """Choose the knees of a run.

    A published split is kept: ``train`` is trained on, ``val`` held out, everything else left
    alone. Without one, or where a fold is named, subject-wise stratified folds are made (of the
    ``train`` and ``val`` rows only, if there is a split).

    Parameters
    ----------
    index : DataFrame
        An ROI store's index.
    recipe : Recipe
    fold : int or None
        The fold to hold out, 0 to ``n_folds - 1``.

    Raises
    ------
    TableError
        ``table.empty`` if a part has no graded knee.
    """
    usable = index[index["status"] == "ok"]
    graded = [task.value for task in recipe.tasks if task.value in usable.columns]
    usable = usable[usable[graded].notna().any(axis=1)] if graded else usable.iloc[:0]
    splits = set(index["split"].dropna()) if "split" in index.columns else set()
    if {"train", "val"} <= splits and fold is None:
        parts = HoldOut(
            usable[usable["split"] == "train"], usable[usable["split"] == "val"], "split"
        )
    else:
        if splits:
            usable = usable[usable["split"].isin(["train", "val"])]
        held = 0 if fold is None else fold
        folds = np.zeros(len(usable), dtype=np.int64)
        if len(usable):
            folds = assign_folds(usable, n_folds=recipe.n_folds, seed=recipe.seed).to_numpy()
        parts = HoldOut(usable[folds != held], usable[folds == held], f"fold-{held}")
    if not len(parts.train) or not len(parts.heldout):
        raise TableError(
            "table.empty",
            f"The ROI store has {len(parts.train)} knees to train on and {len(parts.heldout)} to "
            f"hold out with a grade of {', '.join(t.value for t in recipe.tasks)}.",
            "Check the recipe's tasks and the knee table's grades and split.",
        )
    return parts


def _hash_subjects(rows: pd.DataFrame) -> frozenset[str]:
    return frozenset(map(hash_subject, rows["cohort"], rows["subject_id"]))
