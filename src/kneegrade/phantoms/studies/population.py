"""Subjects of a study of phantoms: who they are, and how their knees are at each visit.

A Gaussian copula. Twelve latent values per knee, each about standard normal over the study's knees
and visits, are sums of the knee's general severity, its side (how much more the medial compartment
wears than the lateral), its wear (how one-sided that is, either way), something that the sites of
one compartment share, and something of each site's own (`_Ties`).

* Three quarters of each of these is the person's: KL of left and right correlates by .4 to .55
  (.51 in the open baseline knees of OAI).
* Osteophytes correlate with each other, most of all within one compartment, and with narrowing: the
  side ties them to that of their compartment, the wear to that of either.
* Narrowing lateral and medial: negatively. Where one is graded 3, the other is nearly always 0 or
  1, and never 3.
* Sclerosis and attrition follow the narrowing of their compartment (latent correlation .85). Guess.
* Severity goes with BMI (.3) and age (.2). Guess.

Each study maps latent values to severity such that the grades that are read (`readers`), pooled
over visits, have the shares of Table 1 of the paper. The ties were chosen for each study such that
KL by `severity.compute_kl` has its shares too (random search over 32,000 knees, rounded):
osteophytes go together far less in OAI, whose osteophytes were read only where a knee of the person
has definite osteoarthritis.

Knees get worse at a pace of their own, evenly, and never better. Some are replaced.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from statistics import NormalDist
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatArray
from kneegrade.phantoms.knees.severity import FEATURES, NARROWING, OSTEOPHYTES, SCLEROSIS, Severity
from kneegrade.phantoms.studies.readers import bring_to_scale, fit_cuts, scale_severity
from kneegrade.published_counts import PAPER_COUNTS
from kneegrade.types import Side, Task

Sex = Literal["female", "male"]


class Study(StrEnum):
    """Which study the phantoms are like."""

    OAI = "oai"
    MOST = "most"


@dataclass(frozen=True)
class PhantomVisit:
    """A visit that took place, with a film.

    Parameters
    ----------
    visit_months : int
        Months since the first visit.
    severity : mapping of Side to Severity or None
        Both sides; None where the knee is replaced by then.
    """

    visit_months: int
    severity: Mapping[Side, Severity | None]


@dataclass(frozen=True)
class PhantomSubject:
    """A person with two knees.

    Parameters
    ----------
    number : int
        From 1 in a study; any that `draw_subject` was given.
    sex : {"female", "male"}
    age : float
        Years at the first visit, one decimal.
    race : str
        In the words of the OAI release.
    bmi : float
        kg/m2 at the first visit, one decimal.
    site : str
        ``A`` to ``E`` in OAI, ``1`` or ``2`` in MOST (Guess: how MOST writes its two).
    visits : tuple of PhantomVisit
        By time; the first is at month 0.
    """

    number: int
    sex: Sex
    age: float
    race: str
    bmi: float
    site: str
    visits: tuple[PhantomVisit, ...]


@dataclass(frozen=True)
class _Ties:
    """What a standard deviation of each shared cause adds to a latent value.

    ``femur``, ``tibia_l``, ``tibia_m`` and ``narrowing``: general severity, to osteophytes and to
    narrowing; ``wear``: one-sided wear, to every osteophyte; ``side``, ``narrowing_side``: to what
    is medial, and as much taken from what is lateral; ``pair``, ``narrowing_pair``: what the sites
    of one compartment share.
    """

    femur: float
    tibia_l: float
    tibia_m: float
    narrowing: float
    wear: float
    side: float
    narrowing_side: float
    pair: float
    narrowing_pair: float


@dataclass(frozen=True)
class _Design:
    """What is known or chosen of a study.

    ``attendance``: months of a visit -> share of subjects who came. ``female``, ``races``: shares.
    ``ages``, ``bmis``: mean, standard deviation, least, most. ``sites``: all of one size (Guess).
    """

    attendance: Mapping[int, float]
    ties: _Ties
    female: float
    ages: tuple[float, float, float, float]
    bmis: tuple[float, float, float, float]
    races: Mapping[str, float]
    sites: tuple[str, ...]


_DESIGNS: Final = MappingProxyType(
    {
        # Attendance: knees with a reading and a film, over those of the first visit. Sex, age range
        # and race: PMC7886009, table 1. BMI: after the quartiles in PMC6284324, table 1.
        Study.OAI: _Design(
            attendance={0: 1, 12: 0.94, 24: 0.88, 36: 0.85, 48: 0.81, 72: 0.40, 96: 0.41},
            ties=_Ties(
                femur=0.45,
                tibia_l=0.5,
                tibia_m=0.85,
                narrowing=0.2,
                wear=0.2,
                side=0.2,
                narrowing_side=0.75,
                pair=0.35,
                narrowing_pair=0.1,
            ),
            female=0.585,
            ages=(61, 9.5, 45, 79),
            bmis=(28.6, 4.8, 17, 48),
            races={"White": 0.79, "Black or African American": 0.18, "Asian": 0.01, "Other": 0.02},
            sites=("A", "B", "C", "D", "E"),
        ),
        # Attendance: people with films, of 3,021. Sex, age range and race: Segal 2013
        # (doi 10.1016/j.pmrj.2013.04.014) and NYU's data catalogue. Guess: mean age, BMI.
        Study.MOST: _Design(
            attendance={0: 1, 15: 0.10, 30: 0.88, 60: 0.70, 84: 0.65},
            ties=_Ties(
                femur=0.8,
                tibia_l=0.7,
                tibia_m=0.6,
                narrowing=0.55,
                wear=0.45,
                side=0.15,
                narrowing_side=0.8,
                pair=0.3,
                narrowing_pair=0.1,
            ),
            female=0.60,
            ages=(62.5, 8.1, 50, 79),
            bmis=(30.7, 6.0, 18, 55),
            races={"White": 0.84, "Black or African American": 0.15, "Other": 0.01},
            sites=("1", "2"),
        ),
    }
)

_NORMAL: Final = NormalDist()
_SIDES: Final = (Side.RIGHT, Side.LEFT)
_PERSONAL: Final = 0.75
_N_CAUSES: Final = 4 + len(FEATURES)
_FOLLOWS: Final = 0.85
_ON_AGE: Final = 0.2
_ON_BMI: Final = 0.3
_PACE: Final = 0.04
"""Mean of a knee's worsening, in latent standard deviations a year; exponential. Guess."""
_FAITHFUL: Final = 0.7
"""Share of the person in whether a visit is missed. Guess."""
_HAZARDS: Final = np.array([0.001, 0.001, 0.015, 0.06])
"""Replacements a year at a worst narrowing of 0, 1, 2, 3. Guess."""


def draw_subject(study: Study, number: int, seed: int) -> PhantomSubject:
    """Draw one subject of a study.

    Parameters
    ----------
    study : Study
    number, seed : int
        0 or more. The subject depends on the three arguments and on nothing else.

    Returns
    -------
    PhantomSubject

    Raises
    ------
    ValueError
        If a number is negative.
    """
    design = _DESIGNS[study]
    rng = np.random.default_rng(np.random.SeedSequence([seed, number, list(Study).index(study)]))
    age, bmi = rng.standard_normal(2)
    female = rng.random() < design.female
    race = str(rng.choice(list(design.races), p=list(design.races.values())))
    site = str(rng.choice(design.sites))
    years = np.array(list(design.attendance)) / 12
    severity = _draw_severity(study, years, _ON_AGE * age + _ON_BMI * bmi, rng)
    replaced = _draw_replaced(severity, years, rng)
    attended = _draw_attended(design, rng)
    visits = [
        PhantomVisit(months, _describe_knees(*knees))
        for months, was_there, *knees in zip(
            design.attendance, attended, severity, replaced, strict=True
        )
        if was_there
    ]
    return PhantomSubject(
        number=number,
        sex="female" if female else "male",
        age=_place(age, *design.ages),
        race=race,
        bmi=_place(bmi, *design.bmis),
        site=site,
        visits=tuple(visits),
    )


def _describe_knees(
    severity: FloatArray, replaced: NDArray[np.bool_]
) -> Mapping[Side, Severity | None]:
    """Both knees at one visit, from arrays ``(2, 12)`` and ``(2,)``."""
    knees = zip(_SIDES, severity.tolist(), replaced, strict=True)
    return MappingProxyType(
        {
            side: None if gone else Severity(dict(zip(FEATURES, values, strict=True)))
            for side, values, gone in knees
        }
    )


def _place(deviate: float, mean: float, spread: float, least: float, most: float) -> float:
    return round(min(max(mean + spread * float(deviate), least), most), 1)


def _draw_attended(design: _Design, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which visits took place: the first always; whoever misses one misses others."""
    person, visits = rng.standard_normal(), rng.standard_normal(len(design.attendance))
    mood = np.sqrt(_FAITHFUL) * person + np.sqrt(1 - _FAITHFUL) * visits
    limits = [np.inf if p == 1 else _NORMAL.inv_cdf(p) for p in design.attendance.values()]
    attended: NDArray[np.bool_] = mood < limits
    return attended


def _draw_replaced(
    severity: FloatArray, years: FloatArray, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which knees are replaced by which visit, ``(n_visits, 2)``; by the first: within a year."""
    worst = np.max(severity[..., [FEATURES.index(task) for task in NARROWING]], axis=-1)
    hazard = _HAZARDS[worst.astype(int)]
    before = np.vstack([hazard[:1], hazard[:-1] * np.diff(years)[:, None]])
    replaced: NDArray[np.bool_] = np.cumsum(before, axis=0) > rng.standard_exponential(2)
    return replaced


def _draw_severity(
    study: Study, years: FloatArray, burden: float, rng: np.random.Generator
) -> FloatArray:
    """Severity by visit, side and feature, ``(n_visits, 2, 12)``.

    ``burden`` is what age and BMI add to the person's general severity.
    """
    person, knees = rng.standard_normal(_N_CAUSES), rng.standard_normal((2, _N_CAUSES))
    person[0] = burden + np.sqrt(1 - _ON_AGE**2 - _ON_BMI**2) * person[0]
    causes = np.sqrt(_PERSONAL) * person + np.sqrt(1 - _PERSONAL) * knees
    wear = [_measure_wear(side) for side in causes[:, 1]]
    first = np.column_stack([causes, wear]) @ _load_causes(study).T
    mean, spread = _average_progress(study)
    worse = np.outer(years, _PACE * rng.standard_exponential(2)) - mean
    latent = np.sqrt(1 - spread**2) * first + worse[..., None]
    seen = np.empty_like(latent)
    for place, (task, cuts) in enumerate(_fit_cuts(study).items()):
        seen[..., place] = bring_to_scale(task, latent[..., place], cuts)
    return _keep_one_joint_space(scale_severity(seen))


def _measure_wear(side: float) -> float:
    """How far a standard normal is from 0 either way, made standard normal itself."""
    share = 2 * _NORMAL.cdf(abs(float(side))) - 1
    return _NORMAL.inv_cdf(min(max(share, 1e-9), 1 - 1e-9))


def _keep_one_joint_space(severity: FloatArray) -> FloatArray:
    """Hold the compartment that ends up less narrow below a grade of 3, at every visit."""
    narrowing = [FEATURES.index(task) for task in NARROWING]
    for place in range(len(_SIDES)):
        better = narrowing[int(np.argmin(severity[-1, place, narrowing]))]
        kept = severity[:, place, better]
        severity[:, place, better] = np.minimum(kept, np.nextafter(3, 0))
    return severity


@cache
def _load_causes(study: Study) -> FloatArray:
    """What each cause adds to each feature: ``(12, 17)``, rows of length 1.

    Causes: general severity, side, two compartments, each feature's own, wear.
    """
    ties = _DESIGNS[study].ties
    general = {
        Task.FO_L: ties.femur,
        Task.FO_M: ties.femur,
        Task.TO_L: ties.tibia_l,
        Task.TO_M: ties.tibia_m,
        **dict.fromkeys(NARROWING, ties.narrowing),
    }
    rows = {task: np.zeros(_N_CAUSES + 1) for task in FEATURES}
    for task in FEATURES:
        row = rows[task]
        medial = task.value.endswith("m")
        if task in general:
            spur = task in OSTEOPHYTES
            side = ties.side if spur else ties.narrowing_side
            row[:2] = general[task], side if medial else -side
            row[2 + medial] = ties.pair if spur else ties.narrowing_pair
            row[-1] = ties.wear if spur else 0
        else:
            row += _FOLLOWS * rows[NARROWING[medial]]
        row[4 + FEATURES.index(task)] = np.sqrt(1 - row @ row)
    return np.array(list(rows.values()))


@cache
def _average_progress(study: Study) -> tuple[float, float]:
    """Mean and standard deviation of what knees have worsened by, over visits that took place."""
    attendance = _DESIGNS[study].attendance
    years, weights = np.array(list(attendance)) / 12, np.array(list(attendance.values()))
    mean = np.average(years, weights=weights)
    variance = 2 * np.average(years**2, weights=weights) - mean**2
    return float(_PACE * mean), float(_PACE * np.sqrt(variance))


def _share_grades(study: Study) -> dict[Task, FloatArray]:
    """Shares of knees that a reader gives at least 1, 2 and 3, by feature."""
    shares: dict[Task, FloatArray] = {}
    for task in (*OSTEOPHYTES, *NARROWING):
        counts = PAPER_COUNTS[study.value][task]
        shares[task] = np.cumsum(counts[::-1])[-2::-1] / sum(counts)
    for task in FEATURES:
        if task not in shares:
            _, some, most = shares[NARROWING[task.value.endswith("m")]]
            shares[task] = (
                np.array([some, most, most / 4]) * (0.7 if task.value[4] == "f" else 1)
                if task in SCLEROSIS
                else most * np.array([0.8, 0.3, 0.05])
            )  # Guess: what is published of both is that they are rarer than narrowing.
    return {task: shares[task] for task in FEATURES}


@cache
def _fit_cuts(study: Study) -> Mapping[Task, FloatArray]:
    """Latent values at which each feature reaches the cuts of a reader's scale."""
    attendance = _DESIGNS[study].attendance
    years = 1 + np.average(list(attendance), weights=list(attendance.values())) / 12
    kept = np.exp(-_HAZARDS * years)
    return MappingProxyType(
        {
            task: fit_cuts(task, shares, kept if task in NARROWING else np.sqrt(kept))
            for task, shares in _share_grades(study).items()
        }
    )
