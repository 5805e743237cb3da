"""``kneegrade prepare``: knee table + images -> ROI store."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kneegrade.apps.cli.exit_codes import exit_code_of
from kneegrade.apps.cli.options import WorkersOption
from kneegrade.errors import OutputError

if TYPE_CHECKING:
    from kneegrade.knees.posing.crop import RoiSpec


def prepare(
    knees: Annotated[Path, typer.Argument(metavar="TABLE", help="A knee table.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the ROI store.")],
    landmarks: Annotated[
        Path | None,
        typer.Option(
            "--landmarks", metavar="DIR", help="Your own landmark files, which take precedence."
        ),
    ] = None,
    size_px: Annotated[
        int | None,
        typer.Option("--size", min=32, max=2048, help="Width in pixels; 224, or 310 with --paper."),
    ] = None,
    width_mm: Annotated[
        float | None,
        typer.Option(
            "--width-mm", min=20, max=400, help="Width in mm; otherwise 1.25 plateau widths."
        ),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="As in the paper: 140 mm, 310 px, percentiles 5 and 99.")
    ] = False,
    bundle: Annotated[
        str, typer.Option("--bundle", metavar="NAME|DIR", help="The bundle whose locator is used.")
    ] = "default",
    workers: WorkersOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find every knee of a table, bring it to standard pose; continues where it stopped."""
    from kneegrade.apps.cli.progress import show_progress
    from kneegrade.apps.pages.contact_sheet import write_contact_sheet
    from kneegrade.bundles.manifest import read_bundle
    from kneegrade.cohorts.tables.table import read_knee_table
    from kneegrade.knees.fill_store import write_rois, write_unused_landmarks
    from kneegrade.knees.landmarks.folder import LandmarkFolder
    from kneegrade.knees.store import StoreSettings, summarise_index

    spec = _roi_spec(size_px, width_mm, paper=paper)
    table = read_knee_table(knees)
    own = None if landmarks is None else LandmarkFolder.read(landmarks, knees)
    with show_progress("Cutting knees") as on_progress:
        index = write_rois(
            table,
            knees,
            out,
            StoreSettings(spec),
            read_bundle(bundle).locator,
            landmarks=own,
            n_workers=workers,
            on_progress=on_progress,
        )
    pages = write_contact_sheet(out)
    summary = summarise_index(index) | {"store": str(out), "contact_sheet": str(pages[0])}
    if own is not None:
        summary["landmarks_without_image"] = write_unused_landmarks(own, table, out)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        _print_summary(summary)
    raise typer.Exit(exit_code_of(index["status"].unique(), index["error_code"].unique()))


def _roi_spec(size_px: int | None, width_mm: float | None, *, paper: bool) -> "RoiSpec":
    from kneegrade.knees.posing.crop import PAPER_ROI, RoiSpec

    if not paper:
        return RoiSpec(size_px=size_px or RoiSpec().size_px, width_mm=width_mm)
    if size_px or width_mm:
        raise OutputError(
            "input.conflict",
            "--paper sets size and width. Got --size or --width-mm as well.",
            "Leave one of them out.",
        )
    return PAPER_ROI


def _print_summary(summary: dict[str, Any]) -> None:
    done = summary["knees"] - summary["refused"] - summary["failed"]
    typer.echo(
        f"{done} knees in {summary['store']}, {summary['refused']} refused, "
        f"{summary['failed']} failed"
    )
    for code, n in summary["error_codes"].items():
        typer.echo(f"  {n} {code}")
    if "landmarks_without_image" in summary:
        typer.echo(
            f"Landmarks of {summary['landmarks_from_files']} knees from files; "
            f"{summary['landmarks_without_image']} knees of the files have no image in the table "
            "(landmarks.no-image, landmarks-unused.csv)"
        )
    typer.echo(f"Contact sheet: {summary['contact_sheet']}")
