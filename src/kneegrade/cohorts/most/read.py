"""The MOST release -> knee table: readings, the films that belong to them, and who was dropped.

Paper mode keeps what Tiulpin and Saarakkala (2020) tested on: knees with all seven grades and a
film of the view PA10. `tables` reads the readings, `films` finds the films.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from kneegrade.cohorts.most.films import scan_most_films
from kneegrade.cohorts.most.tables import (
    NOT_READ,
    REPLACED_OR_UNREADABLE,
    TASKS,
    read_enrolment,
    read_readings,
    read_replaced,
)
from kneegrade.cohorts.releases.cells import DECIMALS_DONE, Decimals, count_no_grades
from kneegrade.cohorts.releases.flow import KneeFlow, StudyKnees, make_knee_table
from kneegrade.cohorts.releases.reference_crops import take_crops
from kneegrade.cohorts.releases.tables import list_tables
from kneegrade.cohorts.releases.walk import note_absent_films
from kneegrade.types import Side

COHORT: Final = "most"
READING: Final = "most"
"""The release has one reading of a knee at a visit and names no reader."""

_GRADES: Final = [task.value for task in TASKS]
_RAWS: Final = [f"{task.value}_raw" for task in TASKS]
_CODE_WORDS: Final = {REPLACED_OR_UNREADABLE: "8 (not readable)", NOT_READ: "9 (missing)"}


def read_most(
    folder: Path,
    *,
    mode: Literal["paper", "full"] = "paper",
    code_1_9: Decimals = "drop",
    view: str = "PA10",
    crops: pd.DataFrame | None = None,
) -> StudyKnees:
    """Read the MOST release as a knee table and count every knee that is dropped on the way.

    Parameters
    ----------
    folder : Path
        Tables (``MOSTV01235XRAY``, ``mostv0enroll``, ``mostoutcomes``; SAS or text) and films, at
        any depth.
    mode : {"paper", "full"}
        Keep knees with all seven grades, or with any.
    code_1_9 : {"drop", "floor", "paper"}
        What a decimal such as 1.9 is: no grade, its whole part, or rounded half to even.
    view : str
        ``PA05``, ``PA10`` or ``PA15``: the angle of the beam in degrees. Which of them the readers
        graded is not published.
    crops : DataFrame, optional
        Pictures instead of films: `read_reference_crops`, with paths relative to ``folder``.

    Returns
    -------
    StudyKnees
        One row per knee and visit; ``image_path`` is relative to ``folder``.

    Raises
    ------
    TableError
        cohort.layout-unknown, table.empty (no knee is left) and as the readers of the parts.
    """
    tables = list_tables(folder)
    readings = read_readings(tables, code_1_9=code_1_9)
    replaced, replaced_notes = read_replaced(tables)
    is_replaced = _tell_replaced(readings.table, replaced)
    rows = readings.table.assign(replaced=is_replaced, cohort=COHORT, reading=READING)
    counted = _count_codes(rows, code_1_9)
    flow = KneeFlow(rows)
    for reason, mask in _list_exclusions(rows, mode):
        flow.drop(reason, mask)
    notes = [*readings.notes, *replaced_notes]
    graded = flow.rows
    if crops is None:
        unmatched = _join_films(folder, view, flow, rows, counted, notes)
    else:
        unmatched = take_crops(flow, crops, cohort=COHORT)
    flow.check_left(readings.file)
    enrolment, enrolment_notes = read_enrolment(tables)
    return StudyKnees(
        knees=_make_table(flow.rows, enrolment),
        flow=tuple(flow.steps),
        counted=dict(counted),
        notes=(*notes, *enrolment_notes),
        unmatched_films=unmatched,
        unmatched_rows=_name_rows(graded.drop(flow.rows.index), readings.file),
    )


def _tell_replaced(rows: pd.DataFrame, replaced: Mapping[tuple[str, Side], int]) -> pd.Series:
    """Code 8 at the visit that the outcomes name, or later: a replaced knee stays replaced."""
    by = [
        replaced.get((subject, Side(side)), 99)
        for subject, side in zip(rows["subject_id"], rows["side"], strict=True)
    ]
    has_code = rows[_RAWS].eq(REPLACED_OR_UNREADABLE).fillna(False).any(axis=1)
    return has_code & (rows["visit"] >= pd.Series(by, index=rows.index))


def _count_codes(rows: pd.DataFrame, code_1_9: Decimals) -> Counter[str]:
    """Count cells that hold no plain grade, by code, and what became of them."""
    counted = count_no_grades(rows, TASKS)
    done = DECIMALS_DONE[code_1_9]
    for grade, raw in zip(_GRADES, _RAWS, strict=True):
        for code, n in rows.loc[rows[grade].notna(), raw].value_counts().items():
            counted[f"cells with code {code}: {done}"] += int(n)
    counted["knees replaced by that visit (code 8)"] = int(rows["replaced"].sum())
    return +counted


def _list_exclusions(
    rows: pd.DataFrame, mode: Literal["paper", "full"]
) -> list[tuple[str, pd.Series]]:
    """Reasons in the order in which they are applied; a knee falls to the first that holds."""
    absent = rows[_GRADES].isna()
    excluded = absent.any(axis=1) if mode == "paper" else absent.all(axis=1)
    what = "a grade" if mode == "paper" else "every grade"
    codes = sorted(
        {str(code) for raw in _RAWS for code in rows[raw].dropna().unique()},
        key=lambda code: (code not in _CODE_WORDS, code),
    )
    steps = [
        ("not read at this visit", absent.all(axis=1) & rows[_RAWS].isna().all(axis=1)),
        ("replaced by a prosthesis", excluded & rows["replaced"]),
    ]
    for code in codes:
        held = pd.Series(False, index=rows.index)
        for grade, raw in zip(_GRADES, _RAWS, strict=True):
            held |= (rows[raw] == code).fillna(False) & rows[grade].isna()
        steps.append((f"{what} missing: code {_CODE_WORDS.get(code, code)}", excluded & held))
    steps.append((f"{what} missing: a blank cell", excluded))
    return steps


def _join_films(
    folder: Path,
    view: str,
    flow: KneeFlow,
    rows: pd.DataFrame,
    counted: Counter[str],
    notes: list[str],
) -> tuple[str, ...]:
    """Give each row its film, drop rows without one, and return the films without a row."""
    scanned = scan_most_films(folder, rows["subject_id"].unique().tolist())
    notes.extend(note_absent_films(scanned.rows_without_film))
    films = scanned.films
    other = films[films["view"] != view]
    for name, n in other["view"].value_counts().sort_index().items():
        counted[f"films of view {name}: not used"] += int(n)
    chosen = films[films["view"] == view]
    repeated = chosen.duplicated(["subject_id", "visit"])
    if repeated.any():
        counted[f"further films of view {view} at the same visit: not used"] += int(repeated.sum())
    keys = ["subject_id", "visit"]
    paths = chosen[~repeated].set_index(keys)["path"]
    index = pd.MultiIndex.from_frame(flow.rows[keys])
    found = paths.reindex(index).to_numpy()
    flow.rows = flow.rows.assign(image_path=pd.array(found, dtype="string"))
    missing = flow.rows["image_path"].isna()
    elsewhere = pd.Series(index.isin(pd.MultiIndex.from_frame(other[keys])), index=missing.index)
    flow.drop(f"no film of view {view}, only of another view", missing & elsewhere)
    flow.drop("no film found", missing)
    read = rows[rows[[*_GRADES, *_RAWS]].notna().any(axis=1)]
    without = ~pd.MultiIndex.from_frame(chosen[keys]).isin(pd.MultiIndex.from_frame(read[keys]))
    return tuple(sorted([*scanned.unmatched, *chosen["path"][without]]))


def _name_rows(rows: pd.DataFrame, file: str) -> tuple[str, ...]:
    """Where the rows stand in the table, without the participant's ID."""
    return tuple(
        f"{file}, row {row}: {side} knee at {months} months"
        for row, side, months in zip(rows["row"], rows["side"], rows["visit_months"], strict=True)
    )


def _make_table(rows: pd.DataFrame, enrolment: pd.DataFrame) -> pd.DataFrame:
    table = rows.merge(enrolment, on=["subject_id", "visit"], how="left")
    return make_knee_table(table, _RAWS, ["visit", "replaced", "row"])
