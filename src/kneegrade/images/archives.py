"""One picture out of an archive, read in memory: nothing is ever unpacked to disk."""

import gzip
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import IO, Final

from kneegrade.errors import ImageError
from kneegrade.images.checks import check_file_size

_MEMBER: Final = re.compile(
    r"(?P<archive>.+\.(?:zip|tar|tar\.gz|tgz))::(?P<member>.+)", re.IGNORECASE | re.DOTALL
)
_GZIP_START: Final = b"\x1f\x8b"
_ZIP_START: Final = b"PK\x03\x04"
_TAR_BLOCK: Final = 512
_UNREADABLE: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    RuntimeError,  # encrypted; an unknown compression; a .tar that nests long names without end
    OverflowError,
    ValueError,
)


def split_member(source: str) -> tuple[Path, str] | None:
    """Split ``archive::member`` where the archive is a .zip, .tar, .tar.gz or .tgz.

    Parameters
    ----------
    source : str

    Returns
    -------
    (Path, str) or None
        None if ``source`` names no picture inside an archive.
    """
    match = _MEMBER.fullmatch(source)
    return (Path(match["archive"]), match["member"]) if match else None


def read_member(archive: Path, member: str, *, max_bytes: int) -> bytes:
    """Read one file of an archive into memory.

    Parameters
    ----------
    archive : Path
        .zip, or a tar archive with or without gzip (told by content).
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
                return _read_zip(file, head, member, max_bytes)
            if not head.startswith(_GZIP_START):
                return _read_tar(file, member, max_bytes)
            data = _inflate(file, max_bytes)
        return _read_tar(BytesIO(data), member, max_bytes)
    except _UNREADABLE as error:
        raise ImageError(
            "image.unreadable",
            f"The archive cannot be read. Got a damaged one ({type(error).__name__}).",
            "Copy or download the archive again.",
        ) from error


def _read_zip(file: IO[bytes], head: bytes, member: str, max_bytes: int) -> bytes:
    if head == _ZIP_START and not zipfile.is_zipfile(file):
        raise _truncated("no list of members at its end")
    file.seek(0)
    with zipfile.ZipFile(file) as opened:
        if member not in opened.NameToInfo:
            member = member.replace("\\", "/")  # as a table written on Windows may have it
        try:
            info = opened.getinfo(member)
        except KeyError:
            raise _not_found("member of this name in the archive") from None
        check_file_size(info.file_size, max_bytes)
        with opened.open(info) as inside:
            data = inside.read(max_bytes + 1)
    check_file_size(len(data), max_bytes)
    return data


def _inflate(file: IO[bytes], max_bytes: int) -> bytes:
    """All of a gzip file, so that its checksum is proven too."""
    try:
        with gzip.open(file) as inflated:
            data = inflated.read(max_bytes + 1)
    except EOFError:
        raise _truncated("compressed data without an end") from None
    if len(data) > max_bytes:
        raise ImageError(
            "image.too-large",
            f"A packed radiograph has at most {max_bytes >> 20} MiB. Got an archive with more.",
            "Pack each radiograph in a .tar.gz of its own, or unpack the archive.",
        )
    return data


def _read_tar(file: IO[bytes], member: str, max_bytes: int) -> bytes:
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as opened:
        try:
            files = [info for info in opened if info.isreg()]
        except tarfile.ReadError:
            raise _truncated("a member without an end") from None
        wanted = member.removeprefix("./")
        names = [info.name.removeprefix("./") for info in files]
        if wanted not in names:
            wanted = wanted.replace("\\", "/").removeprefix("./")
        exact = [info for info, name in zip(files, names, strict=True) if name == wanted]
        ending = [
            info for info, name in zip(files, names, strict=True) if name.endswith(f"/{wanted}")
        ]
        if not exact and len(ending) != 1:
            if n_bytes % _TAR_BLOCK:
                raise _truncated("a part of a block")
            raise _not_found("member of this name in the archive")
        found = exact[-1] if exact else ending[0]  # a name written again replaces the first
        check_file_size(found.size, max_bytes)
        inside = opened.extractfile(found)
        data = inside.read() if inside is not None else b""
    if len(data) < found.size:
        raise _truncated(f"{len(data)} of {found.size} bytes")
    return data


def _not_found(what: str) -> ImageError:
    return ImageError("image.not-found", f"There is no {what}.", "Check the path.")


def _truncated(got: str) -> ImageError:
    return ImageError(
        "image.truncated",
        f"The archive ends before its last member does. Got {got}.",
        "Copy or download the archive again.",
    )
