from dataclasses import replace

import cv2
import numpy as np
import pytest

from kneegrade.phantoms.films.implant import draw_replaced_knee
from kneegrade.phantoms.knees.anatomy import (
    Positioning,
    compute_joint_space,
    compute_spur_share,
    draw_knee_anatomy,
)
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.terms import LANDMARK_NAMES
from kneegrade.types import Side, Task


def severity(**values: float) -> Severity:
    named = {Task(name): value for name, value in values.items()}
    return Severity({**dict.fromkeys(FEATURES, 0.5), **named})


def leg(seed=0, sex="female"):
    return draw_body(sex=sex, bmi=28, rng=np.random.default_rng(seed)).legs[Side.RIGHT]


def drawn(seed=0, side=Side.RIGHT, tilt_deg=0.0, **values):
    return draw_knee_anatomy(
        side=side,
        shape=leg(seed),
        severity=severity(**values),
        positioning=Positioning(tilt_deg=tilt_deg),
    )


def test_left_is_the_mirror_image_of_right():
    right, left = (drawn(5, side, 2.0, fo_m=2.5, jsn_m=3.2) for side in Side)
    flip = np.array([1, -1])
    assert (left.side, right.side) == (Side.LEFT, Side.RIGHT)
    assert np.array_equal(left.landmarks_mm, right.landmarks_mm * flip)
    for name, outline in right.outlines.items():
        assert np.array_equal(left.outlines[name], outline * flip)
    for task, spur in right.spurs.items():
        assert np.array_equal(left.spurs[task], spur * flip)


def test_a_positive_tilt_puts_the_medial_edge_lower():
    knee = drawn(1, tilt_deg=5)
    down, along = knee.landmarks_mm[8] - knee.landmarks_mm[0]
    assert np.rad2deg(np.arctan2(down, along)) == pytest.approx(5)


def test_the_fibula_is_lateral_and_the_patella_before_the_femur():
    knee = drawn()
    assert knee.outlines["fibula"][:, 1].mean() < -20
    assert -70 < knee.outlines["patella"][:, 0].mean() < -20


def test_narrowing_takes_its_thirds_and_the_other_side_opens():
    shape = leg(2)
    normal = shape.normal_space_mm
    for jsn, kept in ((0.5, 1), (1.0, 1), (1.99, 0.67), (2.5, 0.5), (3.0, 1 / 3)):
        space = compute_joint_space(shape, severity(jsn_m=jsn))
        assert space[Task.JSN_M] == pytest.approx(kept * normal[Task.JSN_M], rel=0.01)
        opened = 0.3 * (1 - kept) * normal[Task.JSN_M]
        assert space[Task.JSN_L] == pytest.approx(normal[Task.JSN_L] + opened, abs=0.02)
    closed = compute_joint_space(shape, severity(jsn_m=3.99, jsn_l=1.5))
    assert 0 < closed[Task.JSN_M] < 0.1
    assert closed[Task.JSN_L] < normal[Task.JSN_L]


def test_the_gap_of_the_outlines_is_the_stated_joint_space():
    """Counted along the rows between the drawn outlines, bumps of the edges included."""
    for seed in range(6):
        knee = drawn(seed, jsn_m=2.5)
        scale = knee.shape.scale
        femur, tibia = (rows_by_column(knee.outlines[name], name) for name in ("femur", "tibia"))
        for task, sign in ((Task.JSN_L, -1), (Task.JSN_M, 1)):
            cols = sign * np.arange(round(120 * scale), round(360 * scale))
            gap = (tibia[1000 + cols] - femur[1000 + cols]).min() / 10
            assert gap == pytest.approx(knee.joint_space_mm[task], abs=0.4), (seed, task)


def rows_by_column(outline, name):
    """Joint surface of an outline in tenths of a millimetre, column by column."""
    canvas = np.zeros((700, 2000), np.uint8)
    points = np.rint(outline[:, ::-1] * 10 + (1000, 350)).astype(np.int32)
    cv2.fillPoly(canvas, [points], 1)
    if name == "tibia":
        return canvas.argmax(axis=0)
    return canvas.shape[0] - 1 - canvas[::-1].argmax(axis=0)


def test_a_spur_grows_outwards_from_the_joint_line_in_thirds():
    assert [compute_spur_share(s) for s in (0.9, 1.5, 2.5, 3.5)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
    knee = drawn(fo_l=3.5, fo_m=3.5, to_l=3.5, to_m=3.5)
    corners = {Task.FO_L: "f0", Task.FO_M: "f6", Task.TO_L: "t0", Task.TO_M: "t8"}
    for task, corner in corners.items():
        tip = knee.landmarks_mm[LANDMARK_NAMES.index(corner)]
        reach = (knee.spurs[task][:, 1] - tip[1]) * np.sign(tip[1])
        assert 4 < reach.max() < 10, task
        away = (knee.spurs[task][:, 0] - tip[0]) * (-1 if corner[0] == "f" else 1)
        assert 6 < away.max() < 20, task


def test_sclerosis_thickens_the_plate_and_attrition_lowers_it():
    plain, hard, worn = drawn(), drawn(scl_tm=3.5), drawn(att_tm=3.5)
    assert hard.lines[2].bone_mm > 1.5 * plain.lines[2].bone_mm
    assert hard.lines[2].width_mm > 1.5 * plain.lines[2].width_mm
    assert hard.lines[0].bone_mm == plain.lines[0].bone_mm
    middle = LANDMARK_NAMES.index("t7")
    assert worn.landmarks_mm[middle, 0] > plain.landmarks_mm[middle, 0] + 3
    assert worn.joint_space_mm == plain.joint_space_mm


def test_an_implant_is_metal_on_both_bones_with_a_gap_between():
    knee = draw_replaced_knee(side=Side.LEFT, shape=leg(3), positioning=Positioning())
    tray, keel, shield = knee.metal
    assert shield[:, 0].max() + 3 < tray[:, 0].min()
    assert keel[:, 0].max() > tray[:, 0].max() + 20
    assert np.ptp(tray[:, 1]) == pytest.approx(np.ptp(shield[:, 1]), rel=0.15)


def test_shapes_without_a_fabella_have_none():
    with_one = replace(leg(), fabella=True)
    assert (
        "fabella"
        in draw_knee_anatomy(side=Side.RIGHT, shape=with_one, severity=severity()).outlines
    )
    without = replace(leg(), fabella=False)
    assert (
        "fabella"
        not in draw_knee_anatomy(side=Side.RIGHT, shape=without, severity=severity()).outlines
    )
