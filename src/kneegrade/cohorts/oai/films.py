"""The knee films of an OAI release on disk, and what its indexes say of them.

A film is the one file of its series: ``<release>/<id>/<date>/<series>/001``, or packed as
``<series>.tar.gz``. Indexes are ``contents.csv`` (one per release) and ``image03.txt`` (NDA).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from kneegrade.cohorts.oai.codes import (
    BARCODE_START,
    SERIES_DIGITS,
    VISIT_MONTHS,
    normalise_barcode,
)
from kneegrade.cohorts.releases.cells import check_columns
from kneegrade.cohorts.releases.tables import read_release_table
from kneegrade.cohorts.releases.walk import make_text, walk_files
from kneegrade.errors import TableError

KNEE_DESCRIPTION: Final = "bilateral pa fixed flexion knee"
FILM_NAME: Final = "001"
FILM_COLUMNS: Final = (
    "subject_id",
    "release",
    "study_date",
    "series",
    "barcode",
    "visit_months",
    "description",
    "both_knees",
    "path",
)

_ANY_CASE: Final = re.ASCII | re.IGNORECASE | re.DOTALL
_RELEASE: Final = r"(?P<release>\d{1,2}\.[A-Z]\.\d+)"
_SERIES: Final = r"(?P<subject_id>\d{7})/(?:data/)?(?P<study_date>\d{8})/(?P<series>\d{8})"
_FILM = re.compile(
    rf"(?:.*/)?{_RELEASE}/{_SERIES}"
    rf"(?:(?:/(?P=series))*/{FILM_NAME}|(?:/[^/]+)?\.(?P<packed>tar\.gz|tgz|tar))",
    _ANY_CASE,
)
_MR_SERIES = re.compile(
    r"(?:.*/)?\d{7}/(?:data/)?\d{8}/[1-9]\d{7}(?:\.(?:tar\.gz|tgz|tar))?",
    _ANY_CASE,
)
_NAMED_SERIES = re.compile(rf"(?:.*/)?{_SERIES}(?:[/.].*)?", re.ASCII | re.DOTALL)
_ARCHIVE = re.compile(r".*\.(?:tar\.gz|tgz|tar)", _ANY_CASE)
_INDEX = re.compile(r"image03([^a-z0-9].*)?\.txt|contents([^a-z].*)?\.csv", re.IGNORECASE)
_INDEX_COLUMNS: Final = (
    "FOLDER|SERIESDESCRIPTION|BARCODE|ACCESSIONNUMBER|IMAGE_FILE|IMAGE_DESCRIPTION|ACCESSION_NUMBER"
)


@dataclass(frozen=True)
class OaiFilms:
    """What a folder of OAI films holds.

    Parameters
    ----------
    films : DataFrame
        One row per film, sorted, with `FILM_COLUMNS`: ``subject_id``, ``release`` (``0.C.2``),
        ``study_date`` (yyyymmdd), ``series`` (8 digits), ``barcode`` (12 digits), ``description``
        and ``path`` (relative to the folder, with ``/``; ``<archive>::001`` if packed) are text;
        ``visit_months`` is Int64, NA for a release of another number; ``both_knees`` says whether
        the index calls it a bilateral PA fixed-flexion film. ``description`` and ``both_knees``
        are NA where no index describes the film.
    rows_without_film : DataFrame
        Rows of the indexes that name a bilateral knee film (or do not say what they name) that is
        not there: ``file`` (relative to the folder), ``row`` (the header is row 1), ``series``.
    films_without_row : tuple of str
        Paths of films in no index, if there is one.
    duplicates : tuple of str
        Paths skipped: the same film is present twice. The higher version of the release is
        taken, then the open film before the packed one, then the one that lies least deep.
    unknown_archives : tuple of str
        Paths of archives whose name is not that of a series.
    notes : tuple of str
        One sentence for each leniency.
    """

    films: pd.DataFrame
    rows_without_film: pd.DataFrame
    films_without_row: tuple[str, ...]
    duplicates: tuple[str, ...]
    unknown_archives: tuple[str, ...]
    notes: tuple[str, ...]


class _Film(NamedTuple):
    subject_id: str
    release: str
    study_date: str
    series: str
    path: str

    @property
    def preference(self) -> tuple[Any, ...]:
        version = int(self.release.rpartition(".")[2])
        return -version, "::" in self.path, self.path.count("/"), self.path


def scan_oai_films(folder: Path) -> OaiFilms:
    """List the x-ray films under a folder and compare them with the indexes that lie there.

    Folders are read from the right, so nesting (``48m/48m``, ``Package_1/results/00m``) does not
    matter. Series of magnetic resonance (their number does not begin with 0) and previews (.jpg)
    are not films. No film and no archive is opened.

    Parameters
    ----------
    folder : Path
        The release, or any folder above or in it.

    Returns
    -------
    OaiFilms

    Raises
    ------
    TableError
        cohort.layout-unknown (no such folder, or one that cannot be listed); for an index
        table.unreadable, table.empty or table.column-missing.
    """
    above = folder.absolute().as_posix()
    found: list[_Film] = []
    index_files: list[str] = []
    unknown: list[str] = []

    def is_mr(path: str) -> bool:
        return _MR_SERIES.fullmatch(f"{above}/{path}") is not None

    for parent, name in walk_files(folder, is_needless=is_mr):
        path = f"{parent}/{name}" if parent else name
        if film := _parse_film(above, path, name):
            found.append(film)
        elif _INDEX.fullmatch(name):
            index_files.append(path)
        elif _ARCHIVE.fullmatch(name) and not is_mr(path):
            unknown.append(path)
    films, duplicates = _drop_duplicates(found)
    rows, notes = _read_indexes(folder, sorted(index_files))
    table, here = _describe(films, rows)
    missing = ~rows["series"].isin(table["series"]) & rows["both_knees"].fillna(True)
    return OaiFilms(
        table,
        rows.loc[missing, ["file", "row", "series"]].reset_index(drop=True),
        tuple(table.loc[~here, "path"]) if index_files else (),
        tuple(duplicates),
        tuple(sorted(unknown)),
        notes,
    )


def _parse_film(above: str, path: str, name: str) -> _Film | None:
    if name != FILM_NAME and not _ARCHIVE.fullmatch(name):
        return None
    match = _FILM.fullmatch(f"{above}/{path}")
    if match is None or not match["series"].startswith("0"):
        return None
    member = f"::{FILM_NAME}" if match["packed"] else ""
    return _Film(
        match["subject_id"],
        match["release"].upper(),
        match["study_date"],
        match["series"],
        path + member,
    )


def _drop_duplicates(found: list[_Film]) -> tuple[list[_Film], list[str]]:
    taken: dict[tuple[str, str], _Film] = {}
    duplicates = []
    for film in sorted(found, key=lambda film: film.preference):
        if taken.setdefault((film.subject_id, film.series), film) is not film:
            duplicates.append(film.path)
    return sorted(taken.values()), sorted(duplicates)


def _describe(films: list[_Film], rows: pd.DataFrame) -> tuple[pd.DataFrame, Any]:
    """The table of the films, and which of them are in an index."""
    table = pd.DataFrame(
        {name: make_text(getattr(film, name) for film in films) for name in _Film._fields}
    )
    months = [VISIT_MONTHS.get(film.release.partition(".")[0].zfill(2)) for film in films]
    described = rows.dropna(subset=["description"]).drop_duplicates("series").set_index("series")
    table["barcode"] = BARCODE_START + table["series"]
    table["visit_months"] = pd.array(months, dtype="Int64")
    table["description"] = table["series"].map(described["description"]).astype("string")
    table["both_knees"] = _shows_both_knees(table["description"])
    return table[list(FILM_COLUMNS)], table["series"].isin(rows["series"])


def _shows_both_knees(descriptions: pd.Series) -> pd.Series:
    plain = descriptions.str.split().str.join(" ").str.lower()
    return plain.eq(KNEE_DESCRIPTION).astype("boolean").mask(descriptions.isna())


def _read_indexes(folder: Path, files: list[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows that name an x-ray series: file, row, series, description, both_knees; and notes."""
    columns: dict[str, list[Any]] = {"file": [], "row": [], "series": [], "description": []}
    n_nameless, n_other_barcode = 0, 0
    seen = set()
    for file in files:
        try:
            index = list(_read_index(folder / file))
        except TableError as error:
            raise error.within(f"Image index in {file.rpartition('/')[0] or folder}") from error
        for row in index:
            if row.series is None:
                n_nameless += 1
                continue
            n_other_barcode += row.barcode_differs
            if row.series.startswith("0") and (row.series, row.description) not in seen:
                seen.add((row.series, row.description))
                for name, value in zip(columns, (file, *row[:3]), strict=True):
                    columns[name].append(value)
    table = pd.DataFrame(
        {
            "file": make_text(columns["file"]),
            "row": np.array(columns["row"], dtype=np.int64),
            "series": make_text(columns["series"]),
            "description": make_text(columns["description"]),
        }
    )
    table["both_knees"] = _shows_both_knees(table["description"])
    notes = []
    if n_nameless:
        notes.append(f"{n_nameless} rows of the image indexes name no series and were left out.")
    if n_other_barcode:
        notes.append(
            f"{n_other_barcode} rows of the image indexes have a barcode that does not end in the "
            "number of their series; the series was taken."
        )
    return table, tuple(notes)


class _IndexRow(NamedTuple):
    row: int
    series: str | None
    description: str | None
    barcode_differs: bool


def _read_index(path: Path) -> Iterator[_IndexRow]:
    table = read_release_table(path, columns=_INDEX_COLUMNS)
    if "IMAGE_FILE" in table or "ACCESSION_NUMBER" in table:
        check_columns(table, ("IMAGE_FILE", "IMAGE_DESCRIPTION"), file=path.name)
        where, description, barcode = "IMAGE_FILE", "IMAGE_DESCRIPTION", "ACCESSION_NUMBER"
    else:
        check_columns(table, ("FOLDER", "SERIESDESCRIPTION"), file=path.name)
        where, description = "FOLDER", "SERIESDESCRIPTION"
        barcode = "BARCODE" if "BARCODE" in table else "ACCESSIONNUMBER"
    n_rows = len(table)
    barcodes = table[barcode].map(normalise_barcode) if barcode in table else [pd.NA] * n_rows
    for row, folder, text, code in zip(
        table.index, table[where], table[description], barcodes, strict=True
    ):
        series = _find_series(folder)
        tail = None if pd.isna(code) else code[-SERIES_DIGITS:]
        yield _IndexRow(
            int(row),
            series or tail,
            None if pd.isna(text) else text,
            bool(series and tail and series != tail),
        )


def _find_series(text: Any) -> str | None:
    """The series that a cell names: ``5.E.1/<id>//<date>/<series>``, an address of an archive."""
    if pd.isna(text):
        return None
    match = _NAMED_SERIES.fullmatch(re.sub(r"[\\/]+", "/", text))
    return match["series"] if match else None
