"""Codestreams decoded by imagecodecs in a process of its own.

Some damaged pictures end a decoder's process, hang it (CharLS) or fill the memory (OpenJPEG). Here
that costs the picture, not the batch; a fresh process takes 0.15 s.
"""

import os
import subprocess
import sys
from io import BytesIO
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from kneegrade.images.dicom.codestreams import (
    Codestream,
    Compression,
    is_colour_transformed,
    mend_end,
)

_START_S: Final = 2
_PIXELS_PER_S: Final = 1e6
"""Bound of the processor's time; the slowest decoder manages four times as many."""
_WALL_FACTOR: Final = 10
"""A busy machine must not cost a film its grades; the only bound where the system has none of
the processor's time."""
_START_BYTES: Final = 1 << 30
_BYTES_PER_SAMPLE: Final = 64
"""OpenJPEG takes about 40."""


def decode_apart(frame: bytes, codestream: Codestream, *, rgb: bool) -> NDArray[Any]:
    """Decode a codestream.

    Parameters
    ----------
    frame : bytes
    codestream : Codestream
        What `read_codestream` read from ``frame``.
    rgb : bool
        Whether the DICOM header says that colours are stored as red, green, blue. A JPEG that says
        nothing of it would be taken for luminance and colour differences.

    Returns
    -------
    (rows, cols) or (rows, cols, 3) array of integers
        Stored values; of JPEG with colours, red, green, blue.

    Raises
    ------
    RuntimeError
        If the decoder refuses the picture, ends, or takes too much time or memory.
    """
    n_pixels = codestream.shape[0] * codestream.shape[1]
    seconds = int(_START_S + n_pixels / _PIXELS_PER_S)
    n_bytes = _START_BYTES + _BYTES_PER_SAMPLE * n_pixels * codestream.n_samples
    is_rgb = rgb and codestream.n_samples == 3 and not is_colour_transformed(frame)
    colours = "RGB" if is_rgb else "as-told"
    request = f"{codestream.compression} {colours} {seconds} {n_bytes}\n".encode()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "kneegrade.images.dicom.decode_apart"],
            input=request + frame,
            capture_output=True,
            # A thread for each of many cores would take all of the memory that is allowed.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            timeout=_WALL_FACTOR * seconds,
            check=True,
        )
        array: NDArray[Any] = np.load(BytesIO(done.stdout), allow_pickle=False)
    except (subprocess.SubprocessError, ValueError, EOFError):
        raise RuntimeError("The decoder could not read the picture.") from None
    colour = () if codestream.n_samples == 1 else (codestream.n_samples,)
    if array.shape != (*codestream.shape, *colour) or array.dtype.kind not in "iu":
        raise RuntimeError("The decoder gave another picture than its header promised.")
    return array


def _limit(seconds: int, n_bytes: int) -> None:
    """Bound this process, where the system can, even if nobody is left to stop it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))


def _answer() -> None:
    """Decode what standard input holds; write the array to standard output as .npy."""
    compression, colours, seconds, n_bytes = sys.stdin.buffer.readline().decode().split()
    _limit(int(seconds), int(n_bytes))
    frame, kind = sys.stdin.buffer.read(), Compression(compression)
    try:
        array = _decode(frame, kind, colours)
    except RuntimeError:  # of imagecodecs
        if kind is Compression.JPEG:
            raise
        array = _decode(mend_end(frame, kind), kind, colours)
    np.save(sys.stdout.buffer, array, allow_pickle=False)


def _decode(frame: bytes, kind: Compression, colours: str) -> NDArray[Any]:
    array: NDArray[Any]
    if kind is Compression.JPEG:
        space = "RGB" if colours == "RGB" else None
        array = imagecodecs.jpeg8_decode(frame, colorspace=space, outcolorspace=space)
    elif kind is Compression.JPEG_LS:
        array = imagecodecs.jpegls_decode(frame)
    else:
        array = imagecodecs.jpeg2k_decode(frame)
    return array


if __name__ == "__main__":
    _answer()
