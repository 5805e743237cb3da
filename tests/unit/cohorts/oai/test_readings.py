"""OAI's semi-quantitative readings, written here by hand: one row per oddity."""

from pathlib import Path

import pandas as pd
import pyreadstat
import pytest

from kneegrade.cohorts.oai.readings import OaiReadings, read_oai_readings
from kneegrade.cohorts.releases.tables import list_tables
from kneegrade.errors import TableError
from kneegrade.types import Task

ORDER = ["to_m", "kl", "jsn_l", "jsn_m", "fo_l", "fo_m", "to_l"]
ORDER += ["scl_fl", "scl_fm", "scl_tl", "scl_tm", "att_tl", "att_tm"]
HEADER = (
    "ID|SIDE|READPRJ|VERSION|V00XROSTM|V00XRKL|V00XRJSL|V00XRJSM|V00XROSFL|V00XROSFM|V00XROSTL"
    "|V00XRSCFL|V00XRSCFM|V00XRSCTL|V00XRSCTM|V00XRATTL|V00XRATTM|V00XRCYFL|V00NOTE|V00BARCDBU"
)
BASELINE = (  # labels in this file; CRLF; barcodes of 12, 11, 6 digits, none, T; a Latin-1 byte
    f"{HEADER}\r\n"
    "9000001|1: Right|15|0.6|1: Mild|2: Definite|0: Normal|1|2|3|1|0|1|2|3|1|2|1|caf\xe9"
    "|016601000001\r\n"
    '9000001|2: Left|15|0.6|0|0|0|0|0|0|0|0|0|0|0|0|0| |say "no|16601000001\r\n'
    "9000002|1|15|0.6| |1|0|0| | | | | | | | | | | |100002\r\n"
    "9000002|2|37|0.6|.A: Not Expected|.: Missing Form/Incomplete Workbook|.T|0|3|0|0|0|0|0|0|0|0"
    "|0|| \r\n"
    "9000003|1|42|0.6|0|3|1.4|2.6|0|0|0|0|0|0|0|0|0|0||T\r\n"
)
MONTH_36 = HEADER.replace("V00", "v05").replace("READPRJ", "readprj").replace("SIDE", "side") + (
    "\n9000001|1|15|0.6|2|3|.5|1.2|0|0|0|0|0|0|0|0|0|0||016601000005\n"
)
EXPORT = (
    "subjectkey\tsrc_subject_id\tinterview_date\tinterview_age\tsex\tvisit\tversion\treadprj\tside"
    "\tbarcode\txrostm\txrkl\txrjsl\txrjsm\txrosfl\txrosfm\txrostl\txrscfl\txrscfm\txrsctl\txrsctm"
    "\txrattl\txrattm\n"
    "The NDAR Global Unique Identifier (GUID)\tSubject ID how it's defined in lab\tDate\tAge\tSex"
    "\tVisit\tVersion\tProject\tSide\tBarcode\t\t\t\t\t\t\t\t\t\t\t\t\t\n"
    "NDAR_1\t9000001\t11/02/2004\t732\tM\tV00\t0.6\t15\t1\t16601000001"
    "\t1\t2\t0\t1\t2\t3\t1\t0\t1\t2\t3\t1\t2\n"
    "NDAR_1\t9000001\t11/02/2012\t828\tM\tV10\t0.6\t37\t1\t16601000010"
    "\t\t4\t2.2\t\t\t\t\t\t\t\t\t\t\n"
    "NDAR_1\t9000001\t11/02/2014\t852\tM\tV99\t0.6\t37\t1\t\t\t4\t2\t\t\t\t\t\t\t\t\t\t\n"
)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1"))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Names in mixed case at any depth, and re-reads beside."""
    place = tmp_path / "X-Ray Image Assessments_ASCII" / "Semi-Quant Scoring_ASCII"
    write(place / "kXR_SQ_BU00.txt", BASELINE)
    write(place / "kxr_sq_bu05.txt", MONTH_36)
    again = f"{HEADER}\n9000001|1|15|0.6|1|3|0|1|2|3|1|0|1|2|3|1|2|1||016601000001\n"
    write(place / "kxr_sq_rel_bu00.txt", again)
    return tmp_path


def replace(folder: Path, old: str, new: str) -> Path:
    path = next(folder.rglob("kXR_SQ_BU00.txt"))
    text = path.read_bytes().decode("latin-1")
    assert old in text
    return write(path, text.replace(old, new))


def at(readings: OaiReadings, row: int, file: str = "kXR_SQ_BU00.txt") -> pd.Series:
    table = readings.table
    found = table[(table["row"] == row) & (table["file"] == file)]
    assert len(found) == 1
    return found.iloc[0]


def plain(values: pd.Series) -> list[object]:
    return [None if value is pd.NA else value for value in values]


def error_of(folder: Path) -> TableError:
    with pytest.raises(TableError) as caught:
        read_oai_readings(list_tables(folder))
    return caught.value


def test_form(folder: Path) -> None:
    readings = read_oai_readings(list_tables(folder))
    assert len(readings.table) == 6
    assert readings.table[[task.value for task in Task]].dtypes.eq("Int8").all()
    texts = ["subject_id", "side", "reading", "barcode", "kl_raw"]
    assert readings.table[texts].dtypes.eq("string").all()
    assert readings.table["visit_months"].tolist() == [0] * 5 + [36]


def test_columns_go_to_their_tasks(folder: Path) -> None:
    row = at(read_oai_readings(list_tables(folder)), 2)
    assert row[ORDER].tolist() == [1, 2, 0, 1, 2, 3, 1, 0, 1, 2, 3, 1, 2]
    assert (row["subject_id"], row["side"], row["reading"]) == ("9000001", "right", "15")
    assert at(read_oai_readings(list_tables(folder)), 3)["side"] == "left"


def test_blank_is_not_zero(folder: Path) -> None:
    row = at(read_oai_readings(list_tables(folder)), 4)
    assert plain(row[ORDER]) == [None, 1, 0, 0, *[None] * 9]
    assert plain(row[[f"{name}_raw" for name in ORDER]]) == [None] * 13


def test_missing_codes_are_kept_as_letters(folder: Path) -> None:
    row = at(read_oai_readings(list_tables(folder)), 5)
    assert plain(row[["to_m", "kl", "jsn_l", "fo_l"]]) == [None, None, None, 3]
    assert plain(row[["to_m_raw", "kl_raw", "jsn_l_raw", "fo_l_raw"]]) == ["A", None, "T", None]


def test_barcodes(folder: Path) -> None:
    table = read_oai_readings(list_tables(folder)).table
    assert plain(table["barcode"]) == [
        "016601000001",
        "016601000001",
        "016600100002",
        None,
        None,
        "016601000005",
    ]


@pytest.mark.parametrize(("jsn", "grades"), [("floor", [1, 2]), ("paper", [1, 3])])
def test_decimals_of_narrowing(folder: Path, jsn: str, grades: list[int]) -> None:
    row = at(read_oai_readings(list_tables(folder), jsn=jsn), 6)  # type: ignore[arg-type]
    assert row[["jsn_l", "jsn_m"]].tolist() == grades
    assert row[["jsn_l_raw", "jsn_m_raw"]].tolist() == ["1.4", "2.6"]


def test_names_in_lower_case(folder: Path) -> None:
    row = at(read_oai_readings(list_tables(folder)), 2, "kxr_sq_bu05.txt")
    assert row[["to_m", "kl", "jsn_l", "jsn_m"]].tolist() == [2, 3, 0, 1]
    assert (row["jsn_l_raw"], row["reading"]) == ("0.5", "15")


@pytest.mark.parametrize("cell", ["nan", "inf", "9" * 400, "1,4", "1e0", "T"])
def test_cells_that_are_neither_number_nor_missing(folder: Path, cell: str) -> None:
    path = next(folder.rglob("kXR_SQ_BU00.txt"))
    head, *rows = path.read_text(encoding="latin-1").splitlines()
    cells = rows[1].split("|")
    cells[head.upper().split("|").index("V00XRKL")] = cell
    path.write_text("\n".join([head, rows[0], "|".join(cells), *rows[2:]]), encoding="latin-1")
    error = error_of(folder)
    assert error.code == "table.value-invalid"
    assert "kXR_SQ_BU00.txt, row 3, column XRKL: expected a number" in error.message


def test_rereads_are_read_only_when_asked_for(folder: Path) -> None:
    notes = read_oai_readings(list_tables(folder)).notes
    assert "1 tables of re-reads for reliability were not read (full mode)." in notes
    readings = read_oai_readings(list_tables(folder), rereads=True)
    row = at(readings, 2, "kxr_sq_rel_bu00.txt")
    assert (row["reading"], row["kl"]) == ("rel-15", 3)
    assert len(readings.table) == 7


def test_two_rereads_of_a_knee(folder: Path) -> None:
    path = next(folder.rglob("kxr_sq_rel_bu00.txt"))
    text = path.read_text()
    write(path, text + text.splitlines()[1] + "\n")
    table = read_oai_readings(list_tables(folder), rereads=True).table
    assert table["reading"].tolist()[-2:] == ["rel-15", "rel-15-2"]


def test_missing_visits_are_noted(folder: Path) -> None:
    notes = [
        note for note in read_oai_readings(list_tables(folder)).notes if "There is no table" in note
    ]
    assert [note.split(",")[0][-2:] for note in notes] == ["01", "03", "06", "08", "10"]
    assert "no readings at 96 months" in notes[-1]


def test_export(tmp_path: Path, folder: Path) -> None:
    """The NDA export says the same as the text table, row for row."""
    place = tmp_path / "nda"
    write(place / "oai_kxrsemiquant01.txt", EXPORT)
    readings = read_oai_readings(list_tables(place))
    assert readings.table["row"].tolist() == [3, 4, 5]
    same = ["subject_id", "visit_months", "side", "reading", "barcode", *ORDER]
    assert at(readings, 3, "oai_kxrsemiquant01.txt")[same].equals(
        at(read_oai_readings(list_tables(folder)), 2)[same]
    )
    row = at(readings, 4, "oai_kxrsemiquant01.txt")
    assert (row["visit_months"], row["kl"], row["jsn_l"], row["jsn_l_raw"]) == (96, 4, 2, "2.2")
    assert row["to_m"] is pd.NA
    assert at(readings, 5, "oai_kxrsemiquant01.txt")["visit_months"] is pd.NA


def test_older_export(tmp_path: Path) -> None:
    older = EXPORT.replace("\tbarcode\t", "\tbarcdbu\t", 1)
    write(tmp_path / "kxrsq01.txt", older)
    assert read_oai_readings(list_tables(tmp_path)).table["barcode"].iloc[0] == "016601000001"
    write(tmp_path / "oai_kxrsemiquant01.txt", EXPORT)
    readings = read_oai_readings(list_tables(tmp_path))
    assert len(readings.table) == 3
    assert any("kxrsq01.txt is an older form of oai_" in note for note in readings.notes)


def write_sas(path: Path) -> None:
    """The first and the last row of the baseline, as SAS holds them; 1.4 as a number."""
    names = HEADER.split("|")
    rows = [BASELINE.splitlines()[row].split("|") for row in (1, 5)]
    cells = pd.DataFrame(rows, columns=names).drop(columns="V00NOTE")
    for name in cells.columns.drop(["ID", "V00BARCDBU"]):
        cells[name] = pd.to_numeric(cells[name].str.partition(":")[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    pyreadstat.write_xport(cells, path, file_format_version=8)


def test_sas_twin_gives_the_same_rows(tmp_path: Path, folder: Path) -> None:
    write_sas(tmp_path / "sas" / "kxr_sq_bu00.xpt")
    from_sas = read_oai_readings(list_tables(tmp_path / "sas")).table.drop(columns=["file", "row"])
    from_text = read_oai_readings(list_tables(folder / "X-Ray Image Assessments_ASCII")).table
    chosen = from_text.iloc[[0, 4]].drop(columns=["file", "row"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(from_sas, chosen)


def test_text_before_sas_before_the_export(folder: Path) -> None:
    write_sas(folder / "SAS" / "kxr_sq_bu00.xpt")
    write(folder / "nda" / "oai_kxrsemiquant01.txt", EXPORT)
    readings = read_oai_readings(list_tables(folder))
    files = readings.table.groupby("visit_months", dropna=False)["file"].unique()
    assert files[0].tolist() == ["kXR_SQ_BU00.txt"]
    assert files[96].tolist() == ["oai_kxrsemiquant01.txt"]
    assert len(readings.table) == 8
    notes = " ".join(readings.notes)
    assert "Present twice, in two formats or places, and not read: SAS/kxr_sq_bu00.xpt" in notes
    assert "nda/oai_kxrsemiquant01.txt: 1 rows were not used" in notes
    next(folder.rglob("kXR_SQ_BU00.txt")).unlink()
    table = read_oai_readings(list_tables(folder)).table
    assert set(table.loc[table["visit_months"] == 0, "file"]) == {"kxr_sq_bu00.xpt"}


def test_folder_without_readings(tmp_path: Path) -> None:
    error = error_of(tmp_path)
    assert error.code == "cohort.layout-unknown"
    assert "kxr_sq_bu00" in error.message
    write(tmp_path / "tables" / "AllClinical00.txt", "ID|V00AGE\n9000001|60\n")
    assert "Got: 1 tables of other names (AllClinical00.txt)" in error_of(tmp_path).message
    write(tmp_path / "OAI tables.zip", "")
    assert "Unpack" in error_of(tmp_path).hint
    write(tmp_path / "tables" / "KXR_SQ_BU00.xlsx", "")
    error = error_of(tmp_path)
    assert "Got: readings that a spreadsheet saved (KXR_SQ_BU00.xlsx)" in error.message
    assert "as it was downloaded" in error.hint
    write(tmp_path / "kxr_sq_rel_bu00.txt", "ID|SIDE\n1|1\n")
    assert "only re-reads" in error_of(tmp_path).message
    write(tmp_path / "MOSTV01235XRAY.txt", "MOSTID\tV0XRKL\nM1\t1\n")
    error = error_of(tmp_path)
    assert "MOSTV01235XRAY.txt" in error.message
    assert "cohort most" in error.hint
    assert error_of(tmp_path / "absent").code == "cohort.layout-unknown"


@pytest.mark.parametrize(
    ("old", "new", "column", "got"),
    [
        ("9000002|1|", "9.0E+06|1|", "ID", "scientific notation"),
        ("9000002|1|", "00002|1|", "ID", "leading zeros lost"),
        ("9000002|1|", "9000002|3|", "SIDE", "'3'"),
        ("9000002|1|", "9000002| |", "SIDE", "an empty cell"),
        ("9000002|1|15|", "9000002|1||", "READPRJ", "an empty cell"),
        ("9000002|1|15|0.6| |1|", "9000002|1|15|0.6| |1,5|", "XRKL", "'1,5'"),
        ("9000002|1|15|0.6| |1|0|", "9000002|1|15|0.6| |1|01. Apr|", "XRJSL", "'01. Apr'"),
        ("9000002|1|15|0.6| |1|", "9000002|1|15|0.6| |nan|", "XRKL", "'nan'"),
    ],
)
def test_mangled_cells(folder: Path, old: str, new: str, column: str, got: str) -> None:
    replace(folder, old, new)
    error = error_of(folder)
    assert error.code == "table.value-invalid"
    assert f"kXR_SQ_BU00.txt, row 4, column {column}" in error.message
    assert got in error.message
    assert "9000002" not in str(error)
    assert "spreadsheet" in error.hint.lower()


def test_whole_numbers_with_a_decimal_point(folder: Path) -> None:
    """A spreadsheet or a data frame with gaps writes 1 as 1.0."""
    replace(folder, "9000002|1|15|0.6| |1|", "9000002|1.0|15.0|0.6| |1.0|")
    row = at(read_oai_readings(list_tables(folder)), 4)
    assert (row["side"], row["reading"], row["kl"]) == ("right", "15", 1)
    assert row["kl_raw"] is pd.NA


def test_barcode_mangled_by_a_spreadsheet(folder: Path) -> None:
    replace(folder, "|16601000001\r\n", "|1.6601E+10\r\n")
    readings = read_oai_readings(list_tables(folder))
    assert at(readings, 3)["barcode"] is pd.NA
    assert any("1 barcodes are numbers in scientific" in note for note in readings.notes)
    assert any("the first in row 3" in note for note in readings.notes)


def test_one_project_with_two_readings_of_a_knee(folder: Path) -> None:
    other = "9000001|1|15|0.6|1|4|0|1|2|3|1|0|1|2|3|1|2|1||016601000001\r\n"
    replace(folder, "9000002|1|15", f"{other}9000002|1|15")
    error = error_of(folder)
    assert error.code == "table.key-duplicate"
    assert "rows 2 and 4" in error.message
    assert "9000001" not in str(error)


def test_column_of_another_visit(folder: Path) -> None:
    replace(folder, "V00", "V01")
    error = error_of(folder)
    assert error.code == "table.column-missing"
    assert "XRKL" in error.message


def test_table_without_barcodes(folder: Path) -> None:
    replace(folder, "V00BARCDBU", "V00OTHER")
    readings = read_oai_readings(list_tables(folder))
    assert at(readings, 2)["barcode"] is pd.NA
    assert any("has no barcodes" in note for note in readings.notes)


def test_table_of_no_visit(folder: Path) -> None:
    write(folder / "kxr_sq_bu77.txt", BASELINE)
    readings = read_oai_readings(list_tables(folder))
    assert len(readings.table) == 6
    assert any(
        "kxr_sq_bu77.txt belongs to none of the study's visits" in note for note in readings.notes
    )
