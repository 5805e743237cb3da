"""Any radiograph file -> `Radiograph`, and which files a list of paths means."""

import glob
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from kneegrade.errors import ImageError
from kneegrade.images.archives import read_member, split_member
from kneegrade.images.checks import check_file_size
from kneegrade.images.dicom import has_preamble, read_dicom
from kneegrade.images.dicom_header import SPACING_FLAGS
from kneegrade.images.raster import is_raster, read_raster
from kneegrade.types import Contrast, Radiograph, SpacingSource

MAX_FILE_BYTES: Final = 1 << 30
"""A file of 1 GiB and more is no radiograph: read no further."""
PICTURE_SUFFIXES: Final = frozenset(
    {".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
)
_HEAD_BYTES: Final = 132
_OAI_NAME: Final = "001"


def read_radiograph(
    source: str | Path,
    *,
    spacing_mm: float | tuple[float, float] | None = None,
    spacing_source: SpacingSource = SpacingSource.CALLER,
    contrast: Contrast = Contrast.UNKNOWN,
) -> Radiograph:
    """Read one radiograph: DICOM, PNG, JPEG, TIFF or WebP, told apart by content.

    Parameters
    ----------
    source : str or Path
        A file, or ``archive::member`` for a picture inside a .zip, .tar, .tar.gz or .tgz.
    spacing_mm : float or (row, col), optional
        Millimetres per pixel of the picture as a viewer shows it; goes before what the file says.
        One number is the height of a pixel: its shape is the file's, square where that tells none.
    spacing_source : SpacingSource
        Where ``spacing_mm`` comes from.
    contrast : Contrast
        Whether the picture's contrast was enhanced, as far as the caller knows.

    Raises
    ------
    ImageError
        With one of the ``image.`` codes of `kneegrade.errors.CODES`.
    """
    spacing = _check_spacing(spacing_mm)
    data = _read_bytes(str(source))
    if not data:
        raise ImageError(
            "image.empty",
            "The file must hold a picture. Got 0 bytes.",
            "Copy the file again.",
        )
    read = read_raster if is_raster(data) and not has_preamble(data) else read_dicom
    radiograph = read(data, contrast=contrast)
    return radiograph if spacing is None else _with_spacing(radiograph, spacing, spacing_source)


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """List the pictures that files, folders and globs mean.

    A file stays, whether or not it exists or is a picture: reading it tells. A folder is walked
    for `PICTURE_SUFFIXES` and, among files without a suffix (or with a number for one), those
    that are DICOM or called ``001``. Hidden files, DICOMDIR and folders behind links are skipped.

    Parameters
    ----------
    paths : sequence of str or Path
        ``~`` stands for the home folder; ``*``, ``?``, ``[...]`` and ``**`` are expanded.

    Returns
    -------
    list of Path
        Sorted, each file once.

    Raises
    ------
    ImageError
        ``input.nothing`` if nothing was found.
    """
    found: list[Path] = []
    unmatched: list[Path] = []
    for given in paths:
        path = Path(given).expanduser()
        if path.is_dir():
            found += _walk(path)
        elif path.exists() or not glob.has_magic(str(path)):
            found.append(path)
        elif matches := [Path(name) for name in glob.glob(str(path), recursive=True)]:  # noqa: PTH207
            for match in matches:
                found += _walk(match) if match.is_dir() else [match]
        else:
            unmatched.append(path)
    if not found:
        raise ImageError(
            "input.nothing",
            f"At least one picture was expected. Got {len(paths)} paths without any.",
            "Pictures end in .dcm, .png, .jpg, .tif or .webp, or are DICOM without a suffix.",
        )
    return sorted({path.absolute(): path for path in found + unmatched}.values())


def _walk(folder: Path) -> list[Path]:
    """Pictures under a folder; a folder that cannot be listed stands for itself."""
    found: list[Path] = []

    def keep(error: OSError) -> None:
        found.append(Path(error.filename))

    for parent, folders, names in os.walk(folder, onerror=keep):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = [Path(parent) / name for name in names if not name.startswith(".")]
        found.extend(filter(_looks_like_picture, files))
    return found


def _looks_like_picture(path: Path) -> bool:
    if path.stem.upper() == "DICOMDIR":
        return False
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES or path.name == _OAI_NAME:
        return True
    if (suffix and not suffix[1:].isdigit()) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return has_preamble(file.read(_HEAD_BYTES))
    except OSError:
        return True  # reading it will tell why


def _with_spacing(
    radiograph: Radiograph, spacing: tuple[float, ...], source: SpacingSource
) -> Radiograph:
    row = spacing[0]
    column = spacing[1] if len(spacing) == 2 else row / radiograph.pixel_aspect
    return replace(
        radiograph,
        spacing_mm=(row, column),
        spacing_source=source,
        flags=radiograph.flags - set(SPACING_FLAGS.values()),
    )


def _check_spacing(spacing_mm: float | tuple[float, float] | None) -> tuple[float, ...] | None:
    """The caller's numbers, one or two."""
    if spacing_mm is None:
        return None
    numbers = spacing_mm if isinstance(spacing_mm, tuple) else (spacing_mm,)
    if not all(math.isfinite(value) and value > 0 for value in numbers):
        raise ImageError(
            "image.spacing-invalid",
            f"The spacing must be a positive number of mm per pixel. Got {spacing_mm}.",
            "Give the size of one pixel in mm, for example 0.15.",
        )
    return tuple(map(float, numbers))


def _read_bytes(source: str) -> bytes:
    path = Path(source)
    try:
        if (packed := split_member(source)) is not None and not path.exists():
            return read_member(*packed, max_bytes=MAX_FILE_BYTES)
        if not path.exists():
            raise ImageError("image.not-found", "There is no file at this path.", "Check the path.")
        if not path.is_file():
            raise _unreadable("a folder or a device")
        check_file_size(path.stat().st_size, MAX_FILE_BYTES)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(type(error).__name__) from error


def _unreadable(what: str) -> ImageError:
    return ImageError(
        "image.unreadable",
        f"The file cannot be read as a picture. Got {what}.",
        "Give a DICOM, PNG, JPEG, TIFF or WebP file.",
    )
