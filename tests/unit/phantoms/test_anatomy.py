import cv2
import numpy as np
import pytest

from kneegrade.phantoms.anatomy import LANDMARK_NAMES, compute_kl, draw_knee_anatomy
from kneegrade.types import Grades, Side, Task

SITES = (Task.FO_L, Task.FO_M, Task.TO_L, Task.TO_M, Task.JSN_L, Task.JSN_M)


def features(*values: int) -> Grades:
    return Grades(dict(zip(SITES, values, strict=True)))


def drawn(grades: Grades, seed: int = 0, side: Side = Side.RIGHT):
    return draw_knee_anatomy(side=side, grades=grades, rng=np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("values", "kl"),
    [
        ((0, 0, 0, 0, 0, 0), 0),
        ((0, 0, 1, 0, 0, 0), 1),
        ((0, 0, 0, 0, 1, 0), 1),
        ((0, 0, 1, 0, 0, 1), 2),
        ((0, 2, 0, 0, 0, 0), 2),
        ((3, 3, 3, 3, 1, 1), 2),
        ((0, 0, 0, 0, 2, 0), 3),
        ((0, 0, 0, 0, 1, 3), 4),
    ],
)
def test_kl_follows_the_stated_rule(values, kl):
    assert compute_kl(features(*values)) == kl
    assert drawn(features(*values)).grades[Task.KL] == kl


def test_an_absent_feature_or_a_contradicting_kl_is_refused():
    with pytest.raises(ValueError, match="jsn_m"):
        drawn(Grades(dict.fromkeys(SITES[:-1], 0)))
    with pytest.raises(ValueError, match=r"KL 0 by the rule\. Got 4"):
        drawn(Grades({**features(0, 0, 0, 0, 0, 0), Task.KL: 4}))


def test_left_is_the_mirror_image_of_right():
    grades = features(1, 2, 0, 3, 0, 2)
    right, left = drawn(grades, 5), drawn(grades, 5, Side.LEFT)
    flip = np.array([1, -1])
    assert (left.side, right.side) == (Side.LEFT, Side.RIGHT)
    assert np.array_equal(left.landmarks_mm, right.landmarks_mm * flip)
    for name, outline in right.outlines.items():
        assert np.array_equal(left.outlines[name], outline * flip)
    for task, spur in right.spurs.items():
        assert np.array_equal(left.spurs[task], spur * flip)


def test_the_fibula_is_lateral():
    assert drawn(features(0, 0, 0, 0, 0, 0)).outlines["fibula"][:, 1].mean() < -20


def test_landmarks_lie_on_the_bones_edge():
    for seed in range(5):
        knee = drawn(features(0, 1, 2, 3, 1, 3), seed)
        for name, point in zip(LANDMARK_NAMES, knee.landmarks_mm, strict=True):
            outline = knee.outlines["tibia" if name[0] == "t" else "femur"]
            distance = np.linalg.norm(outline - point, axis=1).min()
            assert distance < 1e-6, name


def test_a_spur_grows_outwards_from_the_joint_line():
    knee = drawn(features(3, 3, 3, 3, 0, 0))
    for task, corner in (
        (Task.FO_L, "f0"),
        (Task.FO_M, "f6"),
        (Task.TO_L, "t0"),
        (Task.TO_M, "t8"),
    ):
        col = knee.landmarks_mm[LANDMARK_NAMES.index(corner), 1]
        reach = (knee.spurs[task][:, 1] - col) * np.sign(col)
        assert 4 < reach.max() < 9, task


def test_the_gap_of_the_outlines_is_the_stated_joint_space():
    """Measured from the femur's points to the tibia's outline, in any direction."""
    for seed in range(4):
        knee = drawn(features(0, 0, 0, 0, 0, 2), seed)
        femur, tibia = knee.outlines["femur"], np.float32(knee.outlines["tibia"][:, None])
        outwards = (femur[:, 1] - knee.landmarks_mm[4, 1]) / knee.scale
        for task, sign in ((Task.JSN_L, -1), (Task.JSN_M, 1)):
            condyle = femur[(sign * outwards > 20) & (sign * outwards < 37)]
            near = min(-cv2.pointPolygonTest(tibia, tuple(map(float, p)), True) for p in condyle)
            assert near == pytest.approx(knee.joint_space_mm[task], rel=0.12), (seed, task)


def test_normal_widths_and_sizes_are_those_of_the_source():
    knees = [drawn(features(0, 0, 0, 0, 0, 0), seed) for seed in range(60)]
    widths = [np.linalg.norm(k.landmarks_mm[8] - k.landmarks_mm[0]) for k in knees]
    assert np.mean(widths) == pytest.approx(77.5, abs=2.5)
    assert 4 < np.std(widths) < 8
    assert np.mean([k.joint_space_mm[Task.JSN_L] for k in knees]) == pytest.approx(5.45, abs=0.4)
    assert np.mean([k.joint_space_mm[Task.JSN_M] for k in knees]) == pytest.approx(4.56, abs=0.4)
