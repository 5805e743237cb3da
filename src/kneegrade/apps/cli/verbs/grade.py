"""``kneegrade grade``: radiographs + bundle -> predictions and a page."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kneegrade.apps.cli.exit_codes import DONE, SOME_FAILED, exit_code_of
from kneegrade.apps.cli.options import WorkersOption
from kneegrade.errors import OutputError, TableError
from kneegrade.types import Contrast, RadiographFile, Side, SpacingSource

if TYPE_CHECKING:
    from kneegrade.apps.pages.truth import GradesByKnee
    from kneegrade.bundles.manifest import Bundle
    from kneegrade.knees.locating.find import InputKind
    from kneegrade.pipeline.batch import BatchKnee
    from kneegrade.pipeline.request import GradeRequest

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


PathsArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH...", help="Radiographs, folders, archives or globs.", show_default=False
    ),
]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")]
KneesOption = Annotated[
    Path | None, typer.Option("--knees", metavar="TABLE", help="Grade a knee table instead.")
]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", metavar="NAME", help="Only these rows of the knee table."),
]
SideOption = Annotated[
    Side | None,
    typer.Option(
        "--side", parser=_parse_side, metavar="right|left", help="Side of every radiograph."
    ),
]
KindOption = Annotated[
    Any,
    typer.Option(
        "--input", parser=_parse_kind, metavar="auto|crop|film", help="What a radiograph shows."
    ),
]
SpacingOption = Annotated[
    float | None,
    typer.Option("--spacing", metavar="MM", min=SMALLEST_MM, help="Millimetres per pixel."),
]
ContrastOption = Annotated[
    Contrast, typer.Option("--contrast", help="What was done to the contrast beforehand.")
]
TruthOption = Annotated[
    Path | None,
    typer.Option("--truth", metavar="TABLE", help="Known grades by file and side, for the page."),
]
AttributionOption = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="A line that the page shows with the images, as their licence asks.",
        show_default=False,
    ),
]
OsteophyteOption = Annotated[
    bool,
    typer.Option(
        "--osteophyte-areas",
        help="Write osteophyte areas too: experimental, hardly related to grades.",
    ),
]


def grade(
    paths: PathsArgument = None,
    out: OutOption = Path("kneegrade-output"),
    knees: KneesOption = None,
    split: SplitOption = None,
    side: SideOption = None,
    kind: KindOption = "auto",
    spacing_mm: SpacingOption = None,
    contrast: ContrastOption = Contrast.UNKNOWN,
    bundle: Annotated[
        str, typer.Option("--bundle", metavar="NAME|DIR", help="The bundle that grades.")
    ] = "default",
    truth: TruthOption = None,
    attribution: AttributionOption = "",
    osteophyte_areas: OsteophyteOption = False,
    workers: WorkersOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the predictions as JSON.")] = False,
) -> None:
    """Grade the knees on radiographs of one or both, or cropped to one.

    Writes predictions and a page; run again, it continues where it stopped.
    """
    from kneegrade.apps.cli.grade_table import print_results
    from kneegrade.apps.cli.progress import show_progress
    from kneegrade.apps.pages.truth import match_truth, read_truth
    from kneegrade.bundles.manifest import read_bundle
    from kneegrade.pipeline.batch import grade_batch, write_tables

    requests = _requests_of(paths, knees, split, side, spacing_mm, contrast)
    known = None if truth is None else read_truth(truth)
    read = read_bundle(bundle)
    with show_progress("Grading") as bar:
        graded = grade_batch(requests, read, out, kind=kind, n_workers=workers, on_progress=bar)
    results = [knee.result for knee in graded]
    written = write_tables(results, read, out, osteophyte_areas=osteophyte_areas)
    grades, notes = match_truth(known, results)
    written.append(_write_page(graded, read, out, grades, attribution))
    if as_json:
        typer.echo(written[0].read_text(encoding="utf-8"), nl=False)
    else:
        print_results(results, [spec.task for spec in read.tasks], _console())
    typer.echo("Written: " + ", ".join(str(path) for path in written), err=True)
    for note in notes:
        typer.echo(f"kneegrade: {note}", err=True)
    code = exit_code_of([r.status for r in results], [r.error_code for r in results])
    if code == DONE and known is not None and not grades:
        code = SOME_FAILED  # the table of known grades came to nothing
    raise typer.Exit(code)


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_OF_NO_TERMINAL)
    return console


def _requests_of(
    paths: Sequence[Path] | None,
    knees: Path | None,
    split: str | None,
    side: Side | None,
    spacing_mm: float | None,
    contrast: Contrast,
) -> "list[GradeRequest]":
    from kneegrade.pipeline.request import GradeRequest

    if bool(paths) == (knees is not None) or (split is not None and knees is None):
        raise OutputError(
            "input.conflict",
            "Either paths or --knees TABLE (with --split, if any) is expected, and not both.",
            "See kneegrade grade --help.",
        )
    if knees is not None:
        return _requests_of_table(knees, split, side, spacing_mm, contrast)
    from kneegrade.images.find import find_images

    found = find_images(list(paths or []))
    if found.passed_over:
        typer.echo(found.passed_over_line, err=True)
    return [
        GradeRequest(
            _printable(source), RadiographFile(source, spacing_mm, contrast=contrast), side
        )
        for source in found.sources
    ]


def _printable(source: str) -> str:
    """The path as text that can be written, also where its bytes are no UTF-8."""
    return source.encode("utf-8", "backslashreplace").decode("utf-8")


def _requests_of_table(
    knees: Path,
    split: str | None,
    side: Side | None,
    spacing_mm: float | None,
    contrast: Contrast,
) -> "list[GradeRequest]":
    from kneegrade.cohorts.tables.table import read_knee_table, read_radiograph_file
    from kneegrade.pipeline.request import GradeRequest
    from kneegrade.pipeline.results import KneeKey

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

    def known(file: RadiographFile) -> RadiographFile:
        """What the options say goes before what the table does."""
        if contrast is not Contrast.UNKNOWN:
            file = replace(file, contrast=contrast)
        if spacing_mm is None:
            return file
        return replace(file, spacing_mm=spacing_mm, spacing_source=SpacingSource.CALLER)

    return [
        GradeRequest(
            source=row["image_path"],
            file=known(read_radiograph_file(row, knees)),
            side=side or Side(row["side"]),
            key=KneeKey.of_row(row),
        )
        for row in rows
    ]


def _write_page(
    knees: "Sequence[BatchKnee]",
    bundle: "Bundle",
    out: Path,
    truth: "GradesByKnee",
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
    for knee in sorted(knees, key=lambda knee: is_synthetic(knee.result)):
        drawing = knee.drawing
        n_shown += drawing is not None
        is_shown = drawing is not None and n_shown <= EMBEDDED_PICTURES
        reported.append(
            ReportedKnee(
                result=knee.result,
                picture_png=knee.read_roi(out) if is_shown else None,
                drawing=drawing if is_shown else None,
                truth=truth.get((knee.result.source, knee.result.side)),
            )
        )
    page = out / "report.html"
    write_grade_report(page, reported, bundle, version=__version__, attribution=attribution)
    return page
