"""The open KL-graded knees in both layouts, whole and damaged."""

import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from kneegrade.cohorts.open_sets.chen_2018 import join_spacing, scan_kaggle
from kneegrade.cohorts.tables.counts import audit_splits, count_knees
from kneegrade.cohorts.tables.table import (
    read_knee_table,
    read_spacing,
    resolve_image,
    write_knee_table,
)
from kneegrade.errors import TableError
from kneegrade.types import Contrast

KNEES = (
    ("train", 0, "9000001", "L"),
    ("train", 2, "9000001", "R"),
    ("train", 4, "0000002", "R"),
    ("val", 0, "9000003", "L"),
    ("val", 0, "9000003", "R"),
    ("test", 3, "9000004", "R"),
)


def picture(suffix: str) -> bytes:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    return bytes(cv2.imencode(suffix, grey)[1])


def write_packed(folder: Path, knees: tuple[tuple[str, int, str, str], ...] = KNEES) -> Path:
    lines = ["file,split,subject,side,kl"]
    for split, kl, subject, side in knees:
        member = f"{split}/{kl}/{subject}{side}.webp"
        with zipfile.ZipFile(folder / f"{split}-kl{kl}.zip", "a") as archive:
            archive.writestr(member, picture(".webp"))
        lines.append(f"{member},{split},{subject},{side},{kl}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_folders(folder: Path, suffix: str = ".png") -> Path:
    for split, kl, subject, side in KNEES:
        path = folder / split / str(kl) / f"{subject}{side}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(suffix))
    return folder


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return write_packed(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return write_folders(tmp_path)


def error_of(folder: Path) -> TableError:
    with pytest.raises(TableError) as caught:
        scan_kaggle(folder)
    return caught.value


def edit_labels(folder: Path, old: str, new: str) -> None:
    path = folder / "labels.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_packed(packed: Path) -> None:
    table = scan_kaggle(packed, contrast=Contrast.ENHANCED).table
    assert len(table) == 6
    assert set(table["cohort"]) == {"oai"}
    assert set(table["reading"]) == {"chen-2018"}
    assert set(table["visit_months"]) == {0}
    assert set(table["contrast"]) == {"enhanced"}
    row = table[table["kl"] == 4].iloc[0]
    assert (row["subject_id"], row["side"], row["split"]) == ("0000002", "right", "train")
    assert row["image_path"] == "train-kl4.zip::train/4/0000002R.webp"
    archive, _, member = resolve_image(packed / "knees.csv", row["image_path"]).partition("::")
    assert zipfile.ZipFile(archive).read(member) == picture(".webp")


@pytest.mark.parametrize("nested", ["", "kneeKL224", "ClsKLData/kneeKL224"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_folders_give_the_rows_of_the_archives(tmp_path: Path, nested: str, suffix: str) -> None:
    (tmp_path / "packed").mkdir()
    from_archives = scan_kaggle(write_packed(tmp_path / "packed")).table
    root = tmp_path / "published"
    write_folders(root / nested, suffix)
    from_folders = scan_kaggle(root).table
    pd.testing.assert_frame_equal(
        from_folders.drop(columns="image_path"), from_archives.drop(columns="image_path")
    )
    for image_path in from_folders["image_path"]:
        assert Path(resolve_image(root / "knees.csv", image_path)).is_file()


def test_auto_test_is_left_out_and_counted(folders: Path) -> None:
    shutil.copytree(folders / "test", folders / "auto_test")
    found = scan_kaggle(folders)
    assert (len(found.table), found.n_auto_test) == (6, 1)


def test_odd_names_are_listed(folders: Path) -> None:
    for name in ("train/0/knee (1).png", "train/9000009L.png", "train/7/9000009L.png"):
        (folders / name).parent.mkdir(exist_ok=True)
        (folders / name).write_bytes(picture(".png"))
    for name in ("train/0/Thumbs.db", "train/0/._9000001L.png", "notes.txt"):
        (folders / name).write_bytes(b"")
    found = scan_kaggle(folders)
    assert len(found.table) == 6
    assert found.without_label == (
        "train/0/knee (1).png",
        "train/7/9000009L.png",
        "train/9000009L.png",
    )


def test_labels_and_pictures_without_each_other(packed: Path) -> None:
    edit_labels(packed, "test/3/9000004R.webp,test,9000004,R,3\n", "")
    with (packed / "labels.csv").open("a") as file:
        file.write("val/0/9000009L.webp,val,9000009,L,0\n")
    found = scan_kaggle(packed)
    assert len(found.table) == 5
    assert found.without_label == ("test-kl3.zip::test/3/9000004R.webp",)
    assert found.without_picture == ("val/0/9000009L.webp",)


def test_labels_beside_folders_are_compared(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    labels = (write_packed(tmp_path / "other") / "labels.csv").read_text().replace(".webp", ".png")
    (folders / "labels.csv").write_text(labels)
    assert len(scan_kaggle(folders).table) == 6
    edit_labels(
        folders, "train/2/9000001R.png,train,9000001,R,2", "train/1/9000001R.png,train,9000001,R,1"
    )
    error = error_of(folders)
    assert error.code == "cohort.count-mismatch"
    assert "1 knees differ; first in row 3: train, KL 1, the folder is train/2" in error.message


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("9000001,L,0", "9000001,L,1", "cohort.count-mismatch", "row 2"),
        ("9000001,L,0", "9000001,R,0", "cohort.count-mismatch", "row 2"),
        ("val,9000003,R", "test,9000003,R", "cohort.count-mismatch", "row 6"),
        ("0000002,R,4", "0000002,R,5", "table.value-invalid", "row 4"),
        ("0000002,R,4", "0000002,X,4", "table.value-invalid", "side 'X'"),
        ("0000002,R,4", "2,R,4", "table.value-invalid", "7 digits"),
        (",kl\n", ",grade\n", "table.column-missing", "'kl'"),
        (
            "val/0/9000003R.webp,val,9000003,R,0",
            "val/0/9000003L.webp,val,9000003,L,0",
            "cohort.count-mismatch",
            "rows 5 and 6",
        ),
    ],
)
def test_wrong_labels(packed: Path, old: str, new: str, code: str, words: str) -> None:
    edit_labels(packed, old, new)
    error = error_of(packed)
    assert error.code == code
    assert words in error.message
    assert "0000002" not in str(error)


def test_same_knee_twice(folders: Path) -> None:
    shutil.copy(folders / "val/0/9000003L.png", folders / "train/0/9000003L.png")
    assert error_of(folders).code == "cohort.count-mismatch"


def test_archive_named_by_labels_is_missing(packed: Path) -> None:
    (packed / "val-kl0.zip").unlink()
    error = error_of(packed)
    assert error.code == "cohort.layout-unknown"
    assert "val-kl0.zip" in error.message


def test_truncated_archive(packed: Path) -> None:
    archive = packed / "train-kl4.zip"
    archive.write_bytes(archive.read_bytes()[:-40])
    error = error_of(packed)
    assert error.code == "table.unreadable"
    assert "train-kl4.zip" in error.message


def test_archives_without_labels(packed: Path) -> None:
    (packed / "labels.csv").unlink()
    assert error_of(packed).code == "cohort.layout-unknown"


def test_other_folders(tmp_path: Path, folders: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent", folders / "train", folders / "train/0"):
        error = error_of(folder)
        assert error.code == "cohort.layout-unknown"
        assert "labels.csv" in error.hint


def test_renamed_split_is_not_skipped(folders: Path) -> None:
    (folders / "val").rename(folders / "valid")
    error = error_of(folders)
    assert error.code == "cohort.layout-unknown"
    assert "'valid'" in error.message


def test_two_copies_in_one_folder(tmp_path: Path) -> None:
    for name in ("kneeKL224", "kneeKL299"):
        write_folders(tmp_path / "ClsKLData" / name)
    error = error_of(tmp_path)
    assert error.code == "cohort.layout-unknown"
    assert "kneeKL299" in error.message
    assert len(scan_kaggle(tmp_path / "ClsKLData" / "kneeKL299").table) == 6


def test_folders_without_pictures(folders: Path) -> None:
    for path in folders.rglob("*.png"):
        path.unlink()
    assert error_of(folders).code == "cohort.layout-unknown"


SPACING = """cohort,subject_id,side,spacing_row_mm,spacing_col_mm,spacing_source
oai,0000002,R,0.41,0.45,landmark-frame
oai,9000003,left,0.5,0.4,Table
oai,9000003,r,0.5,0.5,landmark-frame
oai,9000009,left,0.5,0.4,landmark-frame
"""


def test_pixel_sizes_are_joined_by_subject_and_side(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text(SPACING)
    knees = scan_kaggle(packed).table
    joined, n_unused = join_spacing(knees, tmp_path / "sizes.csv")
    assert n_unused == 1
    write_knee_table(joined, tmp_path / "knees.parquet")
    table = read_knee_table(tmp_path / "knees.parquet")
    pd.testing.assert_frame_equal(table[list(knees)], knees)
    found = {
        (row["subject_id"], row["side"]): (read_spacing(row), row["spacing_source"])
        for row in table.to_dict("records")
        if not pd.isna(row["spacing_source"])
    }
    assert found == {
        ("0000002", "right"): ((0.41, 0.45), "landmark-frame"),
        ("9000003", "left"): ((0.5, 0.4), "table"),
        ("9000003", "right"): ((0.5, 0.5), "landmark-frame"),
    }
    assert [read_spacing(row) for row in table.to_dict("records")].count(None) == 3


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("0.41,0.45", "0.41,-0.45", "table.value-invalid", "Row 2, column 'spacing_col_mm'"),
        ("0.41,0.45", "x,0.45", "table.value-invalid", "'spacing_row_mm': expected a number"),
        ("0.41,0.45", "0.41,", "table.value-invalid", "an empty cell"),
        ("0.41,0.45", "0.41,nan", "table.value-invalid", "'spacing_col_mm'"),
        ("0.41,0.45,landmark-frame", "0.41,0.45,", "table.value-invalid", "'spacing_source'"),
        ("9000003,left", "9000003,up", "table.value-invalid", "Row 3, column 'side'"),
        ("9000003,r", "9000003,L", "table.key-duplicate", "Row 4"),
        ("spacing_row_mm", "row_mm", "table.column-missing", "'spacing_row_mm'"),
        (",0.41,", ",", "table.unreadable", "row 2 has 5 cells"),
    ],
)
def test_wrong_pixel_sizes(packed: Path, old: str, new: str, code: str, words: str) -> None:
    path = packed / "sizes.csv"
    path.write_text(SPACING.replace(old, new, 1))
    with pytest.raises(TableError) as caught:
        join_spacing(scan_kaggle(packed).table, path)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.message.startswith("sizes.csv: ")
    assert "0000002" not in str(caught.value)


def test_counts_and_leaks(packed: Path, tmp_path: Path) -> None:
    table = scan_kaggle(packed).table
    counts = count_knees(table).set_index("split")
    assert counts.loc["val"].to_dict() == {
        "kl0": 2, "kl1": 0, "kl2": 0, "kl3": 0, "kl4": 0, "no_kl": 0, "knees": 2, "subjects": 1,
    }  # fmt: skip
    assert counts["knees"].to_dict() == {"train": 3, "val": 2, "test": 1}
    assert audit_splits(table).empty
    leaking = table.copy()
    leaking.loc[leaking["image_path"].str.endswith("9000001R.webp"), "split"] = "val"
    assert audit_splits(leaking).to_dict("records") == [
        {"cohort": "oai", "subject_id": "9000001", "splits": "train;val"}
    ]
    whole = count_knees(table.drop(columns=["split", "kl"]))
    assert whole[["split", "no_kl", "knees", "subjects"]].to_numpy().tolist() == [["all", 6, 6, 4]]


@pytest.mark.real_data
def test_real_set(real_data: Path) -> None:
    found = scan_kaggle(real_data / "knee-kl")
    assert (found.without_label, found.without_picture, found.n_auto_test) == ((), (), 0)
    assert len(found.table) == 6604
    counts = count_knees(found.table).set_index("split")
    grades = counts[["kl0", "kl1", "kl2", "kl3", "kl4"]]
    assert grades.loc["train"].tolist() == [2286, 1046, 1516, 757, 173]
    assert grades.loc["val"].tolist() == [328, 153, 212, 106, 27]
    assert counts["subjects"].to_dict() == {"train": 2889, "val": 413}
    assert audit_splits(found.table).empty
    assert found.table.groupby(["split", "subject_id"])["side"].nunique().eq(2).all()


@pytest.mark.real_data
def test_real_pictures_in_published_folders(real_data: Path, tmp_path: Path) -> None:
    whole = scan_kaggle(real_data / "knee-kl").table
    few = whole.groupby(["split", "kl"], sort=False).head(3).reset_index(drop=True)
    for image_path in few["image_path"]:
        archive, _, member = resolve_image(real_data / "knee-kl" / "t.csv", image_path).partition(
            "::"
        )
        path = (tmp_path / "ClsKLData" / "kneeKL224" / member).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as file:
            grey = cv2.imdecode(np.frombuffer(file.read(member), np.uint8), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), grey)
    again = scan_kaggle(tmp_path).table
    assert len(again) == 30
    pd.testing.assert_frame_equal(again.drop(columns="image_path"), few.drop(columns="image_path"))
