"""A phantom study in the files of the OAI release: films, and tables in three dialects.

Tables are written as text divided by ``|`` and as SAS transport files (`tables`), those of films
and enrolment as an NDA export too (`export`). What is in them: `readings`, `people`,
`film_records`; ids, and what is odd: `layout`.

What a public source shows of the release is followed; what none shows is marked "Guess" where it is
made. Odd films and barcodes (`Odd`) come at fixed subject numbers: a study of as many subjects has
all; whose narrowing is read as worse at follow-up follows from the knees.
"""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Final

from kneegrade.phantoms.studies.film_order import FilmKind, FilmOrder
from kneegrade.phantoms.studies.oai.export import write_export
from kneegrade.phantoms.studies.oai.film_records import describe_films, index_films, measure_spaces
from kneegrade.phantoms.studies.oai.layout import (
    EXAM_NAMES,
    VISIT_CODES,
    Exam,
    Odd,
    find_date,
    find_odd,
    find_timepoint,
    list_exams,
    pick_scanner,
    write_barcode,
    write_release,
    write_series,
)
from kneegrade.phantoms.studies.oai.layout import write_subject_id as write_subject_id
from kneegrade.phantoms.studies.oai.people import enrol_subjects, follow_up, see_subjects
from kneegrade.phantoms.studies.oai.readings import read_knees, reread_knees
from kneegrade.phantoms.studies.oai.tables import Row, write_sas, write_text
from kneegrade.phantoms.studies.population import PhantomSubject, PhantomVisit
from kneegrade.types import Side

READINGS: Final = "X-Ray Image Assessments{}/Semi-Quant Scoring{}"
SPACES: Final = "X-Ray Image Assessments{}/Quant JSW{}"  # Guess: the name of the inner folder.
METADATA: Final = "X-Ray MetaAnalysis{}"
CLINIC: Final = "AllClinical{}"
GENERAL: Final = "General{}"  # Guess
NDA_FOLDER: Final = "Package_1"
READINGS_NAMES: Final = MappingProxyType(
    {"00": "KXR_SQ_BU00", "01": "kxr_sq_bu01", "03": "kXR_SQ_BU03"}
)
"""Spellings of the table of a visit; lower case of the others."""
LABELLED: Final = frozenset({"00", "03", "08", "99"})
"""Visits whose text tables have labels after their codes (99: outcomes). Guess: which."""
UNREAD: Final = MappingProxyType({"00": ".A", "03": ".A", "06": ".", "08": ".A", "99": ".A"})
"""Code of a cell that was not filled in, by visit; blank at the others."""
LOWER_CASE_PROJECT: Final = "05"
"""The visit whose text table has ``readprj``."""
MEMBER: Final = "001"
MISSPELT: Final = "ISO_2022_IR_6"


def plan_films(subjects: Sequence[PhantomSubject], *, seed: int) -> list[FilmOrder]:
    """Say which films the study has, in the folders of the release.

    ``<timepoint>/<release>/<id>/<yyyymmdd>/<series>/001``, in ``48m`` one folder deeper. Every
    attended visit has a film of both knees; odd subjects a hand or a single knee besides, their
    films in archives with a preview beside each, a negative (MONOCHROME1), no pixel spacing, a
    misspelt character set, a file that ends halfway.

    Parameters
    ----------
    subjects : sequence of PhantomSubject
    seed : int

    Returns
    -------
    list of FilmOrder
        By subject, visit and film.
    """
    return [
        order
        for subject in subjects
        for visit in subject.visits
        for exam in list_exams(subject, visit)
        for order in _order_film(subject, visit, exam, seed)
    ]


def _order_film(
    subject: PhantomSubject, visit: PhantomVisit, exam: Exam, seed: int
) -> Iterator[FilmOrder]:
    odd = find_odd(subject)
    is_broken = odd is Odd.BROKEN_FILM and visit is subject.visits[0]
    header = _write_header(subject, visit, exam, seed)
    series = "/".join(
        (
            find_timepoint(visit.visit_months),
            write_release(subject, visit),
            write_subject_id(subject.number),
            str(header["StudyDate"]),
            write_series(subject, visit, exam),
        )
    )
    kinds = {Exam.HAND: FilmKind.HAND}
    sides = {Exam.HAND: (), Exam.RIGHT_KNEE: (Side.RIGHT,)}
    packed = odd is Odd.PACKED
    yield FilmOrder(
        path=f"{series}.tar.gz" if packed else f"{series}/{MEMBER}",
        subject_number=subject.number,
        visit_months=visit.visit_months,
        scanner=pick_scanner(subject),
        kind=FilmKind.BROKEN if is_broken else kinds.get(exam, FilmKind.KNEES),
        sides=sides.get(exam, (Side.RIGHT, Side.LEFT)),
        header=header,
        inverted=odd is Odd.NEGATIVE,
        keep_spacing=odd is not Odd.NO_SPACING,
        archive_member=MEMBER if packed else None,
    )
    if packed:
        yield FilmOrder(
            path=f"{series}_1x1.jpg",
            subject_number=subject.number,
            visit_months=visit.visit_months,
            scanner=pick_scanner(subject),
            kind=FilmKind.OTHER,
        )


def _write_header(
    subject: PhantomSubject, visit: PhantomVisit, exam: Exam, seed: int
) -> dict[str, object]:
    day = find_date(subject, visit.visit_months, seed)
    months = visit.visit_months
    header: dict[str, object] = {
        "AccessionNumber": write_barcode(subject, visit, exam),
        "PatientID": write_subject_id(subject.number),
        "StudyDate": f"{day:%Y%m%d}",
        "ContentDate": f"{day:%Y%m%d}",
        "StudyDescription": f"OAI^SYNTHETIC^{months:02d} MONTH",  # Guess: what the parts say.
        "SeriesDescription": EXAM_NAMES[exam],
        "ClinicalTrialTimePointID": VISIT_CODES[months],  # Guess
        "ClinicalTrialTimePointDescription": f"{months} month Annual Visit"
        if months
        else "Screening Visit",
    }
    if find_odd(subject) is Odd.CHARACTER_SET:
        header["SpecificCharacterSet"] = MISSPELT
    return header


def write_tables(folder: Path, subjects: Sequence[PhantomSubject], *, seed: int) -> None:
    """Write readings, re-reads, measurements, x-ray metadata, people and image indexes.

    Parameters
    ----------
    folder : Path
        The study's folder; its tables are overwritten.
    subjects : sequence of PhantomSubject
        At least one.
    seed : int
    """
    for months, code in VISIT_CODES.items():
        unread = UNREAD.get(code, "")
        tables = {
            f"{READINGS}/{READINGS_NAMES.get(code, f'kxr_sq_bu{code}')}": read_knees(
                subjects, months, seed=seed, unread=unread
            ),
            f"{SPACES}/kxr_qjsw_duryea{code}": measure_spaces(subjects, months, seed=seed),
            f"{METADATA}/XRay{code}": describe_films(subjects, months, seed=seed),
            f"{CLINIC}/AllClinical{code}": see_subjects(
                subjects, months, seed=seed, missing=unread
            ),
        }
        for name, rows in tables.items():
            _write_twice(folder, name, rows, code)
    again = reread_knees(subjects, seed=seed, unread=UNREAD["00"])
    _write_twice(folder, f"{READINGS}/kxr_sq_rel_bu00", again, "00")
    _write_twice(folder, f"{GENERAL}/Enrollees", enrol_subjects(subjects), "00")
    outcomes = follow_up(subjects, seed=seed, missing=UNREAD["99"])
    _write_twice(folder, f"{GENERAL}/OUTCOMES99", outcomes, "99")
    orders = plan_films(subjects, seed=seed)
    for place, rows in index_films(orders):
        _write_index(folder / place / "contents.csv", rows)
    write_export(folder / NDA_FOLDER, subjects, orders, seed=seed)


def _write_twice(folder: Path, name: str, rows: Sequence[Row], code: str) -> None:
    """Write a table as text and for SAS; no table where it would have no row."""
    if not rows:
        return
    cells = rows
    if code == LOWER_CASE_PROJECT:
        cells = [
            {column.lower() if column == "READPRJ" else column: row[column] for column in row}
            for row in rows
        ]
    text = folder / f"{name.format('_ASCII', '_ASCII')}.txt"
    write_text(text, cells, labelled=code in LABELLED)
    sas = folder / f"{name.format('_SAS', '_SAS')}.xpt"
    write_sas(sas.with_name(sas.name.lower()), rows)


def _write_index(path: Path, rows: Sequence[Row]) -> None:
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
