"""The MOST release of phantoms: cells and folders as the release's readers meet them."""

from collections import Counter
from functools import partial
from pathlib import Path

import made_people
import numpy as np
import pandas as pd
import pyreadstat
import pytest

from kneegrade.phantoms.studies.film_order import FilmKind
from kneegrade.phantoms.studies.most.release import (
    FEATURES,
    SAS_FOLDER,
    TEXT_FOLDER,
    VISIT_DIGITS,
    Odd,
    plan_films,
    write_subject_id,
    write_tables,
)
from kneegrade.phantoms.studies.population import Study, draw_subject

TABLES = ("MOSTV01235XRAY", "mostoutcomes", *(f"mostv{digit}enroll" for digit in (0, 1, 2, 3, 5)))


knee = partial(made_people.knee, 0.5)


def make_subject(number, *severities):
    return made_people.make_subject(Study.MOST, number, VISIT_DIGITS, severities, normal=knee())


@pytest.fixture(scope="module")
def subjects():
    return [draw_subject(Study.MOST, number, 3) for number in range(1, 41)]


@pytest.fixture(scope="module")
def folder(subjects, tmp_path_factory):
    path = tmp_path_factory.mktemp("most")
    write_tables(path, subjects, seed=3)
    return path


def read_text(folder, name):
    (path,) = [p for p in (folder / TEXT_FOLDER).iterdir() if p.stem.lower() == name.lower()]
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False).set_index("MOSTID")


def read_sas(folder, name):
    return pyreadstat.read_xport(folder / SAS_FOLDER / f"{name.lower()}.xpt")[0].set_index("MOSTID")


def test_the_readings_have_one_wide_row_per_person(folder, subjects):
    table = read_text(folder, "MOSTV01235XRAY")
    assert list(table)[:8] == [
        *("V0XRKL", "V0XROSFL", "V0XROSTL", "V0XRJSL", "V0XROSFM", "V0XROSTM", "V0XRJSM"),
        "V0XLKL",
    ]
    assert len(list(table)) == 5 * 2 * len(FEATURES)
    unread = write_subject_id(3)
    assert set(table.index) == {write_subject_id(s.number) for s in subjects} - {unread}
    assert table.index.is_unique


def test_a_cell_is_a_grade_a_code_or_a_letter(folder):
    cells = Counter(read_text(folder, "MOSTV01235XRAY").to_numpy().ravel())
    assert set(cells) == {"", "0", "1", "2", "3", "4", "8", "9", "1.9", "P", "S", "X", "Z"}
    assert cells["1.9"] == 1
    assert [cells[letter] for letter in "PSXZ"] == [1, 1, 1, 1]
    scale = read_text(folder, "MOSTV01235XRAY").filter(regex="OS|JS")
    assert "4" not in set(scale.to_numpy().ravel())


def test_the_readings_are_the_truth_but_for_readers_noise(folder, subjects):
    table = read_text(folder, "MOSTV01235XRAY")
    distances = []
    for subject in subjects[len(Odd) :]:
        for visit in subject.visits:
            for side, severity in visit.severity.items():
                prefix = f"V{VISIT_DIGITS[visit.visit_months]}X{side.value[0].upper()}"
                cells = [table.loc[write_subject_id(subject.number), prefix + n] for n in FEATURES]
                if severity is None:
                    assert cells == ["8"] * len(FEATURES)
                    continue
                truth = [severity.grades[task] for task in FEATURES.values()]
                distances += [abs(int(c) - t) for c, t in zip(cells, truth, strict=True) if c]
    assert np.mean(distances) < 0.5
    assert np.mean(distances) > 0


def test_a_visit_that_did_not_take_place_is_blank(tmp_path):
    write_tables(tmp_path, [make_subject(20, knee(), knee())], seed=0)
    row = read_text(tmp_path, "MOSTV01235XRAY").iloc[0]
    assert (row.filter(regex="^V[01]") != "").all()
    assert (row.filter(regex="^V[235]") == "").all()
    enrolment = {d: read_text(tmp_path, f"mostv{d}enroll").iloc[0] for d in (0, 1, 2, 3, 5)}
    assert [enrolment[d][f"V{d}PA"] for d in enrolment] == ["1", "1", "0", "0", "0"]
    assert enrolment[3]["V3BMI"] == ""
    assert float(enrolment[1]["V1BMI"]) == pytest.approx(float(enrolment[0]["V0BMI"]), abs=4)


def test_a_knee_replaced_between_visits(tmp_path):
    write_tables(tmp_path, [make_subject(20, knee(jsn_m=3), knee(jsn_m=3), None, None)], seed=0)
    row = read_text(tmp_path, "MOSTV01235XRAY").iloc[0]
    assert [row[f"V{digit}XRKL"] for digit in (2, 3, 5)] == ["8", "8", ""]
    assert row["V1XRKL"] in {"3", "4"}
    outcome = read_text(tmp_path, "mostoutcomes").iloc[0]
    assert outcome["V99ERKRINDEX"] == "2"
    assert outcome["V99ELKRINDEX"] == ""


def test_a_knee_replaced_before_the_study(tmp_path):
    write_tables(tmp_path, [make_subject(20, None, None)], seed=0)
    assert read_text(tmp_path, "mostoutcomes").iloc[0]["V99ERKRINDEX"] == "0"


@pytest.mark.parametrize("name", TABLES)
def test_the_sas_twin_holds_the_same_numbers(folder, name):
    text, sas = read_text(folder, name), read_sas(folder, name)
    assert list(text) == list(sas)
    assert list(text.index) == list(sas.index)
    numbers = text.drop(columns="SITE", errors="ignore").apply(pd.to_numeric, errors="coerce")
    np.testing.assert_array_equal(numbers, sas.drop(columns="SITE", errors="ignore"))


def test_the_same_seed_gives_the_same_bytes(folder, subjects, tmp_path):
    write_tables(tmp_path, subjects, seed=3)
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 2 * len(TABLES)
    assert all((folder / f).read_bytes() == (tmp_path / f).read_bytes() for f in files)
    assert not any(b"\n" in (folder / f).read_bytes().replace(b"\r\n", b"") for f in files[:1])


def test_another_seed_gives_other_readings(folder, subjects, tmp_path):
    write_tables(tmp_path, subjects, seed=4)
    name = "MOSTV01235XRAY"
    assert not read_text(folder, name).equals(read_text(tmp_path, name))


def test_films_lie_in_the_folders_of_the_release(subjects):
    orders = plan_films(subjects, seed=3)
    paths = [order.path for order in orders]
    assert len(set(paths)) == len(paths)
    for order in orders:
        _, who, visit, view, _ = order.path.split("/")
        assert who.startswith(f"{write_subject_id(order.subject_number)}_")
        assert len(who.split("_")[1]) == 4
        assert visit[:2] == f"V{VISIT_DIGITS[order.visit_months]}"
        assert view in {"PA05", "PA10", "PA15", "LATR"}
        assert (order.kind is FilmKind.HAND) == (view == "LATR")


def test_the_oddities_of_the_films(subjects):
    orders = plan_films(subjects, seed=3)
    views = {n: {o.path.split("/")[3] for o in orders if o.subject_number == n} for n in (1, 9, 20)}
    assert views == {1: {"PA05", "PA10", "PA15"}, 9: {"PA05"}, 20: {"PA10"}}
    first_of_2 = subjects[1].visits[0].visit_months
    assert not [o for o in orders if (o.subject_number, o.visit_months) == (2, first_of_2)]
    assert [o.subject_number for o in orders if o.kind is FilmKind.BROKEN] == [5]
    assert {o.subject_number for o in orders if o.inverted} == {11}
    assert {o.subject_number for o in orders if not o.keep_spacing} == {12}
    assert 3 in {o.subject_number for o in orders}


def test_a_subject_keeps_its_films_in_a_larger_study(subjects):
    few, many = plan_films(subjects[:5], seed=3), plan_films(subjects, seed=3)
    assert few == many[: len(few)]


def test_a_film_that_was_not_taken_is_not_counted_as_taken(folder, subjects: list) -> None:
    enrolment = read_text(folder, "mostv0enroll")
    taken = {o.subject_number for o in plan_films(subjects, seed=3) if o.visit_months == 0}
    for subject in subjects:
        cell = enrolment.loc[write_subject_id(subject.number), "V0PA"]
        assert cell == str(int(subject.number in taken))


def test_file_names_have_mixed_case(folder: Path) -> None:
    names = {path.stem for path in (folder / TEXT_FOLDER).iterdir()}
    assert {"MOSTV0ENROLL", "mostv1enroll", "MOSTV01235XRAY"} <= names
