"""One picture of a batch: its rows, its drawings, its knees' pictures on disk."""

from pathlib import Path
from typing import Any

import pytest
from kneegrade.pipeline.picture import PICTURES, KneeLine, Picture, grade_picture
from made_films import draw_knee, write_picture
from tiny_bundle import write_tiny_bundle

from kneegrade.errors import KneeNotFoundError, OutputError
from kneegrade.images.read import read_radiograph
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.prepared import PreparedKnee
from kneegrade.pipeline.grader import KneeGrader, RefusedKnee


class RefusingGrader(KneeGrader):
    """Refuses every knee that it finds, and says that the other one was not found."""

    def grade(self, source: str | Path, **options: Any) -> Any:
        (knee,) = super().grade(source, **options)
        implant = KneeNotFoundError("knee.implant", "Metal.", "Leave it out.")
        missing = KneeNotFoundError("knee.not-found", "Not there.", "Look.")
        found = PreparedKnee(read_radiograph(source), knee.landmarks, knee.roi, implant)
        return [
            RefusedKnee(knee.side, implant, found),
            RefusedKnee(knee.side.other, missing, None),
        ]


class BuggyGrader(KneeGrader):
    """Has a bug that a picture brings out."""

    def grade(self, source: str | Path, **options: Any) -> Any:
        raise ZeroDivisionError("PatientID 9000001")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    path = str(write_picture(tmp_path / "a.png", draw_knee()))
    (tmp_path / PICTURES).mkdir()
    return Picture(path, path)


def grade(picture: Picture, grader: KneeGrader, folder: Path | None) -> list[KneeLine]:
    return grade_picture(picture, grader, InputKind.AUTO, folder)


def test_a_refused_knee_keeps_its_picture(picture: Picture, bundle: Path, tmp_path: Path) -> None:
    refused, missing = grade(picture, RefusingGrader(bundle, n_threads=1), tmp_path)
    row = refused["row"]
    assert (row["status"], row["error_code"]) == ("refused", "knee.implant")
    assert (row["side"], row["error"]) == ("right", "Metal. Leave it out.")
    assert picture.file_in(tmp_path, "right").is_file()
    assert len(refused["drawing"]["landmarks"]) == 16
    assert (missing["row"]["status"], missing["row"]["error_code"]) == ("failed", "knee.not-found")
    assert (missing["row"]["side"], missing["drawing"]) == ("left", None)
    assert [path.name for path in (tmp_path / PICTURES).iterdir()] == [
        picture.file_in(tmp_path, "right").name
    ]


def test_a_bug_is_that_pictures_row(
    picture: Picture, bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (line,) = grade(picture, BuggyGrader(bundle, n_threads=1), tmp_path)
    assert (line["row"]["status"], line["row"]["error_code"]) == ("failed", "internal.error")
    assert "ZeroDivisionError" in caplog.text
    assert "9000001" not in caplog.text


def test_a_picture_that_cannot_be_written(picture: Picture, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        grade(picture, KneeGrader(bundle, n_threads=1), tmp_path / "nowhere")
    assert caught.value.code == "output.not-writable"
    assert grade(picture, KneeGrader(bundle, n_threads=1), None)[0]["row"]["status"] == "ok"
