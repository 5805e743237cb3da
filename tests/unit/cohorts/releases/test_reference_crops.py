"""The 2019 study's crops by their names, and their join with readings."""

from pathlib import Path

import pandas as pd
import pytest

from kneegrade.cohorts.releases.reference_crops import join_crops, read_reference_crops
from kneegrade.cohorts.tables.schema import check_knee_table
from kneegrade.errors import TableError

NAMES = ("9000001_00_x_y_R", "9000001_96_L", "MB00001_84_PA10_L", "mb00002_15_r")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "MOST_OAI_FULL_0_2"
    inside.mkdir()
    for name in NAMES:
        (inside / f"{name}.png").write_bytes(b"")
    return tmp_path


def readings(*keys: tuple[str, str, int, str, int]) -> pd.DataFrame:
    columns = ["cohort", "subject_id", "visit_months", "side", "kl"]
    table = pd.DataFrame(keys, columns=columns).assign(reading="15", image_path="film")
    return check_knee_table(table)


def test_names(folder: Path) -> None:
    table = read_reference_crops(folder).table
    columns = ["cohort", "subject_id", "visit_months", "side", "image_path"]
    rows = sorted(map(tuple, table[columns].to_numpy().tolist()))
    assert rows == [
        ("most", "MB00001", 84, "left", "MOST_OAI_FULL_0_2/MB00001_84_PA10_L.png"),
        ("most", "mb00002", 15, "right", "MOST_OAI_FULL_0_2/mb00002_15_r.png"),
        ("oai", "9000001", 0, "right", "MOST_OAI_FULL_0_2/9000001_00_x_y_R.png"),
        ("oai", "9000001", 96, "left", "MOST_OAI_FULL_0_2/9000001_96_L.png"),
    ]
    assert set(table["spacing_mm"]) == {0.2}
    assert set(table["spacing_source"]) == {"table"}
    assert set(table["contrast"]) == {"plain"}


def test_odd_names_are_listed(folder: Path) -> None:
    for name in ("9000001_R.png", "9000001_00.png", "9000001_xx_L.png", ".9000001_00_L.png"):
        (folder / name).write_bytes(b"")
    (folder / "9000002_00_L.txt").write_bytes(b"")
    found = read_reference_crops(folder)
    assert len(found.table) == len(NAMES)
    assert found.odd_names == ("9000001_00.png", "9000001_R.png", "9000001_xx_L.png")


def test_knee_with_two_crops(folder: Path) -> None:
    (folder / "9000001_00_R.png").write_bytes(b"")
    with pytest.raises(TableError, match="1 have a second") as caught:
        read_reference_crops(folder)
    assert caught.value.code == "cohort.count-mismatch"
    assert "9000001" not in str(caught.value)


def test_folder_without_crops(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TableError) as caught:
            read_reference_crops(folder)
        assert caught.value.code == "cohort.layout-unknown"


def test_join(folder: Path) -> None:
    knees = readings(
        ("oai", "9000001", 96, "left", 3),
        ("oai", "9000001", 96, "right", 2),
        ("oai", "9000001", 0, "right", 1),
        ("most", "9000001", 0, "right", 4),
    )
    joined = join_crops(knees, read_reference_crops(folder).table)
    assert joined.index.tolist() == [0, 2]
    assert joined["kl"].tolist() == [3, 1]
    assert joined["image_path"].str.rpartition("/")[2].tolist() == [
        "9000001_96_L.png",
        "9000001_00_x_y_R.png",
    ]
    assert joined["spacing_mm"].tolist() == [0.2, 0.2]
    assert check_knee_table(joined)["reading"].tolist() == ["15", "15"]


def test_two_readings_of_a_knee_share_its_crop(folder: Path) -> None:
    knees = readings(("oai", "9000001", 96, "left", 3))
    both = pd.concat([knees, knees.assign(reading="37")], ignore_index=True)
    joined = join_crops(both.drop(columns="image_path"), read_reference_crops(folder).table)
    assert joined["reading"].tolist() == ["15", "37"]
    assert joined["image_path"].nunique() == 1
