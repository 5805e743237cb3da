import numpy as np
import pytest

from kneegrade.images.geometry import (
    apply_affine,
    compose_affines,
    invert_affine,
    resample,
)

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
MIRROR = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 69.0]])
"""Reverses the columns of `RAMP`."""
RAMP = (1000 * np.arange(50)[:, None] + np.arange(70)[None, :]).astype(np.float32)


def test_identity_keeps_every_pixel() -> None:
    output, inside = resample(RAMP, IDENTITY, RAMP.shape, fill=-1)
    np.testing.assert_array_equal(output, RAMP)
    assert inside == 1


def test_mirror_reverses_the_columns() -> None:
    output, _ = resample(RAMP, MIRROR, RAMP.shape, fill=-1)
    np.testing.assert_array_equal(output, RAMP[:, ::-1])


def test_row_and_column_are_not_confused() -> None:
    to_source = np.array([[0.5, 0.0, 7.0], [0.0, 0.25, 11.0]])
    output, _ = resample(RAMP, to_source, (9, 13), fill=0)
    row, column = apply_affine(to_source, [8, 12])
    assert (row, column) == (11.0, 14.0)
    assert output[8, 12] == pytest.approx(1000 * row + column, abs=1e-2)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_shrinking_averages_areas(factor: int) -> None:
    pixels = np.random.default_rng(0).normal(size=(30, 60)).astype(np.float32)
    shift = (factor - 1) / 2  # centre of the first block
    to_source = np.array([[factor, 0, shift], [0, factor, shift]])
    output, inside = resample(pixels, to_source, (30 // factor, 60 // factor), fill=0)
    blocks = pixels.reshape(30 // factor, factor, 60 // factor, factor).mean(axis=(1, 3))
    np.testing.assert_allclose(output, blocks, atol=1e-5)
    assert inside == 1


def test_shrinking_makes_no_false_stripes() -> None:
    stripes = np.tile(np.float32([0, 1]), (40, 100))
    for step in (2, 4, 6):
        to_source = [[step, 0, step], [0, step, step]]
        output, _ = resample(stripes, to_source, (5, 25), fill=0)
        np.testing.assert_allclose(output, 0.5, atol=0.06)


def test_fill_and_inside_fraction() -> None:
    output, inside = resample(RAMP, [[1, 0, 0], [0, 1, -35]], (50, 70), fill=-5)
    assert inside == pytest.approx(0.5)
    assert (output[:, :35] == -5).all()
    np.testing.assert_array_equal(output[:, 35:], RAMP[:, :35])
    output, inside = resample(RAMP, [[1, 0, 1000], [0, 1, 0]], (5, 5), fill=2)
    assert inside == 0
    assert (output == 2).all()


def test_a_mark_lands_where_the_inverse_sends_it() -> None:
    pixels = np.zeros((80, 90), np.float32)
    pixels[33, 61] = 1
    angle = np.deg2rad(20)
    c, s = np.cos(angle), np.sin(angle)
    to_source = np.array([[0.5 * c, -0.5 * s, 20.0], [-0.5 * s, -0.5 * c, 70.0]])  # mirrored
    output, _ = resample(pixels, to_source, (120, 120), fill=0)
    expected = apply_affine(invert_affine(to_source), [33, 61])
    grid = np.indices(output.shape).reshape(2, -1)
    centre = (grid * output.ravel()).sum(axis=1) / output.sum()
    np.testing.assert_allclose(centre, expected, atol=0.05)


def test_memory_stays_bounded() -> None:
    output, _ = resample(RAMP, [[1e6, 0, 0], [0, 1e6, 0]], (64, 64), fill=0)
    assert output.shape == (64, 64)


@pytest.mark.parametrize(
    "affine", [np.zeros((2, 3)), [[1, 1, 0], [1, 1, 0]], [[np.nan, 0, 0], [0, 1, 0]]]
)
def test_flat_affines_have_no_inverse(affine: object) -> None:
    with pytest.raises(ValueError, match="invertible"):
        invert_affine(affine)


def test_mirror_is_its_own_inverse() -> None:
    np.testing.assert_array_equal(compose_affines(MIRROR, MIRROR), IDENTITY)
    np.testing.assert_array_equal(apply_affine(MIRROR, [5, 0]), [5, 69])


@pytest.mark.parametrize("shape", [(101, 83), (100, 84), (97, 90)])
@pytest.mark.parametrize("step", [1.4, 2.6, 3.2, 5.7, 8.4])
def test_a_mirrored_picture_gives_the_mirrored_output(shape: tuple[int, int], step: float) -> None:
    pixels = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    to_source = np.array([[step, 0.1, 3.3], [-0.1, step, 7.9]])
    size = (int(90 / step), int(70 / step))
    output, inside = resample(pixels, to_source, size, fill=0)
    mirror = [[1, 0, 0], [0, -1, shape[1] - 1]]
    from_mirrored = compose_affines(mirror, to_source)
    mirrored, inside_mirrored = resample(pixels[:, ::-1], from_mirrored, size, fill=0)
    np.testing.assert_allclose(mirrored, output, atol=2e-3)
    assert inside_mirrored == pytest.approx(inside)


def test_a_shrunk_grid_that_leaves_the_picture_is_filled() -> None:
    pixels = np.ones((90, 100), np.float32)
    output, inside = resample(pixels, [[4.4, 0, -40], [0, 4.4, 500]], (20, 20), fill=7)
    assert inside == 0
    assert (output == 7).all()
    output, inside = resample(pixels, [[5, 0, 2], [0, 5, 2]], (36, 20), fill=7)
    assert inside == pytest.approx(0.5)
    assert (output[:18] == 1).all()
    assert (output[18:] == 7).all()
