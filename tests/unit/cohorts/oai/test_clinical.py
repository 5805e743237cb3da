"""The OAI's clinical, outcome and x-ray tables, written here by hand, one row per oddity."""

from pathlib import Path

import pandas as pd
import pyreadstat
import pytest

from kneegrade.cohorts.oai.clinical import COLUMNS, OaiClinical, read_oai_clinical
from kneegrade.cohorts.releases.tables import list_tables
from kneegrade.errors import TableError

FILES = {
    # Labels and bare codes by turns; a race that was not asked; CRLF; a lower-case file name.
    "Datasets_ASCII/enrollees.txt": (
        "ID|P02SEX|P02RACE|P02HISP|V00SITE|V00COHORT\r\n"
        "9000001|1: Male|1: White or Caucasian|0: No|A|1: Progression\r\n"
        "9000002|2|.M: Missing|0: No|E|3\r\n"
        "9000003|2: Female|2: Black or African American|0: No|C|2: Incidence\r\n"
    ),
    "Datasets_ASCII/AllClinical00.txt": (
        "ID|V00AGE|P01BMI|V00NOTE\n"
        '9000001|61|29.8|the "first"\n'
        "9000002|45|.A: Not Expected| \n"
        "9000003|70|22|a | bar\n"
    ).replace("a | bar", "caf\xe9"),
    "Datasets_ASCII/AllClinical01.txt": (
        "ID|V01AGE|V01BMI\n9000001|62| \n9000002|.F: Not done, phone contact|31.5\n"
    ),
    # The id column is in lower case here.
    "Datasets_ASCII/OUTCOMES99.txt": (
        "id|V99ERKBLRP|V99ELKBLRP|V99ERKDAYS|V99ELKDAYS|V99ERKRPCF\n"
        "9000001|0: No|0: No|401| |3: Replacement adjudicated, confirmed\n"
        "9000002|0: No|1: Yes| | | \n"
        "9000003|0: No|0: No| | | \n"
    ),
    "X-Ray MetaAnalysis_ASCII/XRay00.txt": (
        "ID|V00XRBARCD|V00EXAMTP|V00XRDATE|V00XRSIDE|V00ACCEPT|V00ALIGN|V00CENTER|V00DEPICT"
        "|V00EXPOSE|V00MOTION|V00POSITN\n"
        "9000001|16601000001|Bilateral PA Fixed Flexion Knee|11/02/2004|3|NA|X| | | |X| \n"
        "9000001|16601000002|bilateral pa fixed flexion knee |11/02/2004|3|Y| | | | | | \n"
        "9000001|16601000003|PA Bilateral Hand|11/02/2004|3|Y|X| | | | | \n"
        "9000002|100004|PA Fixed Flexion Right Knee|01/12/2005|1|YD| |X| | | | \n"
        "9000002|16601000005|PA Fixed Flexion Left Knee|01/12/2005| |NR| | |.|X| | \n"
        "9000003| | | | |.A: Not Expected| | | | | | \n"
    ),
    "kxr_qjsw_duryea00.txt": (
        "ID|side|READPRJ|VERSION|V00MCMJSW|V00JSW175|V00LJSW850|V00CFWDTH|V00IMPIXSZ|V00MJSWBB\n"
        "9000001|1: Right|16|0.9|4.1|5.25|6.5|78.1|.17|0: No\n"
        "9000001|1: Right|38|0.9|9.9|9.9|9.9|9.9|.2|0: No\n"
        "9000001|2: Left|16|0.9|.M: Missing|.|7.5|78.4|.17|1: Yes\n"
    ),
    "kxr_qjsw_rel_duryea00.txt": "ID|SIDE|V00MCMJSW\n9000001|1|1.1\n",
}


def lay_out(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    return folder


def knee(clinical: OaiClinical, subject: str, months: int, side: str) -> dict[str, object]:
    rows = clinical.rows
    found = rows[
        (rows["subject_id"] == subject) & (rows["visit_months"] == months) & (rows["side"] == side)
    ]
    (values,) = found.to_dict("records")
    return {name: None if pd.isna(value) else value for name, value in values.items()}


@pytest.fixture
def ascii_release(tmp_path: Path) -> OaiClinical:
    return read_oai_clinical(list_tables(lay_out(tmp_path, FILES)))


def test_form(ascii_release: OaiClinical) -> None:
    rows = ascii_release.rows
    assert rows.dtypes.astype(str).to_dict() == {
        "subject_id": "string",
        "visit_months": "Int16",
        "side": "string",
        **COLUMNS,
    }
    assert len(rows) == 3 * 9 * 2
    assert not rows.duplicated(["subject_id", "visit_months", "side"]).any()
    assert [note.split(" months")[0] for note in ascii_release.notes] == [
        f"{title}: nothing at {visits}"
        for title, visits in (
            ("Clinic visits", "24, 36, 48, 72, 96"),
            ("X-ray metadata", "12, 24, 36, 48, 72, 96"),
            ("Joint space widths", "12, 24, 36, 48, 72, 96"),
        )
    ]


def test_people(ascii_release: OaiClinical) -> None:
    names = ("sex", "race", "site", "oai_subcohort")
    people = [
        tuple(knee(ascii_release, f"900000{number}", 48, "left")[name] for name in names)
        for number in (1, 2, 3)
    ]
    assert people == [
        ("male", "White", "A", "progression"),
        ("female", None, "E", "non-exposed control"),
        ("female", "Black or African American", "C", "incidence"),
    ]


@pytest.mark.parametrize(
    ("subject", "months", "age", "bmi"),
    [
        ("9000001", 0, 61, 29.8),
        ("9000001", 12, 62, None),  # not carried on from the baseline
        ("9000002", 0, 45, None),
        ("9000002", 12, None, 31.5),
        ("9000003", 0, 70, 22),
        ("9000003", 12, None, None),
        ("9000003", 96, None, None),
    ],
)
def test_age_and_bmi(
    ascii_release: OaiClinical, subject: str, months: int, age: object, bmi: object
) -> None:
    for side in ("right", "left"):
        found = knee(ascii_release, subject, months, side)
        assert (found["age"], found["bmi"]) == (age, bmi)


def test_replaced_knees(ascii_release: OaiClinical) -> None:
    days = {
        (subject, side): knee(ascii_release, subject, 12, side)["replacement_days"]
        for subject in ("9000001", "9000002", "9000003")
        for side in ("right", "left")
    }
    assert days.pop(("9000001", "right")) == 401
    assert days.pop(("9000002", "left")) == 0
    assert set(days.values()) == {None}
    assert ascii_release.counted["Knees replaced, at the baseline or later"] == 2


@pytest.mark.parametrize(
    ("subject", "side", "film"),
    [
        ("9000001", "right", ("016601000002", "Y", "")),
        ("9000001", "left", ("016601000002", "Y", "")),
        ("9000002", "right", ("016600100004", "YD", "CENTER")),
        ("9000002", "left", ("016601000005", "NR", "EXPOSE")),
        ("9000003", "right", (None, None, None)),
    ],
)
def test_film_quality(
    ascii_release: OaiClinical, subject: str, side: str, film: tuple[object, ...]
) -> None:
    found = knee(ascii_release, subject, 0, side)
    assert tuple(found[f"film_{name}"] for name in ("barcode", "accept", "faults")) == film
    assert knee(ascii_release, subject, 12, side)["film_accept"] is None


def test_film_quality_counts(ascii_release: OaiClinical) -> None:
    assert ascii_release.counted["X-ray metadata: rows of other films, or of no film"] == 2
    assert ascii_release.counted["X-ray metadata: further films of a knee at a visit"] == 2


def test_na_is_an_acceptance_and_faults_are_joined(tmp_path: Path) -> None:
    lines = FILES["X-Ray MetaAnalysis_ASCII/XRay00.txt"].splitlines(keepends=True)
    found = knee(
        read_oai_clinical(list_tables(lay_out(tmp_path, {"xray01.txt": lines[0] + lines[1]}))),
        "9000001",
        12,
        "left",
    )
    assert (found["film_accept"], found["film_faults"]) == ("NA", "ALIGN;MOTION")


def test_joint_space(ascii_release: OaiClinical) -> None:
    right = knee(ascii_release, "9000001", 0, "right")
    assert [right[name] for name in ("jsw_medial_min_mm", "jsw_medial_175_mm")] == [4.1, 5.25]
    assert [right[name] for name in ("jsw_lateral_850_mm", "jsw_lateral_900_mm")] == [6.5, None]
    assert [right[name] for name in ("femur_width_mm", "image_spacing_mm")] == [78.1, 0.17]
    left = knee(ascii_release, "9000001", 0, "left")
    assert [left[name] for name in ("jsw_medial_min_mm", "jsw_medial_175_mm")] == [0, None]
    counted = ascii_release.counted
    assert counted["Joint space widths: bone on bone, so 0"] == 1
    assert counted["Joint space widths: measured again by another project"] == 1


NDA = {
    "oai_enrollee01.txt": (
        "subjectkey\tsrc_subject_id\tvisit\tsex\trace\tsite\te_cohort\tageyears\n"
        "The NDAR GUID\tSubject ID\tVisit name\tSex at birth\tRace\tSite\tCohort\tAge\n"
        "NDAR_INVA1\t9000001\tV00\tM\tWhite\tA\t1\t61\n"
        "NDAR_INVA2\t9000002\tV00\tF\t\tE\t3\t45\n"
    ),
    "oai_oarisk01.txt": (
        "subjectkey\tsrc_subject_id\tinterview_age\tvisit\tbmi\n"
        "The NDAR GUID\tSubject ID\tAge in months\tVisit name\tBody mass index\n"
        "NDAR_INVA1\t9000001\t738\tV00\t29.8\n"
        "NDAR_INVA1\t9000001\t750\tV01\t-9\n"
        "NDAR_INVA1\t9000001\t750\tV99\t12\n"
        "NDAR_INVA2\t9000002\t540\tv00\t\n"
    ),
    "oai_outcome01.txt": (
        "subjectkey\tsrc_subject_id\tvisit\tlkdays\trkdays\tlkblrp\trkblrp\n"
        "The NDAR GUID\tSubject ID\tVisit\tDays\tDays\tBaseline\tBaseline\n"
        "NDAR_INVA1\t9000001\tV99\t\t401\t0\t0\n"
    ),
    "oai_xrmeta01.txt": (
        "subjectkey\tsrc_subject_id\tvisit\tside\texamtype\taccept\talign\txrqc_position\tbarcode\n"
        "The NDAR GUID\tSubject ID\tVisit\tSide\tType\tAccept\tAlign\tPosition\tBarcode\n"
        "NDAR_INVA1\t9000001\tV01\t3\tBilateral PA Fixed Flexion Knee\tNA\t\tX\t016601000001\n"
        "NDAR_INVA2\t9000002\tV00\t2\tPA Fixed Flexion Knee\tY\t\t\t016601000002\n"
        "NDAR_INVA2\t9000002\tV00\t0\tAP Pelvis\tY\tX\t\t016601000003\n"
    ),
    "oai_kxrquantjsw01.txt": (
        "subjectkey\tsrc_subject_id\tvisit\treadprj\tside\tmcmjsw\tjsw150\tmjswbb\n"
        "The NDAR GUID\tSubject ID\tVisit\tProject\tSide\tMinimum\tat .15\tBone on bone\n"
        "NDAR_INVA1\t9000001\tV01\t16\t1\t4.1\t5.5\t0\n"
        "NDAR_INVA1\t9000001\tV01\t16\t2\t\t\t1\n"
    ),
}


def test_nda_export(tmp_path: Path) -> None:
    clinical = read_oai_clinical(list_tables(lay_out(tmp_path, NDA)))
    assert all(" nothing at " in note for note in clinical.notes)
    baseline, year = (knee(clinical, "9000001", months, "right") for months in (0, 12))
    assert [baseline[n] for n in ("sex", "race", "site", "oai_subcohort")] == [
        *("male", "White", "A", "progression")
    ]
    assert [(v["age"], v["bmi"]) for v in (baseline, year)] == [(61.5, 29.8), (62.5, None)]
    assert year["replacement_days"] == 401
    assert [year[f"film_{n}"] for n in ("barcode", "accept", "faults")] == [
        *("016601000001", "NA", "POSITN")
    ]
    assert (year["jsw_medial_min_mm"], year["jsw_medial_150_mm"]) == (4.1, 5.5)
    assert knee(clinical, "9000001", 12, "left")["jsw_medial_min_mm"] == 0
    other = [knee(clinical, "9000002", 0, side) for side in ("right", "left")]
    assert [v["film_accept"] for v in other] == [None, "Y"]
    assert [v["sex"] for v in other] == ["female", "female"]


def test_sas(tmp_path: Path) -> None:
    people = pd.DataFrame(
        {"Id": ["9000001"], "P02SEX": [2.0], "P02RACE": [float("nan")], "V00SITE": ["B"]}
    )
    pyreadstat.write_xport(people, str(tmp_path / "ENROLLEES.xpt"), file_format_version=5)
    visits = pd.DataFrame({"ID": ["9000001"], "V06AGE": [66.0], "V06BMI": [24.6]})
    pyreadstat.write_xport(visits, str(tmp_path / "allclinical06.xpt"), file_format_version=5)
    clinical = read_oai_clinical(list_tables(tmp_path))
    found = knee(clinical, "9000001", 48, "left")
    assert [found[n] for n in ("sex", "race", "site", "age", "bmi")] == [
        "female",
        None,
        "B",
        66,
        24.6,
    ]


def test_text_goes_before_sas_and_that_is_noted(tmp_path: Path) -> None:
    people = pd.DataFrame({"ID": ["9000009"], "P02SEX": [2.0]})
    lay_out(tmp_path, FILES)
    pyreadstat.write_xport(people, str(tmp_path / "Enrollees.xpt"), file_format_version=5)
    clinical = read_oai_clinical(list_tables(tmp_path))
    twice = "Present twice, in two formats or places, and not read: Enrollees.xpt."
    assert clinical.notes[0] == twice
    assert "9000009" not in set(clinical.rows["subject_id"])


def test_nothing_there(tmp_path: Path) -> None:
    clinical = read_oai_clinical(list_tables(tmp_path))
    assert clinical.rows.empty
    assert list(clinical.rows.columns)[3:] == list(COLUMNS)
    assert len(clinical.notes) == 5
    assert clinical.notes[1] == "Clinic visits: no table was found, so age and BMI stay empty."


ENROLLEES = "Datasets_ASCII/enrollees.txt"
VISITS = "Datasets_ASCII/AllClinical01.txt"
WIDTHS = "kxr_qjsw_duryea00.txt"


@pytest.mark.parametrize(
    ("name", "old", "new", "code", "says"),
    [
        (ENROLLEES, "|P02SEX", "|P02SX", "table.column-missing", "enrollees.txt has no column SEX"),
        (ENROLLEES, "1: Male", "7", "table.value-invalid", "row 2, column SEX: expected one of"),
        (ENROLLEES, "9000002", "9.00E+06", "table.value-invalid", "row 3, column ID"),
        (ENROLLEES, "9000002", "9000001", "table.key-duplicate", "rows 2 and 3"),
        (
            VISITS,
            "|62| ",
            "|620| ",
            "table.value-invalid",
            "row 2, column V01AGE: expected a number",
        ),
        (VISITS, "31.5", "31,5", "table.value-invalid", "row 3, column V01BMI"),
        (WIDTHS, "5.25", "525", "table.value-invalid", "row 2, column JSW175"),
        (WIDTHS, "2: Left", "3", "table.value-invalid", "row 4, column SIDE"),
    ],
)
def test_damaged_tables(
    tmp_path: Path, name: str, old: str, new: str, code: str, says: str
) -> None:
    assert old in FILES[name]
    text = FILES[name].replace(old, new)
    with pytest.raises(TableError) as caught:
        read_oai_clinical(list_tables(lay_out(tmp_path, {**FILES, name: text})))
    assert (caught.value.code, says in caught.value.message) == (code, True), caught.value.message
    assert Path(name).name in caught.value.message
    assert "90000" not in str(caught.value)


def test_a_truncated_table(tmp_path: Path) -> None:
    files = {**FILES, VISITS: FILES[VISITS].rpartition("|")[0]}
    with pytest.raises(
        TableError, match=r"AllClinical01\.txt ends in the middle of row 3"
    ) as caught:
        read_oai_clinical(list_tables(lay_out(tmp_path, files)))
    assert caught.value.code == "table.unreadable"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="layout-unknown"):
        read_oai_clinical(list_tables(tmp_path / "nothing"))
