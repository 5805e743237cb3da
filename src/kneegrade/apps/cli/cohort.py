"""``kneegrade cohort``: study files -> knee table."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kneegrade.errors import ImageError
from kneegrade.types import Contrast

N_LISTED = 10
N_JUDGED = 200

app = typer.Typer(help="Make a knee table from a study's files.", no_args_is_help=True)

OutOption = Annotated[
    Path, typer.Option("--out", metavar="TABLE", help="The table to write: .parquet or .csv.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


@app.command()
def kaggle(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The set, packed or in its published folders.")
    ],
    out: OutOption,
    contrast: Annotated[
        Contrast,
        typer.Option(help="What was done to the contrast of this copy; unknown is judged."),
    ] = Contrast.UNKNOWN,
    as_json: JsonOption = False,
) -> None:
    """Read the open knee images with KL grades: Chen 2018, or Gornale 2020 with two readers."""
    from kneegrade.apps.cli.open_knees import read_open_knees
    from kneegrade.cohorts.counts import summarise_knees
    from kneegrade.cohorts.table import rebase_images, write_knee_table

    found, left_out = read_open_knees(folder, contrast)
    knees = rebase_images(found, folder, out.parent)
    if contrast is Contrast.UNKNOWN:
        some = knees["image_path"].sample(min(N_JUDGED, len(knees)), random_state=0)
        knees["contrast"] = _judge_contrast(some, out).value
    write_knee_table(knees, out)
    _print_summary(
        {"table": str(out)}
        | summarise_knees(found)
        | {"contrast": knees["contrast"].iloc[0]}
        | left_out,
        as_json,
    )


@app.command()
def table(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Your table: .parquet, .csv or .xlsx.")
    ],
    out: OutOption,
    as_json: JsonOption = False,
) -> None:
    """Check your own table and write it in its normal form."""
    from kneegrade.cohorts.counts import summarise_knees
    from kneegrade.cohorts.table import (
        find_missing_images,
        read_with_notes,
        rebase_images,
        write_knee_table,
    )

    knees, notes = read_with_notes(file)
    missing = find_missing_images(knees, file)
    write_knee_table(rebase_images(knees, file.parent, out.parent), out)
    _print_summary(
        {"table": str(out)}
        | summarise_knees(knees)
        | {"notes": list(notes), "pictures_not_there": missing},
        as_json,
    )


def _judge_contrast(image_paths: Iterable[str], table_path: Path) -> Contrast:
    """Judge the whole set by some of its pictures: one copy of it was processed in one way."""
    import numpy as np

    from kneegrade.cohorts.table import resolve_image
    from kneegrade.images.read import read_radiograph
    from kneegrade.knees.contrast import judge_set_contrast, scale_to_unit

    pictures = []
    for path in image_paths:
        try:
            pixels = read_radiograph(resolve_image(table_path, path)).pixels
        except ImageError:
            continue  # prepare and grade give it a row with its error
        size = min(pixels.shape)
        top, left = ((length - size) // 2 for length in pixels.shape)
        square = pixels[top : top + size, left : left + size]
        pictures.append(np.rint(scale_to_unit(square) * 255).astype(np.uint8))
    return judge_set_contrast(pictures)


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    console = Console(soft_wrap=True, highlight=False)
    grid = Table(title=Text(f"{summary['knees']} knees written to {summary['table']}"))
    for name in summary["counts"][0]:
        grid.add_column(str(name), justify="left" if name == "split" else "right")
    for row in summary["counts"]:
        grid.add_row(*(str(value) for value in row.values()))
    console.print(grid)
    for name, value in summary.items():
        if name in {"table", "knees", "counts"}:
            continue
        label = name.replace("_", " ")
        if isinstance(value, list):
            console.print(f"{label}: {len(value)}", markup=False)
            for item in value[:N_LISTED]:
                console.print(f"  {item}", markup=False)
            if len(value) > N_LISTED:
                console.print(f"  and {len(value) - N_LISTED} more (all with --json)", markup=False)
        else:
            console.print(f"{label}: {value}", markup=False)
