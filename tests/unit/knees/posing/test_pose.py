"""The one frame that all pictures of a knee are taken in."""

import numpy as np
import pytest

from kneegrade.images.geometry import apply_affine, invert_affine, resample
from kneegrade.knees.posing.pose import CENTRE_ABOVE_PLATEAU, StandardPose, take_picture
from kneegrade.knees.quality.metal import LegView
from kneegrade.types import Radiograph

ENDS = np.array([[210.0, 120.0], [230.0, 280.0]])
"""Of a right knee: the lateral end has the lesser column."""
N_COLS = 400


def mirrored(points: np.ndarray) -> np.ndarray:
    return np.stack([points[:, 0], N_COLS - 1 - points[:, 1]], axis=1)


def test_lengths_are_those_of_the_plateau() -> None:
    pose = StandardPose.of_plateau(ENDS)
    width = np.hypot(20, 160)
    assert pose.width == pytest.approx(width)
    assert StandardPose.of_plateau(ENDS, (0.5, 0.5)).width == pytest.approx(0.5 * width)
    np.testing.assert_allclose(pose.middle_px, [220, 200])
    np.testing.assert_allclose(pose.medial_px, [20, 160])
    np.testing.assert_allclose(pose.distal_px, [160, -20])


def test_a_mirrored_film_has_the_mirrored_frame() -> None:
    """Distal stays below and lateral first, so that both pictures are the same."""
    frame = StandardPose.of_plateau(ENDS).square_frame(64, 1.25, 0.3)
    other = StandardPose.of_plateau(mirrored(ENDS)).square_frame(64, 1.25, 0.3)
    places = np.random.default_rng(0).uniform(0, 63, (20, 2))
    there = apply_affine(other, places)
    np.testing.assert_allclose(mirrored(there), apply_affine(frame, places), atol=1e-9)
    assert np.linalg.det(frame[:, :2]) > 0 > np.linalg.det(other[:, :2])
    assert frame[0, 0] > 0
    assert other[0, 0] > 0


@pytest.mark.parametrize("pixel_size", [(1.0, 1.0), (0.2, 0.2), (0.3, 0.2), (1.0, 1.6)])
@pytest.mark.parametrize("ends", [ENDS, mirrored(ENDS)])
def test_the_pictures_pixels_are_square_on_any_film(
    ends: np.ndarray, pixel_size: tuple[float, float]
) -> None:
    pose = StandardPose.of_plateau(ends, pixel_size)
    assert pose.width == pytest.approx(np.linalg.norm((ends[1] - ends[0]) * pixel_size))
    frame = pose.frame(50, (30.0, 40.0))
    down, across = (frame[:, :2] * np.array(pixel_size)[:, np.newaxis]).T
    step = pose.width / 50
    assert np.linalg.norm(down) == pytest.approx(step)
    assert np.linalg.norm(across) == pytest.approx(step)
    assert down @ across == pytest.approx(0, abs=1e-9)
    lateral, medial = apply_affine(invert_affine(frame), ends)
    np.testing.assert_allclose(lateral, [30, 40 - 25], atol=1e-9)
    np.testing.assert_allclose(medial, [30, 40 + 25], atol=1e-9)


@pytest.mark.parametrize("below_joint", [0.0, -1.5, 0.75])
@pytest.mark.parametrize("pixel_size", [(1.0, 1.0), (0.3, 0.2)])
@pytest.mark.parametrize("ends", [ENDS, mirrored(ENDS)])
def test_the_plateau_lies_where_a_view_of_the_leg_has_it(
    ends: np.ndarray, pixel_size: tuple[float, float], below_joint: float
) -> None:
    size, widths = 96, 1.4
    frame = StandardPose.of_plateau(ends, pixel_size).square_frame(size, widths, below_joint)
    view = LegView(np.zeros((size, size), np.float32), frame, (500, N_COLS), widths, below_joint)
    np.testing.assert_allclose(apply_affine(frame, view.plateau), ends, atol=1e-9)
    first, second = view.rows_below_joint()[:2]
    assert first + view.plateau[0, 0] * (second - first) == pytest.approx(CENTRE_ABOVE_PLATEAU)


def test_the_view_of_the_other_side_is_mirrored() -> None:
    rng = np.random.default_rng(0)
    film = Radiograph(rng.normal(size=(500, N_COLS)), "id")

    def take(ends: np.ndarray) -> LegView:
        frame = StandardPose.of_plateau(ends).square_frame(64, 1.4)
        pixels = take_picture(film, frame, 64)
        return LegView(pixels, frame, film.pixels.shape, 1.4)

    one, other = take(ENDS), take(ENDS[::-1])
    np.testing.assert_allclose(one.pixels[:, ::-1], other.pixels, atol=1e-3)
    np.testing.assert_array_equal(one.invert().pixels, -one.pixels)


def test_beyond_the_film_it_is_as_dark_as_the_film_is() -> None:
    film = Radiograph(np.full((500, N_COLS), 7.0, np.float32) + np.eye(500, N_COLS) * 3, "id")
    inside = StandardPose.of_plateau(ENDS).square_frame(64, 1.25)
    assert resample(film.pixels, inside, (64, 64), fill=0.0)[1] == 1
    over = StandardPose.of_plateau(ENDS - (0, 200)).square_frame(64, 1.25)
    assert 0.3 < resample(film.pixels, over, (64, 64), fill=0.0)[1] < 0.7
    pixels = take_picture(film, over, 64)
    assert pixels[:, 0].min() == pixels[:, 0].max() == 7
