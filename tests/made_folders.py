"""Folders of a release laid out by hand."""

from pathlib import Path


def make(folder: Path, *paths: str) -> Path:
    """Empty files at these paths."""
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def write(folder: Path, path: str, *lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    """A text file of these lines."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((end.join(lines) + end).encode(encoding))
    return folder
