"""Folders of MOST laid out by hand."""

from pathlib import Path

import pytest
from made_folders import make, write

from kneegrade.cohorts.most.films import scan_most_films
from kneegrade.errors import TableError

PERSON = "MB00001_ABCD"


def most_rows(folder: Path, *ids: str) -> list[tuple[str, int, str, str]]:
    return list(scan_most_films(folder, ids).films.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("path", "visit", "view"),
    [
        (f"{PERSON}/V0/PA10/film.dcm", 0, "PA10"),
        (f"Images/2008/{PERSON}/V2_30m/PA05/IM0001", 2, "PA05"),
        (f"a/b/c/{PERSON}/v5xray/pa15/1.2.840.7", 5, "PA15"),
        (f"{PERSON}/V0/PA10/series/film.DCM", 0, "PA10"),
        (f"{PERSON}/extra/V3/XRAY/PA5/001", 3, "PA05"),
        (f"V1_release/{PERSON}/V0/PA10/001", 0, "PA10"),
        (f"{PERSON}/V0/LatR/001", 0, "LATR"),
        ("mb00001_abcd/V0/PA10/001", 0, "PA10"),
        ("MB00001/V0/PA10/001", 0, "PA10"),
        ("MB00001abcde/V0/PA10/001", 0, "PA10"),
        (f"MB00001_other/{PERSON}/V0/PA10/001", 0, "PA10"),
    ],
)
def test_folders_of_most(tmp_path: Path, path: str, visit: int, view: str) -> None:
    make(tmp_path, path)
    assert most_rows(tmp_path, "MB00001") == [("MB00001", visit, view, path)]


def test_the_longest_id_owns_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "M1_ABCD/V0/PA10/001", "M12_ABCD/V0/PA10/001", "M123_ABCD/V0/PA10/001")
    scanned = scan_most_films(tmp_path, {"M1", "M12"})
    films, unmatched = scanned.films, scanned.unmatched
    assert list(films["subject_id"]) == ["M1", "M12"]
    assert unmatched == ("M123_ABCD/V0/PA10/001",)


@pytest.mark.parametrize(
    "path",
    [
        "MX99999_ABCD/V0/PA10/001",  # no reading
        f"{PERSON}/PA10/film.dcm",  # no visit
        f"{PERSON}/V0/film.dcm",  # no view
        "V0/PA10/001",
        "film.dcm",
        f"{PERSON}/V01235/PA10/film.dcm",
    ],
)
def test_films_that_match_nothing_are_listed(tmp_path: Path, path: str) -> None:
    scanned = scan_most_films(make(tmp_path, path), ["MB00001"])
    films, unmatched = scanned.films, scanned.unmatched
    assert films.empty
    assert unmatched == (path,)
    assert list(films.columns) == ["subject_id", "visit", "view", "path"]


@pytest.mark.parametrize(
    "path",
    [
        f"{PERSON}/V0/PA10/film.jpg",
        f"{PERSON}/V0/PA10/DICOMDIR",
        f"{PERSON}/V0/PA10/.hidden",
        "MOSTV01235XRAY.txt",
        "README",
    ],
)
def test_what_is_no_most_film(tmp_path: Path, path: str) -> None:
    scanned = scan_most_films(make(tmp_path, path), ["MB00001"])
    films, unmatched = scanned.films, scanned.unmatched
    assert films.empty
    assert unmatched == ()


def test_all_views_and_films_of_a_person(tmp_path: Path) -> None:
    names = [f"{PERSON}/V0/{view}/{n}" for view in ("PA05", "PA10", "PA15") for n in ("1", "2")]
    rows = most_rows(make(tmp_path, *names), " mb00001", "MB00002")
    assert [row[2:] for row in rows] == [(name.split("/")[2], name) for name in names]
    assert {row[0] for row in rows} == {" mb00001"}


@pytest.mark.parametrize("name", ["MOST_names.csv", "names.txt", "most_NAMES.csv"])
def test_list_of_names(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"Images/{PERSON}/V0/PA10/001")
    write(
        tmp_path,
        f"lists/{name}",
        f"/mnt/most/{PERSON}/V0/PA10/001",
        f'"{PERSON}/V2/PA10/001"',
        "",
        f"D:\\{PERSON}\\V0\\PA10\\001,",
        "MX99999_ABCD/V0/PA10/001",
        end="\r\n",
    )
    rows = scan_most_films(tmp_path, ["MB00001"]).rows_without_film
    assert rows.to_dict("records") == [
        {"file": f"lists/{name}", "row": 2, "path": f"{PERSON}/V2/PA10/001"},
        {"file": f"lists/{name}", "row": 5, "path": "MX99999_ABCD/V0/PA10/001"},
    ]


def test_another_file_called_names(tmp_path: Path) -> None:
    write(tmp_path, "names.txt", "Somebody", "Somebody else")
    assert scan_most_films(tmp_path, []).rows_without_film.empty
    with pytest.raises(TableError) as caught:
        scan_most_films(tmp_path / "absent", [])
    assert caught.value.code == "cohort.layout-unknown"
