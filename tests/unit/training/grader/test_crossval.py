import pandas as pd
import pytest

from kneegrade.bundles.subjects import hash_subject
from kneegrade.errors import TableError
from kneegrade.training.grader.crossval import HoldOut, hold_out
from kneegrade.training.grader.recipe import Recipe


@pytest.fixture
def index(knees: pd.DataFrame) -> pd.DataFrame:
    return knees.assign(status="ok", roi_file=[f"roi-{i}.png" for i in range(len(knees))])


def subjects(part: pd.DataFrame) -> set[str]:
    return set(part["subject_id"])


def test_a_published_split_is_kept(index: pd.DataFrame, recipe: Recipe) -> None:
    parts = hold_out(index, recipe, None)
    assert parts.name == "split"
    assert set(parts.train["split"]) == {"train"}
    assert set(parts.heldout["split"]) == {"val"}


def test_test_knees_are_left_alone(index: pd.DataFrame, recipe: Recipe) -> None:
    index.loc[:3, "split"] = "test"
    for fold in (None, 0, 1):
        parts = hold_out(index, recipe, fold)
        assert not {"s0", "s1"} & (subjects(parts.train) | subjects(parts.heldout))


def test_knees_without_a_roi_or_a_grade_are_left_out(index: pd.DataFrame, recipe: Recipe) -> None:
    index.loc[0, "status"] = "failed"
    parts = hold_out(index, recipe, None)
    assert len(parts.train) == 10  # 12, one failed, one without a grade
    assert parts.train["kl"].notna().all()


@pytest.mark.parametrize("column", ["split", None])
def test_folds_share_no_subject_and_cover_all(
    index: pd.DataFrame, recipe: Recipe, column: str | None
) -> None:
    table = index if column else index.drop(columns="split")
    held = []
    for fold in range(recipe.n_folds):
        parts = hold_out(table, recipe, fold)
        assert parts.name == f"fold-{fold}"
        assert not subjects(parts.train) & subjects(parts.heldout)
        assert len(parts.train) + len(parts.heldout) == 15
        held.append(subjects(parts.heldout))
    assert set.union(*held) == subjects(index)
    assert sum(map(len, held)) == 8


def test_without_a_split_the_first_fold_is_held_out(index: pd.DataFrame, recipe: Recipe) -> None:
    table = index.drop(columns="split")
    pd.testing.assert_frame_equal(
        hold_out(table, recipe, None).heldout, hold_out(table, recipe, 0).heldout
    )


def test_hashed_subjects(index: pd.DataFrame, recipe: Recipe) -> None:
    parts = hold_out(index, recipe, None)
    hashed = parts.hashed_subjects()
    assert hashed.trained == {hash_subject("made-up", s) for s in subjects(parts.train)}
    assert hashed.selected == {hash_subject("made-up", s) for s in subjects(parts.heldout)}
    both = HoldOut(parts.train, parts.train, "odd").hashed_subjects()
    assert both.selected == set()  # trained on weighs more


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(status="failed"),
        lambda t: t.drop(columns="kl"),
        lambda t: t.assign(kl=pd.array([None] * len(t), dtype="Int8")),
        lambda t: t.assign(kl=t["kl"].where(t["split"] == "train")),
        lambda t: t.iloc[:0],
    ],
    ids=["all failed", "no such column", "no grades", "none to hold out", "no rows"],
)
def test_nothing_to_train_on(index: pd.DataFrame, recipe: Recipe, change: object) -> None:
    with pytest.raises(TableError) as caught:
        hold_out(change(index), recipe, None)  # type: ignore[operator]
    assert caught.value.code == "table.empty"


def test_a_fold_that_there_is_not(index: pd.DataFrame, recipe: Recipe) -> None:
    with pytest.raises(TableError) as caught:
        hold_out(index, recipe, recipe.n_folds)
    assert caught.value.code == "table.empty"


def test_test_knees_are_left_alone_where_there_is_no_val(
    index: pd.DataFrame, recipe: Recipe
) -> None:
    index["split"] = ["train"] * 12 + ["test"] * 4
    parts = hold_out(index, recipe, None)
    assert not {"s6", "s7"} & (subjects(parts.train) | subjects(parts.heldout))
