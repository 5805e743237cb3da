"""Who the subjects of an OAI of phantoms are: rows of Enrollees, AllClinical and OUTCOMES99."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np

from kneegrade.phantoms.studies.oai.layout import (
    MONTH_DAYS,
    VISIT_CODES,
    find_date,
    find_group,
    write_subject_id,
)
from kneegrade.phantoms.studies.oai.tables import Row
from kneegrade.phantoms.studies.population import PhantomSubject, PhantomVisit
from kneegrade.types import Side, Task

RACE_CODES: Final = MappingProxyType(
    {"Other": "0", "White": "1", "Black or African American": "2", "Asian": "3"}
)
SEX_CODES: Final = MappingProxyType({"male": "1", "female": "2"})
_VERSION: Final = "25"  # Guess


def enrol_subjects(subjects: Sequence[PhantomSubject]) -> list[Row]:
    """Rows of ``Enrollees``."""
    return [
        {
            "ID": write_subject_id(subject.number),
            "VERSION": _VERSION,
            "P02SEX": SEX_CODES[subject.sex],
            "P02RACE": RACE_CODES[subject.race],
            "P02HISP": str(int(subject.number % 20 == 19)),  # Guess
            "V00SITE": subject.site,
            "V00COHORT": _pick_cohort(subject),
            "V00CHRTHLF": "1" if find_group(subject) == "C" else "2",
        }
        for subject in subjects
    ]


def _pick_cohort(subject: PhantomSubject) -> str:
    """Progression with a knee of KL 2 or more. Guess: one in ten of the others is a control."""
    if max(_grade_kl(subject.visits[0], side) for side in Side) >= 2:
        return "1"
    return "3" if subject.number % 10 == 0 else "2"


def _grade_kl(visit: PhantomVisit, side: Side) -> int:
    severity = visit.severity[side]
    return 4 if severity is None else severity.grades[Task.KL]


def see_subjects(
    subjects: Sequence[PhantomSubject], months: int, *, seed: int, missing: str
) -> list[Row]:
    """Rows of ``AllClinical`` of one visit: those who came.

    Parameters
    ----------
    subjects : sequence of PhantomSubject
    months : int
        One of `VISIT_CODES`.
    seed : int
    missing : str
        The cell of what was not asked.
    """
    return [
        _see_subject(subject, visit, seed, missing)
        for subject in subjects
        for visit in subject.visits
        if visit.visit_months == months
    ]


def _see_subject(subject: PhantomSubject, visit: PhantomVisit, seed: int, missing: str) -> Row:
    rng = np.random.default_rng([seed, subject.number, 6, visit.visit_months])
    prefix = f"V{VISIT_CODES[visit.visit_months]}"
    row = {
        "ID": write_subject_id(subject.number),
        "VERSION": _VERSION,
        f"{prefix}AGE": str(int(subject.age + visit.visit_months / 12)),
    }
    if visit.visit_months:
        bmi = f"{subject.bmi + rng.normal(0, 0.4):.1f}"
        row[f"{prefix}BMI"] = missing if rng.random() < 0.1 else bmi
    else:
        height_mm = rng.normal(1620 if subject.sex == "female" else 1760, 60)
        row |= {
            "P01BMI": f"{subject.bmi:.1f}",
            "P01HEIGHT": f"{height_mm:.0f}",
            "P01WEIGHT": f"{subject.bmi * (height_mm / 1000) ** 2:.1f}",
            **{f"P01INJ{leg}": str(int(rng.random() < 0.25)) for leg in "RL"},
            **{f"P01KSURG{leg}": str(int(rng.random() < 0.1)) for leg in "RL"},
        }
    row[f"{prefix}FVDATE" if visit.visit_months else f"{prefix}EVDATE"] = (
        f"{find_date(subject, visit.visit_months, seed):%m/%d/%Y}"
    )
    for side in Side:
        pain = np.clip(rng.normal(2 + 1.5 * _grade_kl(visit, side), 3), 0, 20)
        leg = side.value[0].upper()
        row[f"{prefix}WOMKP{leg}"] = str(int(pain))
        row[f"{prefix}WOMTS{leg}"] = str(int(4 * pain + rng.integers(16)))
    return row


def follow_up(subjects: Sequence[PhantomSubject], *, seed: int, missing: str) -> list[Row]:
    """Rows of ``OUTCOMES99``: which knees were replaced, and when.

    Parameters
    ----------
    subjects : sequence of PhantomSubject
    seed : int
    missing : str
        The cell of a knee that was not replaced.
    """
    return [_follow_subject(subject, seed, missing) for subject in subjects]


def _follow_subject(subject: PhantomSubject, seed: int, missing: str) -> Row:
    row = {"id": write_subject_id(subject.number), "version": _VERSION}
    for side in Side:
        leg = f"V99E{side.value[0].upper()}K"
        at_first = subject.visits[0].severity[side] is None
        days = [] if at_first else list(_find_days(subject, side, seed))
        row |= {
            f"{leg}BLRP": str(int(at_first)),
            f"{leg}DAYS": str(days[0]) if days else missing,
            f"{leg}RPCF": "3" if days else missing,
            f"{leg}RPSN": "1" if days else missing,
        }
    return row


def _find_days(subject: PhantomSubject, side: Side, seed: int) -> Iterator[int]:
    """Days to the replacement: between the last visit with the knee and the next one."""
    rng = np.random.default_rng([seed, subject.number, 7, side is Side.LEFT])
    for before, after in pairwise(subject.visits):
        if before.severity[side] is not None and after.severity[side] is None:
            months = int(rng.integers(before.visit_months + 1, after.visit_months))
            yield round(months * MONTH_DAYS)
