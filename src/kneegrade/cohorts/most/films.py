"""The films of the MOST release on disk.

No public source shows the folders as a whole: programs show lists of paths, in which the folder of
a person is the MOSTID with a tail, below it lies one ``V<digit>...`` per visit, and the folder that
holds the file is the view. So names are matched, and nothing is counted from the left.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from kneegrade.cohorts.releases.walk import make_text, walk_files

NAME_LISTS: Final = frozenset({"most_names.csv", "names.txt"})
TAIL_LENGTH: Final = 5
"""Characters after the MOSTID in the name of a person's folder, as the 2019 program cut them."""
FILM_SUFFIXES: Final = frozenset({".dcm", ".dicom"})

_VISIT = re.compile(r"V(?P<digit>[0-9])(?![0-9]).*", re.IGNORECASE | re.DOTALL)
_PA_VIEW = re.compile(r"PA[ _-]?(?P<angle>[0-9]{1,2})", re.IGNORECASE)


@dataclass(frozen=True)
class MostFilms:
    """What a folder of MOST films holds.

    Parameters
    ----------
    films : DataFrame
        One row per film, sorted: ``subject_id`` (as in the readings), ``visit`` (Int64, the digit
        that names it), ``view`` (``PA10``; another view by the name of its folder) and ``path``
        (relative to the folder, with ``/``).
    unmatched : tuple of str
        Paths of films whose folders name no person of the readings, no visit or no view.
    rows_without_film : DataFrame
        Rows of the lists of names whose file is not there: ``file`` (the list, relative to the
        folder), ``row`` (from 1: there is no header) and ``path`` as it stands.
    """

    films: pd.DataFrame
    unmatched: tuple[str, ...]
    rows_without_film: pd.DataFrame


def scan_most_films(folder: Path, most_ids: Collection[str]) -> MostFilms:
    """List the films under a folder and compare them with the lists of names that lie there.

    Parameters
    ----------
    folder : Path
        The release, or any folder above the persons' folders.
    most_ids : collection of str
        MOSTIDs of the readings. A person's folder belongs to the longest of them that it begins
        with, where nothing, a character that is neither letter nor digit, or 5 characters follow
        (Guess: a MOSTID of the readings is never another one with such a tail).

    Returns
    -------
    MostFilms

    Raises
    ------
    TableError
        cohort.layout-unknown: no such folder, or one that cannot be listed.
    """
    ids = {most_id.strip().upper(): most_id for most_id in most_ids}
    owners: dict[str, str | None] = {}
    films: list[_Film] = []
    unmatched: list[str] = []
    lists: list[str] = []
    keys: set[str] = set()
    for parent, name in walk_files(folder):
        path = f"{parent}/{name}" if parent else name
        if name.lower() in NAME_LISTS:
            lists.append(path)
        place = _find_place(tuple(parent.split("/")))
        if not _is_film(name, in_place=place is not None):
            continue
        keys |= {key} if (key := _make_key(path)) else set()
        owner = _find_owner(place.above, ids, owners) if place else None
        if place is None or place.view is None or owner is None:
            unmatched.append(path)
        else:
            films.append(_Film(owner, place.visit, place.view, path))
    return MostFilms(
        _make_table(sorted(films)), tuple(sorted(unmatched)), _check_lists(folder, lists, keys)
    )


class _Film(NamedTuple):
    subject_id: str
    visit: int
    view: str
    path: str


class _Place(NamedTuple):
    above: tuple[str, ...]
    visit: int
    view: str | None


def _find_place(parents: tuple[str, ...]) -> _Place | None:
    """Visit and view from the right; ``above`` are the folders left of the visit."""
    for at in reversed(range(len(parents))):
        if match := _VISIT.fullmatch(parents[at]):
            below = parents[at + 1 :]
            views = [pa for folder in reversed(below) if (pa := _PA_VIEW.fullmatch(folder))]
            if views:
                view: str | None = f"PA{int(views[0]['angle']):02d}"
            else:
                view = below[-1].upper() if below else None
            return _Place(parents[:at], int(match["digit"]), view)
    return None


def _find_owner(
    above: tuple[str, ...], ids: Mapping[str, str], owners: dict[str, str | None]
) -> str | None:
    """The MOSTID of the nearest folder that has one; ``owners`` keeps what was found before."""
    for folder in reversed(above):
        if folder not in owners:
            owners[folder] = _match_id(folder.upper(), ids)
        if (owner := owners[folder]) is not None:
            return owner
    return None


def _match_id(folder: str, ids: Mapping[str, str]) -> str | None:
    for length in range(len(folder), 0, -1):
        tail = folder[length:]
        if folder[:length] in ids and (
            not tail or not tail[0].isalnum() or len(tail) == TAIL_LENGTH
        ):
            return ids[folder[:length]]
    return None


def _is_film(name: str, *, in_place: bool) -> bool:
    """Tell a film by its name; without a suffix, or with a number for one, only below a visit."""
    path = PurePosixPath(name)
    if path.stem.upper() == "DICOMDIR":
        return False
    suffix = path.suffix.lower()
    return suffix in FILM_SUFFIXES or (in_place and (not suffix or suffix[1:].isdigit()))


def _make_table(films: list[_Film]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject_id": make_text(film.subject_id for film in films),
            "visit": pd.array([film.visit for film in films], dtype="Int64"),
            "view": make_text(film.view for film in films),
            "path": make_text(film.path for film in films),
        }
    )


def _make_key(path: str) -> str | None:
    """The path from the person's folder on: it is the same whatever lies above."""
    parts = tuple(part for part in re.split(r"[\\/]+", path) if part)
    place = _find_place(parts[:-1])
    if place is None or not place.above:
        return None
    return "/".join(parts[len(place.above) - 1 :]).lower()


def _check_lists(folder: Path, lists: list[str], keys: set[str]) -> pd.DataFrame:
    missing = [
        (file, row, path)
        for file in sorted(lists)
        for row, path, key in _read_list(folder / file)
        if key not in keys
    ]
    files, rows, paths = zip(*missing, strict=True) if missing else ((), (), ())
    return pd.DataFrame(
        {
            "file": make_text(files),
            "row": np.array(rows, dtype=np.int64),
            "path": make_text(paths),
        }
    )


def _read_list(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """Rows of a list of names; none at all if no row names a visit: another file of that name."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [
        (row, name, _make_key(name))
        for row, line in enumerate(lines, start=1)
        if (name := line.strip().strip(",;\"'").strip())
    ]
    if any(key for _, _, key in rows):
        yield from rows
