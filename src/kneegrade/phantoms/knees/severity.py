"""How badly each feature of a phantom's knee is affected, on a scale whose whole part is the grade.

Truth is continuous: a severity of 1.0 to just below 2.0 is a grade of 1, and where in that range it
lies is how large within its grade a feature is drawn. A reader sees it with noise and writes whole
grades.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from kneegrade.types import Grades, Task

OSTEOPHYTES: Final = (Task.FO_L, Task.FO_M, Task.TO_L, Task.TO_M)
NARROWING: Final = (Task.JSN_L, Task.JSN_M)
SCLEROSIS: Final = (Task.SCL_FL, Task.SCL_FM, Task.SCL_TL, Task.SCL_TM)
ATTRITION: Final = (Task.ATT_TL, Task.ATT_TM)
FEATURES: Final = (*OSTEOPHYTES, *NARROWING, *SCLEROSIS, *ATTRITION)
"""Every graded feature; Kellgren-Lawrence follows from them."""


@dataclass(frozen=True)
class Severity(Mapping[Task, float]):
    """Severity of the twelve features of one knee.

    Parameters
    ----------
    values_by_task : mapping of Task to float
        All of `FEATURES`, each in [0, 4); the whole part is the grade.

    Raises
    ------
    ValueError
        If a feature is absent or unknown, or a value is out of range.
    """

    values_by_task: Mapping[Task, float]

    def __post_init__(self) -> None:
        if set(self.values_by_task) != set(FEATURES):
            raise ValueError("A severity needs each of FEATURES and nothing else.")
        for task, value in self.values_by_task.items():
            if not 0 <= value < task.n_grades:
                raise ValueError(f"{task.value} must be in [0, {task.n_grades}). Got {value!r}.")
        ordered = {task: float(self.values_by_task[task]) for task in FEATURES}
        object.__setattr__(self, "values_by_task", MappingProxyType(ordered))

    def __getitem__(self, task: Task) -> float:
        return self.values_by_task[task]

    def __iter__(self) -> Iterator[Task]:
        return iter(self.values_by_task)

    def __len__(self) -> int:
        return len(self.values_by_task)

    @property
    def grades(self) -> Grades:
        """The true grades: thirteen, Kellgren-Lawrence by `compute_kl`."""
        features = {task: int(value) for task, value in self.items()}
        return Grades({Task.KL: compute_kl(features), **features})

    @classmethod
    def from_grades(cls, grades: Mapping[Task, int], rng: np.random.Generator) -> "Severity":
        """Draw where within its grade each feature lies.

        Parameters
        ----------
        grades : mapping of Task to int
            Osteophytes and narrowing of all six sites. Sclerosis and attrition that are not given
            follow the narrowing of their compartment (sclerosis one less; attrition 1 at 3).
        rng : numpy.random.Generator
            The same state gives the same places, whatever the grades.

        Raises
        ------
        ValueError
            If one of the six is absent, a grade is outside its scale, or a Kellgren-Lawrence grade
            is given that `compute_kl` contradicts.
        """
        missing = [task.value for task in (*OSTEOPHYTES, *NARROWING) if task not in grades]
        if missing:
            raise ValueError(f"A phantom needs all six feature grades. Got none for {missing}.")
        wanted = dict(Grades(grades))
        for task in (*SCLEROSIS, *ATTRITION):
            jsn = wanted[Task.JSN_L if task.value[-1] == "l" else Task.JSN_M]
            wanted.setdefault(task, int(jsn == 3) if task in ATTRITION else max(jsn - 1, 0))
        kl = compute_kl(wanted)
        if wanted.pop(Task.KL, kl) != kl:
            raise ValueError(f"These features are KL {kl} by the rule. Got {grades[Task.KL]}.")
        places = rng.uniform(0.1, 0.9, len(FEATURES))
        return cls({t: wanted[t] + place for t, place in zip(FEATURES, places, strict=True)})


def compute_kl(grades: Mapping[Task, int]) -> int:
    """Kellgren-Lawrence grade that a phantom's features stand for.

    4 where the worst narrowing is 3; else 3 where it is 2; else 2 where an osteophyte is graded 2
    or more or two sites or more have one; else 1 where one site has one; else 0. It is how the
    study readers evidently used the scale: in Table 1 of the paper (Tiulpin & Saarakkala 2019) the
    knees of KL 4 are about as many as those with a narrowing of 3 in either compartment, and those
    of KL 3 as those with a worst narrowing of 2.

    Parameters
    ----------
    grades : mapping of Task to int
        Osteophytes and narrowing of all six sites.

    Returns
    -------
    int
        0 to 4.
    """
    narrowing = max(grades[task] for task in NARROWING)
    if narrowing >= 2:
        return narrowing + 1
    spurs = [grades[task] for task in OSTEOPHYTES]
    if max(spurs) >= 2 or sum(spur > 0 for spur in spurs) >= 2:
        return 2
    return int(max(spurs) > 0)
