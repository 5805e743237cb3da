"""Paths -> sources: which files, and which members of archives, are to be read as radiographs."""

import errno
import glob
import os
import re
import stat
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from types import MappingProxyType
from typing import Final

from kneegrade.errors import ImageError
from kneegrade.images.archives import (
    ARCHIVE_SUFFIXES,
    MEMBER_MARK,
    is_archive,
    list_members,
    split_member,
)
from kneegrade.images.formats import (
    GIVE_A_PICTURE,
    HEAD_BYTES,
    PICTURE_SUFFIXES,
    is_directory,
    tell_format,
)
from kneegrade.images.read import MAX_FILE_BYTES

_OAI_NAME: Final = "001"
_SUFFIX: Final = re.compile(r"\.(?=[0-9]*[a-z])[a-z0-9]{1,8}")
_SUFFIXES_TOLD: Final = 6
_JOURNAL: Final = "journal.jsonl"
_RESULT: Final = re.compile(
    r"journal\.jsonl|report\.html|predictions\.(json|csv|parquet)|knees/knee-[0-9a-f]{16}\.png(\.part)?"
)
"""What ``kneegrade grade`` writes into its folder, beside the journal."""


@dataclass(frozen=True)
class FoundImages:
    """What a list of paths means.

    Parameters
    ----------
    sources : tuple of str
        Files, and members of archives as ``archive::member``, each once: in the order of the paths
        that were given, and sorted within what one of them means.
    passed_over : mapping
        How many files are not images, by suffix; "" stands for those without one.
    """

    sources: tuple[str, ...]
    passed_over: Mapping[str, int]

    @property
    def passed_over_line(self) -> str:
        """One line on what was skipped; empty where nothing was."""
        n_files = sum(self.passed_over.values())
        if not n_files:
            return ""
        named = sorted(
            (item for item in self.passed_over.items() if item[0]),
            key=lambda item: (-item[1], item[0]),
        )
        parts = [f"{n} {suffix}" for suffix, n in named[:_SUFFIXES_TOLD]]
        if rest := sum(n for _, n in named[_SUFFIXES_TOLD:]):
            parts.append(f"{rest} of other kinds")
        if n_plain := self.passed_over.get("", 0):
            parts.append(f"{n_plain} without a suffix")
        what = "1 file that is not an image"
        if n_files > 1:
            what = f"{n_files} files that are not images"
        return f"Skipped {what}: {', '.join(parts)}."


def find_images(paths: Sequence[str | Path]) -> FoundImages:
    """List the images that files, folders, archives and globs stand for.

    A file that is named stays, whether or not it exists or is an image: reading it shows. A folder
    is walked, and so is an archive (.zip, .tar, .tar.gz, .tgz), whether it is named or lies in a
    folder; links are followed. There the first bytes decide, whatever a file is called; one that is
    with the name of an image, or ``001`` as in OAI's release, stays for its name. Other files are
    counted, but for hidden ones and what kneegrade itself has written, which are left out. What
    cannot be judged (no permission, a damaged archive) stays: reading it shows why.

    Parameters
    ----------
    paths : sequence of str or Path
        ``~`` stands for the home folder; ``*``, ``?``, ``[...]`` and ``**`` are expanded.

    Raises
    ------
    ImageError
        ``input.nothing`` if nothing was found.
    """
    search = _Search()
    found: list[str] = []
    n_unmatched = 0
    for given in paths:
        path = Path(given).expanduser()
        matches = [path]
        if not os.path.lexists(path) and glob.has_magic(str(path)):
            matches = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
            n_unmatched += not matches
        meant = [source for match in matches or [path] for source in search.find(match)]
        found += sorted(_each_once(meant), key=lambda source: Path(source).parts)
    result = FoundImages(tuple(_each_once(found)), MappingProxyType(search.passed_over))
    if len(found) == n_unmatched:
        raise ImageError(
            "input.nothing",
            f"At least one radiograph was expected. Got none. {result.passed_over_line}".strip(),
            f"{GIVE_A_PICTURE} Folders and archives ({', '.join(ARCHIVE_SUFFIXES)}) are searched.",
        )
    return result


class _Search:
    """What was seen on the way through folders and archives."""

    def __init__(self) -> None:
        self.passed_over: Counter[str] = Counter()
        self._seen: set[str] = set()

    def find(self, path: Path) -> Iterator[str]:
        """Yield what one path means."""
        mode = _mode_of(path)
        if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and is_archive(path)):
            yield from self.walk(path)
        else:
            yield str(path)

    def walk(self, root: Path) -> Iterator[str]:
        """Yield the sources under a folder; what lies behind links comes last."""
        waiting = deque([root])
        while waiting:
            place = waiting.popleft()
            if (true_path := os.path.realpath(place)) in self._seen:
                continue
            self._seen.add(true_path)
            if not stat.S_ISDIR(_mode_of(place)):
                journal = _journal_beside(place)
                if not (journal and journal.is_relative_to(root) and _mode_of(Path(journal))):
                    yield from self._judge(place)
                continue
            try:
                with os.scandir(place) as entries:
                    inside = sorted(
                        (entry.name, entry.is_symlink())
                        for entry in entries
                        if not entry.name.startswith(".")
                    )
            except OSError:
                yield str(place)
                continue
            waiting.extend(place / name for name, is_link in inside if is_link)
            waiting.extendleft(place / name for name, is_link in reversed(inside) if not is_link)

    def _judge(self, path: Path) -> Iterator[str]:
        try:
            head = _read_head(path)
        except OSError:  # reading it will show why
            yield str(path)
            return
        if is_archive(path) and tell_format(head) is None:
            yield from self._walk_archive(path)
        elif _is_picture(path, head):
            yield str(path)
        else:
            self._pass_over(path)

    def _walk_archive(self, archive: Path) -> Iterator[str]:
        try:
            members = list_members(archive, n_bytes=HEAD_BYTES, max_bytes=MAX_FILE_BYTES)
        except ImageError:  # reading it will show why
            yield str(archive)
            return
        if not members:
            self._pass_over(archive)
        for name, head in members.items():
            path = PurePosixPath(name)
            if any(part.startswith(".") and part != ".." for part in path.parts):
                continue
            journal = _journal_beside(path)
            if journal and str(journal) in members:
                continue
            if head is None or _is_picture(path, head):
                yield f"{archive}{MEMBER_MARK}{name}"
            else:
                self._pass_over(path)

    def _pass_over(self, path: PurePath) -> None:
        suffix = path.suffix.lower()
        self.passed_over[suffix if _SUFFIX.fullmatch(suffix) else ""] += 1


def _is_picture(path: PurePath, head: bytes) -> bool:
    if is_directory(head):
        return False
    named = path.suffix.lower() in PICTURE_SUFFIXES or path.name == _OAI_NAME
    return named or tell_format(head) is not None


def _journal_beside(path: PurePath) -> PurePath | None:
    """Where the journal is if kneegrade wrote this file; None if its name is another."""
    for folder in (path.parent, path.parent.parent):
        if _RESULT.fullmatch(path.relative_to(folder).as_posix()):
            return folder / _JOURNAL
    return None


def _mode_of(path: Path) -> int:
    """What kind of file it is, behind links; 0 where there is none or it cannot be found out."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def _read_head(path: Path) -> bytes:
    """First bytes of a file; none of a pipe, a device or a link that leads nowhere or to itself."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP}:
            return b""
        raise


def _each_once(sources: Sequence[str]) -> Iterator[str]:
    """The first of all sources that lead to one file or member."""
    seen: set[tuple[str, str]] = set()
    for source in sources:
        packed = None if os.path.lexists(source) else split_member(source)
        path, member = packed or (Path(source), "")
        place = (os.path.realpath(path), member)
        if place not in seen:
            seen.add(place)
            yield source
