"""The verb ``prepare``."""

import json
from pathlib import Path

import pytest
from command import kneegrade
from made_films import draw_knee, write_picture

from kneegrade.images.read import read_file
from kneegrade.knees import store
from kneegrade.knees.store import read_index, read_roi_pixels
from kneegrade.types import Radiograph, RadiographFile, Side


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two knees, and one whose picture is empty."""
    for side in Side:
        write_picture(tmp_path / f"{side.value}.png", draw_knee(side))
    (tmp_path / "empty.png").touch()
    path = tmp_path / "knees.csv"
    path.write_text(
        "subject_id,side,image_path,kl\n"
        "7,right,right.png,1\n7,left,left.png,1\n8,left,empty.png,2\n"
    )
    return path


def test_a_store_is_written_and_failures_are_counted(table: Path, tmp_path: Path) -> None:
    store = tmp_path / "rois"
    reply = kneegrade("prepare", table, "--out", store, "--size", "64", "--workers", "1")
    assert reply.code == 1
    assert f"2 knees in {store}, 0 refused, 1 failed" in reply.out
    assert (store / "sheet.html").is_file()
    assert "1 image.empty" in reply.out
    index = read_index(store)
    assert index["status"].tolist() == ["ok", "ok", "failed"]
    assert index["kl"].tolist() == [1, 1, 2]
    assert read_roi_pixels(store, index["roi_file"][0]).shape == (64, 64)


def test_json(table: Path, tmp_path: Path) -> None:
    store = tmp_path / "rois"
    arguments = ("prepare", table, "--out", store, "--size", "64", "--workers", "1", "--json")
    for _ in range(2):
        assert json.loads(kneegrade(*arguments).out) == {
            "knees": 3,
            "refused": 0,
            "failed": 1,
            "landmarks_from_files": 0,
            "contact_sheet": str(store / "sheet.html"),
            "error_codes": {"image.empty": 1},
            "store": str(store),
        }


def test_a_bug_costs_one_film(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read(file: RadiographFile) -> Radiograph:
        if file.path.endswith("left.png"):
            raise ZeroDivisionError("Doe^Jane")
        return read_file(file)

    monkeypatch.setattr(store, "read_file", read)
    arguments = ("prepare", table, "--out", tmp_path / "rois", "--workers", "1")
    reply = kneegrade(*arguments)
    assert reply.code == 70
    assert "1 internal.error" in reply.out
    assert read_index(tmp_path / "rois")["status"].tolist() == ["ok", "failed", "failed"]
    assert "internal.error" in caplog.text
    assert "Doe^Jane" not in caplog.text + reply.out + reply.err
    monkeypatch.undo()
    assert kneegrade(*arguments).code == 1, "tried again"


def test_nothing_to_keep_is_3(table: Path, tmp_path: Path) -> None:
    table.write_text("subject_id,side,image_path\n8,left,empty.png\n")
    reply = kneegrade("prepare", table, "--out", tmp_path / "rois", "--workers", "1")
    assert reply.code == 3
    assert "0 knees in" in reply.out


def test_errors_are_one_line(table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, code in (
        ((tmp_path / "gone.csv", "--out", tmp_path / "rois"), "table.not-found"),
        ((table, "--out", tmp_path / "file"), "output.not-writable"),
    ):
        reply = kneegrade("prepare", *arguments, "--workers", "1")
        assert (reply.code, reply.out) == (3, "")
        assert reply.err.splitlines()[-1].endswith(f"[{code}]")


def test_wrong_usage_is_2(table: Path, tmp_path: Path) -> None:
    for option in (("--size", "8"), ("--workers", "0")):
        assert kneegrade("prepare", table, "--out", tmp_path / "rois", *option).code == 2
    assert not (tmp_path / "rois").exists()
