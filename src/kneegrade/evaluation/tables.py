"""Predictions joined with the readers' grades, and the agreement between the two as a table."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kneegrade.cohorts.tables.schema import KEY_COLUMNS
from kneegrade.errors import TableError
from kneegrade.evaluation.bootstrap import Interval, bootstrap_by_subject
from kneegrade.evaluation.metrics import (
    CALIBRATION_METRICS,
    DETECTION_METRICS,
    GRADE_METRICS,
    compute_ece,
)
from kneegrade.grading.predictions import STATUSES
from kneegrade.terms import SubjectUse
from kneegrade.types import Task


class Outcome(StrEnum):
    """What became of one row of the joined table."""

    COMPARED = "compared"
    """Predicted, and graded by a reader."""
    FAILED = "failed"
    """The prediction failed: there is no grade."""
    WITHOUT_TRUTH = "without-truth"
    """Predicted, but no reader's grade is there."""
    NOT_PREDICTED = "not-predicted"
    """In the knee table, but in no prediction."""


class GradedTask(NamedTuple):
    """One task of one group of knees: arrays over the knees that have both grades.

    ``probabilities`` is (n, n_grades), or None where the predictions hold none.
    """

    task: Task
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64] | None
    subjects: NDArray[Any]


def join_truth(predictions: pd.DataFrame, knees: pd.DataFrame) -> pd.DataFrame:
    """Put the readers' grades beside the predictions; nothing is dropped.

    A prediction with a whole key is joined by it (an empty ``reading`` is a reading without a
    name), any other by ``source`` = ``image_path`` and ``side``. A failed prediction without a
    side stands for every knee of its image.

    Parameters
    ----------
    predictions : DataFrame
        A prediction table; it may cover a part of the knees only.
    knees : DataFrame
        A knee table.

    Returns
    -------
    DataFrame
        One row per knee of either table: the columns of the predictions, ``<task>_true`` for every
        task that both tables have, and ``outcome`` (`Outcome`).

    Raises
    ------
    TableError
        ``table.column-missing``, ``table.value-invalid`` (a grade outside its scale, a prediction
        without key and side), ``table.key-duplicate`` (a knee twice in one table), or
        ``table.no-match``.
    """
    _check_columns(predictions, ("source", "status"), "prediction")
    _check_columns(knees, (*KEY_COLUMNS, "image_path"), "knee")
    tasks = [task for task in Task if task in predictions.columns and task in knees.columns]
    if not tasks:
        raise TableError(
            "table.column-missing",
            "The two tables must share a column of grades, such as kl. Got none.",
            "Name the columns of grades as kneegrade does: kl, jsn_l, ...",
        )
    predicted = _normalise(predictions, tasks, "prediction")
    truth = _normalise(knees, tasks, "knee").reset_index(drop=True)
    _check_unique(truth, KEY_COLUMNS, "knee")
    matched = _match(predicted, truth)
    if matched["truth_row"].isna().all():
        raise TableError(
            "table.no-match",
            f"No prediction matches a knee of the knee table, by key or by source and side. "
            f"Got {len(predicted)} predictions and {len(truth)} knees.",
            "Grade with --knees and the same knee table: its key then passes through.",
        )
    graded = (
        truth[[*KEY_COLUMNS, *tasks]].add_suffix("_true").rename_axis("truth_row").reset_index()
    )
    joined = matched.merge(graded, on="truth_row", how="outer", indicator="found_in")
    for name in KEY_COLUMNS:
        joined[name] = joined.pop(f"{name}_true").fillna(joined[name])
    joined["outcome"] = _tell_outcome(joined, tasks)
    return joined.drop(columns=["truth_row", "found_in"])


def count_outcomes(joined: pd.DataFrame) -> dict[str, int]:
    """Count the knees compared, failed, predicted without truth, and not predicted.

    ``n_unknown_status`` of those that failed have a status that kneegrade does not know.
    """
    counts = joined["outcome"].value_counts()
    names = {
        "n_knees": Outcome.COMPARED,
        "n_failed": Outcome.FAILED,
        "n_without_truth": Outcome.WITHOUT_TRUTH,
        "n_not_predicted": Outcome.NOT_PREDICTED,
    }
    unknown = joined["status"].notna() & ~joined["status"].isin(STATUSES)
    return {
        **{name: int(counts.get(outcome.value, 0)) for name, outcome in names.items()},
        "n_unknown_status": int(unknown.sum()),
    }


def select_group(joined: pd.DataFrame, use: SubjectUse) -> pd.DataFrame:
    """Rows of the compared knees whose subjects had this use."""
    return joined[(joined["outcome"] == Outcome.COMPARED) & (joined["use"] == use)]


def iterate_tasks(group: pd.DataFrame) -> Iterator[GradedTask]:
    """Give the arrays of every task for which the group has knees with both grades.

    Parameters
    ----------
    group : DataFrame
        From `select_group`.

    Raises
    ------
    TableError
        ``table.value-invalid`` if the probabilities of a knee are not a distribution.
    """
    for task in Task:
        if f"{task}_true" not in group.columns:
            continue
        rows = group[group[task].notna() & group[f"{task}_true"].notna()]
        if len(rows):
            yield GradedTask(
                task,
                rows[f"{task}_true"].to_numpy(np.int64),
                rows[task].to_numpy(np.int64),
                _read_probabilities(rows, task),
                (rows["cohort"].astype(str) + "\0" + rows["subject_id"].astype(str)).to_numpy(str),
            )


def compute_agreement(joined: pd.DataFrame, *, rounds: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Agreement with the readers for every group of subjects and every task.

    Parameters
    ----------
    joined : DataFrame
        From `join_truth` and `subject_use.add_subject_use`.
    rounds : int
        Rounds of the bootstrap by subject.
    seed : int
        Every interval is drawn from a generator of its own with this seed, so that none depends
        on which others are computed.

    Returns
    -------
    DataFrame
        Columns ``use, task, decoding, metric, estimate, low, high, n_knees, n_subjects``.
        ``decoding`` is ``reported``, ``most_probable``, ``expected`` (the expected grade, rounded)
        or ``probabilities``. Knees that the network was trained on have one row per task with the
        counts alone: no metric. The expected calibration error has no interval, because
        resampling itself raises it.

    Raises
    ------
    TableError
        ``table.empty`` if no knee has both grades; ``table.value-invalid`` as `iterate_tasks`.
    """
    rows: list[dict[str, Any]] = []
    for use in SubjectUse:
        for graded in iterate_tasks(select_group(joined, use)):
            counts = {
                "n_knees": len(graded.true),
                "n_subjects": len(np.unique(graded.subjects)),
            }
            begin = {"use": use.value, "task": graded.task.value}
            if use is SubjectUse.TRAINED:
                rows.append({**begin, **counts})
                continue
            for decoding, metric, interval in _compute_intervals(graded, rounds, seed):
                figure = {"decoding": decoding, "metric": metric, **interval._asdict()}
                rows.append({**begin, **figure, **counts})
    if not rows:
        raise TableError(
            "table.empty",
            "No knee has both a predicted grade and a reader's grade.",
            "See status and error_code of the prediction table.",
        )
    columns = ["use", "task", "decoding", "metric", *Interval._fields, "n_knees", "n_subjects"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _compute_intervals(
    graded: GradedTask, rounds: int, seed: int
) -> Iterator[tuple[str, str, Interval]]:
    def interval(metric: Callable[..., float], values: NDArray[Any]) -> Interval:
        rng = np.random.default_rng(seed)
        return bootstrap_by_subject(
            graded.true, values, subjects=graded.subjects, metric=metric, rng=rng, rounds=rounds
        )

    n_grades = graded.task.n_grades
    decoded = {"reported": graded.predicted}
    probabilities = graded.probabilities
    if probabilities is not None:
        decoded["most_probable"] = probabilities.argmax(axis=1)
        expected = probabilities @ np.arange(n_grades) / probabilities.sum(axis=1)
        decoded["expected"] = np.floor(expected + 0.5).astype(np.int64)
    for decoding, grades in decoded.items():
        for name, metric in GRADE_METRICS.items():
            yield decoding, name, interval(partial(metric, n_grades=n_grades), grades)
    if probabilities is None:
        return
    detection = DETECTION_METRICS if graded.task is Task.KL else {}
    for name, compute in {**detection, **CALIBRATION_METRICS}.items():
        if compute is compute_ece:
            estimate = compute_ece(graded.true, probabilities)
            yield "probabilities", name, Interval(estimate, float("nan"), float("nan"))
        else:
            yield "probabilities", name, interval(compute, probabilities)


def _match(predicted: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Give every prediction the number of its row of ``truth`` (``truth_row``, nullable)."""
    truth = truth.rename_axis("truth_row").reset_index()
    has_key = predicted[list(KEY_COLUMNS)].notna().all(axis=1)
    has_side = predicted["side"].notna()
    if (~has_key & ~has_side & (predicted["status"] == "ok")).any():
        raise TableError(
            "table.value-invalid",
            "A prediction without a whole key must have a side.",
            "Fill the column side: right or left.",
        )
    loose, sideless = predicted[~has_key & has_side], predicted[~has_key & ~has_side]
    _check_unique(predicted[has_key], KEY_COLUMNS, "prediction")
    _check_unique(loose, ("source", "side"), "prediction")
    pictures = truth.rename(columns={"image_path": "source"})
    pictures = pictures[pictures["source"].notna()]
    _check_unique(pictures[pictures["source"].isin(loose["source"])], ("source", "side"), "knee")
    matched = pd.concat(
        [
            predicted[has_key].merge(
                truth[[*KEY_COLUMNS, "truth_row"]], on=list(KEY_COLUMNS), how="left"
            ),
            loose.merge(pictures[["source", "side", "truth_row"]], how="left"),
            sideless.merge(pictures[["source", "truth_row"]], on="source", how="left"),
        ],
        ignore_index=True,
    ).astype({"truth_row": "Int64"})
    _check_unique(matched[matched["truth_row"].notna()], ("truth_row",), "prediction")
    return matched


def _tell_outcome(joined: pd.DataFrame, tasks: list[Task]) -> list[str]:
    predicted = joined[list(tasks)].notna().to_numpy()
    true = joined[[f"{task}_true" for task in tasks]].notna().to_numpy()
    cases = {
        Outcome.NOT_PREDICTED: (joined["found_in"] == "right_only").to_numpy(),
        Outcome.FAILED: (joined["status"] != "ok").to_numpy(bool, na_value=True)
        | ~predicted.any(axis=1),
        Outcome.WITHOUT_TRUTH: ~(predicted & true).any(axis=1),
    }
    names = [outcome.value for outcome in cases]
    return list(np.select(list(cases.values()), names, Outcome.COMPARED.value))


def _normalise(table: pd.DataFrame, tasks: list[Task], kind: str) -> pd.DataFrame:
    """Bring key, paths and grades to one type each, so that both tables compare."""
    result = table.copy()
    for name in ("cohort", "subject_id", "side", "reading", "status"):
        column = table[name] if name in table.columns else pd.Series(pd.NA, index=table.index)
        result[name] = column.astype("string")
    result["reading"] = result["reading"].fillna("")
    if "visit_months" not in table.columns:
        result["visit_months"] = pd.NA
    result["visit_months"] = _to_integers(result["visit_months"], "visit_months", kind)
    for name in {"source", "image_path"} & set(table.columns):
        paths = table[name].astype("string").str.replace("\\", "/", regex=False)
        result[name] = paths.str.strip().str.removeprefix("./")
    for task in tasks:
        result[task.value] = _to_integers(table[task], task.value, kind)
        if not result[task].dropna().between(0, task.n_grades - 1).all():
            raise TableError(
                "table.value-invalid",
                f"The {kind} table's {task.value} must be in 0..{task.n_grades - 1}. "
                f"Got {result[task].min()}..{result[task].max()}.",
                "Correct the grades, or leave the cell empty where there is none.",
            )
    return result


def _to_integers(column: "pd.Series[Any]", name: str, kind: str) -> "pd.Series[Any]":
    try:
        return pd.to_numeric(column).astype("Int64")
    except (TypeError, ValueError) as error:
        raise TableError(
            "table.value-invalid",
            f"The {kind} table's {name} must hold whole numbers. Got another value.",
            "Correct the column, or leave the cell empty where there is no value.",
        ) from error


def _read_probabilities(rows: pd.DataFrame, task: Task) -> NDArray[np.float64] | None:
    names = [f"{task}_p{grade}" for grade in range(task.n_grades)]
    if not set(names) <= set(rows.columns) or rows[names].isna().all(axis=None):
        return None
    numbers = rows[names].apply(pd.to_numeric, errors="coerce")
    probabilities: NDArray[np.float64] = numbers.to_numpy(np.float64, na_value=np.nan)
    sums = probabilities.sum(axis=1)
    if not ((probabilities >= 0).all() and np.allclose(sums, 1, atol=0.01)):
        raise TableError(
            "table.value-invalid",
            f"The probabilities {names[0]}..{names[-1]} of a knee must be {task.n_grades} numbers "
            "from 0 to 1 that sum to 1. Got a knee where they do not.",
            "Write the table again with kneegrade grade.",
        )
    return probabilities


def _check_columns(table: pd.DataFrame, names: tuple[str, ...], kind: str) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise TableError(
            "table.column-missing",
            f"The {kind} table must have the columns {', '.join(names)}. "
            f"Got none named {', '.join(missing)}.",
            "The first table is the predictions, the second the knees.",
        )


def _check_unique(table: pd.DataFrame, names: tuple[str, ...], kind: str) -> None:
    n_repeated = int(table.duplicated(list(names)).sum())
    if n_repeated:
        raise TableError(
            "table.key-duplicate",
            f"Every knee must appear once in the {kind} table. Got {n_repeated} repeated rows.",
            "Remove the repeats, or tell the readings apart by the column reading.",
        )
