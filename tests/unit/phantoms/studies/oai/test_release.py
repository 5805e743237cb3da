"""The OAI release of phantoms: cells, dialects and folders as the release's readers meet them."""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import made_people
import numpy as np
import pandas as pd
import pytest

from kneegrade.cohorts.oai.clinical import read_oai_clinical
from kneegrade.cohorts.oai.read import read_oai
from kneegrade.cohorts.oai.readings import read_oai_readings
from kneegrade.cohorts.releases.tables import list_tables, read_release_table
from kneegrade.phantoms.knees.severity import Severity
from kneegrade.phantoms.studies.film_order import FilmKind
from kneegrade.phantoms.studies.oai.film_records import FAULTS
from kneegrade.phantoms.studies.oai.layout import MAX_NUMBER, Exam, Odd, write_barcode
from kneegrade.phantoms.studies.oai.readings import FOR_ALL, GRADES, SIGNS, read_knees
from kneegrade.phantoms.studies.oai.release import (
    MISSPELT,
    NDA_FOLDER,
    VISIT_CODES,
    plan_films,
    write_subject_id,
    write_tables,
)
from kneegrade.phantoms.studies.ordered_film import write_film
from kneegrade.phantoms.studies.population import Study, draw_subject
from kneegrade.types import Side, Task

N_SUBJECTS = 14
SEED = 3
ASCII_READINGS = "X-Ray Image Assessments_ASCII/Semi-Quant Scoring_ASCII"


knee = partial(made_people.knee, 0.01)


def make_subject(number, *severities):
    return made_people.make_subject(Study.OAI, number, VISIT_CODES, severities, normal=knee())


@pytest.fixture(scope="module")
def subjects():
    return [draw_subject(Study.OAI, number, SEED) for number in range(1, N_SUBJECTS + 1)]


@pytest.fixture(scope="module")
def orders(subjects):
    return plan_films(subjects, seed=SEED)


@pytest.fixture(scope="module")
def folder(subjects, tmp_path_factory):
    path = tmp_path_factory.mktemp("oai")
    write_tables(path, subjects, seed=SEED)
    return path


def read_lines(folder: Path, pattern: str) -> list[list[str]]:
    (path,) = [path for path in list_tables(folder).find(pattern) if path.suffix == ".txt"]
    text = path.read_bytes().decode("latin-1")
    assert text.endswith("\r\n")
    return [line.split("|") for line in text.split("\r\n")[:-1]]


def read_text(folder: Path, pattern: str) -> pd.DataFrame:
    header, *rows = read_lines(folder, pattern)
    return pd.DataFrame(rows, columns=header)


def of_subject(table: pd.DataFrame, number: int) -> pd.DataFrame:
    return table[table["ID"] == write_subject_id(number)]


def list_barcodes(folder: Path, odd: Odd) -> set[str]:
    return set(of_subject(read_text(folder, "kxr_sq_bu00"), odd)["V00BARCDBU"])


# Tables of readings


def test_a_table_of_readings_has_the_columns_of_the_release(folder: Path) -> None:
    for code in VISIT_CODES.values():
        header = read_lines(folder, f"kxr_sq_bu{code}")[0]
        project = "readprj" if code == "05" else "READPRJ"
        bare = [*GRADES, *SIGNS, "BARCDBU"]
        assert header == ["ID", "SIDE", project, "VERSION", *(f"V{code}{name}" for name in bare)]


def test_names_of_files_have_mixed_case(folder: Path) -> None:
    names = {path.name for path in (folder / ASCII_READINGS).iterdir()}
    assert {"KXR_SQ_BU00.txt", "kXR_SQ_BU03.txt", "kxr_sq_bu01.txt"} <= names
    assert "kxr_sq_rel_bu00.txt" in names


def test_cells_have_labels_at_one_visit_and_are_bare_at_another(folder: Path) -> None:
    labelled, bare = (read_text(folder, f"kxr_sq_bu{code}") for code in ("00", "01"))
    assert set(labelled["SIDE"]) == {"1: Right", "2: Left"}
    assert set(bare["SIDE"]) == {"1", "2"}
    words = {f"{grade}: Grade: {grade}" for grade in range(5)} | {".A: Not Expected"}
    assert set(labelled["V00XRKL"]) <= words
    assert ".A: Not Expected" in set(labelled["V00XRATTL"])
    assert not any(":" in cell for cell in bare.to_numpy().ravel())


@pytest.mark.parametrize(
    ("code", "unread"), [("00", ".A: Not Expected"), ("01", " "), ("05", " "), ("06", ".")]
)
def test_who_never_reaches_kl_2_has_kl_and_narrowing_only(
    tmp_path: Path, code: str, unread: str
) -> None:
    write_tables(tmp_path, [make_subject(20, *[knee()] * 5), subject_with_arthritis()], seed=SEED)
    table = read_text(tmp_path, f"kxr_sq_bu{code}")
    rest = [f"V{code}{name}" for name in GRADES if name not in FOR_ALL]
    well, ill = of_subject(table, 20), of_subject(table, 21)
    assert len(well) == len(ill) == 2
    assert (well[rest] == unread).to_numpy().all()
    assert not (well[[f"V{code}{name}" for name in FOR_ALL]] == unread).to_numpy().any()
    assert not (ill[rest] == unread).to_numpy().any()


def subject_with_arthritis():
    """Only the right knee has it, and only in the end."""
    return make_subject(21, *[knee()] * 4, knee(jsn_m=2, fo_m=3))


def test_narrowing_that_is_worse_in_its_grade_has_a_decimal(folder: Path, tmp_path: Path) -> None:
    first, last = (Severity({**knee(fo_m=2), Task.JSN_M: value}) for value in (1.4, 1.6))
    write_tables(tmp_path, [make_subject(20, first, first, last)], seed=SEED)
    cells = [read_text(tmp_path, f"kxr_sq_bu{c}")[f"V{c}XRJSM"][0] for c in ("00", "01", "03")]
    assert cells == ["1: Grade: 1", "1", "1.4: Grade: 1"]
    counted = Counter(
        cell.partition(":")[0]
        for code in VISIT_CODES.values()
        for cell in read_text(folder, f"kxr_sq_bu{code}")[f"V{code}XRJSM"]
    )
    assert counted["1.4"]
    assert set(counted) <= {*"0123", "1.2", "1.4", "2.2", "2.4", " ", ".", ".A"}


def test_a_replaced_knee_is_not_read(tmp_path: Path) -> None:
    write_tables(tmp_path, [make_subject(20, knee(jsn_m=3), None)], seed=SEED)
    table = read_text(tmp_path, "kxr_sq_bu01")
    right, left = (table[table["SIDE"] == code].iloc[0] for code in "12")
    assert set(right[[f"V01{name}" for name in GRADES]]) == {" "}
    assert left["V01XRKL"] == "0"


def test_a_knee_is_read_by_several_projects(folder: Path) -> None:
    table = read_release_table(folder / ASCII_READINGS / "KXR_SQ_BU00.txt")
    grades = [f"V00{name}" for name in GRADES]
    values = {
        number: {
            project: rows[grades].reset_index(drop=True)
            for project, rows in of_subject(table, number).groupby("READPRJ")
        }
        for number in (1, 2, 3)
    }
    assert [set(found) for found in values.values()] == [{"15", "37"}, {"15", "37"}, {"15", "42"}]
    for number, projects in values.items():
        first, second = projects.values()
        both = first.notna() & second.notna()
        is_equal = first.where(both).equals(second.where(both))
        assert is_equal == (number != 2)
    late = read_text(folder, "kxr_sq_bu08")
    assert set(late["READPRJ"]) <= {"37", "42"}


def test_a_second_reader_reads_some_knees_again(folder: Path) -> None:
    again = read_oai_readings(list_tables(folder), rereads=True).table
    key = ["subject_id", "visit_months", "side"]
    reread = again[again["reading"] == "rel-15"].set_index(key)
    first = again[again["reading"] == "15"].set_index(key).loc[reread.index]
    assert set(reread.index.get_level_values(0)) == {write_subject_id(n) for n in (1, 5, 9, 13)}
    distance = (reread["kl"] - first["kl"]).dropna().abs()
    assert 0 < distance.mean() < 1.5


def test_the_readings_are_the_truth_but_for_readers_noise(folder: Path, subjects: list) -> None:
    read = read_oai_readings(list_tables(folder)).table.set_index(
        ["subject_id", "visit_months", "side", "reading"]
    )
    distances = []
    for subject in subjects:
        for visit in (v for v in subject.visits if v.visit_months <= 48):
            for side, severity in visit.severity.items():
                row = read.loc[write_subject_id(subject.number), visit.visit_months, side, "15"]
                if severity is None:
                    assert row[[task.value for task in Task]].isna().all()
                else:
                    distances += [abs(row[t.value] - severity.grades[t]) for t in Task]
    known = [distance for distance in distances if not pd.isna(distance)]
    assert 0 < np.mean(known) < 0.5


@pytest.mark.parametrize(("number", "is_read"), [(int(Odd.BARCODE_6), False), (20, True)])
def test_of_an_odd_subject_a_knee_of_kl_0_has_kl_and_narrowing_only(
    number: int, is_read: bool
) -> None:
    people = [make_subject(number, knee(), knee(jsn_m=2, fo_m=3))]
    rest = [name for name in GRADES if name not in FOR_ALL]
    well, _ = read_knees(people, 0, seed=SEED, unread="")
    ill, _ = read_knees(people, 12, seed=SEED, unread="")
    assert (well["V00XRKL"], well["READPRJ"]) == ("0", "15")
    assert {bool(well[f"V00{name}"]) for name in rest} == {is_read}
    assert all(ill[f"V01{name}"] for name in rest)


@pytest.mark.parametrize("seed", range(5))
def test_twelve_subjects_have_every_oddity_of_the_readings(seed: int) -> None:
    people = [draw_subject(Study.OAI, number, seed) for number in range(1, len(Odd) + 1)]
    narrowing, projects, unread = set(), set(), set()
    same = set()
    for months, code in VISIT_CODES.items():
        seen = {}
        for row in read_knees(people, months, seed=seed, unread=".A"):
            narrowing |= {row[f"V{code}XRJSL"], row[f"V{code}XRJSM"]}
            projects.add(row["READPRJ"])
            if row["READPRJ"] == "15":
                unread.add((row[f"V{code}XRKL"], row[f"V{code}XROSFL"]))
            grades = {name: row[f"V{code}{name}"] for name in FOR_ALL}
            first = seen.setdefault((row["ID"], row["SIDE"]), (row["READPRJ"], grades))
            if first[0] != row["READPRJ"]:
                same.add(first[1] == grades)
    assert "1.4" in narrowing
    assert projects == {"15", "37", "42"}
    assert ("0", ".A") in unread
    assert same == {True, False}


# Barcodes


def test_odd_barcodes_stand_in_the_readings(folder: Path, subjects: list) -> None:
    written = {s.number: write_barcode(s, s.visits[0], Exam.BOTH_KNEES) for s in subjects}
    assert all(len(code) == 12 and code.startswith("01660") for code in written.values())
    assert list_barcodes(folder, Odd.BARCODE_11) == {written[8][1:]}
    assert list_barcodes(folder, Odd.BARCODE_6) == {written[9][-6:]}
    assert list_barcodes(folder, Odd.BARCODE_BLANK) == {" "}
    assert list_barcodes(folder, Odd.BARCODE_T) == {"T"}
    (other,) = list_barcodes(folder, Odd.BARCODE_NEXT)
    assert abs(int(other) - int(written[12])) == 1
    assert list_barcodes(folder, Odd.HAND_TOO) == {written[1]}


# Dialects


def keep_only(folder: Path, target: Path, wanted: str) -> Path:
    """Copy the tables of one dialect."""
    for path in folder.rglob("*"):
        if path.is_file() and wanted in path.as_posix():
            place = target / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    return target


def test_the_three_dialects_agree_on_the_readings(folder: Path, tmp_path: Path) -> None:
    columns = ["subject_id", "visit_months", "side", "reading", "barcode", *map(str, Task)]
    found = []
    for part in ("_ASCII/", "_SAS/", f"{NDA_FOLDER}/"):
        table = read_oai_readings(
            list_tables(keep_only(folder, tmp_path / part.strip("_/"), part))
        ).table
        found.append(table[columns].sort_values(columns[:4]).reset_index(drop=True))
    text, sas, export = found
    assert len(text) > 4 * N_SUBJECTS
    pd.testing.assert_frame_equal(text, sas)
    pd.testing.assert_frame_equal(text, export)


def test_text_and_sas_agree_on_everything_else(folder: Path, tmp_path: Path) -> None:
    text, sas = (
        read_oai_clinical(list_tables(keep_only(folder, tmp_path / part, f"_{part}/")))
        for part in ("ASCII", "SAS")
    )
    pd.testing.assert_frame_equal(text.rows, sas.rows)
    assert text.counted == sas.counted
    assert text.rows["film_faults"].str.len().gt(0).any()
    assert text.rows["jsw_medial_min_mm"].notna().any()


def _drop_prefix(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    return table.rename(columns=lambda name: name.removeprefix(prefix))


@pytest.mark.parametrize(
    ("exported", "released", "same"),
    [
        ("oai_xrmeta01", "xray", ("XRDATE", "ACCEPT", *FAULTS)),
        ("oai_kxrquantjsw01", "kxr_qjsw_duryea", ("SIDE", "MCMJSW", "JSW150", "LJSW900")),
    ],
)
def test_text_and_export_agree_on_every_visit(
    folder: Path, exported: str, released: str, same: tuple[str, ...]
) -> None:
    """By barcode; rows without one (a film that was not taken, a blank cell) have no partner."""
    (path,) = list_tables(folder).find(exported)
    export = read_release_table(path).dropna(subset="BARCODE").set_index("BARCODE")
    for code in VISIT_CODES.values():
        (path,) = [p for p in list_tables(folder).find(f"{released}{code}") if p.suffix == ".txt"]
        text = read_release_table(path).pipe(_drop_prefix, f"V{code}")
        (barcode,) = {"XRBARCD", "BARCDJD", "BRCDJD"} & set(text)
        text = text.dropna(subset=barcode).set_index(barcode)
        other = export[export["VISIT"] == f"V{code}"]
        assert len(text) == len(other) > 0
        pd.testing.assert_frame_equal(
            text[["ID", *same]].reset_index(drop=True),
            other[["SRC_SUBJECT_ID", *same]]
            .rename(columns={"SRC_SUBJECT_ID": "ID"})
            .reset_index(drop=True),
        )
        assert list(text.index) == list(other.index)


def test_the_export_has_a_second_header_row(folder: Path) -> None:
    names = {path.name for path in (folder / NDA_FOLDER).iterdir()}
    assert {"oai_kxrsemiquant01.txt", "oai_xrmeta01.txt", "image03.txt"} <= names
    for path in (folder / NDA_FOLDER).iterdir():
        header, described, *rows = path.read_text(encoding="utf-8").splitlines()
        assert header.startswith("subjectkey\tsrc_subject_id\t")
        assert " " in described.partition("\t")[0]
        assert {line.count("\t") for line in rows} == {header.count("\t")}


def test_a_note_holds_a_byte_of_latin_1_and_quote_marks(folder: Path) -> None:
    cells = read_text(folder, "xray00")["V00XRNOTE"]
    assert '"leg" turned 10\N{DEGREE SIGN}' in set(cells)


def test_the_same_seed_gives_the_same_bytes(folder: Path, subjects: list, tmp_path: Path) -> None:
    write_tables(tmp_path, subjects, seed=SEED)
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert files == {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert all((folder / f).read_bytes() == (tmp_path / f).read_bytes() for f in files)


def test_another_seed_gives_other_readings(folder: Path, subjects: list, tmp_path: Path) -> None:
    write_tables(tmp_path, subjects, seed=SEED + 1)
    assert not read_text(folder, "kxr_sq_bu00").equals(read_text(tmp_path, "kxr_sq_bu00"))


# People


def test_a_replaced_knee_stands_in_the_outcomes(tmp_path: Path) -> None:
    worn = knee(jsn_m=3)
    people = [make_subject(20, worn, worn, None, None), make_subject(21, None, None)]
    write_tables(tmp_path, people, seed=SEED)
    header, later, before = read_lines(tmp_path, "outcomes99")
    assert header[0] == "id"
    row = dict(zip(header, later, strict=True))
    assert 365 <= int(row["V99ERKDAYS"]) <= 730
    assert row["V99ERKBLRP"] == "0"
    assert row["V99ELKDAYS"] == ".A: Not Expected"
    assert dict(zip(header, before, strict=True))["V99ERKBLRP"] == "1"


def test_the_people_are_those_that_were_drawn(folder: Path, subjects: list) -> None:
    rows = read_oai_clinical(list_tables(folder)).rows
    first = rows[rows["visit_months"] == 0].groupby("subject_id").first()
    for subject in subjects:
        row = first.loc[write_subject_id(subject.number)]
        assert row["sex"] == subject.sex
        assert row["site"] == subject.site
        assert row["bmi"] == pytest.approx(subject.bmi)
        assert row["age"] == int(subject.age)
        assert str(row["race"]).startswith(subject.race)


def test_an_id_is_seven_digits_and_no_barcode_repeats() -> None:
    assert write_subject_id(12) == "1000012"
    assert write_subject_id(MAX_NUMBER) == "1089999"
    with pytest.raises(ValueError, match="number"):
        write_subject_id(MAX_NUMBER + 1)
    people = [draw_subject(Study.OAI, n, 0) for n in (1, 8, 9, 59, 109, MAX_NUMBER)]
    codes = [
        order.header["AccessionNumber"]
        for order in plan_films(people, seed=0)
        if order.kind is not FilmKind.OTHER
    ]
    assert len(set(codes)) == len(codes)
    assert all(len(str(code)) == 12 and str(code).startswith("01660") for code in codes)


# Films


def test_films_lie_in_the_folders_of_the_release(orders: list) -> None:
    assert len({order.path for order in orders}) == len(orders)
    for order in orders:
        *above, release, who, day, series = (
            order.path.removesuffix("/001").removesuffix(".tar.gz").removesuffix("_1x1.jpg")
        ).split("/")
        months, code = order.visit_months, int(VISIT_CODES[order.visit_months])
        assert above == [f"{months:02d}m"] * (2 if months == 48 else 1)
        assert release.startswith((f"{code}.C.", f"{code}.E."))
        assert who == write_subject_id(order.subject_number)
        if order.kind is not FilmKind.OTHER:
            assert day == order.header["StudyDate"]
            assert order.header["AccessionNumber"] == f"0166{series}"
    releases = {order.path.split("/")[1] for order in orders if order.visit_months == 0}
    assert releases == {"0.C.2", "0.E.1"}


def test_the_oddities_of_the_films(orders: list) -> None:
    def numbers(holds) -> set[int]:
        return {order.subject_number for order in orders if holds(order)}

    assert numbers(lambda o: o.kind is FilmKind.HAND) == {Odd.HAND_TOO}
    assert numbers(lambda o: o.sides == (Side.RIGHT,)) == {Odd.ONE_KNEE_TOO}
    assert numbers(lambda o: o.archive_member == "001") == {Odd.PACKED}
    assert numbers(lambda o: o.kind is FilmKind.OTHER) == {Odd.PACKED}
    assert numbers(lambda o: o.inverted) == {Odd.NEGATIVE}
    assert numbers(lambda o: not o.keep_spacing) == {Odd.NO_SPACING}
    assert numbers(lambda o: "SpecificCharacterSet" in o.header) == {Odd.CHARACTER_SET}
    assert [o.subject_number for o in orders if o.kind is FilmKind.BROKEN] == [Odd.BROKEN_FILM]
    kinds = {o.kind for o in orders if o.subject_number == Odd.HAND_TOO and o.visit_months == 0}
    assert kinds == {FilmKind.HAND, FilmKind.KNEES}


def test_a_subject_keeps_its_films_in_a_larger_study(subjects: list, orders: list) -> None:
    few = plan_films(subjects[:5], seed=SEED)
    assert few == orders[: len(few)]


def test_the_indexes_have_the_faults_of_the_release(folder: Path, orders: list) -> None:
    rows = {}
    for path in folder.rglob("contents.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows.setdefault(path.parent.parent.name, []).append(table)
    tables = {timepoint: pd.concat(parts) for timepoint, parts in rows.items()}
    assert sum(map(len, tables.values())) == sum(o.kind is not FilmKind.OTHER for o in orders)
    assert tables["36m"]["Folder"].str.contains("//").all()
    assert not tables["12m"]["Folder"].str.contains("//").any()
    assert set(tables["72m"]["Barcode"].str.len()) == {11}
    assert set(tables["00m"]["Barcode"].str.len()) == {6, 12}
    assert "AccessionNumber" in tables["24m"]
    assert tables["00m"]["SeriesDescription"].str.endswith(" ").any()
    assert tables["00m"]["StudyDescription"].str.contains("^", regex=False).all()


@pytest.mark.parametrize("dialect", ["all", "export"])
def test_a_study_is_read_as_the_release_is(
    folder: Path, orders: list, tmp_path: Path, dialect: str
) -> None:
    wanted = "" if dialect == "all" else f"{NDA_FOLDER}/"
    keep_only(folder, tmp_path, wanted)
    for order in orders:
        path = tmp_path / order.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    read = read_oai(tmp_path, mode="full")
    assert read.unmatched_rows == read.unmatched_films == ()
    first = read.knees[read.knees["visit_months"] == 0]
    matched = first.groupby("subject_id")["film_match"].first()
    by_visit = {Odd.BARCODE_BLANK, Odd.BARCODE_T, Odd.BARCODE_NEXT}
    for number in range(1, N_SUBJECTS + 1):
        expected = "visit" if number in by_visit else "barcode"
        assert matched[write_subject_id(number)] == expected
    packed = first[first["subject_id"] == write_subject_id(Odd.PACKED)]["image_path"]
    assert packed.str.endswith(".tar.gz::001").all()
    assert read.counted["films of other exams: not used"] == 2


def test_the_measured_joint_space_is_that_of_the_film(
    folder: Path, orders: list, tmp_path: Path
) -> None:
    order = next(order for order in orders if order.subject_number == 13)
    truth = write_film(tmp_path, order, study=Study.OAI, seed=SEED, spacing_mm=2.0)
    table = of_subject(read_release_table(list_tables(folder).find("kxr_qjsw_duryea00")[0]), 13)
    widths = table.set_index("SIDE")["V00MCMJSW"].astype(float)
    for side, code in (("right", "1"), ("left", "2")):
        assert widths[code] == pytest.approx(
            truth["knees"][side]["joint_space_mm"]["jsn_m"], abs=0.001
        )


def test_a_film_with_a_misspelt_character_set_is_written(orders: list, tmp_path: Path) -> None:
    order = next(order for order in orders if order.subject_number == Odd.CHARACTER_SET)
    write_film(tmp_path, order, study=Study.OAI, seed=SEED, spacing_mm=2.0)
    assert MISSPELT.encode() in (tmp_path / order.path).read_bytes()
