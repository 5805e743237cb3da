"""The only reader of DICOM pixels.

A file becomes its header and the place of its pixels (`file`), these become stored values
(`frame`), and stored values what a reader sees (`presentation`).
"""

import hashlib
import re
import warnings
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from kneegrade.arrays import FloatImage
from kneegrade.errors import ImageError
from kneegrade.images.checks import MAX_PIXELS, check_not_blank, check_size, grey_from_colour
from kneegrade.images.dicom.codestreams import Codestream
from kneegrade.images.dicom.file import DicomFile, open_dicom
from kneegrade.images.dicom.frame import PixelLayout, decode, find_frame
from kneegrade.images.dicom.header import (
    PYDICOM_ERRORS,
    read_numbers,
    read_pixel_aspect,
    read_processing,
    read_side,
    read_source_id,
    read_spacing,
    read_synthetic,
    read_value,
    read_view,
)
from kneegrade.images.dicom.presentation import present
from kneegrade.images.dicom.refusals import bad_header
from kneegrade.types import Contrast, Flag, Radiograph

_ONE_SAMPLE: Final = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_CHARACTER_SET: Final = re.compile("character set|encoding|code extension", re.IGNORECASE)


def read_dicom(data: bytes, *, contrast: Contrast) -> Radiograph:
    """Read a DICOM file.

    Parameters
    ----------
    data : bytes
        The whole file.
    contrast : Contrast

    Raises
    ------
    ImageError
        ``image.no-pixels``, ``.multi-frame``, ``.colour``, ``.too-small``, ``.too-large``,
        ``.truncated``, ``.no-decoder``, ``.bad-header``, ``.blank`` or ``.unreadable``.
    """
    flags: set[Flag] = set()
    # Warnings become flags; their text may hold what the header says of a patient.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        file = open_dicom(data, flags)
        header = file.header
        pixels, codestream = _read_pixels(file, flags)
        spacing_mm, spacing_source = read_spacing(header, flags)
        pixel_aspect = read_pixel_aspect(header, spacing_mm, flags)
        view = read_view(header, flags)
        side = read_side(header, flags)
        source_id = read_source_id(header, flags)
        read_processing(header, file.syntax, codestream, flags)
        read_synthetic(header, flags)
        polarity_stated = _photometric(header) in {"MONOCHROME1", "MONOCHROME2"}
    for warning in caught:
        is_character_set = _CHARACTER_SET.search(str(warning.message))
        flags.add(Flag.CHARACTER_SET_REPAIRED if is_character_set else Flag.HEADER_REPAIRED)
    return Radiograph(
        pixels=pixels,
        source_id=source_id or hashlib.sha256(data).hexdigest(),
        spacing_mm=spacing_mm,
        spacing_source=spacing_source,
        pixel_aspect=pixel_aspect,
        view=view,
        side=side,
        polarity_stated=polarity_stated,
        contrast=contrast,
        flags=frozenset(flags),
    )


def _read_pixels(file: DicomFile, flags: set[Flag]) -> tuple[FloatImage, Codestream | None]:
    header = file.header
    layout = _read_layout(header, flags)
    frame = find_frame(file, layout, flags)
    array = decode(file, frame, layout, flags)
    high = float(max(2**layout.bits_stored - 1, array.max()))
    if layout.photometric == "PALETTE COLOR":
        try:
            array = apply_color_lut(array, header)
        except PYDICOM_ERRORS as error:
            raise bad_header(f"a broken palette ({type(error).__name__})") from None
        high = float(np.iinfo(array.dtype).max)
    if array.ndim == 3:
        pixels = grey_from_colour(array[:, :, :3], high)
    else:
        pixels = present(array, header, file.little_endian, high, flags)
    if not np.isfinite(pixels).all():
        raise bad_header("a rescale that leads out of the range of numbers")
    check_not_blank(pixels)
    return pixels, frame.codestream


def _read_layout(header: Dataset, flags: set[Flag]) -> PixelLayout:
    frames = read_numbers(header, "NumberOfFrames", flags)
    if frames and frames[0] > 1:
        raise ImageError(
            "image.multi-frame",
            f"A radiograph has one frame. Got {frames[0]:.0f}.",
            "Export the frame that shows the knee as an image of its own.",
        )
    rows, columns = _positive(header, "Rows"), _positive(header, "Columns")
    check_size(rows, columns)
    allocated = _positive(header, "BitsAllocated")
    samples = _integer(header, "SamplesPerPixel", 1, flags)
    stored = _integer(header, "BitsStored", allocated, flags)
    if samples not in {1, 3} or allocated not in {1, 8, 16, 32} or not 1 <= stored <= allocated:
        raise bad_header(f"{samples} samples of {stored} bits stored in {allocated}")
    photometric = _photometric(header)
    if samples == 1 and photometric not in _ONE_SAMPLE:
        raise bad_header("one sample per pixel without a PhotometricInterpretation for it")
    high_bit = _integer(header, "HighBit", stored - 1, flags)
    return PixelLayout(
        rows=rows,
        columns=columns,
        n_samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit if high_bit < allocated else stored - 1,
        signed=_integer(header, "PixelRepresentation", 0, flags) == 1,
        photometric=photometric,
        planar=_integer(header, "PlanarConfiguration", 0, flags) if samples == 3 else 0,
    )


def _photometric(header: Dataset) -> str:
    return str(read_value(header, "PhotometricInterpretation", set()) or "").strip().upper()


def _positive(header: Dataset, keyword: str) -> int:
    numbers = read_numbers(header, keyword, set())
    if len(numbers) != 1 or not 0 < numbers[0] <= MAX_PIXELS:
        raise bad_header(f"no single positive number for {keyword}")
    return int(numbers[0])


def _integer(header: Dataset, keyword: str, default: int, flags: set[Flag]) -> int:
    """A number that can be told without the header; where it is missing, that is flagged."""
    numbers = read_numbers(header, keyword, flags)
    if len(numbers) == 1 and 0 <= numbers[0] <= MAX_PIXELS:
        return int(numbers[0])
    flags.add(Flag.HEADER_REPAIRED)
    return default
