"""``kneegrade cohort``: study files -> knee table."""

import json
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kneegrade.apps.cli.study_knees import make_study_table, show_table_1, write_files
from kneegrade.errors import ImageError
from kneegrade.types import Contrast, Task

DISTRIBUTIONS: Final = MappingProxyType(
    {
        "kl": (Task.KL,),
        "lateral": tuple(task for task in Task if task.value.endswith("l") and task is not Task.KL),
        "medial": tuple(task for task in Task if task.value.endswith("m")),
    }
)
"""The distribution figures by name; lateral and medial are the paper's supplementary figures."""
N_LISTED = 10
N_JUDGED = 200

app = typer.Typer(help="Make a knee table from a study's files.", no_args_is_help=True)

OutOption = Annotated[
    Path, typer.Option("--out", metavar="TABLE", help="The table to write: .parquet or .csv.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
StudyArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The release: tables and films, at any depth.")
]
ModeOption = Annotated[
    Literal["paper", "full"],
    typer.Option(help="Keep knees that have every grade the paper required, or any grade."),
]
CropsOption = Annotated[
    Path | None,
    typer.Option(
        "--crops",
        metavar="DIR",
        help="Take the 2019 study's images of single knees from there instead of films.",
        show_default=False,
    ),
]


@app.command()
def oai(
    folder: StudyArgument,
    out: OutOption,
    mode: ModeOption = "paper",
    jsn: Annotated[
        Literal["floor", "paper"],
        typer.Option(help="Narrowing such as 1.4: its whole part, or rounded as the paper did."),
    ] = "floor",
    crops: CropsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the OAI release; what became of every row is written beside the table."""
    from kneegrade.cohorts.oai.read import read_oai

    options = {"mode": mode, "jsn": jsn}
    make_study_table(
        read_oai, folder, out, study="oai", options=options, crops=crops, as_json=as_json
    )


@app.command()
def most(
    folder: StudyArgument,
    out: OutOption,
    mode: ModeOption = "paper",
    code_1_9: Annotated[
        Literal["drop", "floor", "paper"],
        typer.Option(
            "--code-1-9",
            help="A cell such as 1.9: no grade, its whole part, or rounded as the paper did.",
        ),
    ] = "drop",
    view: Annotated[
        Literal["PA05", "PA10", "PA15"], typer.Option(help="Which of a knee's films to take.")
    ] = "PA10",
    crops: CropsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the MOST release; what became of every row is written beside the table."""
    from kneegrade.cohorts.most.read import read_most

    options = {"mode": mode, "code_1_9": code_1_9, "view": view}
    make_study_table(
        read_most, folder, out, study="most", options=options, crops=crops, as_json=as_json
    )


@app.command()
def describe(
    tables: Annotated[
        list[Path], typer.Argument(metavar="TABLE...", help="Knee tables, shown side by side.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the drawings.")],
    by: Annotated[
        Literal["cohort", "reading", "split"],
        typer.Option(help="Column whose values are shown side by side."),
    ] = "cohort",
    as_json: JsonOption = False,
) -> None:
    """Count the knees of each grade, as the paper's Table 1, and draw the counts."""
    from kneegrade.cohorts.tables.table import read_knee_table
    from kneegrade.evaluation.figures import draw_distribution
    from kneegrade.evaluation.grade_counts import (
        compute_table_1,
        format_html,
        format_markdown,
        stack_tables,
    )

    counts = compute_table_1(stack_tables([read_knee_table(path) for path in tables]), by=by)
    files = {
        out / "table-1.csv": counts.to_csv(index=False).encode(),
        out / "table-1.md": format_markdown(counts).encode(),
    }
    names = []
    for name, tasks in DISTRIBUTIONS.items():
        if drawn := [task for task in tasks if task.value in counts]:
            picture = draw_distribution(counts, drawn)
            files[out / f"grades-{name}.svg"] = picture.svg.encode()
            files[out / f"grades-{name}.png"] = picture.png
            names.append(name)
    files[out / "description.html"] = _write_page(format_html(counts), names).encode()
    write_files(files)
    if as_json:
        summary = {"folder": str(out), "table_1": json.loads(counts.to_json(orient="records"))}
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    console = Console(soft_wrap=True)
    for grid in show_table_1(counts):
        console.print(grid)
    typer.echo(f"Written: {out / 'description.html'}", err=True)


@app.command()
def kaggle(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The set, as archives or in its published folders."),
    ],
    out: OutOption,
    contrast: Annotated[
        Contrast,
        typer.Option(help="What was done to the contrast of this copy; unknown: judge it."),
    ] = Contrast.UNKNOWN,
    spacing: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Pixel sizes by subject and side.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read the open knee images with KL grades: Chen 2018, or Gornale 2020 with two readers."""
    from kneegrade.apps.cli.open_knees import read_open_knees
    from kneegrade.cohorts.open_sets.chen_2018 import join_spacing
    from kneegrade.cohorts.tables.counts import summarise_knees
    from kneegrade.cohorts.tables.table import rebase_images, write_knee_table

    found, left_out = read_open_knees(folder, contrast)
    if spacing is not None:
        found, left_out["spacing_rows_without_knee"] = join_spacing(found, spacing)
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
        Path,
        typer.Argument(metavar="FILE", help="Your table: .parquet, .csv, .tsv, .txt or .xlsx."),
    ],
    out: OutOption,
    as_json: JsonOption = False,
) -> None:
    """Check your own table and write it in its normal form."""
    from kneegrade.cohorts.tables.counts import summarise_knees
    from kneegrade.cohorts.tables.table import (
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


def _write_page(table: str, figures: Iterable[str]) -> str:
    """Put the table and the figures on one page that stands in the same folder."""
    images = "".join(
        f"<h2>{name.upper() if name == 'kl' else name.capitalize()}</h2>\n"
        f'<p><img src="grades-{name}.svg" alt="Knees by grade, {name}"></p>\n'
        for name in figures
    )
    return _PAGE.format(table=table, images=images)


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Knees by grade</title>
<style>
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1f2933;
  font: 1rem/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e4e7eb; }}
th[colspan] {{ text-align: center; }}
th:first-child, td:first-child {{ text-align: left; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
<h1>Knees by grade</h1>
{table}
{images}</body>
</html>
"""


def _judge_contrast(image_paths: Iterable[str], table_path: Path) -> Contrast:
    """Judge the whole set by some of its images: one copy of it was processed in one way."""
    import numpy as np

    from kneegrade.cohorts.tables.table import resolve_image
    from kneegrade.images.read import read_radiograph
    from kneegrade.knees.posing.contrast import judge_set_contrast, scale_to_unit

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
