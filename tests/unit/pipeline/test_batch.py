"""A batch of pictures: a row a knee, nothing lost, continued where it ended."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_films import FILM_MM, draw_knee, write_picture
from tiny_bundle import write_tiny_bundle

from kneegrade.bundles.manifest import read_bundle
from kneegrade.errors import KneeNotFoundError, OutputError
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.posing.pictures import read_png
from kneegrade.pipeline.batch import JOURNAL, BatchKnee, grade_batch, write_tables
from kneegrade.pipeline.request import GradeRequest
from kneegrade.pipeline.results import KneeKey, KneeResult
from kneegrade.types import Contrast, RadiographFile, Side, Task


class PowerCutError(Exception):
    """The machine went away."""


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


def requests_of(
    paths: Sequence[Path], side: Side | None = None, **known: Any
) -> list[GradeRequest]:
    return [GradeRequest(str(path), RadiographFile(str(path), **known), side) for path in paths]


def noted_in(folder: Path) -> list[str]:
    """Names of the pictures in a journal, in its order."""
    journal = folder / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)[1:] if journal.is_file() else []
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [Path(json.loads(line["identity"])[0]).name for line in whole]


def run(
    requests: Sequence[GradeRequest], bundle: Path, folder: Path, **options: Any
) -> tuple[list[KneeResult], list[str]]:
    """The batch's results and the names of the files that were graded for them."""
    try:
        n_before = len(noted_in(folder))
    except (ValueError, TypeError, OSError):  # a foreign journal
        n_before = 0
    stop_after = options.pop("stop_after", None)

    def stop(done: int, total: int) -> None:
        if done == stop_after:
            raise PowerCutError

    results: list[KneeResult] = []
    try:
        given = {"n_workers": 1, "on_progress": stop} | options
        results = [knee.result for knee in grade_batch(requests, bundle, folder, **given)]
    except PowerCutError:
        pass
    return results, noted_in(folder)[n_before:]


def test_one_row_per_picture_in_order(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    given = [paths[2], tmp_path / "gone.png", paths[0]]
    results, asked = run(
        requests_of(given), bundle, tmp_path / "out", on_progress=lambda *at: seen.append(at)
    )
    assert [result.source for result in results] == [str(path) for path in given]
    assert [result.status for result in results] == ["ok", "failed", "ok"]
    assert results[1].error_code == "image.not-found"
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert asked == ["c.png", "gone.png", "a.png"]


def test_it_continues_after_a_power_cut(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _, asked = run(requests_of(paths), bundle, out, stop_after=2)
    assert asked == ["a.png", "b.png"]
    results, asked = run(requests_of(paths), bundle, out)
    assert asked == ["c.png", "d.png"]
    whole, _ = run(requests_of(paths), bundle, tmp_path / "whole")
    assert results == whole
    assert run(requests_of(paths), bundle, out) == (whole, [])


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_cut_off_last_line_is_graded_again(
    paths: list[Path], bundle: Path, tmp_path: Path, cut: int
) -> None:
    out = tmp_path / "out"
    whole, _ = run(requests_of(paths), bundle, out)
    journal = out / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:-cut])
    results, asked = run(requests_of(paths), bundle, out)
    assert (results, asked) == (whole, ["d.png"])
    assert len([json.loads(line) for line in journal.read_bytes().splitlines()]) == 5


def test_a_journal_cut_off_in_its_first_line_begins_anew(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text('{"kneegr')
    results, asked = run(requests_of(paths[:1]), bundle, tmp_path / "out")
    assert (results[0].status, asked) == ("ok", ["a.png"])
    assert run(requests_of(paths[:1]), bundle, tmp_path / "out") == (results, [])


def test_failed_rows_are_tried_again(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    late = tmp_path / "in" / "late.png"
    run(requests_of([paths[0], late]), bundle, tmp_path / "out")
    paths[1].rename(late)
    results, asked = run(requests_of([paths[0], late]), bundle, tmp_path / "out")
    assert asked == ["late.png"]
    assert [result.status for result in results] == ["ok", "ok"]


def test_a_list_that_grew_keeps_its_rows(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(requests_of(paths[1:3]), bundle, out)
    results, asked = run(requests_of(paths), bundle, out)
    assert asked == ["a.png", "d.png"]
    assert [Path(result.source).stem for result in results] == list("abcd")


def test_another_picture_under_the_same_name_is_graded(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    before, _ = run(requests_of(paths), bundle, tmp_path / "out")
    write_picture(paths[1], draw_knee(kl=4))
    after, asked = run(requests_of(paths), bundle, tmp_path / "out")
    assert asked == ["b.png"]
    assert after[1].tasks[Task.KL] != before[1].tasks[Task.KL]
    os.utime(paths[0], ns=(0, 0))
    assert run(requests_of(paths), bundle, tmp_path / "out") == (after, ["a.png"])


@pytest.mark.parametrize(
    "changes", [{"side": Side.LEFT}, {"spacing_mm": 0.2}, {"contrast": Contrast.ENHANCED}]
)
def test_other_settings_of_a_picture_are_graded(
    paths: list[Path], bundle: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    before, _ = run(requests_of(paths[:1]), bundle, tmp_path / "out")
    after, asked = run(requests_of(paths[:1], **changes), bundle, tmp_path / "out")
    assert asked == ["a.png"]
    assert after != before


def test_another_bundle_or_input_is_refused(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(requests_of(paths[:1]), bundle, out)
    other = write_tiny_bundle(tmp_path / "other", version="0.2")
    with pytest.raises(OutputError) as caught:
        run(requests_of(paths[:1]), other, out)
    assert caught.value.code == "output.other-run"
    with pytest.raises(OutputError) as caught:
        run(requests_of(paths[:1]), bundle, out, kind=InputKind.FILM)
    assert caught.value.code == "output.other-run"


@pytest.mark.parametrize("text", ["hello\n", '{"a": 1}\n[]\n', "[]\n", "\xff\xfe\n"])
def test_a_foreign_journal_is_left_alone(
    paths: list[Path], bundle: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text(text, encoding="latin-1")
    with pytest.raises(OutputError) as caught:
        run(requests_of(paths), bundle, tmp_path / "out")
    assert caught.value.code == "output.other-run"
    assert (tmp_path / "out" / JOURNAL).read_text(encoding="latin-1") == text


@pytest.mark.parametrize("folder", ["file/out", "file", "/proc/kneegrade"])
def test_a_folder_that_cannot_be_written(
    paths: list[Path], bundle: Path, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        run(requests_of(paths), bundle, tmp_path / folder)
    assert caught.value.code == "output.not-writable"


def test_names_of_written_files_hold_no_source(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    key = KneeKey("oai", "9003380", 0, "1")
    requests = [GradeRequest("9003380L.png", RadiographFile(str(paths[0])), key=key)]
    run(requests, bundle, tmp_path / "out")
    written = [path.name for path in (tmp_path / "out").rglob("*")]
    assert len(written) == 3
    assert not any("9003380" in name for name in written)
    assert requests[0].roi_file(tmp_path / "out", Side.RIGHT).is_file()


def test_a_drawing_outlives_the_batch(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    def grade_again() -> BatchKnee:
        (knee,) = grade_batch(requests_of(paths[:1]), bundle, tmp_path / "out", n_workers=1)
        return knee

    first = grade_again()
    drawing = first.drawing
    assert drawing is not None
    assert (len(drawing.landmarks), len(drawing.margins)) == (16, 4)
    assert len(drawing.widths) == 2
    assert grade_again() == first
    pixels = read_png(first.request.roi_file(tmp_path / "out", Side.RIGHT))
    assert pixels is not None
    assert pixels.shape == (drawing.size_px,) * 2
    roi = first.read_roi(tmp_path / "out")
    assert roi is not None
    assert roi.startswith(b"\x89PNG")


def test_a_picture_with_one_failed_knee_is_tried_again(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    results, _ = run(requests_of(paths[:1]), bundle, out)
    head, line = map(json.loads, (out / JOURNAL).read_text().splitlines())
    error = KneeNotFoundError("knee.not-found", "Not there.", "Look.")
    missing = KneeResult.of_error(error, str(paths[0]), KneeKey(), Side.LEFT, "tiny").to_row()
    line["knees"].append({"row": missing, "drawing": None})
    (out / JOURNAL).write_text(f"{json.dumps(head)}\n{json.dumps(line)}\n")
    assert run(requests_of(paths[:1]), bundle, out) == (results, ["a.png"])
    assert run(requests_of(paths[:1]), bundle, out) == (results, [])


def test_a_picture_that_is_given_twice_is_graded_once(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    requests = requests_of([paths[0], paths[1], paths[0]])
    results, asked = run(requests, bundle, tmp_path / "out", n_workers=2)
    assert sorted(asked) == ["a.png", "b.png"]
    assert results[0] == results[2] != results[1]


def test_two_readings_of_one_picture_are_two_rows(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    requests = [
        GradeRequest(
            "a.png", RadiographFile(str(paths[0])), Side.RIGHT, KneeKey("own", "7", 12, reading)
        )
        for reading in ("one", "two")
    ]
    results, asked = run(requests, bundle, tmp_path / "out")
    assert len(asked) == 2
    assert [result.key.reading for result in results] == ["one", "two"]
    again, asked = run(requests, bundle, tmp_path / "out")
    assert (again, asked) == (results, [])


def test_tables_cannot_be_written(paths: list[Path], bundle: Path, tmp_path: Path) -> None:
    results, _ = run(requests_of(paths[:1]), bundle, tmp_path / "out")
    (tmp_path / "out" / "predictions.csv").mkdir()
    with pytest.raises(OutputError) as caught:
        write_tables(results, read_bundle(bundle), tmp_path / "out")
    assert caught.value.code == "output.not-writable"


# many processes


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a batch but the journal, whose lines are sorted."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    lines = found[JOURNAL].splitlines()
    return found | {JOURNAL: b"\n".join([lines[0], *sorted(lines[1:])])}


def test_any_number_of_processes_gives_the_same_bytes(
    paths: list[Path], bundle: Path, tmp_path: Path
) -> None:
    given = [*paths, tmp_path / "gone.png"]
    written = []
    for n_workers in (1, 2, 3):
        out = tmp_path / f"out-{n_workers}"
        results, _ = run(requests_of(given), bundle, out, n_workers=n_workers)
        write_tables(results, read_bundle(bundle), out)
        written.append(contents(out))
    assert len(written[0]) == 8
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, "worker.died"), (signal.SIGSTOP, "worker.timeout")]
)
def test_a_picture_whose_process_ends_or_hangs_costs_itself_alone(
    paths: list[Path], bundle: Path, tmp_path: Path, number: signal.Signals, code: str
) -> None:
    def send(done: int, total: int) -> None:
        if done == 1:  # the process works on the film
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid or 0, number)

    film = write_picture(tmp_path / "film.png", draw_knee(size_mm=FILM_MM))
    given = requests_of([paths[0], film, paths[1]])
    results, asked = run(given, bundle, tmp_path / "out", on_progress=send, limit_s=5)
    assert [result.status for result in results] == ["ok", "failed", "ok"]
    assert (results[1].error_code, results[1].bundle_id) == (code, results[0].bundle_id)
    assert asked == ["a.png", "film.png", "b.png"]
    again, asked = run(given, bundle, tmp_path / "out")
    assert ([result.status for result in again], asked) == (["ok"] * 3, ["film.png"])
    whole, _ = run(given, bundle, tmp_path / "whole")
    assert again == whole


def test_no_process_is_started_where_all_is_done(
    paths: list[Path], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, _ = run(requests_of(paths[:1]), bundle, tmp_path / "out")
    monkeypatch.setattr("kneegrade.workers._Worker", None)
    assert run(requests_of(paths[:1]), bundle, tmp_path / "out") == (results, [])


# kill -9


def start_command(paths: Path, bundle: Path, out: Path) -> subprocess.Popen[bytes]:
    code = "from kneegrade.apps.cli.main import main; main()"
    options = ["--bundle", bundle, "--out", out, "--workers", "2"]
    return subprocess.Popen(
        [sys.executable, "-c", code, "grade", paths, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def children_of(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def when_noted(n: int, out: Path, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Yields once, when the journal has ``n`` pictures or the process has ended."""
    deadline = time.monotonic() + 100
    while process.poll() is None and len(noted_in(out)) < n:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    yield


@pytest.mark.slow
def test_killed_at_any_time_and_run_again_it_gives_the_same_bytes(
    bundle: Path, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    for k in range(8):
        write_picture(films / f"{k}.png", draw_knee(kl=k % 5, seed=k))
    assert start_command(films, bundle, tmp_path / "whole").wait() == 0
    out = tmp_path / "out"
    for n_noted, delay_s in ((0, 0.5), (0, 1.5), (1, 0.0), (2, 0.03), (4, 0.01), (6, 0.07)):
        process = start_command(films, bundle, out)
        for _ in when_noted(n_noted, out, process):
            time.sleep(delay_s)
            workers = children_of(process.pid) if process.poll() is None else []
            process.kill()
            process.wait()
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    process = start_command(films, bundle, out)
    assert process.wait() == 0
    assert contents(out).keys() == contents(tmp_path / "whole").keys()
    for name, content in contents(tmp_path / "whole").items():
        assert name == "report.html" or contents(out)[name] == content
