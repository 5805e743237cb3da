"""The command line, called as a user calls it but in this process."""

import contextlib
import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from kneegrade.apps.cli.main import main


@dataclass(frozen=True)
class Reply:
    """What a call of the command left behind."""

    code: int
    out: str
    err: str


def kneegrade(*arguments: str | Path) -> Reply:
    """Call ``kneegrade ARGUMENTS``; it never raises."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["kneegrade", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    assert isinstance(code, int)
    return Reply(code, out.getvalue(), err.getvalue())


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Rows of ``predictions.csv``."""
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
