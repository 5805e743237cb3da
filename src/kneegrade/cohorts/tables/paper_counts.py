"""What differs here from the grade counts of Table 1 of Tiulpin and Saarakkala (2020)."""

from typing import Any, Final, NamedTuple

import pandas as pd

from kneegrade.cohorts.tables.paper import PAPER_COUNTS, PAPER_KNEES
from kneegrade.types import Task

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
