"""Whole files, broken at random: for tests of whatever reads one, and for `benchmarks`."""

from pathlib import Path

import numpy as np
import pydicom

_DEMO_FILMS = Path(__file__).parents[1] / "demo/films"
_SAMPLES = Path(pydicom.__file__).parent / "data/test_files"
_MAX_BYTES = 1_500_000
_LENGTHS = (0, 1, 2, 0x7F, 0xFF, 0xFFFE, 0xFFFF)
_SPOTS = (
    b"\xe0\x7f\x10\x00",
    b"\xfe\xff\x00\xe0",
    b"\xff\xd8\xff",
    b"\xff\x4f\xff\x51",
    b"\x28\x00",
)
"""Where a file is most easily broken: its pixels' element, items, codestreams, their header."""


def list_whole_files() -> list[Path]:
    """The DICOM files that ship with pydicom, and the demo films five times, as they are few."""
    samples = sorted(path for path in _SAMPLES.glob("*.dcm") if path.stat().st_size <= _MAX_BYTES)
    return samples + 5 * sorted(_DEMO_FILMS.iterdir())


def break_file(files: list[bytes], seed: int) -> bytes:
    """One of the files, broken in one to five places; the same seed breaks it in the same way."""
    rng = np.random.default_rng(seed)
    data = bytearray(files[rng.integers(len(files))])
    for _ in range(rng.integers(1, 6)):
        if not data:
            break
        at = _choose_place(data, rng)
        kind = rng.integers(8)
        if kind <= 1:  # bytes
            for place in range(at, min(at + int(rng.integers(1, 9)), len(data))):
                data[place] = rng.integers(256)
        elif kind == 2:  # a bit
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 3:  # what may be a length
            width = int(rng.choice([1, 2, 4]))
            value = int(rng.choice([*_LENGTHS, rng.integers(2**16)]))
            data[at : at + width] = (value % 256**width).to_bytes(width, "little")
        elif kind == 4:  # something missing, something too much
            del data[at : at + int(rng.integers(1, 33))]
        elif kind == 5:
            data[at:at] = rng.bytes(int(rng.integers(1, 33)))
        elif kind == 6 and rng.random() < 0.3:  # an end
            del data[at:]
        elif kind == 7 and rng.random() < 0.3:  # the rest of another file
            other = files[rng.integers(len(files))]
            data[at:] = other[int(rng.integers(len(other))) :] if other else b""
    return bytes(data)


def _choose_place(data: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, in the first kilobyte, or near one of the spots."""
    which = rng.integers(3)
    if which == 1:
        return int(rng.integers(min(1000, len(data))))
    if which == 2:
        spot = data.find(_SPOTS[rng.integers(len(_SPOTS))])
        if spot >= 0:
            return int(min(spot + rng.integers(48), len(data) - 1))
    return int(rng.integers(len(data)))
