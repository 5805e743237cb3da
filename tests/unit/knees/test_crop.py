from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_films import FILM_MM, draw_knee

from kneegrade.errors import ImageError
from kneegrade.images.geometry import apply_affine, invert_affine
from kneegrade.knees.crop import PAPER_ROI, RoiSpec, crop_knee
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


def test_a_width_in_mm() -> None:
    radiograph, landmarks = film_of()
    roi = crop_knee(radiograph, landmarks, PAPER_ROI)
    assert roi.pixels.shape == (310, 310)
    assert roi.spacing_mm == pytest.approx((140 / 310, 140 / 310))
    low, high = np.percentile(roi.pixels, (5, 95))
    assert (roi.pixels == 0).mean() >= 0.04, "what lies below percentile 5 is black"
    assert 0 <= low < high <= 1


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


@pytest.mark.parametrize("stated", [False, True])
def test_an_inverted_picture_is_corrected_and_flagged(stated: bool) -> None:
    radiograph, landmarks = film_of()
    upright = crop_knee(radiograph, landmarks, RoiSpec(size_px=100))
    dark = replace(radiograph, pixels=-radiograph.pixels, polarity_stated=stated)
    roi = crop_knee(dark, landmarks, RoiSpec(size_px=100), inverted=True)
    np.testing.assert_allclose(roi.pixels, upright.pixels, atol=1.01 / 255)
    assert Flag.POLARITY_CORRECTED in roi.flags
    assert (Flag.POLARITY_CONFLICT in roi.flags) is stated
