"""What holds for every subject of a phantom study, and for every reading of a phantom's knee."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kneegrade.phantoms.knees.severity import FEATURES, NARROWING, Severity, compute_kl
from kneegrade.phantoms.studies.population import Study, draw_subject
from kneegrade.phantoms.studies.readers import read_grades, scale_severity, see_severity
from kneegrade.types import Side, Task

studies = st.sampled_from(Study)
numbers = st.integers(0, 100_000)
seeds = st.integers(0, 2**32 - 1)
severities = st.fixed_dictionaries({task: st.floats(0, 4, exclude_max=True) for task in FEATURES})
many = settings(max_examples=200, deadline=None)


@many
@given(study=studies, number=numbers, seed=seeds)
def test_no_knee_gets_better_and_what_is_replaced_stays_so(study, number, seed):
    visits = draw_subject(study, number, seed).visits
    for before, after in pairwise(visits):
        assert before.visit_months < after.visit_months
        for side in Side:
            old, new = before.severity[side], after.severity[side]
            if old is None:
                assert new is None
            elif new is not None:
                assert all(old[task] <= new[task] for task in FEATURES)
                assert old.grades[Task.KL] <= new.grades[Task.KL]


@many
@given(study=studies, number=numbers, seed=seeds)
def test_never_two_collapsed_compartments(study, number, seed):
    for visit in draw_subject(study, number, seed).visits:
        for severity in visit.severity.values():
            assert severity is None or min(severity[task] for task in NARROWING) < 3


@settings(max_examples=50, deadline=None)
@given(study=studies, number=numbers, seed=seeds, others=st.lists(numbers, max_size=4))
def test_a_subject_is_the_same_whatever_was_drawn_before(study, number, seed, others):
    first = draw_subject(study, number, seed)
    for other in others:
        for each in Study:
            draw_subject(each, other, seed)
    assert draw_subject(study, number, seed) == first


@many
@given(values=severities, seed=seeds)
def test_a_reading_is_whole_and_its_kl_follows_from_it(values, seed):
    read = read_grades(Severity(values), rng=np.random.default_rng(seed))
    assert set(read) == set(Task)
    assert read[Task.KL] == compute_kl(read)
    assert min(read[task] for task in NARROWING) < 3
    assert read == read_grades(Severity(values), rng=np.random.default_rng(seed))


@many
@given(values=severities)
def test_seeing_undoes_scaling(values):
    severity = np.array([values[task] for task in FEATURES])
    np.testing.assert_allclose(scale_severity(see_severity(severity)), severity, atol=1e-6)
