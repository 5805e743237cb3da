import time

import numpy as np
import pandas as pd
import pytest

from kneegrade.errors import TableError
from kneegrade.evaluation.metrics import compute_ece, compute_quadratic_kappa
from kneegrade.evaluation.subject_use import add_subject_use
from kneegrade.evaluation.tables import (
    compute_agreement,
    count_outcomes,
    join_truth,
)
from kneegrade.terms import SubjectUse

KEY = ["cohort", "subject_id", "visit_months", "side", "reading"]


def counts(joined: pd.DataFrame) -> tuple[int, ...]:
    return tuple(count_outcomes(joined).values())[:4]


def compared(joined: pd.DataFrame) -> pd.DataFrame:
    rows = joined[joined["outcome"] == "compared"]
    return rows.sort_values(KEY)[[*KEY, "kl", "kl_true"]].reset_index(drop=True)


def test_join_by_key_in_any_order(predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    joined = join_truth(
        predictions.sample(frac=1, random_state=1).assign(source="elsewhere"), knees
    )
    assert counts(joined) == (60, 0, 0, 0)
    truth = knees.sort_values(KEY)["kl"].tolist()
    assert compared(joined)["kl_true"].tolist() == truth
    assert compared(joined)["kl"].tolist() == predictions.sort_values(KEY)["kl"].tolist()


def test_join_by_source_and_side_is_the_same(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    loose = predictions.drop(columns=["cohort", "subject_id", "visit_months", "reading"])
    by_source = join_truth(loose.assign(source="./" + loose["source"].astype(str)), knees)
    pd.testing.assert_frame_equal(compared(by_source), compared(join_truth(predictions, knees)))


def test_some_rows_by_key_and_others_by_source(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    predictions.loc[:9, "subject_id"] = None
    assert counts(join_truth(predictions, knees)) == (60, 0, 0, 0)


def test_an_empty_reading_survives_a_csv(predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    predictions["reading"], predictions["source"], knees["reading"] = None, "elsewhere", ""
    assert counts(join_truth(predictions, knees)) == (60, 0, 0, 0)


def test_a_split_alone_leaves_the_rest_not_predicted(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    assert counts(join_truth(predictions[:20], knees)) == (20, 0, 0, 40)


def test_failed_and_without_truth_are_counted(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    predictions.loc[:2, ["status", "kl"]] = ["failed", None]
    knees.loc[3, "kl"] = pd.NA
    assert counts(join_truth(predictions, knees.drop(index=[4, 5]))) == (54, 3, 3, 0)


def test_a_failed_film_stands_for_both_of_its_knees(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    knees.loc[:1, "image_path"] = "films/both.png"
    failed = {"source": "films/both.png", "status": "failed", "error_code": "knee.not-found"}
    table = pd.concat([pd.DataFrame([failed]), predictions[2:]], ignore_index=True)
    assert counts(join_truth(table, knees)) == (58, 2, 0, 0)


@pytest.mark.parametrize("which", ["predictions", "knees"])
def test_a_knee_twice(which: str, predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    tables = {"predictions": predictions, "knees": knees}
    tables[which] = pd.concat([tables[which], tables[which][:1]])
    with pytest.raises(TableError) as caught:
        join_truth(tables["predictions"], tables["knees"])
    assert caught.value.code == "table.key-duplicate"


def test_a_knee_once_by_key_and_once_by_source(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    again = pd.concat([predictions, predictions[:1].assign(subject_id=None)], ignore_index=True)
    with pytest.raises(TableError) as caught:
        join_truth(again, knees)
    assert caught.value.code == "table.key-duplicate"


def test_two_readings_of_a_picture_cannot_be_told_apart_by_source(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    both = pd.concat([knees, knees.assign(reading="second")])
    assert counts(join_truth(predictions, both)) == (60, 0, 0, 60)
    with pytest.raises(TableError) as caught:
        join_truth(predictions.drop(columns="reading").assign(cohort=None), both)
    assert caught.value.code == "table.key-duplicate"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"subject_id": "another"}, "table.no-match"),
        ({"kl": 5}, "table.value-invalid"),
        ({"kl": 1.9}, "table.value-invalid"),
        ({"kl": "two"}, "table.value-invalid"),
        ({"side": None}, "table.value-invalid"),
    ],
)
def test_wrong_values(
    changes: dict[str, object], code: str, predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    predictions["subject_id"] = predictions["subject_id"] + predictions["side"]
    knees["subject_id"] = knees["subject_id"] + knees["side"]
    wrong = predictions[:1].assign(**changes)
    with pytest.raises(TableError) as caught:
        join_truth(wrong, knees)
    assert caught.value.code == code


def test_a_status_that_nobody_knows_counts_as_failed_and_is_counted(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    predictions.loc[:2, "status"] = ["refused", "done", ""]
    joined = join_truth(predictions[:50], knees)
    assert counts(joined) == (47, 3, 0, 10)
    assert count_outcomes(joined)["n_unknown_status"] == 2


@pytest.mark.parametrize("column", ["status", "source", "kl"])
def test_missing_column(column: str, predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    with pytest.raises(TableError) as caught:
        join_truth(predictions.drop(columns=column), knees)
    assert caught.value.code == "table.column-missing"


def test_agreement_has_every_figure(predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    joined = add_subject_use(join_truth(predictions, knees), lambda c, s: SubjectUse.UNSEEN)
    agreement = compute_agreement(joined, rounds=50).set_index(["decoding", "metric"])
    assert set(agreement["use"]) == {"unseen"}
    assert set(agreement["task"]) == {"kl"}
    assert agreement.index.tolist() == [
        *[
            (decoding, metric)
            for decoding in ("reported", "most_probable", "expected")
            for metric in ("quadratic_kappa", "balanced_accuracy", "accuracy", "mae")
        ],
        *[("probabilities", metric) for metric in ("auc", "average_precision", "ece", "brier")],
    ]
    assert (agreement["n_knees"] == 60).all()
    assert (agreement["n_subjects"] == 30).all()
    kappa = agreement.loc[("reported", "quadratic_kappa")]
    expected = compute_quadratic_kappa(
        knees["kl"].to_numpy(int), predictions["kl"].to_numpy(int), n_grades=5
    )
    assert kappa["estimate"] == pytest.approx(expected)
    assert kappa["low"] < kappa["estimate"] < kappa["high"]
    probabilities = predictions[[f"kl_p{grade}" for grade in range(5)]].to_numpy()
    ece = agreement.loc[("probabilities", "ece")]
    assert ece["estimate"] == pytest.approx(compute_ece(knees["kl"].to_numpy(int), probabilities))
    assert np.isnan(ece["low"])


def test_expected_grade_is_rounded_half_up(predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    for grade, p in enumerate([0.5, 0.0, 0.0, 0.5, 0.0]):  # expected grade 1.5
        predictions[f"kl_p{grade}"] = p
    knees["kl"] = 2
    joined = add_subject_use(join_truth(predictions, knees), None)
    agreement = compute_agreement(joined, rounds=1).set_index(["decoding", "metric"])["estimate"]
    assert agreement["expected", "accuracy"] == 1
    assert agreement["most_probable", "mae"] == 2


def test_trained_subjects_have_counts_and_no_figure(
    predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    def use(cohort: str, subject: str) -> SubjectUse:
        return SubjectUse.TRAINED if subject < "0020" else SubjectUse.SELECTED

    joined = add_subject_use(join_truth(predictions, knees), use)
    agreement = compute_agreement(joined, rounds=5)
    trained = agreement[agreement["use"] == SubjectUse.TRAINED]
    assert len(trained) == 1
    assert trained[["decoding", "metric", "estimate", "low", "high"]].isna().all(axis=None)
    n_trained = sum(subject < "0020" for subject in knees["subject_id"])
    assert trained["n_knees"].item() == n_trained
    selected = agreement[agreement["use"] == SubjectUse.SELECTED]
    assert set(selected["n_knees"]) == {60 - n_trained}


def test_order_of_rows_changes_no_figure(predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    shuffled = predictions.sample(frac=1, random_state=2), knees.sample(frac=1, random_state=3)
    one, other = (
        compute_agreement(add_subject_use(join_truth(*tables), None), rounds=20)
        for tables in ((predictions, knees), shuffled)
    )
    pd.testing.assert_frame_equal(one, other)


def test_grades_alone_are_enough(predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    bare = predictions.drop(columns=[f"kl_p{grade}" for grade in range(5)])
    agreement = compute_agreement(add_subject_use(join_truth(bare, knees), None), rounds=5)
    assert agreement["decoding"].unique().tolist() == ["reported"]


@pytest.mark.parametrize("value", [None, -0.5, 1.7])
def test_wrong_probabilities(
    value: float | None, predictions: pd.DataFrame, knees: pd.DataFrame
) -> None:
    predictions.loc[0, "kl_p0"] = value
    with pytest.raises(TableError) as caught:
        compute_agreement(add_subject_use(join_truth(predictions, knees), None), rounds=5)
    assert caught.value.code == "table.value-invalid"


def test_nothing_left_to_compare(predictions: pd.DataFrame, knees: pd.DataFrame) -> None:
    joined = join_truth(predictions.assign(status="failed"), knees)
    with pytest.raises(TableError) as caught:
        compute_agreement(add_subject_use(joined, None))
    assert caught.value.code == "table.empty"


@pytest.mark.slow
def test_a_default_evaluation_is_quick() -> None:
    rng = np.random.default_rng(0)
    n_knees = 826
    probabilities = rng.dirichlet(np.ones(5), size=n_knees)
    joined = pd.DataFrame(
        {
            "cohort": "oai",
            "subject_id": np.repeat(np.arange(413), 2).astype(str),
            "outcome": "compared",
            "use": "selected",
            "kl": probabilities.argmax(axis=1),
            "kl_true": rng.integers(0, 5, size=n_knees),
            **{f"kl_p{grade}": probabilities[:, grade] for grade in range(5)},
        }
    )
    begin = time.process_time()
    compute_agreement(joined)
    assert time.process_time() - begin < 20
