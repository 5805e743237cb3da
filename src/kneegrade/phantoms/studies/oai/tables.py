"""Rows of an OAI table -> its files: text divided by ``|``, SAS transport, NDA export.

The release's SAS files are ``.sas7bdat``, which no open library writes: the transport files (.xpt)
have the same columns and cells, but a missing cell loses its letter.

A cell is the text of a code or a number, a missing cell's code (``.A``), or empty (blank).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pandas as pd

from kneegrade.phantoms.studies.sas_file import write_sas_file

Row = Mapping[str, str]

LINE_END: Final = "\r\n"
MISSING: Final = MappingProxyType(
    {
        ".": "Missing Form/Incomplete Workbook",
        ".A": "Not Expected",
        ".M": "Missing",
        ".T": "Technical problems",
    }
)
"""Codes of missing cells that the phantoms use, and their labels."""
_YES_NO: Final = MappingProxyType({"0": "No", "1": "Yes"})
# Guess: the words for grades. A label may hold another colon.
_GRADES: Final = MappingProxyType(
    {f"{grade}{part}": f"Grade: {grade}" for grade in range(5) for part in ("", ".2", ".4")}
)
LABELS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "SIDE": {"1": "Right", "2": "Left"},
        "SEX": {"1": "Male", "2": "Female"},
        "RACE": {
            "0": "Other Non-white",
            "1": "White or Caucasian",
            "2": "Black or African American",
            "3": "Asian",
        },
        "HISP": _YES_NO,
        "COHORT": {"1": "Progression", "2": "Incidence", "3": "Non-exposed control group"},
        "CHRTHLF": {"1": "First half", "2": "Second half"},
        **dict.fromkeys(("INJL", "INJR", "KSURGL", "KSURGR", "XRCOMP"), _YES_NO),
        **dict.fromkeys(
            ("XRKL", "XRJSL", "XRJSM", "XROSFL", "XROSFM", "XROSTL", "XROSTM"), _GRADES
        ),
        **dict.fromkeys(("XRCYFL", "XRCYFM", "XRCYTL", "XRCYTM", "XRCHL", "XRCHM"), _YES_NO),
    }
)
"""Labels of codes, by the name of the column without its prefix."""
_PREFIX: Final = re.compile(r"(V\d\d|P0[12])(?=[A-Z])")
_NUMBER: Final = re.compile(r"-?(\d+\.?\d*|\.\d+)")
_TEXT: Final = re.compile(r"ID|.*(BARC|BRCD).*", re.IGNORECASE)


def write_text(path: Path, rows: Sequence[Row], *, labelled: bool) -> None:
    """Write a table divided by ``|``: Latin-1, CRLF, no quoting, a blank cell as one space.

    Parameters
    ----------
    path : Path
        Its folder is made.
    rows : sequence of mapping
        Column to cell, all with the same columns; at least one.
    labelled : bool
        Whether codes are followed by their `LABELS`.
    """
    lines = ["|".join(rows[0])]
    for row in rows:
        lines.append("|".join(_write_cell(n, cell, labelled) for n, cell in row.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + LINE_END for line in lines).encode("latin-1"))


def _write_cell(name: str, cell: str, labelled: bool) -> str:
    if not cell:
        return " "
    bare = _PREFIX.sub("", name.upper())
    label = (MISSING.get(cell) or LABELS.get(bare, {}).get(cell)) if labelled else None
    return f"{cell}: {label}" if label else cell


def write_sas(path: Path, rows: Sequence[Row]) -> None:
    """Write a table as a SAS transport file, version 8; a missing cell has no letter there.

    Parameters
    ----------
    path : Path
        ``.xpt``; its folder is made.
    rows : sequence of mapping
        As in `write_text`.
    """
    columns = {name: [_strip_missing(row[name]) for row in rows] for name in rows[0]}
    table = pd.DataFrame({name: _parse_column(name, cells) for name, cells in columns.items()})
    write_sas_file(path, table, name=path.stem.upper())


def _parse_column(name: str, cells: list[str]) -> list[str] | list[float]:
    """Make numbers of a column that holds nothing else."""
    if _TEXT.fullmatch(name) or not all(_NUMBER.fullmatch(cell) for cell in cells if cell):
        return cells
    return [float(cell or "nan") for cell in cells]


def write_nda(path: Path, rows: Sequence[Row], *, descriptions: Mapping[str, str]) -> None:
    """Write a table as NDA exports it: tabs, a second header row, nothing for a missing cell.

    Parameters
    ----------
    path : Path
        ``.txt``; its folder is made.
    rows : sequence of mapping
        As in `write_text`.
    descriptions : mapping of str to str
        Column to what the second row says of it; the column's own name for one that is not there.
    """
    names = list(rows[0])
    lines = ["\t".join(names), "\t".join(descriptions.get(name, name) for name in names)]
    lines += ["\t".join(_strip_missing(row[name]) for name in names) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _strip_missing(cell: str) -> str:
    return "" if cell in MISSING else cell
