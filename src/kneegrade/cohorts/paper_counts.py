"""The grade counts of Table 1 of Tiulpin and Saarakkala (2020), and what differs from them here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pandas as pd

from kneegrade.types import Task

PAPER_KNEES: Final[Mapping[str, int]] = MappingProxyType({"oai": 19_704, "most": 11_743})

PAPER_COUNTS: Final[Mapping[str, Mapping[Task, tuple[int, ...]]]] = MappingProxyType(
    {
        "oai": MappingProxyType(
            {
                Task.KL: (2_434, 2_632, 8_538, 4_698, 1_402),
                Task.FO_L: (11_567, 4_698, 1_748, 1_691),
                Task.FO_M: (10_085, 4_453, 2_068, 3_098),
                Task.TO_L: (11_894, 5_167, 1_169, 1_474),
                Task.TO_M: (6_960, 9_181, 2_112, 1_451),
                Task.JSN_L: (17_044, 1_160, 1_061, 439),
                Task.JSN_M: (9_234, 5_765, 3_735, 970),
            }
        ),
        "most": MappingProxyType(
            {
                Task.KL: (4_899, 1_922, 1_838, 2_087, 997),
                Task.FO_L: (9_008, 1_336, 795, 604),
                Task.FO_M: (7_968, 1_218, 996, 1_561),
                Task.TO_L: (8_596, 1_978, 647, 522),
                Task.TO_M: (6_441, 3_458, 1_212, 632),
                Task.JSN_L: (10_593, 465, 442, 243),
                Task.JSN_M: (7_418, 1_865, 1_721, 739),
            }
        ),
    }
)
"""By cohort and task: the number of knees of each grade."""

PAPER_TASKS: Final = tuple(PAPER_COUNTS["oai"])
N_COUNTS: Final = 1 + sum(task.n_grades for task in PAPER_TASKS)
"""How many counts of a cohort are compared: all knees, and each grade of each task."""


class CountDifference(NamedTuple):
    """A count that is not the published one.

    Parameters
    ----------
    task : Task or None
        None for the number of all knees.
    grade : int or None
    paper, found : int
    """

    task: Task | None
    grade: int | None
    paper: int
    found: int

    @property
    def label(self) -> str:
        """What is counted, in words."""
        return "all knees" if self.task is None else f"{self.task.label}, grade {self.grade}"


def count_grades(table: pd.DataFrame, task: Task) -> tuple[int, ...]:
    """Count the rows of each grade of one task.

    Parameters
    ----------
    table : DataFrame
        A knee table; without the task's column every count is 0.

    Returns
    -------
    tuple of int, ``task.n_grades`` values
    """
    if task.value not in table:
        return (0,) * task.n_grades
    column: Any = table[task.value]
    return tuple(int((column == grade).sum()) for grade in range(task.n_grades))


def compare_with_paper(table: pd.DataFrame, cohort: str) -> list[CountDifference]:
    """Compare a cohort's grade counts with the published Table 1.

    Parameters
    ----------
    table : DataFrame
        A knee table in paper mode; rows of other cohorts are not counted.
    cohort : str
        ``oai`` or ``most``.

    Returns
    -------
    list of CountDifference
        Only the counts that differ: first that of all knees, then by task and grade. Empty where
        all are the published ones.
    """
    ours = table[table["cohort"] == cohort]
    counts = [CountDifference(None, None, PAPER_KNEES[cohort], len(ours))]
    for task, published in PAPER_COUNTS[cohort].items():
        found = count_grades(ours, task)
        counts += [
            CountDifference(task, grade, *pair)
            for grade, pair in enumerate(zip(published, found, strict=True))
        ]
    return [count for count in counts if count.found != count.paper]
