"""Reading and writing the knee table."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kneegrade.cohorts.tables.table import (
    SCHEMA_VERSION,
    find_missing_images,
    read_knee_table,
    read_radiograph_file,
    read_with_notes,
    rebase_images,
    resolve_image,
    write_knee_table,
)
from kneegrade.errors import OutputError, TableError
from kneegrade.types import Contrast, RadiographFile, SpacingSource

FULL = "cohort,subject_id,visit_months,side,reading,image_path,kl\n"


def read_text(tmp_path: Path, text: str) -> pd.DataFrame:
    path = tmp_path / "knees.csv"
    path.write_bytes(text.encode())
    return read_knee_table(path)


def code_of(tmp_path: Path, text: str) -> tuple[str, str]:
    with pytest.raises(TableError) as caught:
        read_text(tmp_path, text)
    return caught.value.code, caught.value.message


def test_minimal_csv(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = read_text(tmp_path, "image_path,side\na.png,R\na.png,l\nb.zip::c.png,LEFT\n")
    assert table["side"].tolist() == ["right", "left", "left"]
    assert table["subject_id"].tolist() == ["a.png", "a.png", "b.zip::c.png"]
    assert set(table["cohort"]) == {"own"}
    assert set(table["visit_months"]) == {0}
    assert set(table["reading"]) == {""}
    assert "3 rows have no subject_id" in caplog.text


def test_blank_subject_is_filled_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "knees.csv"
    path.write_text("image_path,side,subject_id\na.png,R,007\nb.png,R, \nc.png,R,\n")
    table, notes = read_with_notes(path)
    assert table["subject_id"].tolist() == ["007", "b.png", "c.png"]
    assert any(note.startswith("2 rows have no subject_id") for note in notes)


@pytest.mark.parametrize(
    "text",
    [
        "image_path,side,KL\na.png,R,2.0\nb.png,L,\n",
        "\ufeffimage_path;side;kl\na.png;R;2\nb.png;L;NA\n",
        "image_path\tside\tkl\r\na.png\tR\t2\r\nb.png\tL\t.\r\n",
        "Side , Image_Path,kl,\nR,a.png,2,\n\nL,b.png,nan,\n,,,\n",
        'sep=;\r\n"Image path";"SIDE ";"KL"\r\n"a.png";"RIGHT";"2,0"\r\n"b.png";" left";""\r\n',
        ",image_path,side,kl\n0,a.png,R,2\n1,b.png,L,\n",
    ],
)
def test_dialects(tmp_path: Path, text: str) -> None:
    table = read_text(tmp_path, text)
    assert table["image_path"].tolist() == ["a.png", "b.png"]
    assert table["side"].tolist() == ["right", "left"]
    assert table["kl"].fillna(-1).tolist() == [2, -1]


def test_rows_are_counted_as_in_the_file(tmp_path: Path) -> None:
    code, message = code_of(tmp_path, "image_path,side,kl\na.png,R,1\n\n,,\nb.png,R,9\n")
    assert (code, "Row 5, column 'kl'" in message) == ("table.value-invalid", True)
    code, message = code_of(tmp_path, "image_path,side\na.png,R\n\na.png,R\n")
    assert (code, "rows 2 and 4" in message) == ("table.key-duplicate", True)


def test_row_without_a_picture_is_the_fault_of_image_path(tmp_path: Path) -> None:
    code, message = code_of(tmp_path, "image_path,side\na.png,R\n,R\n")
    assert (code, "Row 3, column 'image_path'" in message) == ("table.value-invalid", True)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "table.empty", "empty"),
        ("image_path,side\n", "table.empty", "no rows"),
        ("image_path,kl\na.png,1\n", "table.column-missing", "'side'"),
        ("image_path,side\na.png\n", "table.unreadable", "row 2 has 1 cells"),
        ("image_path,side\na.png,R,1\n", "table.unreadable", "row 2 has 3 cells"),
        ("image_path,side,side\na.png,R,R\n", "table.unreadable", "two columns"),
        ("image_path,side,\na.png,R,1\n", "table.unreadable", "column 3 has no name"),
        ('image_path,side\n"a"b,R\n', "table.unreadable", "not CSV"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, code: str, words: str) -> None:
    got, message = code_of(tmp_path, text)
    assert got == code
    assert words in message


def test_csv_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "knees.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    with pytest.raises(TableError) as caught:
        read_knee_table(path)
    assert caught.value.code == "table.unreadable"


def test_line_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "knees.csv"
    path.write_bytes("image_path,side\nä.png,R\n".encode() + "ä.png,L\n".encode("latin-1"))
    with pytest.raises(TableError, match="row 3 is not UTF-8") as caught:
        read_knee_table(path)
    assert caught.value.code == "table.unreadable"


@pytest.mark.parametrize("mangled", ["9.0E+06", "9,0E+06", "9E+06", "9.00012E+11"])
def test_id_that_a_spreadsheet_rounded(tmp_path: Path, mangled: str) -> None:
    text = f"image_path;side;Subject_ID\na.png;R;9000001\n\nb.png;R;{mangled}\n"
    code, message = code_of(tmp_path, text)
    assert code == "table.value-invalid"
    assert "Row 4, column 'subject_id'" in message
    assert mangled not in message


def test_ids_that_may_have_lost_zeros_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "knees.csv"
    ids = ["9000001", "12", "9000002", "x1", "9000003", "123"]
    lines = [f"{n}.png,R,{subject}" for n, subject in enumerate(ids)]
    path.write_text("\n".join(["image_path,side,subject_id", *lines]))
    table, notes = read_with_notes(path)
    assert table["subject_id"].tolist() == ids
    assert next(note for note in notes if "zeros" in note).startswith(
        "2 ids have fewer digits than the 7 that most have, first in row 3"
    )


@pytest.mark.parametrize("ids", [("1", "22", "333", "4444"), ("1", "2", "10000")])
def test_running_numbers_are_not_noted(tmp_path: Path, ids: tuple[str, ...]) -> None:
    path = tmp_path / "knees.csv"
    lines = [f"{subject}.png,R,{subject}" for subject in ids]
    path.write_text("\n".join(["image_path,side,subject_id", *lines]))
    assert not any("zeros" in note for note in read_with_notes(path)[1])


@pytest.mark.parametrize("name", ["knees.csv", "knees.parquet", "knees.xlsx"])
def test_no_table_or_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError) as caught:
        read_knee_table(tmp_path / name)
    assert caught.value.code == "table.not-found"
    (tmp_path / name).mkdir()
    with pytest.raises(TableError) as caught:
        read_knee_table(tmp_path / name)
    assert caught.value.code == "table.unreadable"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"image_path,side\n"])
def test_parquet_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "knees.parquet"
    path.write_bytes(content)
    with pytest.raises(TableError) as caught:
        read_knee_table(path)
    assert caught.value.code == "table.unreadable"


def test_other_suffix(tmp_path: Path) -> None:
    table = read_text(tmp_path, "image_path,side\na.png,R\n")
    for act in (read_knee_table, lambda path: write_knee_table(table, path)):
        with pytest.raises(TableError) as caught:
            act(tmp_path / "knees.ods")
        assert caught.value.code == "table.unreadable"
    with pytest.raises(TableError, match=r"\.parquet or \.csv file"):
        write_knee_table(table, tmp_path / "knees.xlsx")


def test_parquet_of_another_hand(tmp_path: Path) -> None:
    path = tmp_path / "split=val" / "knees.parquet"
    path.parent.mkdir()
    frame = pd.DataFrame(
        {"image_path": ["a.png", "b.png"], "side": pd.Categorical(["R", "L"]), "kl": [1.0, None]},
        index=pd.Index([12, 13], name="subject_id"),
    )
    frame.to_parquet(path)
    table = read_knee_table(path)
    assert table["subject_id"].tolist() == ["12", "13"]
    assert table["side"].tolist() == ["right", "left"]
    assert table["kl"].isna().tolist() == [False, True]
    assert "split" not in table


def test_version_is_written_and_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "knees.parquet"
    write_knee_table(read_text(tmp_path, FULL + "oai,1,0,R,x,a.png,3\n"), path)
    arrow = pq.read_table(path)
    assert arrow.schema.metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()
    newer = {**arrow.schema.metadata, b"schema_version": str(SCHEMA_VERSION + 1).encode()}
    pq.write_table(arrow.replace_schema_metadata(newer), path)
    with pytest.raises(TableError, match="version 2") as caught:
        read_knee_table(path)
    assert caught.value.code == "table.unreadable"


def test_failed_write_leaves_the_old_table(tmp_path: Path) -> None:
    table = read_text(tmp_path, FULL + "oai,1,0,R,x,a.png,3\n")
    path = tmp_path / "out" / "knees.parquet"
    write_knee_table(table, path)
    before = path.read_bytes()
    mixed = pd.concat([table, table.assign(side="left")]).assign(
        mine=pd.Series(["a", pa], dtype=object).to_numpy()
    )
    for wrong in (table.assign(kl=9), mixed):
        with pytest.raises(TableError) as caught:
            write_knee_table(wrong, path)
        assert caught.value.code == "table.value-invalid"
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["knees.parquet"]


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    table = read_text(tmp_path, FULL + "oai,1,0,R,x,a.png,3\n")
    with pytest.raises(OutputError) as caught:
        write_knee_table(table, tmp_path / "knees.csv" / "more.csv")
    assert caught.value.code == "output.not-writable"
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError):
        write_knee_table(table, tmp_path / "folder.csv")


def test_resolve_image(tmp_path: Path) -> None:
    table = tmp_path / "knees.parquet"
    assert resolve_image(table, "a/b.png") == str(tmp_path / "a" / "b.png")
    assert resolve_image(table, "/x/a.zip::m/b.png") == "/x/a.zip::m/b.png"
    assert resolve_image(table, "a.zip::m/b.png") == f"{tmp_path}/a.zip::m/b.png"


def test_paths_written_on_windows_or_by_hand_find_their_file(tmp_path: Path) -> None:
    table = tmp_path / "knees.csv"
    (tmp_path / "films").mkdir()
    for name in ("a.png", "b.zip"):
        (tmp_path / "films" / name).write_bytes(b"")
    for written in ("films\\a.png", ".\\films\\a.png", " films/a.png ", "films\\b.zip::m\\c.png"):
        found, _, member = resolve_image(table, written).partition("::")
        assert Path(found).is_file(), written
        assert member in {"", "m\\c.png"}
    (tmp_path / "films\\a.png").write_bytes(b"its own")
    (tmp_path / " d.png").write_bytes(b"its own")
    assert Path(resolve_image(table, "films\\a.png")).read_bytes() == b"its own"
    assert Path(resolve_image(table, " d.png")).read_bytes() == b"its own"


def test_a_row_tells_what_is_known_about_its_radiograph(tmp_path: Path) -> None:
    path = tmp_path / "knees.csv"
    known = {"spacing_mm": 0.2, "spacing_col_mm": 0.25, "contrast": "enhanced"}
    row = {"image_path": "a.png", **known, "spacing_source": "calibrated"}
    assert read_radiograph_file(row, path) == RadiographFile(
        str(tmp_path / "a.png"), (0.2, 0.25), SpacingSource.CALIBRATED, Contrast.ENHANCED
    )
    square = read_radiograph_file(row | {"spacing_col_mm": None}, path)
    assert square.spacing_mm == 0.2
    untold = RadiographFile(str(tmp_path / "a.png"), None, SpacingSource.TABLE)
    for nothing in (None, float("nan"), pd.NA, ""):
        cells = dict.fromkeys(("contrast", "spacing_source"), nothing)
        assert read_radiograph_file({"image_path": "a.png", **cells}, path) == untold
    assert read_radiograph_file({"image_path": "a.png"}, path) == untold
    unknown = read_radiograph_file(row | {"spacing_source": "unknown"}, path)
    assert unknown.spacing_source is SpacingSource.TABLE, "its millimetres are the table's"


def test_rebased_images_of_windows(tmp_path: Path) -> None:
    table = read_text(tmp_path, "image_path,side\nfilms\\a.png,R\nC:\\films\\a.png,R\n")
    moved = rebase_images(table, tmp_path, tmp_path / "out")
    assert moved["image_path"].tolist() == ["../films/a.png", "C:\\films\\a.png"]


def test_rebased_images_are_the_same_files(tmp_path: Path) -> None:
    pictures, tables = tmp_path / "set" / "pictures", tmp_path / "tables" / "deep"
    pictures.mkdir(parents=True)
    tables.mkdir(parents=True)
    (pictures / "a.png").write_bytes(b"a")
    link = tmp_path / "link"
    link.symlink_to(tables, target_is_directory=True)
    table = read_text(tmp_path, "image_path,side\na.png,R\nz.zip::m/a.png,R\n/abs.png,R\n")
    for folder in (tables, link):
        moved = rebase_images(table, pictures, folder)
        assert moved["image_path"].tolist() == [
            "../../set/pictures/a.png",
            "../../set/pictures/z.zip::m/a.png",
            "/abs.png",
        ]
        opened = Path(resolve_image(folder / "knees.csv", moved["image_path"][0]))
        assert opened.read_bytes() == b"a"
        assert find_missing_images(moved, folder / "knees.csv") == moved["image_path"].tolist()[1:]


def test_missing_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['pandas'] = None\n"
        "from kneegrade.errors import MissingExtraError\n"
        "try:\n    import kneegrade.cohorts\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "kneegrade[study]" in done.stdout


def test_an_error_names_the_file_once(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("image_path,side\na.png,up\n")
    with pytest.raises(TableError, match=r"^own\.csv: Row 2, column 'side'"):
        read_with_notes(path)
    path.unlink()
    with pytest.raises(TableError, match=r"^There is no table at"):
        read_with_notes(path)
