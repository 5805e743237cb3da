"""Who and where in an OAI release of phantoms: ids, barcodes, dates, folders, and whose are odd.

Ids have 7 digits: a 1 and the subject's number in six; the release's begin with 9 (Guess: no source
says that none begins with 1). Barcodes: `write_series`. All follow from number and seed.
"""

from datetime import date, timedelta
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import numpy as np

from kneegrade.phantoms.films.scanners import OAI_SCANNERS
from kneegrade.phantoms.studies.population import PhantomSubject, PhantomVisit

VISIT_CODES: Final = MappingProxyType(
    {0: "00", 12: "01", 24: "03", 36: "05", 48: "06", 72: "08", 96: "10"}
)
"""Months to the two digits that name a visit."""
NESTED_MONTHS: Final = 48
"""Unpacked one folder too deep: ``48m/48m``."""
PERIOD: Final = 50
MAX_NUMBER: Final = 89_999
_RELEASE_VERSIONS: Final = MappingProxyType({0: (2, 1), 12: (2, 1), 24: (2, 1)})
"""Version of the release of groups C and E; 1 of both from 36 months on."""
MONTH_DAYS: Final = 365.25 / 12
_FIRST_SERIES: Final = 1_000_000
_FIRST_SHORT_SERIES: Final = 100_000


class Odd(IntEnum):
    """What is odd about a subject, by its number (1 to 12 of every 50).

    Barcodes are those of the readings at the first visit.
    """

    HAND_TOO = 1
    ONE_KNEE_TOO = 2
    PACKED = 3
    NEGATIVE = 4
    NO_SPACING = 5
    CHARACTER_SET = 6
    BROKEN_FILM = 7
    BARCODE_11 = 8
    BARCODE_6 = 9
    BARCODE_BLANK = 10
    BARCODE_T = 11
    BARCODE_NEXT = 12


class Exam(IntEnum):
    """Which film of a visit; the value tells their barcodes apart."""

    BOTH_KNEES = 0
    RIGHT_KNEE = 20
    HAND = 40


EXAM_NAMES: Final = MappingProxyType(
    {
        Exam.BOTH_KNEES: "Bilateral PA Fixed Flexion Knee",
        Exam.RIGHT_KNEE: "PA Fixed Flexion Right Knee",
        Exam.HAND: "PA Right Hand",
    }
)


def find_odd(subject: PhantomSubject) -> Odd | None:
    """What is odd about a subject; None for most."""
    place = subject.number % PERIOD
    return Odd(place) if place in set(Odd) else None


def list_exams(subject: PhantomSubject, visit: PhantomVisit) -> list[Exam]:
    """Films of a visit: both knees; of an odd subject, at the first visit, another one besides."""
    more = {Odd.HAND_TOO: [Exam.HAND], Odd.ONE_KNEE_TOO: [Exam.RIGHT_KNEE]}
    odd = find_odd(subject)
    is_first = visit is subject.visits[0]
    return [Exam.BOTH_KNEES, *(more.get(odd, []) if odd is not None and is_first else [])]


def write_subject_id(number: int) -> str:
    """Id of a subject: a 1 and six digits, which no real person has.

    Parameters
    ----------
    number : int
        0 to `MAX_NUMBER`.

    Raises
    ------
    ValueError
        If the number is out of range: barcodes would repeat.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"A subject's number must be in [0, {MAX_NUMBER}]. Got {number}.")
    return f"1{number:06d}"


def write_series(subject: PhantomSubject, visit: PhantomVisit, exam: Exam) -> str:
    """Name of a series folder, 8 digits that begin with 0.

    The subject's number, then two digits for visit and exam; six digits after the zeros for
    `Odd.BARCODE_6`, whose readings lose those.
    """
    within = int(VISIT_CODES[visit.visit_months]) + exam
    if find_odd(subject) is Odd.BARCODE_6:
        return f"{_FIRST_SHORT_SERIES + subject.number // PERIOD * 100 + within:08d}"
    return f"{_FIRST_SERIES + subject.number * 100 + within:08d}"


def write_barcode(subject: PhantomSubject, visit: PhantomVisit, exam: Exam) -> str:
    """Barcode of a film: 12 digits, the last 8 of which name the series."""
    return f"0166{write_series(subject, visit, exam)}"


def find_date(subject: PhantomSubject, visit_months: int, seed: int) -> date:
    """Day of a visit, by the months after the first one in the years 2004 to 2006."""
    rng = np.random.default_rng([seed, subject.number, 1])
    first = date(2004, 2, 1) + timedelta(days=int(rng.integers(800)))
    return first + timedelta(days=round(visit_months * MONTH_DAYS))


def find_group(subject: PhantomSubject) -> str:
    """C or E: the first half of those who joined, or the second (Guess: of a phantom by number)."""
    return "C" if subject.number % 9 < 5 else "E"


def write_release(subject: PhantomSubject, visit: PhantomVisit) -> str:
    """Name of an image release such as ``0.C.2``: visit, group and version.

    The films of the screening visit, release 0, are those of the baseline.
    """
    group = find_group(subject)
    version = _RELEASE_VERSIONS.get(visit.visit_months, (1, 1))[group == "E"]
    return f"{int(VISIT_CODES[visit.visit_months])}.{group}.{version}"


def find_timepoint(visit_months: int) -> str:
    """Folder above the releases of a visit: ``00m``, ``48m/48m``."""
    name = f"{visit_months:02d}m"
    return f"{name}/{name}" if visit_months == NESTED_MONTHS else name


def pick_scanner(subject: PhantomSubject) -> str:
    """Guess: each site has its own equipment, the same at every visit."""
    return OAI_SCANNERS[sum(subject.site.encode()) % len(OAI_SCANNERS)]
