"""What holds for every phantom, whatever its grades and its seed."""

import cv2
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kneegrade.phantoms.anatomy import draw_knee_anatomy
from kneegrade.types import Grades, Side, Task

SPURS = (Task.FO_L, Task.FO_M, Task.TO_L, Task.TO_M)
NARROWING = (Task.JSN_L, Task.JSN_M)
grades = st.fixed_dictionaries({task: st.integers(0, 3) for task in (*SPURS, *NARROWING)})
seeds = st.integers(0, 2**32 - 1)
sides = st.sampled_from(Side)
few = settings(max_examples=40, deadline=None)


def drawn(values, seed, side=Side.RIGHT):
    return draw_knee_anatomy(side=side, grades=Grades(values), rng=np.random.default_rng(seed))


def raster(outline):
    canvas = np.zeros((3200, 2000), np.uint8)
    cv2.fillPoly(canvas, [np.rint(outline[:, ::-1] * 10 + (1000, 1600)).astype(np.int32)], 1)
    return canvas.astype(bool)


def drawn_gap(knee, task):
    """Smallest vertical gap of one compartment, in mm, counted on a raster of the outlines."""
    femur, tibia = raster(knee.outlines["femur"]), raster(knee.outlines["tibia"])
    centre, lateral = knee.landmarks_mm[4, 1], np.sign(knee.landmarks_mm[0, 1])
    away = lateral if task is Task.JSN_L else -lateral
    inner, outer = sorted((centre + away * np.array([18, 36]) * knee.scale) * 10 + 1000)
    cols = np.arange(int(inner), int(outer))
    lowest_femur = femur.shape[0] - 1 - femur[::-1, cols].argmax(axis=0)
    return (tibia[:, cols].argmax(axis=0) - lowest_femur - 1).min() / 10


@few
@given(values=grades, seed=seeds, side=sides, task=st.sampled_from(NARROWING))
def test_more_narrowing_never_widens_the_gap(values, seed, side, task):
    knees = [drawn({**values, task: grade}, seed, side) for grade in range(4)]
    stated = [knee.joint_space_mm[task] for knee in knees]
    assert np.all(np.diff(stated) < 0)
    counted = [drawn_gap(knee, task) for knee in knees]
    assert np.all(np.diff(counted) <= 0)
    assert counted[0] > counted[3] + 1


@few
@given(values=grades, seed=seeds, task=st.sampled_from(SPURS))
def test_a_higher_osteophyte_grade_never_shrinks_the_spur(values, seed, task):
    areas = []
    for grade in range(4):
        spur = drawn({**values, task: grade}, seed).spurs.get(task)
        areas.append(0.0 if spur is None else cv2.contourArea(np.float32(spur)))
    assert areas[0] == 0
    assert np.all(np.diff(areas) > 0)
    np.testing.assert_allclose(np.array(areas) / areas[3], [0, 1 / 3, 2 / 3, 1], rtol=1e-3)


@few
@given(values=grades, seed=seeds)
def test_left_is_right_mirrored(values, seed):
    right, left = drawn(values, seed), drawn(values, seed, Side.LEFT)
    assert np.array_equal(left.mirrored().landmarks_mm, right.landmarks_mm)
    assert left.joint_space_mm == right.joint_space_mm
    assert left.grades == right.grades


@few
@given(values=grades, seed=seeds)
def test_no_condyle_crosses_its_plateau(values, seed):
    """Only the spines may stand in the shadow of the notch, which lies around them in depth."""
    # When one compartment collapses the other opens; with both gone the drawing is no knee.
    assume(min(values[Task.JSN_L], values[Task.JSN_M]) < 3)
    knee = drawn(values, seed)
    both = raster(knee.outlines["femur"]) & raster(knee.outlines["tibia"])
    cols = (np.argwhere(both)[:, 1] - 1000) / 10 - knee.landmarks_mm[4, 1]
    assert np.all(np.abs(cols) < 11 * knee.scale)
