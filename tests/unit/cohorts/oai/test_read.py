"""The OAI release, written here by hand: one row per oddity, with its films and indexes."""

import tarfile
from pathlib import Path

import pandas as pd
import pytest

from kneegrade.cohorts.oai.read import read_oai
from kneegrade.cohorts.releases.flow import StudyKnees
from kneegrade.cohorts.releases.reference_crops import read_reference_crops
from kneegrade.cohorts.tables.schema import check_knee_table
from kneegrade.errors import TableError

BARE = "XRKL XROSFL XROSFM XROSTL XROSTM XRJSL XRJSM XRSCFL XRSCFM XRSCTL XRSCTM XRATTL XRATTM"
TASKS = ["kl", "fo_l", "fo_m", "to_l", "to_m", "jsn_l", "jsn_m"]
TASKS += ["scl_fl", "scl_fm", "scl_tl", "scl_tm", "att_tl", "att_tm"]
ZEROS = "0 0 0 0 0 0 0 0 0 0 0 0 0"
ONLY_KL = "0 . . . . 0 0 . . . . . ."
NOTHING = ". . . . . . . . . . . . ."
NO_ATTRITION = "2 1 1 1 1 1 1 0 0 0 0 . 0"

BASELINE = [  # ID, side, project, barcode, grades in the order of BARE
    ("9000001", 1, 15, "016601000001", "2 1 2 3 1 0 1 1 0 1 2 0 1"),
    ("9000001", 2, 15, "016601000001", ZEROS),
    ("9000001", 1, 37, "016601000001", "2 1 2 3 1 0 1 1 0 1 2 0 1"),  # equal
    ("9000001", 2, 37, "016601000001", "1 0 0 0 0 0 0 0 0 0 0 0 0"),  # unequal
    ("9000001", 2, 42, "016601000001", "3 0 0 0 0 0 0 0 0 0 0 0 0"),
    ("9000002", 1, 15, "16601000002", ONLY_KL),  # 37 has the rest; 11 digits
    ("9000002", 1, 37, "16601000002", "0 0 1 0 0 0 0 0 0 0 0 0 0"),
    ("9000002", 2, 37, "016601000002", "1 0 1 0 0 0 0 0 0 0 0 0 0"),
    ("9000002", 2, 42, "016601000002", "2 0 1 0 0 0 0 0 0 0 0 0 0"),  # last
    ("9000003", 1, 15, " ", "3 0 0 0 0 1.6 2 0 0 0 0 0 0"),  # no barcode
    ("9000003", 2, 15, "T", "3 0 0 0 0 1.4 2 0 0 0 0 0 0"),
    ("9000004", 1, 15, "016601000005", ZEROS),  # off by one from the film's
    ("9000004", 2, 15, "1000004", NO_ATTRITION),  # 7 digits; not complete
    ("9000005", 1, 15, "016601000055", ZEROS),  # listed, not there
    ("9000006", 1, 15, "016601000006", ZEROS),  # a hand film only
    ("9000007", 1, 15, "016601000007", NOTHING),  # replaced before
    ("9000007", 2, 15, "016601000007", NOTHING),  # not read
    ("9000008", 1, 15, "016601000008", "5 0 0 0 0 0 0 0 0 0 0 0 0"),  # off the scale
    ("9000009", 1, 15, "016601000099", ZEROS),  # no film of any kind
]
MONTH_48 = [
    ("9000001", 1, 15, "016601000041", "3 1 2 3 1 1.2 1 1 0 1 2 0 1"),
    ("9000001", 1, 37, "016601000041", ". 1 2 3 1 1.2 1 1 0 1 2 0 1"),
    ("9000003", 2, 15, "016601000043", NOTHING),  # replaced a year before
    ("9000003", 1, 15, "016601000043", "2 . . . . 1 1 . . . . . ."),
]
REREADS = [("9000001", 1, 15, "016601000001", "3 1 2 3 1 0 1 1 0 1 2 0 1")]

FILMS = {  # relative to the folder; what contents.csv calls it
    "0.C.2/9000001/20041102/01000001/001": "Bilateral PA Fixed Flexion Knee",
    "0.C.2/9000002/20041102/01000002/001": "Bilateral PA Fixed Flexion Knee ",
    "0.C.2/9000003/20041102/01000003/001": "bilateral pa fixed flexion knee",
    "0.C.2/9000003/20041102/01000013/001": "PA Bilateral Hand",
    "0.C.2/9000004/20041102/01000004/001": "Bilateral PA Fixed Flexion Knee",
    "0.C.2/9000004/20041102/01000014/001": "Bilateral PA Fixed Flexion Knee",
    "0.C.2/9000006/20041102/01000006/001": "PA Right Hand",
    "0.C.2/9000007/20041102/01000007/001": "Bilateral PA Fixed Flexion Knee",
    "0.C.2/9000008/20041102/01000008/001": "Bilateral PA Fixed Flexion Knee",
    "48m/48m/6.C.1/9000001/20081102/01000041/001": "Bilateral PA Fixed Flexion Knee",
    "48m/48m/6.C.1/9000003/20081102/01000043.tar.gz": "Bilateral PA Fixed Flexion Knee",
    "48m/48m/6.C.1/9000010/20081102/01000050/001": "Bilateral PA Fixed Flexion Knee",
}


def write_readings(path: Path, rows: list[tuple[str, int, int, str, str]], visit: str) -> None:
    names = [f"V{visit}{name}" for name in BARE.split(" ")]
    lines = ["|".join(["ID", "SIDE", "READPRJ", "VERSION", *names, f"V{visit}BARCDBU"])]
    for subject, side, project, barcode, grades in rows:
        cells = [" " if grade == "." else grade for grade in grades.split(" ")]
        lines.append("|".join([subject, str(side), str(project), "0.6", *cells, barcode]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_films(folder: Path) -> None:
    indexes: dict[str, list[str]] = {}
    for name, description in FILMS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".gz"):
            with tarfile.open(path, "w:gz") as archive:
                archive.add(__file__, arcname="001")
        else:
            path.write_bytes(b"")
        release, subject, date, series = name.removesuffix("/001").split("/")[-4:]
        series = series.removesuffix(".tar.gz")
        line = (
            f"{release}/{subject}//{date}/{series},{subject},{date},{series},X^KNEE,{description}"
        )
        indexes.setdefault(name.partition(f"/{subject}")[0], []).append(line)
    indexes["0.C.2"].append(
        "0.C.2/9000005/20041102/01000055,9000005,20041102,016601000055,X,"
        "Bilateral PA Fixed Flexion Knee"
    )
    header = "Folder,ParticipantID,StudyDate,Barcode,StudyDescription,SeriesDescription"
    for release, lines in indexes.items():
        (folder / release / "contents.csv").write_text("\n".join([header, *lines]) + "\n")


def write_clinic(folder: Path) -> None:
    (folder / "enrollees.txt").write_text(
        "ID|P02SEX|P02RACE|V00SITE|V00COHORT\n9000001|2: Female|1: White or Caucasian|C|1\n"
    )
    (folder / "AllClinical06.txt").write_text("ID|V06AGE|V06BMI\n9000001|65|31.5\n")
    (folder / "outcomes99.txt").write_text(
        "id|V99ERKBLRP|V99ELKBLRP|V99ERKDAYS|V99ELKDAYS\n"
        "9000007|1: Yes|0: No| | \n9000003|0|0| |1095\n9000001|0|0|3000|\n"
    )
    (folder / "XRay00.txt").write_text(
        "ID|V00XRBARCD|V00EXAMTP|V00XRSIDE|V00ACCEPT|V00ALIGN|V00MOTION\n"
        "9000001|16601000001|Bilateral PA Fixed Flexion Knee|3|NA|X|X\n"
        "9000002|16601000077|Bilateral PA Fixed Flexion Knee|3|Y|X| \n"
    )
    (folder / "kxr_qjsw_duryea06.txt").write_text(
        "ID|SIDE|READPRJ|V06MCMJSW|V06JSW175\n9000001|1|16|4.1|5.25\n"
    )


@pytest.fixture
def release(tmp_path: Path) -> Path:
    write_readings(tmp_path / "tables" / "KXR_SQ_BU00.txt", BASELINE, "00")
    write_readings(tmp_path / "tables" / "kxr_sq_bu06.txt", MONTH_48, "06")
    write_readings(tmp_path / "tables" / "kxr_sq_rel_bu00.txt", REREADS, "00")
    write_films(tmp_path)
    write_clinic(tmp_path / "tables")
    return tmp_path


def steps(study: StudyKnees) -> dict[str, int]:
    return {step.reason: step.dropped for step in study.flow}


def keys(study: StudyKnees) -> list[tuple[str, int, str, str]]:
    names = ["subject_id", "visit_months", "side", "reading"]
    return sorted(study.knees[names].itertuples(index=False, name=None))


def knee(
    study: StudyKnees, subject: str, side: str, months: int = 0, reading: str | None = None
) -> pd.Series:
    table = study.knees
    at = (table["subject_id"] == subject) & (table["side"] == side)
    at &= table["visit_months"] == months
    found = table[at & (table["reading"] == reading) if reading else at]
    assert len(found) == 1
    return found.iloc[0]


def test_paper_mode_drops_each_row_for_its_reason(release: Path) -> None:
    study = read_oai(release)
    assert steps(study) == {
        "replaced by a prosthesis": 2,
        "no grade at all": 1,
        "the KL grade missing": 2,
        "a grade of an osteophyte missing": 2,
        "a grade of attrition missing": 1,
        "project 37: another project's reading of the knee was taken": 2,
        "project 42: another project's reading of the knee was taken": 2,
        "no film found: only one of another exam": 1,
        "no film found: an index lists the film, but it is missing": 1,
        "no film found: no film of this barcode": 1,
    }
    assert keys(study) == [
        ("9000001", 0, "left", "15"),
        ("9000001", 0, "right", "15"),
        ("9000001", 48, "right", "15"),
        ("9000002", 0, "left", "37"),
        ("9000002", 0, "right", "37"),
        ("9000003", 0, "left", "15"),
        ("9000003", 0, "right", "15"),
        ("9000004", 0, "right", "15"),
    ]


@pytest.mark.parametrize("place", range(13))
def test_paper_mode_needs_each_of_the_thirteen(release: Path, place: int) -> None:
    """Sclerosis and attrition too, though the paper does not grade them."""
    grades = ZEROS.split(" ")
    grades[place] = "."
    row = ("9000001", 1, 15, "016601000001", " ".join(grades))
    write_readings(release / "tables" / "KXR_SQ_BU00.txt", [row, *BASELINE[1:]], "00")
    assert ("9000001", 0, "right", "37") in keys(read_oai(release))
    write_readings(release / "tables" / "KXR_SQ_BU00.txt", [row, BASELINE[1]], "00")
    assert ("9000001", 0, "left", "15") in keys(read_oai(release))
    assert ("9000001", 0, "right", "15") not in keys(read_oai(release))
    full = knee(read_oai(release, mode="full"), "9000001", "right", reading="15")
    assert full[TASKS].index[full[TASKS].isna()].tolist() == [TASKS[place]]


@pytest.mark.parametrize("mode", ["paper", "full"])
def test_graded_knee_that_is_replaced_by_the_nominal_date_stays(release: Path, mode: str) -> None:
    """The visit may have been before its nominal date: the film was read."""
    path = release / "tables" / "outcomes99.txt"
    path.write_text(path.read_text().replace("9000001|0|0|3000|", "9000001|0|0|1460|"))
    study = read_oai(release, mode=mode)  # type: ignore[arg-type]
    assert knee(study, "9000001", "right", 48)["kl"] == 3
    assert steps(study)["replaced by a prosthesis"] == 2
    assert study.counted["readings of knees replaced by the nominal date of the visit"] == 4


def test_full_mode_keeps_what_has_any_grade(release: Path) -> None:
    study = read_oai(release, mode="full")
    assert steps(study) == {
        "replaced by a prosthesis": 2,
        "no grade at all": 1,
        "project 37: another project's reading of the knee was taken": 4,
        "project 42: another project's reading of the knee was taken": 2,
        "no film found: only one of another exam": 1,
        "no film found: an index lists the film, but it is missing": 1,
        "no film found: no film of this barcode": 1,
    }
    row = knee(study, "9000002", "right")
    assert row["reading"] == "15"
    assert row[["kl", "jsn_l", "jsn_m"]].tolist() == [0, 0, 0]
    assert row[["fo_l", "fo_m", "to_l", "to_m", "scl_fl", "att_tl"]].isna().all()
    row = knee(study, "9000008", "right")
    assert row["kl"] is pd.NA
    assert row["kl_raw"] == "5"
    assert knee(study, "9000004", "left")["att_tl"] is pd.NA


def test_rereads_are_a_reading_of_their_own_in_full_mode(release: Path) -> None:
    study = read_oai(release, mode="full")
    assert knee(study, "9000001", "right", reading="15")["kl"] == 2
    again = knee(study, "9000001", "right", reading="rel-15")
    assert again["kl"] == 3
    assert again["image_path"] == "0.C.2/9000001/20041102/01000001/001"
    assert len(study.knees) == 12
    paper = read_oai(release)
    assert not paper.knees["reading"].str.startswith("rel").any()
    assert any("re-reads" in note for note in paper.notes)


@pytest.mark.parametrize(("mode", "n_read"), [("paper", 23), ("full", 24)])
def test_flow_adds_up(release: Path, mode: str, n_read: int) -> None:
    study = read_oai(release, mode=mode)  # type: ignore[arg-type]
    left = n_read
    for step in study.flow:
        assert step.dropped > 0
        left -= step.dropped
        assert step.left == left
    assert left == len(study.knees)
    assert study.n_read == n_read


def test_grades_and_film_of_a_knee(release: Path) -> None:
    row = knee(read_oai(release), "9000001", "right")
    assert row[TASKS].tolist() == [2, 1, 2, 3, 1, 0, 1, 1, 0, 1, 2, 0, 1]
    assert row["image_path"] == "0.C.2/9000001/20041102/01000001/001"
    assert (row["cohort"], row["film_match"]) == ("oai", "barcode")


@pytest.mark.parametrize(
    ("jsn", "right", "left", "done"),
    [("floor", 1, 1, "floored"), ("paper", 2, 1, "rounded half to even")],
)
def test_decimals_of_narrowing(release: Path, jsn: str, right: int, left: int, done: str) -> None:
    study = read_oai(release, jsn=jsn)  # type: ignore[arg-type]
    row = knee(study, "9000003", "right")
    assert (row["jsn_l"], row["jsn_l_raw"]) == (right, "1.6")
    row = knee(study, "9000003", "left")
    assert (row["jsn_l"], row["jsn_l_raw"]) == (left, "1.4")
    assert knee(study, "9000001", "right")["jsn_l_raw"] is pd.NA
    assert study.counted[f"JSN decimals {done}"] == 4


def test_projects_are_compared(release: Path) -> None:
    counted = read_oai(release).counted
    assert {what: n for what, n in counted.items() if what.startswith("knees read by")} == {
        "knees read by projects 15 and 37: equal": 1,
        "knees read by projects 15 and 37: equal, but one lacks grades of the other": 2,
        "knees read by projects 15 and 37: unequal": 1,
        "knees read by projects 15 and 42: unequal": 1,
        "knees read by projects 37 and 42: unequal": 2,
        "knees read by several projects, osteophytes by one only": 1,
    }
    assert counted["cells with code 5: no grade"] == 1
    assert counted["readings of knees replaced by the nominal date of the visit"] == 2


def test_films_by_person_and_visit(release: Path) -> None:
    study = read_oai(release)
    for side in ("right", "left"):  # no barcode, or T
        row = knee(study, "9000003", side)
        assert row["image_path"] == "0.C.2/9000003/20041102/01000003/001"
        assert row["film_match"] == "visit"
    row = knee(study, "9000004", "right")  # two films: the nearer number
    assert row["image_path"] == "0.C.2/9000004/20041102/01000004/001"
    assert study.counted["films found by person and visit: no barcode"] == 2
    assert study.counted["films found by person and visit: no film of this barcode"] == 1
    assert any("The barcodes of 3 readings find no film" in note for note in study.notes)


@pytest.mark.parametrize(
    ("right", "left", "series"),
    [
        ("016601000013", "1000004", "01000014"),  # the nearer number, though 04 is the other knee's
        (" ", "1000014", "01000014"),  # the other knee's film, though 04 is lower
        (" ", " ", "01000004"),
    ],
)
def test_which_of_two_films_of_a_visit(release: Path, right: str, left: str, series: str) -> None:
    path = release / "tables" / "KXR_SQ_BU00.txt"
    text = path.read_text().replace("|016601000005\n", f"|{right}\n")
    path.write_text(text.replace("|1000004\n", f"|{left}\n"))
    row = knee(read_oai(release), "9000004", "right")
    assert row["image_path"] == f"0.C.2/9000004/20041102/{series}/001"
    assert row["film_match"] == "visit"


def test_a_barcode_of_another_person_is_not_followed(release: Path) -> None:
    path = release / "tables" / "kxr_sq_bu06.txt"
    path.write_text(path.read_text().replace("016601000041", "016601000043"))
    study = read_oai(release)
    row = knee(study, "9000001", "right", 48)
    assert row["image_path"] == "48m/48m/6.C.1/9000001/20081102/01000041/001"
    what = (
        "films found by person and visit: the barcode is of another person's film or another exam"
    )
    assert study.counted[what] == 1


def test_packed_film(release: Path) -> None:
    row = knee(read_oai(release, mode="full"), "9000003", "right", 48)
    assert row["image_path"] == "48m/48m/6.C.1/9000003/20081102/01000043.tar.gz::001"


def test_without_an_index_only_barcodes_find_films(release: Path) -> None:
    for path in release.rglob("contents.csv"):
        path.unlink()
    study = read_oai(release)
    assert set(study.knees["film_match"]) == {"barcode"}
    assert steps(study)["no film found: no barcode"] == 2
    assert knee(study, "9000006", "right")["image_path"].endswith("01000006/001")


def test_both_sides_without_a_partner_are_listed(release: Path) -> None:
    study = read_oai(release)
    assert study.unmatched_films == (
        "0.C.2/9000004/20041102/01000014/001",
        "48m/48m/6.C.1/9000010/20081102/01000050/001",
    )
    assert study.unmatched_rows == (
        "KXR_SQ_BU00.txt, row 15",
        "KXR_SQ_BU00.txt, row 16",
        "KXR_SQ_BU00.txt, row 20",
    )
    assert study.counted["films that an index lists but that are missing"] == 1
    assert "0.C.2/contents.csv lists films that are not there: 1 (row 11)." in study.notes
    assert study.counted["films of other exams: not used"] == 2


def test_film_in_the_release_of_another_visit(release: Path) -> None:
    path = release / "tables" / "kxr_sq_bu06.txt"
    path.write_text(path.read_text().replace("016601000041", "016601000001"))
    study = read_oai(release)
    assert knee(study, "9000001", "right", 48)["image_path"].startswith("0.C.2/")
    assert study.counted["films that lie in the release of another visit"] == 1


def test_person_and_widths(release: Path) -> None:
    row = knee(read_oai(release), "9000001", "right", 48)
    names = ["sex", "race", "site", "age", "bmi", "oai_subcohort", "replacement_days"]
    assert row[names].tolist() == ["female", "White", "C", 65, 31.5, "progression", 3000]
    assert row[["jsw_medial_min_mm", "jsw_medial_175_mm"]].tolist() == [4.1, 5.25]
    assert knee(read_oai(release), "9000003", "left")["sex"] is pd.NA


def test_faults_of_the_film_that_is_used_only(release: Path) -> None:
    study = read_oai(release)
    for side in ("right", "left"):
        row = knee(study, "9000001", side)
        assert (row["film_accept"], row["film_faults"]) == ("NA", "ALIGN;MOTION")
        assert knee(study, "9000002", side)[["film_accept", "film_faults"]].isna().all()
    assert study.counted["X-ray metadata of another film than the one used: left out"] == 2


def test_without_the_clinical_tables(release: Path) -> None:
    for path in (release / "tables").glob("*"):
        if "sq_" not in path.name.lower():
            path.unlink()
    study = read_oai(release)
    assert len(study.knees) == 8
    assert steps(study)["no grade at all"] == 3
    assert study.knees["sex"].isna().all()
    assert any(note.startswith("Enrolment: no table") for note in study.notes)


def test_rows_that_repeat_and_rows_at_no_visit(release: Path) -> None:
    names = "\t".join(name.lower() for name in BARE.split(" "))
    zeros = "\t".join(ZEROS.split(" "))
    lines = [
        f"{visit}\t9000001\t1\t37\t16601000001\t{zeros}" for visit in ("V03", "V03", "V99", "V00")
    ]
    (release / "tables" / "oai_kxrsemiquant01.txt").write_text(
        "\n".join([f"visit\tsrc_subject_id\tside\treadprj\tbarcode\t{names}", *lines])
    )
    study = read_oai(release)
    assert steps(study)["the same row again"] == 1
    assert steps(study)["at none of the study's visits"] == 1
    assert study.n_read == 23 + 3
    assert ("9000001", 24, "right", "37") in keys(study)


def test_other_project(release: Path) -> None:
    path = release / "tables" / "kxr_sq_bu06.txt"
    path.write_text(path.read_text().replace("9000001|1|37|0.6| ", "9000001|1|63|0.6|4"))
    study = read_oai(release)
    assert knee(study, "9000001", "right", 48)["reading"] == "15"
    assert any("1 rows are of reading projects" in note and "63" in note for note in study.notes)


def test_no_film_at_all(tmp_path: Path) -> None:
    write_readings(tmp_path / "kxr_sq_bu00.txt", BASELINE, "00")
    with pytest.raises(TableError) as caught:
        read_oai(tmp_path)
    assert caught.value.code == "table.empty"
    assert "no film found: no film of this barcode: 8" in caught.value.message
    assert "90000" not in str(caught.value)


def test_crops_in_the_place_of_films(release: Path) -> None:
    crops = release / "MOST_OAI_FULL_0_2"
    crops.mkdir()
    for name in ("9000001_00_x_R", "9000006_00_R", "9000001_24_L", "M90000_00_L"):
        (crops / f"{name}.png").write_bytes(b"")
    study = read_oai(release, crops=read_reference_crops(release).table)
    assert keys(study) == [("9000001", 0, "right", "15"), ("9000006", 0, "right", "15")]
    row = knee(study, "9000001", "right")
    assert row["image_path"] == "MOST_OAI_FULL_0_2/9000001_00_x_R.png"
    assert (row["kl"], row["spacing_mm"], row["film_accept"]) == (2, 0.2, "NA")
    assert steps(study)["no crop found"] == 9
    assert study.unmatched_films == ("MOST_OAI_FULL_0_2/9000001_24_L.png",)


def test_table_is_in_normal_form(release: Path) -> None:
    table = read_oai(release, mode="full").knees
    pd.testing.assert_frame_equal(check_knee_table(table), table)
    assert not {"file", "row", "is_replaced", "used_barcode"} & set(table.columns)
