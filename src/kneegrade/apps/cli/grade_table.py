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

WIDTHS: Final = ("jsw_l", "jsw_m")
"""Columns of the smallest joint space widths, lateral and medial, where a row has any."""

Row = Mapping[str, Any]


def print_rows(rows: Sequence[Row], tasks: Sequence[Task], console: Console) -> None:
    """Print grades, probabilities of KL, joint space widths, flags, what failed, and a count.

    Flags that every knee has are named once. Where the screen is too narrow for a column of flags,
    they stand below the table.
    """
    names = _names_of(rows)
    graded = [(name, row) for name, row in zip(names, rows, strict=True) if row["status"] == "ok"]
    refused, failed = (
        [(name, row) for name, row in zip(names, rows, strict=True) if row["status"] == status]
        for status in ("refused", "failed")
    )
    shared = frozenset[str]()
    if graded:
        shared = frozenset.intersection(*(_flags_of(row) for _, row in graded))
        _print_grades(graded, tasks, shared, console)
    if shared:
        console.print(Text(f"Flags of every knee: {' '.join(sorted(shared))}"))
    for title, listed in (("Refused", refused), ("Failed", failed)):
        if listed:
            reasons = [(_name_knee(n, r), f"{r['error_code']}: {r['error']}") for n, r in listed]
            _print_list(title, reasons, len(listed), console)
    counts = [f"{_count(len(graded), 'knee')} graded"]
    if refused:
        counts.append(f"{len(refused)} refused{_codes_of(refused)}")
    counts.append(f"{_count(len(failed), 'file')} failed{_codes_of(failed)}")
    console.print(Text(", ".join(counts) + "."))
    console.print(Text("Research use only. Not a medical device."))


def _name_knee(name: str, row: Row) -> str:
    return f"{name}, {row['side']}" if row["side"] else name


def _codes_of(listed: Sequence[tuple[str, Row]]) -> str:
    codes = Counter(row["error_code"] for _, row in listed).most_common()
    return f" ({', '.join(f'{number} {code}' for code, number in codes)})" if codes else ""


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
        names = [_name_knee(name, row) for name, row in graded]
        flagged = [(name, f) for name, f in zip(names, own_flags, strict=True) if f]
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
    measured = [name for name in WIDTHS if any(_write_width(row, name) for _, row in graded)]
    for title in (*columns.values(), *measured):
        table.add_column(title, justify="right", no_wrap=True)
    if flags is not None:
        table.add_column("flags")
    for i, (name, row) in enumerate(graded[:ROWS_SHOWN]):
        values = [row[column] for column in columns]
        numbers = [f"{v:.2f}" if isinstance(v, float) else str(v) for v in values]
        last = [flags[i]] if flags is not None else []
        widths = [_write_width(row, name) for name in measured]
        table.add_row(*map(Text, [name, row["side"], *numbers, *widths, *last]))
    return table


def _write_width(row: Row, name: str) -> str:
    """A width in mm, or as a share of the plateau's width where the size of a pixel is unknown."""
    mm, share = row.get(f"{name}_mm"), row.get(f"{name}_share")
    if mm is not None:
        return f"{mm:.1f} mm"
    return "" if share is None else f"{100 * share:.1f} %"


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
    sources = [row["source"] for row in rows]
    names = [Path(source).name for source in sources]
    return names if len(set(names)) == len(set(sources)) else sources


def _flags_of(row: Row) -> frozenset[str]:
    return frozenset(row["flags"].split(";")) - {""}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
