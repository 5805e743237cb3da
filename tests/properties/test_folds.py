"""Folds never split a subject, whatever the table, and have like grades."""

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kneegrade.cohorts.tables.folds import assign_folds
from kneegrade.errors import RecipeError

rows = st.tuples(
    st.sampled_from(["oai", "most"]), st.integers(0, 12), st.none() | st.integers(0, 4)
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(rows, min_size=2, max_size=60),
    n_folds=st.integers(2, 6),
    seed=st.integers(0, 2**32 - 1),
    task=st.sampled_from(["kl", "jsn_m", "note"]),
)
def test_no_subject_is_split(
    rows: list[tuple[str, int, int | None]], n_folds: int, seed: int, task: str
) -> None:
    table = pd.DataFrame(rows, columns=["cohort", "subject_id", task]).astype(
        {"subject_id": "string", task: "Int8"}
    )
    try:
        folds = assign_folds(table, n_folds=n_folds, seed=seed)
    except RecipeError:
        assume(False)
    assert set(folds) == set(range(n_folds))
    assert folds.groupby([table["cohort"], table["subject_id"]]).nunique().eq(1).all()
    assert folds.index.equals(table.index)


@settings(max_examples=30, deadline=None)
@given(
    n_subjects=st.integers(150, 300),
    shares=st.lists(st.integers(1, 20), min_size=5, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    task=st.sampled_from(["kl", "fo_l", "jsn_m"]),
)
def test_five_folds_have_like_grades_and_sizes(
    n_subjects: int, shares: list[int], seed: int, task: str
) -> None:
    """People with one to eight knee-visits each, whose grades are alike, as in the studies."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_subjects), rng.integers(1, 9, size=n_subjects))
    n_grades = 5 if task == "kl" else 4
    weights = np.array(shares[:n_grades]) / sum(shares[:n_grades])
    worst = rng.choice(n_grades, size=n_subjects, p=weights)[person]
    grades = np.maximum(worst - rng.integers(0, 2, size=len(person)), 0)
    table = pd.DataFrame({"cohort": "oai", "subject_id": person.astype(str), task: grades})
    folds = assign_folds(table.astype({task: "Int8"}), n_folds=5, seed=seed)
    assert folds.groupby(table["subject_id"]).nunique().eq(1).all()
    per_fold = pd.crosstab(folds, table[task], normalize="index")
    whole = table[task].value_counts(normalize=True)
    assert per_fold.sub(whole).abs().to_numpy().max() < 0.04
    assert folds.value_counts(normalize=True).sub(0.2).abs().max() < 0.02
