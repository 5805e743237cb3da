"""``kneegrade train``: recipe + ROI store, or landmark tables -> run folder."""

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kneegrade.errors import OutputError

if TYPE_CHECKING:
    from kneegrade.training.grader.run import FinishedRun
    from kneegrade.training.locator.run import FinishedLandmarkRun


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a .toml file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The run's folder.")],
    rois: Annotated[
        Path | None, typer.Option("--rois", metavar="DIR", help="The ROI store, for grades.")
    ] = None,
    landmarks: Annotated[
        list[Path] | None,
        typer.Option("--landmarks", metavar="CSV", help="A landmark table, for the locator."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="RUN",
            help="Landmark run or bundle (default: the embedded one) whose weights to start from.",
        ),
    ] = None,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Hold out this fold instead of the published split.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that augment images.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run's facts as JSON.")] = False,
) -> None:
    """Train a network; the same command continues an interrupted run."""
    from kneegrade.training.locator.recipe import is_landmark_recipe
    from kneegrade.training.recipe_fields import read_recipe_text

    if not logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    text = read_recipe_text(recipe)
    of_landmarks = is_landmark_recipe(text)
    if of_landmarks != bool(landmarks) or of_landmarks == bool(rois) or (start and not landmarks):
        raise OutputError(
            "input.conflict",
            "A recipe for grades needs --rois, one with a stage needs --landmarks (and may have "
            "--start). Something else was given.",
            "See kneegrade train --help.",
        )
    settings: dict[str, Any] = {
        "fold": fold,
        "n_workers": workers,
        "show_progress": sys.stderr.isatty(),
    }
    run: FinishedRun | FinishedLandmarkRun
    if rois is not None:
        from kneegrade.training.grader.run import fit_run

        run = fit_run(text, rois, out, **settings)
    else:
        from kneegrade.training.locator.run import fit_landmark_run

        run = fit_landmark_run(text, landmarks or [], out, start=start, **settings)
    if as_json:
        typer.echo(json.dumps(run.facts, indent=2))
        return
    knees = run.facts["knees"]
    typer.echo(f"Trained on {knees['trained']} knees, held out {knees['selected']}: {out}")
    heldout = "heldout.csv" if of_landmarks else "heldout.parquet"
    typer.echo(f"Held-out knees: {out / heldout}")
