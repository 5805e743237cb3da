"""What the central readers of an OAI of phantoms wrote: rows of the ``kxr_sq`` tables.

Project 15 read the visits to 48 months, 37 and 42 a sample up to 96 months. KL and narrowing were
read for all; project 15 read the rest only of people who have a knee of KL 2 at some visit, and of
odd subjects (`layout.Odd`) not of a knee of KL 0. Fewer people than in the release are without
the rest: the shares of grades are those of the paper's knees, which all have it (`population`). A
reader sees the films of a knee side by side, so that a reading never gets better.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from kneegrade.phantoms.knees.severity import Severity
from kneegrade.phantoms.studies.oai.layout import (
    PERIOD,
    VISIT_CODES,
    Exam,
    Odd,
    find_odd,
    write_barcode,
    write_series,
    write_subject_id,
)
from kneegrade.phantoms.studies.oai.tables import Row
from kneegrade.phantoms.studies.population import PhantomSubject, PhantomVisit
from kneegrade.phantoms.studies.readers import read_grades
from kneegrade.types import Grades, Side, Task

GRADES: Final = MappingProxyType(
    {
        "XRKL": Task.KL,
        "XROSFL": Task.FO_L,
        "XROSFM": Task.FO_M,
        "XROSTL": Task.TO_L,
        "XROSTM": Task.TO_M,
        "XRJSL": Task.JSN_L,
        "XRJSM": Task.JSN_M,
        "XRSCFL": Task.SCL_FL,
        "XRSCFM": Task.SCL_FM,
        "XRSCTL": Task.SCL_TL,
        "XRSCTM": Task.SCL_TM,
        "XRATTL": Task.ATT_TL,
        "XRATTM": Task.ATT_TM,
    }
)
"""Name of a grade after its visit's prefix, to its task. The reader of releases has a table of its
own, so that a mistake in one is not made good by the other."""
SIGNS: Final = ("XRCYFL", "XRCYFM", "XRCYTL", "XRCYTM", "XRCHL", "XRCHM")
"""Cysts and chondrocalcinosis, there or not: no phantom shows them."""
FOR_ALL: Final = frozenset({"XRKL", "XRJSL", "XRJSM"})
"""Read for everybody in project 15."""
FIRST_PROJECT: Final = "15"
SAMPLE_MONTHS: Final = (0, 48, 72, 96)
"""Visits that projects 37 and 42 read."""
_FIRST_PROJECT_MONTHS: Final = 48
_SAMPLED: Final = frozenset({1, 2, 3})
"""Of every `PERIOD` subjects: in the sample whether or not they came late."""
_NOT_ALL_READ: Final = frozenset({4})
"""Right knees whose attrition was not read at the first visit."""
_HALF_GRADED: Final = frozenset({5, 6, 7, 8})
"""Right knees that have a medial narrowing of 1.4 at last, if it is not more than 1: so that a
small study has one."""
_POOR_MONTHS: Final = 72
_LITTLE_WORSE: Final = 0.03
_MUCH_WORSE: Final = 0.08
"""Growth of a narrowing's severity since the first visit that readers note as .2 and .4. Guess."""
_VERSION: Final = "1.6"  # Guess


def read_knees(
    subjects: Sequence[PhantomSubject], months: int, *, seed: int, unread: str
) -> list[Row]:
    """Rows of ``kxr_sq_bu`` of one visit, by subject, project and side.

    A replaced knee has a row without grades (Guess: the release has such rows, and no code).

    Parameters
    ----------
    subjects : sequence of PhantomSubject
    months : int
        One of `VISIT_CODES`.
    seed : int
    unread : str
        The cell of what was not read.

    Returns
    -------
    list of mapping
        ``ID``, ``SIDE``, ``READPRJ``, ``VERSION``, then with the visit's prefix `GRADES`, `SIGNS`
        and ``BARCDBU``.
    """
    return [
        _make_row(subject, visit, side, project, cells, unread)
        for subject in subjects
        for visit in subject.visits
        if visit.visit_months == months
        for project in _list_projects(subject, months)
        for side in Side
        for cells in [_read_cells(subject, visit, side, project, seed)]
    ]


def reread_knees(subjects: Sequence[PhantomSubject], *, seed: int, unread: str) -> list[Row]:
    """Rows of ``kxr_sq_rel_bu00``: every fourth subject's knees as a second reader saw them.

    Parameters
    ----------
    subjects, seed, unread
        As in `read_knees`.

    Returns
    -------
    list of mapping
        As in `read_knees`.
    """
    rows = []
    for subject in subjects:
        if subject.number % 4 == 1:
            visit = subject.visits[0]
            for side, severity in visit.severity.items():
                rng = np.random.default_rng([seed, subject.number, 3, side is Side.LEFT])
                read = {} if severity is None else read_grades(severity, rng=rng)
                cells = {name: str(read[task]) for name, task in GRADES.items() if read}
                rows.append(_make_row(subject, visit, side, FIRST_PROJECT, cells, unread))
    return rows


def _list_projects(subject: PhantomSubject, months: int) -> Iterator[str]:
    """Who read a visit. Guess: whoever came late was in the sample, one in eight in project 42."""
    if months <= _FIRST_PROJECT_MONTHS:
        yield FIRST_PROJECT
    is_late = any(visit.visit_months > _FIRST_PROJECT_MONTHS for visit in subject.visits)
    if months in SAMPLE_MONTHS and (is_late or subject.number % PERIOD in _SAMPLED):
        yield "42" if subject.number % 8 == 3 else "37"


def _see_knee(subject: PhantomSubject, severity: Severity, side: Side, seed: int) -> Grades:
    """What the reader sees, with the same errors at every visit."""
    rng = np.random.default_rng([seed, subject.number, 2, side is Side.LEFT])
    return read_grades(severity, rng=rng)


def _read_cells(
    subject: PhantomSubject, visit: PhantomVisit, side: Side, project: str, seed: int
) -> Mapping[str, str]:
    """What was read, as cells, by names without prefix."""
    severity = visit.severity[side]
    if severity is None:
        return {}
    grades = _see_knee(subject, severity, side, seed)
    cells = {name: str(grades[task]) for name, task in GRADES.items()}
    rng = np.random.default_rng([seed, subject.number, 4, side is Side.LEFT])
    for name, draw in zip(SIGNS, rng.random(len(SIGNS)), strict=True):
        cells[name] = str(int(draw < 0.03 + 0.05 * grades[Task.KL] * name.startswith("XRCY")))
    cells.update(_add_decimals(subject, severity, side, grades, seed))
    if _is_odd(subject, side, _HALF_GRADED) and visit is subject.visits[-1] and visit.visit_months:
        cells["XRJSM"] = cells["XRJSM"] if grades[Task.JSN_M] > 1 else "1.4"
    if _changes_its_mind(subject, visit, project):
        cells["XRJSM"] = str(abs(grades[Task.JSN_M] - 1))
    if _is_odd(subject, side, _NOT_ALL_READ) and visit is subject.visits[0]:
        cells = {name: cell for name, cell in cells.items() if name not in {"XRATTL", "XRATTM"}}
    # Guess: so that a small study has a KL 0 without osteophytes, whoever its people are.
    is_spared = project == FIRST_PROJECT and grades[Task.KL] == 0 and find_odd(subject) is not None
    if _reads_all(subject, visit, side, project, seed) and not is_spared:
        return cells
    return {name: cell for name, cell in cells.items() if name in FOR_ALL}


def _is_odd(subject: PhantomSubject, side: Side, places: frozenset[int]) -> bool:
    return side is Side.RIGHT and subject.number % PERIOD in places


def _add_decimals(
    subject: PhantomSubject, severity: Severity, side: Side, grades: Grades, seed: int
) -> Iterator[tuple[str, str]]:
    """Narrowing that is worse than at the first visit and still the same grade: 1.2, 1.4."""
    first = subject.visits[0].severity[side]
    if first is None:
        return
    before = _see_knee(subject, first, side, seed)
    for name, task in (("XRJSL", Task.JSN_L), ("XRJSM", Task.JSN_M)):
        growth = severity[task] - first[task]
        if before[task] == grades[task] in {1, 2} and growth >= _LITTLE_WORSE:
            yield name, f"{grades[task]}.{4 if growth >= _MUCH_WORSE else 2}"


def _changes_its_mind(subject: PhantomSubject, visit: PhantomVisit, project: str) -> bool:
    """Whether a project's narrowing is not that of project 15. Guess: how often."""
    return project == "37" and subject.number % 8 == 2 and visit is subject.visits[0]


def _reads_all(
    subject: PhantomSubject, visit: PhantomVisit, side: Side, project: str, seed: int
) -> bool:
    """Whether more than KL and narrowing is read. Guess: in the sample always, but at 72 months."""
    if project != FIRST_PROJECT:
        rng = np.random.default_rng([seed, subject.number, 5, side is Side.LEFT])
        return visit.visit_months != _POOR_MONTHS or rng.random() < 0.5
    return any(
        _see_knee(subject, severity, of, seed)[Task.KL] >= 2
        for each in subject.visits
        for of, severity in each.severity.items()
        if severity is not None
    )


def _make_row(
    subject: PhantomSubject,
    visit: PhantomVisit,
    side: Side,
    project: str,
    cells: Mapping[str, str],
    unread: str,
) -> Row:
    prefix = f"V{VISIT_CODES[visit.visit_months]}"
    return {
        "ID": write_subject_id(subject.number),
        "SIDE": "1" if side is Side.RIGHT else "2",
        "READPRJ": project,
        "VERSION": _VERSION,
        **{prefix + name: cells.get(name, unread) for name in (*GRADES, *SIGNS)},
        f"{prefix}BARCDBU": _note_barcode(subject, visit),
    }


def _note_barcode(subject: PhantomSubject, visit: PhantomVisit) -> str:
    """Barcode in a reading: that of the film of both knees, but for what is odd about some."""
    barcode = write_barcode(subject, visit, Exam.BOTH_KNEES)
    if visit is not subject.visits[0]:
        return barcode
    match find_odd(subject):
        case Odd.BARCODE_11:
            return barcode[1:]
        case Odd.BARCODE_6:
            return write_series(subject, visit, Exam.BOTH_KNEES).lstrip("0")
        case Odd.BARCODE_BLANK:
            return ""
        case Odd.BARCODE_T:
            return "T"
        case Odd.BARCODE_NEXT:
            return f"{int(barcode) - 1:012d}"
    return barcode
