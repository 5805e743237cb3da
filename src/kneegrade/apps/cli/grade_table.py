"""A batch's rows on the screen: the grades as a table, then what failed and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kneegrade.types import Task

ROWS_SHOWN: Final = 100
"""The screen shows so many rows of each kind; the files hold them all."""

Row = Mapping[str, Any]


def print_rows(rows: Sequence[Row], tasks: Sequence[Task], console: Console) -> None:
    """Print the grades with the probabilities of KL, the flags, the failures and a count.

    Flags that every knee has are named once. Where the screen is too narrow for a column of flags,
    they stand below the table.
    """
    names = _names_of(rows)
    graded = [(name, row) for name, row in zip(names, rows, strict=True) if row["status"] == "ok"]
    failed = [(name, row) for name, row in zip(names, rows, strict=True) if row["status"] != "ok"]
    shared = frozenset[str]()
    if graded:
        shared = frozenset.intersection(*(_flags_of(row) for _, row in graded))
        _print_grades(graded, tasks, shared, console)
    if shared:
        console.print(Text(f"Flags of every knee: {' '.join(sorted(shared))}"))
    if failed:
        reasons = ((name, f"{row['error_code']}: {row['error']}") for name, row in failed)
        _print_list("Failed", reasons, len(failed), console)
    counts = f"{_count(len(graded), 'knee')} graded, {_count(len(failed), 'picture')} failed"
    codes = Counter(row["error_code"] for _, row in failed)
    detail = ", ".join(f"{number} {code}" for code, number in codes.most_common())
    console.print(Text(f"{counts} ({detail})." if detail else f"{counts}."))
    console.print(Text("Research use only. Not a medical device."))


def _print_grades(
    graded: Sequence[tuple[str, Row]],
    tasks: Sequence[Task],
    shared: frozenset[str],
    console: Console,
) -> None:
    own_flags = [" ".join(sorted(_flags_of(row) - shared)) for _, row in graded]
    table = _table(graded, tasks, own_flags)
    fits = Measurement.get(console, console.options.update(width=10_000), table).maximum
    if fits <= console.width:
        console.print(table)
    else:
        console.print(_table(graded, tasks, None))
        flagged = [(name, f) for (name, _), f in zip(graded, own_flags, strict=True) if f]
        if flagged:
            _print_list("Flags", flagged, len(flagged), console)
    if len(graded) > ROWS_SHOWN:
        console.print(Text(f"and {len(graded) - ROWS_SHOWN} more, in the files"))


def _table(
    graded: Sequence[tuple[str, Row]], tasks: Sequence[Task], flags: Sequence[str] | None
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("source", overflow="fold")
    table.add_column("side")
    columns: dict[str, str] = {}
    for task in tasks:
        columns[task.value] = task.value
        if task is Task.KL:
            columns |= {f"kl_p{grade}": f"p{grade}" for grade in range(task.n_grades)}
    for title in columns.values():
        table.add_column(title, justify="right")
    if flags is not None:
        table.add_column("flags")
    for i, (name, row) in enumerate(graded[:ROWS_SHOWN]):
        values = [row[column] for column in columns]
        numbers = [f"{v:.2f}" if isinstance(v, float) else str(v) for v in values]
        last = [flags[i]] if flags is not None else []
        table.add_row(*map(Text, [name, row["side"], *numbers, *last]))
    return table


def _print_list(
    title: str, items: Iterable[tuple[str, str]], n_items: int, console: Console
) -> None:
    console.print(Text(f"{title}:"))
    for name, text in islice(items, ROWS_SHOWN):
        console.print(Padding(Text(name, overflow="fold"), (0, 0, 0, 2), expand=False))
        console.print(Padding(Text(text), (0, 0, 0, 4), expand=False))
    if n_items > ROWS_SHOWN:
        console.print(Text(f"  and {n_items - ROWS_SHOWN} more, in the files"))


def _names_of(rows: Sequence[Row]) -> list[str]:
    """File names, where they tell the rows apart; else whole sources."""
    names = [Path(row["source"]).name for row in rows]
    return names if len(set(names)) == len(names) else [row["source"] for row in rows]


def _flags_of(row: Row) -> frozenset[str]:
    return frozenset(row["flags"].split(";")) - {""}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
