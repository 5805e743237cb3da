"""The verb ``phantom``: a film with its truth, a study, and what cannot be drawn."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from command import Reply, kneegrade

from kneegrade.images.read import read_radiograph
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.types import Task

COARSE = ("--spacing", "1")


def draw(out: Path, *arguments: str, seed: int = 3) -> Reply:
    return kneegrade("phantom", "film", "--seed", str(seed), "--out", out, *COARSE, *arguments)


def read_truth(out: Path) -> dict:
    return json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_film_of_both_knees_with_its_truth(tmp_path: Path) -> None:
    out = tmp_path / "new" / "film.dcm"
    reply = draw(out)
    assert (reply.code, reply.err) == (0, "")
    radiograph = read_radiograph(out)
    truth = read_truth(out)
    assert radiograph.pixels.shape == (350, 430) == (truth["rows"], truth["cols"])
    assert radiograph.spacing_mm == (1, 1)
    assert (truth["schema_version"], truth["seed"], truth["spacing_mm"]) == (1, 3, 1.0)
    assert truth["scanner"] in SCANNERS
    assert set(truth["knees"]) == {"right", "left"}
    for side, knee in truth["knees"].items():
        points = np.array(knee["landmarks_px"])
        assert points.shape == (16, 2)
        assert (points > 0).all()
        assert (points[:, 0] < 350).all()
        assert ((points[:, 1] < 215) == (side == "right")).all()
        assert set(knee["grades"]) == {task.value for task in Task}
        assert set(knee["severity"]) == {task.value for task in Task} - {"kl"}
        assert set(knee["joint_space_mm"]) == {"jsn_l", "jsn_m"}
        assert f"{side}: kl={knee['grades']['kl']} " in reply.out
    assert sorted(path.name for path in out.parent.iterdir()) == ["film.dcm", "film.json"]


def test_json(tmp_path: Path) -> None:
    out = tmp_path / "film"
    reply = json.loads(draw(out, "--json").out)
    assert reply.pop("film") == str(out)
    assert reply.pop("truth") == f"{out}.json"
    assert reply == read_truth(out)


def test_the_same_seed_draws_the_same_bytes(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name / "film.dcm" for name in "abc")
    draw(first)
    draw(again)
    draw(other, seed=4)
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()
    assert read_truth(first) == read_truth(again)
    assert read_truth(first) != read_truth(other)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_film_of_one_knee_is_of_the_same_person(tmp_path: Path, side: str) -> None:
    both, one = tmp_path / "both.dcm", tmp_path / "one.dcm"
    draw(both)
    draw(one, "--side", side)
    assert set(read_truth(one)["knees"]) == {side}
    assert read_truth(one)["knees"][side]["grades"] == read_truth(both)["knees"][side]["grades"]
    assert pydicom.dcmread(one).ImageLaterality == side[0].upper()


def test_grades_that_are_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "film.dcm"
    draw(out, "--grades", "right:jsn_m=3, fo_m=2", "--grades", "left:normal")
    knees = read_truth(out)["knees"]
    right, left = knees["right"]["grades"], knees["left"]["grades"]
    assert (right["jsn_m"], right["fo_m"], right["kl"]) == (3, 2, 4)
    assert set(left.values()) == {0}
    assert knees["right"]["joint_space_mm"]["jsn_m"] < knees["left"]["joint_space_mm"]["jsn_m"]


@pytest.mark.parametrize("kl", range(5))
def test_a_kellgren_lawrence_grade_that_is_asked_for(tmp_path: Path, kl: int) -> None:
    out = tmp_path / "film.dcm"
    draw(out, "--grades", f"kl={kl}")
    assert [knee["grades"]["kl"] for knee in read_truth(out)["knees"].values()] == [kl, kl]


def test_an_implant(tmp_path: Path) -> None:
    out = tmp_path / "film.dcm"
    reply = draw(out, "--grades", "L:implant", "--side", "left")
    assert read_truth(out)["knees"] == {"left": {"replaced": True}}
    assert "left: implant" in reply.out


def test_the_look_and_the_size(tmp_path: Path) -> None:
    one, other = tmp_path / "one.dcm", tmp_path / "other.dcm"
    draw(one, "--scanner", "most-dx", "--size", "200x300")
    draw(other, "--scanner", "oai-film", "--size", "200x300")
    looks = [pydicom.dcmread(path) for path in (one, other)]
    assert [ds.pixel_array.shape for ds in looks] == [(200, 300)] * 2
    assert [ds.Modality for ds in looks] == ["DX", "CR"]
    assert read_truth(one)["knees"] == read_truth(other)["knees"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--grades", "right:jsn_m=4"), "phantom.grade-invalid", "0..3"),
        (("--grades", "kl=5"), "phantom.grade-invalid", "0..4"),
        (("--grades", "jsn_m=1.9"), "phantom.grade-invalid", "1.9"),
        (("--grades", "jsn=1"), "phantom.grade-invalid", "jsn"),
        (("--grades", "middle:jsn_m=1"), "phantom.grade-invalid", "right or left"),
        (("--grades", ""), "phantom.grade-invalid", "right:jsn_m=3,fo_m=2"),
        (("--grades", "kl=1,jsn_m=3"), "phantom.grade-invalid", "Kellgren-Lawrence"),
        (("--grades", "normal", "--grades", "left:kl=1"), "input.conflict", "given twice"),
        (("--side", "right", "--grades", "left:kl=1"), "input.conflict", "not on the film"),
        (("--size", "350"), "phantom.size-invalid", "350x430"),
        (("--size", "60x60"), "phantom.size-invalid", "Got 60 x 60"),
        (("--size", "nanx300"), "phantom.size-invalid", "nan"),
        (("--size", "350x5000"), "phantom.size-invalid", "600"),
    ],
)
def test_what_cannot_be_drawn(
    tmp_path: Path, arguments: tuple[str, ...], code: str, words: str
) -> None:
    reply = draw(tmp_path / "film.dcm", *arguments)
    assert reply.code == 2
    assert f"[{code}]" in reply.err
    assert words in reply.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scanner", "x100"), "most-dx"),
        (("--side", "middle"), "right"),
        (("--spacing", "0"), "0.05"),
    ],
)
def test_options_with_wrong_values(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    reply = draw(tmp_path / "film.dcm", *arguments)
    assert reply.code == 2
    assert words in reply.err


def test_a_film_needs_another_name_than_its_truth(tmp_path: Path) -> None:
    reply = draw(tmp_path / "film.json")
    assert reply.code == 2
    assert "[input.conflict]" in reply.err


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    reply = draw(tmp_path / "file" / "film.dcm")
    assert reply.code == 3
    assert "[output.not-writable]" in reply.err


def study(out: Path, *arguments: str, subjects: int = 1) -> Reply:
    asked = ("--like", "most", "--subjects", str(subjects), "--seed", "2", "--workers", "1")
    return kneegrade("phantom", "study", *asked, "--out", out, *COARSE, *arguments)


def test_a_study_and_the_same_again(tmp_path: Path) -> None:
    first = json.loads(study(tmp_path, "--json").out)
    assert (first["study"], first["subjects"]) == ("most", 1)
    assert first["films"] == first["films_drawn_now"] == len(list(tmp_path.rglob("*.dcm")))
    assert Path(first["truth"]).is_file()
    again = study(tmp_path)
    assert again.code == 0
    assert f"{first['films']} films in {tmp_path} (0 drawn now)" in again.out


def test_a_folder_that_holds_another_study(tmp_path: Path) -> None:
    study(tmp_path)
    reply = study(tmp_path, subjects=2)
    assert reply.code == 3
    assert "[output.other-run]" in reply.err


def test_a_study_without_subjects(tmp_path: Path) -> None:
    reply = study(tmp_path / "new", subjects=0)
    assert reply.code == 2
    assert "[phantom.subjects-invalid]" in reply.err
    assert not (tmp_path / "new").exists()
