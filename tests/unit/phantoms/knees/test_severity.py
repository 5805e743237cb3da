import numpy as np
import pytest

from kneegrade.phantoms.knees.severity import FEATURES, NARROWING, OSTEOPHYTES, Severity, compute_kl
from kneegrade.types import Grades, Task

SITES = (*OSTEOPHYTES, *NARROWING)


def features(*values: int) -> dict[Task, int]:
    return dict(zip(SITES, values, strict=True))


def drawn(grades, seed=0):
    return Severity.from_grades(grades, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("values", "kl"),
    [
        ((0, 0, 0, 0, 0, 0), 0),
        ((0, 0, 0, 0, 1, 1), 0),
        ((0, 0, 1, 0, 0, 0), 1),
        ((0, 1, 1, 0, 0, 0), 2),
        ((0, 2, 0, 0, 0, 0), 2),
        ((3, 3, 3, 3, 1, 1), 2),
        ((0, 0, 0, 0, 2, 0), 3),
        ((0, 0, 0, 0, 1, 3), 4),
    ],
)
def test_kl_follows_the_stated_rule(values, kl):
    assert compute_kl(features(*values)) == kl
    assert drawn(features(*values)).grades[Task.KL] == kl


def test_the_grades_are_those_asked_for_and_the_rest_follows_the_narrowing():
    severity = drawn(features(0, 1, 2, 3, 0, 3))
    assert set(severity) == set(FEATURES)
    assert {task: severity.grades[task] for task in SITES} == features(0, 1, 2, 3, 0, 3)
    assert (severity.grades[Task.SCL_TM], severity.grades[Task.ATT_TM]) == (2, 1)
    assert (severity.grades[Task.SCL_TL], severity.grades[Task.ATT_TL]) == (0, 0)
    given = drawn({**features(0, 0, 0, 0, 0, 3), Task.ATT_TM: 3, Task.KL: 4})
    assert given.grades[Task.ATT_TM] == 3


def test_where_in_its_grade_a_feature_lies_does_not_depend_on_the_grades():
    mild, severe = drawn(features(0, 0, 0, 0, 0, 1)), drawn(features(1, 1, 1, 1, 0, 3))
    for task in SITES:
        assert mild[task] % 1 == pytest.approx(severe[task] % 1)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="jsn_m"):
        drawn(Grades(dict.fromkeys(SITES[:-1], 0)))
    with pytest.raises(ValueError, match=r"KL 0 by the rule\. Got 4"):
        drawn(Grades({**features(0, 0, 0, 0, 0, 0), Task.KL: 4}))
    with pytest.raises(ValueError, match="Got 4"):
        drawn(features(4, 0, 0, 0, 0, 0))
    whole = dict.fromkeys(FEATURES, 0.0)
    with pytest.raises(ValueError, match="each of FEATURES"):
        Severity(dict.fromkeys(SITES, 0.0))
    with pytest.raises(ValueError, match=r"\[0, 4\)"):
        Severity({**whole, Task.FO_L: 4.0})
