"""The MOST release, written here by hand: one row per oddity."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyreadstat
import pytest

from kneegrade.cohorts.most.read import read_most
from kneegrade.cohorts.most.tables import read_enrolment, read_readings
from kneegrade.cohorts.releases.flow import StudyKnees
from kneegrade.cohorts.releases.reference_crops import read_reference_crops
from kneegrade.cohorts.releases.tables import list_tables
from kneegrade.cohorts.tables.schema import check_knee_table
from kneegrade.errors import TableError

FEATURES = ["KL", "OSFL", "OSTL", "JSL", "OSFM", "OSTM", "JSM"]
TASKS = ["kl", "fo_l", "to_l", "jsn_l", "fo_m", "to_m", "jsn_m"]
HEALTHY = "0 0 0 0 0 0 0"
Readings = Mapping[str, Mapping[str, str]]

READINGS: Readings = {
    "MB00001": {  # two whole knees, followed to 84 months
        "V0XR": "2 1 0 3 2 1 0",
        "V0XL": HEALTHY,
        "V1XR": "3 1 0 3 2 1 0",
        "V5XL": "1 1 1 0 0 0 0",
    },
    "MB00002": {  # left: replaced by visit 2; right: not readable at visit 2
        "V0XL": "4 3 3 3 1 1 0",
        "V2XL": "8 8 8 8 8 8 8",
        "V3XL": "8 8 8 8 8 8 8",
        "V0XR": HEALTHY,
        "V2XR": "8 8 8 8 8 8 8",
    },
    "MB00003": {"V0XR": "9 9 9 9 9 9 9", "V0XL": "2 1 1 0 0 0 9"},
    "MB00004": {"V0XR": "1.9 1 0 0 0 0 0", "V0XL": "2 1 0 0 0 0 1.9"},
    "MB00005": {"V0XR": "P S X Z 0 0 1", "V0XL": "1 0 0 0 0 0 ."},
    "MB00006": {"V0XR": "0 4 0 0 0 0 0", "V0XL": "5 0 0 0 0 0 0"},
    "MB00007": {"V0XR": HEALTHY, "V0XL": HEALTHY},  # no film
    "MB00008": {"V0XR": HEALTHY},  # a film with 5 degrees only
    "MB0000": {"V0XR": HEALTHY},  # its ID begins the others'
}
FILMS = [
    *(f"MB0000{n}_A1B2/V0BASE/PA10/IM1" for n in (1, 2, 3, 4, 5, 6)),
    "MB00001_A1B2/V1/PA10/IM1",
    "MB00001_A1B2/V0BASE/PA05/IM1",
    "MB00001_A1B2/V0BASE/PA15/IM1",
    "MB00001_A1B2/V5/PA10/IM1",
    "MB00001_A1B2/V3/PA10/IM1",  # filmed, not read
    "MB00002_A1B2/V2/PA10/IM1",
    "MB00002_A1B2/V3/PA10/IM1",
    "MB00008_A1B2/V0BASE/PA05/IM1",
    "MB0000_A1B2/V0BASE/PA10/IM1",
    "MX99999_A1B2/V0BASE/PA10/IM1",  # in no table
]


def write_readings(
    path: Path, readings: Readings = READINGS, visits: str = "01235", without: str = ""
) -> Path:
    """Tab-separated text; names in mixed case; visits and legs in an order of its own."""
    knees = [f"V{v}X{leg}" for leg in "LR" for v in reversed(visits)]
    columns = [
        (knee, at)
        for at in (6, 0, 3, 1, 2, 4, 5)
        for knee in knees
        if knee + FEATURES[at] != without
    ]
    lines = ["\t".join([*(f"{knee}{FEATURES[at]}".lower() for knee, at in columns), "MOSTID"])]
    for subject, cells in readings.items():
        read = {knee: text.split(" ") for knee, text in cells.items()}
        blank = [" "] * len(FEATURES)
        lines.append("\t".join([*(read.get(knee, blank)[at] for knee, at in columns), subject]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("ascii"))
    return path


def write_release(folder: Path) -> Path:
    write_readings(folder / "data" / "MOSTV01235XRAY.txt")
    (folder / "data" / "mostoutcomes.txt").write_text(
        "MOSTID\tV99EDINDEX\tV99ELKRINDEX\tV99ERKRINDEX\nMB00001\t\t0\t\nMB00002\t\t2\t.\n"
    )
    (folder / "data" / "MOSTV0ENROLL.txt").write_text(
        "MOSTID\tAGE\tSEX\tSITE\tV0PA\tV0BMI\nMB00001\t61\t2: Female\t1\t1\t31.5\n"
        "MB00002\t70\t1\t2\t1\t.\n"
    )
    (folder / "data" / "mostv1enroll.txt").write_text("MOSTID\tV1PA\tV1BMI\nMB00001\t1\t32.5\n")
    for film in FILMS:
        path = folder / "films" / film
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path)


def steps(study: StudyKnees) -> dict[str, int]:
    return {step.reason: step.dropped for step in study.flow}


def knee(study: StudyKnees, subject: str, side: str, months: int = 0) -> pd.Series:
    table = study.knees
    at = (table["subject_id"] == subject) & (table["side"] == side)
    found = table[at & (table["visit_months"] == months)]
    assert len(found) == 1
    return found.iloc[0]


def error_of(folder: Path) -> TableError:
    with pytest.raises(TableError) as caught:
        read_most(folder)
    return caught.value


def test_columns_go_to_their_tasks(release: Path) -> None:
    row = knee(read_most(release), "MB00001", "right")
    assert row[TASKS].tolist() == [2, 1, 0, 3, 2, 1, 0]
    assert row["image_path"] == "films/MB00001_A1B2/V0BASE/PA10/IM1"
    assert (row["cohort"], row["reading"]) == ("most", "most")


def test_paper_mode_drops_each_knee_for_its_reason(release: Path) -> None:
    study = read_most(release)
    assert steps(study) == {
        "not read at this visit": 9 * 10 - 21,
        "replaced by a prosthesis": 2,
        "a grade missing: code 8 (not readable)": 1,
        "a grade missing: code 9 (missing)": 2,
        "a grade missing: code 1.9": 2,
        "a grade missing: code 4": 1,
        "a grade missing: code 5": 1,
        "a grade missing: code P": 1,
        "a grade missing: a blank cell": 1,
        "no film of view PA10, only of another view": 1,
        "no film found": 2,
    }
    kept = study.knees[["subject_id", "side", "visit_months"]].apply(tuple, axis=1).tolist()
    assert sorted(kept) == [
        ("MB0000", "right", 0),
        ("MB00001", "left", 0),
        ("MB00001", "left", 84),
        ("MB00001", "right", 0),
        ("MB00001", "right", 15),
        ("MB00002", "left", 0),
        ("MB00002", "right", 0),
    ]


@pytest.mark.parametrize("mode", ["paper", "full"])
def test_flow_adds_up(release: Path, mode: str) -> None:
    study = read_most(release, mode=mode)  # type: ignore[arg-type]
    left = len(READINGS) * 5 * 2
    for step in study.flow:
        assert step.dropped > 0
        left -= step.dropped
        assert step.left == left
    assert left == len(study.knees)


def test_full_mode_keeps_what_has_any_grade(release: Path) -> None:
    study = read_most(release, mode="full")
    row = knee(study, "MB00005", "right")
    assert row[["fo_m", "to_m", "jsn_m"]].tolist() == [0, 0, 1]
    assert row[["kl", "fo_l", "to_l", "jsn_l"]].isna().all()
    assert row[["kl_raw", "fo_l_raw", "to_l_raw", "jsn_l_raw"]].tolist() == ["P", "S", "X", "Z"]
    row = knee(study, "MB00003", "left")
    assert (row["kl"], row["jsn_m_raw"]) == (2, "9")
    assert row["jsn_m"] is pd.NA
    assert steps(study)["every grade missing: code 9 (missing)"] == 1
    assert steps(study)["replaced by a prosthesis"] == 2


def test_blank_is_not_zero(release: Path) -> None:
    row = knee(read_most(release, mode="full"), "MB00005", "left")
    assert row["jsn_m"] is pd.NA
    assert row["jsn_m_raw"] is pd.NA
    assert row["kl"] == 1


@pytest.mark.parametrize(("option", "grade"), [("floor", 1), ("paper", 2)])
def test_code_1_9_by_the_option(release: Path, option: str, grade: int) -> None:
    study = read_most(release, code_1_9=option)  # type: ignore[arg-type]
    assert knee(study, "MB00004", "right")["kl"] == grade
    assert knee(study, "MB00004", "right")["kl_raw"] == "1.9"
    assert knee(study, "MB00004", "left")["jsn_m"] == grade
    done = {"floor": "floored", "paper": "rounded half to even"}[option]
    assert study.counted[f"cells with code 1.9: {done}"] == 2


def test_codes_are_counted(release: Path) -> None:
    counted = read_most(release).counted
    assert {key: n for key, n in counted.items() if key.startswith("cells")} == {
        "cells with code 1.9: no grade": 2,
        "cells with code 4: no grade": 1,
        "cells with code 5: no grade": 1,
        "cells with code 8: no grade": 21,
        "cells with code 9: no grade": 8,
        **{f"cells with code {letter}: no grade": 1 for letter in "PSXZ"},
    }
    assert counted["knees replaced by that visit (code 8)"] == 2
    assert counted["films of view PA05: not used"] == 2
    assert counted["films of view PA15: not used"] == 1


def test_other_view(release: Path) -> None:
    study = read_most(release, view="PA05")
    assert set(study.knees["subject_id"]) == {"MB00001", "MB00008"}
    assert study.knees["image_path"].str.contains("/PA05/").all()
    assert study.counted["films of view PA10: not used"] == 12


def test_films_without_a_reading_are_listed(release: Path) -> None:
    study = read_most(release)
    assert study.unmatched_films == (
        "films/MB00001_A1B2/V3/PA10/IM1",
        "films/MX99999_A1B2/V0BASE/PA10/IM1",
    )
    assert study.unmatched_rows == (
        "MOSTV01235XRAY.txt, row 8: right knee at 0 months",
        "MOSTV01235XRAY.txt, row 9: right knee at 0 months",
        "MOSTV01235XRAY.txt, row 8: left knee at 0 months",
    )


def test_second_film_of_the_view_is_counted(release: Path) -> None:
    (release / "films/MB00001_A1B2/V0BASE/PA10/IM2").write_bytes(b"")
    study = read_most(release)
    assert knee(study, "MB00001", "left")["image_path"].endswith("IM1")
    assert study.counted["further films of view PA10 at the same visit: not used"] == 1


def test_list_that_names_films_that_are_not_there(release: Path) -> None:
    (release / "films" / "MOST_names.csv").write_text(
        "MB00001_A1B2/V0BASE/PA10/IM1\nMB00007_A1B2/V0BASE/PA10/IM1\n"
    )
    notes = " ".join(read_most(release).notes)
    assert "MOST_names.csv lists films that are not there: 1 (row 2)." in notes
    assert "MB00007" not in notes


def test_person(release: Path) -> None:
    study = read_most(release)
    row = knee(study, "MB00001", "right", 15)
    assert (row["sex"], row["age"], row["bmi"], row["site"]) == ("female", 62.25, 32.5, "1")
    row = knee(study, "MB00001", "left", 84)
    assert row["age"] == 68
    assert row["bmi"] is pd.NA
    row = knee(study, "MB00002", "left")
    assert (row["sex"], row["age"], row["site"]) == ("male", 70, "2")
    assert row["bmi"] is pd.NA
    assert knee(study, "MB0000", "right")["age"] is pd.NA
    assert any("mostv2enroll" in note for note in study.notes)


def test_without_the_other_tables(release: Path) -> None:
    for path in (release / "data").glob("[mM]*"):
        if "XRAY" not in path.name:
            path.unlink()
    study = read_most(release)
    assert len(study.knees) == 7
    assert "replaced by a prosthesis" not in steps(study)
    assert steps(study)["a grade missing: code 8 (not readable)"] == 3
    assert any("mostoutcomes" in note for note in study.notes)
    assert any("mostv0enroll" in note for note in study.notes)
    assert read_enrolment(list_tables(release))[0].empty


@pytest.mark.parametrize(
    ("index", "n_replaced"), [("1", 2), ("2", 2), ("3", 1), ("5", 0), ("0", 0)]
)
def test_code_8_is_a_prosthesis_from_the_visit_that_is_named(
    release: Path, index: str, n_replaced: int
) -> None:
    (release / "data" / "mostoutcomes.txt").write_text(
        f"MOSTID\tV99ELKRINDEX\tV99ERKRINDEX\nMB00002\t{index}\t\n"
    )
    study = read_most(release)
    assert steps(study).get("replaced by a prosthesis", 0) == n_replaced
    assert steps(study)["a grade missing: code 8 (not readable)"] == 3 - n_replaced


def test_sas_twin_gives_the_same_rows(tmp_path: Path) -> None:
    text, sas = tmp_path / "text", tmp_path / "sas"
    path = write_readings(text / "MOSTV01235XRAY.txt")
    cells = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    ids = cells.pop("mostid") if "mostid" in cells else cells.pop("MOSTID")
    numbers = cells.apply(pd.to_numeric, errors="coerce").astype(float)
    sas.mkdir()
    frame = numbers.assign(MOSTID=ids)
    pyreadstat.write_xport(frame, sas / "mostv01235xray.xpt", file_format_version=8)
    from_text = read_readings(list_tables(text), code_1_9="floor").table
    from_sas = read_readings(list_tables(sas), code_1_9="floor").table
    tasks = ["subject_id", "visit_months", "side", *TASKS]
    pd.testing.assert_frame_equal(from_text[tasks], from_sas[tasks], check_dtype=False)
    assert from_sas["kl_raw"].dropna().tolist().count("1.9") == 1


def test_older_tables_are_passed_over_or_named(release: Path) -> None:
    old = {"MB00001": {"V0XR": "4 3 3 3 3 3 3"}}
    write_readings(release / "old" / "V0123XRAY.txt", old, visits="0123")
    write_readings(release / "old" / "V012XRAY.txt", old, visits="012")
    study = read_most(release)
    assert knee(study, "MB00001", "right")["kl"] == 2
    superseded = [note for note in study.notes if "is superseded by MOSTV01235XRAY.txt" in note]
    assert len(superseded) == 2
    (release / "data" / "MOSTV01235XRAY.txt").unlink()
    study = read_most(release)
    assert knee(study, "MB00001", "right")["kl"] == 4
    assert any(note.startswith("V0123XRAY.txt is an older table") for note in study.notes)


def test_twin_of_the_table_is_named(release: Path) -> None:
    write_readings(release / "data" / "copy" / "mostv01235xray.txt")
    notes = read_most(release).notes
    twice = "Present twice, in two formats or places, and not read: copy/mostv01235xray.txt."
    assert twice.replace("copy", "data/copy") in notes


def test_numbers_of_the_enrolment(release: Path) -> None:
    path = release / "data" / "MOSTV0ENROLL.txt"
    text = path.read_text()
    path.write_text(text.replace("\t61\t", "\tX\t"))
    assert pd.isna(knee(read_most(release), "MB00001", "right")["age"])
    path.write_text(text.replace("\t31.5", "\t31,5"))
    error = error_of(release)
    assert error.code == "table.value-invalid"
    assert error.message.startswith("MOSTV0ENROLL.txt, row 2, column V0BMI: expected a number")
    path.write_text(f"{text}MB00001\t62\t2\t1\t1\t31.5\n")
    assert error_of(release).code == "table.key-duplicate"
    path.write_text(f"{text}{text.splitlines()[1]}\n")
    assert knee(read_most(release), "MB00001", "right")["bmi"] == 31.5


def test_folder_of_another_study(tmp_path: Path) -> None:
    assert error_of(tmp_path).code == "cohort.layout-unknown"
    (tmp_path / "kxr_sq_bu00.txt").write_text("ID|SIDE\n1|1\n")
    error = error_of(tmp_path)
    assert "kxr_sq_bu00.txt" in error.message
    assert "cohort oai" in error.hint
    assert error_of(tmp_path / "absent").code == "cohort.layout-unknown"


def test_column_that_is_not_there(release: Path) -> None:
    write_readings(release / "data" / "MOSTV01235XRAY.txt", without="V3XLJSM")
    error = error_of(release)
    assert error.code == "table.column-missing"
    assert "V3XLJSM" in error.message


def test_participant_in_two_rows(release: Path) -> None:
    path = release / "data" / "MOSTV01235XRAY.txt"
    lines = path.read_bytes().split(b"\r\n")
    path.write_bytes(b"\r\n".join([*lines[:-1], lines[1], b""]))
    error = error_of(release)
    assert error.code == "table.key-duplicate"
    assert f"rows 2 and {len(READINGS) + 2}" in error.message
    assert "MB00001" not in str(error)


def test_id_mangled_by_a_spreadsheet(release: Path) -> None:
    write_readings(release / "data" / "MOSTV01235XRAY.txt", {**READINGS, "9.0E+06": {}})
    error = error_of(release)
    assert error.code == "table.value-invalid"
    assert f"row {len(READINGS) + 2}, column MOSTID" in error.message


def test_no_film_at_all(tmp_path: Path) -> None:
    write_readings(tmp_path / "MOSTV01235XRAY.txt")
    error = error_of(tmp_path)
    assert error.code == "table.empty"
    assert "no film found: 10" in error.message


def test_crops_in_the_place_of_films(tmp_path: Path) -> None:
    write_readings(tmp_path / "MOSTV01235XRAY.txt")
    crops = tmp_path / "MOST_OAI_FULL_0_2"
    crops.mkdir()
    for name in ("MB00001_00_x_R", "MB00001_84_L", "MB00007_60_L", "9000001_00_L"):
        (crops / f"{name}.png").write_bytes(b"")
    table = read_reference_crops(tmp_path).table
    study = read_most(tmp_path, crops=table)
    assert len(study.knees) == 2
    row = knee(study, "MB00001", "right")
    assert row["image_path"] == "MOST_OAI_FULL_0_2/MB00001_00_x_R.png"
    assert (row["kl"], row["spacing_mm"], row["spacing_source"]) == (2, 0.2, "table")
    assert steps(study)["no crop found"] == 8
    assert study.flow[-1].left == 2
    assert study.unmatched_films == ("MOST_OAI_FULL_0_2/MB00007_60_L.png",)


def test_table_is_in_normal_form(release: Path) -> None:
    table = read_most(release, mode="full").knees
    pd.testing.assert_frame_equal(check_knee_table(table), table)
