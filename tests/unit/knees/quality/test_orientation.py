import cv2
import numpy as np
import pandas as pd
import pytest

from kneegrade.knees.quality.orientation import (
    AVERAGE_KNEE_FILE,
    AVERAGE_KNEE_PX,
    compute_average_knee,
    judge_orientation,
    read_average_knee,
)
from kneegrade.types import Side

RIGHT = np.asarray(cv2.resize(read_average_knee(), (200, 200)), dtype=np.float32)
"""A picture of a right knee: the average one, enlarged."""


def test_the_average_knee_is_standardised() -> None:
    for size in (AVERAGE_KNEE_PX, 32):
        knee = read_average_knee(size)
        assert knee.shape == (size, size)
        assert knee.mean() == pytest.approx(0, abs=1e-4)
        assert knee.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("inverted", [False, True])
def test_side_and_polarity_of_the_average_knee(side: Side, inverted: bool) -> None:
    picture = RIGHT if side is Side.RIGHT else RIGHT[:, ::-1]
    shown = judge_orientation(1000 - 50 * picture if inverted else 50 * picture + 1000)
    assert shown.side is side
    assert (shown.polarity < 0) is inverted
    assert abs(shown.polarity) > 0.9
    assert shown.match > 0.99
    assert shown.side_margin > 0.05


def test_mirroring_swaps_the_side_and_nothing_else() -> None:
    picture = RIGHT + np.random.default_rng(0).normal(0, 0.5, RIGHT.shape).astype(np.float32)
    shown, mirrored = judge_orientation(picture), judge_orientation(picture[:, ::-1])
    assert mirrored.side is shown.side.other
    for name in ("side_margin", "polarity", "match"):
        assert getattr(mirrored, name) == pytest.approx(getattr(shown, name), abs=1e-4)


def test_a_picture_of_nothing_matches_nothing() -> None:
    flat = judge_orientation(np.full((80, 80), 3, np.float32))
    assert (flat.match, flat.polarity, flat.side_margin) == (0, 0, 0)
    noise = np.random.default_rng(0).normal(size=(200, 200)).astype(np.float32)
    assert judge_orientation(noise).match < 0.2


def test_the_average_is_a_median_scaled_to_8_bits() -> None:
    rng = np.random.default_rng(3)
    rois = [
        np.clip((RIGHT + 3) / 6 + rng.normal(0, 0.05, RIGHT.shape), 0, 1).astype(np.float32)
        for _ in range(9)
    ]
    average = compute_average_knee([*rois, np.zeros((64, 64), np.float32)])
    assert (average.min(), average.max()) == (0, 255)
    assert average.shape == (AVERAGE_KNEE_PX, AVERAGE_KNEE_PX)
    stored = cv2.imread(str(AVERAGE_KNEE_FILE), cv2.IMREAD_GRAYSCALE).astype(float)
    assert np.corrcoef(average.ravel(), stored.ravel())[0, 1] > 0.99


@pytest.mark.real_data
def test_the_listed_inverted_knees_are_found_and_no_other(
    inverted_knees: list, kaggle_sample: list
) -> None:
    def is_inverted(pixels: np.ndarray) -> bool:
        return judge_orientation(pixels.astype(np.float32)).polarity < 0

    assert [file for file, _, pixels in inverted_knees if not is_inverted(pixels)] == []
    assert [file for file, _, pixels in kaggle_sample[:300] if is_inverted(pixels)] == []


@pytest.mark.real_data
def test_the_side_is_told_from_the_picture(kaggle_sample: list, inverted_knees: list) -> None:
    right = [
        judge_orientation(pixels.astype(np.float32)).side is side
        for _, side, pixels in kaggle_sample
    ]
    assert len(right) == 600
    assert np.mean(right) >= 0.995
    inverted = [
        judge_orientation(p.astype(np.float32)).side is side for _, side, p in inverted_knees
    ]
    assert np.mean(inverted) >= 0.95


@pytest.mark.real_data
def test_the_average_knee_is_that_of_the_open_set(
    kaggle_sample: list, kaggle_labels: pd.DataFrame
) -> None:
    """The file was made of all training knees that are not inverted; a sample comes close."""
    train = [(s, p) for file, s, p in kaggle_sample if file.startswith("train/")]
    rois = [(p if s is Side.RIGHT else p[:, ::-1]).astype(np.float32) / 255 for s, p in train]
    stored = cv2.imread(str(AVERAGE_KNEE_FILE), cv2.IMREAD_GRAYSCALE).astype(float)
    difference = np.abs(compute_average_knee(rois) - stored)
    assert len(rois) > 450
    assert difference.mean() < 4
    assert difference.max() < 20
