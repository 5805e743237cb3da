"""The size that a compressed picture itself claims, read without decoding it.

A decoder allocates what the codestream asks for, whatever the DICOM header around it says.
"""

from typing import Final

_JPEG_START: Final = b"\xff\xd8"
_J2K_START: Final = b"\xff\x4f\xff\x51"
_JP2_SEARCH_BYTES: Final = 4096
_FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""SOF0 .. SOF15 of JPEG (without DHT, JPG, DAC, which lie between) and SOF55 of JPEG-LS."""
_LONE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def read_codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Read the size from a JPEG, JPEG-LS or JPEG 2000 codestream (ISO 10918, 14495, 15444).

    Returns
    -------
    (rows, cols) or None
        None where there is no such header.
    """
    if frame.startswith(_JPEG_START):
        return _jpeg_size(frame)
    start = frame.find(_J2K_START, 0, _JP2_SEARCH_BYTES)  # bare, or within a JP2 file
    if start < 0 or len(frame) < start + 24:
        return None
    # After the marker: length, capabilities, then the far and the near corner of the picture.
    far_column, far_row, near_column, near_row = (
        int.from_bytes(frame[at : at + 4]) for at in range(start + 8, start + 24, 4)
    )
    return far_row - near_row, far_column - near_column


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    at = len(_JPEG_START)
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _LONE_MARKERS:
            at += 2
        elif marker in _FRAME_MARKERS:
            return int.from_bytes(frame[at + 5 : at + 7]), int.from_bytes(frame[at + 7 : at + 9])
        else:
            at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None
