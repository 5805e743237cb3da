"""Known grades in a user's table -> beside the knees that were graded."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from kneegrade.errors import MissingExtraError, TableError
from kneegrade.pipeline.results import KneeResult
from kneegrade.text_table import (
    BINARY_SUFFIXES,
    TextTable,
    find_columns,
    parse_number,
    read_text_table,
)
from kneegrade.types import Grades, Side, Task

FILE_COLUMNS: Final = ("file", "image_path", "source")
"""Any of them names the image; the first that is there is taken."""

_PARTS: Final = re.compile(r"[/\\]|::")

GradesByKnee = dict[tuple[str, Side | None], Grades]
"""By a result's ``source`` and ``side``: the known grades."""


class KnownKnee(NamedTuple):
    """Known grades of one knee, of one row of the table."""

    row_number: int
    parts: tuple[str, ...]
    side: Side
    grades: Grades


@dataclass(frozen=True)
class TruthTable:
    """A user's table of known grades.

    Parameters
    ----------
    name : str
        Of its file.
    knees : tuple of KnownKnee
        One for each row with a grade.
    notes : tuple of str
        One sentence for each leniency.
    """

    name: str
    knees: tuple[KnownKnee, ...]
    notes: tuple[str, ...] = ()


def read_truth(path: Path) -> TruthTable:
    """Read a table of known grades: the image (`FILE_COLUMNS`), ``side``, and one column a task.

    Parameters
    ----------
    path : Path
        Text (see `kneegrade.text_table`), or with the extra ``[study]`` .xlsx or Parquet.

    Raises
    ------
    TableError
        table.not-found, table.unreadable, table.column-missing, table.empty (no grade at all),
        table.value-invalid (an invalid side or grade, a row that names no image) or
        table.key-duplicate (two grades of one knee).
    MissingExtraError
        For .xlsx and Parquet without the extra.
    """
    try:
        table = _read_cells(path)
        knees = _read_knees(table)
    except TableError as error:
        raise error if path.name in error.message else error.within(path.name) from error
    notes = tuple(f"{path.name}: {note}" for note in table.notes)
    return TruthTable(path.name, knees, notes)


def match_truth(
    table: TruthTable | None, results: Iterable[KneeResult]
) -> tuple[GradesByKnee, list[str]]:
    """Find the known grades of the knees of a run.

    By file name and side. Where a name occurs more than once, in the run or in the table, the path
    decides: the last two parts or more must agree, up to the beginning of one of the two.

    Parameters
    ----------
    table : TruthTable or None
        None where there is none.
    results : iterable of KneeResult
        Of the run; their sources and sides are looked at.

    Returns
    -------
    grades : dict
        See `GradesByKnee`; knees without a known grade are not there.
    notes : list of str
        Those of the table, and one that says how many of its rows match no knee of the run.
    """
    if table is None:
        return {}, []
    sources: dict[tuple[str, Side | None], set[str]] = defaultdict(set)
    for result in results:
        sources[_split_path(result.source)[-1], result.side].add(result.source)
    known: dict[tuple[str, Side], list[KnownKnee]] = defaultdict(list)
    for knee in table.knees:
        known[knee.parts[-1], knee.side].append(knee)
    grades: GradesByKnee = {}
    used = set()
    n_ambiguous = 0
    for (name, side), knees in known.items():
        found = sorted(sources.get((name, side), ()))
        pairs = _pair_up(knees, found)
        grades |= {(source, side): knee.grades for source, knee in pairs.items()}
        used |= {knee.row_number for knee in pairs.values()}
        n_ambiguous += len(knees) - len(pairs) if found else 0
    unused = [knee.row_number for knee in table.knees if knee.row_number not in used]
    return grades, [*table.notes, *_tell_unused(table, unused, n_ambiguous)]


def _tell_unused(table: TruthTable, unused: Sequence[int], n_ambiguous: int) -> list[str]:
    if not unused:
        return []
    if len(unused) == len(table.knees):
        note = (
            f"No row of {table.name} matches a knee that was found, by file name and side: the "
            "page shows no known grade."
        )
    else:
        note = (
            f"{len(unused)} of {len(table.knees)} rows of {table.name} match no knee that was "
            f"found, by file name and side: first, row {unused[0]}."
        )
    if n_ambiguous:
        note += " A file name occurs several times: put the folder in front of it too."
    return [note]


def _read_cells(path: Path) -> TextTable:
    if path.suffix.lower() not in BINARY_SUFFIXES:
        return read_text_table(path)
    try:
        from kneegrade.cohorts.tables.raw_table import read_cells
    except MissingExtraError as error:
        raise MissingExtraError.for_extra("study", f"Reading {path.suffix}") from error
    return read_cells(path)


def _read_knees(table: TextTable) -> tuple[KnownKnee, ...]:
    renames = find_columns(table.names, (*FILE_COLUMNS, "side", *Task))
    names = [renames.get(name, name) for name in table.names]
    file_column = next((name for name in FILE_COLUMNS if name in names), None)
    tasks = [task for task in Task if task in names]
    if file_column is None or "side" not in names or not tasks:
        raise TableError(
            "table.column-missing",
            "A table of known grades needs the columns file, side and one of grades, such as kl. "
            f"Got {len(names)} columns: {', '.join(table.names[:12])}.",
            "Name the columns so, or leave --truth out.",
        )
    knees: dict[tuple[tuple[str, ...], Side], KnownKnee] = {}
    for row_number, cells in zip(table.row_numbers, table.rows, strict=True):
        row = dict(zip(names, cells, strict=True))
        grades = {
            task: grade
            for task in tasks
            if (grade := _read_grade(row[task], task, row_number)) is not None
        }
        if not grades:
            continue
        parts = _split_path(row[file_column])
        if not parts:
            raise _invalid(row_number, file_column, "the name of an image", "")
        try:
            side = Side.parse(row["side"])
        except ValueError as error:
            raise _invalid(row_number, "side", "right or left (R or L)", row["side"]) from error
        knee = knees.get((parts, side), KnownKnee(row_number, parts, side, Grades()))
        if any(knee.grades.get(task, grade) != grade for task, grade in grades.items()):
            raise TableError(
                "table.key-duplicate",
                f"Rows {knee.row_number} and {row_number} are of the same image and side. Got "
                "two grades.",
                "Keep the row that counts.",
            )
        knees[parts, side] = knee._replace(grades=Grades({**knee.grades, **grades}))
    if not knees:
        raise TableError("table.empty", "The table has no row with a grade.", "Add the grades.")
    return tuple(knees.values())


def _read_grade(cell: str, task: Task, row_number: int) -> int | None:
    try:
        number = parse_number(cell)
        if number is None:
            return None
        if number not in range(task.n_grades):
            raise ValueError("No such grade.")
    except ValueError as error:
        expected = f"a whole number 0-{task.n_grades - 1}, or empty"
        raise _invalid(row_number, task.value, expected, cell) from error
    return int(number)


def _pair_up(knees: Sequence[KnownKnee], sources: Sequence[str]) -> dict[str, KnownKnee]:
    """Rows and images of one file name and side: which belongs to which, where that is clear."""
    if len(knees) == len(sources) == 1:
        return {sources[0]: knees[0]}
    parts = {source: _split_path(source) for source in sources}
    claims: dict[str, list[KnownKnee]] = defaultdict(list)
    for knee in knees:
        same = [source for source in sources if parts[source] == knee.parts]
        near = same or [source for source in sources if _ends_alike(parts[source], knee.parts)]
        if len(near) == 1:
            claims[near[0]].append(knee)
    for source, rows in claims.items():
        claims[source] = [knee for knee in rows if knee.parts == parts[source]] or rows
    return {source: rows[0] for source, rows in claims.items() if len(rows) == 1}


def _ends_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    n_shared = min(len(one), len(other))
    return n_shared > 1 and one[-n_shared:] == other[-n_shared:]


def _split_path(text: str) -> tuple[str, ...]:
    """Folders and file of a path, written on Windows or POSIX, or inside an archive."""
    plain = unicodedata.normalize("NFC", text.strip())
    return tuple(part for part in _PARTS.split(plain) if part not in {"", "."})


def _invalid(row_number: int, column: str, expected: str, got: str) -> TableError:
    shown = repr(got.strip()[:40]) if got.strip() else "an empty cell"
    return TableError(
        "table.value-invalid",
        f"Row {row_number}, column {column!r}: expected {expected}. Got {shown}.",
        "Correct the cell, or leave it empty if the column may be empty.",
    )
