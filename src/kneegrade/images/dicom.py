"""The only reader of DICOM pixels.

Stored values go through the modality LUT, then the VOI LUT or window, then the inversion that the
header asks for (DICOM PS3.3 sections C.11.1 and C.11.2), so that bone is bright.
"""

import hashlib
import re
import warnings
import zlib
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from kneegrade.errors import ImageError
from kneegrade.images.checks import MAX_PIXELS, check_not_blank, check_size, grey_from_colour
from kneegrade.images.codestreams import read_codestream_size
from kneegrade.images.dicom_header import (
    PYDICOM_ERRORS,
    read_numbers,
    read_pixel_aspect,
    read_processing,
    read_side,
    read_source_id,
    read_spacing,
    read_value,
    read_view,
)
from kneegrade.images.dicom_tables import apply_table, apply_voi
from kneegrade.images.formats import GIVE_A_PICTURE, has_preamble
from kneegrade.images.gdcm_apart import decode_apart
from kneegrade.types import Contrast, Flag, FloatImage, Radiograph

NATIVE_SYNTAXES: Final = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
DECODING_PLUGINS: Final = MappingProxyType(
    {
        uid.RLELossless: "pydicom",  # pylibjpeg-rle ends the process on some damaged files
        uid.JPEGBaseline8Bit: "pillow",
        uid.JPEGExtended12Bit: "pillow",  # with 8 bits; nothing that we install reads 12
        uid.JPEGLossless: "gdcm",
        uid.JPEGLosslessSV1: "gdcm",
        uid.JPEGLSLossless: "pyjpegls",
        uid.JPEGLSNearLossless: "pyjpegls",
        uid.JPEG2000Lossless: "pylibjpeg",
        uid.JPEG2000: "pylibjpeg",
        uid.HTJ2KLossless: "pylibjpeg",
        uid.HTJ2KLosslessRPCL: "pylibjpeg",
        uid.HTJ2K: "pylibjpeg",
    }
)
"""pydicom's plugin for each compressed transfer syntax. Left to itself pydicom takes the first one
installed, and decoders of lossy JPEG differ by a grey level: a package more could move a grade."""

MAX_INFLATED_BYTES: Final = 1 << 30
_ONE_SAMPLE: Final = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_MAX_RLE_RATIO: Final = 64  # two bytes make at most 128
_GROUPS_AT_START: Final = frozenset({b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08"})
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
        dataset = _open_dataset(data)
        syntax = _read_syntax(dataset, flags)
        pixels = _read_pixels(dataset, syntax, flags)
        spacing_mm, spacing_source = read_spacing(dataset, flags)
        pixel_aspect = read_pixel_aspect(dataset, flags)
        view = read_view(dataset, flags)
        side = read_side(dataset, flags)
        source_id = read_source_id(dataset, flags)
        read_processing(dataset, syntax, flags)
        polarity_stated = _photometric(dataset) in {"MONOCHROME1", "MONOCHROME2"}
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


def _open_dataset(data: bytes) -> Dataset:
    named = has_preamble(data)
    if not named and data[:2] not in _GROUPS_AT_START:
        raise _unreadable("no sign of a picture")
    try:
        if named:
            _check_inflated(data)
        dataset = pydicom.dcmread(BytesIO(data), force=not named)
        sane = (
            named
            or "SOPClassUID" in dataset
            or {"Rows", "Columns", "PixelData"} <= set(dataset.dir())
        )
    except (EOFError, zlib.error):
        raise _truncated("an end within an element") from None
    except PYDICOM_ERRORS as error:
        raise _unreadable(f"{type(error).__name__} from pydicom") from None
    if not sane:
        raise _unreadable("no sign of a picture")
    if not read_value(dataset, "PixelData", set()):
        raise ImageError(
            "image.no-pixels",
            "The DICOM file must hold an image. Got one without pixel data.",
            "Give the image itself, not a report, a directory or a presentation state.",
        )
    return dataset


def _check_inflated(data: bytes) -> None:
    """Refuse a deflated file that would fill the memory, by inflating it piece by piece."""
    file = BytesIO(data)
    file.seek(132)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, n_bytes = data[file.tell() :], 0
    while rest and not inflater.eof:
        n_bytes += len(inflater.decompress(rest, 1 << 20))
        rest = inflater.unconsumed_tail
        if n_bytes > MAX_INFLATED_BYTES:
            raise ImageError(
                "image.too-large",
                f"A radiograph's file has at most {MAX_INFLATED_BYTES >> 20} MiB, inflated. "
                "Got more.",
                "Check the file.",
            )


def _read_syntax(dataset: Dataset, flags: set[Flag]) -> uid.UID:
    """Transfer syntax; where the file does not name it, the uncompressed one it was read by."""
    syntax = read_value(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID", flags)
    if syntax is not None:
        return uid.UID(str(syntax))
    flags.add(Flag.HEADER_REPAIRED)
    implicit, little_endian = dataset.original_encoding
    if not little_endian:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _read_pixels(dataset: Dataset, syntax: uid.UID, flags: set[Flag]) -> FloatImage:
    frames = read_numbers(dataset, "NumberOfFrames", flags)
    if frames and frames[0] > 1:
        raise ImageError(
            "image.multi-frame",
            f"A radiograph has one frame. Got {frames[0]:.0f}.",
            "Export the frame that shows the knee as an image of its own.",
        )
    rows, columns = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    check_size(rows, columns)
    samples, allocated = _integer(dataset, "SamplesPerPixel"), _integer(dataset, "BitsAllocated")
    stored = _integer(dataset, "BitsStored")
    if samples not in {1, 3} or allocated not in {1, 8, 16, 32} or not 1 <= stored <= allocated:
        raise _bad_header(f"{samples} samples of {stored} bits stored in {allocated}")
    photometric = _photometric(dataset)
    if samples == 1 and photometric not in _ONE_SAMPLE:
        raise _bad_header("one sample per pixel without a PhotometricInterpretation for it")
    if syntax in NATIVE_SYNTAXES:
        n_bits = rows * columns * samples * allocated
        if photometric == "YBR_FULL_422":
            n_bits = n_bits * 2 // 3
        _check_length(len(dataset.PixelData), (n_bits + 7) // 8)
    else:
        _check_compressed(dataset, syntax, rows * columns * samples * allocated // 8)
    try:
        array, high = _decode(dataset, syntax, stored)
    except PYDICOM_ERRORS as error:
        raise _unreadable(f"damaged pixels ({type(error).__name__})") from None
    if photometric == "PALETTE COLOR":
        try:
            array = apply_color_lut(array, dataset)
        except PYDICOM_ERRORS as error:
            raise _bad_header(f"a broken palette ({type(error).__name__})") from None
        high = float(np.iinfo(array.dtype).max)
    if array.ndim == 3:
        pixels = grey_from_colour(array[:, :, :3], high)
    else:
        pixels = _present(array.astype(np.float32), dataset, syntax, flags)
    if not np.isfinite(pixels).all():
        raise _bad_header("a rescale that leads out of the range of numbers")
    check_not_blank(pixels)
    return pixels


def _check_compressed(dataset: Dataset, syntax: uid.UID, n_bytes: int) -> None:
    """Refuse what no decoder reads, and codestreams that contradict the header or break off."""
    twelve_bit = syntax == uid.JPEGExtended12Bit and dataset.BitsStored != 8
    if syntax not in DECODING_PLUGINS or twelve_bit:
        name = "JPEG Extended with 12 bits" if twelve_bit else syntax.name
        raise ImageError(
            "image.no-decoder",
            f"The pixels must be compressed in a way that is read here. Got {name}.",
            "Save the image uncompressed first, for example with dcmdjpeg of DCMTK.",
        )
    if DECODING_PLUGINS[syntax] not in get_decoder(syntax).available_plugins:
        raise ImageError(
            "image.no-decoder",
            f"Reading {syntax.name} needs pydicom's plugin {DECODING_PLUGINS[syntax]}. "
            "Got none installed.",
            "Install kneegrade again with all of its dependencies.",
        )
    try:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    except PYDICOM_ERRORS as error:
        raise _truncated(f"no whole frame ({type(error).__name__})") from None
    if syntax == uid.RLELossless:
        _check_length(len(frame) * _MAX_RLE_RATIO, n_bytes)
        return
    size = read_codestream_size(frame)
    if size is None:
        raise _truncated("a compressed picture without a header")
    if size != (dataset.Rows, dataset.Columns):
        raise _bad_header(
            f"a compressed picture of {size[0]} x {size[1]} pixels under another size"
        )
    if b"\xff\xd9" not in frame[-16:]:  # the end marker of JPEG, JPEG-LS and JPEG 2000
        raise _truncated("a compressed picture without an end")


def _decode(dataset: Dataset, syntax: uid.UID, stored: int) -> tuple[NDArray[Any], float]:
    """Stored values, and the largest value that they can have."""
    high_bit = int(dataset.get("HighBit") or stored - 1)
    shift = high_bit + 1 - stored if syntax in NATIVE_SYNTAXES else 0
    if shift > 0:  # the values do not begin at bit 0: take all bits up to the highest, then move
        dataset.BitsStored = high_bit + 1
    plugin = DECODING_PLUGINS.get(syntax, "")
    array: NDArray[Any]
    if plugin == "gdcm":
        array = decode_apart(dataset, syntax)
    else:
        array, _ = get_decoder(syntax).as_array(dataset, index=0, decoding_plugin=plugin)
    if shift > 0:
        array = array >> shift
        dataset.BitsStored = stored
    return array, float(2**stored - 1)


def _present(values: FloatImage, dataset: Dataset, syntax: uid.UID, flags: set[Flag]) -> FloatImage:
    """Bring stored values to what a reader sees, bone bright."""
    little_endian = syntax != uid.ExplicitVRBigEndian
    modality = read_value(dataset, "ModalityLUTSequence", flags)
    if modality:
        try:
            values = apply_table(values, modality[0], little_endian)
        except PYDICOM_ERRORS as error:
            raise _bad_header(f"a broken modality LUT ({type(error).__name__})") from None
    else:
        slope = read_numbers(dataset, "RescaleSlope", flags) or (1.0,)
        intercept = read_numbers(dataset, "RescaleIntercept", flags) or (0.0,)
        with np.errstate(over="ignore", invalid="ignore"):
            values = values * np.float32(slope[0]) + np.float32(intercept[0])
    shown = apply_voi(values, dataset, little_endian, flags)
    inverted = _photometric(dataset) == "MONOCHROME1"
    shape = str(read_value(dataset, "PresentationLUTShape", flags) or "").strip().upper()
    if shape in {"IDENTITY", "INVERSE"} and (shape == "INVERSE") != inverted:
        flags.add(Flag.HEADER_REPAIRED)  # IDENTITY under MONOCHROME1: the latter is obeyed
        inverted = True
    return shown.max() + shown.min() - shown if inverted else shown


def _photometric(dataset: Dataset) -> str:
    return str(read_value(dataset, "PhotometricInterpretation", set()) or "").strip().upper()


def _integer(dataset: Dataset, keyword: str) -> int:
    numbers = read_numbers(dataset, keyword, set())
    if len(numbers) != 1 or not 0 < numbers[0] <= MAX_PIXELS:
        raise _bad_header(f"no single positive number for {keyword}")
    return int(numbers[0])


def _check_length(n_bytes: int, expected: int) -> None:
    if n_bytes < expected:
        raise _truncated(f"room for {n_bytes} of {expected} bytes")


def _truncated(what: str) -> ImageError:
    return ImageError(
        "image.truncated",
        f"The file ends before its pixels do. Got {what}.",
        "Copy or export the image again.",
    )


def _bad_header(what: str) -> ImageError:
    return ImageError(
        "image.bad-header",
        f"The DICOM header must describe one grey picture. Got {what}.",
        "Export the image again.",
    )


def _unreadable(what: str) -> ImageError:
    return ImageError(
        "image.unreadable",
        f"The file cannot be read as a DICOM image. Got {what}.",
        GIVE_A_PICTURE,
    )
