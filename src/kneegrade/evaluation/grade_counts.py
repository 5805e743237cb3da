"""A knee table -> how many knees have which grade: Table 1 of the paper, for any cohort."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from kneegrade.cohorts.oai.readings import REREAD
from kneegrade.cohorts.tables.counts import count_grades
from kneegrade.cohorts.tables.schema import KEY_COLUMNS
from kneegrade.errors import TableError
from kneegrade.types import Task

MISSING: Final = "missing"
"""The row of a dataset for knees without that grade."""

_HEADINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"fo": "FO", "to": "TO", "jsn": "JSN", "scl": "Scl", "att": "Att"}
)


def stack_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put knee tables below one another.

    Raises
    ------
    TableError
        ``table.key-duplicate`` if a reading of a knee is in several: it would count twice.
    """
    knees = pd.concat(tables, ignore_index=True)
    n_repeated = int(knees.duplicated(list(KEY_COLUMNS)).sum())
    if n_repeated:
        raise TableError(
            "table.key-duplicate",
            f"Each reading of a knee must be in one of the tables. Got {n_repeated} twice.",
            "Leave out the table that is contained in another.",
        )
    return knees


def compute_table_1(table: pd.DataFrame, *, by: str = "cohort") -> pd.DataFrame:
    """Count the knees of each grade, as Table 1 of Tiulpin and Saarakkala (2020) does.

    Parameters
    ----------
    table : DataFrame
        A knee table; a row is one reading of a knee at a visit.
    by : str
        The column that separates the datasets; empty cells form a dataset of their own. By
        ``cohort``, re-reads for reliability are one too: they are knees that are there already.

    Returns
    -------
    DataFrame
        One row per dataset (in the order of the table) and grade: ``dataset`` (text), ``knees``
        (rows of the dataset), ``grade`` (``0`` .. ``4``, or ``missing`` where a row of the dataset
        lacks a grade), and a nullable Int64 column for each task that has any grade; NA where the
        task has no such grade.

    Raises
    ------
    TableError
        ``table.column-missing`` if there is no grade at all, or no column ``by``.
    """
    tasks = [task for task in Task if task.value in table and table[task.value].notna().any()]
    if not tasks or by not in table:
        raise TableError(
            "table.column-missing",
            f"A column with grades, such as kl, and the column {by!r} were expected. Got "
            f"{', '.join(map(str, table.columns[:12]))}.",
            "Name the columns of grades as kneegrade does (kl, jsn_l, ...), and with --by one that "
            "the table has.",
        )
    names = _name_datasets(table, by)
    rows: list[dict[str, Any]] = []
    for name in names.unique():
        part = table[names == name]
        counts = {task: count_grades(part, task) for task in tasks}
        begin = {"dataset": str(name), "knees": len(part)}
        for grade in range(max(task.n_grades for task in tasks)):
            cells = {t.value: counts[t][grade] if grade < t.n_grades else pd.NA for t in tasks}
            rows.append({**begin, "grade": str(grade), **cells})
        missing = {task.value: len(part) - sum(counts[task]) for task in tasks}
        if any(missing.values()):
            rows.append({**begin, "grade": MISSING, **missing})
    return pd.DataFrame(rows).astype({task.value: "Int64" for task in tasks})


def list_heads(counts: pd.DataFrame) -> list[tuple[str, str]]:
    """Head the columns as the paper does, in two rows: ``("FO", "L")``, ``("KL", "")``."""
    heads = [("Dataset", ""), ("Knees", ""), ("Grade", "")]
    for task in _tasks_of(counts):
        feature, _, place = task.value.partition("_")
        heads.append((_HEADINGS.get(feature, feature.upper()), place.upper()))
    return heads


def list_rows(counts: pd.DataFrame) -> list[list[str]]:
    """Give the cells as a person reads them; a dataset is named in its first row only."""
    rows = []
    first = ~counts["dataset"].duplicated()
    for is_first, row in zip(first, counts.to_dict("records"), strict=True):
        name = [row["dataset"], f"{row['knees']:,}"] if is_first else ["", ""]
        numbers = [row[task.value] for task in _tasks_of(counts)]
        rows.append([*name, row["grade"], *("-" if pd.isna(n) else f"{n:,}" for n in numbers)])
    return rows


def format_markdown(counts: pd.DataFrame) -> str:
    """Write a table of `compute_table_1` as Markdown."""
    heads = [" ".join(head).strip() for head in list_heads(counts)]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *list_rows(counts)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def format_html(counts: pd.DataFrame) -> str:
    """Write a table of `compute_table_1` as an HTML ``table``, headed in two rows."""
    heads = list_heads(counts)
    is_one_row = not any(place for _, place in heads)
    columns = [name for name, _ in heads] if is_one_row else pd.MultiIndex.from_tuples(heads)
    cells = pd.DataFrame(list_rows(counts), columns=columns)
    return str(cells.to_html(index=False, border=0, justify="right"))


def _name_datasets(table: pd.DataFrame, by: str) -> "pd.Series[Any]":
    names: pd.Series[Any] = table[by].astype("string").fillna("").replace("", f"no {by}")
    if by == "cohort" and "reading" in table:
        again = table["reading"].astype("string").str.startswith(REREAD).fillna(False)
        names = names.mask(again, names + " re-reads")
    return names


def _tasks_of(counts: pd.DataFrame) -> list[Task]:
    return [task for task in Task if task.value in counts]
