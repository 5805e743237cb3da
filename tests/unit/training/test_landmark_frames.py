import numpy as np
import pytest

from kneegrade.phantoms.shape import mean_landmarks
from kneegrade.training.landmark_frames import fit_frame

SCALE = 2.17
SHIFT = np.array([104.0, 118.5])


@pytest.fixture
def shape() -> np.ndarray:
    """The mean knee, (16, 2) in mm."""
    return np.asarray(mean_landmarks(), float)


def test_an_exact_frame_is_recovered(shape: np.ndarray) -> None:
    frame = fit_frame(shape, shape * SCALE + SHIFT)
    assert frame.px_per_mm == pytest.approx(SCALE)
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
    assert frame.px_per_mm == pytest.approx(SCALE, rel=0.03)
    np.testing.assert_allclose(frame.shift_px, SHIFT, atol=1.5 * SCALE)
    assert set(np.argsort(frame.residuals_mm)[-3:]) == set(wrong)
    least_squares = np.polyfit(shape.ravel(), (points - points.mean(axis=0)).ravel(), 1)[0]
    assert abs(frame.px_per_mm - SCALE) < abs(least_squares - SCALE)


def test_residuals_are_in_mm(shape: np.ndarray) -> None:
    points = shape * SCALE + SHIFT
    points[4] += (0.0, 20 * SCALE)
    residuals = fit_frame(shape, points).residuals_mm
    assert residuals[4] == pytest.approx(20, rel=0.02)
    assert np.delete(residuals, 4).max() < 0.2
