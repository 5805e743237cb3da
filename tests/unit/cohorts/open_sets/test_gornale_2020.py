"""The open two-reader set, written here by hand: a picture is its number, its file may vary."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from kneegrade.cohorts.open_sets.gornale_2020 import SeenPicture, is_gornale, scan_gornale
from kneegrade.errors import ImageError, TableError
from kneegrade.types import Contrast, Side


def look(path: Path) -> SeenPicture:
    """A file holds the number of its picture, then whatever its writer added."""
    number = path.read_text().split()[0]
    if number == "broken":
        raise ImageError("image.truncated", "Cut short.", "Copy it again.")
    side = Side.RIGHT if int(number) % 2 else Side.LEFT
    return SeenPicture(hashlib.sha256(number.encode()).hexdigest(), side)


def write(root: Path, expert: str, folder: str, name: str, content: str) -> None:
    path = root / f"MedicalExpert-{expert}" / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "Digital Knee X-ray Images" / "Knee X-ray Images"
    write(root, "I", "0Normal", "NormalG0 (1).png", "1")
    write(root, "I", "1Doubtful", "DoubtfulG1 (1).png", "2")
    write(root, "I", "4Severe", "SevereG4 (1).png", "3")
    write(root, "II", "0Normal", "NormalG0 (7).png", "1 another file of the same picture")
    write(root, "II", "2Mild", "MildG2 (3).png", "2")
    write(root, "II", "3Moderate", "ModerateG3 (3).png", "4")
    return tmp_path


def kl_of(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    names = table["image_path"].str.rpartition("/")[2]
    return dict(zip(zip(names, table["reading"], strict=True), table["kl"].tolist(), strict=True))


def test_both_readings_are_kept(folder: Path) -> None:
    found = scan_gornale(folder, look=look, contrast=Contrast.PLAIN)
    assert kl_of(found.table) == {
        ("NormalG0 (1).png", "expert-1"): 0,
        ("NormalG0 (1).png", "expert-2"): 0,
        ("DoubtfulG1 (1).png", "expert-1"): 1,
        ("DoubtfulG1 (1).png", "expert-2"): 2,
        ("SevereG4 (1).png", "expert-1"): 4,
        ("ModerateG3 (3).png", "expert-2"): 3,
    }
    assert found.counted == {
        "pictures": 4,
        "pictures_with_two_readings": 2,
        "readings_that_agree": 1,
        "further_copies_left_out": 0,
        "pictures_under_two_grades_of_one_expert": 0,
    }
    assert found.table["subject_id"].nunique() == 4
    assert set(found.table["contrast"]) == {"plain"}
    assert set(found.table["cohort"]) == {"gornale"}
    for path in found.table["image_path"]:
        assert (folder / path).is_file()


def test_side_is_what_the_picture_shows(folder: Path) -> None:
    table = scan_gornale(folder, look=look).table
    sides = dict(zip(table["image_path"].str.rpartition("/")[2], table["side"], strict=True))
    assert (sides["NormalG0 (1).png"], sides["DoubtfulG1 (1).png"]) == ("right", "left")


def test_copies_are_counted_once(folder: Path) -> None:
    root = folder / "Digital Knee X-ray Images" / "Knee X-ray Images"
    write(root, "I", "0Normal", "NormalG0 (2).png", "1")
    write(root, "I", "0Normal", "NormalG0 (3).png", "1")
    write(root, "II", "4Severe", "SevereG4 (9).png", "2")
    found = scan_gornale(folder, look=look)
    assert found.counted["further_copies_left_out"] == 2
    assert found.counted["pictures_under_two_grades_of_one_expert"] == 1
    assert ("DoubtfulG1 (1).png", "expert-2") not in kl_of(found.table)
    assert kl_of(found.table)["DoubtfulG1 (1).png", "expert-1"] == 1


def test_what_is_left_out_is_listed(folder: Path) -> None:
    root = folder / "Digital Knee X-ray Images" / "Knee X-ray Images"
    write(root, "I", "0Normal", "SevereG4 (2).png", "5")
    write(root, "I", "0Mild", "MildG2 (2).png", "6")
    write(root, "II", ".", "MildG2 (4).png", "7")
    write(root, "I", "0Normal", "NormalG0 (9).png", "broken")
    write(root, "I", "0Normal", "Thumbs.db", "8")
    write(root, "I", "0Normal", "._NormalG0 (1).png", "9")
    write(root, "I", "0Normal", "renamed.png", "11")
    found = scan_gornale(folder, look=look)
    names = [path.rpartition("/")[2] for path in found.without_label]
    assert names == ["MildG2 (2).png", "SevereG4 (2).png", "MildG2 (4).png"]
    assert [path.rpartition("/")[2] for path in found.unreadable] == ["NormalG0 (9).png"]
    assert len(found.table) == 7
    assert kl_of(found.table)["renamed.png", "expert-1"] == 0


def test_one_expert_alone(folder: Path) -> None:
    alone = folder / "Digital Knee X-ray Images" / "Knee X-ray Images" / "MedicalExpert-II"
    found = scan_gornale(alone, look=look)
    assert set(found.table["reading"]) == {"expert-2"}
    assert any("Only expert-2" in note for note in found.notes)
    assert found.table["image_path"].tolist()[0] == "0Normal/NormalG0 (7).png"


def test_other_numbers_than_published_are_noted(folder: Path) -> None:
    notes = " ".join(scan_gornale(folder, look=look).notes)
    assert "1, 1, 0, 0, 1; published are 514, 477, 232, 221, 206" in notes


def test_which_set_it_is(folder: Path, tmp_path: Path) -> None:
    assert is_gornale(folder)
    assert is_gornale(folder / "Digital Knee X-ray Images")
    other = tmp_path / "other"
    for name in ("train/0", "MedicalExpert-I", "0Normal"):
        (other / name).mkdir(parents=True)
    assert not is_gornale(other)
    assert not is_gornale(tmp_path / "absent")


def test_wrong_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "MedicalExpert-I" / "0Normal").mkdir(parents=True)
    write(folder / "copy", "I", "0Normal", "NormalG0 (1).png", "1")
    for wrong, words in (
        (folder, "several folders of one expert"),
        (tmp_path / "empty", "no readable image"),
        (tmp_path / "absent", "neither"),
    ):
        with pytest.raises(TableError) as caught:
            scan_gornale(wrong, look=look)
        assert caught.value.code == "cohort.layout-unknown"
        assert words in caught.value.message
