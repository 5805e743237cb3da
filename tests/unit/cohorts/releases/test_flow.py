"""The steps of a flow add up."""

import numpy as np
import pandas as pd
import pytest

from kneegrade.cohorts.releases.flow import FlowStep, KneeFlow, StudyKnees
from kneegrade.errors import TableError

TABLE = pd.DataFrame({"kl": [0, 1, 2, 3]}, index=[10, 20, 30, 40])


@pytest.mark.parametrize(
    "mask",
    [
        np.array([False, True, False, True]),
        pd.Series([True, False, True, False], index=[40, 30, 20, 10]),  # by label, not by place
        pd.array([False, True, pd.NA, True], dtype="boolean"),
        [False, True, None, True],
    ],
    ids=["array", "series", "nullable", "list"],
)
def test_drop_takes_what_is_true_and_counts_it(mask: object) -> None:
    flow = KneeFlow(TABLE)
    flow.drop("no film found", mask)
    assert flow.rows.index.tolist() == [10, 30]
    assert flow.steps == [FlowStep("no film found", dropped=2, left=2)]
    assert len(TABLE) == 4


def test_drop_nothing() -> None:
    flow = KneeFlow(TABLE)
    flow.drop("never", np.zeros(4, dtype=bool))
    pd.testing.assert_frame_equal(flow.rows, TABLE)
    assert flow.steps == []


def test_rows_read_are_those_kept_and_those_dropped() -> None:
    flow = KneeFlow(TABLE)
    flow.drop("a", TABLE["kl"] == 0)
    flow.drop("b", TABLE["kl"] > 1)
    counted = {"seen": 1}
    study = StudyKnees(flow.rows, tuple(flow.steps), counted)
    assert study.n_read == len(TABLE)
    assert [step.left for step in study.flow] == [3, 1]
    counted["seen"] = 2
    assert study.counted["seen"] == 1
    with pytest.raises(TypeError):
        study.counted["seen"] = 3  # type: ignore[index]
    flow.check_left("t.txt")
    flow.drop("c", [True])
    with pytest.raises(TableError, match=r"t\.txt: .*a: 1; b: 2; c: 1"):
        flow.check_left("t.txt")
