"""Folds on a small cohort; the property that no subject is split is in tests/properties."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kneegrade.cohorts.open_sets.chen_2018 import scan_kaggle
from kneegrade.cohorts.tables.folds import assign_folds
from kneegrade.errors import RecipeError


def cohort(n_subjects: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kl = rng.choice(5, size=(n_subjects, 2), p=[0.4, 0.18, 0.26, 0.13, 0.03])
    return pd.DataFrame(
        {
            "cohort": "own",
            "subject_id": np.repeat([f"{i:05d}" for i in range(n_subjects)], 2),
            "side": ["right", "left"] * n_subjects,
            "kl": pd.array(kl.ravel(), dtype="Int8"),
        }
    )


def test_grades_are_alike_in_all_folds() -> None:
    table = cohort(1000)
    folds = assign_folds(table, n_folds=5, seed=1)
    shares = pd.crosstab(folds, table["kl"].astype(int), normalize="index").to_numpy()
    whole = table["kl"].value_counts(normalize=True).sort_index().to_numpy(dtype=float)
    assert np.abs(shares - whole).max() < 0.01
    assert folds.value_counts().between(390, 410).all()


def test_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    table = cohort(60)
    folds = assign_folds(table, n_folds=3, seed=1)
    shuffled = table.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(assign_folds(shuffled, n_folds=3, seed=1).sort_index(), folds)
    assert not folds.equals(assign_folds(table, n_folds=3, seed=2))


def test_same_id_in_two_cohorts_is_two_people() -> None:
    table = pd.DataFrame(
        {"cohort": list("abcd"), "subject_id": "1", "kl": pd.array([0, 0, 0, 0], dtype="Int8")}
    )
    assert sorted(assign_folds(table, n_folds=4, seed=0)) == [0, 1, 2, 3]


def test_without_kl_the_first_task_with_grades_is_evened_out() -> None:
    table = cohort(1000).rename(columns={"kl": "jsn_m"})
    narrowed = table.assign(jsn_m=table["jsn_m"].clip(upper=3), kl=pd.NA, fo_l=pd.NA)
    folds = assign_folds(narrowed, n_folds=5, seed=1)
    shares = pd.crosstab(folds, narrowed["jsn_m"].astype(int), normalize="index").to_numpy()
    assert np.ptp(shares, axis=0).max() < 0.01


def test_without_any_grade_the_folds_are_like_in_size() -> None:
    table = cohort(60).drop(columns="kl")
    folds = assign_folds(table, n_folds=3, seed=1)
    assert folds.groupby(table["subject_id"]).nunique().eq(1).all()
    assert folds.value_counts().tolist() == [40, 40, 40]


@pytest.mark.parametrize("n_folds", [-1, 0, 1, 5, 100])
def test_number_of_folds_that_cannot_be(n_folds: int) -> None:
    with pytest.raises(RecipeError, match=f"Got {n_folds}") as caught:
        assign_folds(cohort(4), n_folds=n_folds, seed=0)
    assert caught.value.code == "recipe.invalid"


@pytest.mark.real_data
def test_folds_of_the_real_training_knees(real_data: Path) -> None:
    table = scan_kaggle(real_data / "knee-kl").table
    table = table[table["split"] == "train"]
    folds = assign_folds(table, n_folds=5, seed=0)
    assert folds.groupby(table["subject_id"]).nunique().eq(1).all()
    counts = pd.crosstab(folds, table["kl"].astype(int)).to_numpy()
    assert (np.ptp(counts, axis=0) <= 3).all()
