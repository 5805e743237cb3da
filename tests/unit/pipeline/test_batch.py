"""A batch of pictures: a row a knee, nothing lost, continued where it ended."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from made_films import draw_knee, write_picture
from tiny_bundle import write_tiny_bundle

from kneegrade.errors import KneeNotFoundError, OutputError
from kneegrade.images.read import read_file
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.posing.pictures import read_png
from kneegrade.knees.prepared import PreparedKnee, RefusedKnee
from kneegrade.pipeline.batch import (
    JOURNAL,
    PICTURES,
    BatchKnee,
    Picture,
    grade_batch,
    write_tables,
)
from kneegrade.pipeline.grader import KneeGrader
from kneegrade.pipeline.results import KneeKey, KneeResult
from kneegrade.types import Contrast, RadiographFile, Side, Task


class PowerCutError(Exception):
    """The machine went away."""


class CountingGrader(KneeGrader):
    """Remembers what it was asked to grade, and fails for good after ``stop_after`` pictures."""

    def __init__(self, bundle: Path, stop_after: int | None = None) -> None:
        super().__init__(bundle, n_threads=1)
        self.asked: list[str] = []
        self.stop_after = stop_after

    def grade_file(self, file: RadiographFile, **options: Any) -> Any:
        if len(self.asked) == self.stop_after:
            raise PowerCutError
        self.asked.append(Path(file.path).name)
        return super().grade_file(file, **options)


class RefusingGrader(CountingGrader):
    """Refuses every knee that it finds, and says that the other one was not found."""

    def grade_file(self, file: RadiographFile, **options: Any) -> Any:
        (knee,) = super().grade_file(file, **options)
        implant = KneeNotFoundError("knee.implant", "Metal.", "Leave it out.")
        missing = KneeNotFoundError("knee.not-found", "Not there.", "Look.")
        found = PreparedKnee(read_file(file), knee.landmarks, knee.roi)
        return [
            RefusedKnee(knee.side, implant, found),
            RefusedKnee(knee.side.other, missing, None),
        ]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Four right knees."""
    return [
        write_picture(tmp_path / "in" / f"{name}.png", draw_knee(kl=kl, seed=kl))
        for kl, name in enumerate("abcd")
    ]


def pictures_of(paths: Sequence[Path], side: Side | None = None, **known: Any) -> list[Picture]:
    return [Picture(str(path), RadiographFile(str(path), **known), side) for path in paths]


def run(
    pictures: Sequence[Picture], bundle: Path, folder: Path, **options: Any
) -> tuple[list[KneeResult], list[str]]:
    """The batch's results and the names of the files that were graded for them."""
    grader = CountingGrader(bundle, options.pop("stop_after", None))
    try:
        knees = grade_batch(pictures, grader, folder, **options)
        return [knee.result for knee in knees], grader.asked
    except PowerCutError:
        return [], grader.asked


def test_one_row_per_picture_in_order(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    given = [paths[2], tmp_path / "gone.png", paths[0]]
    results, asked = run(
        pictures_of(given), bundle, tmp_path / "out", on_progress=lambda *at: seen.append(at)
    )
    assert [result.source for result in results] == [str(path) for path in given]
    assert [result.status for result in results] == ["ok", "failed", "ok"]
    assert results[1].error_code == "image.not-found"
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert asked == ["c.png", "gone.png", "a.png"]


def test_it_continues_after_a_power_cut(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _, asked = run(pictures_of(paths), bundle, out, stop_after=2)
    assert asked == ["a.png", "b.png"]
    results, asked = run(pictures_of(paths), bundle, out)
    assert asked == ["c.png", "d.png"]
    whole, _ = run(pictures_of(paths), bundle, tmp_path / "whole")
    assert results == whole
    assert run(pictures_of(paths), bundle, out) == (whole, [])


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_cut_off_last_line_is_graded_again(
    paths: list[Path], bundle: Path, tmp_path: Path, cut: int
) -> None:
    out = tmp_path / "out"
    whole, _ = run(pictures_of(paths), bundle, out)
    journal = out / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:-cut])
    results, asked = run(pictures_of(paths), bundle, out)
    assert (results, asked) == (whole, ["d.png"])
    assert len([json.loads(line) for line in journal.read_bytes().splitlines()]) == 5


def test_a_journal_cut_off_in_its_first_line_begins_anew(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text('{"kneegr')
    results, asked = run(pictures_of(paths[:1]), bundle, tmp_path / "out")
    assert (results[0].status, asked) == ("ok", ["a.png"])
    assert run(pictures_of(paths[:1]), bundle, tmp_path / "out") == (results, [])


def test_failed_rows_are_tried_again(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    late = tmp_path / "in" / "late.png"
    run(pictures_of([paths[0], late]), bundle, tmp_path / "out")
    paths[1].rename(late)
    results, asked = run(pictures_of([paths[0], late]), bundle, tmp_path / "out")
    assert asked == ["late.png"]
    assert [result.status for result in results] == ["ok", "ok"]


def test_a_list_that_grew_keeps_its_rows(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(pictures_of(paths[1:3]), bundle, out)
    results, asked = run(pictures_of(paths), bundle, out)
    assert asked == ["a.png", "d.png"]
    assert [Path(result.source).stem for result in results] == list("abcd")


def test_another_picture_under_the_same_name_is_graded(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    before, _ = run(pictures_of(paths), bundle, tmp_path / "out")
    write_picture(paths[1], draw_knee(kl=4))
    after, asked = run(pictures_of(paths), bundle, tmp_path / "out")
    assert asked == ["b.png"]
    assert after[1].tasks[Task.KL].expected != before[1].tasks[Task.KL].expected
    os.utime(paths[0], ns=(0, 0))
    assert run(pictures_of(paths), bundle, tmp_path / "out") == (after, ["a.png"])


@pytest.mark.parametrize(
    "changes", [{"side": Side.LEFT}, {"spacing_mm": 0.2}, {"contrast": Contrast.ENHANCED}]
)
def test_other_settings_of_a_picture_are_graded(
    paths: list[Path], bundle: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    before, _ = run(pictures_of(paths[:1]), bundle, tmp_path / "out")
    after, asked = run(pictures_of(paths[:1], **changes), bundle, tmp_path / "out")
    assert asked == ["a.png"]
    assert after != before


def test_another_bundle_or_input_is_refused(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(pictures_of(paths[:1]), bundle, out)
    other = write_tiny_bundle(tmp_path / "other", version="0.2")
    with pytest.raises(OutputError) as caught:
        run(pictures_of(paths[:1]), other, out)
    assert caught.value.code == "output.other-run"
    with pytest.raises(OutputError) as caught:
        run(pictures_of(paths[:1]), bundle, out, kind=InputKind.FILM)
    assert caught.value.code == "output.other-run"


@pytest.mark.parametrize("text", ["hello\n", '{"a": 1}\n[]\n', "[]\n", "\xff\xfe\n"])
def test_a_foreign_journal_is_left_alone(
    paths: list[Path], bundle: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text(text, encoding="latin-1")
    with pytest.raises(OutputError) as caught:
        run(pictures_of(paths), bundle, tmp_path / "out")
    assert caught.value.code == "output.other-run"
    assert (tmp_path / "out" / JOURNAL).read_text(encoding="latin-1") == text


@pytest.mark.parametrize("folder", ["file/out", "file", "/proc/kneegrade"])
def test_a_folder_that_cannot_be_written(
    paths: list[Path], bundle: Path, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        run(pictures_of(paths), bundle, tmp_path / folder)
    assert caught.value.code == "output.not-writable"


def test_names_of_written_files_hold_no_source(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    pictures = [
        Picture("9003380L.png", RadiographFile(str(paths[0])), key=KneeKey(subject_id="9003380"))
    ]
    run(pictures, bundle, tmp_path / "out")
    written = [path.name for path in (tmp_path / "out").rglob("*")]
    assert len(written) == 3
    assert not any("9003380" in name for name in written)
    assert pictures[0].file_in(tmp_path / "out", "right").is_file()


def test_a_drawing_outlives_the_batch(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    def grade_again() -> BatchKnee:
        grader = KneeGrader(bundle, n_threads=1)
        (knee,) = grade_batch(pictures_of(paths[:1]), grader, tmp_path / "out")
        return knee

    first = grade_again()
    assert first.drawing is not None
    assert (len(first.drawing.landmarks), len(first.drawing.margins)) == (16, 4)
    assert len(first.drawing.widths) == 2
    assert grade_again() == first
    pixels = read_png(first.file_in(tmp_path / "out"))
    assert pixels is not None
    assert pixels.shape == (first.drawing.size_px,) * 2


def test_a_refused_knee_keeps_its_picture(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    grader = RefusingGrader(bundle)
    refused, missing = grade_batch(pictures_of(paths[:1]), grader, out)
    assert (refused.result.status, refused.result.error_code) == ("refused", "knee.implant")
    assert (refused.result.side, refused.result.error) == ("right", "Metal. Leave it out.")
    assert refused.file_in(out).is_file()
    assert refused.drawing is not None
    assert (refused.drawing.margins, refused.drawing.widths) == ([], ())
    assert (missing.result.status, missing.result.error_code) == ("failed", "knee.not-found")
    assert (missing.result.side, missing.drawing) == ("left", None)
    assert not missing.file_in(out).exists()


def test_a_picture_with_one_failed_knee_is_tried_again(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    grade_batch(pictures_of(paths[:1]), RefusingGrader(bundle), tmp_path / "out")
    results, asked = run(pictures_of(paths[:1]), bundle, tmp_path / "out")
    assert asked == ["a.png"]
    assert [result.status for result in results] == ["ok"]
    assert run(pictures_of(paths[:1]), bundle, tmp_path / "out") == (results, [])


def test_pictures_are_kept_on_request_only(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    run(pictures_of(paths[:1]), bundle, tmp_path / "out", keep_pictures=False)
    assert list((tmp_path / "out" / PICTURES).iterdir()) == []


def test_two_readings_of_one_picture_are_two_rows(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    file = RadiographFile(str(paths[0]))
    pictures = [
        Picture("a.png", file, Side.RIGHT, key=KneeKey("own", "7", 12, reading))
        for reading in ("one", "two")
    ]
    results, asked = run(pictures, bundle, tmp_path / "out")
    assert len(asked) == 2
    assert [result.key.reading for result in results] == ["one", "two"]
    again, asked = run(pictures, bundle, tmp_path / "out")
    assert (again, asked) == (results, [])


def test_tables_cannot_be_written(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    results, _ = run(pictures_of(paths[:1]), bundle, tmp_path / "out")
    (tmp_path / "out" / "predictions.csv").mkdir()
    with pytest.raises(OutputError) as caught:
        write_tables(results, KneeGrader(bundle).bundle, tmp_path / "out")
    assert caught.value.code == "output.not-writable"
