"""Any radiograph file -> `Radiograph`."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

from kneegrade.errors import ImageError
from kneegrade.images.archives import is_archive, list_members, read_member, split_member
from kneegrade.images.checks import check_file_size
from kneegrade.images.dicom.header import SPACING_FLAGS
from kneegrade.images.dicom.read import read_dicom
from kneegrade.images.formats import GIVE_A_PICTURE, HEAD_BYTES, RASTER_FORMATS, tell_format
from kneegrade.images.raster import read_raster
from kneegrade.types import Contrast, Radiograph, SpacingSource

MAX_FILE_BYTES: Final = 1 << 30
"""A file of 1 GiB and more is no radiograph: read no further."""


def read_radiograph(
    source: str | Path,
    *,
    spacing_mm: float | tuple[float, float] | None = None,
    spacing_source: SpacingSource = SpacingSource.CALLER,
    contrast: Contrast = Contrast.UNKNOWN,
) -> Radiograph:
    """Read one radiograph: DICOM, PNG, JPEG, TIFF, WebP or BMP, told apart by content.

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
    read = read_raster if tell_format(data) in RASTER_FORMATS else read_dicom
    radiograph = read(data, contrast=contrast)
    return radiograph if spacing is None else _with_spacing(radiograph, spacing, spacing_source)


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
        if is_archive(path):
            _check_no_archive(path)
        check_file_size(path.stat().st_size, MAX_FILE_BYTES)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(type(error).__name__) from error


def _check_no_archive(path: Path) -> None:
    """Refuse an archive with what is wrong with it, or because it is no single picture."""
    with path.open("rb") as file:
        if tell_format(file.read(HEAD_BYTES)) is not None:
            return
    list_members(path, n_bytes=0, max_bytes=MAX_FILE_BYTES)
    raise ImageError(
        "image.unreadable",
        "A single picture was expected. Got an archive.",
        "Name one of its pictures: archive.zip::member.",
    )


def _unreadable(what: str) -> ImageError:
    return ImageError(
        "image.unreadable",
        f"The file cannot be read as a picture. Got {what}.",
        GIVE_A_PICTURE,
    )
