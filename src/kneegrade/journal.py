"""A journal of work that may be interrupted: lines of JSON, the first of them the settings.

It survives the end of the process that writes it, whenever that comes: a line that was cut off
counts as not written.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from kneegrade.errors import OutputError


def read_journal(path: Path, head: Mapping[str, Any]) -> list[Any]:
    """Read what an earlier run noted; begin a journal if there is none.

    Parameters
    ----------
    path : Path
        A last line that was cut off is dropped from the file too.
    head : mapping
        Settings under which what is noted holds.

    Returns
    -------
    list
        The values noted, without the head.

    Raises
    ------
    OutputError
        ``output.other-run`` if the file is not a journal, or has other settings.
    """
    data = path.read_bytes() if path.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise other_run(path, "was not written by kneegrade") from error
    if lines and lines[0] != head:
        raise other_run(path, f"belongs to a run with other settings, or a version: {lines[0]}")
    if whole != data:
        os.truncate(path, len(whole))
    if not lines:
        path.write_text(_line_of(head), encoding="utf-8")
    return lines[1:]


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
