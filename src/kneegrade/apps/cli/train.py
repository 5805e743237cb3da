"""``kneegrade train``: recipe + ROI store -> run folder."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a .toml file.")],
    rois: Annotated[Path, typer.Option("--rois", metavar="DIR", help="The ROI store.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The run's folder.")],
    fold: Annotated[
        int | None, typer.Option(min=0, help="Hold out this fold instead of the published split.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that vary pictures.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run's facts as JSON.")] = False,
) -> None:
    """Train a network; the same command continues an interrupted run."""
    from kneegrade.training.recipe import read_recipe_text
    from kneegrade.training.run import fit_run

    if not logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    run = fit_run(
        read_recipe_text(recipe),
        rois,
        out,
        fold=fold,
        n_workers=workers,
        show_progress=sys.stderr.isatty(),
    )
    if as_json:
        typer.echo(json.dumps(run.facts, indent=2))
        return
    knees = run.facts["knees"]
    typer.echo(f"Trained on {knees['trained']} knees, held out {knees['selected']}: {out}")
    typer.echo(f"Held-out predictions: {out / 'heldout.parquet'}")
