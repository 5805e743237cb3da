"""The choice of the knee, with the embedded networks on drawn films."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from made_films import draw_whole_film, whole_radiograph

from kneegrade.errors import KneeNotFoundError
from kneegrade.knees.locating.find import InputKind, find_knees
from kneegrade.knees.locating.knee_network import LocatedKnee
from kneegrade.knees.locating.locate import KneeLocator, LocatedKnees
from kneegrade.knees.locating.markers import SideMarker
from kneegrade.knees.quality.scores import KneeScores
from kneegrade.phantoms.films.film import PhantomFilm
from kneegrade.types import Flag, Landmarks, LandmarkScheme, Radiograph, Side

BOTH = (Side.RIGHT, Side.LEFT)


def find(locator: KneeLocator, radiograph: Radiograph, **options: Any) -> tuple[LocatedKnee, ...]:
    return find_knees(locator, radiograph, **options).knees


def error_mm(film: PhantomFilm, side: Side, points: np.ndarray) -> float:
    away = np.linalg.norm(points - film.knees[side].landmarks_px, axis=1)
    return float(away.mean()) * film.spacing_mm


def code_of(locator: KneeLocator, pixels: np.ndarray, side: Side | None = None) -> str:
    with pytest.raises(KneeNotFoundError) as caught:
        find(locator, whole_radiograph(pixels), side=side)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("inverted", [False, True])
def test_both_knees_of_a_film(locator: KneeLocator, inverted: bool) -> None:
    film = draw_whole_film(*BOTH)
    pixels = film.pixels.astype(np.float32)
    located = find_knees(locator, whole_radiograph(-pixels if inverted else pixels))
    assert (Flag.POLARITY_CORRECTED in located.radiograph.flags) is inverted
    np.testing.assert_array_equal(located.radiograph.pixels, pixels)
    assert [knee.landmarks.side for knee in located.knees] == list(BOTH)
    for knee in located.knees:
        assert error_mm(film, knee.landmarks.side, knee.landmarks.points_px) < 1.0
        assert knee.landmarks.confidence.min() > 0.5
        assert Flag.SIDE_FROM_PICTURE in knee.landmarks.flags


@pytest.mark.parametrize("side", BOTH)
@pytest.mark.parametrize("angle", [-18, 0, 18])
def test_one_knee_turned(locator: KneeLocator, side: Side, angle: float) -> None:
    film = draw_whole_film(side)
    rows, cols = film.pixels.shape
    turn = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), angle, 1)
    pixels = cv2.warpAffine(film.pixels.astype(np.float32), turn, (cols, rows))
    truth = film.knees[side].landmarks_px[:, ::-1] @ turn[:, :2].T + turn[:, 2]
    (knee,) = find(locator, whole_radiograph(pixels))
    assert knee.landmarks.side is side
    away = np.linalg.norm(knee.landmarks.points_px - truth[:, ::-1], axis=1)
    assert away.mean() * film.spacing_mm < 1.2


def test_a_given_side_chooses_its_knee(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH)
    for side in BOTH:
        (knee,) = find(locator, whole_radiograph(film.pixels), side=side)
        assert error_mm(film, side, knee.landmarks.points_px) < 1.0
        assert Flag.SIDE_FROM_PICTURE not in knee.landmarks.flags


def test_a_header_that_contradicts_the_picture(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.RIGHT)
    (knee,) = find(locator, replace(whole_radiograph(film.pixels), side=Side.LEFT))
    assert knee.landmarks.side is Side.LEFT
    assert Flag.SIDE_CONFLICT in knee.landmarks.flags
    (agreed,) = find(locator, replace(whole_radiograph(film.pixels), side=Side.RIGHT))
    assert Flag.SIDE_CONFLICT not in agreed.landmarks.flags


def test_the_callers_side_goes_before_the_headers(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH)
    named = replace(whole_radiograph(film.pixels), side=Side.LEFT)
    for given in (None, *BOTH):
        (knee,) = find(locator, named, side=given)
        assert knee.landmarks.side is (given or Side.LEFT)
        assert error_mm(film, knee.landmarks.side, knee.landmarks.points_px) < 1.0


def test_a_mirrored_film_shows_the_other_side(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.RIGHT)
    mirrored = film.pixels[:, ::-1]
    (knee,) = find(locator, whole_radiograph(mirrored))
    assert knee.landmarks.side is Side.LEFT
    (told,) = find(locator, whole_radiograph(mirrored), side=Side.RIGHT)
    assert told.landmarks.side is Side.RIGHT
    assert Flag.SIDE_CONFLICT in told.landmarks.flags


def test_the_knee_that_is_missing_on_a_film_of_both(locator: KneeLocator) -> None:
    pixels = draw_whole_film(*BOTH).pixels.copy()
    pixels[:, pixels.shape[1] // 2 :] = pixels.min()
    assert code_of(locator, pixels, Side.LEFT) == "knee.not-found"
    located = find_knees(locator, whole_radiograph(pixels))
    (knee,) = located.knees
    assert knee.landmarks.side is Side.RIGHT
    assert located.missing is Side.LEFT


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
        (knee,) = find(locator, whole_radiograph(crop), side=Side.LEFT, kind=kind)
        assert error_mm(film, Side.LEFT, knee.landmarks.points_px + first) < 1.2, kind


@pytest.mark.parametrize("side", BOTH)
def test_the_side_of_a_crop_is_told_from_the_picture(locator: KneeLocator, side: Side) -> None:
    film = draw_whole_film(side)
    crop, first = crop_of(film, side)
    (knee,) = find(locator, whole_radiograph(crop), kind=InputKind.CROP)
    assert knee.landmarks.side is side
    assert Flag.SIDE_FROM_PICTURE in knee.landmarks.flags
    assert error_mm(film, side, knee.landmarks.points_px + first) < 1.2


def test_a_crop_that_does_not_tell_its_side(locator: KneeLocator) -> None:
    crop, _ = crop_of(draw_whole_film(Side.LEFT), Side.LEFT)
    both = whole_radiograph(crop.astype(np.float32) + crop[:, ::-1])
    with pytest.raises(KneeNotFoundError) as caught:
        find(locator, both, kind=InputKind.CROP)
    assert caught.value.code == "knee.side-unknown"
    for side in BOTH:
        (knee,) = find(locator, both, side=side, kind=InputKind.CROP)
        assert knee.landmarks.side is side


@pytest.mark.parametrize("kind", [InputKind.AUTO, InputKind.FILM])
@pytest.mark.parametrize("shape", [(300, 300), (300, 200)])
def test_nothing_on_the_picture(
    locator: KneeLocator, kind: InputKind, shape: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(KneeNotFoundError) as caught:
        find(locator, whole_radiograph(noise), kind=kind)
    assert caught.value.code == "knee.not-found"


@pytest.mark.parametrize("shown", BOTH)
@pytest.mark.parametrize(
    ("n_cols", "mm", "for_both"), [(740, 0.4, False), (760, 0.4, True), (760, None, False)]
)
def test_a_film_that_is_wide_enough_for_both_misses_one(
    monkeypatch: pytest.MonkeyPatch, n_cols: int, mm: float | None, for_both: bool, shown: Side
) -> None:
    pixels = np.zeros((800, n_cols), np.float32)
    film = Radiograph(pixels, "id") if mm is None else whole_radiograph(pixels, mm=mm)
    right, left = (Side.RIGHT, 200.0), (Side.LEFT, n_cols - 200.0)
    one = MadeLocator(right if shown is Side.RIGHT else left)
    monkeypatch.setattr("kneegrade.knees.locating.find.read_markers", lambda *_: ())

    def missing_of(locator: MadeLocator, side: Side | None = None) -> Side | None:
        located = find_knees(locator, film, side=side, kind=InputKind.FILM)  # type: ignore[arg-type]
        return located.missing

    assert missing_of(one) is (shown.other if for_both else None)
    assert missing_of(one, shown) is None, "it was not asked for"
    assert missing_of(MadeLocator(right, left)) is None


# markers


class MadeLocator:
    """Finds level knees, 200 px wide, at given columns; a lone one takes the hint for its side."""

    def __init__(self, *knees: tuple[Side, float], sure: float = 1.0) -> None:
        self._knees, self._sure = knees, sure

    def locate(self, radiograph: Radiograph, *, hint: Side | None = None) -> LocatedKnees:
        found = []
        for shown, middle in self._knees:
            side = hint if hint and len(self._knees) == 1 else shown
            outward = -1 if side is Side.RIGHT else 1
            points = np.full((16, 2), (400.0, middle))
            points[:9, 1] += outward * np.linspace(100, -100, 9)
            landmarks = Landmarks(side, LandmarkScheme.KNEEL_16, points, np.ones(16))
            sure = self._sure if side is shown else -self._sure
            found.append(LocatedKnee(landmarks, KneeScores(0, 0, 0), sure))
        return LocatedKnees(radiograph, tuple(found))


def find_marked(
    monkeypatch: pytest.MonkeyPatch,
    locator: MadeLocator,
    *markers: tuple[Side, float, bool],
    side: Side | None = None,
) -> list[tuple[Side, bool]]:
    """Side of each knee, and whether it is in conflict; markers: side, column, mirrored."""
    made = tuple(SideMarker(side, (50.0, col), 0.9, turned) for side, col, turned in markers)
    monkeypatch.setattr("kneegrade.knees.locating.find.read_markers", lambda *_: made)
    film = Radiograph(np.zeros((800, 1400), np.float32), "id")
    found = find(locator, film, side=side, kind=InputKind.FILM)  # type: ignore[arg-type]
    for knee in found:
        assert (Flag.SIDE_FROM_PICTURE in knee.landmarks.flags) is (side is None)
        lateral, medial = knee.landmarks.points_px[[0, 8], 1]
        assert bool(lateral < medial) is (knee.landmarks.side is Side.RIGHT)
    return [(k.landmarks.side, Flag.SIDE_CONFLICT in k.landmarks.flags) for k in found]


R, L = Side.RIGHT, Side.LEFT


@pytest.mark.parametrize("shown", BOTH)
@pytest.mark.parametrize("letter", BOTH)
@pytest.mark.parametrize("sure", [0.05, 0.4, 1.0])
def test_a_letter_decides_the_side_of_the_only_knee(
    monkeypatch: pytest.MonkeyPatch, shown: Side, letter: Side, sure: float
) -> None:
    found = find_marked(monkeypatch, MadeLocator((shown, 400), sure=sure), (letter, 600, False))
    assert found == [(letter, sure == 1 and shown is not letter)]


def test_a_given_side_goes_before_the_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    one = MadeLocator((R, 400))
    for mirrored in (False, True):
        assert find_marked(monkeypatch, one, (L, 300, mirrored), side=R) == [(R, True)]
        assert find_marked(monkeypatch, one, (R, 300, mirrored), side=R) == [(R, False)]
    assert find_marked(monkeypatch, one, side=R) == [(R, False)]
    both = MadeLocator((R, 400), (L, 1000))
    assert find_marked(monkeypatch, both, (R, 1100, False), side=R) == [(R, False)]
    assert find_marked(monkeypatch, both, (R, 1100, False), side=L) == [(L, True)]


def test_letters_that_disagree_or_lie_far_off_tell_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = MadeLocator((R, 400))
    assert find_marked(monkeypatch, one, (L, 300, False), (R, 500, False)) == [(R, False)]
    assert find_marked(monkeypatch, one, (L, 790, False)) == [(L, True)]
    assert find_marked(monkeypatch, one, (L, 810, False)) == [(R, False)]
    unsure = MadeLocator((R, 400), sure=0.1)
    for markers in ((), [(L, 900, False)], [(L, 300, False), (R, 500, False)], [(L, 300, True)]):
        with pytest.raises(KneeNotFoundError) as caught:
            find_marked(monkeypatch, unsure, *markers)
        assert caught.value.code == "knee.side-unknown"


def test_each_of_two_knees_has_its_own_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    both = MadeLocator((R, 400), (L, 1000))
    agree = (R, 300, False), (L, 1100, False)
    assert find_marked(monkeypatch, both, *agree) == [(R, False), (L, False)]
    assert find_marked(monkeypatch, both, (L, 300, False)) == [(R, True), (L, False)]
    assert find_marked(monkeypatch, both, (R, 1100, False)) == [(R, False), (L, True)]
    assert find_marked(monkeypatch, both, (R, 720, False)) == [(R, False), (L, False)]
    swapped = (L, 300, False), (R, 1100, False)
    assert find_marked(monkeypatch, both, *swapped) == [(R, True), (L, True)]


@pytest.mark.parametrize("side", [None, *BOTH])
@pytest.mark.parametrize("mirrored", [False, True])
def test_two_knees_with_the_same_letter(
    monkeypatch: pytest.MonkeyPatch, side: Side | None, mirrored: bool
) -> None:
    both = MadeLocator((R, 400), (L, 1000))
    with pytest.raises(KneeNotFoundError) as caught:
        find_marked(monkeypatch, both, (R, 300, mirrored), (R, 1100, mirrored), side=side)
    assert caught.value.code == "knee.too-many"
    assert "right" in caught.value.message


def test_mirrored_letters_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one = MadeLocator((R, 400))
    assert find_marked(monkeypatch, one, (L, 300, True)) == [(R, True)], "the film was turned"
    assert find_marked(monkeypatch, one, (R, 300, True)) == [(R, False)], "it lay face down"
    unsure = MadeLocator((R, 400), sure=0.4)
    assert find_marked(monkeypatch, unsure, (R, 300, True)) == [(R, True)], "one or the other"
    assert find_marked(monkeypatch, unsure, (R, 300, True), side=R) == [(R, False)]
    assert find_marked(monkeypatch, one, (L, 300, True), (R, 500, False)) == [(R, False)]
    both = MadeLocator((R, 400), (L, 1000))
    assert find_marked(monkeypatch, both, (L, 300, True)) == [(R, True), (L, True)]
    face_down = (R, 300, True), (L, 1100, True)
    assert find_marked(monkeypatch, both, *face_down) == [(R, False), (L, False)]


def test_a_mirrored_film_is_flagged_by_its_letters(locator: KneeLocator) -> None:
    for sides in ((Side.RIGHT,), BOTH):
        film = draw_whole_film(*sides)
        for pixels, conflict in ((film.pixels, False), (film.pixels[:, ::-1], True)):
            for knee in find(locator, whole_radiograph(pixels)):
                assert (Flag.SIDE_CONFLICT in knee.landmarks.flags) is conflict


@pytest.mark.parametrize("inverted", [False, True])
def test_two_right_knees_side_by_side(locator: KneeLocator, inverted: bool) -> None:
    pixels = draw_whole_film(Side.RIGHT).pixels.astype(np.float32)
    two = np.hstack([pixels, pixels])
    assert code_of(locator, -two if inverted else two) == "knee.too-many"
