"""What ``kneegrade cohort oai`` and ``most`` write beside their table, and what they print."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kneegrade import __version__
from kneegrade.output import write_whole, writing_to
from kneegrade.types import Task

if TYPE_CHECKING:
    from kneegrade.cohorts.releases.flow import StudyKnees

SCHEMA_VERSION: Final = 1
PAPER_OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"jsn": "paper", "code_1_9": "paper", "view": "PA10"}
)
"""What the published counts were made with, by option."""


def make_study_table(
    read: "Callable[..., StudyKnees]",
    folder: Path,
    out: Path,
    *,
    study: str,
    options: Mapping[str, str],
    crops: Path | None,
    as_json: bool,
) -> None:
    """Read a study, write its knee table and its flow, and print what became of every row.

    Parameters
    ----------
    read : function
        `read_oai` or `read_most`.
    folder : Path
        The study's folder.
    out : Path
        The table, ``.parquet`` or ``.csv``.
    study : str
        ``oai`` or ``most``.
    options : mapping of str to str
        Further arguments of ``read``; ``mode`` among them.
    crops : Path or None
        Folder of images of single knees to take instead of films.
    as_json : bool

    Raises
    ------
    TableError
        As ``read``, `read_reference_crops` and `write_knee_table`.
    OutputError
        output.not-writable.
    """
    from kneegrade.cohorts.tables.table import check_table_name
    from kneegrade.evaluation.grade_counts import compute_table_1

    check_table_name(out)
    notes: list[str] = []
    pictures = None if crops is None else _read_crops(crops, folder, notes)
    found = read(folder, crops=pictures, **options)
    found = replace(found, notes=(*found.notes, *notes))
    counts = compute_table_1(found.knees)
    summary = _write_study(found, counts, folder, out, study, options)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        _print_study(summary, counts)


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write files whose folder is there or can be made; those of the same name are replaced.

    Raises
    ------
    OutputError
        output.not-writable.
    """
    for path, content in files.items():
        with writing_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)


def show_table_1(counts: Any) -> Iterator[Table]:
    """Lay out a table of `compute_table_1` for the screen: the paper's tasks, then the others."""
    from kneegrade.cohorts.tables.counts import PAPER_TASKS
    from kneegrade.evaluation.grade_counts import list_heads, list_rows

    others = [task for task in Task if task not in PAPER_TASKS]
    for tasks in (PAPER_TASKS, others):
        if not (shown := [task.value for task in tasks if task.value in counts]):
            continue
        part = counts.loc[counts[shown].notna().any(axis=1), ["dataset", "knees", "grade", *shown]]
        grid = _begin_grid(gap=1)
        for place, head in enumerate(list_heads(part)):
            grid.add_column(" ".join(head).strip(), justify="right" if place else "left")
        for row in list_rows(part):
            grid.add_row(*map(Text, row))
        yield grid


def _read_crops(crops: Path, folder: Path, notes: list[str]) -> Any:
    from kneegrade.cohorts.releases.reference_crops import read_reference_crops
    from kneegrade.cohorts.tables.table import rebase_images

    found = read_reference_crops(crops)
    if found.odd_names:
        notes.append(
            f"{len(found.odd_names)} PNG files in {crops} do not have the name of a crop: left out."
        )
    return rebase_images(found.table, crops, folder)


def _write_study(
    found: "StudyKnees",
    counts: Any,
    folder: Path,
    out: Path,
    study: str,
    options: Mapping[str, str],
) -> dict[str, Any]:
    """Write the table, and beside it ``.flow.json``, whose content is given back, and ``.svg``."""
    from kneegrade.cohorts.tables.table import rebase_images, write_knee_table
    from kneegrade.evaluation.figures import draw_flow

    write_knee_table(rebase_images(found.knees, folder, out.parent), out)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "kneegrade": __version__,
        "study": study,
        "options": dict(options),
        "table": str(out),
        "rows_read": found.n_read,
        "steps": [asdict(step) for step in found.flow],
        "knees": len(found.knees),
        "subjects": int(found.knees["subject_id"].nunique()),
        "table_1": json.loads(counts.to_json(orient="records")),
        "differs_from_published": _compare(found.knees, study, options["mode"]),
        "counted": dict(found.counted),
        "notes": list(found.notes),
        "rows_without_picture": list(found.unmatched_rows),
        "pictures_without_row": list(found.unmatched_films),
    }
    drawing = draw_flow(
        found.flow,
        n_read=found.n_read,
        read=f"Readings of a knee at a visit in the {study.upper()} release",
        kept="Knees in the table",
    )
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    write_files({_beside(out, "json"): text.encode(), _beside(out, "svg"): drawing.encode()})
    return summary


def _beside(out: Path, form: str) -> Path:
    return out.with_suffix(f".flow.{form}")


def _compare(knees: Any, study: str, mode: str) -> list[dict[str, Any]] | None:
    """List the counts that are not the published ones; None where the mode is another."""
    from kneegrade.cohorts.tables.counts import compare_with_paper

    if mode != "paper":
        return None
    return [
        {"count": count.label, "published": count.paper, "found": count.found}
        for count in compare_with_paper(knees, study)
    ]


def _print_study(summary: Mapping[str, Any], table_1: Any) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    out = Path(summary["table"])
    console.print(f"{summary['knees']:,} knees of {summary['subjects']:,} people written to {out}")
    console.print(f"\n{summary['rows_read']:,} rows read: readings of a knee at a visit")
    console.print(_show_flow(summary["steps"]) if summary["steps"] else "no row was dropped")
    console.print("Table 1")
    for grid in show_table_1(table_1):
        console.print(grid)
    for part in _show_comparison(summary):
        console.print(part)
    for what, n in summary["counted"].items():
        console.print(f"{what}: {n:,}")
    for note in summary["notes"]:
        console.print(f"note: {note}")
    rows, pictures = summary["rows_without_picture"], summary["pictures_without_row"]
    console.print(
        f"rows without an image: {len(rows):,}; images without a row: {len(pictures):,} "
        f"(listed in {_beside(out, 'json').name})"
    )
    typer.echo(f"Written: {_beside(out, 'json')}, {_beside(out, 'svg')}", err=True)


def _show_flow(steps: list[dict[str, Any]]) -> Table:
    grid = _begin_grid()
    for head in ("dropped", "left"):
        grid.add_column(head, justify="right")
    grid.add_column("because")
    for step in steps:
        grid.add_row(f"{step['dropped']:,}", f"{step['left']:,}", step["reason"])
    return grid


def _show_comparison(summary: Mapping[str, Any]) -> Iterator[str | Table]:
    from kneegrade.cohorts.tables.counts import N_COUNTS

    differing = summary["differs_from_published"]
    if differing is None:
        yield "Not compared with the published Table 1, which corresponds to --mode paper."
        return
    if not differing:
        yield "Equal to the published Table 1 in every count."
        return
    yield f"Differs from the published Table 1 in {len(differing)} of {N_COUNTS} counts:"
    grid = _begin_grid()
    grid.add_column("count")
    for head in ("published", "here", "difference"):
        grid.add_column(head, justify="right")
    for row in differing:
        more = row["found"] - row["published"]
        grid.add_row(row["count"], f"{row['published']:,}", f"{row['found']:,}", f"{more:+,}")
    yield grid
    other = [
        f"--{name.replace('_', '-')} {PAPER_OPTIONS[name]}"
        for name, value in summary["options"].items()
        if PAPER_OPTIONS.get(name, value) != value
    ]
    if other:
        yield f"The published counts were made with {' '.join(other)}."
    yield "A part of the release, or another edition of it, gives other counts too."


def _begin_grid(gap: int = 2) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="")
