"""One radiograph of a batch: its results, its drawings, its knees' ROIs on disk."""

from pathlib import Path
from typing import Any

import pytest
from made_films import draw_knee, write_picture
from tiny_bundle import write_tiny_bundle

from kneegrade.errors import KneeNotFoundError, OutputError
from kneegrade.images.read import read_file
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.prepare import PreparedKnee, RefusedKnee
from kneegrade.pipeline.grader import KneeGrader
from kneegrade.pipeline.request import ROIS, GradeRequest, answer
from kneegrade.pipeline.results import KneeRecord, Status
from kneegrade.types import RadiographFile, Side


class RefusingGrader(KneeGrader):
    """Refuses every knee that it finds, and says that the other one was not found."""

    def grade_file(self, file: RadiographFile, **options: Any) -> Any:
        (knee,) = super().grade_file(file, **options)
        implant = KneeNotFoundError("knee.implant", "Metal.", "Leave it out.")
        missing = KneeNotFoundError("knee.not-found", "Not there.", "Look.")
        found = PreparedKnee(read_file(file), knee.landmarks, knee.roi)
        return [RefusedKnee(knee.side, implant, found), RefusedKnee(knee.side.other, missing)]


class BuggyGrader(KneeGrader):
    """Has a bug that a radiograph brings out."""

    def grade_file(self, file: RadiographFile, **options: Any) -> Any:
        raise ZeroDivisionError("PatientID 9000001")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def request_(tmp_path: Path) -> GradeRequest:
    path = str(write_picture(tmp_path / "a.png", draw_knee()))
    (tmp_path / ROIS).mkdir()
    return GradeRequest(path, RadiographFile(path))


def ask(request: GradeRequest, grader: KneeGrader, folder: Path) -> list[KneeRecord]:
    return answer(request, grader, InputKind.AUTO, folder)


def test_a_refused_knee_keeps_its_roi(request_: GradeRequest, bundle: Path, tmp_path: Path) -> None:
    refused, missing = ask(request_, RefusingGrader(bundle, n_threads=1), tmp_path)
    result = refused.result
    assert (result.status, result.error_code) == (Status.REFUSED, "knee.implant")
    assert (result.side, result.error) == (Side.RIGHT, "Metal. Leave it out.")
    assert refused.drawing is not None
    assert len(refused.drawing.landmarks) == 16
    assert (missing.result.status, missing.result.error_code) == (Status.FAILED, "knee.not-found")
    assert (missing.result.side, missing.drawing) == (Side.LEFT, None)
    written = [path.name for path in (tmp_path / ROIS).iterdir()]
    assert written == [request_.roi_file(tmp_path, Side.RIGHT).name]


def test_a_bug_is_that_radiographs_row(
    request_: GradeRequest, bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (record,) = ask(request_, BuggyGrader(bundle, n_threads=1), tmp_path)
    assert (record.result.status, record.result.error_code) == (Status.FAILED, "internal.error")
    assert "ZeroDivisionError" in caplog.text
    assert "9000001" not in caplog.text


def test_an_roi_that_cannot_be_written(
    request_: GradeRequest, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(OutputError) as caught:
        ask(request_, KneeGrader(bundle, n_threads=1), tmp_path / "nowhere")
    assert caught.value.code == "output.not-writable"
    (record,) = ask(request_, KneeGrader(bundle, n_threads=1), tmp_path)
    assert record.result.status is Status.OK
