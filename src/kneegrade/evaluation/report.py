"""The report folder of an evaluation: ``metrics.json``, ``metrics.csv`` and ``report.html``."""

import base64
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from kneegrade.agreement_words import METRIC_LABELS, USE_LABELS, USE_SENTENCES, format_interval
from kneegrade.evaluation.bootstrap import COVERAGE
from kneegrade.evaluation.figures import REPORT_FIGURES
from kneegrade.evaluation.metrics import compute_confusion
from kneegrade.evaluation.subject_use import find_bundle_ids
from kneegrade.evaluation.tables import (
    Outcome,
    count_outcomes,
    iterate_tasks,
    select_group,
)
from kneegrade.output import write_whole, writing_to
from kneegrade.templates import fill_template
from kneegrade.terms import SubjectUse
from kneegrade.types import Task

SCHEMA_VERSION: Final = 1


def write_report(
    joined: pd.DataFrame, agreement: pd.DataFrame, folder: Path, *, rounds: int, seed: int
) -> dict[str, Any]:
    """Write the three files of the report; files of the same name are replaced.

    Parameters
    ----------
    joined : DataFrame
        From `tables.join_truth` and `subject_use.add_subject_use`.
    agreement : DataFrame
        From `tables.compute_agreement` on ``joined``.
    folder : Path
        Made where it does not exist.
    rounds, seed : int
        As given to `tables.compute_agreement`.

    Returns
    -------
    dict
        What ``metrics.json`` holds; see `summarise_agreement`.

    Raises
    ------
    OutputError
        ``output.not-writable``.
    """
    metrics = summarise_agreement(joined, agreement, rounds=rounds, seed=seed)
    page = _render_page(metrics, _draw_figures(joined))
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
        write_whole(folder / "metrics.csv", agreement.to_csv(index=False))
        write_whole(folder / "report.html", page)
    return metrics


def summarise_agreement(
    joined: pd.DataFrame, agreement: pd.DataFrame, *, rounds: int, seed: int
) -> dict[str, Any]:
    """Gather counts and figures in one dictionary that JSON can hold.

    Returns
    -------
    dict
        ``schema_version``, ``bundle_ids``, ``readings``, ``bootstrap``, ``counts`` (n_knees,
        n_failed, n_without_truth, n_not_predicted, n_unknown_status) and ``groups``: by use of the
        subjects, its ``label``, ``n_knees``, ``n_subjects`` and ``tasks``. A task has ``n_knees``,
        ``n_subjects``, ``confusion`` (rows: the reader's grade) and, by decoding and metric,
        ``estimate, low, high``, None where not defined. The group ``trained`` has no tasks.
    """
    compared = joined[joined["outcome"] == Outcome.COMPARED]
    return {
        "schema_version": SCHEMA_VERSION,
        "bundle_ids": find_bundle_ids(joined),
        "readings": sorted(set(compared["reading"]) - {""}),
        "bootstrap": {"by": "subject", "rounds": rounds, "seed": seed, "coverage": COVERAGE},
        "counts": count_outcomes(joined),
        "groups": {
            use.value: _summarise_group(select_group(joined, use), agreement, use)
            for use in SubjectUse
            if len(select_group(joined, use))
        },
    }


class _Shown(NamedTuple):
    """A figure as the page embeds it."""

    name: str
    caption: str
    source: str


def _render_page(metrics: dict[str, Any], figures: dict[tuple[str, str], list[_Shown]]) -> str:
    """HTML that refers to nothing outside itself; ``figures`` by (use, task)."""
    return fill_template(
        "kneegrade.evaluation",
        "report.html.jinja",
        metrics=metrics,
        figures=figures,
        metric_labels=METRIC_LABELS,
        use_sentences=USE_SENTENCES,
        task_labels={task.value: task.label for task in Task},
        write=format_interval,
    )


def _summarise_group(
    group: pd.DataFrame, agreement: pd.DataFrame, use: SubjectUse
) -> dict[str, Any]:
    tasks: dict[str, Any] = {}
    for graded in iterate_tasks(group) if use is not SubjectUse.TRAINED else ():
        task = graded.task
        rows = agreement[(agreement["use"] == use) & (agreement["task"] == task)]
        figures: dict[str, dict[str, Any]] = {}
        for row in rows.to_dict("records"):
            figures.setdefault(row["decoding"], {})[row["metric"]] = {
                name: None if pd.isna(row[name]) else row[name]
                for name in ("estimate", "low", "high")
            }
        confusion = compute_confusion(graded.true, graded.predicted, n_grades=task.n_grades)
        tasks[task.value] = {
            "n_knees": int(rows["n_knees"].iloc[0]),
            "n_subjects": int(rows["n_subjects"].iloc[0]),
            **figures,
            "confusion": confusion.tolist(),
        }
    return {
        "label": USE_LABELS[use],
        "n_knees": len(group),
        "n_subjects": len(group[["cohort", "subject_id"]].drop_duplicates()),
        "tasks": tasks,
    }


def _draw_figures(joined: pd.DataFrame) -> dict[tuple[str, str], list[_Shown]]:
    figures: dict[tuple[str, str], list[_Shown]] = {}
    for use in SubjectUse:
        if use is SubjectUse.TRAINED:
            continue
        for graded in iterate_tasks(select_group(joined, use)):
            figures[use.value, graded.task.value] = [
                _Shown(figure.name, figure.caption, _embed(svg))
                for figure in REPORT_FIGURES
                if (svg := figure.draw(graded)) is not None
            ]
    return figures


def _embed(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
