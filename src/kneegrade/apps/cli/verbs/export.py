"""``kneegrade export``: run folders -> bundle."""

import json
from pathlib import Path
from typing import Annotated

import typer

from kneegrade.errors import OutputError


def export(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs.")],
    rois: Annotated[
        Path, typer.Option("--rois", metavar="DIR", help="The ROI store that the runs used.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the bundle.")],
    locator_film: Annotated[
        Path | None,
        typer.Option("--locator-film", metavar="RUN", help="The locator's run for whole films."),
    ] = None,
    locator_knee: Annotated[
        Path | None,
        typer.Option("--locator-knee", metavar="RUN", help="The locator's run for one knee."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="TOML", help="Data card of the training data, if none ships."
        ),
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option("--notes", metavar="MD", help="Further measurements, for the model card."),
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Version of the bundle.")] = "1",
    as_json: Annotated[bool, typer.Option("--json", help="Print bundle.json.")] = False,
) -> None:
    """Write a bundle of ONNX networks that compute what the trained ones do.

    Without runs for it, the locator is that of the embedded bundle.
    """
    from kneegrade.training.bundling.export import export_bundle

    if (locator_film is None) != (locator_knee is None):
        raise OutputError(
            "input.conflict",
            "A locator has two runs. Got only one of --locator-film and --locator-knee.",
            "Give both, or none to take the embedded bundle's.",
        )
    locator = (locator_film, locator_knee) if locator_film and locator_knee else None
    bundle = export_bundle(
        runs, rois, out, locator=locator, version=version, data_card=data, notes=notes
    )
    if as_json:
        typer.echo(json.dumps(json.loads((out / "bundle.json").read_bytes()), indent=2))
        return
    typer.echo(f"Bundle {bundle.bundle_id} with {len(bundle.members)} networks: {out}")
