"""The OAI release -> knee table: one reading per knee and visit, its film, and who was dropped.

`readings` finds the readings, `match` their films, `clinical` what is known of the people. Paper
mode keeps what Tiulpin and Saarakkala (2020) trained on.
"""

from collections import Counter
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import pandas as pd

from kneegrade.cohorts.oai.clinical import OaiClinical, read_oai_clinical
from kneegrade.cohorts.oai.codes import KNEE
from kneegrade.cohorts.oai.films import scan_oai_films
from kneegrade.cohorts.oai.match import match_films, take_films
from kneegrade.cohorts.oai.readings import (
    NARROWING,
    PROJECTS,
    REREAD,
    Jsn,
    OaiReadings,
    read_oai_readings,
)
from kneegrade.cohorts.releases.cells import DECIMALS_DONE, count_no_grades
from kneegrade.cohorts.releases.flow import KneeFlow, StudyKnees, make_knee_table
from kneegrade.cohorts.releases.reference_crops import take_crops
from kneegrade.cohorts.releases.tables import list_tables
from kneegrade.types import Task

COHORT: Final = "oai"
DAYS_PER_MONTH: Final = 365.25 / 12
PASSED_OVER: Final = "another project's reading of the knee was taken"

_GRADES: Final = [task.value for task in Task]
_RAWS: Final = [f"{task.value}_raw" for task in Task]
_OSTEOPHYTES: Final = ["fo_l", "fo_m", "to_l", "to_m"]
_GROUPS: Final = MappingProxyType(
    {
        "the KL grade": ["kl"],
        "a grade of joint space narrowing": ["jsn_l", "jsn_m"],
        "a grade of an osteophyte": _OSTEOPHYTES,
        "a grade of sclerosis": ["scl_fl", "scl_fm", "scl_tl", "scl_tm"],
        "a grade of attrition": ["att_tl", "att_tm"],
    }
)


def read_oai(
    folder: Path,
    *,
    mode: Literal["paper", "full"] = "paper",
    jsn: Jsn = "floor",
    crops: pd.DataFrame | None = None,
) -> StudyKnees:
    """Read the OAI release as a knee table and count every reading that is dropped on the way.

    Parameters
    ----------
    folder : Path
        Tables (``kxr_sq_bu00`` and so on, or the NDA export; clinical ones as far as they are
        there) and films, at any depth.
    mode : {"paper", "full"}
        Keep readings with all 13 grades, or with any. Then each knee and visit keeps the reading
        of one project, 15 before 37 before 42. Full mode adds the re-reads for reliability, each
        as another ``reading``.
    jsn : {"floor", "paper"}
        What a decimal of joint space narrowing becomes: its whole part, or rounded half to even.
    crops : DataFrame, optional
        Pictures instead of films: `read_reference_crops`, with paths relative to ``folder``.

    Returns
    -------
    StudyKnees
        ``image_path`` is relative to ``folder``. Beside the schema the table has ``barcode``,
        ``film_match`` and the columns of `OaiClinical`.

    Raises
    ------
    TableError
        cohort.layout-unknown, table.empty (no knee is left) and as `read_oai_readings`,
        `read_oai_clinical`, `scan_oai_films` and `check_knee_table`.
    """
    tables = list_tables(folder)
    readings = read_oai_readings(tables, jsn=jsn, rereads=mode == "full")
    clinical = read_oai_clinical(tables)
    rows = _join_clinical(readings.table, clinical)
    counted = _count_cells(rows, jsn)
    notes = [*readings.notes, *_note_projects(rows)]
    flow = KneeFlow(rows)
    for reason, mask in _list_exclusions(rows, mode, counted):
        flow.drop(reason, mask)
    _choose_readings(flow)
    graded = flow.rows
    if crops is None:
        unmatched = _join_films(folder, flow, rows, counted, notes)
    else:
        unmatched = take_crops(flow, crops, cohort=COHORT)
    flow.check_left(_name_tables(readings))
    without = graded.drop(flow.rows.index)
    return StudyKnees(
        knees=_make_table(flow.rows, counted),
        flow=tuple(flow.steps),
        counted={**{what: n for what, n in counted.items() if n}, **clinical.counted},
        notes=(*notes, *clinical.notes),
        unmatched_films=unmatched,
        unmatched_rows=tuple(without["file"] + ", row " + without["row"].astype(str)),
    )


def _join_clinical(readings: pd.DataFrame, clinical: OaiClinical) -> pd.DataFrame:
    """One row per reading still, with ``is_replaced``: by the visit's nominal date."""
    rows = readings.merge(clinical.rows, on=list(KNEE), how="left", validate="many_to_one")
    due = rows["visit_months"].astype("Float64") * DAYS_PER_MONTH
    replaced = (rows["replacement_days"] <= due).fillna(False).astype(bool)
    return rows.assign(cohort=COHORT, is_replaced=replaced)


def _count_cells(rows: pd.DataFrame, jsn: Jsn) -> Counter[str]:
    """Count cells that hold no plain grade, by code, and what became of them."""
    counted = count_no_grades(rows, Task)
    for task in NARROWING:
        is_decimal = rows[task.value].notna() & rows[f"{task.value}_raw"].notna()
        counted[f"JSN decimals {DECIMALS_DONE[jsn]}"] += int(is_decimal.sum())
    return counted


def _note_projects(rows: pd.DataFrame) -> list[str]:
    readings = rows["reading"]
    other = readings[~readings.isin(PROJECTS) & ~readings.str.startswith(REREAD)]
    if other.empty:
        return []
    names = ", ".join(sorted(other.unique()))
    return [
        f"{len(other)} rows are of reading projects that the release notes do not name ({names}): "
        f"they are taken where {', '.join(PROJECTS)} have none."
    ]


def _list_exclusions(
    rows: pd.DataFrame, mode: Literal["paper", "full"], counted: Counter[str]
) -> list[tuple[str, pd.Series]]:
    """Reasons in the order in which they are applied; a row falls to the first that holds."""
    repeated = rows.duplicated([*KNEE, "reading", "barcode", "file", *_GRADES, *_RAWS])
    nowhere = rows["visit_months"].isna()
    absent = rows[_GRADES].isna()
    is_unread = absent.all(axis=1)  # as a replaced knee is: whatever has a grade was no prosthesis
    counted["readings of knees replaced by the nominal date of the visit"] = int(
        rows["is_replaced"].sum()
    )
    _compare_projects(rows[~repeated & ~nowhere], counted)
    steps = [
        ("the same row again", repeated),
        ("at none of the study's visits", nowhere),
        ("replaced by a prosthesis", is_unread & rows["is_replaced"]),
        ("no grade at all", is_unread),
    ]
    if mode == "paper":
        steps += [(f"{what} missing", absent[of].any(axis=1)) for what, of in _GROUPS.items()]
    return steps


def _compare_projects(rows: pd.DataFrame, counted: Counter[str]) -> None:
    """Count knees that several projects read at a visit, and whether their grades are the same."""
    key = list(KNEE)
    named = rows[~rows["reading"].str.startswith(REREAD) & rows[_GRADES].notna().any(axis=1)]
    grades = {name: part.set_index(key)[_GRADES] for name, part in named.groupby("reading")}
    for first, second in combinations(sorted(grades), 2):
        both = grades[first].index.intersection(grades[second].index)
        a, b = (
            grades[name].loc[both].to_numpy(dtype=float, na_value=np.nan)
            for name in (first, second)
        )
        in_both = ~np.isnan(a) & ~np.isnan(b)
        unequal = ((a != b) & in_both).any(axis=1)
        partly = ~unequal & (np.isnan(a) != np.isnan(b)).any(axis=1)
        what = f"knees read by projects {first} and {second}"
        counted[f"{what}: equal"] += int((~unequal & ~partly).sum())
        counted[f"{what}: equal, but one lacks grades of the other"] += int(partly.sum())
        counted[f"{what}: unequal"] += int(unequal.sum())
    has_osteophytes = named[_OSTEOPHYTES].notna().all(axis=1)
    read = has_osteophytes.groupby([named[name] for name in key]).agg(["size", "sum"])
    counted["knees read by several projects, osteophytes by one only"] += int(
        ((read["size"] > 1) & (read["sum"] == 1)).sum()
    )


def _choose_readings(flow: KneeFlow) -> None:
    """Keep one project's row of each knee and visit; re-reads stay beside it."""
    named = flow.rows[~flow.rows["reading"].str.startswith(REREAD)]
    ranks = named["reading"].map({name: rank for rank, name in enumerate(PROJECTS)})
    order = named.assign(rank=ranks.fillna(len(PROJECTS)))
    order = order.sort_values(["rank", "reading"], kind="stable")
    passed_over = order.loc[order.duplicated(list(KNEE)), "reading"]
    for name in sorted(passed_over.unique()):
        chosen = passed_over.index[passed_over == name]
        flow.drop(f"project {name}: {PASSED_OVER}", flow.rows.index.isin(chosen))


def _join_films(
    folder: Path, flow: KneeFlow, rows: pd.DataFrame, counted: Counter[str], notes: list[str]
) -> tuple[str, ...]:
    """Give each row its film, drop rows without one, and return the films without a row."""
    scanned = scan_oai_films(folder)
    match = match_films(rows, scanned)
    take_films(flow, match, scanned, counted, notes)
    return match.list_unused()


def _name_tables(readings: OaiReadings) -> str:
    files = sorted(readings.table["file"].unique())
    return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


def _make_table(rows: pd.DataFrame, counted: Counter[str]) -> pd.DataFrame:
    used = rows["used_barcode"] if "used_barcode" in rows else rows["barcode"]
    other = (rows["film_barcode"] != used).fillna(False).astype(bool)
    counted["X-ray metadata of another film than the one used: left out"] += int(other.sum())
    faults = ["film_barcode", "film_accept", "film_faults"]
    table = rows.assign(**{name: rows[name].mask(other) for name in faults})
    return make_knee_table(table, _RAWS, ["used_barcode", "is_replaced", "file", "row"])
