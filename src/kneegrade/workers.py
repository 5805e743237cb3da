"""Work on many items in supervised processes, as many as there are cores.

An item that ends its process, or takes too long, costs itself alone: the process is replaced, and
every other item is worked on, once. `concurrent.futures` gives everything up where one process
dies, and knows no limit of time; in the pools of other libraries all processes share one pipe and
its lock, which a process that is killed can leave locked.
"""

import logging
import logging.handlers
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum, auto
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from threading import Lock, Thread
from types import ModuleType
from typing import Any, Final, TypeVar

from kneegrade.errors import KneegradeError, WorkerError

LIMIT_S: Final = 300.0
"""Far more than any radiograph takes: the largest that is read needs half a minute."""
_START_LIMIT_S: Final = 300.0
_START_TRIES: Final = 3
_TICK_S: Final = 0.5
_END_S: Final = 5.0
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_on_workers(
    start: Callable[[], Callable[[Item], Result]],
    items: Sequence[Item],
    *,
    n_workers: int | None = None,
    limit_s: float = LIMIT_S,
) -> Generator[tuple[int, Result | WorkerError], None, None]:
    """Work on items in processes of their own, each with one item at a time and one thread.

    The processes end with this generator and with this process, however it ends; none is kept that
    has nothing to do. What they log is logged here. They never run the script that was started, so
    it needs no ``if __name__ == "__main__"``, and ``start`` can be nothing that it defines.

    Parameters
    ----------
    start : callable
        Called once in each process, to load what is needed; what it returns is given the items.
        It is pickled, as are items and results.
    items : sequence
    n_workers : int or None
        Processes, 1 or more, but never more than items; None takes all cores.
    limit_s : float
        Seconds that an item may take. The start of a process does not count.

    Yields
    ------
    (index, result)
        In the order in which they are done. A WorkerError, ``worker.died`` or ``worker.timeout``,
        is the result of an item that ended its process or took too long.

    Raises
    ------
    WorkerError
        ``worker.no-start`` if processes end, or hang, before they can work.
    Exception
        Whatever ``start`` or the work raises; it ends all work.
    """
    if n_workers is not None and n_workers < 1:
        raise ValueError(f"n_workers must be 1 or more. Got {n_workers}.")
    crew = _Crew(start, items, n_workers or _count_cores(), limit_s)
    try:
        while crew.has_work():
            crew.fill()
            yield from crew.hear()
    finally:
        crew.end()


class _News(Enum):
    """What there is to hear of a process."""

    READY = auto()
    DONE = auto()
    RAISED = auto()
    LOGGED = auto()
    NOTHING = auto()
    DIED = auto()
    LATE = auto()


class _Worker:
    """One process, the pipe to it, and the index of the item that it works on."""

    def __init__(self, start: Callable[[], Callable[[Any], Any]]) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        level = logging.getLogger("kneegrade").getEffectiveLevel()
        self._process = context.Process(target=_serve, args=(theirs, level), daemon=True)
        with _quiet_start():
            self._process.start()
        theirs.close()
        with suppress(BrokenPipeError):  # it is heard of
            self.pipe.send(start)
        self.index: int | None = None
        self._left_s = _START_LIMIT_S
        self._seen_s = time.monotonic()

    def give(self, todo: deque[int], items: Sequence[Any], limit_s: float) -> bool:
        """Hand over the next item; False if there is none, or the process is gone."""
        self.index = None
        if not todo:
            return False
        try:
            self.pipe.send(items[todo[0]])
        except OSError:
            return False
        self.index = todo.popleft()
        self._left_s = limit_s
        self._seen_s = time.monotonic()
        return True

    def hear(self) -> tuple[_News, Any]:
        """What there is to hear now, and what comes with it; log what it logged."""
        if not self.pipe.poll():
            return (_News.LATE if self._is_late() else _News.NOTHING), None
        try:
            news, value = self.pipe.recv()
        except (EOFError, OSError):
            return _News.DIED, None
        if news is not _News.LOGGED:
            return news, value
        log = logging.getLogger(value.name)
        if log.isEnabledFor(value.levelno):
            log.handle(value)
        return _News.NOTHING, None

    def _is_late(self) -> bool:
        """Whether its time is over. Time in which this process slept too is not counted."""
        now = time.monotonic()
        self._left_s -= min(now - self._seen_s, 2 * _TICK_S)
        self._seen_s = now
        return self._left_s < 0

    def end(self) -> int | None:
        """Exit code of the process, which is killed if it still lives."""
        self._process.kill()
        self._process.join(_END_S)
        self.pipe.close()
        return self._process.exitcode


class _Crew:
    """The processes, and the items that none of them has been given yet."""

    def __init__(
        self,
        start: Callable[[], Callable[[Any], Any]],
        items: Sequence[Any],
        n_workers: int,
        limit_s: float,
    ) -> None:
        self._start = start
        self._items = items
        self._n_workers = n_workers
        self._limit_s = limit_s
        self._todo = deque(range(len(items)))
        self._workers: list[_Worker] = []
        self._starts_left = _START_TRIES
        self._failure: Exception | None = None

    def has_work(self) -> bool:
        return bool(self._todo) or any(worker.index is not None for worker in self._workers)

    def fill(self) -> None:
        """Start as many processes as are missing, as long as they can be started."""
        n_starting = sum(worker.index is None for worker in self._workers)
        n_missing = min(self._n_workers - len(self._workers), len(self._todo) - n_starting)
        for _ in range(n_missing):
            if self._starts_left > 0:
                try:
                    self._workers.append(_Worker(self._start))
                except OSError as error:  # no process is to be had
                    self._start_failed(error)
        if not self._workers:
            raise _no_start(self._failure) from self._failure

    def hear(self) -> Iterator[tuple[int, Any]]:
        """Wait a moment; tell what was done, and hand out what is next."""
        wait([worker.pipe for worker in self._workers], _TICK_S)
        for worker in tuple(self._workers):
            news, value = worker.hear()
            if news is _News.NOTHING:
                continue
            index = worker.index
            if news is _News.RAISED and (index is not None or isinstance(value, KneegradeError)):
                raise value
            is_well = news in {_News.READY, _News.DONE}
            goes_on = is_well and worker.give(self._todo, self._items, self._limit_s)
            if not goes_on:
                exit_code = worker.end()
                self._workers.remove(worker)
            if index is None:
                if not goes_on and self._todo:
                    self._start_failed(value)
            elif is_well:
                self._starts_left = _START_TRIES
                yield index, value
            else:
                yield index, _failure_of(news, self._limit_s, exit_code)

    def end(self) -> None:
        for worker in self._workers:
            worker.end()

    def _start_failed(self, failure: Exception | None) -> None:
        self._starts_left -= 1
        self._failure = failure


def _count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _failure_of(news: _News, limit_s: float, exit_code: int | None) -> WorkerError:
    if news is _News.LATE:
        return WorkerError(
            "worker.timeout",
            f"The work took longer than {limit_s:g} s and was stopped.",
            "Check that the file can be read; the same command tries it again.",
        )
    return WorkerError(
        "worker.died",
        f"The process doing the work ended (exit code {exit_code}).",
        "If memory is short, use fewer --workers; the same command tries it again.",
    )


def _no_start(failure: Exception | None) -> WorkerError:
    why = "" if failure is None else f" ({type(failure).__name__}: {failure})"
    return WorkerError(
        "worker.no-start",
        f"The worker processes ended or hung before they could begin{why}.",
        "Free memory, or use fewer --workers; what is done is kept.",
    )


@contextmanager
def _quiet_start() -> Iterator[None]:
    """What a process that is started now gets from this one, and what it does not.

    One thread per library: many processes share the cores. No Ctrl-C: it is for this process. Not
    the script that was started, which would be run again.
    """
    main = sys.modules["__main__"]
    known = {name: os.environ.get(name) for name in _THREADS}
    mask = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # else it is started within, and lets Ctrl-C through
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in known.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _LogToParent(logging.handlers.QueueHandler):
    """Sends what is logged to the parent, where it is shown."""

    def __init__(self, send: Callable[[_News, Any], None]) -> None:
        super().__init__(SimpleQueue())
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send(_News.LOGGED, record)


def _serve(pipe: Connection, level: int) -> None:
    """Start, then work on what comes through the pipe, until the parent closes it or ends."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    lock = Lock()

    def send(news: _News, value: Any) -> None:
        with lock:
            pipe.send((news, value))

    logging.getLogger().setLevel(level)
    logging.getLogger().addHandler(_LogToParent(send))
    try:
        work = pipe.recv()()
        send(_News.READY, None)
        for item in _receive(pipe):
            send(_News.DONE, work(item))
    except Exception as error:  # noqa: BLE001 raised again where the results are asked for
        with suppress(OSError):  # the parent has ended
            send(_News.RAISED, _portable(error))


def _receive(pipe: Connection) -> Iterator[Any]:
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        yield item


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """The error, or where it cannot be sent what it says."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        sent: Exception = ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001 an error of any library
        return RuntimeError(f"{type(error).__name__}: {error}")
    return sent
