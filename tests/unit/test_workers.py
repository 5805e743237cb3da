"""Supervised processes: an item that ends or hangs its process costs itself alone."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import made_work
import pytest

from kneegrade import workers
from kneegrade.errors import ImageError, WorkerError
from kneegrade.workers import run_on_workers


def run(
    *items: str,
    n_workers: int | None = 2,
    start: Callable[[], made_work.Work] = made_work.start,
    **options: float,
) -> dict[int, object]:
    """Results by index; of a failure, its code."""
    done: dict[int, object] = {}
    for index, result in run_on_workers(start, items, n_workers=n_workers, **options):
        assert index not in done
        done[index] = result.code if isinstance(result, WorkerError) else result
    return done


def noted(folder: Path) -> list[str]:
    return sorted(line for path in folder.iterdir() for line in path.read_text().splitlines())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_every_item_is_worked_on_once(tmp_path: Path, n_workers: int) -> None:
    items = [f"item {k}" for k in range(20)]
    done = run(*items, n_workers=n_workers, start=partial(made_work.start, tmp_path))
    assert [done[k] for k in range(20)] == items
    notes = noted(tmp_path)
    assert [note for note in notes if note != "start"] == sorted(items)
    assert 1 <= notes.count("start") <= n_workers


def test_all_cores_that_may_be_used(tmp_path: Path) -> None:
    n_cores = len(os.sched_getaffinity(0))
    items = ["sleep 1"] * n_cores
    assert len(run(*items, n_workers=None, start=partial(made_work.start, tmp_path))) == n_cores
    assert noted(tmp_path).count("start") == n_cores


def test_no_more_processes_than_items_and_none_for_nothing(tmp_path: Path) -> None:
    start = partial(made_work.start, tmp_path)
    assert run(start=start) == {}
    assert noted(tmp_path) == []
    assert run("a", n_workers=8, start=start) == {0: "a"}
    assert noted(tmp_path) == ["a", "start"]


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("deadly", ["exit 3", "exit 0", "kill", "leave 1"])
def test_an_item_that_ends_its_process(tmp_path: Path, deadly: str, n_workers: int) -> None:
    items = ["a", deadly, "b", deadly, "c", "d"]
    done = run(*items, n_workers=n_workers, start=partial(made_work.start, tmp_path))
    assert done == dict(enumerate(["a", "worker.died", "b", "worker.died", "c", "d"]))
    assert [note for note in noted(tmp_path) if note != "start"] == sorted(items)


def test_what_is_told_of_a_process_that_ended() -> None:
    ((_, killed),) = run_on_workers(made_work.start, ["kill"], n_workers=1)
    ((_, left),) = run_on_workers(made_work.start, ["exit 3"], n_workers=1)
    assert "exit code -9" in str(killed)
    assert "exit code 3" in str(left)


def test_an_item_that_takes_too_long(tmp_path: Path) -> None:
    items = ["a", "sleep 1000", "b", "sleep 1000", "c"]
    done = run(*items, start=partial(made_work.start, tmp_path), limit_s=1)
    assert done == dict(enumerate(["a", "worker.timeout", "b", "worker.timeout", "c"]))
    assert not any(is_alive(int(path.name)) for path in tmp_path.iterdir())


def test_the_limit_counts_no_start_and_no_pause_of_the_caller() -> None:
    results = run_on_workers(made_work.start, ["sleep 0.1"] * 3, n_workers=1, limit_s=0.8)
    for _, result in results:
        assert result == "sleep 0.1"
        time.sleep(1.5)


def test_an_error_of_the_work_ends_all_work(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        run("a", "raise", "sleep 1000", start=partial(made_work.start, tmp_path))
    assert caught.value.code == "image.empty"
    assert not any(is_alive(int(path.name)) for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("item", "error", "words"),
    [
        ("end-of-file", EOFError, None),
        ("odd", RuntimeError, "OddError: an error"),
        ("heavy", RuntimeError, "HeavyError: too heavy"),
        ("unsendable", Exception, "lambda"),
    ],
)
def test_any_error_comes_back(item: str, error: type[Exception], words: str | None) -> None:
    with pytest.raises(error, match=words):
        run(item)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (made_work.start_exits, "before they could begin[.]"),
        (made_work.start_raises, "begin .ImportError: no such library"),
    ],
)
def test_processes_that_cannot_start(start: Callable[[], made_work.Work], words: str) -> None:
    with pytest.raises(WorkerError, match=words) as caught:
        run("a", "b", start=start)
    assert caught.value.code == "worker.no-start"


def test_processes_that_hang_at_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_START_LIMIT_S", 0.5)
    with pytest.raises(WorkerError) as caught:
        run("a", start=made_work.start_hangs)
    assert caught.value.code == "worker.no-start"


def test_a_start_that_refuses_is_not_tried_again() -> None:
    with pytest.raises(ImageError):
        run("a", "b", start=made_work.start_refuses)


def test_work_goes_on_in_the_processes_that_did_start(tmp_path: Path) -> None:
    items = [f"sleep 0.2{k}" for k in range(9)]
    done = run(*items, n_workers=3, start=partial(made_work.start_once, tmp_path))
    assert [done[k] for k in range(9)] == items


def test_large_results_come_whole() -> None:
    done = run("large 3000000", "large 1", "large 5000000")
    assert [len(done[k]) for k in range(3)] == [3000000, 1, 5000000]  # type: ignore[arg-type]


def test_what_is_logged_is_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run("log film-1", "log film-2")
    told = {record.getMessage() for record in caplog.records if record.name == "kneegrade.made"}
    assert told == {"film-1 was seen", "film-2 was seen"}


def test_one_thread_each_and_this_process_as_it_was() -> None:
    before = {name: os.environ.get(name) for name in workers._THREADS}
    main = sys.modules["__main__"]
    assert run("threads") == {0: (1, "1")}
    assert {name: os.environ.get(name) for name in workers._THREADS} == before
    assert sys.modules["__main__"] is main


def test_leaving_early_ends_the_processes(tmp_path: Path) -> None:
    items = ["a", "sleep 1000", "b", *["sleep 1000"] * 5]
    results = run_on_workers(partial(made_work.start, tmp_path), items, n_workers=2)
    assert next(results) == (0, "a")
    results.close()
    assert not any(is_alive(int(path.name)) for path in tmp_path.iterdir())


# the parent


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
import made_work
from kneegrade.workers import run_on_workers
print("the script runs", flush=True)
start = partial(made_work.start, Path({folder!r}))
for _, result in run_on_workers(start, {items!r}, n_workers=2):
    print(result, flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs a script, without any guard, that works on items; noted in ``notes``."""
    (tmp_path / "notes").mkdir()
    started: list[subprocess.Popen[str]] = []

    def run_script(*items: str, stdin: bool = False) -> subprocess.Popen[str]:
        text = SCRIPT.format(folder=str(tmp_path / "notes"), items=items)
        (tmp_path / "script.py").write_text(text)
        path = os.pathsep.join(path for path in sys.path if path)
        process = subprocess.Popen(
            [sys.executable, "-" if stdin else tmp_path / "script.py"],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if stdin:
            process.stdin.write(text)
        started.append(process)
        return process

    yield run_script
    for process in started:
        process.kill()
        process.communicate()


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("stdin", [False, True])
def test_a_script_needs_no_guard(script: Callable[..., subprocess.Popen[str]], stdin: bool) -> None:
    out, err = script("a", "b", stdin=stdin).communicate()
    assert sorted(out.split("\n")) == ["", "a", "b", "the script runs"]
    assert err == ""


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGKILL, False), (signal.SIGINT, True)])
def test_the_processes_end_with_their_parent(
    script: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    number: signal.Signals,
    to_all: bool,
) -> None:
    parent = script("sleep 1000", "sleep 1000")
    notes = tmp_path / "notes"
    wait_for(lambda: noted(notes).count("sleep 1000") == 2)
    pids = [int(path.name) for path in notes.iterdir()]
    assert all(map(is_alive, pids))
    (os.killpg if to_all else os.kill)(parent.pid, number)
    wait_for(lambda: not any(map(is_alive, pids)))
    _, err = parent.communicate()
    assert err.count("Traceback") == to_all
