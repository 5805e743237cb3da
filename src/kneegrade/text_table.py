"""A text table as people save it -> its cells as text, and the number of each row.

The one reader of CSV for what a user gives. It guesses no types: a subject ``0012`` stays ``0012``.
Numbers are made of cells by `parse_number`.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Final

from kneegrade.errors import TableError

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt")
BINARY_SUFFIXES: Final = (".parquet", ".xlsx")
"""Of tables that are not text: `kneegrade.cohorts.tables.raw_table` reads them."""
SEPARATORS: Final = (",", ";", "\t", "|")
NO_NUMBER: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "."})
"""Cells, in lower case, that mean an absent number."""
HEAD: Final = 50_000
"""Characters from the top of a file by which its separator is recognised."""

_SEPARATOR_LINE: Final = re.compile(
    r'"?sep=(\\t|[^\w\s"]|\t)"?[ \t,;|"]*(\r\n|\r|\n|\Z)', re.IGNORECASE
)
"""Excel's own first line, such as ``sep=;``."""
_INDEX_NAME: Final = re.compile(r"(Unnamed: [0-9.]+)?")
"""How pandas names a column of row numbers, in ``to_csv`` and after ``read_csv``."""
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]*,[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class TextTable:
    """The cells of a table, all of them text.

    Parameters
    ----------
    names : tuple of str
        Of the columns; each once, without blanks around it.
    rows : tuple of tuple of str
        One cell for each column; an absent value is an empty cell. Blanks around a cell are kept,
        since a file's name may have them.
    row_numbers : tuple of int
        Of each row, as a spreadsheet counts: the first line is row 1.
    notes : tuple of str
        One sentence for each leniency that may matter.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    row_numbers: tuple[int, ...]
    notes: tuple[str, ...] = ()


def check_table_exists(path: Path) -> None:
    """Check that there is a file.

    Raises
    ------
    TableError
        table.not-found.
    """
    if not path.exists():
        raise TableError(
            "table.not-found", f"There is no table at {path}.", "Check the spelling of the path."
        )


def read_text_table(path: Path) -> TextTable:
    r"""Read a text table: CSV, or the same with semicolons, tabs or bars.

    UTF-8 with or without a byte order mark, UTF-16 with one (Excel's "Unicode text"), else
    Windows-1252, which is noted. A first line ``sep=;`` says the separator and counts as no row;
    otherwise it is the one that cuts the rows into as many cells as the header. Blank rows, empty
    columns at the end and a nameless first column (row numbers of pandas or R, noted) are left out.

    Parameters
    ----------
    path : Path

    Returns
    -------
    TextTable

    Raises
    ------
    TableError
        table.not-found; table.unreadable (not text, quotes that do not pair, or as
        `arrange_cells`); table.empty (no header).
    """
    text, notes = _decode(_read_bytes(path))
    said = _SEPARATOR_LINE.match(text)
    if said:
        text = text[said.end() :]
        separator = "\t" if said[1] == r"\t" else said[1]
    else:
        separator = max(SEPARATORS, key=lambda candidate: _rate_separator(text, candidate))
    try:
        records = _split(text, separator)
    except csv.Error as error:
        raise _unreadable(f"it is not CSV ({error})") from error
    return arrange_cells(records, notes)


def arrange_cells(records: Iterable[Sequence[str]], notes: Sequence[str] = ()) -> TextTable:
    """Make a table of rows of text, the first of which with a value is the header.

    Parameters
    ----------
    records : iterable of sequence of str
        From row 1 on, blank rows included.
    notes : sequence of str
        What the table's notes begin with.

    Returns
    -------
    TextTable

    Raises
    ------
    TableError
        table.empty (no header); table.unreadable: a row of another length than the header, a column
        with values but without a name (not the first), or a name twice.
    """
    numbered = [(n, cells) for n, cells in enumerate(records, start=1) if not _is_blank(cells)]
    if not numbered:
        raise TableError(
            "table.empty",
            "The table is empty: a header and rows were expected.",
            "Check that the file was saved.",
        )
    header = [name.strip().strip("\ufeff") for name in numbered[0][1]]
    if _has_row_names([cells for _, cells in numbered[1:]], len(header)):
        header = ["", *header]
    rows = [(number, _fit(cells, header, number)) for number, cells in numbered[1:]]
    kept, all_notes = _choose_columns(header, [cells for _, cells in rows])
    names = tuple(header[place] for place in kept)
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise _unreadable(f"two columns are named {repeated!r}")
    return TextTable(
        names,
        tuple(tuple(cells[place] for place in kept) for _, cells in rows),
        tuple(number for number, _ in rows),
        (*notes, *all_notes),
    )


def find_columns(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Tell which columns of a table are known ones that are written in another way.

    Parameters
    ----------
    names : iterable of str
        The table's.
    known : iterable of str
        In lower case, words joined by ``_``.

    Returns
    -------
    dict
        The table's name -> the known one, such as ``Subject ID`` -> ``subject_id``; only where they
        differ and the table has no column of the known name itself.
    """
    names, known = list(names), set(known)
    taken, found = set(names), {}
    for name in names:
        plain = re.sub(r"[\s-]+", "_", name.strip().lower())
        if plain in known and plain not in taken:
            found[name] = plain
            taken.add(plain)
    return found


def tell_renames(found: Mapping[str, str]) -> list[str]:
    """Say in a note each what `find_columns` found."""
    return [f"Column {name!r} was read as {plain!r}." for name, plain in found.items()]


def parse_number(text: str) -> float | None:
    """Make a number of a cell; both 0.5 and 0,5 are a half.

    Returns
    -------
    float or None
        None for an empty cell and for `NO_NUMBER`. May be infinite.

    Raises
    ------
    ValueError
        Where the cell holds something else.
    """
    text = text.strip()
    if text.lower() in NO_NUMBER:
        return None
    if "_" in text:
        raise ValueError("No number has an underscore.")
    return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)


def _read_bytes(path: Path) -> bytes:
    check_table_exists(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(f"the file cannot be opened ({type(error).__name__})") from error


def _decode(data: bytes) -> tuple[str, list[str]]:
    """Text of a file without its byte order marks, and notes on how it was read."""
    notes = []
    encoding = "utf-16" if data[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        try:
            text = _decode_western(data)
        except UnicodeDecodeError:
            row = data.count(b"\n", 0, error.start) + 1
            raise _unreadable(f"row {row} is not {encoding.upper()} text") from error
        notes.append(
            "The file is not UTF-8 text: it was read as Windows-1252 (Western European). Where a "
            "name is not found, save it again as 'CSV UTF-8'."
        )
    if "\0" in text:
        raise _unreadable("it holds zero bytes, so it is not text")
    return text.lstrip("\ufeff"), notes


def _decode_western(data: bytes) -> str:
    """Text in Windows-1252; a file of which a part is UTF-8, or that has a BOM, is none.

    In every one-byte code, and in those of East Asia, the bytes of separators, quotes and digits
    mean what they do in ASCII: a wrong code garbles names, never a grade or the place of a cell.
    """
    if (
        data[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
        or not data.decode("utf-8", "ignore").isascii()
    ):
        raise UnicodeDecodeError("cp1252", b"", 0, 0, "a part is UTF-8 or UTF-16")
    return data.decode("cp1252")


def _rate_separator(text: str, separator: str) -> tuple[bool, float, int]:
    """Rate how well a separator cuts the top of a text into rows as long as the header."""
    reader = csv.reader(io.StringIO(text[:HEAD], newline=""), delimiter=separator)
    try:
        records = [cells for cells in reader if not _is_blank(cells)]
    except csv.Error:
        return False, 0, 0
    if len(text) > HEAD:
        records = records[:-1]
    if not records:
        return True, 1, 0  # separators alone
    n_cells, rows = len(records[0]), records[1:]
    n_fitting = sum(
        len(cells) == n_cells or (len(cells) > n_cells and _is_blank(cells[n_cells:]))
        for cells in rows
    )
    return n_cells > 1, n_fitting / len(rows) if rows else 1.0, n_cells


def _split(text: str, separator: str) -> list[list[str]]:
    """Cut a text into cells; blanks outside quotes are allowed."""

    def cut(text: str, skip: bool) -> Iterable[list[str]]:
        lines = io.StringIO(text, newline="")
        return csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=skip)

    try:
        header = next(dropwhile(_is_blank, cut(text, False)), [])
        skip = len(header) > 1 and all(name.startswith(" ") for name in header[1:])
        return list(cut(text, skip))
    except csv.Error:
        closed = re.sub(rf'" +(?=[{re.escape(separator)}\r\n]|\Z)', '"', text)
        if closed == text:
            raise
        return list(cut(closed, True))


def _is_blank(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def _has_row_names(rows: Sequence[Sequence[str]], n_columns: int) -> bool:
    """Tell a table of R's ``write.table``, whose rows begin with 1, 2, ..., but not its header."""
    return bool(rows) and all(
        len(cells) == n_columns + 1 and cells[0] == str(number)
        for number, cells in enumerate(rows, start=1)
    )


def _fit(cells: Sequence[str], header: Sequence[str], number: int) -> list[str]:
    """Cells of a row, as many as the header has; cells more or fewer must be empty ones."""
    n_columns = len(header)
    if not _is_blank(cells[n_columns:]) or not _is_blank(header[len(cells) :]):
        raise _unreadable(
            f"row {number} has {len(cells)} cells, the header has {n_columns} columns"
        )
    return [*cells[:n_columns], *[""] * (n_columns - len(cells))]


def _choose_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[int], list[str]]:
    """Places of the columns with a name, and notes; a leading column of row numbers is none."""
    kept: list[int] = []
    notes: list[str] = []
    for place, name in enumerate(header):
        has_values = not _is_blank([cells[place] for cells in rows])
        if not kept and _INDEX_NAME.fullmatch(name):
            if has_values:
                notes.append(
                    f"Column {place + 1} was left out: it has no name, as pandas and R write the "
                    "numbers of rows."
                )
        elif name:
            kept.append(place)
        elif has_values:
            raise _unreadable(f"column {place + 1} has no name")
    return kept, notes


def _unreadable(reason: str) -> TableError:
    return TableError(
        "table.unreadable",
        f"The table cannot be read: {reason}.",
        "Save it as CSV in UTF-8 with one header row, as .xlsx or as Parquet.",
    )
