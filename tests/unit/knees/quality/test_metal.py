"""What is outlined as metal, measured on a picture."""

import numpy as np
import pytest

from kneegrade.knees.quality.metal import (
    SHAFT_FROM,
    LegView,
    MetalPlace,
    find_metal,
    measure_canal,
    outline_metal,
)

N = 256
WIDTHS = 1.4
TO_FILM = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
BONE, TISSUE, METAL = 120.0, 60.0, 200.0


def make_view(below_joint: float = 0.0) -> LegView:
    view = LegView(np.zeros((N, N), np.float32), TO_FILM, (N, N), WIDTHS, below_joint)
    grain = np.random.default_rng(0).normal(0, 8, (N, N))
    bone = view.find_bone(0.0)
    pixels = (np.where(bone, BONE, TISSUE) + grain).astype(np.float32)
    return LegView(pixels, TO_FILM, (N, N), WIDTHS, below_joint)


def look(
    view: LegView, where: tuple[slice, slice], level: float, seen: tuple[slice, slice] | None = None
) -> MetalPlace:
    view.pixels[where] = level
    logits = np.full((N // 2, N // 2), -6, np.float32)
    rows, cols = seen or where
    logits[rows.start // 2 : rows.stop // 2, cols.start // 2 : cols.stop // 2] = 4
    (place,) = find_metal(view, logits, 0.9)
    return place


BAR = (slice(150, 162), slice(100, 150))


def test_metal_stands_out_from_the_bone_around_it() -> None:
    plain, cortex = look(make_view(), BAR, METAL), look(make_view(), BAR, BONE + 6)
    assert plain.contrast > 0.5
    assert abs(cortex.contrast) < 0.15
    for place in (plain, cortex):
        assert place.certainty > 0.95
        assert place.score == 0.9
        assert not place.in_shaft
        low, high = place.outline_px.min(axis=0), place.outline_px.max(axis=0)
        np.testing.assert_allclose([*low, *high], [150, 100, 161, 149], atol=2)


def test_metal_at_the_joint_may_be_dark_and_in_a_shaft_not() -> None:
    assert look(make_view(), BAR, BONE - 80).contrast > 0.3
    assert look(make_view(1.5), BAR, BONE - 80).contrast < 0


def test_brightness_and_contrast_do_not_matter() -> None:
    before = look(make_view(), BAR, METAL)
    view = make_view()
    view.pixels[:] = view.pixels * 0.01 + 70
    after = look(view, BAR, METAL * 0.01 + 70)
    assert after.contrast == pytest.approx(before.contrast, abs=0.01)


@pytest.mark.parametrize(
    ("bright", "seen"),
    [
        (BAR, (slice(150, 162), slice(2, 30))),  # beside the bone: a letter
        ((slice(150, 162), slice(0, N)), BAR),  # across the leg: a frame, a shutter
    ],
)
def test_what_lies_or_reaches_beside_the_bone_is_none_in_it(
    bright: tuple[slice, slice], seen: tuple[slice, slice]
) -> None:
    assert look(make_view(1.5), bright, METAL, seen).contrast == 0


@pytest.mark.parametrize("below", [-1.5, -0.75, 0.75, 1.5])
def test_a_shaft_begins_where_the_region_of_interest_ends(below: float) -> None:
    view = make_view(below)
    rows = view.rows_below_joint()
    assert np.diff(rows) == pytest.approx(WIDTHS / N)
    assert rows.mean() == pytest.approx(below)
    far = int(np.argmax(np.abs(rows)))
    here = slice(far, far + 12) if far == 0 else slice(far - 12, far)
    assert look(view, (here, slice(120, 140)), METAL).in_shaft
    assert abs(rows[far]) > SHAFT_FROM
    assert view.shows_shaft()
    elsewhere = TO_FILM.copy()
    elsewhere[0, 2] = 10_000
    off = LegView(view.pixels, elsewhere, (N, N), WIDTHS, below)
    assert not off.shows_shaft()


@pytest.mark.parametrize("below", [-1.5, -0.75, 0.75, 1.5])
def test_a_nail_makes_the_canal_brighter_than_the_cortex(below: float) -> None:
    natural, nailed = make_view(below), make_view(below)
    middle = slice(N // 2 - 10, N // 2 + 10)
    natural.pixels[:, middle] -= 30  # marrow
    nailed.pixels[:, middle] = METAL
    assert measure_canal(natural) < 0
    assert measure_canal(nailed) > 0.4
    before = measure_canal(nailed)
    nailed.pixels[:] = nailed.pixels * 0.01 + 70
    assert measure_canal(nailed) == pytest.approx(before, abs=0.01)


def test_a_shaft_that_is_not_shown_has_no_canal() -> None:
    elsewhere = TO_FILM.copy()
    elsewhere[0, 2] = 10_000
    assert measure_canal(LegView(make_view(1.5).pixels, elsewhere, (N, N), WIDTHS, 1.5)) == -1


def test_nothing_is_outlined_where_nothing_is_seen() -> None:
    assert find_metal(make_view(), np.full((N // 2, N // 2), -3, np.float32), 0.9) == ()


def test_metal_is_outlined_apart_and_specks_are_not() -> None:
    logits = np.full((40, 50), -5, np.float32)
    logits[10:20, 4:34] = 5
    logits[30:36, 40:46] = 0.5
    logits[2:4, 45:47] = 5
    first, second = sorted(outline_metal(logits, 2), key=lambda outline: outline[0, 0])
    for outline, rows, cols in ((first, (10, 19), (4, 33)), (second, (30, 35), (40, 45))):
        corners = np.array([rows, cols]) * 2 + 0.5
        np.testing.assert_allclose([outline.min(axis=0), outline.max(axis=0)], corners.T)
    assert outline_metal(np.full((4, 4), -1, np.float32), 2) == ()
