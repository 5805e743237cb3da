import numpy as np
import pytest

from kneegrade.knees.locating.heatmaps import (
    STRIDE,
    compute_probabilities,
    decode_heatmaps,
    find_second_peak,
)

ABSENT = np.full((1, 1), -20, np.float32)


def heatmap_at(*points: tuple[float, float], size: int = 48) -> np.ndarray:
    """Logits of Gaussians at ``(row, col)`` px of the heat map: (1, 1, size, size)."""
    rows, cols = np.indices((size, size))
    chances = sum(np.exp(-((rows - r) ** 2 + (cols - c) ** 2) / 4.5) for r, c in points)
    return np.log(chances + 1e-12)[None, None].astype(np.float32)


@pytest.mark.parametrize("point", [(20.0, 31.0), (20.3, 30.6), (11.5, 25.25)])
def test_a_point_is_found_between_pixels(point: tuple[float, float]) -> None:
    points, confidence = decode_heatmaps(compute_probabilities(heatmap_at(point), ABSENT))
    expected = np.array(point) * STRIDE + (STRIDE - 1) / 2
    np.testing.assert_allclose(points[0, 0], expected, atol=0.15)
    assert confidence[0, 0] > 0.95


def test_what_is_not_there_has_no_confidence() -> None:
    _, confidence = decode_heatmaps(
        compute_probabilities(heatmap_at((20, 30)), np.full((1, 1), 30, np.float32))
    )
    assert confidence[0, 0] < 1e-6


def test_probabilities_and_not_there_sum_to_one() -> None:
    absent = np.float32([[0.0]])
    shares = compute_probabilities(np.zeros((1, 1, 3, 3), np.float32), absent)
    np.testing.assert_allclose(shares, 0.1, rtol=1e-6)


def test_a_flat_map_is_unsure() -> None:
    _, confidence = decode_heatmaps(
        compute_probabilities(np.zeros((1, 1, 48, 48), np.float32), ABSENT)
    )
    assert confidence[0, 0] < 0.05


def test_a_second_place_is_told() -> None:
    one, two = heatmap_at((10, 10)), heatmap_at((10, 10), (35, 38))
    assert find_second_peak(compute_probabilities(one, ABSENT))[1][0, 0] < 0.01
    shares = compute_probabilities(two, ABSENT)
    points, confidence = find_second_peak(shares)
    assert confidence[0, 0] == pytest.approx(0.5, abs=0.05)
    places = np.stack([points[0, 0], decode_heatmaps(shares)[0][0, 0]])
    expected = np.array([(10, 10), (35, 38)]) * STRIDE + (STRIDE - 1) / 2
    np.testing.assert_allclose(places[places[:, 0].argsort()], expected, atol=0.3)


def test_a_point_at_the_corner() -> None:
    points, _ = decode_heatmaps(compute_probabilities(heatmap_at((0, 0)), ABSENT))
    assert (points >= 0).all()
    assert (points < 4).all()
