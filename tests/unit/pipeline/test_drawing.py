from dataclasses import replace

import numpy as np
import pytest
from made_films import FILM_MM, draw_knee

from kneegrade.knees.measuring.joint_space import measure_joint_space
from kneegrade.knees.posing.crop import RoiSpec, crop_knee
from kneegrade.pipeline.drawing import KneeDrawing, WidthLine, write_mm
from kneegrade.pipeline.drawing import draw_knee as draw_over
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side, SpacingSource


def drawing_of(source: SpacingSource) -> KneeDrawing:
    """What is drawn over a film whose size of a pixel comes from here."""
    film = draw_knee(Side.RIGHT, size_mm=FILM_MM)
    known = source is not SpacingSource.UNKNOWN
    radiograph = Radiograph(
        film.pixels.astype(np.float32),
        "1.2.3",
        spacing_mm=(film.spacing_mm, film.spacing_mm) if known else None,
        spacing_source=source,
    )
    points = film.knees[Side.RIGHT].landmarks_px
    landmarks = Landmarks(Side.RIGHT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    roi = crop_knee(radiograph, landmarks, RoiSpec(size_px=100, plateau_widths=1.25))
    return draw_over(roi, landmarks, measure_joint_space(radiograph, landmarks))


def test_widths_are_labelled_by_what_the_size_of_a_pixel_is_worth() -> None:
    by_source = {source: drawing_of(source).widths for source in SpacingSource}
    calibrated = by_source[SpacingSource.CALIBRATED]
    assert all(width.label.endswith(" mm") and not width.note for width in calibrated)
    assert by_source[SpacingSource.DETECTOR_PLANE] == tuple(
        replace(width, label=f"≈{width.label}", note="at the detector") for width in calibrated
    )
    assert by_source[SpacingSource.KIND_UNKNOWN] == tuple(
        replace(width, label=f"≈{width.label}") for width in calibrated
    )
    assert all(width.label.endswith(" %") for width in by_source[SpacingSource.UNKNOWN])


@pytest.mark.parametrize("source", list(SpacingSource))
def test_only_calibrated_and_given_millimetres_are_written_as_exact(source: SpacingSource) -> None:
    is_exact = source in {SpacingSource.CALIBRATED, SpacingSource.CALLER, SpacingSource.TABLE}
    assert write_mm(7.23, source) == ("7.2 mm" if is_exact else "≈7.2 mm")


def test_a_drawing_is_kept_in_json_and_one_of_before_is_read() -> None:
    drawing = drawing_of(SpacingSource.DETECTOR_PLANE)
    assert KneeDrawing.from_json(drawing.to_json()) == drawing
    values = drawing.to_json() | {"widths": [{"ends": [[0.0, 1.0]], "label": "3.1 mm"}]}
    assert KneeDrawing.from_json(values).widths == (WidthLine([[0.0, 1.0]], "3.1 mm"),)
