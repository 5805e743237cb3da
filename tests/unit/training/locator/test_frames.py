import numpy as np
import pytest

from kneegrade.phantoms.knees.shape import mean_landmarks
from kneegrade.training.locator.frames import fit_frame

SCALE = np.array([2.17, 2.36])
"""Pixels of the open pictures are oblong."""
SHIFT = np.array([104.0, 118.5])


@pytest.fixture
def shape() -> np.ndarray:
    """The mean knee, (16, 2) in mm."""
    return np.asarray(mean_landmarks(), float)


def test_an_exact_frame_is_recovered(shape: np.ndarray) -> None:
    frame = fit_frame(shape, shape * SCALE + SHIFT)
    np.testing.assert_allclose(frame.px_per_mm, SCALE)
    np.testing.assert_allclose(frame.shift_px, SHIFT)
    np.testing.assert_allclose(frame.residuals_mm, 0, atol=1e-9)
    np.testing.assert_allclose(frame.to_px(shape), shape * SCALE + SHIFT)


@pytest.mark.parametrize("seed", range(5))
def test_points_that_are_wrong_hardly_move_it(shape: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = shape * SCALE + SHIFT + rng.normal(0, 0.5 * SCALE, shape.shape)
    wrong = rng.permutation(16)[:3]
    points[wrong] += rng.choice([-1, 1], (3, 2)) * rng.uniform(15, 40, (3, 2)) * SCALE
    frame = fit_frame(shape, points)
    np.testing.assert_allclose(frame.px_per_mm, SCALE, rtol=0.04)
    assert (np.abs(frame.shift_px - SHIFT) < 1.5 * SCALE).all()
    assert set(np.argsort(frame.residuals_mm)[-3:]) == set(wrong)
    plain = fit_frame(shape, points, robust=False)
    assert np.abs(frame.px_per_mm - SCALE).max() < np.abs(plain.px_per_mm - SCALE).max()


def test_without_weights_it_is_least_squares(shape: np.ndarray) -> None:
    points = shape * SCALE + SHIFT + np.random.default_rng(0).normal(0, 2, shape.shape)
    frame = fit_frame(shape, points, robust=False)
    for axis in range(2):
        slope, offset = np.polyfit(shape[:, axis], points[:, axis], 1)
        assert frame.px_per_mm[axis] == pytest.approx(slope)
        assert frame.shift_px[axis] == pytest.approx(offset)


def test_residuals_are_in_mm(shape: np.ndarray) -> None:
    points = shape * SCALE + SHIFT
    points[4] += (0.0, 20 * SCALE[1])
    residuals = fit_frame(shape, points).residuals_mm
    assert residuals[4] == pytest.approx(20, rel=0.02)
    assert np.delete(residuals, 4).max() < 0.2
