"""Simulated subjects of an OAI-like and a MOST-like study."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.phantoms.readers import read_grades
from kneegrade.phantoms.severity import NARROWING, OSTEOPHYTES, Severity
from kneegrade.types import Side, Task

__all__ = ["PhantomSubject", "PhantomVisit", "Study", "draw_subject", "read_grades"]

FloatArray = NDArray[np.float64]
SITES: Final = (*OSTEOPHYTES, *NARROWING)


class Study(StrEnum):
    """Whose population a subject is drawn from."""

    OAI = "oai"
    MOST = "most"


@dataclass(frozen=True)
class PhantomVisit:
    """What is true of both knees at a visit.

    Parameters
    ----------
    visit_months : int
    severity : mapping of Side to Severity or None
        Both sides; None: the knee is replaced by then.
    """

    visit_months: int
    severity: Mapping[Side, Severity | None]

    def __post_init__(self) -> None:
        object.__setattr__(self, "severity", MappingProxyType(dict(self.severity)))


@dataclass(frozen=True)
class PhantomSubject:
    """A person with the visits that were attended.

    Parameters
    ----------
    number : int
    sex : str
        ``female`` or ``male``.
    age : float
        Years at baseline.
    race : str
        ``white``, ``black``, ``asian`` or ``other``.
    bmi : float
        kg/m2 at baseline.
    site : str
        ``A`` to ``E`` (OAI), ``1`` or ``2`` (MOST).
    visits : tuple of PhantomVisit
        In order of time; the first is the baseline.
    """

    number: int
    sex: str
    age: float
    race: str
    bmi: float
    site: str
    visits: tuple[PhantomVisit, ...]


@dataclass(frozen=True)
class _Population:
    """Marginals and correlations of one study: see the module's docstring."""

    code: int
    months: tuple[int, ...]
    knots: Mapping[Task, tuple[float, float, float]]
    r_site: float
    r_compartment: float
    r_narrowing: float
    r_between: float
    r_sides: float
    race: Mapping[str, float]
    sites: Mapping[str, float]
    female: float
    age: tuple[float, float, float, float]
    bmi: tuple[float, float]

    def feature_root(self) -> FloatArray:
        """(6, 6) root of the correlation of SITES."""
        r = np.eye(6)
        for i, first in enumerate(SITES):
            for j, second in enumerate(SITES[:i]):
                same = first.value[-1] == second.value[-1]
                n_jsn = (first in NARROWING) + (second in NARROWING)
                rs = (
                    (self.r_site, self.r_compartment)[same],
                    (0.0, self.r_narrowing)[same],
                    self.r_between,
                )
                r[i, j] = r[j, i] = rs[n_jsn]
        return np.linalg.cholesky(r)


_POPULATIONS: Final[Mapping[Study, _Population]] = MappingProxyType(
    {
        Study.OAI: _Population(
            code=1,
            months=(0, 12, 24, 36, 48, 72, 96),
            knots={
                Task.FO_L: (0.25, 1.0, 1.45),
                Task.FO_M: (0.05, 0.7, 1.05),
                Task.TO_L: (0.3, 1.2, 1.55),
                Task.TO_M: (-0.35, 1.0, 1.5),
                Task.JSN_L: (1.15, 1.5, 2.1),
                Task.JSN_M: (-0.05, 0.75, 1.7),
            },
            r_site=0.2,
            r_compartment=0.3,
            r_narrowing=0.3,
            r_between=-0.3,
            r_sides=0.7,
            race={"white": 0.79, "black": 0.18, "asian": 0.01, "other": 0.02},
            sites={"A": 0.1, "B": 0.2, "C": 0.25, "D": 0.22, "E": 0.23},
            female=0.58,
            age=(61.2, 9.2, 45, 80),
            bmi=(28.6, 4.8),
        ),
        Study.MOST: _Population(
            code=2,
            months=(0, 15, 30, 60, 84),
            knots={
                Task.FO_L: (0.75, 1.2, 1.65),
                Task.FO_M: (0.5, 0.8, 1.15),
                Task.TO_L: (0.65, 1.3, 1.75),
                Task.TO_M: (0.15, 1.0, 1.6),
                Task.JSN_L: (1.35, 1.6, 2.1),
                Task.JSN_M: (0.35, 0.85, 1.6),
            },
            r_site=0.6,
            r_compartment=0.8,
            r_narrowing=0.6,
            r_between=-0.1,
            r_sides=0.7,
            race={"white": 0.83, "black": 0.15, "asian": 0.01, "other": 0.01},
            sites={"1": 0.5, "2": 0.5},
            female=0.6,
            age=(62.5, 8.1, 50, 80),
            bmi=(30.7, 6.0),
        ),
    }
)


def draw_subject(study: Study, number: int, seed: int) -> PhantomSubject:
    """Draw one subject; the same arguments give the same one, whatever was drawn before.

    Parameters
    ----------
    study : Study
    number : int
        1 or more.
    seed : int
        0 or more.

    Returns
    -------
    PhantomSubject
    """
    population = _POPULATIONS[study]
    rng = np.random.default_rng(np.random.SeedSequence([seed, number, population.code]))
    r_sides = np.array([[1, 0], [population.r_sides, np.sqrt(1 - population.r_sides**2)]])
    start = r_sides @ rng.standard_normal((2, 6)) @ population.feature_root().T
    months = _draw_months(population, rng)
    rate = rng.gamma(0.5, 0.06, (2, 1)) * rng.uniform(0, 2, (2, 6))
    latent = start + rate * (months / 12)[:, None, None]
    severities = _take_severities(population, latent, rng)
    replaced = _draw_replacement(severities, months, rng)
    visits = tuple(
        PhantomVisit(
            int(month),
            {
                side: None if replaced[v, s] else severities[v][s]
                for s, side in enumerate(Side)
            },
        )
        for v, month in enumerate(months)
    )
    mean, spread, low, high = population.age
    return PhantomSubject(
        number=number,
        sex="female" if rng.random() < population.female else "male",
        age=float(np.clip(rng.normal(mean, spread), low, high - 0.1)),
        race=str(rng.choice(list(population.race), p=list(population.race.values()))),
        bmi=float(np.clip(rng.normal(*population.bmi), 17, 50)),
        site=str(rng.choice(list(population.sites), p=list(population.sites.values()))),
        visits=visits,
    )


def _draw_months(population: _Population, rng: np.random.Generator) -> FloatArray:
    attended = rng.random(len(population.months)) > 0.08
    attended[0] = True
    left = rng.random(len(population.months)) < 0.04
    left[0] = False
    attended &= ~np.logical_or.accumulate(left)
    return np.array(population.months, dtype=float)[attended]


def _take_severities(
    population: _Population, latent: FloatArray, rng: np.random.Generator
) -> list[list[Severity]]:
    sites = {
        task: _scale(population.knots[task], latent[..., place])
        for place, task in enumerate(SITES)
    }
    lateral, medial = (sites[task] for task in NARROWING)
    for lesser, greater in ((lateral, medial), (medial, lateral)):
        cap = np.where(lesser[-1] <= greater[-1], np.maximum(4.5 - greater[-1], 0), 4)
        np.minimum(lesser, np.minimum(cap, 4), out=lesser)
    offset = rng.normal(0, 0.4, (2, 6))
    for place, task in enumerate((Task.SCL_FL, Task.SCL_FM, Task.SCL_TL, Task.SCL_TM)):
        jsn = lateral if task.value[-1] == "l" else medial
        sites[task] = np.clip(jsn - 0.9 + offset[:, place], 0, 3.99)
    for place, task in enumerate((Task.ATT_TL, Task.ATT_TM)):
        jsn = lateral if task.value[-1] == "l" else medial
        sites[task] = np.clip(jsn - 2.4 + offset[:, 4 + place], 0, 3.99)
    return [
        [Severity({task: float(values[v, s]) for task, values in sites.items()}) for s in (0, 1)]
        for v in range(len(latent))
    ]


def _scale(knots: tuple[float, float, float], latent: FloatArray) -> FloatArray:
    one, two, three = knots
    places = (one - 2.5, one - 1, one - 0.4, one, two, three, three + 1, three + 2.5)
    return np.interp(latent, places, (0, 0.25, 0.6, 1, 2, 3, 3.8, 3.99))


def _draw_replacement(
    severities: list[list[Severity]], months: FloatArray, rng: np.random.Generator
) -> NDArray[np.bool_]:
    replaced = np.zeros((len(months), 2), bool)
    chance = rng.random((len(months), 2))
    for s in (0, 1):
        replaced[0, s] = chance[0, s] < 0.01
        for v in range(1, len(months)):
            worst = max(severities[v - 1][s][task] for task in NARROWING)
            yearly = 0.06 if worst >= 3 else 0.02 if worst >= 2 else 0.001
            years = (months[v] - months[v - 1]) / 12
            replaced[v, s] = replaced[v - 1, s] or chance[v, s] < 1 - (1 - yearly) ** years
    return replaced
