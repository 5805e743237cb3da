"""OAI's semi-quantitative readings in any dialect -> one reading of a knee a row.

One table for each visit (``kxr_sq_bu00``: text or SAS), or one for all (the NDA export
``oai_kxrsemiquant01``). What the readings mean, which of them to take and which film they belong
to is the matter of `oai`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import pandas as pd

from kneegrade.cohorts.oai.codes import (
    KNEE,
    READ_MONTHS,
    SIDES,
    VISIT_MONTHS,
    normalise_barcode,
    read_months,
    read_oai_table,
)
from kneegrade.cohorts.releases.cells import (
    MISSING_CELL,
    NUMBER_CELL,
    check_cells,
    check_unique,
    read_grades,
)
from kneegrade.cohorts.releases.tables import SUFFIXES, StudyTables
from kneegrade.cohorts.releases.walk import walk_files
from kneegrade.errors import TableError
from kneegrade.types import Task

GRADES: Final = MappingProxyType(
    {
        "XRKL": Task.KL,
        "XROSFL": Task.FO_L,
        "XROSFM": Task.FO_M,
        "XROSTL": Task.TO_L,
        "XROSTM": Task.TO_M,
        "XRJSL": Task.JSN_L,
        "XRJSM": Task.JSN_M,
        "XRSCFL": Task.SCL_FL,
        "XRSCFM": Task.SCL_FM,
        "XRSCTL": Task.SCL_TL,
        "XRSCTM": Task.SCL_TM,
        "XRATTL": Task.ATT_TL,
        "XRATTM": Task.ATT_TM,
    }
)
"""Name of a grade without its visit prefix (``V00``) to our task."""
NARROWING: Final = frozenset({Task.JSN_L, Task.JSN_M})
"""At follow-up these have decimals: 1.4 is worse than before, but still grade 1."""
PROJECTS: Final = ("15", "37", "42")
"""Reading projects in the order of preference; the study's notes say to take 42 for 37."""
REREAD: Final = "rel"
"""A re-read for reliability is the reading ``rel-15``, a further one ``rel-15-2``."""
Jsn = Literal["floor", "paper"]

_PER_VISIT: Final = r"kxr_sq_bu\d\d"
_REREADS: Final = r"kxr_sq_rel_bu\d\d"
_ALL_VISITS: Final = ("oai_kxrsemiquant01", "kxrsq01")
"""Names in the NDA export: today's, and the older one."""
_MOST: Final = r"(most_?)?v[0-5]+xray"
_WORKBOOK = re.compile(rf"(?:{_PER_VISIT}|{'|'.join(_ALL_VISITS)})\.xlsx?", re.IGNORECASE)
_SCIENTIFIC: Final = r"\d+(?:[.,]\d+)?[eE][+-]?\d+"


@dataclass(frozen=True)
class OaiReadings:
    """Every reading that was found, none left out or preferred.

    Parameters
    ----------
    table : DataFrame
        ``subject_id`` (7 digits), ``visit_months`` (Int16; NA for a row of the NDA export at no
        visit of the study), ``side``, ``reading`` (a project, or ``rel-``), ``barcode`` (12 digits
        or NA), the 13 tasks (Int8; NA where the cell is not a grade), ``<task>_raw`` (text: the
        cell, where it is neither blank nor a plain grade), ``file`` and ``row`` of the table.
    notes : tuple of str
        What is missing, or was skipped: one sentence each.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def read_oai_readings(
    tables: StudyTables, *, jsn: Jsn = "floor", rereads: bool = False
) -> OaiReadings:
    """Find the tables of readings at any depth and bring them to one form.

    A visit that is there in several dialects is read once: text before SAS before the NDA export.

    Parameters
    ----------
    tables : StudyTables
    jsn : {"floor", "paper"}
        What a decimal of joint space narrowing becomes: its whole part, as the study means it, or
        rounded half to even, as the 2019 study's program did.
    rereads : bool
        Whether to read the re-reads for reliability (``kxr_sq_rel_bu00``) too.

    Returns
    -------
    OaiReadings

    Raises
    ------
    TableError
        cohort.layout-unknown without any readings; table.value-invalid for a cell that is neither
        a number nor missing; table.key-duplicate if a project read a knee twice at a visit; and as
        `read_oai_table`.
    """
    notes: list[str] = []
    paths = _drop_unknown_visits(tables.choose(_PER_VISIT, notes), notes)
    parts = [_read_table(path, jsn, notes) for path in paths]
    covered = {VISIT_MONTHS[path.stem[-2:]] for path in paths}
    parts += _read_export(tables, covered, jsn, notes)
    if not parts:
        raise _no_readings(tables)
    found = {months for part in parts for months in part["visit_months"].dropna().unique()}
    notes.extend(
        f"There is no table kxr_sq_bu{visit}, so there are no readings at {months} months."
        for visit, months in VISIT_MONTHS.items()
        if months in READ_MONTHS and months not in found
    )
    again = tables.choose(_REREADS, notes)
    if rereads:
        parts += [_read_table(path, jsn, notes, is_reread=True) for path in again]
    elif again:
        notes.append(f"{len(again)} tables of re-reads for reliability were not read (full mode).")
    return OaiReadings(pd.concat(parts, ignore_index=True), tuple(notes))


def _drop_unknown_visits(paths: Iterable[Path], notes: list[str]) -> list[Path]:
    known = []
    for path in paths:
        if path.stem[-2:] in VISIT_MONTHS:
            known.append(path)
        else:
            notes.append(f"{path.name} belongs to none of the study's visits and was not read.")
    return known


def _read_export(
    tables: StudyTables, covered: set[int], jsn: Jsn, notes: list[str]
) -> list[pd.DataFrame]:
    """Read the NDA export, for visits that no other table covers."""
    chosen = tables.choose("|".join(_ALL_VISITS), notes)
    chosen.sort(key=lambda path: _ALL_VISITS.index(path.stem.lower()))
    notes.extend(
        f"{tables.show(path)} is an older form of {tables.show(chosen[0])} and was not read."
        for path in chosen[1:]
    )
    if not chosen:
        return []
    if covered.issuperset(READ_MONTHS):
        notes.append(
            f"{tables.show(chosen[0])} was not read: the tables of the single visits are here."
        )
        return []
    table = _read_table(chosen[0], jsn, notes)
    twice = table["visit_months"].isin(covered)
    if twice.any():
        notes.append(
            f"{tables.show(chosen[0])}: {int(twice.sum())} rows were not used: their visits have "
            "tables of their own."
        )
    return [table[~twice]]


def _read_table(path: Path, jsn: Jsn, notes: list[str], *, is_reread: bool = False) -> pd.DataFrame:
    is_export = path.stem.lower() in _ALL_VISITS
    # Guess: the tables of re-reads have the columns of the others; READPRJ may be missing there.
    needed = [
        "SIDE",
        *GRADES,
        *(["VISIT"] if is_export else []),
        *([] if is_reread else ["READPRJ"]),
    ]
    prefix = "" if is_export else rf"(?:V{path.stem[-2:]})?"
    cells = read_oai_table(
        path, needed, ("READPRJ", "BARCODE", "BARCDBU"), prefix=prefix, missing_letters=True
    )
    knees = cells[["subject_id"]].assign(
        visit_months=read_months(cells, path),
        side=_read_codes(cells["SIDE"], "1|2", "1 (right) or 2 (left)", path.name).map(SIDES),
        reading="",
        barcode=_read_barcodes(cells, path.name, notes),
    )
    if "READPRJ" in cells:
        expected = f"a reading project ({', '.join(PROJECTS)})"
        knees["reading"] = _read_codes(cells["READPRJ"], r"\d+", expected, path.name)
    for name, task in GRADES.items():
        _check_grades(cells[name], path.name)
        knees[task.value], knees[f"{task.value}_raw"] = read_grades(
            cells[name], task, jsn if task in NARROWING else "drop"
        )
    if is_reread:
        knees["reading"] = _name_rereads(knees)
    else:
        check_unique(knees.dropna(subset="visit_months"), (*KNEE, "reading"), file=path.name)
    return knees.astype({"side": "string", "reading": "string"}).assign(
        file=path.name, row=knees.index.to_numpy()
    )


def _read_codes(cells: pd.Series, pattern: str, expected: str, file: str) -> pd.Series:
    """Check codes that every row must have; 1.0, as spreadsheets write it, is 1."""
    codes = cells.str.replace(r"\.0+$", "", regex=True)
    bad = ~codes.str.fullmatch(pattern).fillna(False).astype(bool)
    check_cells(cells, bad, expected=expected, file=file)
    return codes


def _read_barcodes(cells: pd.DataFrame, file: str, notes: list[str]) -> Any:
    name = next((name for name in ("BARCODE", "BARCDBU") if name in cells), None)
    if name is None:
        notes.append(f"{file} has no barcodes: films are found by person and visit.")
        return pd.array([pd.NA] * len(cells), dtype="string")
    mangled = cells[name].str.fullmatch(_SCIENTIFIC).fillna(False).astype(bool)
    if mangled.any():
        notes.append(
            f"{file}: {int(mangled.sum())} barcodes are numbers in scientific notation, the first "
            f"in row {mangled.idxmax()}. A spreadsheet has changed them: these films are found by "
            "person and visit."
        )
    return cells[name].map(normalise_barcode).astype("string")


def _check_grades(cells: pd.Series, file: str) -> None:
    strange = [
        cell
        for cell in cells.dropna().unique()
        if not (NUMBER_CELL.fullmatch(cell) or MISSING_CELL.fullmatch(cell))
    ]
    bad = cells.isin(strange)
    check_cells(cells, bad, expected="a number, or a missing cell", file=file)


def _name_rereads(knees: pd.DataFrame) -> pd.Series:
    projects = knees["reading"].where(knees["reading"] == "", "-" + knees["reading"])
    repeats = knees.groupby([*KNEE, "reading"], dropna=False).cumcount() + 1
    return REREAD + projects + repeats.map(lambda n: f"-{n}" if n > 1 else "")


def _no_readings(tables: StudyTables) -> TableError:
    most = tables.find(_MOST)
    again = tables.find(_REREADS)
    names = sorted(name for _, name in walk_files(tables.folder))
    packed = [name for name in names if name.lower().endswith(".zip")]
    books = [name for name in names if _WORKBOOK.fullmatch(name)]
    others = tables.paths
    hint = "Give the folder that holds OAI's tables and films, at any depth."
    got = "none"
    if most:
        got, hint = f"MOST's readings ({most[0].name})", "For MOST use `kneegrade cohort most`."
    elif again:
        got = f"only re-reads for reliability ({again[0].name})"
    elif books:
        got = f"readings that a spreadsheet saved ({books[0]})"
        hint = "Use the text or SAS table as it was downloaded."
    elif packed:
        got = f"{len(packed)} zip files ({packed[0]})"
        hint = (
            "Unpack the zip files of the tables (x-ray image assessments); films may stay packed."
        )
    elif others:
        got = f"{len(others)} tables of other names ({others[0].name})"
    return TableError(
        "cohort.layout-unknown",
        f"Tables of OAI's x-ray readings (kxr_sq_bu00 and so on, or {_ALL_VISITS[0]}; "
        f"{', '.join(SUFFIXES)}) were expected in {tables.folder}. Got: {got}.",
        hint,
    )
