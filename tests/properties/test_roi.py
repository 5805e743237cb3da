"""From a radiograph to the reported grade: what must hold for any knee."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kneegrade.bundles.manifest import Decoding
from kneegrade.grading.grader import decode_grade, expected_grade, softmax
from kneegrade.images.geometry import apply_affine, invert_affine
from kneegrade.knees.posing.crop import RoiSpec, crop_knee
from kneegrade.knees.posing.pose import StandardPose
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side

STEP = 1 / 255
sides = st.sampled_from(list(Side))
sizes = st.integers(16, 200)
logits = st.integers(3, 6).flatmap(
    lambda n: arrays.arrays(np.float64, n, elements=st.floats(-50, 50, width=32))
)
probabilities = logits.map(softmax)


@st.composite
def plateaus(draw: st.DrawFn) -> np.ndarray:
    """Lateral and medial end of a plateau, (2, 2), tilted by 30 degrees at most."""
    middle = np.array([draw(st.floats(-500, 3000)), draw(st.floats(-500, 3000))])
    angle = np.deg2rad(draw(st.floats(-30, 30)))
    half = draw(st.floats(10, 1000)) * np.array([np.sin(angle), np.cos(angle)])
    return np.array([middle - half, middle + half])[:: draw(st.sampled_from([1, -1]))]


def landmarks_on(picture: np.ndarray, side: Side) -> Landmarks:
    """Points in the middle of a picture, plateau level, lateral where the side has it."""
    n = picture.shape[0]
    cols = np.array([*np.linspace(0.2, 0.8, 9), *np.linspace(0.2, 0.8, 7)]) * (n - 1)
    rows = np.array([0.55] * 9 + [0.45] * 7) * (n - 1)
    cols = cols if side is Side.RIGHT else n - 1 - cols
    return Landmarks(side, LandmarkScheme.KNEEL_16, np.stack([rows, cols], 1), np.ones(16))


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """A picture with smooth and fine structure, (n, n) float32."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(64, 160))
    rows, columns = np.indices((n, n)) / n
    waves = sum(
        rng.normal()
        * np.sin(2 * np.pi * (rng.uniform(-3, 3) * rows + rng.uniform(-3, 3) * columns))
        for _ in range(4)
    )
    return (100 * waves + rng.normal(0, 5, (n, n)) + 500).astype(np.float32)


@given(plateaus(), sizes, st.floats(0.5, 3), st.floats(-0.5, 1), st.floats(-0.5, 1))
def test_points_go_to_the_radiograph_and_back(
    ends: np.ndarray, size: int, widths: float, row: float, column: float
) -> None:
    affine = StandardPose.of_plateau(ends).square_frame(size, widths)
    point = np.array([row, column]) * size
    on_film = apply_affine(affine, point)
    np.testing.assert_allclose(apply_affine(invert_affine(affine), on_film), point, atol=1e-6)
    assert bool(np.linalg.det(affine[:, :2]) < 0) is bool(ends[1, 1] < ends[0, 1])


@given(plateaus(), sizes, st.floats(0.5, 3), st.floats(0.8, 1.25))
def test_the_plateau_is_level_and_as_wide_as_asked(
    ends: np.ndarray, size: int, widths: float, stretch: float
) -> None:
    spacing = (0.2, 0.2 * stretch)
    affine = StandardPose.of_plateau(ends, spacing).square_frame(size, widths)
    in_mm = affine[:, :2] * np.array(spacing)[:, None]
    squares = in_mm.T @ in_mm / (in_mm[0] @ in_mm[0])
    np.testing.assert_allclose(squares, np.eye(2), atol=1e-9, err_msg="square in mm")
    lateral, medial = apply_affine(invert_affine(affine), ends)
    np.testing.assert_allclose(medial - lateral, [0, size / widths], atol=1e-6)
    assert apply_affine(affine, [size, 0])[0] > apply_affine(affine, [0, 0])[0], "distal is below"


@settings(max_examples=40, deadline=None)
@given(pictures(), sides, sizes)
def test_a_mirrored_picture_with_the_other_side_gives_the_same_roi(
    picture: np.ndarray, side: Side, size: int
) -> None:
    spec = RoiSpec(size_px=size)
    roi = crop_knee(Radiograph(picture, "id"), landmarks_on(picture, side), spec)
    other = landmarks_on(picture, side.other)
    mirrored = crop_knee(Radiograph(picture[:, ::-1], "id"), other, spec)
    assert mirrored.mirrored is not roi.mirrored
    np.testing.assert_allclose(mirrored.pixels, roi.pixels, atol=1.01 * STEP)
    centre = [(size - 1) / 2, size / 3]
    there, here = (apply_affine(r.to_radiograph, centre) for r in (mirrored, roi))
    np.testing.assert_allclose(there, [here[0], picture.shape[1] - 1 - here[1]], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(pictures(), sides, st.floats(0.1, 50), st.floats(-1000, 1000))
def test_a_linear_window_leaves_the_roi(
    picture: np.ndarray, side: Side, gain: float, offset: float
) -> None:
    spec, landmarks = RoiSpec(size_px=64, plateau_widths=1.0), landmarks_on(picture, side)
    roi = crop_knee(Radiograph(picture, "id"), landmarks, spec)
    changed = picture * np.float32(gain) + np.float32(offset)
    windowed = crop_knee(Radiograph(changed, "id"), landmarks, spec)
    np.testing.assert_allclose(windowed.pixels, roi.pixels, atol=2.01 * STEP)


@given(logits, st.floats(-100, 100))
def test_softmax_is_not_moved_by_a_shift(scores: np.ndarray, shift: float) -> None:
    p = softmax(scores)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(), 1)
    np.testing.assert_allclose(softmax(scores + shift), p, atol=1e-9)


@given(logits)
def test_softmax_keeps_the_order(scores: np.ndarray) -> None:
    p = softmax(scores)
    assert (np.diff(p[np.argsort(scores)]) >= 0).all()
    assert p[np.argmax(scores)] == p.max()


@given(probabilities, st.sampled_from(list(Decoding)))
def test_the_grade_is_on_the_scale(p: np.ndarray, decoding: Decoding) -> None:
    assert 0 <= decode_grade(p, decoding) < len(p)


@given(st.integers(4, 5), st.integers(0, 4), st.sampled_from(list(Decoding)))
def test_a_sure_grade_is_reported_by_either_decoding(
    n_grades: int, grade: int, decoding: Decoding
) -> None:
    grade = min(grade, n_grades - 1)
    assert decode_grade(np.eye(n_grades)[grade], decoding) == grade


@given(probabilities, st.data())
def test_moving_probability_up_never_lowers_the_expected_grade(
    p: np.ndarray, data: st.DataObject
) -> None:
    source = data.draw(st.integers(0, len(p) - 2))
    target = data.draw(st.integers(source + 1, len(p) - 1))
    amount = data.draw(st.floats(0, 1)) * p[source]
    moved = p.copy()
    moved[source] -= amount
    moved[target] += amount
    assert expected_grade(moved) >= expected_grade(p) - 1e-12
    before, after = (decode_grade(q, Decoding.EXPECTED) for q in (p, moved))
    assert after >= before or abs(expected_grade(p) % 1 - 0.5) < 1e-9


@given(probabilities)
def test_the_expected_grade_is_the_nearest(p: np.ndarray) -> None:
    assert abs(decode_grade(p, Decoding.EXPECTED) - expected_grade(p)) <= 0.5 + 1e-12
