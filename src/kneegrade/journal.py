"""A journal of work that may be interrupted: lines of JSON, the first of them the settings.

It survives the end of the process that writes it, whenever that comes: a line that was cut off
counts as not written.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from kneegrade.errors import OutputError


def read_journal(path: Path, head: Mapping[str, Any]) -> Iterator[Any]:
    """Read what an earlier run noted; begin a journal if there is none.

    It must be read to its end: a last line that was cut off is then dropped from the file too.

    Parameters
    ----------
    path : Path
    head : mapping
        Settings under which what is noted holds.

    Yields
    ------
    Any
        The values noted, without the head.

    Raises
    ------
    OutputError
        ``output.other-run`` if the file is not a journal, or has other settings.
    """
    n_whole = 0
    with path.open("a+b") as journal:
        journal.seek(0)
        for line in journal:
            if not line.endswith(b"\n"):
                break
            try:
                value = json.loads(line)
            except ValueError as error:
                raise other_run(path, "was not written by kneegrade") from error
            if n_whole:
                yield value
            elif value != head:
                raise other_run(path, f"belongs to another run or version: {value}")
            n_whole += len(line)
        if journal.seek(0, os.SEEK_END) > n_whole:
            journal.truncate(n_whole)
    if not n_whole:
        path.write_text(_line_of(head), encoding="utf-8")


def note(journal: IO[str], value: Any) -> None:
    """Add a value to a journal that is open for appending, in UTF-8."""
    journal.write(_line_of(value))
    journal.flush()


def _line_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def other_run(path: Path, what: str) -> OutputError:
    """The error of a folder that holds another run's journal."""
    return OutputError(
        "output.other-run",
        f"{path.name} in the folder {str(path.parent)!r} {what}.",
        "Name another --out, or delete this folder.",
    )
