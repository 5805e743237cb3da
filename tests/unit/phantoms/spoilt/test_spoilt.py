from collections.abc import Callable

import numpy as np
import pytest
from made_rois import enhanced_pixels, plain_pixels

from kneegrade.arrays import GreyImage
from kneegrade.phantoms.knees.shape import mean_landmarks
from kneegrade.phantoms.spoilt.markers import paint_markers
from kneegrade.phantoms.spoilt.metal import METAL_KINDS, paint_metal
from kneegrade.phantoms.spoilt.motion import blur_by_motion
from kneegrade.phantoms.spoilt.not_knees import draw_not_knee

N = 128
PX_PER_MM = 0.75 * N / 79.1
POINTS = mean_landmarks() * PX_PER_MM + N / 2
SEEDS = range(60)


def metal(picture: GreyImage, seed: int) -> GreyImage:
    return paint_metal(picture, POINTS, np.random.default_rng(seed))[0]


def not_knee(picture: GreyImage, seed: int) -> GreyImage:
    return draw_not_knee(picture, np.random.default_rng(seed))


def moved(picture: GreyImage, seed: int) -> GreyImage:
    return blur_by_motion(picture, 4.0, np.random.default_rng(seed))


def marked(picture: GreyImage, seed: int) -> GreyImage:
    return paint_markers(picture, POINTS, np.random.default_rng(seed))


@pytest.mark.parametrize("make", [metal, not_knee, moved])
def test_it_gives_a_changed_picture_of_the_same_shape_and_leaves_the_first(
    make: Callable[[GreyImage, int], GreyImage],
) -> None:
    picture = plain_pixels(N)
    kept = picture.copy()
    for seed in SEEDS:
        made = make(picture, seed)
        assert made.shape == (N, N)
        assert made.dtype == np.uint8
        assert (made != picture).mean() > 0.005, seed
        assert made.std() > 1
    np.testing.assert_array_equal(picture, kept)


@pytest.mark.parametrize("make", [metal, not_knee, moved])
def test_the_same_generator_gives_the_same_bytes(
    make: Callable[[GreyImage, int], GreyImage],
) -> None:
    picture = enhanced_pixels(N)
    for seed in range(30):
        np.testing.assert_array_equal(make(picture, seed), make(picture, seed))
        assert (make(picture, seed) != make(picture, seed + 1000)).any()


def test_metal_is_the_brightest_thing_and_covers_little_or_much() -> None:
    dark = np.full((N, N), 60, np.uint8)
    dark[::2] = 70
    shares = []
    for seed in SEEDS:
        made = metal(dark, seed)
        shares.append((made > 110).mean())
        assert made.max() > 120, seed  # half of the beam goes through a thin hollow screw
    assert min(shares) > 0.001
    assert max(shares) > 0.08
    assert max(shares) < 0.5


def test_metal_is_seen_even_on_white_bone() -> None:
    white = np.full((N, N), 225, np.uint8)
    for seed in SEEDS:
        made = metal(white, seed)
        assert int(made.max()) - np.median(made) > 25, seed


def test_metal_follows_the_knee() -> None:
    """Moved and turned landmarks move and turn what is painted."""
    dark = np.full((N, N), 60, np.uint8)
    for seed in range(20):
        there = metal(dark, seed).astype(float) > 130
        shifted = paint_metal(dark, POINTS - (20, 0), np.random.default_rng(seed))[0] > 130
        upper, lower = there[20:], shifted[:-20]
        assert (upper != lower).mean() < 0.02, seed


def test_metal_is_sharp_edged() -> None:
    dark = np.full((N, N), 60, np.uint8)
    for seed in SEEDS:
        made = metal(dark, seed).astype(float)
        assert np.abs(np.diff(made, axis=0)).max() > 20, seed


def test_what_is_no_knee_is_far_from_the_knee_it_was_made_of() -> None:
    """A knee's own picture and the made one hardly correlate, on average over many."""
    rows, cols = np.indices((N, N)) / N
    knee = np.clip(90 + 80 * np.sin(9 * rows) + 60 * cols * rows, 0, 255).astype(np.uint8)
    likeness = [
        abs(np.corrcoef(not_knee(knee, seed).ravel(), knee.ravel())[0, 1]) for seed in SEEDS
    ]
    assert np.mean(likeness) < 0.5
    assert np.median(likeness) < 0.4


def test_what_is_no_knee_is_often_drawn_from_nothing() -> None:
    """Half of the pictures do not depend on the given one at all."""
    alike = [
        np.array_equal(not_knee(plain_pixels(N), seed), not_knee(enhanced_pixels(N), seed))
        for seed in SEEDS
    ]
    assert 0.3 < np.mean(alike) < 0.8


@pytest.mark.parametrize("length_px", [1.0, 4.0, 12.5])
def test_motion_smears_along_its_way_only(length_px: float) -> None:
    """A point becomes a line of the length, in a direction of its own for each seed."""
    picture = np.zeros((61, 61), np.uint8)
    picture[28:33, 28:33] = 250
    angles = []
    for seed in range(20):
        made = blur_by_motion(picture, length_px, np.random.default_rng(seed)).astype(float)
        made = np.where(made > 12, made, 0)
        rows, cols = np.indices(made.shape)
        weights = made / made.sum()
        centre = [(weights * at).sum() for at in (rows, cols)]
        assert centre == pytest.approx([30, 30], abs=0.35), seed
        away = np.stack([rows - centre[0], cols - centre[1]]).reshape(2, -1)
        values, vectors = np.linalg.eigh((away * weights.ravel()) @ away.T)
        assert np.sqrt(12 * values[0]) == pytest.approx(5, abs=0.7), seed
        assert np.sqrt(12 * (values[1] - values[0])) == pytest.approx(length_px, rel=0.2, abs=1.2)
        angles.append(np.arctan2(vectors[0, 1], vectors[1, 1]) % np.pi)
    if length_px > 4:
        assert np.histogram(angles, 4, (0, np.pi))[0].all(), "from every direction"


def test_motion_keeps_brightness_and_loses_detail() -> None:
    picture = enhanced_pixels(N)
    detail = [np.abs(np.diff(picture.astype(float), axis=axis)).mean() for axis in (0, 1)]
    for seed in range(20):
        made = blur_by_motion(picture, 10.0, np.random.default_rng(seed)).astype(float)
        assert made.mean() == pytest.approx(picture.mean(), abs=2)
        blurred = [np.abs(np.diff(made, axis=axis)).mean() for axis in (0, 1)]
        assert min(b / d for b, d in zip(blurred, detail, strict=True)) < 0.9, seed


@pytest.mark.parametrize("kind", METAL_KINDS)
def test_metal_of_a_kind_is_drawn_when_asked_for(kind: str) -> None:
    dark = np.full((N, N), 60, np.uint8)
    dark[::2] = 70
    for seed in SEEDS:
        made, shown = paint_metal(dark, POINTS, np.random.default_rng(seed), kind)
        assert made.max() > 120, seed
        again = paint_metal(dark, POINTS, np.random.default_rng(seed), kind)
        np.testing.assert_array_equal(made, again[0])
        np.testing.assert_array_equal(shown, again[1])


def test_metal_is_said_to_be_where_it_is_seen() -> None:
    dark = np.full((N, N), 60, np.uint8)
    for seed in SEEDS:
        made, shown = paint_metal(dark, POINTS, np.random.default_rng(seed))
        assert (shown.shape, shown.dtype) == ((N, N), np.float32)
        assert shown.min() >= 0
        assert (shown == 1).any(), seed
        assert (shown == 0).mean() > 0.4, seed
        plain = float(made[shown == 0].mean())
        assert made[shown == 1].mean() > plain + 25, seed


def test_kinds_of_metal_differ_in_what_they_cover() -> None:
    dark = np.full((N, N), 60, np.uint8)
    covered = {
        kind: np.mean(
            [
                (paint_metal(dark, POINTS, np.random.default_rng(seed), kind)[0] > 130).mean()
                for seed in range(20)
            ]
        )
        for kind in METAL_KINDS
    }
    assert covered["total knee"] > covered["half knee"] > covered["wires"]
    with pytest.raises(ValueError, match="total knee, half knee"):
        paint_metal(dark, POINTS, np.random.default_rng(0), "gold")


def test_markers_are_white_and_lie_beside_the_bones() -> None:
    dark = np.full((N, N), 60, np.uint8)
    ends = np.sort(POINTS[[0, 8], 1])
    width = ends[1] - ends[0]
    middle = slice(int(ends[0] + 0.15 * width), int(ends[1] - 0.15 * width))
    seen = 0
    for seed in SEEDS:
        made = marked(dark, seed)
        np.testing.assert_array_equal(made[:, middle], 60)
        np.testing.assert_array_equal(made, marked(dark, seed))
        if (made > 140).sum() >= 4:
            seen += 1
    assert seen > 0.6 * len(SEEDS), "the rest are just outside a picture so narrow"
