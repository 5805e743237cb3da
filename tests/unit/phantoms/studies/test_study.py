"""A study on disk: whole, the same twice, continued where it stopped."""

import csv
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from kneegrade.errors import ImageError, OutputError, WorkerError
from kneegrade.phantoms.studies.film_order import FilmKind, FilmOrder
from kneegrade.phantoms.studies.most.release import plan_films
from kneegrade.phantoms.studies.ordered_film import write_film
from kneegrade.phantoms.studies.population import Study, draw_subject
from kneegrade.phantoms.studies.study import (
    JOURNAL,
    TRUTH,
    TRUTH_COLUMNS,
    TRUTH_LANDMARKS,
    write_study,
)
from kneegrade.types import Side, Task

N_SUBJECTS = 2


def write(folder: Path, **changes):
    asked = {"study": Study.MOST, "n_subjects": N_SUBJECTS, "seed": 5, "spacing_mm": 1.0}
    return write_study(folder, **{**asked, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study")
    write(path)
    return path


@pytest.fixture(scope="module")
def orders() -> list[FilmOrder]:
    return plan_films([draw_subject(Study.MOST, n, 5) for n in (1, 2)], seed=5)


def test_a_study_is_whole(folder: Path, orders: list[FilmOrder]) -> None:
    assert len(orders) > N_SUBJECTS
    assert all(pydicom.dcmread(folder / order.path).pixel_array.any() for order in orders)
    assert not [path for path in folder.rglob("*") if ".part" in path.name]
    assert not (folder / JOURNAL).exists()
    settings = json.loads((folder / "study.json").read_text())
    assert (settings["study"], settings["subjects"], settings["seed"]) == ("most", N_SUBJECTS, 5)
    assert settings["versions"]["numpy"] == np.__version__


def test_the_truth_has_every_knee_at_every_visit(folder: Path, orders: list[FilmOrder]) -> None:
    rows = read_csv(folder / TRUTH)
    assert tuple(rows[0]) == TRUTH_COLUMNS
    subjects = {number: draw_subject(Study.MOST, number, 5) for number in (1, 2)}
    expected = {
        (str(s.number), str(v.visit_months), side.value): severity
        for s in subjects.values()
        for v in s.visits
        for side, severity in v.severity.items()
    }
    found = {(r["subject_number"], r["visit_months"], r["side"]): r for r in rows}
    assert set(found) == set(expected)
    for key, severity in expected.items():
        grades = {t.value: found[key][t.value] for t in Task}
        wanted = {} if severity is None else severity.grades
        assert grades == {t.value: str(wanted.get(t, "")) for t in Task}
        assert found[key]["replaced"] == str(int(severity is None))
    assert {r["image_path"] for r in rows} - {""} == {order.path for order in orders}
    assert [r["image_path"] for r in rows if r["subject_number"] == "2"][:2] == ["", ""]


def test_the_landmarks_lie_on_their_films(folder: Path) -> None:
    rows = read_csv(folder / TRUTH_LANDMARKS)
    knees = {(row["image_path"], row["side"]) for row in rows}
    assert len(rows) == 16 * len(knees)
    with_space = {(r["image_path"], r["side"]) for r in read_csv(folder / TRUTH) if r["jsn_m_mm"]}
    assert knees == with_space
    sizes = {path: pydicom.dcmread(folder / path).pixel_array.shape for path, _ in knees}
    for row in rows:
        n_rows, n_cols = sizes[row["image_path"]]
        assert 0 < float(row["row"]) < n_rows
        is_left_of_middle = float(row["col"]) < n_cols / 2
        assert is_left_of_middle == (row["side"] == "right")


def test_two_processes_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, n_workers=2)
    assert contents(tmp_path) == contents(folder)


def test_an_interrupted_study_continues(folder: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, on_progress=stop)
    assert not (tmp_path / TRUTH).exists()
    noted = (tmp_path / JOURNAL).read_text().splitlines()[1:]
    done = [tmp_path / json.loads(line)["image_path"] for line in noted]
    assert len(done) == 3
    # As if the machine had died while the fourth film and its line of the journal were written.
    (done[0].parent / "IM0001.dcm.part").write_bytes(b"half")
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('{"image_path": "Ima')
    done[-1].unlink()
    before = {path: path.stat().st_mtime_ns for path in done[:-1]}
    written = write(tmp_path)
    assert written.n_drawn == written.n_films - 2
    assert {path: path.stat().st_mtime_ns for path in done[:-1]} == before
    (done[0].parent / "IM0001.dcm.part").unlink(missing_ok=True)
    assert contents(tmp_path) == contents(folder)


def test_a_film_that_cannot_be_drawn_in_time_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        write(tmp_path, spacing_mm=0.05, limit_s=0.01)
    assert caught.value.code == "worker.timeout"
    assert ".dcm: The work took longer" in str(caught.value)


def test_a_whole_study_is_left_alone_and_a_lost_film_comes_back(
    folder: Path, tmp_path: Path
) -> None:
    assert write(folder).n_drawn == 0
    before = contents(folder)
    next(folder.rglob("*.dcm")).unlink()
    assert write(folder).n_drawn == 1
    assert contents(folder) == before


@pytest.mark.parametrize("changes", [{"seed": 6}, {"n_subjects": 3}, {"spacing_mm": None}])
def test_a_folder_with_another_study(folder: Path, changes: dict) -> None:
    before = contents(folder)
    with pytest.raises(OutputError, match="another study") as caught:
        write(folder, **changes)
    assert caught.value.code == "output.other-run"
    assert contents(folder) == before


def test_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError) as caught:
        write(tmp_path)
    assert caught.value.code == "output.other-run"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("n_subjects", [0, -1])
def test_no_subjects(tmp_path: Path, n_subjects: int) -> None:
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "new", n_subjects=n_subjects)
    assert caught.value.code == "phantom.subjects-invalid"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("spacing_mm", [0.0, -1.0, float("nan")])
def test_no_spacing(tmp_path: Path, spacing_mm: float) -> None:
    with pytest.raises(ImageError) as caught:
        write(tmp_path / "new", spacing_mm=spacing_mm)
    assert caught.value.code == "image.spacing-invalid"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "file" / "study")
    assert caught.value.code == "output.not-writable"


def order_film(path: str, **changes) -> FilmOrder:
    first = draw_subject(Study.OAI, 1, 0).visits[0]
    asked = {"subject_number": 1, "visit_months": first.visit_months, "scanner": "oai-cr-a"}
    return FilmOrder(path=path, **{**asked, **changes})


def draw(folder: Path, order: FilmOrder):
    return write_film(folder, order, study=Study.OAI, seed=0, spacing_mm=1.0)


def test_a_packed_film(tmp_path: Path) -> None:
    truth = draw(tmp_path, order_film("a/b.tar.gz", archive_member="001"))
    assert truth["image_path"] == "a/b.tar.gz::001"
    with tarfile.open(tmp_path / "a" / "b.tar.gz") as archive:
        assert archive.getnames() == ["001"]
        archive.extractall(tmp_path, filter="data")
    assert pydicom.dcmread(tmp_path / "001").pixel_array.ndim == 2


def test_a_film_with_its_own_header(tmp_path: Path) -> None:
    header = {"PatientID": "9000001", "ViewPosition": None}
    order = order_film("001", header=header, keep_spacing=False, inverted=True)
    draw(tmp_path, order)
    ds = pydicom.dcmread(tmp_path / "001")
    assert ds.PatientID == "9000001"
    assert ds.PhotometricInterpretation == "MONOCHROME1"
    assert not {"ViewPosition", "ImagerPixelSpacing", "PixelSpacing"} & set(ds.dir())


def test_a_film_of_one_knee_and_one_of_a_hand(tmp_path: Path) -> None:
    one = draw(tmp_path, order_film("one.dcm", sides=(Side.LEFT,)))
    hand = draw(tmp_path, order_film("hand.dcm", kind=FilmKind.HAND, sides=()))
    assert list(one["knees"]) == ["left"]
    assert hand["knees"] == {}
    assert pydicom.dcmread(tmp_path / "hand.dcm").pixel_array.std() > 0


def test_a_broken_film_is_the_first_half_of_a_whole_one(tmp_path: Path) -> None:
    draw(tmp_path / "broken", order_film("001", kind=FilmKind.BROKEN))
    draw(tmp_path / "whole", order_film("001"))
    broken, whole = ((tmp_path / name / "001").read_bytes() for name in ("broken", "whole"))
    assert whole[: len(broken)] == broken
    assert len(broken) == len(whole) // 2


def test_a_picture_that_is_no_radiograph(tmp_path: Path) -> None:
    draw(tmp_path, order_film("preview_1x1.jpg", kind=FilmKind.OTHER))
    assert cv2.imread(str(tmp_path / "preview_1x1.jpg")).shape == (96, 96, 3)


@pytest.mark.parametrize(
    ("path", "changes", "words"),
    [
        ("/etc/001", {}, "study's folder"),
        ("../001", {}, "study's folder"),
        ("", {}, "study's folder"),
        ("a.tar.gz", {}, "archive_member"),
        ("001", {"archive_member": "001"}, "archive_member"),
        ("001", {"kind": FilmKind.OTHER}, r"\.jpg"),
        ("001", {"sides": ()}, "no side"),
    ],
)
def test_an_order_that_cannot_be(path: str, changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        order_film(path, **changes)
