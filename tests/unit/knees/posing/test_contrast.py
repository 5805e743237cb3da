import cv2
import numpy as np
import pytest
from made_rois import enhanced_pixels, plain_pixels

from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.contrast import (
    enhance,
    enhance_to,
    judge_contrast,
    judge_set_contrast,
    measure_local_contrast,
    resize_square,
    scale_to_unit,
)
from kneegrade.knees.posing.crop import RoiSpec
from kneegrade.knees.prepare import PreparedKnee, prepare_knees
from kneegrade.types import Contrast, Radiograph

RNG_PIXELS = np.random.default_rng(5).normal(1000, 300, (60, 60)).astype(np.float32)


def test_scaled_pixels_fill_0_to_1_in_steps_of_8_bits() -> None:
    unit = scale_to_unit(RNG_PIXELS)
    assert unit.dtype == np.float32
    assert (unit.min(), unit.max()) == (0, 1)
    steps = np.rint(unit * 255).astype(np.uint8)
    np.testing.assert_array_equal(steps.astype(np.float32) / np.float32(255), unit)


def test_scaling_clips_half_a_percent_at_each_end() -> None:
    unit = scale_to_unit(np.arange(10_000, dtype=np.float32).reshape(100, 100))
    assert 40 <= (unit == 0).sum() <= 80
    assert 40 <= (unit == 1).sum() <= 80


@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0), (3, -5000), (100, 7)])
def test_scaling_is_not_moved_by_a_linear_window(gain: float, offset: float) -> None:
    moved = scale_to_unit((RNG_PIXELS * gain + offset).astype(np.float32))
    np.testing.assert_allclose(moved, scale_to_unit(RNG_PIXELS), atol=1.01 / 255)


def test_scaling_a_flat_or_nearly_flat_picture() -> None:
    assert not scale_to_unit(np.full((9, 9), 7, np.float32)).any()
    dotted = np.zeros((40, 40), np.float32)
    dotted[3, 3] = 5
    assert scale_to_unit(dotted)[3, 3] == 1


def test_resizing_keeps_the_mean_and_a_fitting_size() -> None:
    pixels = enhanced_pixels(128)
    assert resize_square(pixels, 128) is pixels
    assert abs(float(resize_square(pixels, 64).mean()) - float(pixels.mean())) < 1
    large = resize_square(plain_pixels(64), 100)
    assert large.shape == (100, 100)
    assert large.dtype == np.uint8


def test_enhancing_is_opencvs_clahe() -> None:
    expected = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(plain_pixels())
    np.testing.assert_array_equal(enhance(plain_pixels(), tiles=8, clip_limit=3.0), expected)


@pytest.mark.parametrize("wanted", [8.0, 14.0])
def test_enhancing_stops_at_the_wanted_local_contrast(wanted: float) -> None:
    pixels = plain_pixels(128)
    most = measure_local_contrast(enhance(pixels, tiles=8, clip_limit=5.0))
    assert measure_local_contrast(pixels) < wanted < most
    enhanced = enhance_to(pixels, tiles=8, clip_limit=5.0, local_contrast=wanted, steps=8)
    assert measure_local_contrast(enhanced) == pytest.approx(wanted, abs=1.5)
    assert measure_local_contrast(enhanced) <= wanted


def test_enhancing_goes_no_further_than_the_clip_limit() -> None:
    enhanced = enhance_to(plain_pixels(), tiles=8, clip_limit=2.0, local_contrast=200.0)
    np.testing.assert_array_equal(enhanced, enhance(plain_pixels(), tiles=8, clip_limit=2.0))


def test_local_contrast_of_tiles() -> None:
    checks = np.tile(np.array([[100, 120], [120, 100]], np.uint8), (32, 32))
    assert measure_local_contrast(checks) == pytest.approx(10)
    assert measure_local_contrast(np.full((64, 64), 9, np.uint8)) == 0


def test_judging_made_up_pictures() -> None:
    assert judge_contrast(plain_pixels()) is Contrast.PLAIN
    assert judge_contrast(enhanced_pixels()) is Contrast.ENHANCED
    assert judge_contrast(plain_pixels() // 2 + 20) is Contrast.PLAIN


@pytest.mark.real_data
def test_the_enhanced_set_is_judged_enhanced(kaggle_sample: list) -> None:
    judged = [judge_contrast(pixels) for _, _, pixels in kaggle_sample]
    assert np.mean([contrast is Contrast.ENHANCED for contrast in judged]) >= 0.95


@pytest.mark.real_data
def test_plain_films_are_judged_plain(
    plain_films: dict[str, np.ndarray], locator: KneeLocator
) -> None:
    judged = []
    for film in plain_films.values():
        radiograph = Radiograph(film.astype(np.float32), "id")
        (knee,) = prepare_knees(locator, radiograph, RoiSpec())
        assert isinstance(knee, PreparedKnee)
        roi = knee.roi
        judged.append(judge_contrast(np.rint(roi.pixels * 255).astype(np.uint8)))
    assert len(judged) == 30
    assert judged.count(Contrast.PLAIN) >= 28


def test_a_set_is_judged_by_the_majority() -> None:
    plain, enhanced = plain_pixels(), enhanced_pixels()
    assert judge_set_contrast([enhanced] * 9 + [plain]) is Contrast.ENHANCED
    assert judge_set_contrast([plain] * 9 + [enhanced]) is Contrast.PLAIN
    assert judge_set_contrast([plain, enhanced]) is Contrast.UNKNOWN
    assert judge_set_contrast([]) is Contrast.UNKNOWN
