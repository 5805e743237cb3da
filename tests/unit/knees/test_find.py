"""The choice of the knee, with the embedded networks on drawn films."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_films import draw_whole_film, whole_radiograph

from kneegrade.errors import KneeNotFoundError
from kneegrade.knees.find import InputKind, find_knees, is_film_of_both
from kneegrade.knees.locate import KneeLocator
from kneegrade.phantoms.films import PhantomFilm
from kneegrade.types import Flag, Radiograph, Side

BOTH = (Side.RIGHT, Side.LEFT)


def error_mm(film: PhantomFilm, side: Side, points: np.ndarray) -> float:
    away = np.linalg.norm(points - film.knees[side].landmarks_px, axis=1)
    return float(away.mean()) * film.spacing_mm


def code_of(locator: KneeLocator, pixels: np.ndarray, side: Side | None = None) -> str:
    with pytest.raises(KneeNotFoundError) as caught:
        find_knees(locator, whole_radiograph(pixels), side=side)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("inverted", [False, True])
def test_both_knees_of_a_film(locator: KneeLocator, inverted: bool) -> None:
    film = draw_whole_film(*BOTH)
    pixels = film.pixels.astype(np.float32)
    found = find_knees(locator, whole_radiograph(-pixels if inverted else pixels))
    assert [knee.landmarks.side for knee in found] == list(BOTH)
    for knee in found:
        assert error_mm(film, knee.landmarks.side, knee.landmarks.points_px) < 1.0
        assert knee.landmarks.confidence.min() > 0.5
        assert knee.inverted is inverted
        assert Flag.SIDE_FROM_PICTURE in knee.landmarks.flags


@pytest.mark.parametrize("side", BOTH)
@pytest.mark.parametrize("angle", [-18, 0, 18])
def test_one_knee_turned(locator: KneeLocator, side: Side, angle: float) -> None:
    film = draw_whole_film(side)
    rows, cols = film.pixels.shape
    turn = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), angle, 1)
    pixels = cv2.warpAffine(film.pixels.astype(np.float32), turn, (cols, rows))
    truth = film.knees[side].landmarks_px[:, ::-1] @ turn[:, :2].T + turn[:, 2]
    (knee,) = find_knees(locator, whole_radiograph(pixels))
    assert knee.landmarks.side is side
    away = np.linalg.norm(knee.landmarks.points_px - truth[:, ::-1], axis=1)
    assert away.mean() * film.spacing_mm < 1.2


def test_a_given_side_chooses_its_knee(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH)
    for side in BOTH:
        (knee,) = find_knees(locator, whole_radiograph(film.pixels), side=side)
        assert error_mm(film, side, knee.landmarks.points_px) < 1.0
        assert Flag.SIDE_FROM_PICTURE not in knee.landmarks.flags


def test_a_header_that_contradicts_the_picture(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.RIGHT)
    (knee,) = find_knees(locator, replace(whole_radiograph(film.pixels), side=Side.LEFT))
    assert knee.landmarks.side is Side.LEFT
    assert Flag.SIDE_CONFLICT in knee.landmarks.flags
    (agreed,) = find_knees(locator, replace(whole_radiograph(film.pixels), side=Side.RIGHT))
    assert Flag.SIDE_CONFLICT not in agreed.landmarks.flags


def test_the_callers_side_goes_before_the_headers(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH)
    named = replace(whole_radiograph(film.pixels), side=Side.LEFT)
    for given in (None, *BOTH):
        (knee,) = find_knees(locator, named, side=given)
        assert knee.landmarks.side is (given or Side.LEFT)
        assert error_mm(film, knee.landmarks.side, knee.landmarks.points_px) < 1.0


def test_a_mirrored_film_shows_the_other_side(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.RIGHT)
    mirrored = film.pixels[:, ::-1]
    (knee,) = find_knees(locator, whole_radiograph(mirrored))
    assert knee.landmarks.side is Side.LEFT
    (told,) = find_knees(locator, whole_radiograph(mirrored), side=Side.RIGHT)
    assert told.landmarks.side is Side.RIGHT
    assert Flag.SIDE_CONFLICT in told.landmarks.flags


def test_the_knee_that_is_missing_on_a_film_of_both(locator: KneeLocator) -> None:
    pixels = draw_whole_film(*BOTH).pixels.copy()
    pixels[:, pixels.shape[1] // 2 :] = pixels.min()
    assert code_of(locator, pixels, Side.LEFT) == "knee.not-found"
    (knee,) = find_knees(locator, whole_radiograph(pixels))
    assert knee.landmarks.side is Side.RIGHT


@pytest.mark.parametrize("seed", [0, 5])
def test_more_than_two_knees(locator: KneeLocator, seed: int) -> None:
    pixels = draw_whole_film(*BOTH, seed=seed).pixels
    assert code_of(locator, np.hstack([pixels, pixels])) == "knee.too-many"
    three = np.hstack([pixels, pixels[:, : pixels.shape[1] // 2]])
    assert code_of(locator, three) == "knee.too-many"


def crop_of(film: PhantomFilm, side: Side) -> tuple[np.ndarray, np.ndarray]:
    """A square of 1.25 plateau widths about the joint, and its first row and column."""
    points = film.knees[side].landmarks_px
    half = round(0.625 * np.linalg.norm(points[8] - points[0]))
    row, col = np.round(points[4]).astype(int) - half
    return film.pixels[row : row + 2 * half, col : col + 2 * half], np.array([row, col])


def test_a_crop_is_not_searched(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.LEFT)
    crop, first = crop_of(film, Side.LEFT)
    for kind in InputKind:
        (knee,) = find_knees(locator, whole_radiograph(crop), side=Side.LEFT, kind=kind)
        assert error_mm(film, Side.LEFT, knee.landmarks.points_px + first) < 1.2, kind


@pytest.mark.parametrize("side", BOTH)
def test_the_side_of_a_crop_is_told_from_the_picture(locator: KneeLocator, side: Side) -> None:
    film = draw_whole_film(side)
    crop, first = crop_of(film, side)
    (knee,) = find_knees(locator, whole_radiograph(crop), kind=InputKind.CROP)
    assert knee.landmarks.side is side
    assert Flag.SIDE_FROM_PICTURE in knee.landmarks.flags
    assert error_mm(film, side, knee.landmarks.points_px + first) < 1.2


def test_a_crop_that_does_not_tell_its_side(locator: KneeLocator) -> None:
    crop, _ = crop_of(draw_whole_film(Side.LEFT), Side.LEFT)
    both = whole_radiograph(crop.astype(np.float32) + crop[:, ::-1])
    with pytest.raises(KneeNotFoundError) as caught:
        find_knees(locator, both, kind=InputKind.CROP)
    assert caught.value.code == "knee.side-unknown"
    for side in BOTH:
        (knee,) = find_knees(locator, both, side=side, kind=InputKind.CROP)
        assert knee.landmarks.side is side


@pytest.mark.parametrize("kind", [InputKind.AUTO, InputKind.FILM])
@pytest.mark.parametrize("shape", [(300, 300), (300, 200)])
def test_nothing_on_the_picture(
    locator: KneeLocator, kind: InputKind, shape: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(KneeNotFoundError) as caught:
        find_knees(locator, whole_radiograph(noise), kind=kind)
    assert caught.value.code == "knee.not-found"


@pytest.mark.parametrize(("mm", "for_both"), [(0.2, False), (0.6, True), (None, False)])
def test_a_wide_film_is_for_both(mm: float | None, for_both: bool) -> None:
    pixels = np.zeros((400, 600), np.float32)
    film = Radiograph(pixels, "id") if mm is None else whole_radiograph(pixels, mm=mm)
    assert is_film_of_both(film) is for_both
