"""A knee table -> folds for cross-validation that never split a subject."""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from kneegrade.errors import RecipeError
from kneegrade.types import Task


def assign_folds(table: pd.DataFrame, *, n_folds: int, seed: int) -> pd.Series:
    """Deal the subjects of a table into folds with like shares of each KL grade.

    Parameters
    ----------
    table : DataFrame, n rows
        A knee table. Where no row has a KL grade, the first task that has grades takes its place;
        where there is none, the folds are like in size only. Rows without a grade count as a grade
        of their own.
    n_folds : int
        At least 2.
    seed : int
        The same table, in any order of rows, and the same seed give the same folds.

    Returns
    -------
    Series of int64, n values
        The fold of each row, 0 .. n_folds - 1, under the table's index, named ``fold``. All rows of
        one subject (cohort and subject_id) are in one fold.

    Raises
    ------
    RecipeError
        recipe.invalid: fewer than 2 folds, or too few subjects or knees per grade for so many.

    Notes
    -----
    scikit-learn's StratifiedGroupKFold: subjects are taken in order of how unlike the whole they
    are, each into the fold whose grades it evens out best.
    """
    subjects = table.groupby(["cohort", "subject_id"], sort=True).ngroup().to_numpy()
    grades = _choose_grades(table)
    most = min(len(np.unique(subjects)), np.unique(grades, return_counts=True)[1].max(initial=0))
    if not 2 <= n_folds <= most:
        raise RecipeError(
            "recipe.invalid",
            f"The number of folds must be at least 2 and at most the number of subjects and of "
            f"knees of the most common grade ({most}). Got {n_folds}.",
            "Ask for fewer folds, or give more knees.",
        )
    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    folds = np.full(len(table), -1, dtype=np.int64)
    with warnings.catch_warnings():
        # A grade rarer than the number of folds: it is missing in some, which cannot be helped.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(grades, grades, subjects)):
            folds[held_out] = fold
    if len(np.unique(folds)) < n_folds:
        raise RecipeError(
            "recipe.invalid",
            f"The subjects cannot be divided into {n_folds} folds with similar grades.",
            "Ask for fewer folds, or give more knees.",
        )
    return pd.Series(folds, index=table.index, name="fold")


def _choose_grades(table: pd.DataFrame) -> NDArray[np.int64]:
    """Give the grade of each row that the folds shall share alike: KL, else the next there is."""
    for task in Task:
        if task.value in table and table[task.value].notna().any():
            grades: NDArray[np.int64] = table[task.value].fillna(-1).to_numpy(dtype=np.int64)
            return grades
    return np.full(len(table), -1, dtype=np.int64)
