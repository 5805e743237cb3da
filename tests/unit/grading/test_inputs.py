from dataclasses import replace

import numpy as np
import pytest
from made_rois import enhanced_pixels, make_roi, plain_pixels

from kneegrade.bundles.manifest import EnhancementSpec, InputSpec
from kneegrade.grading.inputs import apply_look, contrast_of, network_inputs, normalise
from kneegrade.knees.posing.contrast import enhance_to, measure_local_contrast, resize_square
from kneegrade.types import Contrast

SPEC = InputSpec(64, 1.25, True, EnhancementSpec(8, 5.0, 29.0), (1.0, 99.0))


@pytest.mark.parametrize("contrast", [Contrast.ENHANCED, Contrast.UNKNOWN])
def test_an_enhanced_picture_is_left_alone(contrast: Contrast) -> None:
    pixels = enhanced_pixels()
    np.testing.assert_array_equal(apply_look(make_roi(pixels, contrast=contrast), SPEC), pixels)


@pytest.mark.parametrize("contrast", [Contrast.PLAIN, Contrast.UNKNOWN])
def test_a_plain_picture_is_enhanced(contrast: Contrast) -> None:
    pixels = plain_pixels()
    look = apply_look(make_roi(pixels, contrast=contrast), SPEC)
    expected = enhance_to(pixels, tiles=8, clip_limit=5.0, local_contrast=29.0)
    np.testing.assert_array_equal(look, expected)
    assert measure_local_contrast(look) > 2 * measure_local_contrast(pixels)


def test_what_is_known_goes_before_what_the_picture_shows() -> None:
    assert contrast_of(make_roi(plain_pixels(), contrast=Contrast.ENHANCED)) is Contrast.ENHANCED
    assert contrast_of(make_roi(enhanced_pixels(), contrast=Contrast.PLAIN)) is Contrast.PLAIN
    look = apply_look(make_roi(plain_pixels(), contrast=Contrast.ENHANCED), SPEC)
    np.testing.assert_array_equal(look, plain_pixels())


def test_a_bundle_without_enhancement_leaves_every_picture_alone() -> None:
    spec = replace(SPEC, enhancement=None)
    look = apply_look(make_roi(plain_pixels(), contrast=Contrast.PLAIN), spec)
    np.testing.assert_array_equal(look, plain_pixels())


def test_size_and_direction_are_the_bundles() -> None:
    roi = make_roi(enhanced_pixels(128))
    look = apply_look(roi, SPEC)
    np.testing.assert_array_equal(look, resize_square(enhanced_pixels(128), 64))
    turned = apply_look(roi, replace(SPEC, lateral_first=False))
    np.testing.assert_array_equal(turned, look[:, ::-1])
    assert turned.flags.c_contiguous


def test_normalise_sets_mean_and_deviation() -> None:
    image = normalise(plain_pixels(), SPEC)
    assert image.shape == (1, 64, 64)
    assert image.dtype == np.float32
    assert image.mean() == pytest.approx(0, abs=1e-4)
    assert image.std() == pytest.approx(1, abs=1e-4)


def test_normalise_is_not_moved_by_a_linear_window() -> None:
    pixels = plain_pixels() // 2
    np.testing.assert_allclose(normalise(pixels, SPEC), normalise(2 * pixels, SPEC), atol=1e-4)


def test_normalise_clips_at_the_percentiles() -> None:
    pixels = np.full((64, 64), 100, np.uint8)
    pixels[:32] = 150
    marked = pixels.copy()
    marked[0, :20] = 255  # 0.5 % of the picture: a side letter
    np.testing.assert_allclose(normalise(marked, SPEC), normalise(pixels, SPEC), atol=1e-5)


def test_a_flat_picture_is_zero() -> None:
    assert not normalise(np.full((64, 64), 9, np.uint8), SPEC).any()


def test_the_network_gets_both_steps() -> None:
    roi = make_roi(plain_pixels(), contrast=Contrast.UNKNOWN)
    expected = normalise(apply_look(roi, SPEC), SPEC)
    np.testing.assert_array_equal(network_inputs(roi, SPEC)[0], expected)
