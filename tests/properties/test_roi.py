"""From a radiograph to the reported grade: what must hold for any knee."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kneegrade.bundles.manifest import Decoding
from kneegrade.grading.grader import decode_grade, expected_grade, softmax
from kneegrade.images.geometry import apply_affine, invert_affine
from kneegrade.knees.crop import InputKind, box_affine, crop_knee
from kneegrade.knees.orientation import KneeBox
from kneegrade.types import Radiograph, Side

STEP = 1 / 255
sides = st.sampled_from(list(Side))
sizes = st.integers(16, 200)
logits = st.integers(3, 6).flatmap(
    lambda n: arrays.arrays(np.float64, n, elements=st.floats(-50, 50, width=32))
)
probabilities = logits.map(softmax)


@st.composite
def boxes(draw: st.DrawFn) -> KneeBox:
    corner = st.floats(-500, 3000)
    return KneeBox(
        top=draw(corner),
        left=draw(corner),
        size_px=draw(st.floats(20, 2000)),
        side=draw(sides),
        inverted=False,
        score=1.0,
    )


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


@given(boxes(), sizes, st.booleans(), st.floats(-0.5, 1), st.floats(-0.5, 1))
def test_points_go_to_the_radiograph_and_back(
    box: KneeBox, size: int, mirrored: bool, row: float, column: float
) -> None:
    affine = box_affine(box, size, mirrored=mirrored)
    point = np.array([row, column]) * size
    on_film = apply_affine(affine, point)
    np.testing.assert_allclose(apply_affine(invert_affine(affine), on_film), point, atol=1e-6)
    assert bool(np.linalg.det(affine[:, :2]) < 0) is mirrored


@given(boxes(), sizes, st.booleans())
def test_the_roi_covers_the_box(box: KneeBox, size: int, mirrored: bool) -> None:
    affine = box_affine(box, size, mirrored=mirrored)
    edges = apply_affine(affine, [[-0.5, -0.5], [size - 0.5, size - 0.5]]) + 0.5
    np.testing.assert_allclose(edges.min(axis=0), [box.top, box.left], atol=1e-6)
    np.testing.assert_allclose(np.ptp(edges, axis=0), box.size_px, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(pictures(), sides, sizes)
def test_a_mirrored_picture_with_the_other_side_gives_the_same_roi(
    picture: np.ndarray, side: Side, size: int
) -> None:
    options = {"size_px": size, "kind": InputKind.CROP}
    roi = crop_knee(Radiograph(picture, "id"), side=side, **options)
    mirrored = crop_knee(Radiograph(picture[:, ::-1], "id"), side=side.other, **options)
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
    options = {"size_px": 64, "side": side, "kind": InputKind.CROP}
    roi = crop_knee(Radiograph(picture, "id"), **options)
    windowed = crop_knee(
        Radiograph(picture * np.float32(gain) + np.float32(offset), "id"), **options
    )
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
