"""Work for worker processes, which cannot be given what a test defines within itself."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from kneegrade.errors import ImageError

Work = Callable[[str], object]


def run_here(
    start: Callable[[], Callable[[Any], Any]], items: Sequence[Any], **options: Any
) -> Iterator[tuple[int, Any]]:
    """Takes the place of ``run_on_workers`` where a test changes what the work calls."""
    if items:
        work = start()
        yield from enumerate(map(work, items))


class OddError(Exception):
    """Cannot be made again from what it was made of."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


class HeavyError(Exception):
    """Cannot be sent."""

    def __init__(self) -> None:
        super().__init__("too heavy")
        self.carried = lambda: None


def start(folder: Path | None = None) -> Work:
    """Work that does what its item says; ``folder`` gets a file for each start and each item."""
    _note(folder, "start")
    return partial(work, folder)


def work(folder: Path | None, item: str) -> object:
    _note(folder, item)
    what, _, value = item.partition(" ")
    if what == "exit":
        os._exit(int(value))
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "leave":
        raise SystemExit(value)
    elif what == "sleep":
        time.sleep(float(value))
    elif what == "raise":
        raise ImageError("image.empty", "No bytes.", "Copy it again.")
    elif what == "end-of-file":
        raise EOFError
    elif what == "odd":
        raise OddError("an", "error")
    elif what == "heavy":
        raise HeavyError
    elif what == "unsendable":
        return lambda: None
    elif what == "log":
        logging.getLogger("kneegrade.made").warning("%s was seen", value)
        logging.getLogger("pydicom").warning("PatientID %s", value)
        logging.getLogger("kneegrade.made").info("hidden")
    elif what == "threads":
        return cv2.getNumThreads(), os.environ["OMP_NUM_THREADS"]
    elif what == "large":
        return bytes(int(value))
    return item


def start_exits() -> Work:
    os._exit(7)


def start_hangs() -> Work:
    time.sleep(1000)
    return str


def start_raises() -> Work:
    raise ImportError("no such library")


def start_refuses() -> Work:
    raise ImageError("image.empty", "No bytes.", "Copy it again.")


def start_once(folder: Path) -> Work:
    """Only the first process of a folder starts; the others end."""
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        os._exit(7)
    return partial(work, None)


def _note(folder: Path | None, what: str) -> None:
    if folder is not None:
        with (folder / str(os.getpid())).open("a") as file:
            file.write(f"{what}\n")
