from functools import cache
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from kneegrade.evaluation.metrics import compute_quadratic_kappa
from kneegrade.phantoms.knees.severity import ATTRITION, NARROWING, SCLEROSIS, Severity
from kneegrade.phantoms.studies.population import PhantomSubject, Study, draw_subject
from kneegrade.phantoms.studies.readers import read_grades
from kneegrade.types import Side, Task

TABLE_1 = MappingProxyType(
    {
        Study.OAI: {
            Task.KL: (2434, 2632, 8538, 4698, 1402),
            Task.FO_L: (11567, 4698, 1748, 1691),
            Task.FO_M: (10085, 4453, 2068, 3098),
            Task.TO_L: (11894, 5167, 1169, 1474),
            Task.TO_M: (6960, 9181, 2112, 1451),
            Task.JSN_L: (17044, 1160, 1061, 439),
            Task.JSN_M: (9234, 5765, 3735, 970),
        },
        Study.MOST: {
            Task.KL: (4899, 1922, 1838, 2087, 997),
            Task.FO_L: (9008, 1336, 795, 604),
            Task.FO_M: (7968, 1218, 996, 1561),
            Task.TO_L: (8596, 1978, 647, 522),
            Task.TO_M: (6441, 3458, 1212, 632),
            Task.JSN_L: (10593, 465, 442, 243),
            Task.JSN_M: (7418, 1865, 1721, 739),
        },
    }
)
"""Table 1 of Tiulpin & Saarakkala 2019, typed again: the module's copy is not the measure."""
MONTHS = {Study.OAI: {0, 12, 24, 36, 48, 72, 96}, Study.MOST: {0, 15, 30, 60, 84}}
N_SUBJECTS = 2000


studies = pytest.mark.parametrize("study", list(Study))


@cache
def population(study: Study) -> tuple[PhantomSubject, ...]:
    return tuple(draw_subject(study, number, 0) for number in range(1, N_SUBJECTS + 1))


@cache
def knees(study: Study) -> tuple[tuple[PhantomSubject, int, Side, Severity], ...]:
    """Every natural knee at every visit."""
    return tuple(
        (subject, visit.visit_months, side, severity)
        for subject in population(study)
        for visit in subject.visits
        for side, severity in visit.severity.items()
        if severity is not None
    )


@cache
def truths(study: Study) -> pd.DataFrame:
    return pd.DataFrame([dict(severity.grades) for *_, severity in knees(study)])


@cache
def readings(study: Study, reader: int) -> pd.DataFrame:
    rng = np.random.default_rng(reader)
    rows = [
        {
            "subject": subject.number,
            "months": months,
            "side": side,
            **read_grades(severity, rng=rng),
        }
        for subject, months, side, severity in knees(study)
    ]
    return pd.DataFrame(rows)


def first_visits(study: Study, reader: int) -> pd.DataFrame:
    table = readings(study, reader)
    return table[table["months"] == 0]


@studies
@pytest.mark.parametrize("task", list(TABLE_1[Study.OAI]))
def test_what_is_read_has_the_shares_of_table_1(study, task):
    counts = np.array(TABLE_1[study][task])
    read = np.bincount(readings(study, 1)[task], minlength=task.n_grades)
    np.testing.assert_allclose(read / read.sum(), counts / counts.sum(), atol=0.02)


@studies
def test_every_true_grade_of_the_six_features_occurs(study):
    for task in TABLE_1[study]:
        assert truths(study)[task].value_counts(normalize=True).min() > 0.01


@studies
def test_two_readers_agree_as_trained_readers_do(study):
    one, other = first_visits(study, 1), first_visits(study, 2)
    assert len(one) > 3900
    kappa = {
        task: compute_quadratic_kappa(one[task], other[task], n_grades=task.n_grades)
        for task in TABLE_1[study]
    }
    assert 0.70 <= kappa[Task.KL] <= 0.86
    sites = (
        (Task.FO_L, Task.TO_L, Task.JSN_L),
        (Task.FO_M, Task.TO_M, Task.JSN_M),
    )
    for femur, tibia, narrowing in sites:
        assert 0.75 <= kappa[narrowing] <= 0.90
        for spur in (femur, tibia):
            assert 0.60 <= kappa[spur] <= 0.85
            assert kappa[spur] < kappa[narrowing]


@studies
def test_left_and_right_knees_are_alike(study):
    kl = first_visits(study, 1).pivot(index="subject", columns="side", values=Task.KL).dropna()
    assert 0.38 < kl.corr().loc[Side.RIGHT, Side.LEFT] < 0.58


@studies
def test_one_compartment_collapses_and_the_other_opens(study):
    lateral, medial = (truths(study)[task] for task in NARROWING)
    other = np.minimum(lateral, medial)[np.maximum(lateral, medial) == 3]
    assert len(other) > 100
    assert other.max() < 3
    assert (other <= 1).mean() > 0.93
    read_lateral, read_medial = (readings(study, 1)[task] for task in NARROWING)
    assert np.minimum(read_lateral, read_medial).max() == 2
    # Were they independent, as many would have both at 2 or more.
    both = ((lateral >= 2) & (medial >= 2)).mean()
    assert both < 0.6 * (lateral >= 2).mean() * (medial >= 2).mean()


@studies
def test_features_of_a_compartment_go_together(study):
    together = truths(study).corr(method="spearman")
    for femur, tibia, across in (
        (Task.FO_L, Task.TO_L, Task.TO_M),
        (Task.FO_M, Task.TO_M, Task.TO_L),
    ):
        assert together.loc[femur, tibia] > together.loc[femur, across]
        assert together.loc[femur, tibia] > 0.25
    assert together.loc[Task.TO_M, Task.JSN_M] > 0.2
    assert together.loc[Task.TO_L, Task.JSN_L] > 0.15


@studies
def test_sclerosis_and_attrition_follow_the_narrowing(study):
    table = truths(study)
    for task in (*SCLEROSIS, *ATTRITION):
        narrowing = table[Task.JSN_M if task.value.endswith("m") else Task.JSN_L]
        means = table[task].groupby(narrowing).mean()
        assert means.is_monotonic_increasing
        assert means[0] < 0.1
        assert means[3] > (0.25 if task in ATTRITION else 0.8)


@studies
def test_knees_get_worse_and_some_are_replaced(study):
    rises, replaced = [], []
    for subject in population(study):
        first, last = subject.visits[0], subject.visits[-1]
        for side in Side:
            replaced.append(last.severity[side] is None)
            if last.visit_months >= 48 and last.severity[side] is not None:
                before, after = first.severity[side], last.severity[side]
                rises.append(after.grades[Task.KL] > before.grades[Task.KL])
    assert 0.1 < np.mean(rises) < 0.35
    assert 0.02 < np.mean(replaced) < 0.08


@studies
def test_visits_are_those_of_the_study_and_some_are_missed(study):
    months = [[visit.visit_months for visit in s.visits] for s in population(study)]
    assert all(times[0] == 0 and times == sorted(set(times)) for times in months)
    assert set().union(*months) == MONTHS[study]
    assert any(set(times) == MONTHS[study] for times in months)
    at_30 = np.mean([30 in times for times in months])
    at_48 = np.mean([48 in times for times in months])
    assert (at_48 if study is Study.OAI else at_30) == pytest.approx(0.85, abs=0.06)


def test_people_are_those_of_the_study():
    table = {study: pd.DataFrame([vars(s) for s in population(study)]) for study in Study}
    oai, most = table[Study.OAI], table[Study.MOST]
    assert set(oai["site"]) == set("ABCDE")
    assert most["site"].nunique() == 2
    assert oai["age"].between(45, 79).all()
    assert most["age"].between(50, 79).all()
    assert oai["bmi"].mean() + 1 < most["bmi"].mean()
    for people, black in ((oai, 0.18), (most, 0.15)):
        assert (people["sex"] == "female").mean() == pytest.approx(0.6, abs=0.04)
        race = people["race"].value_counts(normalize=True)
        assert race["Black or African American"] == pytest.approx(black, abs=0.03)
    assert set(oai["race"]) == {"White", "Black or African American", "Asian", "Other"}


def test_a_heavy_person_has_worse_knees():
    bmi = [subject.bmi for subject, *_ in knees(Study.MOST)]
    assert np.corrcoef(bmi, readings(Study.MOST, 1)[Task.KL])[0, 1] > 0.1


def test_a_reader_of_the_same_mind_sees_no_knee_get_better():
    for subject in population(Study.OAI)[:200]:
        for side in Side:
            read = [
                read_grades(visit.severity[side], rng=np.random.default_rng(subject.number))
                for visit in subject.visits
                if visit.severity[side] is not None
            ]
            for task in Task:
                if task not in NARROWING:
                    assert sorted(r[task] for r in read) == [r[task] for r in read]


def test_studies_subjects_and_seeds_differ():
    asked = [(Study.OAI, 1, 0), (Study.MOST, 1, 0), (Study.OAI, 2, 0), (Study.OAI, 1, 1)]
    assert len({repr(draw_subject(*each).visits[0].severity[Side.LEFT]) for each in asked}) == 4
    with pytest.raises(ValueError, match="negative"):
        draw_subject(Study.OAI, -1, 0)
