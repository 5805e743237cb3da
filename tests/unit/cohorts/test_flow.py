"""The steps of a flow add up."""

import numpy as np
import pandas as pd
import pytest

from kneegrade.cohorts.flow import FlowStep, StudyKnees, exclude

TABLE = pd.DataFrame({"kl": [0, 1, 2, 3]}, index=[10, 20, 30, 40])


@pytest.mark.parametrize(
    "drop",
    [
        np.array([False, True, False, True]),
        pd.Series([False, True, False, True]),  # by position: its index is another
        pd.array([False, True, pd.NA, True], dtype="boolean"),
        [False, True, None, True],
    ],
    ids=["array", "series", "nullable", "list"],
)
def test_exclude_drops_what_is_true_and_counts_it(drop: object) -> None:
    left, step = exclude(TABLE, drop, "no film found")
    assert left.index.tolist() == [10, 30]
    assert step == FlowStep("no film found", dropped=2, left=2)
    assert len(TABLE) == 4


def test_exclude_nothing() -> None:
    left, step = exclude(TABLE, np.zeros(4, dtype=bool), "never")
    pd.testing.assert_frame_equal(left, TABLE)
    assert step == FlowStep("never", dropped=0, left=4)


def test_rows_read_are_those_kept_and_those_dropped() -> None:
    first, one = exclude(TABLE, TABLE["kl"] == 0, "a")
    second, two = exclude(first, first["kl"] > 1, "b")
    counted = {"seen": 1}
    study = StudyKnees(second, (one, two), counted)
    assert study.n_read == len(TABLE)
    assert (one.left, two.left) == (3, 1)
    counted["seen"] = 2
    assert study.counted["seen"] == 1
    with pytest.raises(TypeError):
        study.counted["seen"] = 3  # type: ignore[index]
