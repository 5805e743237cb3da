"""A knee table -> how many knees have which grade, here and in the paper; who is in two splits."""

from typing import Any, Final, NamedTuple

import pandas as pd

from kneegrade.published_counts import PAPER_COUNTS, PAPER_KNEES
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


def count_knees(table: pd.DataFrame) -> pd.DataFrame:
    """Count knees by split and KL grade.

    Parameters
    ----------
    table : DataFrame
        A knee table.

    Returns
    -------
    DataFrame
        One row per split in the order of the table (``all`` where it has no split): ``split``,
        ``kl0`` .. ``kl4``, ``no_kl``, ``knees`` (rows), ``subjects``.
    """
    split = _split_of(table)
    rows = []
    for name in split.unique():
        inside = table[split == name]
        counts = count_grades(inside, Task.KL)
        rows.append(
            {
                "split": name,
                **{f"kl{grade}": n for grade, n in enumerate(counts)},
                "no_kl": len(inside) - sum(counts),
                "knees": len(inside),
                "subjects": len(inside[["cohort", "subject_id"]].drop_duplicates()),
            }
        )
    return pd.DataFrame(rows)


def audit_splits(table: pd.DataFrame) -> pd.DataFrame:
    """Find the subjects that are in more than one split: what leaks from training to test.

    Parameters
    ----------
    table : DataFrame
        A knee table.

    Returns
    -------
    DataFrame
        One row per such subject: ``cohort``, ``subject_id``, ``splits`` (joined by ``;``). Empty
        where no subject is shared.
    """
    parts = table[["cohort", "subject_id"]].assign(splits=_split_of(table)).drop_duplicates()
    joined = parts.groupby(["cohort", "subject_id"], as_index=False)["splits"].agg(
        lambda names: ";".join(sorted(names))
    )
    shared = parts.groupby(["cohort", "subject_id"]).size().to_numpy() > 1
    return joined[shared].reset_index(drop=True)


def summarise_knees(table: pd.DataFrame) -> dict[str, Any]:
    """Sum up a knee table in plain values, for JSON.

    Parameters
    ----------
    table : DataFrame
        A knee table.

    Returns
    -------
    dict
        ``knees``, ``counts`` (the rows of `count_knees`) and ``subjects_in_several_splits``.
    """
    return {
        "knees": len(table),
        "counts": count_knees(table).to_dict("records"),
        "subjects_in_several_splits": len(audit_splits(table)),
    }


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


def _split_of(table: pd.DataFrame) -> pd.Series:
    if "split" not in table:
        return pd.Series("all", index=table.index, dtype="string")
    return table["split"].fillna("no split")
