"""The verb ``cohort``: what it writes and what it prints."""

import json
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest
from typer.testing import CliRunner

from kneegrade.apps.cli.verbs.cohort import app
from kneegrade.cohorts.tables.table import find_missing_images, read_knee_table
from kneegrade.errors import TableError


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for name in ("train/0/9000001L", "train/3/9000001R", "val/1/9000002R", "auto_test/1/9000003L"):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.eye(8, dtype=np.uint8))
    return folder


def test_kaggle_json(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "tables" / "knees.parquet"
    reply = json.loads(run("kaggle", published, "--out", out, "--contrast", "plain", "--json"))
    assert reply["knees"] == 3
    assert [(row["split"], row["kl3"], row["knees"]) for row in reply["counts"]] == [
        ("train", 1, 2),
        ("val", 0, 1),
    ]
    assert reply["subjects_in_several_splits"] == 0
    assert reply["auto_test_left_out"] == 1
    assert reply["set"].startswith("Chen 2018")
    table = read_knee_table(out)
    assert set(table["contrast"]) == {"plain"}
    assert table["image_path"].tolist()[0] == "../set/train/0/9000001L.png"
    assert find_missing_images(table, out) == []


def test_kaggle_prints_counts_and_leaks(published: Path, tmp_path: Path) -> None:
    (published / "val/1/9000002R.png").rename(published / "val/1/9000001L.png")
    (published / "train/0/9000001L.png").rename(published / "train/0/odd[red].png")
    text = run("kaggle", published, "--out", tmp_path / "knees.csv")
    assert "2 knees written to" in text
    assert "subjects in several splits: 1" in text
    assert "pictures without label: 1\n  train/0/odd[red].png" in text
    assert set(read_knee_table(tmp_path / "knees.csv")["contrast"]) == {"unknown"}


def test_kaggle_takes_pixel_sizes(published: Path, tmp_path: Path) -> None:
    sizes, out = tmp_path / "sizes.csv", tmp_path / "knees.parquet"
    sizes.write_text(
        "subject_id,side,spacing_row_mm,spacing_col_mm,spacing_source\n"
        "9000001,L,0.41,0.45,landmark-frame\n9000009,L,0.41,0.45,landmark-frame\n"
    )
    text = run("kaggle", published, "--out", out, "--spacing", sizes)
    assert "spacing rows without knee: 1\n" in text
    table = read_knee_table(out)
    knee = table[table["image_path"].str.endswith("9000001L.png")].iloc[0]
    assert (knee["spacing_mm"], knee["spacing_col_mm"]) == (0.41, 0.45)
    assert table["spacing_source"].notna().sum() == 1


def test_two_reader_set_is_known_by_its_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 90, 70), dtype=np.uint8)
    for name, picture, compression in (
        ("MedicalExpert-I/0Normal/NormalG0 (1).png", first, 0),
        ("MedicalExpert-II/1Doubtful/DoubtfulG1 (4).png", first, 9),
        ("MedicalExpert-I/4Severe/SevereG4 (1).png", second, 0),
        ("MedicalExpert-II/4Severe/SevereG4 (1).png", second, 0),
    ):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    (tmp_path / "set/MedicalExpert-I/4Severe/SevereG4 (2).png").write_bytes(b"cut")
    out = tmp_path / "knees.parquet"
    reply = json.loads(run("kaggle", tmp_path / "set", "--out", out, "--json"))
    assert reply["set"].startswith("Gornale 2020")
    assert (reply["pictures_with_two_readings"], reply["readings_that_agree"]) == (2, 1)
    assert reply["pictures_not_readable"] == ["MedicalExpert-I/4Severe/SevereG4 (2).png"]
    table = read_knee_table(out)
    assert sorted(zip(table["reading"], table["kl"].tolist(), strict=True)) == [
        ("expert-1", 0),
        ("expert-1", 4),
        ("expert-2", 1),
        ("expert-2", 4),
    ]
    assert table["subject_id"].nunique() == 2
    assert find_missing_images(table, out) == []


def test_kaggle_error_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        run("kaggle", tmp_path, "--out", tmp_path / "knees.parquet")
    assert caught.value.code == "cohort.layout-unknown"
    assert list(tmp_path.iterdir()) == []


def test_own_table(published: Path, tmp_path: Path) -> None:
    own = published / "own.csv"
    own.write_text(
        "image_path,side,Age\ntrain/0/9000001L.png,l,61\n"
        + "".join(f"gone{i:02d}.png,R,\n" for i in range(12))
    )
    out = tmp_path / "knees.parquet"
    reply = json.loads(run("table", own, "--out", out, "--json"))
    assert (reply["knees"], len(reply["pictures_not_there"])) == (13, 12)
    assert any("13 rows have no subject_id" in note for note in reply["notes"])
    table = read_knee_table(out)
    assert table["image_path"].tolist()[:2] == ["set/train/0/9000001L.png", "set/gone00.png"]
    assert table["subject_id"].tolist()[1] == "gone00.png"
    text = run("table", own, "--out", out)
    assert "pictures not there: 12" in text
    assert "and 2 more (all with --json)" in text
    assert "'Age' was read as 'age'" in text


def test_own_workbook(published: Path, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (
        ("image_path", "side", "subject_id", "kl"),
        ("train/0/9000001L.png", "l", "007", 0),
    ):
        book.worksheets[0].append(list(row))
    book.save(published / "own.xlsx")
    out = tmp_path / "knees.parquet"
    reply = json.loads(run("table", published / "own.xlsx", "--out", out, "--json"))
    assert (reply["knees"], reply["pictures_not_there"]) == (1, [])
    assert read_knee_table(out)["subject_id"].tolist() == ["007"]


def test_own_table_error(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("image_path,side\na.png,up\n")
    with pytest.raises(TableError, match="Row 2") as caught:
        run("table", own, "--out", tmp_path / "knees.parquet")
    assert caught.value.code == "table.value-invalid"
