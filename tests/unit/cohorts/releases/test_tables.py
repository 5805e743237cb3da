"""Tables of the releases in all their dialects, written here by hand."""

from pathlib import Path

import pandas as pd
import pyreadstat
import pytest

from kneegrade.cohorts.releases import sas_table
from kneegrade.cohorts.releases.tables import list_tables, read_release_table
from kneegrade.errors import TableError

NA = pd.NA


def write(tmp_path: Path, text: str | bytes, name: str = "table.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def cells(tmp_path: Path, *values: str, **options: bool) -> list[object]:
    path = write(tmp_path, "ID|X\n" + "".join(f"1|{value}\n" for value in values))
    column = read_release_table(path, **options)["X"]
    return [None if value is NA else value for value in column]


def code_of(path: Path) -> tuple[str, str]:
    with pytest.raises(TableError) as caught:
        read_release_table(path)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("cell", "decoded"),
    [
        ("2", "2"),
        ("2: Left", "2"),
        ("1.4", "1.4"),
        (".5", ".5"),
        (".5: half", ".5"),
        ("-1: before: long before", "-1"),
        (" ", None),
        ("", None),
        (".", None),
        (".: Missing Form/Incomplete Workbook", None),
        (".A: Not Expected", None),
        (".T", None),
        ("NA", "NA"),
        ("nan", "nan"),
        ("0", "0"),
        ('a "quoted', 'a "quoted'),
        ('"YD"', '"YD"'),
        ("01660012345", "01660012345"),
        ("11/30/2004", "11/30/2004"),
        ("Bilateral: both", "Bilateral: both"),
    ],
)
def test_a_cell(tmp_path: Path, cell: str, decoded: str | None) -> None:
    assert cells(tmp_path, cell) == [decoded]


def test_missing_letters_on_demand(tmp_path: Path) -> None:
    kept = cells(tmp_path, ".A: Not Expected", ".T", ".", ".: Missing", " ", missing_letters=True)
    assert kept == [".A", ".T", ".", ".", None]


def test_crlf_blank_lines_and_row_numbers(tmp_path: Path) -> None:
    table = read_release_table(write(tmp_path, "Id|v00Side\r\n9000001|1: Right\r\n\r\n9000002|2"))
    assert list(table.columns) == ["ID", "V00SIDE"]
    assert table.index.tolist() == [2, 4]
    assert table["V00SIDE"].tolist() == ["1", "2"]
    assert all(dtype == "string" for dtype in table.dtypes)


@pytest.mark.parametrize(
    "note",
    [b"caf\xc3\xa9|caf\xe9", b"caf\xe9|caf\xe9", b"\xef\xbb\xbf"],
    ids=["mixed", "latin-1", "byte order mark"],
)
def test_encodings(tmp_path: Path, note: bytes) -> None:
    if note == b"\xef\xbb\xbf":
        table = read_release_table(write(tmp_path, note + b"ID|X\n1|2\n"))
        assert list(table.columns) == ["ID", "X"]
        return
    first, second = note.split(b"|")
    path = write(tmp_path, b"ID|X\n1|" + first + b"\n2|" + second + b"\n")
    assert read_release_table(path)["X"].tolist() == ["café", "café"]


def test_the_latin_1_byte_85_does_not_end_a_row(tmp_path: Path) -> None:
    assert len(read_release_table(write(tmp_path, b"ID|X\n1|so\x85\n2|\xe9\n"))) == 2


def test_a_spreadsheet_text_in_utf_16(tmp_path: Path) -> None:
    table = read_release_table(write(tmp_path, "ID\tX\r\n1\té\r\n".encode("utf-16")))
    assert table["X"].tolist() == ["é"]


def test_tabs(tmp_path: Path) -> None:
    table = read_release_table(write(tmp_path, "mostid\tV0XRKL\nMA1\t8\nMA2\tP\nMA3\t\n"))
    assert table["MOSTID"].tolist() == ["MA1", "MA2", "MA3"]
    assert table["V0XRKL"].tolist() == ["8", "P", NA]


NDA = (
    "subjectkey\tsrc_subject_id\tvisit\taccept\n"
    "The NDAR Global Unique Identifier (GUID)\tSubject ID how it's defined\tVisit name\tAccept\n"
    "NDAR_INVAAAA1111\t9000001\tV00\tNA\n"
    "NDARBB222CCC\t9000002\tV01\t\n"
)


@pytest.mark.parametrize("quoted", [False, True])
def test_the_second_header_of_nda(tmp_path: Path, quoted: bool) -> None:
    text = NDA
    if quoted:
        text = "\n".join(
            "\t".join(f'"{cell}"' for cell in line.split("\t")) for line in NDA.splitlines()
        )
    table = read_release_table(write(tmp_path, text))
    assert table["SRC_SUBJECT_ID"].tolist() == ["9000001", "9000002"]
    assert table["ACCEPT"].tolist() == ["NA", NA]
    assert table.index.tolist() == [3, 4]


def test_an_nda_table_whose_second_header_was_removed(tmp_path: Path) -> None:
    lines = NDA.splitlines(keepends=True)
    table = read_release_table(write(tmp_path, lines[0] + lines[2] + lines[3]))
    assert len(table) == 2


@pytest.mark.parametrize("separator", [",", ";"])
def test_saved_by_a_spreadsheet(tmp_path: Path, separator: str) -> None:
    text = f'ID{separator}SIDE{separator}NOTE{separator}\n1{separator}"2: Left"{separator}'
    path = write(tmp_path, text + f'"a{separator} b"{separator}\n', "table.csv")
    table = read_release_table(path)
    assert list(table.columns) == ["ID", "SIDE", "NOTE"]
    assert table["SIDE"].tolist() == ["2"]
    assert table["NOTE"].tolist() == [f"a{separator} b"]


def test_only_some_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "ID|v00age|V00NOTE\n1|45|x\n")
    assert list(read_release_table(path, columns="ID|V00AGE").columns) == ["ID", "V00AGE"]
    assert read_release_table(path, columns="OTHER").shape == (1, 0)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "table.unreadable", "not a table of a study"),
        (b"just words\nmore words\n", "table.unreadable", "not a table of a study"),
        (b"ID|X\n", "table.empty", "no rows"),
        (b"ID|X\n1|2\n3", "table.unreadable", "ends in the middle of row 3: 1 of 2"),
        (b"ID|X\n1|2|3\n4|5\n", "table.unreadable", "row 2 has 3 cells, the header has 2"),
        (b"ID|X\n1\n4|5\n", "table.unreadable", "row 2 has 1 cells, the header has 2"),
        (b"ID|X|x\n1|2|3\n", "table.unreadable", "two columns named 'X'"),
        (b"ID|X\n1|\0\0\0\n", "table.unreadable", "zero bytes"),
        (b'ID,X\n1,"2\n3,4\n', "table.unreadable", "quotes do not pair"),
        (b"\x89PNG\r\n\x1a\n\0\0", "table.unreadable", "zero bytes"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, code: str, says: str) -> None:
    got, message = code_of(write(tmp_path, content))
    assert (got, says in message, "table.txt" in message) == (code, True, True), message


def test_no_file(tmp_path: Path) -> None:
    assert code_of(tmp_path / "kxr_sq_bu00.txt")[0] == "table.not-found"


@pytest.fixture
def transport(tmp_path: Path) -> Path:
    frame = pd.DataFrame(
        {
            "Id": ["9000001", "9000002"],
            "V00XRJSM": [1.4, float("nan")],
            "V00BARCD": [16600123456.0, 1.0],
            "V00DATE": pd.to_datetime(["2004-11-30", "2005-01-02"]).date,
        }
    )
    path = tmp_path / "KXR_SQ_BU00.xpt"
    pyreadstat.write_xport(frame, str(path), table_name="KXR", file_format_version=5)
    return path


def test_sas(transport: Path) -> None:
    table = read_release_table(transport)
    assert table["ID"].tolist() == ["9000001", "9000002"]
    assert table["V00XRJSM"].tolist() == ["1.4", NA]
    assert table["V00BARCD"].tolist() == ["16600123456", "1"]
    assert table["V00DATE"].tolist() == ["11/30/2004", "01/02/2005"]
    assert table.index.tolist() == [1, 2]
    assert list(read_release_table(transport, columns="ID").columns) == ["ID"]
    assert read_release_table(transport, columns="OTHER").shape == (2, 0)


def test_sas_letters_of_missing_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # No open library writes .sas7bdat, so the library's answer is given by hand: with
    # user_missing, a letter in a column of numbers.
    class Meta:
        column_names = ("ID", "V00XRKL")
        readstat_variable_types = {"ID": "string", "V00XRKL": "double"}  # noqa: RUF012

    def read(path: str, **options: object) -> tuple[pd.DataFrame, Meta]:
        assert options["user_missing"] is True
        columns = {"ID": ["9000001", "A", ""], "V00XRKL": [2.0, "A", float("nan")]}
        return pd.DataFrame(columns), Meta()

    monkeypatch.setattr(sas_table.pyreadstat, "read_sas7bdat", read)
    path = write(tmp_path, "", "kxr_sq_bu00.sas7bdat")
    assert read_release_table(path)["V00XRKL"].tolist() == ["2", NA, NA]
    with_letters = read_release_table(path, missing_letters=True)
    assert with_letters["V00XRKL"].tolist() == ["2", ".A", NA]
    assert with_letters["ID"].tolist() == ["9000001", "A", NA]


@pytest.mark.parametrize("share", [0.1, 0.4])
@pytest.mark.parametrize("name", ["t.xpt", "t.sas7bdat"])
def test_truncated_sas(transport: Path, tmp_path: Path, name: str, share: float) -> None:
    data = transport.read_bytes()
    code, message = code_of(write(tmp_path, data[: int(len(data) * share)], name))
    assert (code, name in message) == ("table.unreadable", True)


def test_find_and_choose(tmp_path: Path) -> None:
    for name in (
        "KXR_SQ_BU00.txt",
        "deep/er/kxr_sq_bu00.SAS7BDAT",
        "copy/kxr_sq_bu00.txt",
        "copy/kXR_SQ_BU01.xpt",
        "kxr_sq_rel_bu00.txt",
        "kxr_sq_bu00.pdf",
        ".trash/kxr_sq_bu03.txt",
        "._kxr_sq_bu05.txt",
        "00m/0.C.2/kxr_sq_bu06.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "linked").symlink_to(tmp_path / ".trash", target_is_directory=True)
    tables = list_tables(tmp_path)
    assert tables.find("KXR_sq_bu03") == [tmp_path / "linked" / "kxr_sq_bu03.txt"]
    notes: list[str] = []
    chosen = tables.choose(r"kxr_sq_bu0[0156]", notes)
    assert [path.name for path in chosen] == ["KXR_SQ_BU00.txt", "kXR_SQ_BU01.xpt"]
    assert notes == [
        "Present twice, in two formats or places, and not read: copy/kxr_sq_bu00.txt and 1 more."
    ]
    assert tables.find("enrollees") == tables.choose("enrollees", notes) == []
    assert len(notes) == 1
    with pytest.raises(TableError, match="layout-unknown"):
        list_tables(tmp_path / "nothing")
