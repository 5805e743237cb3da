"""The place of the pixels becomes stored values (PS3.5 sections 8 and A.4).

The frame is found by what lies there: a codestream, RLE segments, or plain values. The transfer
syntax that the file names only decides whether the header counts as repaired.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space

from kneegrade.images.dicom import refusals
from kneegrade.images.dicom.codestreams import Codestream, Compression, read_codestream
from kneegrade.images.dicom.decode_apart import decode_apart
from kneegrade.images.dicom.file import PRIVATE_GE, DicomFile
from kneegrade.images.dicom.header import PYDICOM_ERRORS
from kneegrade.types import Flag

NATIVE_SYNTAXES: Final = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
        PRIVATE_GE,
    }
)
ENCAPSULATED_NATIVE: Final = uid.UID("1.2.840.10008.1.2.1.98")
_COMPRESSIONS: Final = (
    ("1.2.840.10008.1.2.4.5", Compression.JPEG),
    ("1.2.840.10008.1.2.4.6", Compression.JPEG),
    ("1.2.840.10008.1.2.4.70", Compression.JPEG),
    ("1.2.840.10008.1.2.4.8", Compression.JPEG_LS),
    ("1.2.840.10008.1.2.4.90", Compression.JPEG_2000),
    ("1.2.840.10008.1.2.4.91", Compression.JPEG_2000),
    ("1.2.840.10008.1.2.4.20", Compression.JPEG_2000),
)
"""How the UIDs begin that name a compression (PS3.6 table A-1)."""
_LOSSLESS_SYNTAXES: Final = frozenset(
    {
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
        uid.HTJ2KLossless,
        uid.HTJ2KLosslessRPCL,
    }
)
_ITEM: Final = b"\xfe\xff\x00\xe0"
_ITEM_END: Final = b"\xfe\xff\x0d\xe0"
_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0"
_CODESTREAM_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
_CODESTREAM_END: Final = b"\xff\xd9"
_AFTER_PIXELS: Final = 0x7FE0
_RLE_HEADER_BYTES: Final = 64
_MAX_RLE_RATIO: Final = 64  # two bytes make at most 128


@dataclass(frozen=True)
class PixelLayout:
    """What the header says of the pixels (PS3.3 section C.7.6.3)."""

    rows: int
    columns: int
    n_samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: int

    @property
    def n_bytes(self) -> int:
        """Length of uncompressed pixels."""
        n_bits = self.rows * self.columns * self.n_samples * self.bits_allocated
        if self.photometric == "YBR_FULL_422":
            n_bits = n_bits * 2 // 3
        return (n_bits + 7) // 8


@dataclass(frozen=True)
class Frame:
    """The bytes of the picture, without what wraps them."""

    data: bytes
    codestream: Codestream | None
    """None of plain values and of RLE segments."""
    rle: bool
    whole: bool
    """Whether the file holds all that it announces."""


def find_frame(file: DicomFile, layout: PixelLayout, flags: set[Flag]) -> Frame:
    """Find the picture, by what lies where the pixels should.

    Raises
    ------
    ImageError
        ``image.no-pixels``, ``.truncated`` or ``.no-decoder``.
    """
    whole = file.length is None or file.start + file.length <= len(file.body)
    end = None if file.length is None else file.start + file.length
    value = file.body[file.start : end]
    named_native = file.syntax is None or file.syntax in NATIVE_SYNTAXES
    wrapped = value.startswith(_ITEM) and not (named_native and len(value) == layout.n_bytes)
    if wrapped:
        data, whole = _unwrap(value, flags)
        if named_native or file.length is not None:
            flags.add(Flag.HEADER_REPAIRED)
    else:
        data = value
    claims_none = file.length == 0 and len(file.body) - file.start >= layout.n_bytes
    if not data and not claims_none:
        raise refusals.no_pixels() if whole else refusals.truncated("no whole frame")
    codestream = read_codestream(data)
    if codestream is not None:
        if not wrapped:
            flags.add(Flag.HEADER_REPAIRED)
        _check_name(file.syntax, codestream, flags)
        return Frame(data, codestream, rle=False, whole=whole)
    is_native = len(data) in {layout.n_bytes, layout.n_bytes + 1}
    named_rle = file.syntax == uid.RLELossless
    if _is_rle(data) and (named_rle or (wrapped and not is_native)):
        if not named_rle:
            flags.add(Flag.HEADER_REPAIRED)
        return Frame(data, None, rle=True, whole=whole)
    if not is_native and (wrapped or not named_native):
        raise _refuse_unknown(file.syntax, whole)
    if not whole or not (named_native or (wrapped and file.syntax == ENCAPSULATED_NATIVE)):
        flags.add(Flag.HEADER_REPAIRED)
    return Frame(_native(file, data, layout, flags), None, rle=False, whole=whole)


def decode(file: DicomFile, frame: Frame, layout: PixelLayout, flags: set[Flag]) -> NDArray[Any]:
    """Decode a frame to stored values.

    Returns
    -------
    (rows, cols) or (rows, cols, 3) array of integers
        Colours as red, green, blue.

    Raises
    ------
    ImageError
        ``image.truncated``, ``.bad-header`` or ``.unreadable``.
    """
    if frame.codestream is not None:
        _check_codestream(frame.codestream, layout, flags)
    elif frame.rle and len(frame.data) * _MAX_RLE_RATIO < layout.n_bytes:
        raise refusals.truncated(f"{len(frame.data)} bytes for {layout.n_bytes}")
    try:
        if frame.codestream is not None:
            array = _decode_codestream(frame.data, frame.codestream, layout)
        else:
            array = _decode_plain(file, frame, layout)
    except PYDICOM_ERRORS as error:
        if not frame.whole or (frame.codestream is not None and not frame.codestream.ended):
            raise refusals.truncated("a part of the compressed picture") from None
        raise refusals.unreadable(f"damaged pixels ({type(error).__name__})") from None
    if array.ndim == 3 or layout.bits_allocated == 1:
        return array
    return _settle_bits(array, layout, plain=frame.codestream is None, flags=flags)


def _unwrap(value: bytes, flags: set[Flag]) -> tuple[bytes, bool]:
    """Fragments joined, and whether all are there (PS3.5 section A.4).

    The offset tables are not needed for a single frame, whatever they hold.
    """
    parts: list[bytes] = []
    at, ended, tidy = 0, False, True
    while not ended and at + 8 <= len(value):
        tag, length = value[at : at + 4], int.from_bytes(value[at + 4 : at + 8], "little")
        at += 8
        if tag == _ITEM:
            parts.append(value[at : at + length])
            at += length
        elif tag == _ITEM_END:
            tidy = False
        else:
            ended = True
            tidy = tidy and tag == _SEQUENCE_END
    if not (ended and tidy):
        flags.add(Flag.HEADER_REPAIRED)
    if len(parts) > 1 and not parts[0].startswith(_CODESTREAM_STARTS):
        parts = parts[1:]
    else:  # no offset table: it must be there, if only empty
        flags.add(Flag.HEADER_REPAIRED)
    joined = b"".join(parts)
    codestream = read_codestream(joined)
    if codestream is None or not codestream.ended:
        # An item whose length is wrong: what lies between the codestream's own ends.
        starts = [n for n in (value.find(mark) for mark in _CODESTREAM_STARTS) if n >= 0]
        stop = value.rfind(_CODESTREAM_END)
        if starts and stop > min(starts):
            between = value[min(starts) : stop + len(_CODESTREAM_END)]
            codestream = read_codestream(between)
            if codestream is not None and codestream.ended:
                flags.add(Flag.HEADER_REPAIRED)
                return between, at <= len(value)
    return joined, at <= len(value) and (ended or at == len(value))


def _is_rle(data: bytes) -> bool:
    """Tell by the number of segments and the offset of the first (PS3.5 section G.5)."""
    n_segments = int.from_bytes(data[:4], "little")
    return 1 <= n_segments <= 15 and int.from_bytes(data[4:8], "little") == _RLE_HEADER_BYTES


def _check_name(syntax: uid.UID | None, codestream: Codestream, flags: set[Flag]) -> None:
    named = [family for start, family in _COMPRESSIONS if (syntax or "").startswith(start)]
    if named != [codestream.compression] or (codestream.lossy and syntax in _LOSSLESS_SYNTAXES):
        flags.add(Flag.HEADER_REPAIRED)


def _refuse_unknown(syntax: uid.UID | None, whole: bool) -> Exception:
    known = syntax == uid.RLELossless or any(
        (syntax or "").startswith(start) for start, _ in _COMPRESSIONS
    )
    if not known:
        # An unknown UID's name is its text, which in a broken header may be anything.
        name = "" if syntax is None else syntax.name
        return refusals.no_decoder("an unknown one" if name in {"", syntax} else name)
    if not whole:
        return refusals.truncated("a compressed picture without a header")
    return refusals.unreadable("a compressed picture without a header")


def _native(file: DicomFile, data: bytes, layout: PixelLayout, flags: set[Flag]) -> bytes:
    """Plain values of the right length."""
    if len(data) > layout.n_bytes + 1:
        flags.add(Flag.HEADER_REPAIRED)
    elif len(data) < layout.n_bytes:
        end = file.start + len(data)
        group = int.from_bytes(file.body[end : end + 2], "little" if file.little_endian else "big")
        rest = file.body[file.start : file.start + layout.n_bytes]
        if group >= _AFTER_PIXELS or len(rest) < layout.n_bytes:
            raise refusals.truncated(f"room for {len(data)} of {layout.n_bytes} bytes")
        flags.add(Flag.HEADER_REPAIRED)  # the length is wrong: no element begins where it leads
        data = rest
    return data[: layout.n_bytes]


def _check_codestream(codestream: Codestream, layout: PixelLayout, flags: set[Flag]) -> None:
    """Refuse codestreams that contradict the header, before anything is allocated for them."""
    size = (layout.rows, layout.columns)
    if codestream.shape not in {size, size[::-1]}:
        rows, columns = codestream.shape
        raise refusals.bad_header(
            f"a compressed picture of {rows} x {columns} pixels under another size"
        )
    if codestream.n_samples not in {1, 3}:
        raise refusals.bad_header(f"a compressed picture of {codestream.n_samples} samples")
    if not codestream.ended and codestream.compression is Compression.JPEG:
        # Its decoder fills up what is missing; the others tell whether all is there.
        raise refusals.truncated("a compressed picture without an end")
    if not codestream.ended or codestream.shape != size or codestream.n_samples != layout.n_samples:
        flags.add(Flag.HEADER_REPAIRED)


def _decode_codestream(data: bytes, codestream: Codestream, layout: PixelLayout) -> NDArray[Any]:
    array = decode_apart(data, codestream, rgb=layout.photometric == "RGB")
    is_ybr = layout.photometric in {"YBR_FULL", "YBR_FULL_422"}
    if array.ndim == 3 and is_ybr and codestream.compression is not Compression.JPEG:
        array = convert_color_space(array, "YBR_FULL", "RGB")
    return array


def _decode_plain(file: DicomFile, frame: Frame, layout: PixelLayout) -> NDArray[Any]:
    """All bits of uncompressed values or of RLE segments."""
    big_endian = not file.little_endian or file.syntax == PRIVATE_GE
    syntax = uid.ExplicitVRBigEndian if big_endian else uid.ExplicitVRLittleEndian
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": layout.n_samples,
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_allocated,
        "pixel_representation": int(layout.signed),
        "pixel_keyword": "PixelData",
        "pixel_vr": file.vr,
    }
    if frame.rle:  # pydicom's own decoder
        array, _ = get_decoder(uid.RLELossless).as_array(
            encapsulate([frame.data]), index=0, decoding_plugin="pydicom", **options
        )
    else:
        array, _ = get_decoder(syntax).as_array(frame.data, index=0, **options)
    return array


def _settle_bits(
    array: NDArray[Any], layout: PixelLayout, *, plain: bool, flags: set[Flag]
) -> NDArray[Any]:
    """Take the stored bits of grey values, unless the picture itself lies in more.

    Bits above BitsStored are no part of the value (PS3.5 section 8.1.1), and old films keep
    overlays there. Some writers state too few bits: then the values wrap around where those are
    cut off, and the reading with fewer jumps is the right one.
    """
    bits = layout.bits_stored
    shift = layout.high_bit + 1 - bits if plain else 0
    bottom = -(2 ** (bits - 1)) if layout.signed else 0
    fits = bool(array.min() >= bottom and array.max() < bottom + 2**bits)
    if shift <= 0 and fits:
        return array
    values: NDArray[np.int64] = array.astype(np.int64)
    if shift > 0:
        low, top = values & (2**shift - 1), values.max()
        if low.any() and 0 <= top < 2**bits:  # they begin at bit 0, whatever HighBit says
            flags.add(Flag.HEADER_REPAIRED)
        else:
            values >>= shift
    stored: NDArray[np.int64] = values & (2**bits - 1)
    if layout.signed:
        stored = (stored ^ -bottom) + bottom
    if _count_jumps(stored, bits) <= _count_jumps(values, bits):
        return stored
    flags.add(Flag.HEADER_REPAIRED)
    return values


def _count_jumps(values: NDArray[Any], bits: int) -> int:
    """Neighbours in a row that differ by half of the range or more."""
    return int((np.abs(np.diff(values, axis=1)) >= 2 ** (bits - 1)).sum())
