"""Folders laid out by hand, as the releases and their users have them."""

import os
from pathlib import Path

import pandas as pd
import pytest
from made_folders import make, write

from kneegrade.cohorts.oai.codes import normalise_barcode
from kneegrade.cohorts.oai.films import scan_oai_films
from kneegrade.cohorts.tables.table import find_missing_images, resolve_image
from kneegrade.errors import TableError

FILM = "0.C.2/9000001/20040909/00123456"
KNEES = "Bilateral PA Fixed Flexion Knee"
CONTENTS = "Folder,ParticipantID,StudyDate,Barcode,StudyDescription,SeriesDescription"
STUDY = "OAI^SCREENING^KNEE"


def find_films(folder: Path) -> pd.DataFrame:
    return scan_oai_films(folder).films


def oai_paths(folder: Path) -> list[str]:
    return list(find_films(folder)["path"])


def code_of(error: pytest.ExceptionInfo[TableError]) -> str:
    assert error.value.hint
    assert "9000001" not in str(error.value)
    return error.value.code


# OAI: folders


def test_one_oai_film(tmp_path: Path) -> None:
    films = find_films(make(tmp_path, f"00m/{FILM}/001"))
    assert films.drop(columns=["description", "both_knees"]).to_dict("records") == [
        {
            "subject_id": "9000001",
            "release": "0.C.2",
            "study_date": "20040909",
            "series": "00123456",
            "barcode": "016600123456",
            "visit_months": 0,
            "path": f"00m/{FILM}/001",
        }
    ]
    assert films[["description", "both_knees"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "path",
    [
        f"{FILM}/001",
        f"00m/{FILM}/001",
        f"00m/00m/00m/{FILM}/001",
        f"Package_12/results/00m/{FILM}/001",
        f"Package_12/results%2FP001/{FILM}/001",
        f"OAIScreeningImages/{FILM}/001",
        "0.E.1/9999999/20010101/00000001/0.C.2/9000001/20040909/00123456/001",
        f"{FILM}/00123456/001",
        "0.C.2/9000001/data/20040909/00123456/001",
        "0.c.2/9000001/20040909/00123456/001",
        f"image03/00m/{FILM}.tar.gz",
        f"image03/00m/{FILM}.tgz",
        f"{FILM}/00123456.tar.gz",
        "0.C.2/9000001/data/20040909/00123456.tar.gz",
    ],
)
def test_nesting_of_oai_folders(tmp_path: Path, path: str) -> None:
    films = find_films(make(tmp_path, path))
    assert list(films["series"]) == ["00123456"]
    assert list(films["release"]) == ["0.C.2"]
    assert list(films["subject_id"]) == ["9000001"]
    assert list(films["path"]) == [path if path.endswith("001") else f"{path}::001"]


@pytest.mark.parametrize("inner", ["", "0.C.2", "0.C.2/9000001/20040909"])
def test_a_folder_within_the_release(tmp_path: Path, inner: str) -> None:
    make(tmp_path, f"{FILM}/001", "0.C.2/9000001/20040909/10699609/001")
    films = find_films(tmp_path / inner)
    assert list(films["release"]) == ["0.C.2"]
    assert (tmp_path / inner / films["path"][0]).is_file()


@pytest.mark.parametrize(
    "path",
    [
        "0.C.2/9000001/20040909/10699609/001",  # magnetic resonance
        "0.C.2/9000001/20040909/10699609.tar.gz",
        f"{FILM}_1x1.jpg",
        f"{FILM}/00123456_2x2.jpg",
        f"{FILM}/002",
        f"{FILM}/.001",
        "0.C.2/9000001/20040909/._00123456.tar.gz",
        "9000001/20040909/00123456/001",  # no release
        "0.C.2/900001/20040909/00123456/001",
        "0.C.2/9000001/20040909/0012345/001",
        "0.C.2/9000001/20040909/001",
        f".Trash/{FILM}/001",
    ],
)
def test_what_is_no_oai_film(tmp_path: Path, path: str) -> None:
    scanned = scan_oai_films(make(tmp_path, path))
    assert scanned.films.empty
    assert scanned.unknown_archives == ()
    assert list(scanned.films.columns) == list(find_films(tmp_path).columns)


def test_visits_of_the_releases(tmp_path: Path) -> None:
    months = {0: 0, 1: 12, 2: 18, 3: 24, 4: 30, 5: 36, 6: 48, 8: 72, 10: 96}
    for number in (*months, 12):
        make(tmp_path, f"{number}.E.1/9000001/20040909/{number:08d}/001")
    films = find_films(tmp_path).set_index("series")["visit_months"]
    assert films.dropna().to_dict() == {f"{n:08d}": m for n, m in months.items()}
    assert films.isna()["00000012"]


def test_a_film_that_is_there_twice(tmp_path: Path) -> None:
    open_film, packed = f"48m/48m/{FILM}/001", f"{FILM}.tar.gz"
    older = "0.C.1/9000001/20040909/00123456/001"
    other_person = "0.C.2/9000002/20040909/00123456/001"
    scanned = scan_oai_films(make(tmp_path, packed, open_film, f"a/b/c/{FILM}/001", older))
    assert list(scanned.films["path"]) == [open_film]
    assert scanned.duplicates == (f"{older}", f"{packed}::001", f"a/b/c/{FILM}/001")
    assert len(find_films(make(tmp_path, other_person))) == 2


def test_archives_of_another_name_are_listed(tmp_path: Path) -> None:
    scanned = scan_oai_films(make(tmp_path, "image03/00m/0.C.2/film-one.tar.gz"))
    assert scanned.unknown_archives == ("image03/00m/0.C.2/film-one.tar.gz",)


def test_packed_films_go_into_a_knee_table(tmp_path: Path) -> None:
    films = find_films(make(tmp_path, f"00m/{FILM}.tar.gz"))
    table = films.assign(image_path=films["path"])
    assert find_missing_images(table, tmp_path / "knees.csv") == []
    (tmp_path / f"00m/{FILM}.tar.gz").unlink()
    assert find_missing_images(table, tmp_path / "knees.csv") == [f"00m/{FILM}.tar.gz::001"]
    assert resolve_image(tmp_path / "knees.csv", films["path"][0]).endswith(".tar.gz::001")


def test_links(tmp_path: Path) -> None:
    release = make(tmp_path / "disk", f"00m/{FILM}/001")
    study = tmp_path / "study"
    study.mkdir()
    (study / "films").symlink_to(release)
    (study / "films again").symlink_to(release)
    (release / "00m/round").symlink_to(study)
    assert len(find_films(study)) == 1


def test_folders_that_cannot_be_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TableError) as caught:
        find_films(tmp_path / "absent")
    assert code_of(caught) == "cohort.layout-unknown"
    make(tmp_path, f"00m/{FILM}/001")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "9000001":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(TableError, match=r"'00m' cannot be listed .Permission denied") as caught:
        find_films(tmp_path)
    assert code_of(caught) == "cohort.layout-unknown"


def test_a_folder_whose_name_is_no_utf_8(tmp_path: Path) -> None:
    make(tmp_path, os.fsdecode(b"R\xf6ntgen") + f"/{FILM}/001")
    with pytest.raises(TableError) as caught:
        find_films(tmp_path)
    assert code_of(caught) == "cohort.layout-unknown"


# OAI: indexes


def test_contents_csv(tmp_path: Path) -> None:
    make(tmp_path, f"00m/{FILM}/001", "00m/0.C.2/9000001/20040909/00123457/001")
    make(tmp_path, "00m/0.C.2/9000002/20040909/00000007/001")
    write(
        tmp_path,
        "00m/0.C.2/contents.csv",
        CONTENTS,
        f"{FILM},9000001,20040909,016600123456,{STUDY},{KNEES.upper()}   ",
        f"0.C.2/9000001/20040909/00123457,9000001,20040909,16600123457,{STUDY},PA Bilateral Hand",
        f"0.C.2/9000002/20040909/00000007,9000002,20040909,7,{STUDY},",
        end="\r\n",
    )
    scanned = scan_oai_films(tmp_path)
    films = scanned.films.set_index("series")
    assert films["description"].dropna().to_dict() == {
        "00123456": KNEES.upper(),
        "00123457": "PA Bilateral Hand",
    }
    assert films["both_knees"].dropna().to_dict() == {"00123456": True, "00123457": False}
    assert scanned.notes == ()
    assert scanned.rows_without_film.empty
    assert scanned.films_without_row == ()


@pytest.mark.parametrize(
    "folder",
    ["0.C.2/9000001//20040909/00123456", f"/{FILM}/", "0.C.2\\9000001\\20040909\\00123456", FILM],
)
@pytest.mark.parametrize("barcode_column", ["Barcode", "AccessionNumber", "ACCESSIONNUMBER"])
def test_faults_of_contents_csv(tmp_path: Path, folder: str, barcode_column: str) -> None:
    make(tmp_path, f"{FILM}/001")
    header = CONTENTS.replace("Barcode", barcode_column)
    row = f"{folder},9000001,20040909,123456,{STUDY}, {KNEES}  "
    scanned = scan_oai_films(write(tmp_path, "Contents.CSV", header, row))
    assert list(scanned.films["both_knees"]) == [True]
    assert list(scanned.films["description"]) == [KNEES]
    assert scanned.rows_without_film.empty


def test_an_index_names_films_that_are_not_there(tmp_path: Path) -> None:
    make(tmp_path, f"{FILM}/001", "0.C.2/9000003/20040909/00000003/001")
    rows = [
        f"{FILM},9000001,20040909,123456,{STUDY},{KNEES}",
        f"0.C.2/9000002/20040909/00000002,9000002,20040909,2,{STUDY},{KNEES}",
        f"0.C.2/9000002/20040909/00000004,9000002,20040909,4,{STUDY},AP Pelvis",
        f"0.C.2/9000002/20040909/00000005,9000002,20040909,5,{STUDY},",
        f"0.C.2/9000002/20040909/10000006,9000002,20040909,10000006,{STUDY},SAG_IW_TSE_LEFT",
    ]
    write(tmp_path, "0.C.2/contents.csv", CONTENTS, *rows)
    write(tmp_path, "0.C.2/copy/contents.csv", CONTENTS, *rows)
    scanned = scan_oai_films(tmp_path)
    assert scanned.rows_without_film.to_dict("records") == [
        {"file": "0.C.2/contents.csv", "row": 3, "series": "00000002"},
        {"file": "0.C.2/contents.csv", "row": 5, "series": "00000005"},
    ]
    assert scanned.films_without_row == ("0.C.2/9000003/20040909/00000003/001",)


def test_barcodes_of_an_index_that_do_not_fit(tmp_path: Path) -> None:
    make(tmp_path, f"{FILM}/001", "0.C.2/9000002/20040909/00000002/001")
    write(
        tmp_path,
        "contents.csv",
        CONTENTS,
        f"{FILM},9000001,20040909,123457,{STUDY},{KNEES}",
        f"lost,9000002,20040909,2,{STUDY},{KNEES}",
        f"lost,9000002,20040909,1.66E+10,{STUDY},{KNEES}",
    )
    scanned = scan_oai_films(tmp_path)
    assert list(scanned.films["barcode"]) == ["016600123456", "016600000002"]
    assert list(scanned.films["both_knees"]) == [True, True]
    assert [note.split()[0] for note in scanned.notes] == ["1", "1"]
    assert "name no series" in scanned.notes[0]
    assert "barcode" in scanned.notes[1]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([CONTENTS, f"{FILM},9000001,2004"], "table.unreadable"),
        ([CONTENTS], "table.empty"),
        (["Folder,Other", f"{FILM},x"], "table.column-missing"),
    ],
)
def test_a_damaged_index_is_named(tmp_path: Path, lines: list[str], code: str) -> None:
    write(tmp_path, "00m/0.C.2/contents.csv", *lines)
    with pytest.raises(TableError, match=r"^Image index in 00m/0\.C\.2: contents\.csv") as caught:
        find_films(tmp_path)
    assert code_of(caught) == code


def test_other_tables_are_no_index(tmp_path: Path) -> None:
    write(tmp_path, "contentsheet.csv", "no", "index")
    write(tmp_path, "image03summary.txt", "no", "index")
    assert find_films(make(tmp_path, f"{FILM}/001"))["description"].isna().all()


@pytest.mark.parametrize("quote", ["", '"'])
def test_image03_of_the_nda(tmp_path: Path, quote: str) -> None:
    def row(*cells: str) -> str:
        return "\t".join(f"{quote}{cell}{quote}" for cell in cells)

    address = "s3://NDAR_Central_1/submission_13364/00m"
    names = ("subjectkey", "src_subject_id", "image_file", "image_description", "accession_number")
    make(tmp_path, f"image03/00m/{FILM}.tar.gz", f"image03/00m/{FILM}_1x1.jpg")
    make(tmp_path, "image03/00m/0.C.2/9000002/20040909/00000002.tar.gz")
    write(
        tmp_path,
        "image03.txt",
        row(*names),
        row("The NDAR Global Unique Identifier", "Subject ID", "The image", "Of what", "Number"),
        row("NDAR_1", "9000001", f"{address}/{FILM}.tar.gz", KNEES, "16600123456"),
        row("NDAR_2", "9000002", f"{address}/other.tar.gz", "PA Right Hand", "2"),
        row("NDAR_2", "9000002", f"{address}/0.C.2/9000002/data/20040909/00000009.tar.gz", KNEES),
        row("NDAR_2", "9000002", f"{address}/0.C.2/9000002/20040909/10000009.tar.gz", "MR", ""),
    )
    lines = (tmp_path / "image03.txt").read_text().splitlines()
    lines[4] += f"\t{quote}{quote}"
    write(tmp_path, "image03.txt", *lines)
    scanned = scan_oai_films(tmp_path)
    assert list(scanned.films["both_knees"]) == [True, False]
    assert list(scanned.films["path"].str.endswith(".tar.gz::001")) == [True, True]
    assert scanned.rows_without_film.to_dict("records") == [
        {"file": "image03.txt", "row": 5, "series": "00000009"}
    ]


@pytest.mark.parametrize(
    ("cell", "barcode"),
    [
        ("016600123456", "016600123456"),
        ("16600123456", "016600123456"),
        (" 16600123456 ", "016600123456"),
        ("16600123456.0", "016600123456"),
        ("00123456", "016600123456"),
        ("123456", "016600123456"),
        ("123", "016600000123"),
        ("", None),
        (" ", None),
        ("T", None),
        ("0", None),
        ("1.66E+10", None),
        ("16600123456.5", None),
        ("0166001234567", None),
        ("01660012345٦", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_barcodes(cell: object, barcode: str | None) -> None:
    found = normalise_barcode(cell)
    assert (found if isinstance(found, str) else None) == barcode


# MOST
