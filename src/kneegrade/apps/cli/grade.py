"""``kneegrade grade``: pictures + bundle -> predictions and a page."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from kneegrade.errors import OutputError, TableError
from kneegrade.types import Contrast, Side, Task

if TYPE_CHECKING:
    from kneegrade.apps.batch import Picture
    from kneegrade.bundles.manifest import Bundle
    from kneegrade.knees.crop import InputKind

EXIT_SOME_FAILED = 1
EXIT_NOTHING_DONE = 3
WIDTH_OF_NO_TERMINAL = 160


def _parse_side(text: str) -> Side:
    try:
        return Side.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _parse_kind(text: str) -> "InputKind":
    from kneegrade.knees.crop import InputKind

    try:
        return InputKind(text)
    except ValueError as error:
        raise typer.BadParameter(f"must be auto, crop or film. Got {text!r}.") from error


def grade(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH...", help="Pictures, folders or globs.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")] = (
        Path("kneegrade-output")
    ),
    knees: Annotated[
        Path | None, typer.Option("--knees", metavar="TABLE", help="Grade a knee table instead.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Only these rows of the knee table.")
    ] = None,
    side: Annotated[
        Side | None,
        typer.Option("--side", parser=_parse_side, help="Side of every picture: right or left."),
    ] = None,
    kind: Annotated[
        Any,
        typer.Option(
            "--input", parser=_parse_kind, help="What a picture shows: auto, crop or film."
        ),
    ] = "auto",
    spacing_mm: Annotated[
        float | None, typer.Option("--spacing", metavar="MM", help="Millimetres per pixel.")
    ] = None,
    contrast: Annotated[
        Contrast, typer.Option("--contrast", help="What was done to the pictures' contrast.")
    ] = Contrast.UNKNOWN,
    bundle: Annotated[
        str, typer.Option("--bundle", help="Name or folder of the bundle.")
    ] = "default",
    truth: Annotated[
        Path | None,
        typer.Option("--truth", metavar="CSV", help="Known grades by file name, for the page."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the predictions as JSON.")] = False,
) -> None:
    """Grade radiographs of one knee, or pictures that are already cropped to one."""
    from kneegrade.apps.batch import grade_batch, write_tables
    from kneegrade.apps.cli.progress import show_progress
    from kneegrade.pipeline import KneeGrader

    pictures = _pictures_of(paths, knees, split, side, spacing_mm, contrast)
    grader = KneeGrader(bundle)
    with show_progress("Grading") as on_progress:
        rows = grade_batch(pictures, grader, out, kind=kind, on_progress=on_progress)
    written = write_tables(rows, grader.bundle, out)
    written.append(_write_page(pictures, rows, grader.bundle, out, _read_truth(truth)))
    if as_json:
        typer.echo(written[0].read_text(encoding="utf-8"), nl=False)
    else:
        _print_rows(rows, [spec.task for spec in grader.bundle.tasks])
    typer.echo("Written: " + ", ".join(str(path) for path in written), err=True)
    n_failed = sum(row["status"] != "ok" for row in rows)
    if n_failed:
        raise typer.Exit(EXIT_NOTHING_DONE if n_failed == len(rows) else EXIT_SOME_FAILED)


def _pictures_of(
    paths: Sequence[Path] | None,
    knees: Path | None,
    split: str | None,
    side: Side | None,
    spacing_mm: float | None,
    contrast: Contrast,
) -> "list[Picture]":
    from kneegrade.apps.batch import Picture

    if bool(paths) == (knees is not None) or (split is not None and knees is None):
        raise OutputError(
            "input.conflict",
            "Either paths or --knees TABLE (with --split, if any) is expected, and not both.",
            "See kneegrade grade --help.",
        )
    if knees is not None:
        return _pictures_of_table(knees, split, side, spacing_mm, contrast)
    from kneegrade.images.read import find_images

    return [
        Picture(str(path), str(path), side, spacing_mm, contrast)
        for path in find_images(list(paths or []))
    ]


def _pictures_of_table(
    knees: Path,
    split: str | None,
    side: Side | None,
    spacing_mm: float | None,
    contrast: Contrast,
) -> "list[Picture]":
    from kneegrade.apps.batch import Picture
    from kneegrade.cohorts.table import KEY_COLUMNS, read_knee_table, resolve_image

    table = read_knee_table(knees)
    if split is not None:
        present = sorted(table["split"].dropna().unique()) if "split" in table else []
        if split not in present:
            raise TableError(
                "table.empty",
                f"The knee table has no rows of split {split!r}. It has {present or 'no split'}.",
                "Name one of those, or leave --split out.",
            )
        table = table[table["split"] == split]
    rows: list[dict[str, Any]] = table.astype(object).where(table.notna(), None).to_dict("records")
    return [
        Picture(
            source=row["image_path"],
            path=resolve_image(knees, row["image_path"]),
            side=side or Side(row["side"]),
            spacing_mm=spacing_mm or row.get("spacing_mm"),
            contrast=contrast
            if contrast is not Contrast.UNKNOWN
            else Contrast(row.get("contrast") or Contrast.UNKNOWN),
            key={name: row[name] for name in KEY_COLUMNS},
        )
        for row in rows
    ]


def _read_truth(path: Path | None) -> dict[str, dict[str, int]]:
    """Known grades by file name; columns ``file`` and one per task."""
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        tasks = [task.value for task in Task]
        return {
            row["file"]: {task: int(row[task]) for task in tasks if row.get(task)} for row in rows
        }
    except (OSError, KeyError, ValueError) as error:
        raise TableError(
            "table.unreadable",
            f"{str(path)!r} is no table of known grades (columns file, kl, ...): {error!r}.",
            "Check the path and the columns, or leave --truth out.",
        ) from error


def _write_page(
    pictures: "Sequence[Picture]",
    rows: Sequence[Mapping[str, Any]],
    bundle: "Bundle",
    out: Path,
    truth: Mapping[str, Mapping[str, int]],
) -> Path:
    from kneegrade import __version__
    from kneegrade.apps.grade_report import ReportedKnee, write_grade_report

    reported = []
    for picture, row in zip(pictures, rows, strict=True):
        file = picture.file_in(out)
        is_there = row["status"] == "ok" and file.is_file()
        reported.append(
            ReportedKnee(
                row=row,
                picture_png=file.read_bytes() if is_there else None,
                truth=truth.get(Path(row["source"]).name),
            )
        )
    page = out / "report.html"
    write_grade_report(page, reported, bundle, version=__version__)
    return page


def _print_rows(rows: Sequence[Mapping[str, Any]], tasks: Sequence[Task]) -> None:
    graded = [row for row in rows if row["status"] == "ok"]
    shared = frozenset.intersection(*(_flags_of(row) for row in graded)) if graded else frozenset()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("source", overflow="fold")
    table.add_column("side")
    for task in tasks:
        table.add_column(task.value, justify="right")
        for grade in range(task.n_grades):
            table.add_column(f"p{grade}", justify="right")
    table.add_column("flags or error", overflow="fold")
    for row in rows:
        cells = [Path(row["source"]).name, row["side"] or ""]
        if row["status"] == "ok":
            for task in tasks:
                cells.append(str(row[task.value]))
                cells += [f"{row[f'{task.value}_p{g}']:.2f}" for g in range(task.n_grades)]
            cells.append(" ".join(sorted(_flags_of(row) - shared)))
        else:
            cells += [""] * sum(1 + task.n_grades for task in tasks)
            cells.append(f"{row['error_code']}: {row['error']}")
        table.add_row(*cells)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_OF_NO_TERMINAL)
    console.print(table)
    if shared:
        console.print("Flags of every knee: " + " ".join(sorted(shared)))
    console.print(f"{len(graded)} knees graded, {len(rows) - len(graded)} pictures failed.")
    console.print("Research use only. Not a medical device.")


def _flags_of(row: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(row["flags"].split(";")) - {""}
