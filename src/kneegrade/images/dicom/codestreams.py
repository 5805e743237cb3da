"""What a compressed picture says of itself, read without decoding it.

The transfer syntax of a DICOM file may name another compression, and a decoder allocates what the
codestream asks for, whatever the DICOM header around it says.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_JPEG_START: Final = b"\xff\xd8\xff"
_J2K_START: Final = b"\xff\x4f\xff\x51"
_JP2_START: Final = b"\0\0\0\x0cjP  "
_JP2_SEARCH_BYTES: Final = 4096
_END: Final = b"\xff\xd9"
"""End marker of JPEG, JPEG-LS and JPEG 2000 alike."""
_JPEG_LS_FRAME: Final = 0xF7
_LOSSLESS_FRAMES: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0), _JPEG_LS_FRAME}) - {0xC4, 0xC8, 0xCC}
"""SOF0 .. SOF15 of JPEG (without DHT, JPG, DAC, which lie between) and SOF55 of JPEG-LS."""
_LONE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN: Final = 0xDA
_COD: Final = 0x52
_SOT: Final = 0x90


class Compression(StrEnum):
    """Families of codestreams, each with a decoder of its own."""

    JPEG = "jpeg"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"


@dataclass(frozen=True)
class Codestream:
    """The header of a codestream."""

    compression: Compression
    shape: tuple[int, int]
    """(rows, cols) in pixels."""
    n_samples: int
    """Samples per pixel: 1 for grey."""
    lossy: bool | None
    """None where the codestream does not tell, as JPEG 2000 with a reversible transform."""
    ended: bool
    """Whether the end marker is there."""


def read_codestream(frame: bytes) -> Codestream | None:
    """Read the header of JPEG (ISO 10918-1), JPEG-LS (14495-1) or JPEG 2000 (15444-1).

    Parameters
    ----------
    frame : bytes
        A codestream, or a JP2 file around one.

    Returns
    -------
    Codestream or None
        None where there is no such header.
    """
    if frame.startswith(_JPEG_START):
        return _read_jpeg(frame)
    if frame.startswith(_J2K_START):
        return _read_jpeg_2000(frame, 0)
    if frame.startswith(_JP2_START):
        at = frame.find(_J2K_START, 0, _JP2_SEARCH_BYTES)
        return _read_jpeg_2000(frame, at) if at >= 0 else None
    return None


def mend_end(frame: bytes, compression: Compression) -> bytes:
    """Put the end marker right behind the data, where it is missing or padding lies before it.

    Parameters
    ----------
    frame : bytes
        JPEG-LS, or JPEG 2000 without a JP2 file around it.
    compression : Compression

    Returns
    -------
    bytes
        A decoder still tells whether the data are complete: both kinds say how much there must be.
    """
    if compression is Compression.JPEG_LS:
        end = frame.rfind(_END)
        return frame[: end if end >= 0 else None].rstrip(b"\0\xff") + _END
    at = frame.find(bytes((0xFF, _SOT)))
    while at >= 0 and frame[at : at + 2] == bytes((0xFF, _SOT)):
        length = int.from_bytes(frame[at + 6 : at + 10])  # of the tile part
        if length == 0:  # to the end, wherever that is
            return frame.rstrip(b"\0") + _END
        at += length
    return frame[:at] + _END


def is_colour_transformed(frame: bytes) -> bool:
    """Tell whether a JPEG says, in Adobe's segment, that its colours are stored as differences."""
    at = frame.find(b"Adobe", 0, 1024)
    return at >= 0 and frame[at - 2 : at] == b"\0\x0e" and frame[at + 11 : at + 12] != b"\0"


def _read_jpeg(frame: bytes) -> Codestream | None:
    at, header = 2, 0
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _LONE_MARKERS:
            at += 2
        elif marker == _SCAN and header:
            return _describe_jpeg(frame, header, at)
        else:
            if marker in _FRAME_MARKERS:
                if header:  # hierarchical JPEG, or two pictures run together
                    return None
                header = at
            at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None


def _describe_jpeg(frame: bytes, header: int, scan: int) -> Codestream:
    """Put together what the headers of the frame and of its first scan say."""
    marker = frame[header + 1]
    if marker == _JPEG_LS_FRAME:
        near = scan + 5 + 2 * frame[scan + 4]
        compression, lossy = Compression.JPEG_LS, frame[near : near + 1] != b"\0"
    else:
        compression, lossy = Compression.JPEG, marker not in _LOSSLESS_FRAMES
    rows, columns = (int.from_bytes(frame[header + n : header + n + 2]) for n in (5, 7))
    ended = frame.find(_END, scan) >= 0
    return Codestream(compression, (rows, columns), frame[header + 9], lossy, ended)


def _read_jpeg_2000(frame: bytes, start: int) -> Codestream | None:
    if len(frame) < start + 42:
        return None
    # After SOC and SIZ: length, capabilities, the far and the near corner of the picture, then of
    # the tiles, then the number of components.
    far_column, far_row, near_column, near_row = (
        int.from_bytes(frame[at : at + 4]) for at in range(start + 8, start + 24, 4)
    )
    n_samples = int.from_bytes(frame[start + 40 : start + 42])
    at, lossy = start + 2, True
    while at + 14 <= len(frame) and frame[at] == 0xFF and frame[at + 1] != _SOT:
        if frame[at + 1] == _COD:
            lossy = frame[at + 13] == 0  # the irreversible wavelet
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return Codestream(
        Compression.JPEG_2000,
        (far_row - near_row, far_column - near_column),
        n_samples,
        True if lossy else None,
        frame.find(_END, start + 42) >= 0,
    )
