"""The result of one knee, and the row that says the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_films import FILM_MM, draw_knee, whole_radiograph
from made_results import make_failed, make_joint, make_refused, make_result

from kneegrade.errors import ImageError, KneeNotFoundError
from kneegrade.grading.predictions import (
    KEY_COLUMNS,
    SPACE_COLUMNS,
    SPUR_COLUMNS,
    STATUSES,
    table_columns,
)
from kneegrade.knees.measuring.joint_space import JointSpace, measure_joint_space
from kneegrade.knees.measuring.sizes import CompartmentSizes, JointSizes
from kneegrade.knees.posing.crop import RoiSpec, crop_knee
from kneegrade.knees.prepare import PreparedKnee, RefusedKnee
from kneegrade.pipeline.grader import GradedKnee
from kneegrade.pipeline.results import KneeKey, KneeResult, Status, result_of
from kneegrade.types import (
    Flag,
    Grades,
    KneePrediction,
    Landmarks,
    LandmarkScheme,
    Radiograph,
    Side,
    SpacingSource,
    Task,
)

TASKS = (Task.KL, Task.JSN_M)
KEY = KneeKey("oai", "0012", 24, "bu")
ERROR = ImageError("image.empty", "The file has 0 bytes.", "Copy it again.")


def prediction(**changes: Any) -> KneePrediction:
    values: dict[str, Any] = {
        "side": Side.LEFT,
        "grades": Grades({Task.KL: 2, Task.JSN_M: 0}),
        "probabilities": {
            Task.KL: np.array([0.1, 0.2, 0.4, 0.2, 0.1]),
            Task.JSN_M: np.array([1, 1, 1, 0]) / 3,
        },
        "bundle_id": "tiny-0.1-abc",
        "source_id": "1.2.3",
        "spread": {Task.KL: 0.25},
        "flags": frozenset({Flag.SPACING_UNKNOWN, Flag.VIEW_UNKNOWN}),
    }
    return KneePrediction(**values | changes)


def film_of(**changes: Any) -> tuple[Radiograph, Landmarks]:
    """A drawn knee of narrowed medial space, and its true landmarks."""
    film = draw_knee(Side.LEFT, kl=3, size_mm=FILM_MM)
    points = film.knees[Side.LEFT].landmarks_px
    radiograph = whole_radiograph(film.pixels, mm=film.spacing_mm)
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    return replace(radiograph, **changes), landmarks


def measured(**changes: Any) -> JointSpace:
    return measure_joint_space(*film_of(**changes))


def row_of(joint: JointSizes | None = None) -> dict[str, Any]:
    return KneeResult.of_prediction(prediction(), "films/a.dcm", KEY, joint).to_row()


def test_the_statuses_are_those_of_the_table() -> None:
    assert tuple(Status) == STATUSES


def test_a_graded_knee() -> None:
    row = row_of()
    assert set(row) == set(table_columns(TASKS)) - set(SPACE_COLUMNS)
    assert [row[name] for name in KEY_COLUMNS] == ["oai", "0012", 24, "left", "bu"]
    assert (row["source"], row["status"], row["error_code"]) == ("films/a.dcm", "ok", "")
    assert (row["kl"], row["kl_p2"], row["kl_expected"], row["kl_spread"]) == (2, 0.4, 2.0, 0.25)
    assert (row["jsn_m"], row["jsn_m_p0"], row["jsn_m_spread"]) == (0, 0.333333, None)
    assert row["flags"] == "spacing-unknown;view-unknown"


def test_a_measured_knee() -> None:
    space = measured(spacing_source=SpacingSource.CALIBRATED)
    row = row_of(space.sizes)
    assert set(row) == set(table_columns(TASKS, osteophyte_areas=True))
    assert row["plateau_width_mm"] == pytest.approx(space.width_mm, abs=1e-6)
    assert 0 < row["jsw_m_mm"] < row["jsw_l_mm"] < 10
    for name in ("jsw_m", "jsw_l", "jsw_fixed_m", "jsw_fixed_l"):
        expected = row[f"{name}_mm"] / row["plateau_width_mm"]
        assert row[f"{name}_share"] == pytest.approx(expected, abs=1e-5)
    for half, part in (("l", space.lateral), ("m", space.medial)):
        for name, length in (("jsw", part.minimum), ("jsw_fixed", part.fixed)):
            assert row[f"{name}_{half}_mm"] == pytest.approx(length.mm, abs=1e-6)
            assert row[f"{name}_{half}_share"] == pytest.approx(length.share, abs=1e-6)
        spurs = (("spur_f", part.femur_spur), ("spur_t", part.tibia_spur))
        for name, area in (("jsa", part.area), *spurs):
            assert row[f"{name}_{half}_mm2"] == pytest.approx(area.mm2, abs=1e-6)
            assert row[f"{name}_{half}_share"] == pytest.approx(area.share, abs=1e-6)
    assert row["fta_deg"] == pytest.approx(space.femorotibial.degrees, abs=1e-6)
    assert row["spacing_source"] == "calibrated"


def test_a_knee_of_unknown_spacing_has_shares_alone() -> None:
    row = row_of(measured(spacing_mm=None, spacing_source=SpacingSource.UNKNOWN).sizes)
    in_mm = [name for name in (*SPACE_COLUMNS, *SPUR_COLUMNS) if name.endswith(("_mm", "_mm2"))]
    assert len(in_mm) == 11
    assert {row[name] for name in in_mm} == {None}
    assert row["jsw_m_share"] == pytest.approx(measured().medial.minimum.share, abs=1e-6)
    assert row["spacing_source"] == "unknown"


def test_a_refused_knee() -> None:
    flags = frozenset({Flag.IMPLANT, Flag.BLURRED})
    row = make_refused("d.dcm", ERROR, flags=flags).to_row()
    assert (row["status"], row["side"], row["error_code"]) == ("refused", "left", "image.empty")
    assert row["flags"] == "blurred;implant"


def test_a_file_that_gave_no_knee() -> None:
    row = KneeResult.of_error(ERROR, "d.dcm", KEY, Side.LEFT, "b").to_row()
    assert (row["status"], row["error_code"]) == ("failed", "image.empty")
    assert row["error"] == "The file has 0 bytes. Copy it again."
    assert (row["subject_id"], row["side"], row["bundle_id"]) == ("0012", "left", "b")
    assert make_failed().to_row()["side"] is None


def test_a_knee_is_graded_or_has_an_error() -> None:
    with pytest.raises(ValueError, match="graded or has an error"):
        make_result(error_code="knee.implant")
    with pytest.raises(ValueError, match="graded or has an error"):
        make_refused(error_code="")
    with pytest.raises(TypeError):
        make_result().tasks[Task.KL] = None  # type: ignore[index]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "graded"},
        {"side": "both"},
        {"flags": "no-flag-of-ours"},
        {"spacing_source": "a ruler"},
        {"jsw_m_share": -1.0},
        {"kl": 2, "error_code": "image.empty"},
    ],
    ids=str,
)
def test_a_row_that_makes_no_sense(changes: dict[str, Any]) -> None:
    row = make_result(joint=make_joint()).to_row()
    assert KneeResult.of_row(row).to_row() == row
    with pytest.raises(ValueError, match=r"."):
        KneeResult.of_row(row | changes)


def test_a_row_of_something_else() -> None:
    with pytest.raises(KeyError):
        KneeResult.of_row({"source": "a.png"})


def test_what_the_grader_gave_becomes_its_result() -> None:
    radiograph, landmarks = film_of(flags=frozenset({Flag.VIEW_UNKNOWN}))
    roi = crop_knee(radiograph, landmarks, RoiSpec(size_px=32))
    graded = GradedKnee(landmarks, roi, measured(), prediction())
    result = result_of(graded, "a.dcm", KEY, "b")
    assert (result.status, result.side, result.key) == (Status.OK, Side.LEFT, KEY)
    assert result.flags == prediction().flags
    assert result.bundle_id == "tiny-0.1-abc", "of what graded it"
    assert result.joint == measured().sizes.rounded(6)
    assert type(result.joint.medial) is CompartmentSizes, "the numbers alone"

    error = KneeNotFoundError("knee.implant", "Metal.", "Leave it out.")
    found = PreparedKnee(radiograph, landmarks, replace(roi, flags=frozenset({Flag.IMPLANT})))
    refused = result_of(RefusedKnee(Side.LEFT, error, found), "a.dcm", KEY, "b")
    assert (refused.status, refused.side, refused.bundle_id) == (Status.REFUSED, Side.LEFT, "b")
    assert (refused.error_code, refused.error) == ("knee.implant", "Metal. Leave it out.")
    assert refused.flags == {Flag.IMPLANT}
    for side in (None, Side.RIGHT):
        nothing = result_of(RefusedKnee(side, error), "a.dcm", KEY, "b")
        assert (nothing.status, nothing.side, nothing.flags) == (Status.FAILED, side, frozenset())
