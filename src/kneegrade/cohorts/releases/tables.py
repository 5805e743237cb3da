"""A table of the OAI or MOST release -> its cells as text, whatever dialect it comes in.

Dialects: text with ``|`` (OAI) or tabs (MOST; the NDA export, whose second row describes the
columns), a table saved again by a spreadsheet (comma or semicolon), SAS (``.sas7bdat``, ``.xpt``).
In all of them a cell is a code, a code and its label (``2: Left``), or missing.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from kneegrade.cohorts.releases.sas_table import read_sas_table
from kneegrade.cohorts.releases.walk import walk_files
from kneegrade.errors import TableError
from kneegrade.text_table import check_table_exists

TEXT_SUFFIXES: Final = (".txt", ".csv", ".tsv")
SAS_SUFFIXES: Final = (".sas7bdat", ".xpt")
SUFFIXES: Final = (*TEXT_SUFFIXES, *SAS_SUFFIXES)
"""In the order of preference: text keeps the letters of missing cells and the labels."""
SEPARATORS: Final = ("|", "\t", ";", ",")

_CODED = re.compile(r"(-?(?:\d+(?:\.\d+)?|\.\d+)): ")
_MISSING = re.compile(r"\.([A-Z]?)(?:: .*)?", re.DOTALL)
_IMAGE_RELEASE = re.compile(r"\d{1,2}\.[A-Z]\.\d+", re.IGNORECASE)
_DAMAGED_HINT = "Copy or download the table again."


@dataclass(frozen=True)
class StudyTables:
    """The tables of a study's folder, found in one walk.

    Parameters
    ----------
    folder : Path
    paths : tuple of Path
        Every file of `SUFFIXES`, sorted.
    """

    folder: Path
    paths: tuple[Path, ...]

    def find(self, pattern: str) -> list[Path]:
        r"""Find the tables whose name matches; the same table may be in it several times.

        Parameters
        ----------
        pattern : str
            Regular expression, in any case, for the whole name without its suffix, such as
            ``kxr_sq_bu\d\d``.
        """
        name = re.compile(pattern, re.IGNORECASE)
        return [path for path in self.paths if name.fullmatch(path.stem)]

    def choose(self, pattern: str, notes: list[str]) -> list[Path]:
        """Find tables and take each once: text before SAS, then the one that lies least deep.

        Parameters
        ----------
        pattern : str
            As in `find`.
        notes : list of str
            Gets a sentence where a table was skipped.

        Returns
        -------
        list of Path
            Sorted by name.
        """
        chosen: dict[str, Path] = {}
        passed_over = []
        for path in sorted(self.find(pattern), key=_preference):
            if chosen.setdefault(path.stem.lower(), path) is not path:
                passed_over.append(self.show(path))
        if passed_over:
            more = f" and {len(passed_over) - 1} more" if len(passed_over) > 1 else ""
            notes.append(
                f"Present twice, in two formats or places, and not read: {passed_over[0]}{more}."
            )
        return list(chosen.values())

    def show(self, path: Path) -> str:
        """Give the path as it stands in the folder."""
        return path.relative_to(self.folder).as_posix()


def list_tables(folder: Path) -> StudyTables:
    """List the tables of a study, at any depth.

    Folders of OAI's image releases (``0.C.2``) and hidden ones are not searched.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    StudyTables

    Raises
    ------
    TableError
        As `walk_files`.
    """
    found = [
        folder / parent / name
        for parent, name in walk_files(folder, is_needless=_is_image_release)
        if name.lower().endswith(SUFFIXES)
    ]
    return StudyTables(folder, tuple(sorted(found)))


def _is_image_release(folder: str) -> bool:
    return _IMAGE_RELEASE.fullmatch(folder.rpartition("/")[2]) is not None


def _preference(path: Path) -> tuple[Any, ...]:
    return path.stem.lower(), SUFFIXES.index(path.suffix.lower()), len(path.parts), str(path)


def read_release_table(
    path: Path, *, columns: str | None = None, missing_letters: bool = False
) -> pd.DataFrame:
    """Read a table of a release as text: codes without labels, missing cells as NA.

    Parameters
    ----------
    path : Path
        One of `SUFFIXES`. Text is UTF-8, Latin-1, both by turns, or UTF-16 as spreadsheets write
        it. A quote mark is data, except where all names of the header are quoted (NDA) or the
        separator is a spreadsheet's.
    columns : str, optional
        Regular expression: only columns whose whole upper-case name matches are read.
    missing_letters : bool
        Whether a missing cell keeps its code (``.A``, ``.``) instead of being NA; a blank cell is
        NA all the same. SAS transport files (``.xpt``) keep no letters.

    Returns
    -------
    DataFrame
        Columns of dtype ``string``, names in upper case, visit prefixes kept. The index, named
        ``row``, numbers the rows as a person counts in the file: in text the header is row 1, in
        SAS the first observation is 1. Dates of SAS are written MM/DD/YYYY, as in the text files.

    Raises
    ------
    TableError
        table.not-found; table.unreadable if the file is truncated, no text, or no table, with the
        row; table.empty without a row.
    """
    check_table_exists(path)
    keep = re.compile(columns or ".*", re.DOTALL)
    if path.suffix.lower() in SAS_SUFFIXES:
        table = read_sas_table(path, keep)
    else:
        table = _read_text(path, keep)
    if not len(table):
        raise TableError(
            "table.empty",
            f"{path.name} has no rows: a header and one row for each knee or person were expected.",
            _DAMAGED_HINT,
        )
    for name in table.columns:
        decoded = {
            cell: _decode_cell(cell, missing_letters) for cell in table[name].unique() if cell
        }
        table[name] = pd.array([decoded.get(cell, pd.NA) for cell in table[name]], dtype="string")
    table.index.name = "row"
    return table


def _decode_cell(cell: str, missing_letters: bool) -> Any:
    text = cell.strip()
    if not text:
        return pd.NA
    if missing := _MISSING.fullmatch(text):
        return f".{missing[1]}" if missing_letters else pd.NA
    coded = _CODED.match(text)
    return coded[1] if coded else text


def _read_text(path: Path, keep: re.Pattern[str]) -> pd.DataFrame:
    text = _decode_text(path)
    rows = _split_rows(path, text)
    _, header = next(rows, (0, []))
    names = [name.strip().upper() for name in header]
    while names and not names[-1]:
        names.pop()
    _check_names(names, path.name)
    wanted = [place for place, name in enumerate(names) if keep.fullmatch(name)]
    numbers, cells = [], []
    for number, row in rows:
        if len(row) != len(names) and not _is_padded(row, len(names)):
            raise _wrong_length(path.name, text, number, len(row), len(names))
        if number == 2 and _is_description(row, names):
            continue
        numbers.append(number)
        cells.append([row[place] for place in wanted])
    return pd.DataFrame(cells, columns=[names[p] for p in wanted], index=numbers, dtype=object)


def _decode_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(
            f"{path} cannot be read ({error.strerror or error})",
            "Check the permissions of the file.",
        ) from error
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = "\n".join(_decode_line(line) for line in data.split(b"\n"))
    if "\0" in text:
        raise _unreadable(f"{path.name} is not text: it holds zero bytes", _DAMAGED_HINT)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _split_rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    lines = text.split("\n")
    header = next((line for line in lines if line.strip()), "")
    separator = max(SEPARATORS, key=header.count)
    quoted = all(re.fullmatch(r'\s*".*"\s*', name) for name in header.split(separator))
    if separator in ",;" or quoted:
        reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, strict=True)
        try:
            for number, row in enumerate(reader, start=1):
                if any(cell.strip() for cell in row):
                    yield number, row
        except csv.Error as error:
            raise _unreadable(
                f"{path.name}, about row {reader.line_num}: its quotes do not pair ({error})",
                _DAMAGED_HINT,
            ) from error
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line.split(separator)


def _is_padded(row: list[str], n_columns: int) -> bool:
    """Tell a row with blank cells added at its end (a spreadsheet does so) from a damaged one."""
    return len(row) > n_columns and not any(cell.strip() for cell in row[n_columns:])


def _is_description(row: list[str], names: list[str]) -> bool:
    """Tell the second header row of an NDA export, where the key is described in a sentence."""
    return "SUBJECTKEY" in names and " " in row[names.index("SUBJECTKEY")].strip()


def _check_names(names: list[str], file: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise _unreadable(
            f"{file} has two columns named {repeated[0]!r}",
            "Use the table as the study published it.",
        )
    if len(names) < 2:
        raise _unreadable(
            f"{file} is not a table of a study: a header with several columns, separated by | or "
            "tabs, was expected",
            _DAMAGED_HINT,
        )


def _wrong_length(file: str, text: str, number: int, got: int, expected: int) -> TableError:
    is_last = number >= text.rstrip("\n").count("\n") + 1
    if is_last and got < expected:
        reason = f"{file} ends in the middle of row {number}: {got} of {expected} cells"
    else:
        reason = f"{file}, row {number} has {got} cells, the header has {expected} columns"
    return _unreadable(reason, _DAMAGED_HINT)


def _unreadable(reason: str, hint: str) -> TableError:
    return TableError("table.unreadable", f"{reason}.", hint)
