"""MOST's tables -> readings of one knee a row, enrolment and replaced knees.

The release is wide, one row for a participant: ``V{visit}X{leg}{feature}``. What is known of it
comes from the published programs that read it; what none of them shows is marked "Guess".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from kneegrade.cohorts.releases.cells import (
    Decimals,
    check_columns,
    check_ids,
    check_unique,
    parse_numbers,
    read_grades,
)
from kneegrade.cohorts.releases.tables import SUFFIXES, StudyTables, read_release_table
from kneegrade.errors import TableError
from kneegrade.types import Side, Task

MONTHS: Final = MappingProxyType({0: 0, 1: 15, 2: 30, 3: 60, 5: 84})
"""Digit of a visit with films to months since baseline; 4 was by telephone."""
LEGS: Final = MappingProxyType({"R": Side.RIGHT, "L": Side.LEFT})
FEATURES: Final = MappingProxyType(
    {
        "KL": Task.KL,
        "OSFL": Task.FO_L,
        "OSFM": Task.FO_M,
        "OSTL": Task.TO_L,
        "OSTM": Task.TO_M,
        "JSL": Task.JSN_L,
        "JSM": Task.JSN_M,
    }
)
"""Name of a feature after ``V{visit}X{leg}``; no public source names sclerosis or attrition."""
TASKS: Final = tuple(FEATURES.values())
REPLACED_OR_UNREADABLE: Final = "8"
NOT_READ: Final = "9"

_ID: Final = "MOSTID"
_READINGS: Final = re.compile(r"(?:most_?)?v([0-5]+)xray", re.IGNORECASE)
_NEWEST: Final = "01235"
_SEXES: Final = MappingProxyType({"1": "male", "2": "female"})
"""Guess: coded as OAI does; no public source shows MOST's codes."""


@dataclass(frozen=True)
class MostReadings:
    """The readings, one row per participant, visit with films, and leg.

    Parameters
    ----------
    table : DataFrame
        ``subject_id``, ``visit`` (digit), ``visit_months``, ``side``, the seven tasks (Int8; absent
        where the cell is not a grade), ``<task>_raw`` (text: the cell, where it is neither blank
        nor a plain grade), ``row`` of the file.
    file : str
        Name of the table that was read.
    notes : tuple of str
    """

    table: pd.DataFrame
    file: str
    notes: tuple[str, ...]


def read_readings(tables: StudyTables, *, code_1_9: Decimals) -> MostReadings:
    """Find the newest table of readings and bring it to one knee a row.

    Parameters
    ----------
    tables : StudyTables
    code_1_9 : {"drop", "floor", "paper"}
        What becomes of a decimal such as 1.9: no grade, its whole part, or rounded half to even as
        the paper's program did. One program says that 1.9 is "not a real change".

    Raises
    ------
    TableError
        cohort.layout-unknown without such a table; table.column-missing; table.key-duplicate if a
        participant has two rows; and as `read_release_table` and `check_ids`.
    """
    path, notes = _choose_readings(tables)
    digits = [digit for digit in MONTHS if str(digit) in _digits_of(path)]
    names = [_column(d, leg, name) for d in digits for leg in LEGS for name in FEATURES]
    cells = _read_table(path, names, missing_letters=True)
    rows = cells[[_ID]].assign(row=cells.index)  # so that no row is another's repetition
    check_unique(rows, [_ID], file=path.name)
    parts = [_take_knees(cells, digit, leg, code_1_9=code_1_9) for digit in digits for leg in LEGS]
    return MostReadings(pd.concat(parts, ignore_index=True), path.name, tuple(notes))


def read_enrolment(tables: StudyTables) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read ``mostv0enroll`` and its like: what is known of a participant at a visit.

    Parameters
    ----------
    tables : StudyTables

    Returns
    -------
    table : DataFrame
        ``subject_id``, ``visit``, ``sex``, ``age`` (years at the visit: the age at baseline plus
        the months since), ``bmi`` (kg/m2), ``site``; text where the cells are. Empty if there is no
        such table.
    notes : tuple of str

    Raises
    ------
    TableError
        As `read_release_table`, `check_columns` and `check_ids`.
    """
    notes: list[str] = []
    persons, bodies = [], []
    for digit, months in MONTHS.items():
        paths = tables.choose(rf"(most_?)?v{digit}enroll", notes)
        if not paths:
            notes.append(
                f"There is no table mostv{digit}enroll: BMI at {months} months stays empty"
                + (", and age, sex and site unless a later table has them." if digit == 0 else ".")
            )
            continue
        people = _read_people(paths[0], f"V{digit}BMI").assign(visit=digit)
        persons.append(people[["subject_id", "age", "sex", "site"]])
        bodies.append(people[["subject_id", "visit", "bmi"]])
    if not persons:
        return pd.DataFrame(columns=["subject_id", "visit", "age", "sex", "site", "bmi"]), (
            "There is no enrolment table (mostv0enroll): age, sex, site and BMI stay empty.",
        )
    # Each table has AGE at baseline, SEX and SITE again: the first that tells counts.
    person = pd.concat(persons).groupby("subject_id", sort=False).first().reset_index()
    person["sex"] = person["sex"].replace(dict(_SEXES))
    visits = pd.DataFrame({"visit": list(MONTHS), "months": list(MONTHS.values())})
    table = person.merge(visits, how="cross").merge(
        pd.concat(bodies), on=["subject_id", "visit"], how="left"
    )
    table["age"] += table.pop("months") / 12
    return table, tuple(notes)


def _read_people(path: Path, bmi: str) -> pd.DataFrame:
    cells = _read_table(path, (), ("AGE", "SEX", "SITE", bmi))
    cells = check_unique(cells, [_ID], file=path.name).reindex(
        columns=[_ID, "AGE", "SEX", "SITE", bmi]
    )
    for name, (low, high) in {"AGE": (0, 130), bmi: (5, 150)}.items():
        cells[name] = _read_numbers(cells[name], low, high, path.name)
    return cells.set_axis(["subject_id", "age", "sex", "site", "bmi"], axis="columns")


def read_replaced(tables: StudyTables) -> tuple[Mapping[tuple[str, Side], int], tuple[str, ...]]:
    """Read ``mostoutcomes``: by which visit a knee had been replaced.

    Parameters
    ----------
    tables : StudyTables

    Returns
    -------
    visits : mapping of (subject, side) to int
        The digit of the visit, for replaced knees only (``V99E[LR]KRINDEX`` above 0).
    notes : tuple of str

    Raises
    ------
    TableError
        As `read_release_table`, `check_columns` and `check_ids`.
    """
    notes: list[str] = []
    paths = tables.choose("(most_?)?outcomes", notes)
    if not paths:
        return {}, (
            "There is no table mostoutcomes: a replaced knee cannot be told from one that could "
            "not be read (code 8 stands for both).",
        )
    columns = {f"V99E{leg}KRINDEX": side for leg, side in LEGS.items()}
    cells = _read_table(paths[0], [*columns])
    visits = {}
    for column, side in columns.items():
        numbers = _read_numbers(cells[column], -99, 99, paths[0].name)
        for subject, number in zip(cells[_ID], numbers, strict=True):
            if not pd.isna(number) and number > 0:
                visits[subject, side] = int(number)
    return visits, tuple(notes)


def _read_numbers(cells: pd.Series, low: float, high: float, file: str) -> pd.Series:
    """Guess: a lone letter, as in the readings, stands for a missing number."""
    texts = cells.astype("string")
    is_letter = texts.str.fullmatch("[A-Z]").fillna(False).astype(bool)
    return parse_numbers(texts.mask(is_letter), low=low, high=high, file=file)


def _read_table(
    path: Path,
    needed: Sequence[str],
    wanted: Sequence[str] = (),
    *,
    missing_letters: bool = False,
) -> pd.DataFrame:
    """Read a table of one row per participant: `_ID` and the columns that are there."""
    columns = "|".join([_ID, *needed, *wanted])
    cells = read_release_table(path, columns=columns, missing_letters=missing_letters)
    check_columns(cells, [_ID, *needed], file=path.name)
    check_ids(cells[_ID], digits=None, file=path.name)
    return cells


def _choose_readings(tables: StudyTables) -> tuple[Path, list[str]]:
    notes: list[str] = []
    paths = tables.choose(_READINGS.pattern, notes)
    if not paths:
        other = tables.find(r"kxr_?sq.*|oai_kxrsemiquant.*")
        found = f"OAI's readings ({other[0].name})" if other else "none"
        raise TableError(
            "cohort.layout-unknown",
            f"A table of MOST's x-ray readings (MOSTV{_NEWEST}XRAY; {', '.join(SUFFIXES)}) was "
            f"expected in {tables.folder}. Got: {found}.",
            "For OAI use `kneegrade cohort oai`."
            if other
            else "Give the folder that holds MOST's tables and films, at any depth.",
        )
    paths.sort(key=lambda path: -len(_digits_of(path)))
    if _digits_of(paths[0]) != _NEWEST:
        notes.append(
            f"{paths[0].name} is an older table of readings: MOSTV{_NEWEST}XRAY supersedes it and "
            "has all visits to 84 months."
        )
    for path in paths[1:]:
        older = _digits_of(path) != _digits_of(paths[0])
        reason = "is superseded by" if older else "is the same table as"
        notes.append(f"{path.name} {reason} {paths[0].name} and was not read.")
    return paths[0], notes


def _digits_of(path: Path) -> str:
    match = _READINGS.fullmatch(path.stem)
    return match[1] if match else ""


def _column(digit: int, leg: str, name: str) -> str:
    return f"V{digit}X{leg}{name}"


def _take_knees(cells: pd.DataFrame, digit: int, leg: str, *, code_1_9: Decimals) -> pd.DataFrame:
    knees: dict[str, Any] = {
        "subject_id": cells[_ID].to_numpy(),
        "visit": digit,
        "visit_months": MONTHS[digit],
        "side": LEGS[leg].value,
    }
    for name, task in FEATURES.items():
        grades, raws = read_grades(cells[_column(digit, leg, name)], task, code_1_9)
        knees |= {task.value: grades, f"{task.value}_raw": raws}
    return pd.DataFrame({**knees, "row": cells.index.to_numpy()})
