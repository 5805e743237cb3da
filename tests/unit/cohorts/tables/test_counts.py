"""The published Table 1, and what differs from it."""

import numpy as np
import pandas as pd
import pytest

from kneegrade.cohorts.tables.counts import (
    N_COUNTS,
    PAPER_TASKS,
    CountDifference,
    compare_with_paper,
    count_grades,
)
from kneegrade.published_counts import PAPER_COUNTS, PAPER_KNEES
from kneegrade.types import Task

COHORTS = ["oai", "most"]


def published(cohort: str) -> pd.DataFrame:
    """A table with exactly the published counts."""
    columns = {
        task.value: pd.array(np.repeat(np.arange(task.n_grades), counts), dtype="Int8")
        for task, counts in PAPER_COUNTS[cohort].items()
    }
    return pd.DataFrame({"cohort": cohort, **columns})


@pytest.mark.parametrize("cohort", COHORTS)
def test_every_column_sums_to_the_published_number_of_knees(cohort: str) -> None:
    assert tuple(PAPER_COUNTS[cohort]) == PAPER_TASKS == tuple(Task)[:7]
    for task, counts in PAPER_COUNTS[cohort].items():
        assert len(counts) == task.n_grades
        assert sum(counts) == PAPER_KNEES[cohort]


def test_numbers_as_printed() -> None:
    assert PAPER_COUNTS["oai"][Task.KL] == (2434, 2632, 8538, 4698, 1402)
    assert PAPER_COUNTS["oai"][Task.TO_M][1] == 9181
    assert PAPER_COUNTS["most"][Task.JSN_L] == (10593, 465, 442, 243)
    assert dict(PAPER_KNEES) == {"oai": 19704, "most": 11743}


@pytest.mark.parametrize("cohort", COHORTS)
def test_the_published_set_does_not_differ(cohort: str) -> None:
    both = pd.concat([published("oai"), published("most")])
    assert compare_with_paper(both, cohort) == []


def test_one_regraded_knee_differs_in_two_counts() -> None:
    table = published("most")
    table.loc[table["jsn_m"] == 3, "jsn_m"] = pd.array([2] + [3] * 738, dtype="Int8")
    assert compare_with_paper(table, "most") == [
        CountDifference(Task.JSN_M, 2, paper=1721, found=1722),
        CountDifference(Task.JSN_M, 3, paper=739, found=738),
    ]


def test_a_missing_knee_differs_in_the_total_and_in_each_task() -> None:
    differing = compare_with_paper(published("oai").iloc[1:], "oai")
    assert differing[0] == CountDifference(None, None, paper=19704, found=19703)
    assert [count.task for count in differing[1:]] == list(PAPER_TASKS)
    assert differing[0].label == "all knees"
    assert differing[1].label == "Kellgren-Lawrence, grade 0"


def test_a_table_without_grades_differs_everywhere() -> None:
    differing = compare_with_paper(pd.DataFrame({"cohort": ["oai"]}), "oai")
    assert len(differing) == N_COUNTS == 30
    assert {count.found for count in differing[1:]} == {0}


def test_missing_grades_are_not_counted() -> None:
    table = pd.DataFrame({"fo_l": pd.array([0, None, 3, 3], dtype="Int8")})
    assert count_grades(table, Task.FO_L) == (1, 0, 0, 2)
    assert count_grades(table, Task.KL) == (0,) * 5
