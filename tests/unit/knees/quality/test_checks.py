from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.crop import RoiSpec, crop_knee
from kneegrade.knees.quality.checks import (
    METAL_ALONE_FROM,
    MOTION_FROM,
    NOT_KNEE_FROM,
    NOT_KNEE_FROM_IF_OTHER_VIEW,
    NOT_KNEE_FROM_WITH_METAL,
    REFUSED_FLAGS,
    check_quality,
)
from kneegrade.knees.quality.measures import QualityMeasures, measure_quality
from kneegrade.knees.quality.metal import MetalPlace
from kneegrade.knees.quality.scores import (
    METAL_FROM,
    NAIL_FROM,
    PLAIN_CERTAINTY,
    PLAIN_CONTRAST,
    SHAFT_CERTAINTY,
    SHAFT_CONTRAST,
    SHAFT_SCORE,
    SURE_METAL,
    SUSPECT_CONTRAST,
    SUSPECT_FROM,
    KneeScores,
    seems_a_knee,
)
from kneegrade.knees.quality.shape_model import (
    compute_shape_distance,
    place_average_knee,
    read_shape_model,
)
from kneegrade.phantoms.films.film import draw_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.types import Flag, Landmarks, LandmarkScheme, Radiograph, Side, View

FINE = KneeScores(not_knee=0.0, metal=0.0, motion=0.0)
PLAIN = MetalPlace(
    outline_px=np.zeros((3, 2)),
    certainty=PLAIN_CERTAINTY,
    contrast=PLAIN_CONTRAST,
    score=1.0,
)
SEEDS = range(3)


@cache
def make_film(seed: int = 0, side: Side = Side.RIGHT) -> tuple[Radiograph, Landmarks]:
    """A phantom film of one knee and its true landmarks."""
    rng = np.random.default_rng(seed)
    film = draw_film(
        body=draw_body(sex="female", bmi=26, rng=rng),
        knees={side: Severity(dict.fromkeys(FEATURES, 0.5))},
        scanner=SCANNERS["oai-cr-a"],
        spacing_mm=0.3,
        rng=rng,
    )
    points = film.knees[side].landmarks_px
    landmarks = Landmarks(side, LandmarkScheme.KNEEL_16, points, np.full(16, 0.9))
    return Radiograph(pixels=film.pixels.astype(np.float32), source_id="1.2.3"), landmarks


def check(
    radiograph: Radiograph, landmarks: Landmarks, scores: KneeScores = FINE
) -> frozenset[Flag]:
    return check_quality(radiograph, landmarks, crop_knee(radiograph, landmarks, RoiSpec()), scores)


def measure(radiograph: Radiograph, landmarks: Landmarks) -> QualityMeasures:
    return measure_quality(radiograph, landmarks, crop_knee(radiograph, landmarks, RoiSpec()))


def changed(radiograph: Radiograph, pixels: np.ndarray) -> Radiograph:
    return replace(radiograph, pixels=pixels.astype(np.float32))


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_whole_sharp_knee_is_not_flagged(seed: int, side: Side) -> None:
    assert check(*make_film(seed, side)) == set()


@pytest.mark.parametrize(
    ("score", "bar", "flag", "refused"),
    [
        ("not_knee", NOT_KNEE_FROM, Flag.NOT_A_KNEE, True),
        ("metal", METAL_FROM, Flag.METAL_SUSPECTED, False),
        ("motion", MOTION_FROM, Flag.BLURRED, False),
    ],
)
def test_the_networks_scores_are_heard(score: str, bar: float, flag: Flag, refused: bool) -> None:
    assert 0 < bar < 1
    assert check(*make_film(), replace(FINE, **{score: bar})) == {flag}
    assert check(*make_film(), replace(FINE, **{score: bar - 1e-6})) == set()
    assert (flag in REFUSED_FLAGS) is refused


def test_sure_metal_is_told_of_and_nothing_that_it_does_to_the_other_measures() -> None:
    radiograph, landmarks = make_film()
    white = changed(radiograph, exposed(radiograph.pixels, "white"))
    metal = replace(FINE, metal=1.0, motion=1.0, metal_places=(PLAIN,))
    assert check(white, landmarks, metal) == {Flag.IMPLANT}
    doubtful = replace(metal, metal=(METAL_FROM + METAL_ALONE_FROM) / 2)
    found = check(white, landmarks, doubtful)
    assert found >= {Flag.IMPLANT, Flag.BADLY_EXPOSED, Flag.BLURRED}
    other = replace(metal, not_knee=1.0)
    assert check(white, landmarks, other) == {Flag.NOT_A_KNEE}, "nothing of what is in no knee"
    unsure = replace(landmarks, confidence=np.full(16, 0.1))  # as beside a prosthesis
    assert check(radiograph, unsure, metal) == {Flag.IMPLANT}
    side_view = replace(metal, not_knee=NOT_KNEE_FROM_WITH_METAL)
    assert check(radiograph, unsure, side_view) == {Flag.NOT_A_KNEE}
    flat = changed(radiograph, exposed(radiograph.pixels, "flat"))
    found = check(flat, landmarks, metal)
    assert found == {Flag.IMPLANT, Flag.BADLY_EXPOSED}, "metal makes no picture flat"


def test_a_header_that_names_another_view_lowers_the_bar() -> None:
    radiograph, landmarks = make_film()
    doubtful = replace(FINE, not_knee=(NOT_KNEE_FROM_IF_OTHER_VIEW + NOT_KNEE_FROM) / 2)
    assert check(radiograph, landmarks, doubtful) == set()
    assert check(replace(radiograph, view=View.OTHER), landmarks, doubtful) == {Flag.NOT_A_KNEE}
    assert check(replace(radiograph, view=View.OTHER), landmarks, FINE) == set()


@pytest.mark.parametrize("name", ["not_knee", "metal", "motion"])
@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_scores_are_probabilities(name: str, score: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be in"):
        replace(FINE, **{name: score})


def test_unsure_landmarks_are_no_knee() -> None:
    radiograph, landmarks = make_film()
    unsure = replace(landmarks, confidence=np.full(16, 0.1))
    assert check(radiograph, unsure) == {Flag.NOT_A_KNEE}


def test_points_without_a_knees_shape_are_no_knee() -> None:
    radiograph, landmarks = make_film()
    points = landmarks.points_px.copy()
    points[1:8] = points[8:0:-1][:7]
    assert Flag.NOT_A_KNEE in check(radiograph, replace(landmarks, points_px=points))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_looks_nothing_like_a_knee_is_none(seed: int) -> None:
    """Noise, a turned knee and a shaft, whatever the network thinks of them."""
    radiograph, landmarks = make_film(seed)
    smooth = cv2.GaussianBlur(
        np.random.default_rng(seed).normal(size=radiograph.pixels.shape), (0, 0), 9
    )
    assert Flag.NOT_A_KNEE in check(changed(radiograph, smooth), landmarks)
    middle = np.rint(landmarks.points_px.mean(axis=0)).astype(int)
    half = int(min(*middle, *(np.array(radiograph.pixels.shape) - middle)))
    square = radiograph.pixels[
        middle[0] - half : middle[0] + half, middle[1] - half : middle[1] + half
    ]
    moved = replace(landmarks, points_px=landmarks.points_px - (middle - half))
    assert Flag.NOT_A_KNEE not in check(changed(radiograph, square), moved)
    assert Flag.NOT_A_KNEE in check(changed(radiograph, np.rot90(square)), moved)
    assert Flag.NOT_A_KNEE in check(changed(radiograph, -square), moved), "bone must be bright"


@pytest.mark.parametrize("edge", ["lateral", "medial", "above", "below"])
def test_a_knee_at_the_edge_is_cut_off(edge: str) -> None:
    radiograph, landmarks = make_film()
    row, left, right = landmarks.points_px[4, 0], *landmarks.points_px[[0, 8], 1]
    width = right - left
    first, last = np.zeros(2, int), np.array(radiograph.pixels.shape)
    if edge == "lateral":
        first[1] = left + 0.1 * width
    elif edge == "medial":
        last[1] = right - 0.1 * width
    elif edge == "above":
        first[0] = row + 0.05 * width
    else:
        last[0] = row - 0.05 * width
    cut = radiograph.pixels[first[0] : last[0], first[1] : last[1]]
    moved = replace(landmarks, points_px=landmarks.points_px - first)
    assert Flag.KNEE_CUT_OFF in check(changed(radiograph, cut), moved)
    covered = np.full_like(radiograph.pixels, radiograph.pixels.min())
    covered[first[0] : last[0], first[1] : last[1]] = cut
    assert Flag.KNEE_CUT_OFF in check(changed(radiograph, covered), landmarks), "behind a shutter"


def test_a_knee_near_the_edge_is_whole() -> None:
    radiograph, landmarks = make_film()
    left, right = landmarks.points_px[[0, 8], 1]
    first = int(left - 0.06 * (right - left))
    moved = replace(landmarks, points_px=landmarks.points_px - (0, first))
    assert check(changed(radiograph, radiograph.pixels[:, first:]), moved) == set()


def exposed(pixels: np.ndarray, kind: str) -> np.ndarray:
    low, middle, high = np.percentile(pixels[pixels > np.percentile(pixels, 40)], (2, 50, 98))
    if kind == "white":
        return np.clip(pixels, None, middle)
    if kind == "black":
        return np.clip(pixels, middle, None)
    if kind == "flat":
        return np.rint((pixels - low) / (high - low) * 6)
    noise = np.random.default_rng(0).normal(0, 2 * (high - low), pixels.shape)
    return pixels + noise


@pytest.mark.parametrize("kind", ["white", "black", "flat", "noise"])
def test_a_wrong_exposure_is_flagged(kind: str) -> None:
    radiograph, landmarks = make_film()
    found = check(changed(radiograph, exposed(radiograph.pixels, kind)), landmarks)
    assert Flag.BADLY_EXPOSED in found
    assert Flag.BADLY_EXPOSED in REFUSED_FLAGS


def test_brightness_and_contrast_of_the_film_do_not_matter() -> None:
    radiograph, landmarks = make_film()
    before = measure(radiograph, landmarks)
    after = measure(changed(radiograph, radiograph.pixels * 0.1 + 70), landmarks)
    for name in ("likeness", "white", "black", "grain_likeness"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=0.05), name


def test_the_mean_shape_has_no_distance_wherever_it_lies() -> None:
    mean = np.array(read_shape_model()["mean_row_col_mm"])
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    assert compute_shape_distance(mean @ turn * 7 + (40, -3)) == pytest.approx(0, abs=1e-6)
    assert compute_shape_distance(np.zeros((16, 2))) == float("inf")
    rng = np.random.default_rng(0)
    near, far = (
        np.mean([compute_shape_distance(mean + rng.normal(0, sd, (16, 2))) for _ in range(20)])
        for sd in (0.8, 4)
    )
    assert near < 1 < far
    mirrored = mean * (1, -1)
    assert compute_shape_distance(mirrored) > near


@pytest.mark.parametrize("side", Side)
def test_the_average_knee_is_placed_by_the_ends_of_its_plateau(side: Side) -> None:
    mean = np.array(read_shape_model()["mean_row_col_mm"])
    ends = np.array([[40.0, 10.0], [44.0, 110.0]])
    if side is Side.LEFT:
        ends[:, 0] = ends[::-1, 0]
    placed = place_average_knee(ends)
    np.testing.assert_allclose(placed[[0, 8]], ends, atol=1e-9)
    assert compute_shape_distance(placed) == pytest.approx(0, abs=1e-6)
    assert placed[9:, 0].mean() < placed[:9, 0].mean(), "the femur is above"
    scale = np.linalg.norm(ends[1] - ends[0]) / np.linalg.norm(mean[8] - mean[0])
    assert np.ptp(placed[:, 1]) == pytest.approx(scale * np.ptp(mean[:, 1]), rel=0.1)


@pytest.mark.parametrize(
    ("scores", "flags"),
    [
        (replace(FINE, metal=METAL_FROM, metal_places=(PLAIN,)), {Flag.IMPLANT}),
        (replace(FINE, metal=0.39, metal_places=(PLAIN,)), set()),
        (
            replace(FINE, metal=0.9, metal_places=(replace(PLAIN, certainty=0.89),)),
            {Flag.METAL_SUSPECTED},
        ),
        (
            replace(FINE, metal=0.9, metal_places=(replace(PLAIN, contrast=0.17),)),
            {Flag.METAL_SUSPECTED},
        ),
        (
            replace(
                FINE,
                metal=SURE_METAL,
                metal_places=(replace(PLAIN, certainty=SURE_METAL, contrast=0.01),),
            ),
            {Flag.IMPLANT},
        ),
        (
            replace(
                FINE, metal=SUSPECT_FROM, metal_places=(replace(PLAIN, contrast=SUSPECT_CONTRAST),)
            ),
            {Flag.METAL_SUSPECTED},
        ),
    ],
)
def test_metal_is_refused_where_the_film_shows_it_and_else_suspected(
    scores: KneeScores, flags: set[Flag]
) -> None:
    assert check(*make_film(), scores) == flags
    assert Flag.METAL_SUSPECTED not in REFUSED_FLAGS


def test_metal_in_a_shaft_is_flagged_only_where_all_speaks_for_it() -> None:
    bars = {"score": SHAFT_SCORE, "certainty": SHAFT_CERTAINTY, "contrast": SHAFT_CONTRAST}
    place = replace(PLAIN, in_shaft=True, **bars)
    assert check(*make_film(), replace(FINE, metal_places=(place,))) == {Flag.METAL_SUSPECTED}
    for name, bar in bars.items():
        short = replace(place, **{name: bar - 1e-6})
        assert check(*make_film(), replace(FINE, metal_places=(short,))) == set(), name
    assert check(*make_film(), replace(FINE, canal=NAIL_FROM)) == {Flag.METAL_SUSPECTED}
    assert check(*make_film(), replace(FINE, canal=NAIL_FROM - 1e-6)) == set()
    sure = replace(FINE, metal=1.0, metal_places=(place,))
    assert check(*make_film(), sure) == {Flag.METAL_SUSPECTED}, "none at the joint is plain"


def test_what_seems_a_knee() -> None:
    radiograph, landmarks = make_film()
    assert seems_a_knee(radiograph, landmarks, FINE)
    assert not seems_a_knee(radiograph, landmarks, replace(FINE, not_knee=0.5))
    unsure = replace(landmarks, confidence=np.full(16, 0.29))
    assert not seems_a_knee(radiograph, unsure, FINE)
    half = landmarks.points_px - (0, landmarks.points_px[4, 1])
    shown = half[:, 1] >= 0
    cut = replace(landmarks, points_px=half, confidence=np.where(shown, 0.9, 0.0))
    assert seems_a_knee(radiograph, cut, FINE), "only what is on the film counts"
    found = check(radiograph, cut)
    assert Flag.KNEE_CUT_OFF in found
    assert Flag.NOT_A_KNEE not in found
    off = replace(landmarks, points_px=landmarks.points_px - 10_000)
    assert not seems_a_knee(radiograph, off, FINE)


def test_metal_is_told_where_it_really_is(
    locator: KneeLocator, metal_knees: list, kaggle_sample: list
) -> None:
    def scores_of(knee: tuple[str, Side, np.ndarray]) -> KneeScores:
        _, side, pixels = knee
        picture = Radiograph(pixels.astype(np.float32), "id")
        (located,) = locator.locate_in_crop(picture, side).knees
        return located.scores

    with_metal = [scores_of(knee) for knee in metal_knees]
    assert np.mean([s.has_plain_metal or s.has_suspected_metal for s in with_metal]) >= 0.95
    assert np.mean([s.has_plain_metal for s in with_metal]) >= 0.9
    listed = {file for file, *_ in metal_knees}
    others = [scores_of(knee) for knee in kaggle_sample[:300] if knee[0] not in listed]
    assert np.mean([s.has_plain_metal for s in others]) <= 0.005
    flagged = [s.has_suspected_metal and not s.has_plain_metal for s in others]
    assert np.mean(flagged) <= 0.01
