"""``kneegrade prepare``: knee table + pictures -> ROI store."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer


def prepare(
    knees: Annotated[Path, typer.Argument(metavar="TABLE", help="A knee table.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the ROI store.")],
    size_px: Annotated[int, typer.Option("--size", min=32, max=2048, help="Width in pixels.")] = (
        224
    ),
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = min(os.cpu_count() or 1, 4),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Cut every knee of a table into standard pose; continues where it stopped."""
    from kneegrade.apps.cli.grade import EXIT_NOTHING_DONE, EXIT_SOME_FAILED
    from kneegrade.apps.cli.progress import show_progress
    from kneegrade.cohorts.table import read_knee_table
    from kneegrade.knees.store import StoreSettings, write_rois

    table = read_knee_table(knees)
    with show_progress("Cutting knees") as on_progress:
        index = write_rois(
            table, knees, out, StoreSettings(size_px), n_workers=workers, on_progress=on_progress
        )
    failed = index[index["status"] != "ok"]
    counts = {str(code): int(n) for code, n in failed["error_code"].value_counts().items()}
    summary = {"knees": len(index), "failed": len(failed), "error_codes": counts, "store": str(out)}
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        typer.echo(f"{len(index) - len(failed)} knees in {out}, {len(failed)} failed")
        for code, n in counts.items():
            typer.echo(f"  {n} {code}")
    if len(failed):
        raise typer.Exit(EXIT_NOTHING_DONE if len(failed) == len(index) else EXIT_SOME_FAILED)
