from pathlib import Path

import numpy as np
import pytest

from kneegrade.errors import TableError
from kneegrade.knees.landmark_folder import LandmarkFolder
from kneegrade.knees.landmark_table import TabledKnee, write_landmark_table
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side, SpacingSource

FILM = Radiograph(
    np.random.default_rng(0).normal(size=(600, 800)).astype(np.float32),
    "id",
    spacing_mm=(0.2, 0.2),
    spacing_source=SpacingSource.CALLER,
)
KNEEL = """subject_id,side,kl,tibia,femur,bbox,center
s9,R,1,"{tibia}","{femur}","150,200,616,666","383,433"
"""


def write_pts(path: Path, x: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    points = "\n".join(f"{x + i} {30 + i % 5}" for i in range(74))
    path.write_text(f"version: 1\nn_points: 74\n{{\n{points}\n}}\n")


def test_bonefinder_files_are_found_by_the_pictures_name(tmp_path: Path) -> None:
    write_pts(tmp_path / "sub" / "film.pts", 10.0)
    write_pts(tmp_path / "film_f.pts", 10.0)
    folder = LandmarkFolder.read(tmp_path)
    left = folder.find("a.zip::sub/film.dcm", "s1", Side.LEFT, FILM)
    right = folder.find("sub/film.dcm", "s1", Side.RIGHT, FILM)
    assert left is not None
    assert right is not None
    assert (left.side, right.side) == (Side.LEFT, Side.RIGHT)
    np.testing.assert_allclose(left.points_px[0], [30 / 0.2, 10 / 0.2])
    np.testing.assert_allclose(right.points_px[:, 1], 799 - left.points_px[:, 1])
    assert folder.find("other.dcm", "s1", Side.LEFT, FILM) is None


def test_a_file_of_another_sub_folder_is_never_taken(tmp_path: Path) -> None:
    write_pts(tmp_path / "a" / "001.pts", 10.0)
    folder = LandmarkFolder.read(tmp_path)
    assert folder.find("a/001.dcm", "s1", Side.LEFT, FILM) is not None
    assert folder.find("b/001.dcm", "s2", Side.LEFT, FILM) is None
    assert folder.find("001.dcm", "s3", Side.LEFT, FILM) is None


@pytest.mark.parametrize("name", ["1.2.840.7.pts", "study/1.2.840.7.pts"])
def test_a_picture_named_after_its_uid(tmp_path: Path, name: str) -> None:
    write_pts(tmp_path / name, 10.0)
    folder = LandmarkFolder.read(tmp_path)
    for picture in ("study/1.2.840.7", "study/1.2.840.7.dcm", "all.zip::study/1.2.840.7"):
        assert folder.find(picture, "s1", Side.LEFT, FILM) is not None, picture
    assert folder.find("study/1.2.840.8", "s1", Side.LEFT, FILM) is None


def test_a_file_without_a_side_is_a_left_knee(tmp_path: Path) -> None:
    write_pts(tmp_path / "film.pts", 10.0)
    folder = LandmarkFolder.read(tmp_path)
    assert folder.find("film.dcm", "s1", Side.RIGHT, FILM) is None
    unknown = Radiograph(FILM.pixels, "id")
    left = folder.find("film.dcm", "s1", Side.LEFT, unknown)
    assert left is not None
    np.testing.assert_allclose(left.points_px[0], [30, 10], err_msg="px where no size is known")


def test_points_off_the_film(tmp_path: Path) -> None:
    write_pts(tmp_path / "film.pts", 500.0)
    with pytest.raises(TableError) as caught:
        LandmarkFolder.read(tmp_path).find("film.dcm", "s1", Side.LEFT, FILM)
    assert caught.value.code == "landmarks.off-film"


def test_a_plateau_without_a_width(tmp_path: Path) -> None:
    points = np.full((16, 2), 50.0)
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    write_landmark_table([TabledKnee("own", "s1", "film.png", landmarks)], tmp_path / "own.csv")
    with pytest.raises(TableError) as caught:
        LandmarkFolder.read(tmp_path).find("film.png", "s1", Side.LEFT, FILM)
    assert caught.value.code == "landmarks.invalid"


def test_a_landmark_table_goes_by_picture_and_side(tmp_path: Path) -> None:
    points = np.random.default_rng(1).uniform(0, 500, (16, 2)).round(3)
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    write_landmark_table([TabledKnee("own", "s1", "film.png", landmarks)], tmp_path / "own.csv")
    folder = LandmarkFolder.read(tmp_path)
    found = folder.find("film.png", "s1", Side.LEFT, FILM)
    assert found is not None
    np.testing.assert_allclose(found.points_px, points)
    assert folder.find("film.png", "s1", Side.RIGHT, FILM) is None
    assert folder.list_without_picture(set(), set()) == [("film.png", "left")]
    assert folder.list_without_picture({("film.png", "left")}, set()) == []


def test_kneels_table_is_brought_to_the_films_pixels(tmp_path: Path) -> None:
    tibia = ",".join(f"{60 + 20 * i},260" for i in range(9))
    femur = ",".join(f"{70 + 25 * i},240" for i in range(7))
    (tmp_path / "bf.csv").write_text(KNEEL.format(tibia=tibia, femur=femur))
    folder = LandmarkFolder.read(tmp_path)
    found = folder.find("any.dcm", "s9", Side.RIGHT, FILM)
    assert found is not None
    assert folder.find("any.dcm", "s9", Side.LEFT, FILM) is None
    assert folder.find("any.dcm", "s9", Side.RIGHT, FILM, visit_months=12) is None
    assert folder.list_without_picture(set(), set()) == [("s9", "right")]
    assert folder.list_without_picture(set(), {("s9", "right")}) == []
    col = 60 + 150 - 100  # px of 0.3 mm on the film, without its padding
    np.testing.assert_allclose(found.points_px[0, 1], (col + 0.5) * 0.3 / 0.2 - 0.5)
    unknown = Radiograph(FILM.pixels, "id")
    with pytest.raises(TableError) as caught:
        folder.find("any.dcm", "s9", Side.RIGHT, unknown)
    assert caught.value.code == "landmarks.invalid"


def test_a_folder_without_landmarks(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        LandmarkFolder.read(tmp_path)
    assert caught.value.code == "landmarks.not-found"
