from typing import Any

import cv2
import numpy as np
import pytest

from kneegrade.errors import KneeNotFoundError
from kneegrade.images.geometry import apply_affine
from kneegrade.knees.crop import InputKind, box_affine, crop_knee
from kneegrade.knees.orientation import KneeBox, judge_orientation, read_average_knee
from kneegrade.phantoms.films import PhantomFilm, draw_film
from kneegrade.phantoms.scanners import SCANNERS
from kneegrade.phantoms.severity import FEATURES, Severity
from kneegrade.phantoms.shape import draw_body
from kneegrade.types import Contrast, Flag, Radiograph, Side, SpacingSource

RIGHT = np.asarray(cv2.resize(read_average_knee(), (200, 200)), dtype=np.float32)
LEFT = np.ascontiguousarray(RIGHT[:, ::-1])


def radiograph(pixels: np.ndarray, **changes: Any) -> Radiograph:
    return Radiograph(pixels.astype(np.float32), "1.2.3", **changes)


def film_with(
    *knees: tuple[np.ndarray, int, int], shape: tuple[int, int] = (700, 420)
) -> np.ndarray:
    film = np.random.default_rng(2).normal(RIGHT.min() - 1, 0.1, shape)
    for knee, top, left in knees:
        film[top : top + knee.shape[0], left : left + knee.shape[1]] = knee
    return film


def code_of(pixels: np.ndarray, **options: Any) -> str:
    with pytest.raises(KneeNotFoundError) as caught:
        crop_knee(radiograph(pixels), size_px=64, **options)
    assert caught.value.hint
    return caught.value.code


def test_a_right_crop_is_taken_as_it_is() -> None:
    roi = crop_knee(radiograph(RIGHT, contrast=Contrast.ENHANCED), size_px=200)
    assert (roi.side, roi.mirrored, roi.inside_fraction) == (Side.RIGHT, False, 1.0)
    assert (roi.source_id, roi.contrast, roi.spacing_mm) == ("1.2.3", Contrast.ENHANCED, None)
    assert roi.flags == {Flag.NOT_CHECKED, Flag.SIDE_FROM_PICTURE}
    np.testing.assert_allclose(roi.to_radiograph, [[1, 0, 0], [0, 1, 0]])
    low, high = np.percentile(RIGHT, (0.5, 99.5))
    expected = np.clip((RIGHT - low) / (high - low), 0, 1)
    np.testing.assert_allclose(roi.pixels, expected, atol=0.51 / 255)


def test_a_left_crop_is_mirrored() -> None:
    left, right = (crop_knee(radiograph(p), size_px=100) for p in (LEFT, RIGHT))
    assert (left.side, left.mirrored) == (Side.LEFT, True)
    np.testing.assert_allclose(left.pixels, right.pixels, atol=1.01 / 255)
    np.testing.assert_allclose(apply_affine(left.to_radiograph, [0, 0]), [0.5, 198.5])


@pytest.mark.parametrize("stated", [False, True])
def test_an_inverted_picture_is_corrected_and_flagged(stated: bool) -> None:
    upright = crop_knee(radiograph(RIGHT, polarity_stated=stated), size_px=100)
    inverted = crop_knee(radiograph(-RIGHT, polarity_stated=stated), size_px=100)
    np.testing.assert_allclose(inverted.pixels, upright.pixels, atol=1.01 / 255)
    assert not {Flag.POLARITY_CORRECTED, Flag.POLARITY_CONFLICT} & upright.flags
    assert Flag.POLARITY_CORRECTED in inverted.flags
    assert (Flag.POLARITY_CONFLICT in inverted.flags) is stated


def test_the_given_side_goes_before_the_headers_before_the_pictures() -> None:
    header = radiograph(RIGHT, side=Side.LEFT)
    assert crop_knee(radiograph(RIGHT), size_px=64).side is Side.RIGHT
    assert crop_knee(header, size_px=64).side is Side.LEFT
    assert crop_knee(header, size_px=64, side=Side.RIGHT).side is Side.RIGHT


def test_a_side_that_the_picture_contradicts_is_used_and_flagged() -> None:
    agreed = crop_knee(radiograph(RIGHT), size_px=64, side=Side.RIGHT)
    against = crop_knee(radiograph(RIGHT), size_px=64, side=Side.LEFT)
    assert not {Flag.SIDE_CONFLICT, Flag.SIDE_FROM_PICTURE} & agreed.flags
    assert Flag.SIDE_CONFLICT in against.flags
    assert (against.side, against.mirrored) == (Side.LEFT, True)


def test_a_picture_that_does_not_tell_the_side() -> None:
    both = (RIGHT + LEFT) / 2
    assert code_of(both, kind=InputKind.CROP) == "knee.side-unknown"
    roi = crop_knee(radiograph(both), size_px=64, side=Side.LEFT)
    assert Flag.SIDE_CONFLICT not in roi.flags


def test_a_knee_on_a_film_is_cut_out() -> None:
    film = radiograph(
        film_with((LEFT, 260, 90)), spacing_mm=(0.2, 0.2), spacing_source=SpacingSource.CALLER
    )
    roi = crop_knee(film, size_px=100)
    assert roi.side is Side.LEFT
    assert roi.flags == {Flag.NOT_CHECKED, Flag.SIDE_FROM_PICTURE, Flag.LOCATED_BY_RULE}
    middle = apply_affine(roi.to_radiograph, [49.5, 49.5])
    np.testing.assert_allclose(middle, [359.5, 189.5], atol=15)
    step = np.abs(np.diag(roi.to_radiograph[:, :2]))
    np.testing.assert_allclose(roi.spacing_mm, 0.2 * step)
    again = judge_orientation(roi.pixels)
    assert again.side is Side.RIGHT  # standard pose
    assert again.match > 0.9


def test_what_a_picture_is_can_be_said() -> None:
    film = film_with((RIGHT, 50, 60), shape=(300, 300))
    assert (
        Flag.LOCATED_BY_RULE in crop_knee(radiograph(film), size_px=64, kind=InputKind.FILM).flags
    )
    crop = crop_knee(radiograph(film), size_px=64, kind=InputKind.CROP, side=Side.RIGHT)
    assert Flag.LOCATED_BY_RULE not in crop.flags
    np.testing.assert_allclose(apply_affine(crop.to_radiograph, [31.5, 31.5]), [149.5, 149.5])


def test_a_square_picture_of_something_else_is_no_crop() -> None:
    noise = np.random.default_rng(1).normal(size=(200, 200))
    assert code_of(noise) == "knee.not-found"


def test_a_film_without_a_knee() -> None:
    assert code_of(film_with()) == "knee.not-found"
    assert code_of(np.full((300, 200), 7.0)) == "knee.not-found"


def test_a_film_of_both_knees_needs_the_side() -> None:
    film = film_with((RIGHT, 150, 40), (LEFT, 150, 360), shape=(500, 600))
    assert code_of(film) == "knee.two-knees"
    for side, column in ((Side.RIGHT, 139.5), (Side.LEFT, 459.5)):
        roi = crop_knee(radiograph(film), size_px=64, kind=InputKind.FILM, side=side)
        centre = apply_affine(roi.to_radiograph, [31.5, 31.5])
        np.testing.assert_allclose(centre, [249.5, column], atol=8)
        assert (roi.side, roi.mirrored) == (side, side is Side.LEFT)
        assert Flag.SIDE_CONFLICT not in roi.flags


@pytest.mark.parametrize("scanner", ["oai-cr-a", "oai-film", "most-dx"])
def test_each_knee_of_a_phantoms_film_is_cut_about_its_own_joint(scanner: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        knees = dict.fromkeys(Side, Severity(dict.fromkeys(FEATURES, 0.5)))
        film = draw_film(
            body=draw_body(sex="female", bmi=30, rng=rng),
            knees=knees,
            scanner=SCANNERS[scanner],
            spacing_mm=0.6,
            rng=rng,
        )
        for side, knee in film.knees.items():
            roi = crop_knee(radiograph(film.pixels), size_px=64, kind=InputKind.FILM, side=side)
            centre = apply_affine(roi.to_radiograph, [31.5, 31.5])
            away = np.linalg.norm(centre - knee.landmarks_px[4]) * film.spacing_mm
            assert away < 20, (seed, side)


@pytest.fixture(scope="module")
def with_implant() -> PhantomFilm:
    rng = np.random.default_rng(0)
    knees = {Side.RIGHT: Severity(dict.fromkeys(FEATURES, 0.5)), Side.LEFT: None}
    body = draw_body(sex="male", bmi=27, rng=rng)
    return draw_film(body=body, knees=knees, scanner=SCANNERS["oai-dx"], spacing_mm=0.6, rng=rng)


def film_for_both(pixels: np.ndarray) -> Radiograph:
    return radiograph(pixels, spacing_mm=(0.6, 0.6), spacing_source=SpacingSource.DETECTOR_PLANE)


def test_a_replaced_knee_is_never_exchanged_for_the_other(with_implant: PhantomFilm) -> None:
    for side, knee in with_implant.knees.items():
        picture = film_for_both(with_implant.pixels)
        roi = crop_knee(picture, size_px=64, kind=InputKind.FILM, side=side)
        centre = apply_affine(roi.to_radiograph, [31.5, 31.5])
        assert np.linalg.norm(centre - knee.landmarks_px[4]) * 0.6 < 40


def test_a_knee_that_is_not_found_is_never_exchanged_for_the_other(
    with_implant: PhantomFilm,
) -> None:
    pixels = with_implant.pixels.copy()
    pixels[:, pixels.shape[1] // 2 :] = 0
    roi = crop_knee(film_for_both(pixels), size_px=64, kind=InputKind.FILM, side=Side.RIGHT)
    assert roi.side is Side.RIGHT
    with pytest.raises(KneeNotFoundError, match="left knee was not found on a film for both"):
        crop_knee(film_for_both(pixels), size_px=64, kind=InputKind.FILM, side=Side.LEFT)


def test_a_knee_at_the_edge_is_flagged() -> None:
    film = film_with((RIGHT[:, 24:], 150, 0), shape=(500, 300))
    roi = crop_knee(radiograph(film), size_px=64, kind=InputKind.FILM)
    assert 0.8 < roi.inside_fraction < 1
    assert Flag.OUTSIDE_FILM in roi.flags
    assert (roi.pixels[:, 0] == 0).all()


def test_flags_of_the_radiograph_stay() -> None:
    flags = frozenset({Flag.VIEW_UNKNOWN, Flag.LOSSY_COMPRESSION})
    assert flags <= crop_knee(radiograph(RIGHT, flags=flags), size_px=64).flags


def test_the_affine_takes_corners_to_corners() -> None:
    box = KneeBox(top=10, left=20, size_px=50, side=Side.LEFT, inverted=False, score=1)
    corners = [[-0.5, -0.5], [24.5, 24.5]]  # outer edges of a 25 px ROI
    straight = apply_affine(box_affine(box, 25, mirrored=False), corners)
    np.testing.assert_allclose(straight, [[9.5, 19.5], [59.5, 69.5]])
    mirrored = apply_affine(box_affine(box, 25, mirrored=True), corners)
    np.testing.assert_allclose(mirrored, [[9.5, 69.5], [59.5, 19.5]])


@pytest.mark.real_data
@pytest.mark.parametrize("mirrored", [False, True])
def test_plain_films_are_cut_with_the_right_side(
    plain_films: dict[str, np.ndarray], mirrored: bool
) -> None:
    wrong = []
    for name, film in list(plain_films.items())[::2]:
        roi = crop_knee(radiograph(film[:, ::-1] if mirrored else film), size_px=224)
        shown = judge_orientation(roi.pixels)
        if roi.side is not (Side.RIGHT if mirrored else Side.LEFT) or shown.match < 0.5:
            wrong.append(name)
    assert wrong == []


@pytest.mark.real_data
def test_crops_of_the_open_set_are_taken_for_crops(
    kaggle_sample: list, inverted_knees: list
) -> None:
    wrong = []
    for file, side, pixels in [*kaggle_sample[:100], *inverted_knees]:
        flags = crop_knee(radiograph(pixels), size_px=64, side=side).flags
        if Flag.LOCATED_BY_RULE in flags:
            wrong.append(file)
    assert wrong == []
