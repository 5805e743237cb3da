"""A knee table -> how many knees of which grade it has, and who is in two parts of it."""

from typing import Any

import pandas as pd

from kneegrade.cohorts.tables.paper_counts import count_grades
from kneegrade.types import Task


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


def _split_of(table: pd.DataFrame) -> pd.Series:
    if "split" not in table:
        return pd.Series("all", index=table.index, dtype="string")
    return table["split"].fillna("no split")
