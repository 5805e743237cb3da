"""OAI: who the people are, and what is known of each knee beside its grades.

Everything here is optional: a table that is not there leaves its columns empty and is noted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pandas as pd

from kneegrade.cohorts.oai.codes import (
    FILM_MONTHS,
    KNEE,
    READ_MONTHS,
    SIDES,
    read_months,
    read_oai_table,
)
from kneegrade.cohorts.oai.xray import WIDTHS, read_film_quality, read_joint_space
from kneegrade.cohorts.releases.cells import check_unique, parse_numbers, translate
from kneegrade.cohorts.releases.tables import StudyTables
from kneegrade.types import Side

SEX: Final = MappingProxyType({"1": "male", "2": "female", "M": "male", "F": "female"})
RACE: Final = MappingProxyType(
    {"0": "Other", "1": "White", "2": "Black or African American", "3": "Asian"}
)
SUBCOHORT: Final = MappingProxyType(
    {"1": "progression", "2": "incidence", "3": "non-exposed control"}
)
NO_BMI: Final = frozenset({"-9", "-5", "-2"})
"""What the NDA export writes for a BMI that is missing or was not collected."""
NDA_CLINIC: Final = "oai_oarisk01"
MOST_YEARS: Final = 130
MOST_MONTHS: Final = 12 * MOST_YEARS
MOST_DAYS: Final = 20_000
KEY_DTYPES: Final = MappingProxyType(
    {"subject_id": "string", "visit_months": "Int16", "side": "string"}
)
COLUMNS: Final = MappingProxyType(
    {
        "sex": "string",
        "age": "Float64",
        "race": "string",
        "bmi": "Float64",
        "site": "string",
        "oai_subcohort": "string",
        "replacement_days": "Int32",
        "film_barcode": "string",
        "film_accept": "string",
        "film_faults": "string",
        **dict.fromkeys(WIDTHS.values(), "Float64"),
    }
)
"""Columns of `OaiClinical.rows` after the key, and their dtypes."""


@dataclass(frozen=True)
class OaiClinical:
    """What the OAI's clinical and x-ray tables say of each knee.

    Parameters
    ----------
    rows : DataFrame
        One row for each person, visit with films and side: ``subject_id``, ``visit_months``
        (Int16), ``side``, then `COLUMNS`: age in years and BMI in kg/m2 at that visit (a BMI that
        was not taken at a follow-up is missing, not carried on); ``replacement_days`` from the
        baseline visit to the knee's replacement, 0 if it was replaced by then.
    counted : mapping of str to int
        What was found, in words.
    notes : tuple of str
        What was not found, or was skipped: one sentence each.
    """

    rows: pd.DataFrame
    counted: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """A kind of table: its name in the text and SAS releases, in the NDA export, its reader."""

    title: str
    fills: str
    release_name: str
    nda_name: str
    read: Callable[[Path, dict[str, int]], pd.DataFrame]


def read_oai_clinical(tables: StudyTables) -> OaiClinical:
    """Read what there is of enrolment, clinic, outcome, film quality and joint space tables.

    Tables are looked for by name at any depth: first those of the text and SAS releases, then
    those of the NDA export.

    Parameters
    ----------
    tables : StudyTables

    Returns
    -------
    OaiClinical

    Raises
    ------
    TableError
        If a table that is there is damaged: table.unreadable, table.empty, table.column-missing,
        table.value-invalid or table.key-duplicate, naming file and row.
    """
    counted: dict[str, int] = {}
    notes: list[str] = []
    read = [_read(tables, source, counted, notes) for source in _SOURCES]
    parts = [part for part in read if part is not None]
    people = sorted({person for part in parts for person in part["subject_id"]})
    key = pd.MultiIndex.from_product([people, FILM_MONTHS, SIDES.values()], names=KNEE)
    rows = reduce(_join, parts, key.to_frame(index=False).astype(KEY_DTYPES))
    for name, dtype in COLUMNS.items():
        values = rows[name] if name in rows.columns else pd.Series(pd.NA, index=rows.index)
        rows[name] = values.astype(dtype)
    return OaiClinical(rows[[*KNEE, *COLUMNS]], MappingProxyType(counted), tuple(notes))


def _join(rows: pd.DataFrame, part: pd.DataFrame) -> pd.DataFrame:
    key = [name for name in KNEE if name in part.columns]
    part = part.astype({name: KEY_DTYPES[name] for name in key})
    return rows.merge(part, on=key, how="left", validate="many_to_one")


def _read(
    tables: StudyTables, source: _Source, counted: dict[str, int], notes: list[str]
) -> pd.DataFrame | None:
    paths = tables.choose(source.release_name, notes) or tables.choose(source.nda_name, notes)
    if not paths:
        notes.append(f"{source.title}: no table was found, so {source.fills} stay empty.")
        return None
    part = pd.concat([source.read(path, counted) for path in paths], ignore_index=True)
    counted[f"{source.title}: rows"] = len(part)
    if "visit_months" in part:
        absent = [str(at) for at in READ_MONTHS if at not in set(part["visit_months"].dropna())]
        if absent:
            notes.append(
                f"{source.title}: nothing at {', '.join(absent)} months, so {source.fills} stay "
                "empty there."
            )
    return part


def _read_people(path: Path, counted: dict[str, int]) -> pd.DataFrame:
    del counted
    table = read_oai_table(path, ("SEX",), ("RACE", "SITE", "COHORT", "E_COHORT"))
    people = table[["subject_id"]].assign(sex=translate(table["SEX"], SEX, file=path.name))
    if "RACE" in table.columns:
        people["race"] = translate(table["RACE"], RACE, file=path.name)
    if "SITE" in table.columns:
        people["site"] = table["SITE"]
    for name in {"COHORT", "E_COHORT"} & set(table.columns):
        people["oai_subcohort"] = translate(table[name], SUBCOHORT, file=path.name)
    return check_unique(people, ("subject_id",), file=path.name)


def _read_visits(path: Path, counted: dict[str, int]) -> pd.DataFrame:
    """Read age and BMI; the BMI of the baseline was taken at the visit before (P01)."""
    visit = path.stem[-2:]
    names = {"age": (f"V{visit}AGE",), "bmi": (f"V{visit}BMI", "P01BMI")}
    is_nda = path.stem.lower() == NDA_CLINIC
    if is_nda:
        names = {"age": ("INTERVIEW_AGE",), "bmi": ("BMI",)}
    found = read_oai_table(path, (), ("VISIT", *names["age"], *names["bmi"]), prefix="")
    visits = found[["subject_id"]].assign(visit_months=read_months(found, path))
    limits = {"age": (0, MOST_MONTHS if is_nda else MOST_YEARS), "bmi": (5, 150)}
    for ours, (low, high) in limits.items():
        for name in [name for name in names[ours] if name in found.columns]:
            numbers = parse_numbers(found[name], low=low, high=high, file=path.name, absent=NO_BMI)
            visits[ours] = visits[ours].fillna(numbers) if ours in visits.columns else numbers
    if is_nda and "age" in visits.columns:
        visits["age"] = (visits["age"] / 12).round(1)
    visits = visits.dropna(subset="visit_months")
    _count_numbers(visits, counted)
    return check_unique(visits, ("subject_id", "visit_months"), file=path.name)


def _count_numbers(visits: pd.DataFrame, counted: dict[str, int]) -> None:
    for ours, what in (("age", "Age: visits with one"), ("bmi", "BMI: visits with one")):
        if ours in visits.columns:
            counted[what] = counted.get(what, 0) + int(visits[ours].notna().sum())


def _read_outcomes(path: Path, counted: dict[str, int]) -> pd.DataFrame:
    legs = {Side.RIGHT.value: "RK", Side.LEFT.value: "LK"}
    names = [f"{leg}{what}" for leg in legs.values() for what in ("DAYS", "BLRP")]
    table = read_oai_table(path, names, prefix="(?:V99E)?")
    knees = []
    for side, leg in legs.items():
        days = parse_numbers(table[f"{leg}DAYS"], low=0, high=MOST_DAYS, file=path.name).round()
        before = table[f"{leg}BLRP"].eq("1").fillna(False).astype(bool)
        knees.append(
            table[["subject_id"]].assign(side=side, replacement_days=days.mask(before, 0.0))
        )
    replaced = pd.concat(knees).dropna(subset="replacement_days")
    counted["Knees replaced, at the baseline or later"] = len(replaced)
    return check_unique(replaced, ("subject_id", "side"), file=path.name)


_SOURCES: Final = (
    _Source(
        "Enrolment",
        "sex, race, site and sub-cohort",
        "enrollees",
        "oai_enrollee01",
        _read_people,
    ),
    _Source("Clinic visits", "age and BMI", r"allclinical\d\d", NDA_CLINIC, _read_visits),
    _Source(
        "Outcomes",
        "the days to a knee's replacement",
        "outcomes99",
        "oai_outcome01",
        _read_outcomes,
    ),
    _Source(
        "X-ray metadata",
        "the quality and faults of the films",
        r"xray\d\d",
        "oai_xrmeta01",
        read_film_quality,
    ),
    _Source(
        "Joint space widths",
        "the measured widths",
        r"kxr_qjsw_duryea\d\d",
        "oai_kxrquantjsw01",
        read_joint_space,
    ),
)
