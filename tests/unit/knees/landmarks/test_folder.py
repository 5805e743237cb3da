from pathlib import Path

import numpy as np
import pytest

from kneegrade.errors import TableError
from kneegrade.knees.landmarks.folder import LandmarkFolder
from kneegrade.knees.landmarks.table import TabledKnee, write_landmark_table
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


def read_folder(folder: Path) -> LandmarkFolder:
    """The knee table stands in the same folder."""
    return LandmarkFolder.read(folder, folder / "knees.csv")


def find(
    folder: LandmarkFolder,
    image_path: str,
    subject_id: str,
    side: Side,
    film: Radiograph,
    visit_months: int = 0,
) -> Landmarks | None:
    row = {"image_path": image_path, "subject_id": subject_id, "side": side.value}
    return folder.find({**row, "visit_months": visit_months}, film)


def write_pts(path: Path, x: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    points = "\n".join(f"{x + i} {30 + i % 5}" for i in range(74))
    path.write_text(f"version: 1\nn_points: 74\n{{\n{points}\n}}\n")


def test_bonefinder_files_are_found_by_the_pictures_name(tmp_path: Path) -> None:
    write_pts(tmp_path / "sub" / "film.pts", 10.0)
    write_pts(tmp_path / "film_f.pts", 10.0)
    folder = read_folder(tmp_path)
    left = find(folder, "a.zip::sub/film.dcm", "s1", Side.LEFT, FILM)
    right = find(folder, "sub/film.dcm", "s1", Side.RIGHT, FILM)
    assert left is not None
    assert right is not None
    assert (left.side, right.side) == (Side.LEFT, Side.RIGHT)
    np.testing.assert_allclose(left.points_px[0], [30 / 0.2, 10 / 0.2])
    np.testing.assert_allclose(right.points_px[:, 1], 799 - left.points_px[:, 1])
    assert find(folder, "other.dcm", "s1", Side.LEFT, FILM) is None


def test_a_file_of_another_sub_folder_is_never_taken(tmp_path: Path) -> None:
    write_pts(tmp_path / "a" / "001.pts", 10.0)
    folder = read_folder(tmp_path)
    assert find(folder, "a/001.dcm", "s1", Side.LEFT, FILM) is not None
    assert find(folder, "b/001.dcm", "s2", Side.LEFT, FILM) is None
    assert find(folder, "001.dcm", "s3", Side.LEFT, FILM) is None


@pytest.mark.parametrize("name", ["1.2.840.7.pts", "study/1.2.840.7.pts"])
def test_a_picture_named_after_its_uid(tmp_path: Path, name: str) -> None:
    write_pts(tmp_path / name, 10.0)
    folder = read_folder(tmp_path)
    for picture in ("study/1.2.840.7", "study/1.2.840.7.dcm", "all.zip::study/1.2.840.7"):
        assert find(folder, picture, "s1", Side.LEFT, FILM) is not None, picture
    assert find(folder, "study/1.2.840.8", "s1", Side.LEFT, FILM) is None


def test_a_file_without_a_side_is_a_left_knee(tmp_path: Path) -> None:
    write_pts(tmp_path / "film.pts", 10.0)
    folder = read_folder(tmp_path)
    assert find(folder, "film.dcm", "s1", Side.RIGHT, FILM) is None
    unknown = Radiograph(FILM.pixels, "id")
    left = find(folder, "film.dcm", "s1", Side.LEFT, unknown)
    assert left is not None
    np.testing.assert_allclose(left.points_px[0], [30, 10], err_msg="px where no size is known")


def test_the_hash_changes_with_the_points(tmp_path: Path) -> None:
    row = {"image_path": "film.dcm", "subject_id": "s1", "side": "right", "visit_months": 0}
    write_pts(tmp_path / "other.pts", 10.0)
    assert read_folder(tmp_path).hash_of(row) == ""
    hashes = set()
    for name, x in (("film.pts", 10.0), ("film_f.pts", 10.0), ("film_f.pts", 11.0)):
        write_pts(tmp_path / name, x)
        hashes.add(read_folder(tmp_path).hash_of(row))
    assert len(hashes) == 3
    assert read_folder(tmp_path).hash_of(row) in hashes
    folder = read_folder(tmp_path)
    (tmp_path / "film_f.pts").unlink()
    assert folder.hash_of(row) not in hashes


def test_points_off_the_film(tmp_path: Path) -> None:
    write_pts(tmp_path / "film.pts", 500.0)
    with pytest.raises(TableError) as caught:
        find(read_folder(tmp_path), "film.dcm", "s1", Side.LEFT, FILM)
    assert caught.value.code == "landmarks.off-film"


def test_a_plateau_without_a_width(tmp_path: Path) -> None:
    points = np.full((16, 2), 50.0)
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    write_landmark_table([TabledKnee("own", "s1", "film.png", landmarks)], tmp_path / "own.csv")
    with pytest.raises(TableError) as caught:
        find(read_folder(tmp_path), "film.png", "s1", Side.LEFT, FILM)
    assert caught.value.code == "landmarks.invalid"


def test_a_landmark_table_goes_by_picture_and_side(tmp_path: Path) -> None:
    points = np.random.default_rng(1).uniform(0, 500, (16, 2)).round(3)
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    write_landmark_table([TabledKnee("own", "s1", "film.png", landmarks)], tmp_path / "own.csv")
    folder = read_folder(tmp_path)
    found = find(folder, "film.png", "s1", Side.LEFT, FILM)
    assert found is not None
    np.testing.assert_allclose(found.points_px, points)
    assert find(folder, "film.png", "s1", Side.RIGHT, FILM) is None
    assert folder.list_without_picture(set(), set()) == [("film.png", "left")]
    assert folder.list_without_picture({("film.png", "left")}, set()) == []


@pytest.mark.parametrize("member", ["", "::deep/film.png"])
def test_either_table_names_the_picture_from_its_own_folder(tmp_path: Path, member: str) -> None:
    points = np.random.default_rng(1).uniform(0, 500, (16, 2)).round(3)
    landmarks = Landmarks(Side.LEFT, LandmarkScheme.KNEEL_16, points, np.ones(16))
    (tmp_path / "own").mkdir()
    path = tmp_path / "own" / "points.csv"
    write_landmark_table([TabledKnee("own", "s1", f"../set/a{member}", landmarks)], path)
    folder = LandmarkFolder.read(path.parent, tmp_path / "tables" / "knees.csv")
    for image_path in (f"../set/a{member}", f"{tmp_path}/set/a{member}", f"../x/../set/a{member}"):
        assert find(folder, image_path, "s1", Side.LEFT, FILM) is not None
        assert folder.list_without_picture({(image_path, "left")}, set()) == []
    for image_path in (f"set/a{member}", f"../set/b{member}", f"../set/a{member}x"):
        assert find(folder, image_path, "s1", Side.LEFT, FILM) is None
        unused = folder.list_without_picture({(image_path, "left")}, set())
        assert unused == [(f"../set/a{member}", "left")]


def test_kneels_table_is_brought_to_the_films_pixels(tmp_path: Path) -> None:
    tibia = ",".join(f"{60 + 20 * i},260" for i in range(9))
    femur = ",".join(f"{70 + 25 * i},240" for i in range(7))
    (tmp_path / "bf.csv").write_text(KNEEL.format(tibia=tibia, femur=femur))
    folder = read_folder(tmp_path)
    found = find(folder, "any.dcm", "s9", Side.RIGHT, FILM)
    assert found is not None
    assert find(folder, "any.dcm", "s9", Side.LEFT, FILM) is None
    assert find(folder, "any.dcm", "s9", Side.RIGHT, FILM, visit_months=12) is None
    row = {"image_path": "any.dcm", "subject_id": "s9", "side": "right"}
    assert folder.hash_of({**row, "visit_months": 0})
    assert folder.hash_of({**row, "visit_months": 12}) == ""
    assert folder.list_without_picture(set(), set()) == [("s9", "right")]
    assert folder.list_without_picture(set(), {("s9", "right")}) == []
    col = 60 + 150 - 100  # px of 0.3 mm on the film, without its padding
    np.testing.assert_allclose(found.points_px[0, 1], (col + 0.5) * 0.3 / 0.2 - 0.5)
    unknown = Radiograph(FILM.pixels, "id")
    with pytest.raises(TableError) as caught:
        find(folder, "any.dcm", "s9", Side.RIGHT, unknown)
    assert caught.value.code == "landmarks.invalid"


def test_a_folder_without_landmarks(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read_folder(tmp_path)
    assert caught.value.code == "landmarks.not-found"
