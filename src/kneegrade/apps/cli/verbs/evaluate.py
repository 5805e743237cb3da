"""``kneegrade evaluate``: prediction table + knee table -> report folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from kneegrade.errors import BundleError, MissingExtraError

if TYPE_CHECKING:
    from kneegrade.bundles.manifest import Bundle


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Prediction table: Parquet, CSV or JSON.")],
    knees: Annotated[Path, typer.Argument(help="Knee table with the readers' grades.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report.")] = Path("evaluation"),
    bundle: Annotated[
        str | None,
        typer.Option("--bundle", help="Bundle that made the predictions: name or folder."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare predictions with the readers' grades, with intervals by subject."""
    try:
        from kneegrade.cohorts.tables.table import read_knee_table
        from kneegrade.evaluation.report import write_report
        from kneegrade.evaluation.subject_use import add_subject_use, choose_subject_use
        from kneegrade.evaluation.tables import compute_agreement, join_truth
        from kneegrade.grading.predictions import read_predictions
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kneegrade"):
            raise
        raise MissingExtraError.for_extra("study", "kneegrade evaluate") from error
    from kneegrade.bundles.manifest import read_bundle

    predicted = read_predictions(predictions)
    asked = None if bundle is None else read_bundle(bundle)
    use_of_subject = choose_subject_use(predicted, asked, _read_embedded_bundle())
    joined = add_subject_use(join_truth(predicted, read_knee_table(knees)), use_of_subject)
    agreement = compute_agreement(joined, rounds=rounds, seed=seed)
    metrics = write_report(joined, agreement, out, rounds=rounds, seed=seed)
    if as_json:
        typer.echo(json.dumps(metrics, indent=2, allow_nan=False))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for part in _show(metrics):
        console.print(part)
    typer.echo(f"Written: {out / 'report.html'}", err=True)


def _read_embedded_bundle() -> "Bundle | None":
    from kneegrade.bundles.manifest import read_bundle

    try:
        return read_bundle("default")
    except BundleError as error:
        if error.code != "bundle.not-found":
            raise
        return None


def _show(metrics: dict[str, Any]) -> Iterator[str | Table]:
    from kneegrade.agreement_words import METRIC_LABELS, format_interval

    counts = metrics["counts"]
    yield (
        f"{counts['n_knees']} knees compared, {counts['n_failed']} failed, "
        f"{counts['n_without_truth']} without a reader's grade, "
        f"{counts['n_not_predicted']} not predicted"
    )
    for group in metrics["groups"].values():
        yield f"\n{group['label']} ({group['n_knees']} knees, {group['n_subjects']} subjects)"
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
        for task, figures in group["tasks"].items():
            for decoding in ("reported", "probabilities"):
                for metric, figure in figures.get(decoding, {}).items():
                    table.add_row(task, METRIC_LABELS[metric], format_interval(**figure))
        if table.row_count:
            yield table
