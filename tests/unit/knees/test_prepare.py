"""Knees found, cut and checked, with the embedded networks on drawn films."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_films import draw_whole_film, whole_radiograph

from kneegrade.errors import CODES, ImageError, KneeNotFoundError
from kneegrade.images.dicom.header import SPACING_FLAGS
from kneegrade.images.read import read_radiograph
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.measuring.joint_space import measure_joint_space
from kneegrade.knees.posing.crop import PAPER_ROI, RoiSpec
from kneegrade.knees.prepare import (
    PreparedKnee,
    RefusedKnee,
    prepare_knees,
    prepare_landmarks,
)
from kneegrade.knees.quality.checks import REFUSED_FLAGS
from kneegrade.phantoms.films.film import draw_hand_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.spoilt.shaft_metal import paint_shaft_metal
from kneegrade.types import Flag, Landmarks, LandmarkScheme, Radiograph, Side

BOTH = (Side.RIGHT, Side.LEFT)
NO_KNEE = {"knee.not-found", "knee.not-a-knee"}


def prepare(locator: KneeLocator, pixels: np.ndarray) -> list[PreparedKnee | RefusedKnee]:
    return prepare_knees(locator, whole_radiograph(pixels), RoiSpec())


def code_of(knee: PreparedKnee | RefusedKnee) -> str | None:
    """Code with which a knee is refused; None where it is not."""
    return knee.error.code if isinstance(knee, RefusedKnee) else None


def refusal_of(locator: KneeLocator, pixels: np.ndarray) -> str | None:
    """Code with which a picture, or the first knee on it, is refused."""
    return code_of(prepare(locator, pixels)[0])


def shown(knee: PreparedKnee | RefusedKnee) -> PreparedKnee:
    """The knee that was found, whether it is refused or not."""
    found = knee.knee if isinstance(knee, RefusedKnee) else knee
    assert found is not None
    assert found.side is knee.side
    return found


@pytest.mark.parametrize("sides", [BOTH, (Side.RIGHT,), (Side.LEFT,)])
def test_healthy_knees_are_not_refused(locator: KneeLocator, sides: tuple[Side, ...]) -> None:
    film = draw_whole_film(*sides)
    knees = prepare(locator, film.pixels)
    assert [knee.side for knee in knees] == list(sides)
    for knee in knees:
        assert isinstance(knee, PreparedKnee)
        assert not knee.roi.flags & REFUSED_FLAGS
        assert knee.roi.mirrored is (knee.roi.side is Side.LEFT)
        assert knee.landmarks.side is knee.roi.side


def test_an_implant_is_refused_and_the_other_knee_is_not(locator: KneeLocator) -> None:
    film = draw_whole_film(*BOTH, implant=Side.LEFT)
    natural, refused = prepare(locator, film.pixels)
    assert isinstance(natural, PreparedKnee)
    assert (natural.side, natural.metal_px) == (Side.RIGHT, ())
    assert isinstance(refused, RefusedKnee)
    assert (refused.side, refused.error.code) == (Side.LEFT, "knee.implant")
    knee = shown(refused)
    metal = np.vstack(knee.metal_px)
    implant = film.knees[Side.LEFT].landmarks_px
    width = np.linalg.norm(implant[8] - implant[0])
    assert np.abs(metal.mean(axis=0) - implant.mean(axis=0)).max() < 0.4 * width
    assert (np.ptp(metal, axis=0) > 0.5 * width).all()
    assert np.abs(knee.landmarks.plateau_px - implant[[0, 8]]).max() < 0.1 * width
    assert Flag.IMPLANT in knee.roi.flags


def test_a_hand_is_no_knee(locator: KneeLocator) -> None:
    rng = np.random.default_rng(1)
    film = draw_hand_film(scanner=SCANNERS["oai-cr-a"], spacing_mm=0.4, rng=rng)
    assert refusal_of(locator, film.pixels) in NO_KNEE


@pytest.mark.parametrize("seed", [0, 1, 2, 5, 8, 21])
def test_bars_are_no_knee_and_nothing_is_said_of_one(locator: KneeLocator, seed: int) -> None:
    """They were told as too many, cut off, or of an unknown side."""
    rng, picture = np.random.default_rng(seed), np.full((512, 512), 30, np.uint8)
    for _ in range(10):
        start, end = rng.integers(0, 512, (2, 2)).tolist()
        cv2.line(picture, start, end, int(rng.integers(90, 255)), int(rng.integers(5, 40)))
    assert refusal_of(locator, cv2.GaussianBlur(picture, (0, 0), 4)) in NO_KNEE


def test_real_pictures_of_something_else_are_no_knee(locator: KneeLocator, real_data: Path) -> None:
    paths = [p for p in (real_data / "not-knees").iterdir() if p.suffix in {".jpg", ".dcm"}]
    assert len(paths) == 40
    for path in paths:
        radiograph = read_radiograph(path)
        for side in (None, Side.LEFT):
            assert ends_of(locator, radiograph, side) <= NO_KNEE, path.name


def ends_of(locator: KneeLocator, radiograph: Radiograph, side: Side | None) -> set[str | None]:
    """Codes of all that a picture is refused with."""
    knees = prepare_knees(locator, radiograph, RoiSpec(), side=side)
    codes = [code_of(knee) for knee in knees]
    assert len(codes) == 1 or "knee.not-found" not in codes, "none is missing where there is none"
    return set(codes)


@pytest.mark.parametrize("kind", ["staples", "screws", "nail"])
def test_metal_in_the_shaft_is_flagged(locator: KneeLocator, kind: str) -> None:
    film = draw_whole_film(Side.RIGHT)
    points = film.knees[Side.RIGHT].landmarks_px
    (natural,) = prepare(locator, film.pixels)
    assert isinstance(natural, PreparedKnee)
    assert Flag.METAL_SUSPECTED not in natural.roi.flags
    rng = np.random.default_rng(3)
    made = paint_shaft_metal(film.pixels, points, rng, kind=kind, below_plateau=1.0)
    (knee,) = prepare(locator, made)
    assert isinstance(knee, PreparedKnee)
    assert Flag.METAL_SUSPECTED in knee.roi.flags
    assert natural.metal_px == ()
    if kind != "nail":  # which is told by the canal, not by a place
        rows = np.vstack(knee.metal_px)[:, 0]
        assert rows.min() > points[8, 0], "it lies below the plateau"


def test_a_knee_cut_in_half(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.RIGHT)
    middle = round(film.knees[Side.RIGHT].landmarks_px[4, 1])
    code = refusal_of(locator, film.pixels[:, :middle])
    assert code in {"knee.cut-off", "knee.not-found", "knee.not-a-knee"}


def test_a_knee_above_the_edge(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.RIGHT)
    below = round(film.knees[Side.RIGHT].landmarks_px[4, 0]) + 20
    code = refusal_of(locator, film.pixels[:below])
    assert code in {"knee.cut-off", "knee.not-found", "knee.not-a-knee"}


def test_a_burnt_film_is_badly_exposed(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.RIGHT)
    points = film.knees[Side.RIGHT].landmarks_px.astype(int)
    burnt = np.minimum(film.pixels, np.median(film.pixels[points[:, 0], points[:, 1]]) * 0.8)
    (knee,) = prepare_knees(locator, whole_radiograph(burnt), RoiSpec(), side=Side.RIGHT)
    assert Flag.BADLY_EXPOSED in shown(knee).roi.flags
    assert code_of(knee) in {"knee.badly-exposed", "knee.not-a-knee"}


def test_quality_is_judged_alike_whatever_roi_is_asked_for(locator: KneeLocator) -> None:
    for film in (draw_whole_film(Side.LEFT), draw_whole_film(*BOTH, implant=Side.LEFT)):
        radiograph = whole_radiograph(film.pixels)
        for spec in (PAPER_ROI, RoiSpec(size_px=40, plateau_widths=3)):
            (asked,) = prepare_knees(locator, radiograph, spec, side=Side.LEFT)
            (same,) = prepare_knees(locator, radiograph, RoiSpec(), side=Side.LEFT)
            assert code_of(asked) == code_of(same)
            knee, usual = shown(asked), shown(same)
            assert knee.roi.pixels.shape == (spec.size_px, spec.size_px)
            assert knee.roi.flags - {Flag.OUTSIDE_FILM} == usual.roi.flags - {Flag.OUTSIDE_FILM}
            np.testing.assert_array_equal(knee.landmarks.points_px, usual.landmarks.points_px)


@pytest.mark.parametrize("inverted", [False, True])
def test_known_landmarks_are_kept(locator: KneeLocator, inverted: bool) -> None:
    film = draw_whole_film(Side.LEFT)
    points = film.knees[Side.LEFT].landmarks_px
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    pixels = film.pixels.astype(np.float32)
    radiograph = whole_radiograph(-pixels if inverted else pixels)
    knee = prepare_landmarks(radiograph, landmarks, RoiSpec(), locator)
    assert isinstance(knee, PreparedKnee)
    np.testing.assert_array_equal(knee.landmarks.points_px, points)
    assert (Flag.POLARITY_CORRECTED in knee.roi.flags) is inverted


def test_landmarks_beside_the_knee_are_refused(locator: KneeLocator) -> None:
    film = draw_whole_film(Side.LEFT)
    points = film.knees[Side.LEFT].landmarks_px - (180, 0)  # 72 mm up the thigh
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    knee = prepare_landmarks(whole_radiograph(film.pixels), landmarks, RoiSpec(), locator)
    assert code_of(knee) in CODES
    np.testing.assert_array_equal(shown(knee).landmarks.points_px, points)


def test_the_missing_knee_is_told_of_a_film_of_both_alone(locator: KneeLocator) -> None:
    pixels = draw_whole_film(*BOTH).pixels.copy()
    assert [code_of(knee) for knee in prepare(locator, pixels)] == [None, None], "both are there"
    pixels[:, pixels.shape[1] // 2 :] = pixels.min()
    knee, missing = prepare(locator, pixels)
    assert isinstance(knee, PreparedKnee)
    assert knee.side is Side.RIGHT
    assert isinstance(missing, RefusedKnee)
    assert (missing.side, missing.error.code, missing.knee) == (Side.LEFT, "knee.not-found", None)
    assert "left" in missing.error.message
    film = whole_radiograph(pixels)
    for radiograph, side in (
        (film, Side.RIGHT),  # only the right one was asked for
        (replace(film, side=Side.RIGHT), None),
        (Radiograph(pixels, "id"), None),  # its width is not known
        (whole_radiograph(pixels[:, : pixels.shape[1] // 2]), None),
    ):
        knees = prepare_knees(locator, radiograph, RoiSpec(), side=side)
        assert [code_of(knee) for knee in knees] == [None]


@pytest.mark.parametrize("side", [None, *BOTH])
def test_a_picture_without_a_knee_is_one_refusal(locator: KneeLocator, side: Side | None) -> None:
    noise = np.random.default_rng(0).normal(size=(300, 200))
    film = whole_radiograph(noise, mm=2.0)
    (refused,) = prepare_knees(locator, film, RoiSpec(), side=side, kind=InputKind.FILM)
    assert isinstance(refused, RefusedKnee)
    assert (refused.side, refused.error.code, refused.knee) == (side, "knee.not-found", None)


def test_a_knee_of_the_other_side_alone_is_one_refusal(locator: KneeLocator) -> None:
    """The left knee was asked for; the right one that is there is not given in its place."""
    pixels = draw_whole_film(*BOTH).pixels.copy()
    pixels[:, pixels.shape[1] // 2 :] = pixels.min()
    (refused,) = prepare_knees(locator, whole_radiograph(pixels), RoiSpec(), side=Side.LEFT)
    assert isinstance(refused, RefusedKnee)
    assert (refused.side, refused.error.code, refused.knee) == (Side.LEFT, "knee.not-found", None)


@pytest.mark.parametrize("aspect", [0.6, 0.8, 1.25, 2.0])
def test_the_shape_of_a_pixel_is_known_without_its_size(
    locator: KneeLocator, aspect: float
) -> None:
    """Squeezed rows, told so, give the picture that square pixels give."""
    film = draw_whole_film(Side.RIGHT).pixels.astype(np.float32)
    size = (film.shape[1], round(film.shape[0] / aspect))
    squeezed = cv2.resize(film, size, interpolation=cv2.INTER_AREA)
    (square,) = prepare_knees(locator, Radiograph(film, "id"), RoiSpec())
    oblong = Radiograph(squeezed, "id", pixel_aspect=film.shape[0] / squeezed.shape[0])
    (knee,) = prepare_knees(locator, oblong, RoiSpec())
    assert isinstance(square, PreparedKnee)
    assert isinstance(knee, PreparedKnee)
    assert knee.roi.spacing_mm is None
    apart = (
        knee.landmarks.points_px * oblong.pixel_size
        - square.landmarks.points_px * square.radiograph.pixel_size
    )
    width = np.ptp(square.landmarks.points_px[:, 1])
    assert np.linalg.norm(apart, axis=1).mean() < 0.012 * width
    one, other = (
        measure_joint_space(k.radiograph, k.landmarks).medial.minimum for k in (square, knee)
    )
    assert other.share == pytest.approx(one.share, abs=0.006)
    assert other.mm is None


def test_a_crop_of_oblong_pixels(locator: KneeLocator) -> None:
    """A picture of 224 x 112 px of twice their width is a square one."""
    whole = shown(prepare(locator, draw_whole_film(Side.RIGHT).pixels)[0])
    crop = cv2.resize(whole.roi.pixels, (112, 224), interpolation=cv2.INTER_AREA)
    for kind in (InputKind.CROP, InputKind.AUTO):
        (knee,) = prepare_knees(
            locator, Radiograph(crop, "id", pixel_aspect=0.5), RoiSpec(), side=Side.RIGHT, kind=kind
        )
        assert isinstance(knee, PreparedKnee)
        assert np.abs(knee.roi.pixels - whole.roi.pixels).mean() < 0.06


@pytest.mark.parametrize("mm", [0.04, 1.6])
@pytest.mark.parametrize("kind", [InputKind.FILM, InputKind.CROP])
def test_a_plateau_that_no_person_has(locator: KneeLocator, mm: float, kind: InputKind) -> None:
    """A tenth, or four times, of what the film really has: no mm, and no film of both."""
    film = whole_radiograph(draw_whole_film(Side.RIGHT).pixels, mm=mm)
    oblong = replace(film, spacing_mm=(mm, mm * 1.01))
    (made,) = prepare_knees(locator, oblong, RoiSpec(), side=Side.RIGHT, kind=kind)
    knee = shown(made)
    assert knee.radiograph.spacing_mm is None
    assert knee.radiograph.pixel_aspect == pytest.approx(1 / 1.01)
    assert knee.roi.spacing_mm is None
    assert Flag.SPACING_IMPLAUSIBLE in knee.roi.flags
    assert not set(SPACING_FLAGS.values()) & knee.roi.flags
    if kind is InputKind.FILM:
        assert len(prepare_knees(locator, film, RoiSpec())) == 1, "none is missing"
    with pytest.raises(ImageError) as caught:
        prepare_knees(locator, film, PAPER_ROI, side=Side.RIGHT, kind=kind)
    assert caught.value.code == "image.spacing-missing"


def test_landmarks_of_a_file_tell_an_implausible_spacing_too(locator: KneeLocator) -> None:
    film = whole_radiograph(draw_whole_film(Side.RIGHT).pixels)
    (found,) = prepare_knees(locator, film, RoiSpec(), side=Side.RIGHT)
    landmarks = shown(found).landmarks
    wrong = replace(film, spacing_mm=(4.0, 4.0))
    knee = shown(prepare_landmarks(wrong, landmarks, RoiSpec(), locator))
    assert Flag.SPACING_IMPLAUSIBLE in knee.roi.flags
    assert knee.radiograph.spacing_mm is None
    right = shown(prepare_landmarks(film, landmarks, RoiSpec(), locator))
    assert Flag.SPACING_IMPLAUSIBLE not in right.roi.flags


@pytest.mark.parametrize("by_header", [True, False])
def test_the_other_knee_is_said_to_be_left_out(locator: KneeLocator, by_header: bool) -> None:
    both, one = (whole_radiograph(draw_whole_film(*sides).pixels) for sides in (BOTH, BOTH[:1]))

    def flags_of(film: Radiograph) -> frozenset[Flag]:
        named = replace(film, side=Side.RIGHT) if by_header else film
        side = None if by_header else Side.RIGHT
        (knee,) = prepare_knees(locator, named, RoiSpec(), side=side)
        return shown(knee).roi.flags

    assert Flag.OTHER_KNEE_LEFT_OUT in flags_of(both)
    assert Flag.OTHER_KNEE_LEFT_OUT not in flags_of(one)
    assert all(
        Flag.OTHER_KNEE_LEFT_OUT not in shown(knee).roi.flags
        for knee in prepare_knees(locator, both, RoiSpec())
    )


@pytest.mark.real_data
@pytest.mark.parametrize("mirrored", [False, True])
def test_plain_films(
    locator: KneeLocator, plain_films: dict[str, np.ndarray], mirrored: bool
) -> None:
    """On each the knee is found, its side is right, and nothing is refused."""
    wrong = []
    for name, pixels in plain_films.items():
        hung = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
        film = Radiograph(hung.astype(np.float32), "id")
        (knee,) = prepare_knees(locator, film, RoiSpec())
        if knee.side is not (Side.RIGHT if mirrored else Side.LEFT) or code_of(knee):
            wrong.append(name)
    assert len(plain_films) == 30
    assert wrong == []


@pytest.mark.real_data
def test_inverted_knees_are_corrected(locator: KneeLocator, inverted_knees: list) -> None:
    for _, side, pixels in inverted_knees:
        film = Radiograph(pixels.astype(np.float32), "id")
        (knee,) = prepare_knees(locator, film, RoiSpec(), side=side)
        assert Flag.POLARITY_CORRECTED in shown(knee).roi.flags


@pytest.mark.parametrize("side", Side)
def test_two_knees_of_one_side(locator: KneeLocator, side: Side) -> None:
    """Side by side they must not pass as a right and a left one; the fibula tells."""
    film = draw_whole_film(side).pixels
    with pytest.raises(KneeNotFoundError) as caught:
        locator.locate(Radiograph(np.hstack([film, film]).astype(np.float32), "id"))
    assert caught.value.code == "knee.too-many"
