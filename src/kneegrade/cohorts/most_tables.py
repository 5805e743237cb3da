"""MOST's tables -> readings of one knee a row, enrolment and replaced knees.

The release is wide, one row for a participant: ``V{visit}X{leg}{feature}``. What is known of it
comes from the published programs that read it; what none of them shows is marked "Guess".
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import pandas as pd

from kneegrade.cohorts.release_tables import (
    SUFFIXES,
    check_columns,
    check_ids,
    choose_tables,
    find_tables,
    read_release_table,
)
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

Code19 = Literal["drop", "floor", "paper"]

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
        where the cell is no grade), ``<task>_raw`` (text: the cell, where it is neither blank nor a
        plain grade), ``row`` of the file.
    file : str
        Name of the table that was read.
    notes : tuple of str
    """

    table: pd.DataFrame
    file: str
    notes: tuple[str, ...]


def read_readings(folder: Path, *, code_1_9: Code19) -> MostReadings:
    """Find the newest table of readings and bring it to one knee a row.

    Parameters
    ----------
    folder : Path
    code_1_9 : {"drop", "floor", "paper"}
        What becomes of a decimal such as 1.9: no grade, its whole part, or rounded half to even as
        the paper's program did. One program says that 1.9 is "not a real change".

    Raises
    ------
    TableError
        cohort.layout-unknown without such a table; table.column-missing; table.key-duplicate if a
        participant has two rows; and as `read_release_table` and `check_ids`.
    """
    path, notes = _choose_readings(folder)
    digits = [digit for digit in MONTHS if str(digit) in _digits_of(path)]
    wanted = rf"{_ID}|V[{''.join(map(str, digits))}]X[LR]({'|'.join(FEATURES)})"
    cells = read_release_table(path, columns=wanted, missing_letters=True)
    names = [_column(d, leg, name) for d in digits for leg in LEGS for name in FEATURES]
    check_columns(cells, [_ID, *names], file=path.name)
    check_ids(cells[_ID], digits=None, file=path.name)
    _check_unique(cells[_ID], path.name)
    parts = [_take_knees(cells, digit, leg, code_1_9=code_1_9) for digit in digits for leg in LEGS]
    return MostReadings(pd.concat(parts, ignore_index=True), path.name, tuple(notes))


def read_enrolment(folder: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read ``mostv0enroll`` and its like: what is known of a participant at a visit.

    Parameters
    ----------
    folder : Path

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
    notes, persons, bodies = [], [], []
    for digit, months in MONTHS.items():
        paths, _ = choose_tables(find_tables(folder, rf"(most_?)?v{digit}enroll"))
        if not paths:
            notes.append(
                f"There is no table mostv{digit}enroll: BMI at {months} months stays empty"
                + (", and age, sex and site unless a later one tells." if digit == 0 else ".")
            )
            continue
        cells = read_release_table(paths[0], columns=rf"{_ID}|AGE|SEX|SITE|V{digit}BMI")
        check_columns(cells, [_ID], file=paths[0].name)
        check_ids(cells[_ID], digits=None, file=paths[0].name)
        cells = cells.reindex(columns=[_ID, "AGE", "SEX", "SITE", f"V{digit}BMI"])
        cells.columns = pd.Index(["subject_id", "age", "sex", "site", "bmi"])
        cells = cells.drop_duplicates("subject_id").assign(visit=digit)
        persons.append(cells[["subject_id", "age", "sex", "site"]])
        bodies.append(cells[["subject_id", "visit", "bmi"]])
    if not persons:
        return pd.DataFrame(columns=["subject_id", "visit", "age", "sex", "site", "bmi"]), (
            "There is no enrolment table (mostv0enroll): age, sex, site and BMI stay empty.",
        )
    # Each table has AGE at baseline, SEX and SITE again: the first that tells counts.
    person = pd.concat(persons).groupby("subject_id", sort=False).first().reset_index()
    person["age"] = pd.to_numeric(person["age"], errors="coerce").astype("Float64")
    person["sex"] = person["sex"].replace(dict(_SEXES))
    visits = pd.DataFrame({"visit": list(MONTHS), "months": list(MONTHS.values())})
    table = person.merge(visits, how="cross").merge(
        pd.concat(bodies), on=["subject_id", "visit"], how="left"
    )
    table["age"] += table.pop("months") / 12
    table["bmi"] = pd.to_numeric(table["bmi"], errors="coerce").astype("Float64")
    return table, tuple(notes)


def read_replaced(folder: Path) -> tuple[Mapping[tuple[str, Side], int], tuple[str, ...]]:
    """Read ``mostoutcomes``: by which visit a knee had been replaced.

    Parameters
    ----------
    folder : Path

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
    paths, _ = choose_tables(find_tables(folder, "(most_?)?outcomes"))
    if not paths:
        return {}, (
            "There is no table mostoutcomes: a replaced knee cannot be told from one that could "
            "not be read (code 8 stands for both).",
        )
    columns = {f"V99E{leg}KRINDEX": side for leg, side in LEGS.items()}
    cells = read_release_table(paths[0], columns="|".join([_ID, *columns]))
    check_columns(cells, [_ID, *columns], file=paths[0].name)
    check_ids(cells[_ID], digits=None, file=paths[0].name)
    visits = {}
    for column, side in columns.items():
        numbers = pd.to_numeric(cells[column], errors="coerce").astype("Float64")
        for subject, number in zip(cells[_ID], numbers, strict=True):
            if not pd.isna(number) and number > 0:
                visits[subject, side] = int(number)
    return visits, ()


def _choose_readings(folder: Path) -> tuple[Path, list[str]]:
    paths = find_tables(folder, _READINGS.pattern)
    if not paths:
        other = find_tables(folder, r"kxr_?sq.*|oai_kxrsemiquant.*")
        found = f"OAI's readings ({other[0].name})" if other else "none"
        raise TableError(
            "cohort.layout-unknown",
            f"A table of MOST's x-ray readings (MOSTV01235XRAY, {' or '.join(SUFFIXES)}) was "
            f"expected in {folder}. Got: {found}.",
            "For OAI say `kneegrade cohort oai`."
            if other
            else "Give the folder that holds MOST's tables and films, at any depth.",
        )
    paths.sort(key=_preference)
    notes = []
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


def _preference(path: Path) -> tuple[Any, ...]:
    digits = _digits_of(path)
    return -len(digits), SUFFIXES.index(path.suffix.lower()), len(path.parts), str(path)


def _digits_of(path: Path) -> str:
    match = _READINGS.fullmatch(path.stem)
    return match[1] if match else ""


def _column(digit: int, leg: str, name: str) -> str:
    return f"V{digit}X{leg}{name}"


def _check_unique(ids: pd.Series, file: str) -> None:
    repeated = ids.duplicated(keep=False)
    if repeated.any():
        first = ids[repeated].iloc[0]
        rows = ids.index[ids == first].tolist()
        raise TableError(
            "table.key-duplicate",
            f"{file}: one row for each {_ID} was expected. Got the same in rows {rows[0]} and "
            f"{rows[1]}; {int(repeated.sum())} rows repeat.",
            "Use the table as the study published it.",
        )


def _take_knees(cells: pd.DataFrame, digit: int, leg: str, *, code_1_9: Code19) -> pd.DataFrame:
    knees: dict[str, Any] = {
        "subject_id": cells[_ID].to_numpy(),
        "visit": digit,
        "visit_months": MONTHS[digit],
        "side": LEGS[leg].value,
    }
    for name, task in FEATURES.items():
        column = cells[_column(digit, leg, name)]
        grades, raws = _decode_column(column, task, code_1_9)
        knees[task.value] = pd.array(grades, dtype="Int8")
        knees[f"{task.value}_raw"] = pd.array(raws, dtype="string")
    return pd.DataFrame({**knees, "row": cells.index.to_numpy()})


def _decode_column(cells: pd.Series, task: Task, code_1_9: Code19) -> tuple[list[Any], list[Any]]:
    decoded = {cell: decode_cell(cell, task, code_1_9) for cell in cells.dropna().unique()}
    pairs: Sequence[tuple[Any, Any]] = [decoded.get(cell, (pd.NA, pd.NA)) for cell in cells]
    return [grade for grade, _ in pairs], [raw for _, raw in pairs]


def decode_cell(cell: str, task: Task, code_1_9: Code19) -> tuple[Any, Any]:
    """Tell what a cell of the readings holds.

    Parameters
    ----------
    cell : str
        From `read_release_table`: a number, a letter (``P`` or ``.P``), or a lone dot.
    task : Task
    code_1_9 : {"drop", "floor", "paper"}
        As in `read_readings`.

    Returns
    -------
    grade : int or NA
    raw : str or NA
        The cell, where it is neither a plain grade nor blank.
    """
    raw = cell.strip().removeprefix(".") if not re.search(r"\d", cell) else cell.strip()
    if not raw:
        return pd.NA, pd.NA
    try:
        number = float(raw)
    except ValueError:
        return pd.NA, raw.upper()
    if not math.isfinite(number):
        return pd.NA, raw.upper()
    if number.is_integer():
        plain = 0 <= number < task.n_grades
        return (int(number), pd.NA) if plain else (pd.NA, str(int(number)))
    grade = int(number) if code_1_9 == "floor" else round(number)
    keep = code_1_9 != "drop" and number > 0 and grade < task.n_grades
    return (grade if keep else pd.NA), f"{number:g}"
