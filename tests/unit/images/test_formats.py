import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from kneegrade.images.formats import (
    FORMATS,
    GIVE_A_PICTURE,
    HEAD_BYTES,
    RASTER_FORMATS,
    is_directory,
    tell_format,
)

SAMPLES = Path(pydicom.__file__).parent / "data/test_files"
RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)


@pytest.mark.parametrize("name", RASTER_FORMATS)
def test_pictures(name: str) -> None:
    file = BytesIO()
    Image.fromarray(RAMP).save(file, name)
    assert tell_format(file.getvalue()[:HEAD_BYTES]) == name


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_tiff_of_either_byte_order_and_size(start: bytes) -> None:
    assert tell_format(start + bytes(20)) == "TIFF"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"B",
        b"BM",
        b"BMI,age,side\n24.3,61,right\n25.0,70,left\n",
        b"RIFF....WAVEfmt ",
        b"PK\x03\x04" + bytes(60),
        b"GIF89a" + bytes(60),
        b"%PDF-1.7\n" + bytes(200),
        b"\x08\0" + bytes(200),  # no element 0 of a length of 4
        b"\x08\0\x05\0" + b"\xff" * 200,
        b"\x02\0\0\0" + bytes(range(1, 200)),
        b"\0\x08\0\x05" + bytes(range(200)),
        bytes(1000),
    ],
)
def test_other_files(head: bytes) -> None:
    assert tell_format(head) is None


def test_random_bytes_are_no_picture() -> None:
    generator = np.random.default_rng(0)
    heads = [b"\x08\0" + generator.bytes(HEAD_BYTES) for _ in range(3000)]
    assert [head for head in heads if tell_format(head)] == []


WHOLE = [path for path in sorted(SAMPLES.glob("*.dcm")) if path.read_bytes()[128:132] == b"DICM"]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.name)
def test_dicom_with_and_without_its_preamble(path: Path) -> None:
    data = path.read_bytes()
    assert tell_format(data[:HEAD_BYTES]) == "DICOM"
    assert tell_format(data[132 : 132 + HEAD_BYTES]) == "DICOM"


@pytest.mark.parametrize("order", ["<", ">"])
def test_first_elements(order: str) -> None:
    tag = struct.Struct(f"{order}HH")
    explicit = tag.pack(8, 5) + b"CS" + struct.pack(f"{order}H", 10) + b"ISO_IR 100"
    length = struct.pack(f"{order}I", 4)
    group_length = tag.pack(8, 0) + length + length + tag.pack(8, 5) + bytes(20)
    sequence = tag.pack(8, 6) + b"\xff" * 4 + bytes(20)
    for head in (explicit, group_length, sequence):
        assert tell_format(head) == "DICOM"
    assert tell_format(explicit.replace(b"CS", b"DA")) is None
    assert tell_format(group_length.replace(tag.pack(8, 5), tag.pack(7, 5))) is None


def test_a_list_of_pictures_is_told() -> None:
    directory = (SAMPLES / "dicomdirtests/DICOMDIR").read_bytes()[:HEAD_BYTES]
    assert is_directory(directory)
    assert not is_directory((SAMPLES / "MR_small.dcm").read_bytes()[:HEAD_BYTES])


def test_the_hint_names_every_format() -> None:
    assert all(name in GIVE_A_PICTURE for name in FORMATS)
