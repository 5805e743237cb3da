"""The locator: what it makes of its networks' heat maps, and how far to trust the embedded ones."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from made_films import draw_whole_film, whole_radiograph

from kneegrade.bundles.manifest import read_bundle
from kneegrade.errors import BundleError, KneeNotFoundError
from kneegrade.images.geometry import apply_affine, invert_affine
from kneegrade.knees.locating import locate
from kneegrade.knees.locating.heatmaps import STRIDE
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.pose import film_affine
from kneegrade.knees.quality.checks import KneeScores
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side

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
    real = locate.OnnxNetwork
    drawn = DrawnHeatmaps([list(places) for places in ends])
    monkeypatch.setattr(
        locate,
        "OnnxNetwork",
        lambda path, n_threads: drawn if path == SPEC.film else real(path, n_threads=n_threads),
    )
    return KneeLocator(SPEC, n_threads=1)


def test_the_networks_must_be_the_locators() -> None:
    for spec in (replace(SPEC, film=SPEC.knee), replace(SPEC, knee=SPEC.film)):
        with pytest.raises(BundleError) as caught:
            KneeLocator(spec, n_threads=1)
        assert caught.value.code == "bundle.invalid"


def test_the_knees_network_must_give_three_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoScores(locate.OnnxNetwork):
        def __init__(self, path: Path, *, n_threads: int | None) -> None:
            super().__init__(path, n_threads=n_threads)
            if "scores" in self.outputs:
                self.outputs["scores"] = 2

    monkeypatch.setattr(locate, "OnnxNetwork", TwoScores)
    with pytest.raises(BundleError) as caught:
        KneeLocator(SPEC, n_threads=1)
    assert caught.value.code == "bundle.invalid"


def test_metal_that_is_seen_nowhere_is_not_heard(
    locator: KneeLocator, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = whole_radiograph(draw_whole_film(Side.LEFT, implant=Side.LEFT).pixels)
    (knee,) = locator.locate(film)
    assert knee.scores.implant > 0.9
    assert knee.scores.has_plain_metal

    class NoPlace(locate.OnnxNetwork):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            outputs = super().run(images)
            return outputs | {"metal": np.full((1, 1, 128, 128), -9, np.float32)}

    monkeypatch.setattr(locate, "OnnxNetwork", NoPlace)
    (knee,) = KneeLocator(SPEC, n_threads=1).locate(film)
    assert knee.scores.implant == 0
    assert knee.scores.metal == ()
    assert not knee.scores.has_suspected_metal


def test_a_film_without_a_knee(monkeypatch: pytest.MonkeyPatch) -> None:
    assert locator_of(monkeypatch, [], [], [], []).locate(FLAT) == ()


def test_both_plateaus_are_told_from_lesser_to_greater_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right, left = [[(300, 150)], [(300, 300)]], [[(310, 750)], [(310, 600)]]
    found = locator_of(monkeypatch, *right, *left).locate(FLAT)
    assert [knee.landmarks.side for knee in found] == [Side.RIGHT, Side.LEFT]
    turned_round = locator_of(
        monkeypatch, [(300, 600)], [(300, 750)], [(310, 300)], [(310, 150)]
    ).locate(FLAT)
    assert [knee.landmarks.side for knee in turned_round] == [Side.LEFT, Side.RIGHT]


def test_one_knee_seen_as_right_and_as_left_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = (300, 400), (300, 550)
    found = locator_of(monkeypatch, [low], [high], [high], [low]).locate(FLAT)
    assert len(found) == 1
    assert abs(found[0].side_confidence) < 0.1, "as likely the one as the other"


@pytest.mark.parametrize("hint", BOTH)
def test_a_hint_decides_where_the_picture_does_not(
    monkeypatch: pytest.MonkeyPatch, hint: Side
) -> None:
    low, high = (300, 400), (300, 550)
    locator = locator_of(monkeypatch, [low], [high], [high], [low])
    looked_at = []
    monkeypatch.setattr(
        locator,
        "_picture_of",
        lambda film, ends: looked_at.append(ends) or KneeLocator._picture_of(locator, film, ends),
    )
    (knee,) = locator.locate(FLAT, hint=hint)
    assert knee.landmarks.side is hint
    lateral, medial = looked_at[1][:, 1]
    assert bool(lateral < medial) is (hint is Side.RIGHT), "it is looked at, lateral first"


def test_a_hint_is_taken_and_what_speaks_against_it_told(monkeypatch: pytest.MonkeyPatch) -> None:
    locator = locator_of(monkeypatch, [(300, 400)], [(300, 550)], [], [])
    for hint in (None, *BOTH):
        (knee,) = locator.locate(FLAT, hint=hint)
        assert knee.landmarks.side is (hint or Side.RIGHT)
        assert (knee.side_confidence > 0.9) is (hint is not Side.LEFT)
        assert (knee.side_confidence < -0.9) is (hint is Side.LEFT)


def take_for_knees(monkeypatch: pytest.MonkeyPatch, seems: bool) -> None:
    monkeypatch.setattr(locate, "seems_a_knee", lambda *_: seems)


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


def seen_as_it_is(plateau: locate._Plateau) -> locate.LocatedKnee:
    points = np.repeat(plateau.ends_px, [8, 8], axis=0)
    points[8] = plateau.ends_px[1]
    landmarks = Landmarks(plateau.side, LandmarkScheme.KNEEL_16, points, np.ones(16))
    return locate.LocatedKnee(landmarks, 1.0, False, KneeScores(0, 0, 0))


def test_second_places_without_a_knee_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    found = locator_of(monkeypatch, *TWO, [], []).locate(FLAT)
    assert len(found) <= 1


def test_one_end_of_a_plateau(monkeypatch: pytest.MonkeyPatch) -> None:
    one_end = locator_of(monkeypatch, [], [(300, 60)], [], [])
    assert one_end.locate(FLAT) == (), "nothing there seems to be a knee"
    take_for_knees(monkeypatch, True)
    with pytest.raises(KneeNotFoundError) as caught:
        one_end.locate(FLAT)
    assert caught.value.code == "knee.cut-off"
    whole = [[(300, 150)], [(300, 300)]]
    found = locator_of(monkeypatch, *whole, [], [(310, 880)]).locate(FLAT)
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
    assert judged.landmarks is landmarks
    assert judged.inverted is inverted
    assert judged.scores.not_knee < 0.5


@pytest.mark.parametrize("inverted", [False, True])
def test_polarity_is_judged_again_by_the_landmarks(
    locator: KneeLocator, monkeypatch: pytest.MonkeyPatch, inverted: bool
) -> None:
    """However the whole picture was taken at first."""
    pixels = draw_whole_film(Side.LEFT).pixels.astype(np.float32)
    right = locate.judge_orientation
    monkeypatch.setattr(
        locate, "judge_orientation", lambda p: replace(right(p), polarity=-right(p).polarity)
    )
    (knee,) = locator.locate(whole_radiograph(-pixels if inverted else pixels), hint=Side.LEFT)
    assert knee.inverted is inverted


@pytest.mark.parametrize(("off_px", "looks"), [(0, 1), (30, 2)])
def test_it_looks_again_where_the_knee_lies_otherwise(
    locator: KneeLocator, monkeypatch: pytest.MonkeyPatch, off_px: float, looks: int
) -> None:
    film = draw_whole_film(Side.RIGHT)
    points = film.knees[Side.RIGHT].landmarks_px
    seen = locate._Plateau(Side.RIGHT, points[[0, 8]] + [(off_px, 0), (-off_px, 0)], np.ones(2))
    n_looks = 0
    network = locator._knee

    class Counted:
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            nonlocal n_looks
            n_looks += 1
            return network.run(images)

    monkeypatch.setattr(locator, "_knee", Counted())
    found = locator._refine(whole_radiograph(film.pixels), seen)
    assert n_looks == looks
    miss = np.linalg.norm(found.landmarks.points_px - points, axis=1)
    assert miss.mean() < 0.02 * np.linalg.norm(points[8] - points[0])


def test_a_mirrored_film_gives_the_mirrored_landmarks(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH)
    here = locator.locate(whole_radiograph(film.pixels))
    there = locator.locate(whole_radiograph(film.pixels[:, ::-1]))
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
    for knee in locator.locate(coarse):
        truth = film.knees[knee.landmarks.side].landmarks_px
        away = np.linalg.norm(knee.landmarks.points_px * step - truth, axis=1)
        assert away.mean() * film.spacing_mm < 1.5


def test_brightness_and_contrast_do_not_matter(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH)
    here = locator.locate(whole_radiograph(film.pixels))
    there = locator.locate(whole_radiograph(film.pixels * 0.01 + 70))
    for knee, other in zip(here, there, strict=True):
        away = np.abs(other.landmarks.points_px - knee.landmarks.points_px)
        assert away.max() * film.spacing_mm < 0.1
