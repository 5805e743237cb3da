"""A phantom study in the files of the MOST release: tables, and where each film lies.

Tables are written twice: as tab-separated text and as SAS transport files (.xpt). The release
itself comes as ``.sas7bdat``, which no open library writes; a reader that goes through pyreadstat
sees the same columns and cells in both. In a transport file the letters P, S, X and Z become plain
missing values.

What a public source shows (the programs of KneeOARSIGrading, OAProgression, semixup and
disease_progression, and most.ucsf.edu) is followed; what none shows is marked "Guess" where it is
made. Odd entries (`Odd`) come at fixed subject numbers: a study of as many subjects has all.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from kneegrade.phantoms.films.scanners import MOST_SCANNERS
from kneegrade.phantoms.studies.film_order import FilmKind, FilmOrder
from kneegrade.phantoms.studies.population import PhantomSubject, PhantomVisit
from kneegrade.phantoms.studies.readers import read_grades
from kneegrade.phantoms.studies.sas_file import write_sas_file
from kneegrade.types import Side, Task

VISIT_DIGITS: Final = MappingProxyType({0: 0, 15: 1, 30: 2, 60: 3, 84: 5})
"""Months to the digit that names the visit; 4 was by telephone."""
FEATURES: Final = MappingProxyType(
    {
        "KL": Task.KL,
        "OSFL": Task.FO_L,
        "OSTL": Task.TO_L,
        "JSL": Task.JSN_L,
        "OSFM": Task.FO_M,
        "OSTM": Task.TO_M,
        "JSM": Task.JSN_M,
    }
)
"""Name of a feature after ``V{v}X{leg}``."""
TEXT_FOLDER: Final = "Datasets_ASCII"  # Guess: no source names the folders of the tables.
SAS_FOLDER: Final = "Datasets_SAS"
IMAGE_FOLDER: Final = "Images"
_PERIOD: Final = 50
_TAIL_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
_MONTH_DAYS: Final = 30.44


class Odd(IntEnum):
    """What is odd about a subject, by the last digits of its number (1 to 12 of every 50)."""

    ALL_VIEWS = 1
    NO_FILM = 2
    NO_READING = 3
    LETTERS = 4
    BROKEN_FILM = 5
    CODE_1_9 = 6
    CODE_8 = 7
    CODE_9 = 8
    ONLY_PA05 = 9
    LATERAL_TOO = 10
    NEGATIVE = 11
    NO_SPACING = 12


def write_subject_id(number: int) -> str:
    """MOSTID of a subject. Guess: an M, a letter and five digits; only the M is known."""
    return f"MP{number:05d}"


def plan_films(subjects: Sequence[PhantomSubject], *, seed: int) -> list[FilmOrder]:
    """Say which films the study has, in the folders of the release.

    ``Images/<MOSTID>_<4 characters>/V<digit>.../PA10/<file>``. Every attended visit has the view
    PA10 but for the oddities: all three beam angles, PA05 only, no film, a lateral view besides
    (no phantom shows a knee from the side: a hand film stands in), a file that ends halfway, a
    negative (MONOCHROME1), no pixel spacing.

    Parameters
    ----------
    subjects : sequence of PhantomSubject
    seed : int

    Returns
    -------
    list of FilmOrder
        By subject, visit and view.
    """
    return [
        order
        for subject in subjects
        for visit in subject.visits
        for order in _plan_visit(subject, visit, seed)
    ]


def _plan_visit(subject: PhantomSubject, visit: PhantomVisit, seed: int) -> Iterator[FilmOrder]:
    odd = subject.number % _PERIOD
    first = visit is subject.visits[0]
    if odd == Odd.NO_FILM and first:
        return
    rng = np.random.default_rng([seed, subject.number, 1])
    most_id = write_subject_id(subject.number)
    tail = "".join(rng.choice(list(_TAIL_LETTERS), 4))
    baseline = date(2003, 4, 1) + timedelta(days=int(rng.integers(730)))
    day = baseline + timedelta(days=round(visit.visit_months * _MONTH_DAYS))
    views = {Odd.ALL_VIEWS: ["PA05", "PA10", "PA15"], Odd.ONLY_PA05: ["PA05"]}
    lateral = ["LATR"] if odd == Odd.LATERAL_TOO and first else []  # Guess: the view's name.
    for view in [*views.get(Odd(odd), ["PA10"]), *lateral] if odd in set(Odd) else ["PA10"]:
        kind = FilmKind.HAND if view in lateral else FilmKind.KNEES
        yield FilmOrder(
            # Guess: what follows the digit in V<digit>..., and the name of the file.
            path=f"{IMAGE_FOLDER}/{most_id}_{tail}/V{_digit(visit)}XRAY/{view}/IM0001.dcm",
            subject_number=subject.number,
            visit_months=visit.visit_months,
            scanner=_pick_scanner(subject),
            kind=FilmKind.BROKEN if odd == Odd.BROKEN_FILM and first else kind,
            sides=() if kind is FilmKind.HAND else (Side.RIGHT, Side.LEFT),
            header={  # Guess: no source shows a header of MOST.
                "PatientID": most_id,
                "StudyDate": f"{day:%Y%m%d}",
                "ContentDate": f"{day:%Y%m%d}",
                "SeriesDescription": f"{view} SYNTHETIC",
            },
            inverted=odd == Odd.NEGATIVE,
            keep_spacing=odd != Odd.NO_SPACING,
        )


def _pick_scanner(subject: PhantomSubject) -> str:
    """Guess: each of the two sites has its own equipment."""
    return MOST_SCANNERS[sum(subject.site.encode()) % len(MOST_SCANNERS)]


def _digit(visit: PhantomVisit) -> int:
    return VISIT_DIGITS[visit.visit_months]


def write_tables(folder: Path, subjects: Sequence[PhantomSubject], *, seed: int) -> None:
    """Write the readings, the enrolment of each visit and the outcomes, as text and for SAS.

    Parameters
    ----------
    folder : Path
        The study's folder; its tables are overwritten.
    subjects : sequence of PhantomSubject
    seed : int
    """
    readings = pd.DataFrame(
        [
            _read_subject(subject, seed)
            for subject in subjects
            if subject.number % _PERIOD != Odd.NO_READING
        ]
    )
    _write_table(folder, "MOSTV01235XRAY", readings)
    for digit in VISIT_DIGITS.values():
        name = f"mostv{digit}enroll"
        rows = [_enrol_subject(subject, digit, seed) for subject in subjects]
        _write_table(folder, name if digit % 2 else name.upper(), pd.DataFrame(rows))
    _write_table(folder, "mostoutcomes", pd.DataFrame([_follow_up(s, seed) for s in subjects]))


def _reading_columns() -> list[str]:
    return [
        f"V{digit}X{leg}{name}"
        for digit in VISIT_DIGITS.values()
        for leg in "RL"
        for name in FEATURES
    ]


def _read_subject(subject: PhantomSubject, seed: int) -> dict[str, str]:
    """One row of the readings, as the text cells of the release.

    A visit that did not take place is blank; a replaced knee is 8.
    """
    row = {"MOSTID": write_subject_id(subject.number), **dict.fromkeys(_reading_columns(), "")}
    for visit in subject.visits:
        for side, severity in visit.severity.items():
            rng = np.random.default_rng(
                [seed, subject.number, 2, visit.visit_months, side is Side.LEFT]
            )
            read = None if severity is None else read_grades(severity, rng=rng)
            for name, task in FEATURES.items():
                row[_column(visit, side, name)] = "8" if read is None else str(read[task])
    row.update(_odd_cells(subject))
    return row


def _column(visit: PhantomVisit, side: Side, name: str) -> str:
    return f"V{_digit(visit)}X{side.value[0].upper()}{name}"


def _odd_cells(subject: PhantomSubject) -> Mapping[str, str]:
    """Cells that hold no grade though the knee was filmed.

    Guess: what 1.9, P, S, X and Z stand for is not published, so where they stand is made up.
    """
    first, last = subject.visits[0], subject.visits[-1]
    match subject.number % _PERIOD:
        case Odd.LETTERS:
            cells = zip(("OSFL", "OSTL", "JSL", "OSFM"), "PSXZ", strict=True)
            return {_column(first, Side.RIGHT, name): letter for name, letter in cells}
        case Odd.CODE_1_9:
            return {_column(last, Side.RIGHT, "JSM"): "1.9"}
        case Odd.CODE_8:
            return {_column(first, Side.LEFT, name): "8" for name in FEATURES}
        case Odd.CODE_9:
            return {_column(last, Side.LEFT, name): "9" for name in FEATURES}
    return {}


def _enrol_subject(subject: PhantomSubject, digit: int, seed: int) -> dict[str, str]:
    """One row of ``mostv{digit}enroll``."""
    rng = np.random.default_rng([seed, subject.number, 3, digit])
    visit = next((v for v in subject.visits if _digit(v) == digit), None)
    filmed = visit is not None and any(_plan_visit(subject, visit, seed))
    row = {
        "MOSTID": write_subject_id(subject.number),
        "AGE": str(int(subject.age)),
        "SEX": "1" if subject.sex == "male" else "2",  # Guess: coded as OAI does.
        "SITE": subject.site,
        f"V{digit}PA": str(int(filmed)),
        f"V{digit}BMI": f"{subject.bmi + rng.normal(0, 0.4):.1f}" if visit is not None else "",
    }
    if visit is None or digit:
        return row
    for side in Side:
        leg, severity = side.value[0].upper(), visit.severity[side]
        kl = 4 if severity is None else severity.grades[Task.KL]
        row[f"V0LA{leg}"] = str(int(rng.random() < 0.25))
        row[f"V0SURG{leg}"] = str(int(rng.random() < 0.1))
        row[f"V0WOTOT{leg}"] = str(int(np.clip(rng.normal(10 + 8 * kl, 12), 0, 96)))
    return row


def _follow_up(subject: PhantomSubject, seed: int) -> dict[str, str]:
    """One row of ``mostoutcomes``: the visit by which a knee was replaced or the person had died.

    A knee that was replaced before the study has 0 (Guess).
    """
    rng = np.random.default_rng([seed, subject.number, 4])
    digits = list(VISIT_DIGITS.values())
    missed = [d for d in digits if d > _digit(subject.visits[-1])]
    died = missed[:1] if rng.random() < 0.1 else []
    row = {
        "MOSTID": write_subject_id(subject.number),
        "V99EDINDEX": str(died[0]) if died else "",
    }
    for side in Side:
        replaced = [v for v in subject.visits if v.severity[side] is None]
        column = f"V99E{side.value[0].upper()}KRINDEX"
        row[column] = str(_digit(replaced[0])) if replaced else ""
    return row


def _write_table(folder: Path, name: str, cells: pd.DataFrame) -> None:
    """Write text cells as tab-separated text and, as numbers where they are, for SAS."""
    text = folder / TEXT_FOLDER / f"{name}.txt"
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_bytes(cells.to_csv(sep="\t", index=False, lineterminator="\r\n").encode("ascii"))
    sas = folder / SAS_FOLDER / f"{name.lower()}.xpt"
    words = [column for column in cells if column in {"MOSTID", "SITE"}]
    numbers = cells.drop(columns=words).apply(pd.to_numeric, errors="coerce").astype(float)
    table = pd.concat([cells[words], numbers], axis=1)[list(cells)]
    write_sas_file(sas, table, name=name.upper())
