from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from made_rois import enhanced_pixels

from kneegrade.bundles.subjects import hash_subject
from kneegrade.cohorts.tables.table import write_knee_table
from kneegrade.knees.landmarks.table import read_landmark_table
from kneegrade.knees.locating.knee_network import LocatedKnee
from kneegrade.knees.locating.locate import LocatedKnees
from kneegrade.knees.quality.scores import KneeScores
from kneegrade.training.locator.frames import Frame, fit_frame
from kneegrade.training.locator.published_landmarks import (
    PublishedKnee,
    find_points,
    is_certain,
    read_published_knees,
    write_further_landmarks,
    write_usable_landmarks,
)
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side

SIZE = 224
SPLITS = {"1": "train", "2": "val", "3": "train", "4": "train"}
TIBIA = "10,20,60,20,110,18,150,10,160,14,170,9,220,20,270,21,320,20"
FEMUR = "12,8,60,10,110,4,160,-6,210,5,270,9,318,10"


class FakeLocator:
    """Finds every knee's points at one place; sure of a knee by how bright its picture is."""

    def locate_in_crop(self, radiograph: Radiograph, side: Side) -> LocatedKnees:
        sure = np.full(16, 0.99 if radiograph.pixels.mean() > 60 else 0.5)
        landmarks = Landmarks(side, LandmarkScheme.KNEEL_16, np.full((16, 2), 7.0), sure)
        found = LocatedKnee(landmarks, KneeScores(not_knee=0.0, metal=0.1, motion=0.0))
        return LocatedKnees(radiograph, (found,))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A knee table of four right knees and one left, with pictures; the fourth is dark."""
    rows = [(subject, "right") for subject in SPLITS] + [("1", "left")]
    for subject, side in rows:
        pixels = enhanced_pixels(SIZE) // (8 if subject == "4" else 1)
        cv2.imwrite(str(tmp_path / f"{subject}{side[0]}.png"), pixels)
    table = pd.DataFrame(
        {
            "cohort": "oai",
            "subject_id": [subject for subject, _ in rows],
            "visit_months": 0,
            "side": [side for _, side in rows],
            "reading": "chen-2018",
            "image_path": [f"{subject}{side[0]}.png" for subject, side in rows],
            "kl": 2,
            "split": [SPLITS[subject] for subject, _ in rows],
        }
    )
    write_knee_table(table, tmp_path / "knees.parquet")
    return tmp_path / "knees.parquet"


@pytest.fixture
def knees(table: Path) -> list[PublishedKnee]:
    """Three of them, and one that has no picture, are in KNEEL's table."""
    kneel = table.with_name("kneel.csv")
    lines = [
        f'{subject},{side},3,"{TIBIA}","{FEMUR}","200,300,666,766","433,533"'
        for subject, side in (("1", "R"), ("1", "L"), ("2", "R"), ("9", "R"))
    ]
    text = "\n".join(["subject_id,side,kl,tibia,femur,bbox,center", *lines, ""])
    kneel.write_text(text, encoding="utf-8")
    return read_published_knees(kneel, table)


def frame_of(knee: PublishedKnee, *, miss_mm: float = 0.0) -> Frame:
    frame = fit_frame(knee.shape_mm, knee.shape_mm * (2.0, 2.5) + 20)
    return Frame(frame.px_per_mm, frame.shift_px, frame.residuals_mm + miss_mm)


def test_knees_of_both_tables_are_read(knees: list[PublishedKnee], table: Path) -> None:
    right, left, held = knees
    assert [k.kneel.subject_id for k in knees] == ["1", "1", "2"]
    assert [k.split for k in knees] == ["train", "train", "val"]
    assert right.image_path == str(table.with_name("1r.png").resolve())
    assert right.radiograph.pixels.shape == (SIZE, SIZE)
    assert held.subject == hash_subject("oai", "2")
    np.testing.assert_allclose(left.shape_mm, right.shape_mm * (1, -1))
    assert right.shape_mm[0, 1] < right.shape_mm[8, 1], "lateral of a right knee at the left"


def test_points_are_found_knee_by_knee(knees: list[PublishedKnee]) -> None:
    found = find_points(FakeLocator(), knees)
    assert found.shape == (3, 16, 2)
    assert (found == 7).all()


def test_landmarks_of_certain_frames_are_written(
    knees: list[PublishedKnee], tmp_path: Path
) -> None:
    frames = [frame_of(knees[0]), frame_of(knees[1], miss_mm=2), frame_of(knees[2])]
    assert [is_certain(frame) for frame in frames] == [True, False, True]
    path = write_usable_landmarks(tmp_path / "out", knees, frames, set())
    first, held = read_landmark_table(path)
    assert (first.subject_id, held.subject_id) == ("1", "2")
    assert first.image_path == knees[0].image_path
    np.testing.assert_allclose(
        first.landmarks.points_px, frames[0].to_px(knees[0].shape_mm), atol=1e-3
    )
    assert [k.subject_id for k in read_landmark_table(path.with_stem("landmarks-train"))] == ["1"]
    spacing = pd.read_csv(path.with_name("spacing.csv"))
    assert list(spacing["spacing_row_mm"]) == [0.5, 0.5]
    assert list(spacing["spacing_col_mm"]) == [0.4, 0.4]
    assert set(spacing["spacing_source"]) == {"landmark-frame"}


def test_pictures_with_metal_are_left_out(knees: list[PublishedKnee], tmp_path: Path) -> None:
    path = write_usable_landmarks(tmp_path / "out", knees, [*map(frame_of, knees)], {"1l", "2r"})
    assert [(k.subject_id, k.landmarks.side) for k in read_landmark_table(path)] == [
        ("1", Side.RIGHT)
    ]


def test_further_knees_are_those_that_a_locator_is_sure_of(table: Path) -> None:
    path = table.with_name("further.csv")
    write_further_landmarks(path, FakeLocator(), table, 9, {"1l"})
    found = read_landmark_table(path)
    assert {(k.subject_id, k.landmarks.side.value) for k in found} == {
        ("1", "right"),
        ("3", "right"),
    }
    write_further_landmarks(path, FakeLocator(), table, 1, set())
    assert len(read_landmark_table(path)) == 1
