from pathlib import Path

import numpy as np
import pytest

from kneegrade.errors import TableError
from kneegrade.knees.landmarks.table import TabledKnee, read_landmark_table, write_landmark_table
from kneegrade.types import Landmarks, LandmarkScheme, Side


def knee(side: Side, seed: int) -> TabledKnee:
    points = np.random.default_rng(seed).uniform(0, 500, (16, 2)).round(3)
    landmarks = Landmarks(side, LandmarkScheme.KNEEL_16, points, np.ones(16))
    return TabledKnee("own", "s1", "a/film.png", landmarks)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.csv"
    knees = [knee(Side.RIGHT, 1), knee(Side.LEFT, 2)]
    write_landmark_table(knees, path)
    found = read_landmark_table(path)
    assert [(k.cohort, k.subject_id, k.image_path) for k in found] == [
        ("own", "s1", "a/film.png")
    ] * 2
    for before, after in zip(knees, found, strict=True):
        assert after.landmarks.side is before.landmarks.side
        np.testing.assert_allclose(after.landmarks.points_px, before.landmarks.points_px)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace("landmark,row", "name,row"), "table.column-missing"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "landmarks.invalid"),
        (lambda text: text.replace("right,t3,", "right,t3,x"), "landmarks.invalid"),
        (lambda text: text.replace("right,t3,", "right,t3,nan,"), "landmarks.invalid"),
        (lambda text: text.replace("right", "up"), "landmarks.invalid"),
        (lambda text: text + "own,s1\n", "landmarks.invalid"),
        (lambda text: text + "x" * 200_000, "landmarks.invalid"),
        (lambda text: "", "landmarks.invalid"),
    ],
)
def test_what_is_no_landmark_table(tmp_path: Path, change: object, code: str) -> None:
    path = tmp_path / "landmarks.csv"
    write_landmark_table([knee(Side.RIGHT, 1)], path)
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(TableError) as caught:
        read_landmark_table(path)
    assert caught.value.code == code
    assert "landmarks.csv" in caught.value.message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_a_table_that_a_spreadsheet_saved_again(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "landmarks.csv"
    before = knee(Side.RIGHT, 1)
    write_landmark_table([before], path)
    text = path.read_text().replace("s1", "s\xe9").replace(",", ";").replace(".", ",")
    path.write_text(text.replace("side", "Side").replace("film,", "film."), encoding=encoding)
    (found,) = read_landmark_table(path)
    assert (found.subject_id, found.image_path) == ("s\xe9", "a/film.png")
    np.testing.assert_allclose(found.landmarks.points_px, before.landmarks.points_px)


def test_no_table_there(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read_landmark_table(tmp_path / "none.csv")
    assert caught.value.code == "table.not-found"
