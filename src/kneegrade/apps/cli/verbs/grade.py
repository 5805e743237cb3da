"""``kneegrade grade``: pictures + bundle -> predictions and a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kneegrade.apps.cli.exit_codes import DONE, SOME_FAILED, exit_code_of
from kneegrade.apps.cli.grade_table import print_rows
from kneegrade.apps.cli.options import WorkersOption
from kneegrade.errors import OutputError, TableError
from kneegrade.types import Contrast, Side, SpacingSource

if TYPE_CHECKING:
    from kneegrade.bundles.manifest import Bundle
    from kneegrade.knees.locating.find import InputKind
    from kneegrade.pipeline.batch import BatchKnee
    from kneegrade.pipeline.picture import Picture

WIDTH_OF_NO_TERMINAL = 160
SMALLEST_MM = 0.001


def _parse_side(text: str) -> Side:
    try:
        return Side.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _parse_kind(text: str) -> "InputKind":
    from kneegrade.knees.locating.find import InputKind

    try:
        return InputKind(text)
    except ValueError as error:
        raise typer.BadParameter(f"must be auto, crop or film. Got {text!r}.") from error


SideOption = Annotated[
    Side | None,
    typer.Option("--side", parser=_parse_side, metavar="right|left", help="Side of every picture."),
]
KindOption = Annotated[
    Any,
    typer.Option(
        "--input", parser=_parse_kind, metavar="auto|crop|film", help="What a picture shows."
    ),
]
AttributionOption = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="A line that the page shows with the pictures, as their licence asks.",
        show_default=False,
    ),
]


def grade(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...", help="Pictures, folders, archives or globs.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")] = (
        Path("kneegrade-output")
    ),
    knees: Annotated[
        Path | None, typer.Option("--knees", metavar="TABLE", help="Grade a knee table instead.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Only these rows of the knee table."),
    ] = None,
    side: SideOption = None,
    kind: KindOption = "auto",
    spacing_mm: Annotated[
        float | None,
        typer.Option("--spacing", metavar="MM", min=SMALLEST_MM, help="Millimetres per pixel."),
    ] = None,
    contrast: Annotated[
        Contrast, typer.Option("--contrast", help="What was done to the pictures' contrast.")
    ] = Contrast.UNKNOWN,
    bundle: Annotated[
        str, typer.Option("--bundle", metavar="NAME|DIR", help="The bundle that grades.")
    ] = "default",
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth", metavar="TABLE", help="Known grades by file and side, for the page."
        ),
    ] = None,
    attribution: AttributionOption = "",
    workers: WorkersOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the predictions as JSON.")] = False,
) -> None:
    """Grade the knees on radiographs, one or both, or on pictures that are cropped to one.

    Writes predictions and a page; run again, it continues where it stopped.
    """
    from kneegrade.apps.cli.progress import show_progress
    from kneegrade.apps.pages.truth import match_truth, read_truth
    from kneegrade.bundles.manifest import read_bundle
    from kneegrade.pipeline.batch import grade_batch, write_tables

    pictures = _pictures_of(paths, knees, split, side, spacing_mm, contrast)
    known = None if truth is None else read_truth(truth)
    read = read_bundle(bundle)
    with show_progress("Grading") as bar:
        graded = grade_batch(pictures, read, out, kind=kind, n_workers=workers, on_progress=bar)
    rows = [knee.row for knee in graded]
    written = write_tables(rows, read, out)
    grades, notes = match_truth(known, rows)
    written.append(_write_page(graded, read, out, grades, attribution))
    if as_json:
        typer.echo(written[0].read_text(encoding="utf-8"), nl=False)
    else:
        print_rows(rows, [spec.task for spec in read.tasks], _console())
    typer.echo("Written: " + ", ".join(str(path) for path in written), err=True)
    for note in notes:
        typer.echo(f"kneegrade: {note}", err=True)
    statuses, codes = ([row[name] for row in rows] for name in ("status", "error_code"))
    code = exit_code_of(statuses, codes)
    if code == DONE and known is not None and not grades:
        code = SOME_FAILED  # the table of known grades came to nothing
    raise typer.Exit(code)


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_OF_NO_TERMINAL)
    return console


def _pictures_of(
    paths: Sequence[Path] | None,
    knees: Path | None,
    split: str | None,
    side: Side | None,
    spacing_mm: float | None,
    contrast: Contrast,
) -> "list[Picture]":
    from kneegrade.pipeline.picture import Picture

    if bool(paths) == (knees is not None) or (split is not None and knees is None):
        raise OutputError(
            "input.conflict",
            "Either paths or --knees TABLE (with --split, if any) is expected, and not both.",
            "See kneegrade grade --help.",
        )
    if knees is not None:
        return _pictures_of_table(knees, split, side, spacing_mm, contrast)
    from kneegrade.images.find import find_images

    found = find_images(list(paths or []))
    if found.passed_over:
        typer.echo(found.passed_over_line, err=True)
    return [
        Picture(_printable(source), source, side, spacing_mm, contrast=contrast)
        for source in found.sources
    ]


def _printable(source: str) -> str:
    """The path as text that can be written, also where its bytes are no UTF-8."""
    return source.encode("utf-8", "backslashreplace").decode("utf-8")


def _pictures_of_table(
    knees: Path,
    split: str | None,
    side: Side | None,
    spacing_mm: float | None,
    contrast: Contrast,
) -> "list[Picture]":
    from kneegrade.cohorts.tables.table import (
        KEY_COLUMNS,
        read_knee_table,
        read_spacing,
        read_spacing_source,
        resolve_image,
    )
    from kneegrade.pipeline.picture import Picture

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
            spacing_mm=spacing_mm or read_spacing(row),
            spacing_source=SpacingSource.CALLER if spacing_mm else read_spacing_source(row),
            contrast=contrast
            if contrast is not Contrast.UNKNOWN
            else Contrast(row.get("contrast") or Contrast.UNKNOWN),
            key={name: row[name] for name in KEY_COLUMNS},
        )
        for row in rows
    ]


def _write_page(
    knees: "Sequence[BatchKnee]",
    bundle: "Bundle",
    out: Path,
    truth: Mapping[tuple[str, str], Mapping[str, int]],
    attribution: str,
) -> Path:
    from kneegrade import __version__
    from kneegrade.apps.pages.grade_report import (
        EMBEDDED_PICTURES,
        ReportedKnee,
        is_synthetic,
        write_grade_report,
    )

    reported = []
    n_shown = 0
    for knee in sorted(knees, key=lambda knee: is_synthetic(knee.row)):
        file = knee.file_in(out)
        drawing = knee.drawing
        n_shown += drawing is not None
        is_shown = drawing is not None and n_shown <= EMBEDDED_PICTURES and file.is_file()
        reported.append(
            ReportedKnee(
                row=knee.row,
                picture_png=file.read_bytes() if is_shown else None,
                drawing=drawing if is_shown else None,
                truth=truth.get((knee.row["source"], knee.row["side"] or "")),
            )
        )
    page = out / "report.html"
    write_grade_report(page, reported, bundle, version=__version__, attribution=attribution)
    return page
