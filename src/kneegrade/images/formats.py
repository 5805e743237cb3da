"""The first bytes of a file -> which kind of image it is, whatever it is called."""

import struct
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR

FORMATS: Final = ("DICOM", "PNG", "JPEG", "TIFF", "WebP", "BMP")
"""What is read, by the names that a person knows. BigTIFF is a TIFF."""
RASTER_FORMATS: Final = FORMATS[1:]
GIVE_A_PICTURE: Final = f"Give a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file."
PICTURE_SUFFIXES: Final = frozenset(
    {".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"}
)
"""Names that announce an image: one that holds something else is an error, not another file."""
HEAD_BYTES: Final = 1024
"""This many of the first bytes answer everything that is asked here."""

_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_BMP_HEADER_SIZES: Final = frozenset({12, 40, 52, 56, 64, 108, 124})
_DIRECTORY: Final = b"\x02\0\x02\0UI\x14\x001.2.840.10008.1.3.10"
_FIRST_GROUPS: Final = frozenset({0x0002, 0x0008})
_LAST_NEXT_GROUP: Final = 0x0020
_MAX_FIRST_BYTES: Final = 1 << 10
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF


def tell_format(head: bytes) -> str | None:
    """Tell the kind of an image by its first bytes.

    Parameters
    ----------
    head : bytes
        `HEAD_BYTES` of them, or the whole file.

    Returns
    -------
    str or None
        One of `FORMATS`; None for anything else.
    """
    if has_preamble(head):
        return "DICOM"
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return "DICOM" if _starts_with_element(head) else None


def has_preamble(head: bytes) -> bool:
    """Recognise a DICOM file by its first 132 bytes (DICOM PS3.10 section 7.1)."""
    return head[128:132] == b"DICM"


def is_directory(head: bytes) -> bool:
    """Recognise a DICOMDIR, which lists the images of a medium and holds none (DICOM PS3.10)."""
    return has_preamble(head) and _DIRECTORY in head[:HEAD_BYTES]


def _starts_with_element(head: bytes) -> bool:
    """Recognise a DICOM data set without preamble by its first element (DICOM PS3.5 section 7.1).

    The element must be one of group 2 or 8 that the standard knows, with the value representation
    that it gives or, where that is implicit, a short and even length and a later element behind.
    """
    if len(head) < 16:
        return False
    for order in "<>":
        group, element = struct.unpack_from(f"{order}HH", head)
        tag = group << 16 | element
        if group not in _FIRST_GROUPS or not (element == 0 or dictionary_has_tag(tag)):
            continue
        known = "UL" if element == 0 else dictionary_VR(tag)
        if head[4:6] in {known.encode(), b"UN"}:
            return True
        (length,) = struct.unpack_from(f"{order}I", head, 4)
        if length == _UNDEFINED_LENGTH:
            return known == "SQ"
        if length % 2 or length > _MAX_FIRST_BYTES:
            continue
        if len(head) < 12 + length:
            return known == "SQ"
        next_group, next_element = struct.unpack_from(f"{order}HH", head, 8 + length)
        if tag < (next_group << 16 | next_element) and next_group <= _LAST_NEXT_GROUP:
            return True
    return False
