"""Text tables as people save them."""

import codecs
from pathlib import Path

import pytest

from kneegrade.errors import TableError
from kneegrade.text_table import (
    TextTable,
    arrange_cells,
    find_columns,
    parse_number,
    read_text_table,
)

PLAIN = "file,side,mm\nfilms/a.dcm,left,0.5\nb.dcm,right,\n"
ROWS = (("films/a.dcm", "left", "0.5"), ("b.dcm", "right", ""))


def read(tmp_path: Path, content: str | bytes) -> TextTable:
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_text_table(path)


def error_of(tmp_path: Path, content: str | bytes) -> TableError:
    with pytest.raises(TableError) as caught:
        read(tmp_path, content)
    return caught.value


DIALECTS = {
    "plain": PLAIN,
    "mark": "\ufeff" + PLAIN,
    "two marks": "\ufeff\ufeff" + PLAIN,
    "Unicode text": PLAIN.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),
    "big-endian": codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
    "semicolons": PLAIN.replace(",", ";"),
    "bars": PLAIN.replace(",", "|"),
    "first line": "sep=;\r\n" + PLAIN.replace(",", ";"),
    "first line, mark and rest": "\ufeffSEP=;;;\n" + PLAIN.replace(",", ";"),
    "first line in quotes": '"sep=;"\n' + PLAIN.replace(",", ";"),
    "first line with a tab": "sep=\t\n" + PLAIN.replace(",", "\t"),
    "first line with a tab in letters": "sep=\\t\n" + PLAIN.replace(",", "\t"),
    "rare separator said": "sep=~\n" + PLAIN.replace(",", "~"),
    "old Macintosh": PLAIN.replace("\n", "\r"),
    "quoted": '"file","side","mm"\n"films/a.dcm","left","0.5"\n"b.dcm","right",""\n',
    "blanks before quotes": '"file", "side", "mm"\nfilms/a.dcm, "left", 0.5\nb.dcm, right,\n',
    "blanks after quotes": '"file" ,"side","mm" \n"films/a.dcm" ,"left","0.5"\nb.dcm,right,""\n',
    "empty columns": "file,side,mm,,\nfilms/a.dcm,left,0.5,,\nb.dcm,right,,,\n,,,,\n",
    "empty cells beside": "file,side,mm\nfilms/a.dcm,left,0.5,,,\nb.dcm,right,,,\n",
    "no end": PLAIN.rstrip(),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects(tmp_path: Path, name: str) -> None:
    table = read(tmp_path, DIALECTS[name])
    assert table == TextTable(("file", "side", "mm"), ROWS, (2, 3))


@pytest.mark.parametrize("first", ["", "Unnamed: 0", '""', "Unnamed: 0,Unnamed: 0.1"])
def test_row_numbers_of_pandas_are_left_out_and_noted(tmp_path: Path, first: str) -> None:
    numbers = ",".join(["7"] * (first.count(",") + 1))
    lines = PLAIN.splitlines()
    text = "\n".join([f"{first},{lines[0]}", *(f"{numbers},{line}" for line in lines[1:])])
    table = read(tmp_path, text)
    assert (table.names, table.rows) == (("file", "side", "mm"), ROWS)
    assert table.notes[0].startswith("Column 1 was left out")


def test_row_names_of_r_are_left_out_and_noted(tmp_path: Path) -> None:
    text = '"file","side"\n"1","a.dcm","L"\n"2","b.dcm","R"\n'
    table = read(tmp_path, text)
    assert (table.names, table.rows) == (("file", "side"), (("a.dcm", "L"), ("b.dcm", "R")))
    assert table.notes[0].startswith("Column 1 was left out")
    assert "row 2 has 3 cells" in error_of(tmp_path, text.replace('"2"', '"3"')).message


def test_index_before_tabs(tmp_path: Path) -> None:
    table = read(tmp_path, "\tfile\tside\n0\ta.dcm\tL\n")
    assert table.rows == (("a.dcm", "L"),)


def test_blank_rows_count(tmp_path: Path) -> None:
    table = read(tmp_path, "\n;;;\nfile;side;kl\n\na;b;c\n \n;;\nd;e;f\n")
    assert table.names == ("file", "side", "kl")
    assert table.row_numbers == (5, 8)


def test_separator_is_the_one_that_cuts_rows_like_the_header(tmp_path: Path) -> None:
    table = read(tmp_path, "file;KL (0,1,2,3,4);mm\nfilm, left.dcm;2;0,5\n")
    assert table.names == ("file", "KL (0,1,2,3,4)", "mm")
    assert table.rows == (("film, left.dcm", "2", "0,5"),)
    table = read(tmp_path, "file,flags\na.dcm,one;two;three\n")
    assert table.rows == (("a.dcm", "one;two;three"),)


def test_separator_is_told_by_the_top_of_a_long_file(tmp_path: Path) -> None:
    rows = "".join(f"films/{n};left;{n % 4},5\n" for n in range(20_000))
    table = read(tmp_path, "file;side;mm\n" + rows)
    assert (len(table.rows), table.rows[-1]) == (20_000, ("films/19999", "left", "3,5"))


def test_what_is_in_quotes_stays(tmp_path: Path) -> None:
    table = read(tmp_path, 'file,note\n"a;b, ""c"" ,d.dcm","two\nlines "\ne.dcm,5" film\n')
    assert table.rows == (('a;b, "c" ,d.dcm', "two\nlines "), ("e.dcm", '5" film'))
    assert table.row_numbers == (2, 3)


def test_western_text_is_read_and_noted(tmp_path: Path) -> None:
    table = read(tmp_path, "file;side\nMüller.dcm;links – €\n".encode("cp1252"))
    assert table.rows == (("Müller.dcm", "links – €"),)
    assert len(table.notes) == 1
    assert "Windows-1252" in table.notes[0]
    assert "Müller" not in table.notes[0]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "table.empty", "empty"),
        (b"\xff\xfe", "table.empty", "empty"),
        (b"\n \n,,\n", "table.empty", "empty"),
        (b"sep=;\n", "table.empty", "empty"),
        (b"\xff\xfea", "table.unreadable", "UTF-16"),
        (b"file,side\n\x81.dcm,L\n", "table.unreadable", "row 2 is not UTF-8"),
        (b"\xef\xbb\xbffile,side\n\xfc.dcm,L\n", "table.unreadable", "row 2 is not UTF-8"),
        ("ä,ö\nü,".encode() + b"\xfc\n", "table.unreadable", "row 2 is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "table.unreadable", ""),
        (b"PK\x03\x04\x14\0\x06\0", "table.unreadable", "not text"),
        ("file,side\na,L\n".encode("utf-16-le"), "table.unreadable", "not text"),
        (b"file,side\na\n", "table.unreadable", "row 2 has 1 cells"),
        (b"file,side\na,L,3\n", "table.unreadable", "row 2 has 3 cells"),
        (b"file,side,\na,L,3\n", "table.unreadable", "column 3 has no name"),
        (b"file,side,side\na,L,L\n", "table.unreadable", "two columns"),
        (b'file,side\n"a,L\nb,R\n', "table.unreadable", "not CSV"),
        (b'file,side\n"a"b,L\n', "table.unreadable", "not CSV"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, code: str, words: str) -> None:
    error = error_of(tmp_path, content)
    assert error.code == code
    assert words in error.message
    assert error.hint


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "no.csv", "table.not-found"), (tmp_path, "table.unreadable")):
        with pytest.raises(TableError) as caught:
            read_text_table(path)
        assert caught.value.code == code


def test_cells_from_elsewhere_are_arranged_alike() -> None:
    table = arrange_cells([["", ""], ["a ", "b"], ["1", "2"]], ["said before"])
    assert table == TextTable(("a", "b"), (("1", "2"),), (3,), ("said before",))


def test_columns_are_found_in_any_spelling() -> None:
    names = ["FILE", "Subject ID", "visit-months", "KL", "kl", "side", "other"]
    known = ["file", "subject_id", "visit_months", "kl", "side"]
    assert find_columns(names, known) == {
        "FILE": "file",
        "Subject ID": "subject_id",
        "visit-months": "visit_months",
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("3", 3), ("3.0", 3), ("3,0", 3), (" 3 ", 3), ("-0,25", -0.25), (",5", 0.5)],
        *[("1e-3", 0.001), ("1,5E-3", 0.0015)],
        *[("", None), (" ", None), ("NA", None), ("NaN", None), (".", None)],
    ],
)
def test_numbers(text: str, number: float | None) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["two", "1_0", "1.234,5", "1,234.5", "1,2,3", "3 mm", "2-3"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError):
        parse_number(text)
