"""What an OAI of phantoms notes of its films: x-ray metadata, indexes, measured joint spaces.

Quality and faults of a film are drawn by chance (Guess: how often): its image shows none, but a
film that ends halfway is noted as poor.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Final

import numpy as np

from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.anatomy import compute_joint_space
from kneegrade.phantoms.knees.severity import Severity
from kneegrade.phantoms.knees.shape import KneeShape
from kneegrade.phantoms.studies.film_order import FilmKind, FilmOrder
from kneegrade.phantoms.studies.oai.layout import (
    EXAM_NAMES,
    VISIT_CODES,
    Exam,
    Odd,
    find_date,
    find_odd,
    list_exams,
    pick_scanner,
    write_barcode,
    write_subject_id,
)
from kneegrade.phantoms.studies.oai.tables import Row
from kneegrade.phantoms.studies.ordered_film import draw_subject_body
from kneegrade.phantoms.studies.population import PhantomSubject, PhantomVisit, Study
from kneegrade.types import Side, Task

FAULTS: Final = ("ALIGN", "CENTER", "DEPICT", "EXPOSE", "MOTION", "POSITN")
ACCEPTANCE: Final = MappingProxyType({"Y": 0.3, "YD": 0.6, "NR": 0.06, "NA": 0.04})
"""Shares of films. Guess."""
NOTE: Final = '"leg" turned 10\N{DEGREE SIGN}'
"""Free text with a byte of Latin-1 and quote marks."""
MEDIAL_PLACES: Final = range(150, 301, 25)
LATERAL_PLACES: Final = range(700, 901, 25)
_SIDE_CODES: Final = MappingProxyType({Exam.BOTH_KNEES: "3", Exam.RIGHT_KNEE: "1", Exam.HAND: "0"})
_LEAST_MEDIAL: Final = 0.225
_LEAST_LATERAL: Final = 0.8
_BOWL_MM: Final = 120.0
"""Widths of the joint space grow by this times the squared distance from the least one. Guess."""
_BONE_ON_BONE_MM: Final = 0.3
_VERSION: Final = "1.5"  # Guess


def describe_films(subjects: Sequence[PhantomSubject], months: int, *, seed: int) -> list[Row]:
    """Rows of ``XRay00`` of one visit: its films, and a row without one for whoever did not come.

    Parameters
    ----------
    subjects : sequence of PhantomSubject
    months : int
        One of `VISIT_CODES`.
    seed : int
    """
    prefix = f"V{VISIT_CODES[months]}"
    rows: list[Row] = []
    for subject in subjects:
        visit = next((v for v in subject.visits if v.visit_months == months), None)
        exams = list_exams(subject, visit) if visit is not None else [None]
        for exam in exams:
            cells = _describe_film(subject, visit, exam, seed) if visit and exam is not None else {}
            rows.append(
                {"ID": write_subject_id(subject.number), "VERSION": _VERSION}
                | {prefix + name: cells.get(name, "") for name in _FILM_COLUMNS}
            )
    return rows


_FILM_COLUMNS: Final = (
    *("EXAMTP", "XRBARCD", "XRDATE", "XRSIDE", "XRCOMP", "ACCEPT"),
    *FAULTS,
    "XRNOTE",  # Guess: the name of a column of free text.
)


def _describe_film(
    subject: PhantomSubject, visit: PhantomVisit, exam: Exam, seed: int
) -> Mapping[str, str]:
    rng = np.random.default_rng([seed, subject.number, 8, visit.visit_months, exam])
    accept = str(rng.choice(list(ACCEPTANCE), p=list(ACCEPTANCE.values())))
    is_first = visit is subject.visits[0]
    if find_odd(subject) is Odd.BROKEN_FILM and is_first:
        accept = "NR"
    poor = accept in {"NR", "NA"}
    chosen = rng.random(len(FAULTS)) < (0.5 if poor else 0.03)
    turned = is_first and subject.number % 5 == 1
    return {
        "EXAMTP": EXAM_NAMES[exam],
        "XRBARCD": write_barcode(subject, visit, exam),
        "XRDATE": f"{find_date(subject, visit.visit_months, seed):%m/%d/%Y}",
        "XRSIDE": _SIDE_CODES[exam],
        "XRCOMP": "1",
        "ACCEPT": accept,
        **{fault: "X" * bool(has) for fault, has in zip(FAULTS, chosen, strict=True)},
        "XRNOTE": NOTE if turned else "",
    }


def measure_spaces(subjects: Sequence[PhantomSubject], months: int, *, seed: int) -> list[Row]:
    """Rows of ``kxr_qjsw_duryea`` of one visit: four subjects in five, natural knees only.

    The least widths are the true ones at the detector, ``IMPIXSZ`` the scanner's own pixel. Guess:
    the widths beside the least one, beam angle and rim distance.

    Parameters
    ----------
    subjects : sequence of PhantomSubject
    months : int
        One of `VISIT_CODES`.
    seed : int
    """
    rows = []
    for subject in subjects:
        if subject.number % 5 != 0:
            body = draw_subject_body(Study.OAI, subject, seed)
            for visit in subject.visits:
                if visit.visit_months == months:
                    for side, severity in visit.severity.items():
                        if severity is not None:
                            shape = body.legs[side]
                            rows.append(_measure_knee(subject, visit, side, severity, shape, seed))
    return rows


def _measure_knee(
    subject: PhantomSubject,
    visit: PhantomVisit,
    side: Side,
    severity: Severity,
    shape: KneeShape,
    seed: int,
) -> Row:
    rng = np.random.default_rng(
        [seed, subject.number, 9, visit.visit_months, int(side is Side.LEFT)]
    )
    least = compute_joint_space(shape, severity)
    touching = least[Task.JSN_M] < _BONE_ON_BONE_MM
    medial = 0.0 if touching else least[Task.JSN_M]
    femur = shape.landmarks_mm[9:, 1]
    prefix = f"V{VISIT_CODES[visit.visit_months]}"
    barcode_name = "BRCDJD" if visit.visit_months else "BARCDJD"
    cells = {
        "MCMJSW": _write_mm(medial),
        "XMJSW": _write_mm(_LEAST_MEDIAL),
        **{f"JSW{x}": _widen(medial, x, _LEAST_MEDIAL) for x in MEDIAL_PLACES},
        **{f"LJSW{x}": _widen(least[Task.JSN_L], x, _LEAST_LATERAL) for x in LATERAL_PLACES},
        "CFWDTH": _write_mm(float(np.ptp(femur))),
        "TPCFDS": _write_mm(float(np.clip(rng.normal(2.5, 1), 0, 8))),
        "BMANG": f"{rng.normal(10, 1.5):.1f}",
        "IMPIXSZ": _write_mm(SCANNERS[pick_scanner(subject)].spacing_mm),
        **dict.fromkeys(("NOMJSWX", "NOMMJSW", "NOLJSWX", "NOLMIN"), "0"),
        "MJSWBB": str(int(touching)),
        **dict.fromkeys(("INCPLM", "INCPLL", "INCSTPS", "LTPMEBE"), "0"),
        barcode_name: "" if rng.random() < 0.01 else write_barcode(subject, visit, Exam.BOTH_KNEES),
    }
    return {
        "ID": write_subject_id(subject.number),
        # Guess: lower case at all follow-ups; seen in some files.
        "side" if visit.visit_months else "SIDE": "1" if side is Side.RIGHT else "2",
        "READPRJ": "15",  # Guess
        "VERSION": _VERSION,
        **{prefix + name: cell for name, cell in cells.items()},
    }


def _widen(least_mm: float, place: int, least_at: float) -> str:
    return _write_mm(least_mm + _BOWL_MM * (place / 1000 - least_at) ** 2)


def _write_mm(mm: float) -> str:
    """As SAS writes it: without the zero before the dot."""
    return f"{mm:.3f}".removeprefix("0")


def index_films(orders: Sequence[FilmOrder]) -> Iterator[tuple[str, list[Row]]]:
    """Folder and rows of the ``contents.csv`` of each image release.

    With the faults that the release has: a doubled slash in every path at 36 months, barcodes
    without their zeros (11 digits at 72 and 96 months, 6 of some), ``AccessionNumber`` for
    ``Barcode`` (Guess: at 24 months), blanks after some descriptions.

    Parameters
    ----------
    orders : sequence of FilmOrder
        The study's.

    Yields
    ------
    folder : str
        Relative to the study's.
    rows : list of mapping
    """
    films = [order for order in orders if order.kind is not FilmKind.OTHER]

    def find_folder(order: FilmOrder) -> str:
        return order.path.split(f"/{order.header['PatientID']}/")[0]

    for folder, group in groupby(sorted(films, key=find_folder), find_folder):
        yield folder, [_index_film(folder, order) for order in group]


def _index_film(folder: str, order: FilmOrder) -> Row:
    header = {name: str(value) for name, value in order.header.items()}
    barcode, description = header["AccessionNumber"], header["SeriesDescription"]
    slash = "//" if order.visit_months == 36 else "/"
    series = barcode[4:]
    if order.visit_months >= 72:
        shown = barcode[1:]
    else:
        shown = series.lstrip("0") if series.startswith("00") else barcode
    name = "AccessionNumber" if order.visit_months == 24 else "Barcode"
    release = folder.rpartition("/")[2]
    return {
        "Folder": f"{release}/{header['PatientID']}{slash}{header['StudyDate']}/{series}",
        "ParticipantID": header["PatientID"],
        "StudyDate": header["StudyDate"],
        name: shown,
        "StudyDescription": header["StudyDescription"],
        "SeriesDescription": description + "  " * (order.subject_number % 3 == 1),
    }
