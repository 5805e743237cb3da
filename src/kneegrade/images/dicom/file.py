"""A DICOM file's bytes become its header and the place of its pixels (PS3.10, PS3.5 section 7).

Byte order, VR and deflation are told by the bytes themselves; what the file names them only decides
whether the header counts as repaired.
"""

import re
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom import uid
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.tag import BaseTag

from kneegrade.errors import ImageError
from kneegrade.images.dicom import refusals
from kneegrade.images.dicom.header import PYDICOM_ERRORS, read_value
from kneegrade.images.formats import has_preamble
from kneegrade.types import Flag

MAX_INFLATED_BYTES: Final = 1 << 30
PRIVATE_GE: Final = uid.UID("1.2.840.113619.5.2")
"""Implicit VR, little endian, but for pixels in big endian."""

_PIXELS: Final = 0x7FE00010
_RESUME_AT: Final = (
    (0x00181164, b"DS", None),  # ImagerPixelSpacing
    (0x00185101, b"CS", None),  # ViewPosition
    (0x00200062, b"CS", None),  # ImageLaterality
    (0x00280002, b"US", 2),  # SamplesPerPixel
    (_PIXELS, b"OW", None),
    (_PIXELS, b"OB", None),
)
"""Tag, VR and length (where it is always the same) of elements that are easily found again."""
_ITEM_END: Final = 0xFFFEE00D
_UNDEFINED: Final = 0xFFFFFFFF
_GROUPS_AT_START: Final = frozenset({b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08"})
_FIRST_TAGS: Final = (b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x08\0\x16\0")
"""SpecificCharacterSet, ImageType or SOPClassUID begins the dataset of a picture."""
_FIRST_GROUPS: Final = frozenset({0x04, 0x08, 0x10, 0x18, 0x20, 0x28})
_VR: Final = re.compile(rb"[A-Z]{2}")
_LONG_VRS: Final = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN", b"UT", b"SQ"})
_ENCODINGS: Final = {
    (False, True): uid.ImplicitVRLittleEndian,
    (True, True): uid.ExplicitVRLittleEndian,
    (True, False): uid.ExplicitVRBigEndian,
}
"""Transfer syntax by whether VRs are explicit and whether bytes are little endian."""


@dataclass(frozen=True)
class DicomFile:
    """A header, and where its pixels lie."""

    header: Dataset
    """All elements before the pixels."""
    syntax: uid.UID | None
    """Transfer syntax that the file names."""
    little_endian: bool
    """Byte order of the header."""
    body: bytes
    """The file, or its inflated part."""
    start: int
    """First byte of the pixels' value in ``body``."""
    length: int | None
    """Length that the element of the pixels claims; None for an undefined one."""
    vr: str
    """VR of the pixels: OB or OW."""


def open_dicom(data: bytes, flags: set[Flag]) -> DicomFile:
    """Read the header and find the pixels.

    Parameters
    ----------
    data : bytes
        The whole file; preamble, file meta information or both may be missing.
    flags : set of Flag
        Gets ``header-repaired`` where the file is not encoded as it says.

    Raises
    ------
    ImageError
        ``image.no-pixels``, ``.truncated``, ``.too-large`` or ``.unreadable``.
    """
    start = 132 if has_preamble(data) else 4 * data.startswith(b"DICM")
    if not start and data[:2] not in _GROUPS_AT_START:
        raise refusals.unreadable("no sign of a picture")
    file = BytesIO(data)
    file.seek(start)
    try:
        meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        named = read_value(meta, "TransferSyntaxUID", flags)
    except PYDICOM_ERRORS as error:
        raise refusals.unreadable(f"{type(error).__name__} from pydicom") from None
    syntax = None if named is None else uid.UID(str(named).strip())
    if start != 132 or syntax is None:
        flags.add(Flag.HEADER_REPAIRED)
    if (at := file.tell()) >= len(data):  # cut, or a length that is wrong
        found = [data.find(tag, start) for tag in _FIRST_TAGS]
        at = min((place for place in found if place >= 0), default=at)
    if at >= len(data):
        raise refusals.truncated("no header")
    body, at = _inflate(data, at, syntax, flags)
    group = body[at : at + 2]
    little_endian = (
        int.from_bytes(group, "little") in _FIRST_GROUPS
        or int.from_bytes(group) not in _FIRST_GROUPS
    )
    explicit = _VR.fullmatch(body[at + 4 : at + 6]) is not None
    _check_encoding(syntax, explicit, little_endian, flags)
    header, at = _read_header(body, at, explicit, little_endian, flags)
    vr, at, length = _read_pixel_element(body, at, explicit, little_endian)
    if at >= len(body) and length != 0:
        raise refusals.truncated("no byte of them")
    if length == 0 and at >= len(body) - 1:
        raise refusals.no_pixels()
    return DicomFile(
        header,
        syntax,
        little_endian,
        body,
        at,
        None if length == _UNDEFINED else length,
        "OB" if vr == b"OB" else "OW",
    )


def _inflate(data: bytes, at: int, syntax: uid.UID | None, flags: set[Flag]) -> tuple[bytes, int]:
    """Bytes of the dataset and its first one; inflated piece by piece where it is deflated."""
    named = syntax == uid.DeflatedExplicitVRLittleEndian
    plain = _starts_dataset(data[at : at + 2])
    if plain and not named:
        return data, at
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, pieces, n_bytes = data[at:], [], 0
    try:
        while rest and not inflater.eof:
            pieces.append(inflater.decompress(rest, 1 << 20))
            rest = inflater.unconsumed_tail
            n_bytes += len(pieces[-1])
            if n_bytes > MAX_INFLATED_BYTES:
                raise refusals.too_large_inflated(MAX_INFLATED_BYTES)
    except zlib.error:
        if named and not plain:
            raise refusals.unreadable("damaged deflated data") from None
        pieces = []
    inflated = b"".join(pieces)
    deflated = _starts_dataset(inflated[:2])
    if deflated != named:
        flags.add(Flag.HEADER_REPAIRED)
    return (inflated, 0) if deflated else (data, at)


def _starts_dataset(head: bytes) -> bool:
    return bool(_FIRST_GROUPS & {int.from_bytes(head, "little"), int.from_bytes(head)})


def _check_encoding(
    syntax: uid.UID | None, explicit: bool, little_endian: bool, flags: set[Flag]
) -> None:
    if syntax in {uid.ImplicitVRLittleEndian, PRIVATE_GE}:
        expected = uid.ImplicitVRLittleEndian
    elif syntax == uid.ExplicitVRBigEndian:
        expected = uid.ExplicitVRBigEndian
    else:
        expected = uid.ExplicitVRLittleEndian
    if _ENCODINGS.get((explicit, little_endian)) != expected:
        flags.add(Flag.HEADER_REPAIRED)


@dataclass(frozen=True)
class _Scan:
    """Elements up to the pixels, and where those begin; None if they were not met."""

    elements: dict[BaseTag, DataElement | RawDataElement]
    pixels: int | None
    refusal: ImageError
    """Why there is no picture, if the pixels were not met."""


def _read_header(
    body: bytes, at: int, explicit: bool, little_endian: bool, flags: set[Flag]
) -> tuple[Dataset, int]:
    """Elements before the pixels, and where the element of the pixels begins."""
    scan = _scan_elements(body, at, explicit, little_endian, flags)
    elements, pixels = scan.elements, scan.pixels
    # An element or sequence with a wrong length or without its end swallows what follows: go on at
    # the next element that is known again.
    for tag, vr, length in _RESUME_AT:
        if pixels is not None:
            break
        if tag in elements or (length is None and not explicit):
            continue
        mark = vr if explicit else struct.pack("<L" if little_endian else ">L", length)
        again = body.rfind(_tag_bytes(tag, little_endian) + mark, at)
        if again >= 0:
            rest = _scan_elements(body, again, explicit, little_endian, flags)
            elements, pixels = elements | rest.elements, rest.pixels
            flags.add(Flag.HEADER_REPAIRED)
    if pixels is None:
        if body.find(_tag_bytes(_PIXELS, little_endian), at, -1000) >= 0:
            raise refusals.unreadable("a header with broken lengths")
        raise scan.refusal
    header = Dataset(elements)
    header.set_original_encoding(not explicit, little_endian, "iso8859")
    return header, pixels


def _scan_elements(
    body: bytes, at: int, explicit: bool, little_endian: bool, flags: set[Flag]
) -> _Scan:
    pixels, item_end = (_tag_bytes(tag, little_endian) for tag in (_PIXELS, _ITEM_END))
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    file = BytesIO(body)
    file.seek(at)
    last_end = at
    try:
        while True:
            for element in data_element_generator(
                file, not explicit, little_endian, stop_when=lambda tag, vr, length: tag == _PIXELS
            ):
                if isinstance(element, RawDataElement) and element.length != _UNDEFINED:
                    last_end = element.value_tell + element.length
                if element.tag.group == 0xFFFE:  # an end of a sequence outside of any
                    flags.add(Flag.HEADER_REPAIRED)
                else:
                    elements[element.tag] = element
            at = file.tell()
            if body[at : at + 4] == pixels:
                return _Scan(elements, at, refusals.no_pixels())
            if body[at - 8 : at - 4] != item_end:
                break
            flags.add(Flag.HEADER_REPAIRED)  # an end of an item outside of any: go on
    except PYDICOM_ERRORS as error:
        if not isinstance(error, EOFError) and file.tell() < len(body):
            return _Scan(elements, None, refusals.unreadable(f"{type(error).__name__} in it"))
        last_end = len(body) + 1
    begun = 0 < len(body) - last_end < 8 and any(body[last_end:])
    if begun or last_end > len(body):
        return _Scan(elements, None, refusals.truncated("an end within an element"))
    if not elements:
        return _Scan(elements, None, refusals.unreadable("no elements"))
    return _Scan(elements, None, refusals.no_pixels())


def _tag_bytes(tag: int, little_endian: bool) -> bytes:
    return struct.pack("<HH" if little_endian else ">HH", tag >> 16, tag & 0xFFFF)


def _read_pixel_element(
    body: bytes, at: int, explicit: bool, little_endian: bool
) -> tuple[bytes, int, int]:
    """VR, first byte and length of the value (PS3.5 section 7.1)."""
    vr = body[at + 4 : at + 6]
    if explicit and vr in _LONG_VRS:
        width, at = 4, at + 8
    elif explicit and _VR.fullmatch(vr):
        width, at = 2, at + 6
    else:
        vr, width, at = b"OW", 4, at + 4
    length = int.from_bytes(body[at : at + width], "little" if little_endian else "big")
    return vr, at + width, length
