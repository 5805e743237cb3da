from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_films import FILM_MM, draw_knee

from kneegrade.errors import ImageError
from kneegrade.images.geometry import apply_affine, compose_affines, invert_affine, resample
from kneegrade.knees.measuring.joint_space import Compartment, measure_joint_space
from kneegrade.knees.posing.crop import PAPER_ROI, RoiSpec, crop_knee
from kneegrade.types import (
    Flag,
    KneeROI,
    Landmarks,
    LandmarkScheme,
    Radiograph,
    Side,
    SpacingSource,
)


def film_of(side: Side = Side.RIGHT) -> tuple[Radiograph, Landmarks]:
    """A drawn film of one knee and its true landmarks."""
    film = draw_knee(side, size_mm=FILM_MM)
    mm = film.spacing_mm
    radiograph = Radiograph(
        film.pixels.astype(np.float32),
        "1.2.3",
        spacing_mm=(mm, mm),
        spacing_source=SpacingSource.DETECTOR_PLANE,
        flags=frozenset({Flag.VIEW_UNKNOWN}),
    )
    points = film.knees[side].landmarks_px
    return radiograph, Landmarks(side, LandmarkScheme.KNEEL_16, points, np.ones(16))


def film_mm(radiograph: Radiograph) -> float:
    assert radiograph.spacing_mm is not None
    return radiograph.spacing_mm[0]


def points_in(roi: KneeROI, landmarks: Landmarks) -> np.ndarray:
    return apply_affine(invert_affine(roi.to_radiograph), landmarks.points_px)


@pytest.mark.parametrize("side", list(Side))
def test_the_plateau_is_level_with_lateral_first(side: Side) -> None:
    radiograph, landmarks = film_of(side)
    roi = crop_knee(radiograph, landmarks, RoiSpec(size_px=200, plateau_widths=1.25))
    points = points_in(roi, landmarks)
    assert (roi.side, roi.mirrored) == (side, side is Side.LEFT)
    assert points[0, 0] == pytest.approx(points[8, 0], abs=1e-6)
    assert points[8, 1] - points[0, 1] == pytest.approx(200 / 1.25)
    assert (points[0, 1] + points[8, 1]) / 2 == pytest.approx(99.5)
    assert (np.diff(points[:9, 1]) > 0).all(), "lateral to medial"
    assert points[9:, 0].mean() < points[:9, 0].mean(), "the femur is above"
    assert abs(points[4, 0] - 99.5) < 10, "the joint's centre is in the middle"
    assert Flag.VIEW_UNKNOWN in roi.flags


def test_a_turned_film_gives_the_same_roi() -> None:
    radiograph, landmarks = film_of()
    spec = RoiSpec(size_px=120, plateau_widths=1.0)
    upright = crop_knee(radiograph, landmarks, spec)
    rows, cols = radiograph.pixels.shape
    turn = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), 20, 1)
    pixels = cv2.warpAffine(radiograph.pixels, turn, (cols, rows))
    xy = landmarks.points_px[:, ::-1] @ turn[:, :2].T + turn[:, 2]
    turned = replace(landmarks, points_px=xy[:, ::-1])
    roi = crop_knee(replace(radiograph, pixels=pixels), turned, spec)
    assert np.abs(roi.pixels - upright.pixels).mean() < 0.03


@pytest.mark.parametrize("side", list(Side))
def test_landmarks_go_to_the_roi_and_back(side: Side) -> None:
    radiograph, landmarks = film_of(side)
    for spec in (RoiSpec(), PAPER_ROI):
        roi = crop_knee(radiograph, landmarks, spec)
        back = apply_affine(roi.to_radiograph, points_in(roi, landmarks))
        np.testing.assert_allclose(back, landmarks.points_px, atol=1e-6)


@pytest.mark.parametrize("side", list(Side))
def test_the_roi_shows_what_the_film_has_there(side: Side) -> None:
    radiograph, landmarks = film_of(side)
    roi = crop_knee(radiograph, landmarks, RoiSpec(plateau_widths=1.0))
    places = np.stack(np.meshgrid(np.arange(224.0), np.arange(224.0), indexing="ij"), axis=-1)
    rows, cols = np.rint(apply_affine(roi.to_radiograph, places.reshape(-1, 2))).astype(int).T
    on_film = radiograph.pixels[rows, cols]
    assert np.corrcoef(on_film, roi.pixels.ravel())[0, 1] > 0.97


def test_a_width_in_mm() -> None:
    radiograph, landmarks = film_of()
    roi = crop_knee(radiograph, landmarks, PAPER_ROI)
    assert roi.pixels.shape == (310, 310)
    assert roi.spacing_mm == pytest.approx((140 / 310, 140 / 310))
    ends = points_in(roi, landmarks)[[0, 8]]
    across_mm = np.linalg.norm(np.diff(landmarks.points_px[[0, 8]], axis=0)) * film_mm(radiograph)
    assert ends[1, 1] - ends[0, 1] == pytest.approx(across_mm * 310 / 140)


def test_the_papers_contrast() -> None:
    """Clipped at percentiles 5 and 99 of the ROI, then scaled over the whole of it to 0..1."""
    radiograph, landmarks = film_of()
    roi = crop_knee(radiograph, landmarks, PAPER_ROI)
    cut, _ = resample(
        radiograph.pixels, roi.to_radiograph, (310, 310), fill=float(radiograph.pixels.min())
    )
    low, high = np.percentile(cut, (5, 99))
    expected = (np.clip(cut, low, high) - low) / (high - low)
    np.testing.assert_allclose(roi.pixels, expected, atol=0.51 / 255)
    assert (roi.pixels == 1).mean() >= 0.01
    assert (roi.pixels == 0).mean() >= 0.05


@pytest.mark.parametrize("spacing", [(0.2, 0.2), (0.2, 0.25)])
def test_the_size_of_a_pixel_of_the_roi(spacing: tuple[float, float]) -> None:
    radiograph, landmarks = film_of()
    level = landmarks.points_px.copy()
    level[[0, 8], 0] = level[[0, 8], 0].mean()
    roi = crop_knee(
        replace(radiograph, spacing_mm=spacing), replace(landmarks, points_px=level), RoiSpec()
    )
    step = 1.25 * (level[8, 1] - level[0, 1]) / 224
    assert roi.spacing_mm == pytest.approx((step * spacing[1], step * spacing[1]))


@pytest.mark.parametrize("side", list(Side))
def test_pixels_that_are_not_square_change_neither_roi_nor_widths(side: Side) -> None:
    radiograph, landmarks = film_of(side)
    mm, spacing = film_mm(radiograph), np.array([0.35, 0.42])
    to_square = np.column_stack([np.diag(spacing / mm), spacing / mm / 2 - 0.5])
    size = tuple(np.rint(np.array(radiograph.pixels.shape) * mm / spacing).astype(int).tolist())
    pixels, _ = resample(radiograph.pixels, to_square, size, fill=0)
    oblong = replace(radiograph, pixels=pixels, spacing_mm=tuple(spacing))
    middle, turn = landmarks.points_px.mean(axis=0), np.array([[0.98, 0.2], [-0.2, 0.98]])
    tilted = replace(landmarks, points_px=(landmarks.points_px - middle) @ turn + middle)
    for points, spec in ((landmarks, RoiSpec()), (tilted, RoiSpec()), (tilted, PAPER_ROI)):
        square = crop_knee(radiograph, points, spec)
        there = apply_affine(invert_affine(to_square), points.points_px)
        roi = crop_knee(oblong, replace(points, points_px=there), spec)
        assert roi.spacing_mm == pytest.approx(square.spacing_mm)
        np.testing.assert_allclose(
            compose_affines(to_square, roi.to_radiograph), square.to_radiograph, atol=1e-6
        )
        assert np.abs(roi.pixels - square.pixels).mean() < 0.02
    there = apply_affine(invert_affine(to_square), landmarks.points_px)
    one = measure_joint_space(radiograph, landmarks)
    other = measure_joint_space(oblong, replace(landmarks, points_px=there))
    assert other.width_mm == pytest.approx(one.width_mm)
    for half in Compartment:
        a, b = one.compartments[half].minimum, other.compartments[half].minimum
        assert b.mm == pytest.approx(a.mm, abs=0.1)


def test_the_size_of_a_pixel_must_be_known_for_a_width_in_mm() -> None:
    radiograph, landmarks = film_of()
    unknown = replace(radiograph, spacing_mm=None, spacing_source=SpacingSource.UNKNOWN)
    with pytest.raises(ImageError) as caught:
        crop_knee(unknown, landmarks, PAPER_ROI)
    assert caught.value.code == "image.spacing-missing"
    assert crop_knee(unknown, landmarks, RoiSpec()).spacing_mm is None


def test_what_hangs_over_the_edge_is_told() -> None:
    radiograph, landmarks = film_of()
    whole = crop_knee(radiograph, landmarks, RoiSpec(plateau_widths=1.0))
    assert whole.inside_fraction == 1
    assert Flag.OUTSIDE_FILM not in whole.flags
    shifted = replace(landmarks, points_px=landmarks.points_px - (0, 120))
    over = crop_knee(radiograph, shifted, RoiSpec(plateau_widths=1.0))
    assert 0.3 < over.inside_fraction < 0.9
    assert Flag.OUTSIDE_FILM in over.flags


def test_flags_of_film_and_landmarks_go_with_the_roi() -> None:
    radiograph, landmarks = film_of()
    corrected = replace(radiograph, flags=frozenset({Flag.POLARITY_CORRECTED}))
    told = replace(landmarks, flags=frozenset({Flag.SIDE_FROM_PICTURE}))
    roi = crop_knee(corrected, told, RoiSpec(plateau_widths=1.0))
    assert roi.flags == {Flag.POLARITY_CORRECTED, Flag.SIDE_FROM_PICTURE}


def test_beyond_the_film_an_roi_is_as_dark_as_the_darkest_pixel_of_all() -> None:
    radiograph, landmarks = film_of()
    pixels = radiograph.pixels.copy()
    pixels[3, 5] = pixels.min() - 100  # in a row that a coarse look would miss
    film = replace(radiograph, pixels=pixels)
    wide = RoiSpec(size_px=64, plateau_widths=8.0, clip_percentiles=(0.0, 100.0))
    roi = crop_knee(film, landmarks, wide)
    assert roi.inside_fraction < 0.5
    expected, _ = resample(pixels, roi.to_radiograph, (64, 64), fill=float(pixels.min()))
    scaled = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(roi.pixels, scaled, atol=0.01)
    assert roi.pixels[0, 0] == 0
    assert roi.pixels[roi.pixels > 0].min() > 0.01, "the film is brighter than what lies beyond"
