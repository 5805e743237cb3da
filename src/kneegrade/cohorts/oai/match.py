"""Which film was read: readings of the OAI and the films on disk, joined.

By barcode; where that finds nothing, by person, visit and exam: tables lose barcodes, and some
differ by one from the film's.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from kneegrade.cohorts.oai.codes import SERIES_DIGITS
from kneegrade.cohorts.oai.films import OaiFilms
from kneegrade.cohorts.releases.flow import KneeFlow
from kneegrade.cohorts.releases.walk import note_absent_films

BY_BARCODE: Final = "barcode"
BY_VISIT: Final = "visit"

_PERSON_VISIT: Final = ["subject_id", "visit_months"]
_PERSON_CODE: Final = ["subject_id", "barcode"]


@dataclass(frozen=True)
class FilmMatch:
    """The film of each reading.

    Parameters
    ----------
    rows : DataFrame
        Under the index of the readings, text: ``image_path``, ``film_match`` (`BY_BARCODE`,
        `BY_VISIT`) and ``used_barcode`` (that of the film), NA without a film; ``film_fault``: why
        its barcode found no film, NA where it did.
    films : DataFrame
        Those that may be used: `OaiFilms.films` but for other exams.
    """

    rows: pd.DataFrame
    films: pd.DataFrame

    def list_unused(self) -> tuple[str, ...]:
        """Paths of the films that no reading asks for."""
        used = set(self.rows["image_path"].dropna())
        return tuple(path for path in self.films["path"].sort_values() if path not in used)


def match_films(readings: pd.DataFrame, scanned: OaiFilms) -> FilmMatch:
    """Find the film of each reading.

    A film that an index calls anything but bilateral PA fixed flexion is not used. The second way,
    by person and visit, needs an index that calls the film so. Of several such films it takes the
    one whose barcode is nearest, then one that was read by its barcode, then the lowest barcode.

    Parameters
    ----------
    readings : DataFrame
        `OaiReadings.table`.
    scanned : OaiFilms

    Returns
    -------
    FilmMatch
    """
    films = scanned.films
    usable = films[films["both_knees"].fillna(True).to_numpy(dtype=bool)]
    wanted = pd.MultiIndex.from_frame(readings[_PERSON_CODE])
    by_code = usable.set_index(_PERSON_CODE)["path"]
    rows = pd.DataFrame(index=readings.index)
    rows["image_path"] = pd.array(by_code.reindex(wanted).to_numpy(), dtype="string")
    rows["used_barcode"] = readings["barcode"].where(rows["image_path"].notna())
    rows["film_match"] = rows["image_path"].notna().map({True: BY_BARCODE, False: pd.NA})
    rows["film_fault"] = _name_faults(readings, films, scanned.rows_without_film["series"])
    rows.loc[rows["image_path"].notna(), "film_fault"] = pd.NA
    other = _match_by_visit(readings[rows["image_path"].isna()], usable, rows["image_path"])
    rows.loc[other.index, "image_path"] = other["path"]
    rows.loc[other.index, "used_barcode"] = other["barcode"]
    rows.loc[other.index, "film_match"] = BY_VISIT
    return FilmMatch(rows.astype("string"), usable)


def _name_faults(readings: pd.DataFrame, films: pd.DataFrame, absent: pd.Series) -> pd.Series:
    """Say why a barcode finds no film, as if none did."""
    codes = readings["barcode"]
    faults = pd.Series("no film of this barcode", index=readings.index, dtype="string")
    faults[codes.str[-SERIES_DIGITS:].isin(absent)] = "an index lists the film, but it is missing"
    faults[codes.isin(films["barcode"])] = "the barcode is of another person's film or another exam"
    return faults.mask(codes.isna(), "no barcode")


def _match_by_visit(readings: pd.DataFrame, usable: pd.DataFrame, taken: pd.Series) -> pd.DataFrame:
    """Path and barcode of the film of the same person and visit, for rows that have one."""
    sure = usable[usable["both_knees"].fillna(False).to_numpy(dtype=bool)]
    films = sure.dropna(subset="visit_months")[[*_PERSON_VISIT, "barcode", "path"]]
    films = films.assign(is_free=~films["path"].isin(taken.dropna()))
    left = readings[[*_PERSON_VISIT, "barcode"]].dropna(subset="visit_months")
    left = left.rename(columns={"barcode": "wanted"}).reset_index(names="at")
    films["visit_months"] = films["visit_months"].astype(left["visit_months"].dtype)
    pairs = left.merge(films, on=_PERSON_VISIT, how="inner")
    distance = _to_number(pairs["wanted"]) - _to_number(pairs["barcode"])
    pairs["distance"] = distance.abs()
    pairs = pairs.sort_values(["at", "distance", "is_free", "barcode"], kind="stable")
    return pairs.drop_duplicates("at").set_index("at")[["path", "barcode"]]


def _to_number(barcodes: pd.Series) -> pd.Series:
    return pd.to_numeric(barcodes).astype("Int64")


def take_films(
    flow: KneeFlow, match: FilmMatch, scanned: OaiFilms, counted: Counter[str], notes: list[str]
) -> None:
    """Give the readings that are left their films and drop those without one.

    Parameters
    ----------
    flow : KneeFlow
        ``rows`` get the columns of `FilmMatch.rows`, but for ``film_fault``.
    match : FilmMatch
    scanned : OaiFilms
    counted : Counter
        Gets counts added.
    notes : list of str
        Gets sentences added.
    """
    rows = flow.rows.join(match.rows)
    has_film = rows["image_path"].notna()
    again = rows.loc[has_film, "film_fault"].dropna()
    for fault, n in again.value_counts().sort_index().items():
        counted[f"films found by person and visit: {fault}"] += int(n)
    if len(again):
        notes.append(
            f"The barcodes of {len(again)} readings find no film; the bilateral PA film of the "
            f"same person and visit was taken (film_match is {BY_VISIT!r})."
        )
    faults = rows["film_fault"]
    flow.rows = rows.drop(columns="film_fault")
    others = scanned.films[~scanned.films["path"].isin(match.films["path"])]
    seen = pd.MultiIndex.from_frame(others[_PERSON_VISIT].astype({"visit_months": "Int16"}))
    at = pd.MultiIndex.from_frame(rows[_PERSON_VISIT].astype({"visit_months": "Int16"}))
    flow.drop("no film found: only one of another exam", ~has_film.to_numpy() & at.isin(seen))
    missing = flow.rows["image_path"].isna()
    for fault in sorted(faults[missing.index][missing].unique()):
        flow.drop(f"no film found: {fault}", flow.rows["image_path"].isna() & (faults == fault))
    _count_oddities(flow.rows, scanned, counted)
    notes.extend([*scanned.notes, *_note_scan(scanned)])


def _count_oddities(rows: pd.DataFrame, scanned: OaiFilms, counted: Counter[str]) -> None:
    films = scanned.films.set_index("path")["visit_months"]
    months = films.reindex(rows["image_path"]).to_numpy(dtype=float, na_value=float("nan"))
    other = ~pd.isna(months) & (months != rows["visit_months"].to_numpy(dtype=float))
    counted["films that lie in the release of another visit"] += int(other.sum())
    other_exams = int((~scanned.films["both_knees"].fillna(True)).sum())
    counted["films of other exams: not used"] += other_exams
    counted["films that an index lists but that are missing"] += len(scanned.rows_without_film)


def _note_scan(scanned: OaiFilms) -> list[str]:
    counts: dict[str, Any] = {
        "films are in no image index": scanned.films_without_row,
        "films are present a second time and were skipped": scanned.duplicates,
        "archives were not opened: their names are not those of a series": scanned.unknown_archives,
    }
    notes = [f"{len(paths)} {what}." for what, paths in counts.items() if paths]
    return [*note_absent_films(scanned.rows_without_film), *notes]
