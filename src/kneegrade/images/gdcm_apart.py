"""Lossless JPEG, decoded by GDCM in a process of its own.

GDCM, the only free decoder of it for 16 bits, ends its process on some damaged pictures. Here that
costs the picture, not the batch; a fresh process takes a fraction of a second.
"""

import json
import subprocess
import sys
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

_TIMEOUT_S: Final = 120
_OPTIONS: Final = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
)


def decode_apart(dataset: Dataset, syntax: UID) -> NDArray[Any]:
    """Decode the only frame of a dataset.

    Returns
    -------
    (rows, cols) or (rows, cols, 3) array
        Stored values; colours as red, green, blue.

    Raises
    ------
    RuntimeError
        If GDCM fails, ends, or takes longer than two minutes.
    """
    header: dict[str, Any] = {keyword: dataset[keyword].value for keyword in _OPTIONS}
    header["PlanarConfiguration"] = dataset.get("PlanarConfiguration", 0)
    request = json.dumps([str(syntax), header]).encode() + b"\n" + dataset.PixelData
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "kneegrade.images.gdcm_apart"],
            input=request,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except subprocess.SubprocessError:
        raise RuntimeError("GDCM could not decode the picture.") from None
    array: NDArray[Any] = np.load(BytesIO(done.stdout), allow_pickle=False)
    return array


def _answer() -> None:
    """Decode what standard input holds; write the array to standard output as .npy."""
    syntax, header = json.loads(sys.stdin.buffer.readline())
    dataset = Dataset()
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = sys.stdin.buffer.read()
    dataset["PixelData"].VR = "OB"
    array, _ = get_decoder(UID(syntax)).as_array(dataset, index=0, decoding_plugin="gdcm")
    np.save(sys.stdout.buffer, array, allow_pickle=False)


if __name__ == "__main__":
    _answer()
