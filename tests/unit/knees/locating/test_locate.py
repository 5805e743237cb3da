"""The locator: what it makes of its networks' heat maps, and how far to trust the embedded ones."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from made_films import draw_whole_film, whole_radiograph

from kneegrade.bundles.manifest import read_bundle
from kneegrade.errors import BundleError, KneeNotFoundError
from kneegrade.images.geometry import apply_affine, invert_affine
from kneegrade.knees.locating import knee_network, locate
from kneegrade.knees.locating.heatmaps import STRIDE
from kneegrade.knees.locating.knee_network import KneeNetwork, LocatedKnee, SeenKnee
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.pose import film_affine
from kneegrade.knees.quality.metal import LegView
from kneegrade.knees.quality.scores import KneeScores
from kneegrade.knees.quality.shape_model import place_average_knee
from kneegrade.types import Flag, Landmarks, LandmarkScheme, Radiograph, Side

BOTH = (Side.RIGHT, Side.LEFT)
SPEC = read_bundle("default").locator
SHAPE = (600, 900)
FLAT = Radiograph(np.zeros(SHAPE, np.float32), "id")
Places = list[tuple[float, float]]


@dataclass
class DrawnHeatmaps:
    """A network that finds the ends of plateaus at given places of the film, ``(row, col)``.

    ``ends`` has the right knee's lateral and medial end and the left knee's; each may have no
    place, one, or two.
    """

    ends: list[Places]
    outputs: ClassVar = {"heatmaps": 4, "absent": 4}

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        size = images.shape[-1]
        to_input = invert_affine(film_affine(SHAPE, size))
        rows, cols = np.indices((size // STRIDE, size // STRIDE)) * STRIDE + (STRIDE - 1) / 2
        heatmaps = np.full((1, 4, *rows.shape), -30, np.float32)
        for i, places in enumerate(self.ends):
            for place in places:
                row, col = apply_affine(to_input, np.array(place))
                away = (rows - row) ** 2 + (cols - col) ** 2
                heatmaps[0, i] = np.maximum(heatmaps[0, i], 10 - away / 8)
        absent = np.array([[-30.0 if places else 30.0 for places in self.ends]], np.float32)
        return {"heatmaps": heatmaps, "absent": absent}


def locator_of(monkeypatch: pytest.MonkeyPatch, *ends: Places) -> KneeLocator:
    """A locator whose first network finds what is given; the second is the embedded one."""
    drawn = DrawnHeatmaps([list(places) for places in ends])
    monkeypatch.setattr(locate, "OnnxNetwork", lambda path, n_threads: drawn)
    return KneeLocator(SPEC, n_threads=1)


def test_the_networks_must_be_the_locators() -> None:
    for spec in (replace(SPEC, film=SPEC.knee), replace(SPEC, knee=SPEC.film)):
        with pytest.raises(BundleError) as caught:
            KneeLocator(spec, n_threads=1)
        assert caught.value.code == "bundle.invalid"


def test_the_knees_network_must_give_three_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoScores(knee_network.OnnxNetwork):
        def __init__(self, path: Path, *, n_threads: int | None) -> None:
            super().__init__(path, n_threads=n_threads)
            self.outputs["scores"] = 2

    monkeypatch.setattr(knee_network, "OnnxNetwork", TwoScores)
    with pytest.raises(BundleError) as caught:
        KneeLocator(SPEC, n_threads=1)
    assert caught.value.code == "bundle.invalid"


def test_metal_that_is_seen_nowhere_is_not_heard(
    locator: KneeLocator, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = whole_radiograph(draw_whole_film(Side.LEFT, implant=Side.LEFT).pixels)
    (knee,) = locator.locate(film).knees
    assert knee.scores.metal > 0.9
    assert knee.scores.has_plain_metal

    class NoPlace(knee_network.OnnxNetwork):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            outputs = super().run(images)
            return outputs | {"metal": np.full((1, 1, 128, 128), -9, np.float32)}

    monkeypatch.setattr(knee_network, "OnnxNetwork", NoPlace)
    (knee,) = KneeLocator(SPEC, n_threads=1).locate(film).knees
    assert knee.scores.metal == 0
    assert knee.scores.metal_places == ()
    assert not knee.scores.has_suspected_metal


def test_a_film_without_a_knee(monkeypatch: pytest.MonkeyPatch) -> None:
    located = locator_of(monkeypatch, [], [], [], []).locate(FLAT)
    assert located.knees == ()
    assert located.radiograph is FLAT


def test_both_plateaus_are_told_from_lesser_to_greater_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right, left = [[(300, 150)], [(300, 300)]], [[(310, 750)], [(310, 600)]]
    found = locator_of(monkeypatch, *right, *left).locate(FLAT).knees
    assert [knee.landmarks.side for knee in found] == [Side.RIGHT, Side.LEFT]
    turned_round = locator_of(
        monkeypatch, [(300, 600)], [(300, 750)], [(310, 300)], [(310, 150)]
    ).locate(FLAT)
    assert [knee.landmarks.side for knee in turned_round.knees] == [Side.LEFT, Side.RIGHT]


def test_one_knee_seen_as_right_and_as_left_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = (300, 400), (300, 550)
    found = locator_of(monkeypatch, [low], [high], [high], [low]).locate(FLAT).knees
    assert len(found) == 1
    assert abs(found[0].side_confidence) < 0.1, "as likely the one as the other"


@pytest.mark.parametrize("hint", BOTH)
def test_a_hint_decides_where_the_picture_does_not(
    monkeypatch: pytest.MonkeyPatch, hint: Side
) -> None:
    low, high = (300, 400), (300, 550)
    locator = locator_of(monkeypatch, [low], [high], [high], [low])
    (knee,) = locator.locate(FLAT, hint=hint).knees
    assert knee.landmarks.side is hint
    lateral, medial = knee.landmarks.plateau_px[:, 1]
    assert bool(lateral < medial) is (hint is Side.RIGHT), "it is looked at, lateral first"


def test_a_hint_is_taken_and_what_speaks_against_it_told(monkeypatch: pytest.MonkeyPatch) -> None:
    locator = locator_of(monkeypatch, [(300, 400)], [(300, 550)], [], [])
    for hint in (None, *BOTH):
        (knee,) = locator.locate(FLAT, hint=hint).knees
        assert knee.landmarks.side is (hint or Side.RIGHT)
        assert (knee.side_confidence > 0.9) is (hint is not Side.LEFT)
        assert (knee.side_confidence < -0.9) is (hint is Side.LEFT)


def take_for_knees(monkeypatch: pytest.MonkeyPatch, seems: bool) -> None:
    monkeypatch.setattr(LocatedKnee, "seems_a_knee", lambda *_: seems)


TWO = ([(300, 100), (300, 500)], [(300, 250), (300, 650)])


@pytest.mark.parametrize("ends", [(*TWO, [], []), ([], [], *TWO)])
def test_two_knees_of_one_side(monkeypatch: pytest.MonkeyPatch, ends: tuple[Places, ...]) -> None:
    locator = locator_of(monkeypatch, *ends)
    monkeypatch.setattr(  # the second network would see nothing on a flat film
        locator, "_refine", lambda film, plateau: seen_as_it_is(plateau)
    )
    take_for_knees(monkeypatch, True)
    with pytest.raises(KneeNotFoundError) as caught:
        locator.locate(FLAT)
    assert caught.value.code == "knee.too-many"


def seen_as_it_is(plateau: locate._Plateau) -> SeenKnee:
    points = np.repeat(plateau.ends_px, [8, 8], axis=0)
    points[8] = plateau.ends_px[1]
    landmarks = Landmarks(plateau.side, LandmarkScheme.KNEEL_16, points, np.ones(16))
    return SeenKnee(LocatedKnee(landmarks, KneeScores(0, 0, 0)), inverted=False)


def test_second_places_without_a_knee_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    found = locator_of(monkeypatch, *TWO, [], []).locate(FLAT).knees
    assert len(found) <= 1


def test_one_end_of_a_plateau(monkeypatch: pytest.MonkeyPatch) -> None:
    one_end = locator_of(monkeypatch, [], [(300, 60)], [], [])
    assert one_end.locate(FLAT).knees == (), "nothing there seems to be a knee"
    take_for_knees(monkeypatch, True)
    with pytest.raises(KneeNotFoundError) as caught:
        one_end.locate(FLAT)
    assert caught.value.code == "knee.cut-off"
    whole = [[(300, 150)], [(300, 300)]]
    found = locator_of(monkeypatch, *whole, [], [(310, 880)]).locate(FLAT).knees
    assert [knee.landmarks.side for knee in found] == [Side.RIGHT], "the whole one is kept"


@pytest.mark.parametrize("seen", [0, 1])
@pytest.mark.parametrize("side", BOTH)
def test_the_end_that_is_cut_off_is_sought_beyond_the_edge(side: Side, seen: int) -> None:
    ends = np.array([(300.0, 400.0), (300.0, 400.0)])
    first, *guesses = locate._guess_other_end(locate._Plateau(side, ends, np.ones(2)), seen, 900)
    np.testing.assert_array_equal(first.ends_px, ends)
    cols = np.array([guess.ends_px[1 - seen, 1] for guess in guesses])
    assert (cols > 899).all() if (side is Side.RIGHT) == (seen == 0) else (cols < 0).all()


@pytest.mark.parametrize("inverted", [False, True])
def test_judging_keeps_the_landmarks(locator: KneeLocator, inverted: bool) -> None:
    film = draw_whole_film(Side.LEFT)
    points = film.knees[Side.LEFT].landmarks_px
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    pixels = film.pixels.astype(np.float32)
    judged = locator.judge(whole_radiograph(-pixels if inverted else pixels), landmarks)
    (knee,) = judged.knees
    assert knee.landmarks is landmarks
    assert (Flag.POLARITY_CORRECTED in judged.radiograph.flags) is inverted
    np.testing.assert_array_equal(judged.radiograph.pixels, pixels)
    assert knee.scores.not_knee < 0.5


@pytest.mark.parametrize("inverted", [False, True])
def test_polarity_is_judged_again_by_the_landmarks(
    locator: KneeLocator, monkeypatch: pytest.MonkeyPatch, inverted: bool
) -> None:
    """However the whole picture was taken at first."""
    pixels = draw_whole_film(Side.LEFT).pixels.astype(np.float32)
    right = knee_network.judge_orientation
    monkeypatch.setattr(
        knee_network, "judge_orientation", lambda p: replace(right(p), polarity=-right(p).polarity)
    )
    film = whole_radiograph(-pixels if inverted else pixels)
    located = locator.locate(film, hint=Side.LEFT)
    assert len(located.knees) == 1
    assert (Flag.POLARITY_CORRECTED in located.radiograph.flags) is inverted


@pytest.mark.parametrize("stated", [False, True])
@pytest.mark.parametrize("surest", BOTH)
@pytest.mark.parametrize("dark", [(), (Side.RIGHT,), (Side.LEFT,), BOTH])
def test_polarity_is_decided_once_for_a_film(
    monkeypatch: pytest.MonkeyPatch, dark: tuple[Side, ...], surest: Side, stated: bool
) -> None:
    """As on its surest knee; the other one, seen otherwise, is looked at again, bone bright."""
    last_shown: dict[Side, LegView] = {}

    def look(
        _: KneeNetwork, view: LegView, side: Side, *, inverted: bool | None = None
    ) -> SeenKnee:
        is_dark = side in dark if inverted is None else inverted
        last_shown[side] = view.invert() if is_dark else view
        points = apply_affine(view.to_radiograph, place_average_knee(view.plateau))
        sure = np.full(16, 0.9 if side is surest else 0.6)
        landmarks = Landmarks(side, LandmarkScheme.KNEEL_16, points, sure)
        return SeenKnee(LocatedKnee(landmarks, KneeScores(1, 0, 0)), is_dark)

    monkeypatch.setattr(KneeNetwork, "look", look)
    right, left = [[(300, 150)], [(300, 300)]], [[(300, 750)], [(300, 600)]]
    pixels = np.add.outer(np.arange(600.0), np.arange(900.0)).astype(np.float32)
    film = Radiograph(pixels, "id", polarity_stated=stated)
    located = locator_of(monkeypatch, *right, *left).locate(film)
    inverted = surest in dark
    assert [knee.landmarks.side for knee in located.knees] == list(BOTH)
    np.testing.assert_array_equal(located.radiograph.pixels, -pixels if inverted else pixels)
    assert (Flag.POLARITY_CORRECTED in located.radiograph.flags) is inverted
    assert (Flag.POLARITY_CONFLICT in located.radiograph.flags) is (inverted and stated)
    for side in BOTH:
        brighter_below = last_shown[side].pixels[-1].mean() > last_shown[side].pixels[0].mean()
        assert bool(brighter_below) is not inverted, "as the corrected film is"


@pytest.mark.parametrize(("off_px", "looks"), [(0, 1), (30, 2)])
def test_it_looks_again_where_the_knee_lies_otherwise(
    locator: KneeLocator, monkeypatch: pytest.MonkeyPatch, off_px: float, looks: int
) -> None:
    film = draw_whole_film(Side.RIGHT)
    points = film.knees[Side.RIGHT].landmarks_px
    seen = locate._Plateau(Side.RIGHT, points[[0, 8]] + [(off_px, 0), (-off_px, 0)], np.ones(2))
    n_looks = 0
    look = KneeNetwork.look

    def counted(self: KneeNetwork, *view: Any, **options: Any) -> SeenKnee:
        nonlocal n_looks
        n_looks += 1
        return look(self, *view, **options)

    monkeypatch.setattr(KneeNetwork, "look", counted)
    found, inverted = locator._refine(whole_radiograph(film.pixels), seen)
    assert (n_looks, inverted) == (looks, False)
    miss = np.linalg.norm(found.landmarks.points_px - points, axis=1)
    assert miss.mean() < 0.02 * np.linalg.norm(points[8] - points[0])


def test_a_mirrored_film_gives_the_mirrored_landmarks(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH)
    here = locator.locate(whole_radiograph(film.pixels)).knees
    there = locator.locate(whole_radiograph(film.pixels[:, ::-1])).knees
    assert [knee.landmarks.side for knee in there] == [
        knee.landmarks.side.other for knee in reversed(here)
    ]
    for knee, mirrored in zip(here, reversed(there), strict=True):
        back = mirrored.landmarks.points_px.copy()
        back[:, 1] = film.pixels.shape[1] - 1 - back[:, 1]
        away = np.linalg.norm(back - knee.landmarks.points_px, axis=1)
        assert away.mean() * film.spacing_mm < 0.5


@pytest.mark.parametrize("step", [2, 3])
def test_a_coarser_film_gives_the_same_places(locator: KneeLocator, step: int) -> None:
    film = draw_whole_film(*BOTH)
    coarse = whole_radiograph(film.pixels[::step, ::step], mm=film.spacing_mm * step)
    for knee in locator.locate(coarse).knees:
        truth = film.knees[knee.landmarks.side].landmarks_px
        away = np.linalg.norm(knee.landmarks.points_px * step - truth, axis=1)
        assert away.mean() * film.spacing_mm < 1.5


def test_brightness_and_contrast_do_not_matter(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH)
    here = locator.locate(whole_radiograph(film.pixels)).knees
    there = locator.locate(whole_radiograph(film.pixels * 0.01 + 70)).knees
    for knee, other in zip(here, there, strict=True):
        away = np.abs(other.landmarks.points_px - knee.landmarks.points_px)
        assert away.max() * film.spacing_mm < 0.1
