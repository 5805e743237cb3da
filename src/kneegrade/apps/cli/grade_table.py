"""A batch's results on the screen: the grades as a table, then what failed and why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kneegrade.pipeline.results import KneeResult, Status
from kneegrade.types import Flag, Task

ROWS_SHOWN: Final = 100
"""The screen shows so many rows of each kind; the files hold them all."""

WIDTHS: Final = ("jsw_l", "jsw_m")
"""The smallest joint space widths, lateral and medial."""


def print_results(results: Sequence[KneeResult], tasks: Sequence[Task], console: Console) -> None:
    """Print grades, probabilities of KL, joint space widths, flags, what failed, and a count.

    Flags that every knee has are named once. Where the screen is too narrow for a column of flags,
    they stand below the table.
    """
    named = list(zip(_names_of(results), results, strict=True))
    graded, refused, failed = (
        [(name, result) for name, result in named if result.status is status] for status in Status
    )
    shared = frozenset[Flag]()
    if graded:
        shared = frozenset.intersection(*(result.flags for _, result in graded))
        _print_grades(graded, tasks, shared, console)
    if shared:
        console.print(Text(f"Flags of every knee: {' '.join(sorted(shared))}"))
    for title, listed in (("Refused", refused), ("Failed", failed)):
        if listed:
            reasons = [(_name_knee(n, r), f"{r.error_code}: {r.error}") for n, r in listed]
            _print_list(title, reasons, len(listed), console)
    counts = [f"{_count(len(graded), 'knee')} graded"]
    if refused:
        counts.append(f"{len(refused)} refused{_codes_of(refused)}")
    counts.append(f"{_count(len(failed), 'file')} failed{_codes_of(failed)}")
    console.print(Text(", ".join(counts) + "."))
    console.print(Text("Research use only. Not a medical device."))


def _name_knee(name: str, result: KneeResult) -> str:
    return f"{name}, {result.side}" if result.side else name


def _codes_of(listed: Sequence[tuple[str, KneeResult]]) -> str:
    codes = Counter(result.error_code for _, result in listed).most_common()
    return f" ({', '.join(f'{number} {code}' for code, number in codes)})" if codes else ""


def _print_grades(
    graded: Sequence[tuple[str, KneeResult]],
    tasks: Sequence[Task],
    shared: frozenset[Flag],
    console: Console,
) -> None:
    own_flags = [" ".join(sorted(result.flags - shared)) for _, result in graded]
    table = _table(graded, tasks, own_flags)
    fits = Measurement.get(console, console.options.update(width=10_000), table).maximum
    if fits <= console.width:
        console.print(table)
    else:
        console.print(_table(graded, tasks, None))
        names = [_name_knee(name, result) for name, result in graded]
        flagged = [(name, f) for name, f in zip(names, own_flags, strict=True) if f]
        if flagged:
            _print_list("Flags", flagged, len(flagged), console)
    if len(graded) > ROWS_SHOWN:
        console.print(Text(f"and {len(graded) - ROWS_SHOWN} more, in the files"))


def _table(
    graded: Sequence[tuple[str, KneeResult]], tasks: Sequence[Task], flags: Sequence[str] | None
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("source", overflow="fold")
    table.add_column("side")
    for task in tasks:
        levels = [f"p{grade}" for grade in range(task.n_grades)] if task is Task.KL else []
        for title in (task.value, *levels):
            table.add_column(title, justify="right", no_wrap=True)
    widths = [_write_widths(result) for _, result in graded]
    measured = [column for column, _ in enumerate(WIDTHS) if any(both[column] for both in widths)]
    for column in measured:
        table.add_column(WIDTHS[column], justify="right", no_wrap=True)
    if flags is not None:
        table.add_column("flags")
    for i, (name, result) in enumerate(graded[:ROWS_SHOWN]):
        numbers = []
        for task in tasks:
            graded_task = result.tasks[task]
            numbers.append(str(graded_task.grade))
            if task is Task.KL:
                numbers += [f"{p:.2f}" for p in graded_task.probabilities]
        last = [flags[i]] if flags is not None else []
        shown = [widths[i][column] for column in measured]
        table.add_row(*map(Text, [name, str(result.side), *numbers, *shown, *last]))
    return table


def _write_widths(result: KneeResult) -> tuple[str, str]:
    """Both `WIDTHS`, in mm or as shares of the plateau's where the size of a pixel is unknown."""
    if result.joint is None:
        return "", ""
    lateral, medial = (
        f"{100 * length.share:.1f} %" if length.mm is None else f"{length.mm:.1f} mm"
        for length in (result.joint.lateral.minimum, result.joint.medial.minimum)
    )
    return lateral, medial


def _print_list(
    title: str, items: Iterable[tuple[str, str]], n_items: int, console: Console
) -> None:
    console.print(Text(f"{title}:"))
    for name, text in islice(items, ROWS_SHOWN):
        console.print(Padding(Text(name, overflow="fold"), (0, 0, 0, 2), expand=False))
        console.print(Padding(Text(text), (0, 0, 0, 4), expand=False))
    if n_items > ROWS_SHOWN:
        console.print(Text(f"  and {n_items - ROWS_SHOWN} more, in the files"))


def _names_of(results: Sequence[KneeResult]) -> list[str]:
    """File names, where they tell the results apart; else whole sources."""
    sources = [result.source for result in results]
    names = [Path(source).name for source in sources]
    return names if len(set(names)) == len(set(sources)) else sources


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
