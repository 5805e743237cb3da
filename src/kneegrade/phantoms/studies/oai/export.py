"""The x-ray tables of an OAI of phantoms once more, as NDA exports them: one table for all visits.

Guess: what is in the columns of a key beside ``src_subject_id`` and ``visit``, and the sentences of
the second header row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from kneegrade.phantoms.studies.film_order import FilmKind, FilmOrder
from kneegrade.phantoms.studies.oai.film_records import describe_films, measure_spaces
from kneegrade.phantoms.studies.oai.layout import VISIT_CODES, find_date, write_subject_id
from kneegrade.phantoms.studies.oai.people import enrol_subjects
from kneegrade.phantoms.studies.oai.readings import read_knees
from kneegrade.phantoms.studies.oai.tables import Row, write_nda
from kneegrade.phantoms.studies.population import PhantomSubject

_DESCRIPTIONS: Final = MappingProxyType(
    {
        "subjectkey": "The NDAR Global Unique Identifier (GUID) for research subject",
        "src_subject_id": "Subject ID how it's defined in lab/project",
        "interview_date": "Date on which the interview was completed. MM/DD/YYYY",
        "interview_age": "Age in months at the time of the interview",
        "sex": "Sex of subject at birth",
        "visit": "Visit name",
        "side": "Side of the body",
        "readprj": "Reading project",
    }
)
_NAMES: Final = MappingProxyType(
    {
        "barcdbu": "barcode",
        "xrbarcd": "barcode",
        "barcdjd": "barcode",
        "brcdjd": "barcode",
        "examtp": "examtype",
        "xrside": "side",
    }
)
"""Columns of the release that have another name in the export."""
_SEXES: Final = MappingProxyType({"female": "F", "male": "M"})


def write_export(
    folder: Path, subjects: Sequence[PhantomSubject], orders: Sequence[FilmOrder], *, seed: int
) -> None:
    """Write readings, measurements, x-ray metadata, enrolment and the list of images.

    Parameters
    ----------
    folder : Path
        The package's.
    subjects : sequence of PhantomSubject
        At least one.
    orders : sequence of FilmOrder
        The study's films.
    seed : int
    """
    keys = {
        (write_subject_id(subject.number), visit.visit_months): _write_key(
            subject, visit.visit_months, seed
        )
        for subject in subjects
        for visit in subject.visits
    }
    readings = (
        (months, row)
        for months in VISIT_CODES
        for row in read_knees(subjects, months, seed=seed, unread="")
    )
    spaces = (
        (months, row)
        for months in VISIT_CODES
        for row in measure_spaces(subjects, months, seed=seed)
    )
    films = (
        (months, row)
        for months in VISIT_CODES
        for row in describe_films(subjects, months, seed=seed)
    )
    people = ((0, row) for row in _enrol(subjects))
    tables = {
        "oai_kxrsemiquant01": _translate(readings, keys),
        "oai_kxrquantjsw01": _translate(spaces, keys),
        "oai_xrmeta01": _translate(films, keys),
        "oai_enrollee01": _translate(people, keys),
        "image03": _list_images(orders, keys),
    }
    for name, rows in tables.items():
        listed = list(rows)
        if listed:
            write_nda(folder / f"{name}.txt", listed, descriptions=_DESCRIPTIONS)


def _write_key(subject: PhantomSubject, months: int, seed: int) -> Row:
    return {
        "subjectkey": f"NDAR_PHANTOM{subject.number:05d}",
        "src_subject_id": write_subject_id(subject.number),
        "interview_date": f"{find_date(subject, months, seed):%m/%d/%Y}",
        "interview_age": str(round(subject.age * 12 + months)),
        "sex": _SEXES[subject.sex],
        "visit": f"V{VISIT_CODES[months]}",
    }


def _translate(
    rows: Iterable[tuple[int, Row]], keys: Mapping[tuple[str, int], Row]
) -> Iterator[Row]:
    """Put the key in front, and name columns in lower case without the visit's prefix.

    Rows for people who did not come are left out.
    """
    for months, row in rows:
        key = keys.get((row["ID"], months))
        if key is not None:
            prefix = f"V{VISIT_CODES[months]}"
            names = {name: name.removeprefix(prefix).lower() for name in row if name != "ID"}
            cells = {_NAMES.get(names[name], names[name]): row[name] for name in names}
            yield {**key, **cells}


def _enrol(subjects: Sequence[PhantomSubject]) -> Iterator[Row]:
    for subject, row in zip(subjects, enrol_subjects(subjects), strict=True):
        yield {
            "ID": row["ID"],
            "e_cohort": row["V00COHORT"],
            "race": row["P02RACE"],
            "ethnicity": row["P02HISP"],
            "site": row["V00SITE"],
            "ageyears": str(int(subject.age)),
        }


def _list_images(orders: Sequence[FilmOrder], keys: Mapping[tuple[str, int], Row]) -> Iterator[Row]:
    """Rows of ``image03``: every film as the archive of its series."""
    for order in orders:
        if order.kind is not FilmKind.OTHER:
            series = order.path.removesuffix(".tar.gz").removesuffix("/001")
            yield {
                **keys[str(order.header["PatientID"]), order.visit_months],
                "image_file": f"image03/{series}.tar.gz",
                "image_thumbnail_file": f"image03/{series}_1x1.jpg",
                "image_description": str(order.header["SeriesDescription"]),
                "image_modality": "X-Ray",
                "accession_number": str(order.header["AccessionNumber"]),
            }
