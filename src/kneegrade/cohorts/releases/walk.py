"""The files of a release, however its folders are nested: the only walk over them."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from kneegrade.errors import TableError

N_ROWS_LISTED: Final = 20


def walk_files(
    folder: Path, *, is_needless: Callable[[str], bool] = lambda _: False
) -> Iterator[tuple[str, str]]:
    """List every file under a folder without asking the disk about each.

    Hidden files and folders are left out. Links are followed, but for those that lead to a folder
    they lie in or to one already walked.

    Parameters
    ----------
    folder : Path
    is_needless : callable
        Told a folder as in ``parent`` below; True leaves it out.

    Yields
    ------
    parent : str
        Folder of the file relative to ``folder``, with ``/``; empty for ``folder`` itself.
    name : str

    Raises
    ------
    TableError
        cohort.layout-unknown if there is no such folder, or a folder in it cannot be listed.
    """
    if not folder.is_dir():
        raise TableError(
            "cohort.layout-unknown",
            f"A folder with the study's files was expected. Got {folder}, which "
            f"{'is a file' if folder.exists() else 'does not exist'}.",
            "Check the spelling of the path.",
        )
    waiting, links = [""], set[Path]()
    while waiting:
        parent = waiting.pop()
        prefix = f"{parent}/" if parent else ""
        try:
            with os.scandir(folder / parent) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if not entry.is_dir():
                        yield parent, entry.name
                    elif not is_needless(inner := f"{prefix}{entry.name}") and (
                        not entry.is_symlink() or _is_new_link(Path(entry.path), links)
                    ):
                        waiting.append(inner)
        except OSError as error:
            place = f"a folder in {parent.partition('/')[0]!r}" if parent else "it"
            raise _layout_error(
                f"{place} cannot be listed ({error.strerror or type(error).__name__})",
                "Make the whole folder readable, and check that its disk is still mounted.",
            ) from error


def _is_new_link(link: Path, links: set[Path]) -> bool:
    target = link.resolve()
    if target in links or link.parent.resolve().is_relative_to(target):
        return False
    links.add(target)
    return True


def make_text(values: Iterable[str | None]) -> Any:
    """Make a column of text out of names of files.

    Parameters
    ----------
    values : iterable of str or None

    Returns
    -------
    ExtensionArray of dtype string
        None becomes NA.

    Raises
    ------
    TableError
        cohort.layout-unknown if a name is not UTF-8, so that no table can hold it.
    """
    try:
        return pd.array([pd.NA if value is None else value for value in values], dtype="string")
    except UnicodeEncodeError as error:
        raise _layout_error(
            "the name of a folder above a film is not UTF-8 text", "Rename that folder."
        ) from error


def note_absent_films(listed: pd.DataFrame) -> list[str]:
    """Say which rows of which index name films that are not there.

    Parameters
    ----------
    listed : DataFrame
        ``file`` (the index) and ``row``.

    Returns
    -------
    list of str
        One sentence for each index.
    """
    notes = []
    for file, absent in listed.groupby("file", sort=True):
        rows = ", ".join(map(str, absent["row"].iloc[:N_ROWS_LISTED]))
        more = f" and {len(absent) - N_ROWS_LISTED} more" if len(absent) > N_ROWS_LISTED else ""
        notes.append(
            f"{file} lists films that are not there: {len(absent)} "
            f"(row{'s' if len(absent) > 1 else ''} {rows}{more})."
        )
    return notes


def _layout_error(reason: str, hint: str) -> TableError:
    return TableError("cohort.layout-unknown", f"The folder cannot be searched: {reason}.", hint)
