from dataclasses import fields, replace

import numpy as np
import pytest
from made_rois import enhanced_pixels, plain_pixels

from kneegrade.training.augment import augment
from kneegrade.training.grader.recipe import Recipe
from kneegrade.training.recipe_fields import AugmentSpec

STILL = AugmentSpec(0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
CHANCES = [field.name for field in fields(AugmentSpec) if field.name.startswith("p_")]


def test_shape_and_kind_stay(recipe: Recipe) -> None:
    for seed in range(30):
        changed = augment(plain_pixels(), recipe.augment, np.random.default_rng(seed))
        assert changed.shape == (64, 64)
        assert changed.dtype == np.uint8


def test_it_hangs_on_the_generator_only(recipe: Recipe) -> None:
    spec = replace(recipe.augment, **dict.fromkeys(CHANCES, 0.5))
    pixels = plain_pixels()
    kept = pixels.copy()
    for seed in range(12):
        np.random.seed(seed)  # noqa: NPY002 - must not matter
        first = augment(pixels, spec, np.random.default_rng(seed))
        np.random.seed(seed + 1)  # noqa: NPY002
        np.testing.assert_array_equal(augment(pixels, spec, np.random.default_rng(seed)), first)
        assert (augment(pixels, spec, np.random.default_rng(seed + 100)) != first).any()
    np.testing.assert_array_equal(pixels, kept)


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    pixels = enhanced_pixels()
    np.testing.assert_array_equal(augment(pixels, STILL, np.random.default_rng(0)), pixels)


@pytest.mark.parametrize("name", CHANCES)
def test_every_chance_does_something(name: str) -> None:
    gamma = 2.0 if name == "p_gamma" else 1.0
    changed = augment(
        plain_pixels(), replace(STILL, gamma=gamma, **{name: 1.0}), np.random.default_rng(1)
    )
    assert (changed != plain_pixels()).mean() > 0.1


@pytest.mark.parametrize("name", ["rotation_deg", "shift_share", "scale_share"])
def test_pose_is_always_drawn(name: str) -> None:
    spec = replace(STILL, **{name: 0.1 if name.endswith("share") else 10.0})
    changed = [augment(plain_pixels(), spec, np.random.default_rng(seed)) for seed in range(5)]
    assert all((picture != plain_pixels()).any() for picture in changed)


def test_a_shift_is_at_most_its_share() -> None:
    point = np.zeros((100, 100), np.uint8)
    point[48:52, 48:52] = 255
    spec = replace(STILL, shift_share=0.1)
    for seed in range(20):
        moved = augment(point, spec, np.random.default_rng(seed)).astype(float)
        middle = (np.indices(moved.shape) * moved).sum(axis=(1, 2)) / moved.sum()
        assert np.abs(middle - 49.5).max() <= 10.1


@pytest.mark.parametrize("name", ["p_gamma", "p_window"])
def test_gamma_and_window_keep_the_order_of_grey_levels(name: str) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    spec = replace(STILL, gamma=2.0, **{name: 1.0})
    for seed in range(10):
        changed = augment(ramp, spec, np.random.default_rng(seed)).astype(int)
        assert (np.diff(changed, axis=1) >= 0).all()
        assert (changed[:, 0] == 0).all()
        assert (changed[:, -1] == 255).all()
