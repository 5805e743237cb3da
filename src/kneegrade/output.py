"""Writing results: a file is whole or absent; a folder that cannot be written to is reported."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kneegrade.errors import OutputError

PART: Final = ".part"
"""What a file's name ends in while it is being written."""


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Report what goes wrong while something is written to a folder or a file.

    Raises
    ------
    OutputError
        ``output.not-writable`` for any OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            "output.not-writable",
            f"{str(place)!r} cannot be written to: {error.strerror or type(error).__name__}.",
            "Choose another --out, or free space.",
        ) from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or an interrupted run, finds all of it or none.

    Text is UTF-8 with line feeds. What a run that was killed left of a file is written over by the
    next one, so that nothing of it stays.
    """
    part = path.with_name(f"{path.name}{PART}")
    try:
        part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()
