"""What holds for every phantom, whatever its severities and its seed."""

from dataclasses import replace

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kneegrade.phantoms.films.attenuation import FilmGrid, compute_bone
from kneegrade.phantoms.knees.anatomy import Positioning, draw_knee_anatomy
from kneegrade.phantoms.knees.severity import FEATURES, NARROWING, OSTEOPHYTES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.terms import LANDMARK_NAMES
from kneegrade.types import Side

severities = st.fixed_dictionaries({task: st.floats(0, 3.99) for task in FEATURES}).map(Severity)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=30, deadline=None)


def drawn(severity, seed, side=Side.RIGHT, tilt_deg=0.0):
    rng = np.random.default_rng(seed)
    sex = ("female", "male")[seed % 2]
    return draw_knee_anatomy(
        side=side,
        shape=draw_body(sex=sex, bmi=rng.uniform(18, 45), rng=rng).legs[side],
        severity=severity,
        positioning=Positioning(tilt_deg=tilt_deg),
    )


def raster(outline):
    canvas = np.zeros((3200, 2400), np.uint8)
    cv2.fillPoly(canvas, [np.rint(outline[:, ::-1] * 10 + (1200, 1600)).astype(np.int32)], 1)
    return canvas.astype(bool)


def drawn_gap(knee, task):
    """Smallest gap along the rows of one compartment in mm, counted on a raster."""
    femur, tibia = raster(knee.outlines["femur"]), raster(knee.outlines["tibia"])
    sign = -1 if task is NARROWING[0] else 1
    cols = 1200 + sign * np.arange(round(120 * knee.shape.scale), round(360 * knee.shape.scale))
    lowest_femur = femur.shape[0] - 1 - femur[::-1, cols].argmax(axis=0)
    return (tibia[:, cols].argmax(axis=0) - lowest_femur - 1).min() / 10


@few
@given(severity=severities, seed=seeds, side=st.sampled_from(Side), task=st.sampled_from(NARROWING))
def test_more_narrowing_never_widens_the_gap(severity, seed, side, task):
    knees = [drawn(Severity({**severity, task: jsn}), seed, side) for jsn in (0.5, 1.5, 2.5, 3.5)]
    stated = [knee.joint_space_mm[task] for knee in knees]
    assert np.all(np.diff(stated) < 0)
    if side is Side.RIGHT:
        counted = [drawn_gap(knee, task) for knee in knees]
        assert np.all(np.diff(counted) < 0.2)
        assert counted[0] > counted[3] + 1


@few
@given(severity=severities, seed=seeds, task=st.sampled_from(OSTEOPHYTES))
def test_a_higher_osteophyte_grade_never_shrinks_the_spur(severity, seed, task):
    areas = []
    for worse in (0.5, 1.0, 1.5, 2.5, 3.5, 3.99):
        spur = drawn(Severity({**severity, task: worse}), seed).spurs.get(task)
        areas.append(0.0 if spur is None else cv2.contourArea(np.float32(spur)))
    assert areas[0] == 0
    assert np.all(np.diff(areas) > 0)
    np.testing.assert_allclose(np.array(areas[2:5]) / areas[4], [1 / 3, 2 / 3, 1], rtol=1e-3)


@few
@given(severity=severities, seed=seeds, tilt_deg=st.floats(-6, 6))
def test_left_is_right_mirrored(severity, seed, tilt_deg):
    shape = draw_body(sex="male", bmi=27, rng=np.random.default_rng(seed)).legs[Side.RIGHT]
    right, left = (
        draw_knee_anatomy(
            side=side, shape=shape, severity=severity, positioning=Positioning(tilt_deg=tilt_deg)
        )
        for side in (Side.RIGHT, Side.LEFT)
    )
    assert np.array_equal(left.mirrored().landmarks_mm, right.landmarks_mm)
    assert left.joint_space_mm == right.joint_space_mm
    grid = FilmGrid((300, 240), 0.5, (150.0, 119.5))
    smooth = [
        compute_bone(replace(knee, shape=replace(shape, coarseness=0.0), lines=()), grid, rng())
        for knee in (right, left)
    ]
    assert np.abs(smooth[0] - smooth[1][:, ::-1]).mean() < 0.002


def rng():
    return np.random.default_rng(0)


@few
@given(severity=severities, seed=seeds)
def test_no_condyle_crosses_its_plateau(severity, seed):
    """Only the spines may stand in the shadow of the notch, which lies around them in depth."""
    knee = drawn(severity, seed)
    both = raster(knee.outlines["femur"]) & raster(knee.outlines["tibia"])
    cols = np.abs((np.argwhere(both)[:, 1] - 1200) / 10)
    beyond = cols[cols > 12.5 * knee.shape.scale]
    assert len(beyond) < 100  # 1 mm2: the bumps of two edges that touch


@few
@given(severity=severities, seed=seeds, side=st.sampled_from(Side), tilt_deg=st.floats(-6, 6))
def test_landmarks_lie_on_the_rendered_edge_within_0_3_mm(severity, seed, side, tilt_deg):
    knee = drawn(severity, seed, side, tilt_deg)
    grid = FilmGrid((800, 1700), 0.0625, (400, 850))
    for bone in ("tibia", "femur"):
        alone = replace(knee, outlines={bone: knee.outlines[bone]}, spurs={}, lines=())
        shows = (compute_bone(alone, grid, rng()) > 0).astype(np.uint8)
        inside = cv2.distanceTransform(shows, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        outside = cv2.distanceTransform(1 - shows, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        names = [name for name in LANDMARK_NAMES if name[0] == bone[0]]
        for name in names:
            row, col = np.rint(
                grid.to_px(knee.landmarks_mm[LANDMARK_NAMES.index(name)][None])
            ).astype(int)[0]
            away = max(inside[row, col], outside[row, col]) * grid.spacing_mm
            assert away <= 0.3, (name, away)
