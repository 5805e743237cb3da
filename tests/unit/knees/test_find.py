"""The locator and the choice of the knee, with the embedded networks on drawn films."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from kneegrade.errors import KneeNotFoundError
from kneegrade.knees.crop import RoiSpec
from kneegrade.knees.find import InputKind, find_knees
from kneegrade.knees.locate import KneeLocator
from kneegrade.knees.prepared import find_missing, prepare_knees
from kneegrade.phantoms.films import PhantomFilm, draw_film, draw_hand_film
from kneegrade.phantoms.scanners import SCANNERS
from kneegrade.phantoms.severity import FEATURES, Severity
from kneegrade.phantoms.shape import draw_body
from kneegrade.types import Flag, Radiograph, Side, SpacingSource

MM = 0.4
HEALTHY = Severity(dict.fromkeys(FEATURES, 0.3))


@cache
def film_of(*sides: Side, implant: Side | None = None, seed: int = 5) -> PhantomFilm:
    rng = np.random.default_rng(seed)
    return draw_film(
        body=draw_body(sex="male", bmi=28, rng=rng),
        knees={side: None if side is implant else HEALTHY for side in sides},
        scanner=SCANNERS["oai-cr-a"],
        spacing_mm=MM,
        rng=rng,
    )


def radiograph(pixels: np.ndarray) -> Radiograph:
    return Radiograph(
        pixels.astype(np.float32),
        "1.2.3",
        spacing_mm=(MM, MM),
        spacing_source=SpacingSource.DETECTOR_PLANE,
    )


BOTH = (Side.RIGHT, Side.LEFT)


def error_mm(film: PhantomFilm, side: Side, points: np.ndarray) -> float:
    return float(np.linalg.norm(points - film.knees[side].landmarks_px, axis=1).mean()) * MM


def code_of(locator: KneeLocator, pixels: np.ndarray, side: Side | None = None) -> str:
    with pytest.raises(KneeNotFoundError) as caught:
        find_knees(locator, radiograph(pixels), side=side)
    assert caught.value.hint
    return caught.value.code


def refusal_of(locator: KneeLocator, pixels: np.ndarray) -> str | None:
    """Code with which a picture, or the first knee on it, is refused."""
    try:
        knees = prepare_knees(locator, radiograph(pixels), RoiSpec())
    except KneeNotFoundError as error:
        return error.code
    return knees[0].refusal.code if knees[0].refusal else None


@pytest.mark.parametrize("inverted", [False, True])
def test_both_knees_of_a_film(locator: KneeLocator, inverted: bool) -> None:
    film = film_of(*BOTH)
    pixels = film.pixels.astype(np.float32)
    found = find_knees(locator, radiograph(-pixels if inverted else pixels))
    assert [knee.landmarks.side for knee in found] == list(BOTH)
    for knee in found:
        assert error_mm(film, knee.landmarks.side, knee.landmarks.points_px) < 1.0
        assert knee.landmarks.confidence.min() > 0.5
        assert knee.inverted is inverted
        assert Flag.SIDE_FROM_PICTURE in knee.landmarks.flags


@pytest.mark.parametrize("side", BOTH)
@pytest.mark.parametrize("angle", [-18, 0, 18])
def test_one_knee_turned(locator: KneeLocator, side: Side, angle: float) -> None:
    film = film_of(side)
    rows, cols = film.pixels.shape
    turn = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), angle, 1)
    pixels = cv2.warpAffine(film.pixels.astype(np.float32), turn, (cols, rows))
    truth = film.knees[side].landmarks_px[:, ::-1] @ turn[:, :2].T + turn[:, 2]
    (knee,) = find_knees(locator, radiograph(pixels))
    assert knee.landmarks.side is side
    assert np.linalg.norm(knee.landmarks.points_px - truth[:, ::-1], axis=1).mean() * MM < 1.2


def test_a_given_side_chooses_its_knee(locator: KneeLocator) -> None:
    film = film_of(*BOTH)
    for side in BOTH:
        (knee,) = find_knees(locator, radiograph(film.pixels), side=side)
        assert error_mm(film, side, knee.landmarks.points_px) < 1.0
        assert Flag.SIDE_FROM_PICTURE not in knee.landmarks.flags


def test_a_header_that_contradicts_the_picture(locator: KneeLocator) -> None:
    film = film_of(Side.RIGHT)
    (knee,) = find_knees(locator, replace(radiograph(film.pixels), side=Side.LEFT))
    assert knee.landmarks.side is Side.LEFT
    assert Flag.SIDE_CONFLICT in knee.landmarks.flags
    assert error_mm(film, Side.RIGHT, knee.landmarks.points_px) < 1.0, "lateral stays lateral"


def test_the_knee_that_is_missing_on_a_film_of_both(locator: KneeLocator) -> None:
    pixels = film_of(*BOTH).pixels.copy()
    pixels[:, pixels.shape[1] // 2 :] = pixels.min()
    film = radiograph(pixels)
    assert code_of(locator, pixels, Side.LEFT) == "knee.not-found"
    knees = prepare_knees(locator, film, RoiSpec())
    missing = find_missing(film, knees, None)
    assert [knee.roi.side for knee in knees] == [Side.RIGHT]
    assert missing is not None
    assert "left" in missing.message


def test_three_knees(locator: KneeLocator) -> None:
    pixels = film_of(*BOTH).pixels
    three = np.hstack([pixels, pixels[:, : pixels.shape[1] // 2]])
    assert code_of(locator, three) == "knee.too-many"


def test_a_knee_cut_in_half(locator: KneeLocator) -> None:
    film = film_of(Side.RIGHT)
    middle = round(film.knees[Side.RIGHT].landmarks_px[4, 1])
    code = refusal_of(locator, film.pixels[:, :middle])
    assert code in {"knee.cut-off", "knee.not-found", "knee.not-a-knee"}


def test_a_hand_is_no_knee(locator: KneeLocator) -> None:
    rng = np.random.default_rng(1)
    film = draw_hand_film(scanner=SCANNERS["oai-cr-a"], spacing_mm=MM, rng=rng)
    assert refusal_of(locator, film.pixels) in {"knee.not-found", "knee.not-a-knee"}


def test_an_implant_is_refused_and_the_other_knee_is_not(locator: KneeLocator) -> None:
    film = film_of(*BOTH, implant=Side.LEFT)
    knees = {
        knee.roi.side: knee for knee in prepare_knees(locator, radiograph(film.pixels), RoiSpec())
    }
    assert knees[Side.RIGHT].refusal is None
    refusal = knees[Side.LEFT].refusal
    assert refusal is not None
    assert refusal.code == "knee.implant"


def test_a_crop_is_not_searched(locator: KneeLocator) -> None:
    film = film_of(Side.LEFT)
    points = film.knees[Side.LEFT].landmarks_px
    row, col = np.round(points[4]).astype(int)
    half = round(0.625 * np.linalg.norm(points[8] - points[0]))
    crop = film.pixels[row - half : row + half, col - half : col + half]
    for kind in InputKind:
        (knee,) = find_knees(locator, radiograph(crop), side=Side.LEFT, kind=kind)
        found = knee.landmarks.points_px + np.array([row - half, col - half])
        assert error_mm(film, Side.LEFT, found) < 1.2, kind


@pytest.mark.real_data
@pytest.mark.parametrize("mirrored", [False, True])
def test_plain_films(
    locator: KneeLocator, plain_films: dict[str, np.ndarray], mirrored: bool
) -> None:
    """On each the knee is found, its side is right, and nothing is refused."""
    wrong = []
    for name, pixels in plain_films.items():
        shown = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
        film = Radiograph(shown.astype(np.float32), "id")
        (knee,) = prepare_knees(locator, film, RoiSpec())
        if knee.roi.side is not (Side.RIGHT if mirrored else Side.LEFT) or knee.refusal:
            wrong.append(name)
    assert len(plain_films) == 30
    assert wrong == []


@pytest.mark.real_data
def test_inverted_knees_are_corrected(locator: KneeLocator, inverted_knees: list) -> None:
    for _, side, pixels in inverted_knees[:30]:
        film = Radiograph(pixels.astype(np.float32), "id")
        (knee,) = prepare_knees(locator, film, RoiSpec(), side=side)
        assert Flag.POLARITY_CORRECTED in knee.roi.flags
