"""Folds never split a subject, whatever the table."""

import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kneegrade.cohorts.folds import assign_folds
from kneegrade.errors import RecipeError

rows = st.tuples(
    st.sampled_from(["oai", "most"]), st.integers(0, 12), st.none() | st.integers(0, 4)
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(rows, min_size=2, max_size=60),
    n_folds=st.integers(2, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_subject_is_split(
    rows: list[tuple[str, int, int | None]], n_folds: int, seed: int
) -> None:
    table = pd.DataFrame(rows, columns=["cohort", "subject_id", "kl"]).astype(
        {"subject_id": "string", "kl": "Int8"}
    )
    try:
        folds = assign_folds(table, n_folds=n_folds, seed=seed)
    except RecipeError:
        assume(False)
    assert set(folds) == set(range(n_folds))
    assert folds.groupby([table["cohort"], table["subject_id"]]).nunique().eq(1).all()
    assert folds.index.equals(table.index)
