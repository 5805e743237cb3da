"""Pictures out of archives, read in memory: nothing is ever unpacked to disk."""

import gzip
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, Final, cast

from kneegrade.errors import ImageError
from kneegrade.images.checks import check_file_size

ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
MEMBER_MARK: Final = "::"
_MEMBER: Final = re.compile(
    rf"(?P<archive>.+(?:{'|'.join(map(re.escape, ARCHIVE_SUFFIXES))})){MEMBER_MARK}(?P<member>.+)",
    re.IGNORECASE | re.DOTALL,
)
_GZIP_START: Final = b"\x1f\x8b"
_ZIP_START: Final = b"PK\x03\x04"
_ZIP_ENCRYPTED: Final = 1
_TAR_BLOCK: Final = 512
_UNREADABLE: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    RuntimeError,  # a .tar that nests long names without end
    OverflowError,
    ValueError,
    LookupError,
    struct.error,
)


def is_archive(path: Path) -> bool:
    """Whether a file has the name of an archive: only such files are searched."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def split_member(source: str) -> tuple[Path, str] | None:
    """Split ``archive::member`` where the archive is a .zip, .tar, .tar.gz or .tgz.

    Parameters
    ----------
    source : str

    Returns
    -------
    (Path, str) or None
        None if ``source`` names no image inside an archive.
    """
    match = _MEMBER.fullmatch(source)
    return (Path(match["archive"]), match["member"]) if match else None


def list_members(archive: Path, *, n_bytes: int, max_bytes: int) -> dict[str, bytes | None]:
    """List the files of an archive with their first bytes; links and folders are none.

    Parameters
    ----------
    archive : Path
    n_bytes : int
        How many bytes of each.
    max_bytes : int
        As for `read_member`.

    Returns
    -------
    dict of str to bytes or None
        By the name that `read_member` takes; None where reading the member will fail.

    Raises
    ------
    ImageError
        As `read_member`, for the archive as a whole.
    """
    with _opened(archive, max_bytes) as opened:
        if isinstance(opened, tarfile.TarFile):
            files = _files_of_tar(opened)
            _check_tar_end(opened)
            return {name: _read_tar_member(opened, info, n_bytes) for name, info in files.items()}
        heads: dict[str, bytes | None] = {}
        for info in opened.infolist():
            if info.filename.endswith("/"):  # is_dir fails where there is no name
                continue
            _check_not_encrypted(info)
            try:
                with opened.open(info.filename) as inside:
                    heads[info.filename] = inside.read(n_bytes)
            except _UNREADABLE:
                heads[info.filename] = None
        return heads


def read_member(archive: Path, member: str, *, max_bytes: int) -> bytes:
    """Read one file of an archive into memory.

    Parameters
    ----------
    archive : Path
        .zip, or a tar archive with or without gzip (recognised by content).
    member : str
        In a tar archive also the end of a longer path, if no other member ends so: ``001`` finds
        ``./001``, as the release of OAI packs it. A backslash is read as ``/`` where no member has
        it.
    max_bytes : int
        Limit for the member; for a .tar.gz, which cannot be entered in the middle, for all that
        it holds.

    Raises
    ------
    ImageError
        ``image.not-found``, ``.empty``, ``.truncated``, ``.too-large`` or ``.unreadable``.
    """
    with _opened(archive, max_bytes) as opened:
        if isinstance(opened, tarfile.TarFile):
            return _read_tar(opened, member, max_bytes)
        return _read_zip(opened, member, max_bytes)


@contextmanager
def _opened(archive: Path, max_bytes: int) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    if not archive.is_file():
        raise _not_found("archive at this path")
    try:
        with archive.open("rb") as file:
            if not (head := file.read(len(_ZIP_START))):
                raise ImageError(
                    "image.empty", "An archive was expected. Got 0 bytes.", "Copy the file again."
                )
            file.seek(0)
            if archive.suffix.lower() == ".zip":
                if head == _ZIP_START and not zipfile.is_zipfile(file):
                    raise _truncated("no list of members at its end")
                file.seek(0)
                with zipfile.ZipFile(file) as opened_zip:
                    yield opened_zip
                return
            inside: IO[bytes] = file
            if head.startswith(_GZIP_START):
                state = os.fstat(file.fileno())
                inside = BytesIO(_inflate(archive, state.st_size, state.st_mtime_ns, max_bytes))
            with tarfile.open(fileobj=inside, mode="r:") as opened_tar:
                yield opened_tar
    except NotImplementedError:
        raise _unreadable(
            "a member packed in an unusual way", "Unpack it, or pack it in the usual way (deflate)."
        ) from None
    except _UNREADABLE as error:
        raise _unreadable(
            f"a damaged one ({type(error).__name__})", "Copy or download the archive again."
        ) from error


@lru_cache(maxsize=1)
def _inflate(archive: Path, n_bytes: int, changed_ns: int, max_bytes: int) -> bytes:
    """All of a gzip file, so that its checksum is proven too.

    The last one is kept, so that an archive of many films is inflated once; size and time of the
    last change tell whether it is still the same.
    """
    try:
        with gzip.open(archive) as inflated:
            data = inflated.read(max_bytes + 1)
    except EOFError:
        raise _truncated("compressed data without an end") from None
    if len(data) > max_bytes:
        raise ImageError(
            "image.too-large",
            f"A .tar.gz holds at most {max_bytes >> 20} MiB. Got one with more.",
            "Pack each radiograph in a .tar.gz of its own, pack a .zip, or unpack the archive.",
        )
    return data


def _read_zip(opened: zipfile.ZipFile, member: str, max_bytes: int) -> bytes:
    if member not in opened.NameToInfo:
        member = member.replace("\\", "/")  # as a table written on Windows may have it
    try:
        info = opened.getinfo(member)
    except KeyError:
        raise _not_found("member of this name in the archive") from None
    _check_not_encrypted(info)
    check_file_size(info.file_size, max_bytes)
    with opened.open(info) as inside:
        data = inside.read(max_bytes + 1)
    check_file_size(len(data), max_bytes)
    return data


def _check_not_encrypted(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ZIP_ENCRYPTED:
        raise _unreadable("one protected by a password", "Unpack it, and give the folder.")


def _read_tar(opened: tarfile.TarFile, member: str, max_bytes: int) -> bytes:
    files = _files_of_tar(opened)
    wanted = member.removeprefix("./")
    if wanted not in files:
        wanted = wanted.replace("\\", "/").removeprefix("./")
    names = [wanted] if wanted in files else [name for name in files if name.endswith(f"/{wanted}")]
    if len(names) != 1:
        _check_tar_end(opened)
        raise _not_found("member of this name in the archive")
    info = files[names[0]]
    check_file_size(info.size, max_bytes)
    data = _read_tar_member(opened, info, info.size)
    if len(data) < info.size:
        raise _truncated(f"{len(data)} of {info.size} bytes")
    return data


def _files_of_tar(opened: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """Files by name without ``./``; one that is written again replaces the first."""
    try:
        files = {info.name.removeprefix("./"): info for info in opened if info.isreg()}
    except tarfile.ReadError:
        raise _truncated("a member without an end") from None
    return files


def _check_tar_end(opened: tarfile.TarFile) -> None:
    """Refuse other than zeros, or nothing, behind the last member: tarfile stops in silence."""
    file = cast("IO[bytes]", opened.fileobj)
    file.seek(opened.offset)
    block = file.read(_TAR_BLOCK)
    if block.strip(b"\0"):
        if len(block) < _TAR_BLOCK:
            raise _truncated("part of a block")
        raise tarfile.ReadError


def _read_tar_member(opened: tarfile.TarFile, info: tarfile.TarInfo, n_bytes: int) -> bytes:
    inside = opened.extractfile(info)
    return inside.read(n_bytes) if inside is not None else b""


def _not_found(what: str) -> ImageError:
    return ImageError("image.not-found", f"There is no {what}.", "Check the path.")


def _truncated(got: str) -> ImageError:
    return ImageError(
        "image.truncated",
        f"The archive ends before its last member does. Got {got}.",
        "Copy or download the archive again.",
    )


def _unreadable(what: str, hint: str) -> ImageError:
    return ImageError("image.unreadable", f"The archive cannot be read. Got {what}.", hint)
