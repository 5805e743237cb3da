"""How a DICOM file is encoded, whatever it says of that."""

import struct

import numpy as np
import pytest
from made_dicom import RAMP, code_of, make, to_bytes
from pydicom import uid
from pydicom.dataset import Dataset

from kneegrade.images.dicom import file as file_module
from kneegrade.images.dicom.read import read_dicom
from kneegrade.types import Contrast, Flag, Radiograph, View

SYNTAXES = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def read_bytes(data: bytes) -> Radiograph:
    return read_dicom(data, contrast=Contrast.UNKNOWN)


def encode(syntax: uid.UID, name: uid.UID | None = None) -> bytes:
    """A file in one transfer syntax, under the name of another."""
    big = syntax == uid.ExplicitVRBigEndian
    dataset = make(PixelData=(RAMP.byteswap() if big else RAMP).tobytes())
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].VR = "OW"
    data = to_bytes(dataset)
    if name is None:
        return data
    at, length = data.index(b"\x02\0\x10\0UI"), data.index(b"\x02\0\0\0UL")
    n_old = int.from_bytes(data[at + 6 : at + 8], "little")
    new = name.encode() + b"\0" * (len(name) % 2)
    n_group = int.from_bytes(data[length + 8 : length + 12], "little") + len(new) - n_old
    data = data[: at + 6] + len(new).to_bytes(2, "little") + new + data[at + 8 + n_old :]
    return data[: length + 8] + n_group.to_bytes(4, "little") + data[length + 12 :]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", SYNTAXES)
def test_every_encoding_under_every_name(syntax: uid.UID, name: uid.UID) -> None:
    radiograph = read_bytes(encode(syntax, name))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.flags == (frozenset() if syntax == name else {Flag.HEADER_REPAIRED})


def test_private_syntax_of_ge() -> None:
    """Implicit VR in little endian, but for the pixels in big endian."""
    dataset = make(PixelData=RAMP.byteswap().tobytes())
    dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    data = to_bytes(dataset)
    old = b"1.2.840.10008.1.2\0"
    assert data.count(old) == 1
    radiograph = read_bytes(data.replace(old, b"1.2.840.113619.5.2"))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.flags == frozenset()


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
@pytest.mark.parametrize("keep", ["DICM", "meta", "body", "no syntax"])
def test_without_preamble_or_meta(syntax: uid.UID, keep: str) -> None:
    whole = encode(syntax)
    body = whole[whole.rindex(syntax.encode()) :]
    group = b"\0\x08" if syntax == uid.ExplicitVRBigEndian else b"\x08\0"
    body = body[body.index(group) :]
    data = {
        "DICM": whole[128:],
        "meta": whole[132:],
        "body": body,
        "no syntax": whole[:132] + body,
    }[keep]
    radiograph = read_bytes(data)
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.flags == {Flag.HEADER_REPAIRED}


def test_deflated_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make(PixelData=bytes(4_000_000))
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    monkeypatch.setattr(file_module, "MAX_INFLATED_BYTES", 2_000_000)
    assert code_of(to_bytes(dataset)) == "image.too-large"


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_deflated_file_that_breaks_off(share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (64, 80), dtype=np.uint16)
    dataset = make(noise)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    data = to_bytes(dataset)
    assert code_of(data[: int(share * len(data))]) == "image.truncated"


def test_stray_end_of_an_item_before_the_pixels() -> None:
    data = encode(uid.ExplicitVRLittleEndian)
    at = data.index(b"\x28\x00\x02\x00US")
    for stray in (b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"):
        radiograph = read_bytes(data[:at] + stray + data[at:])
        np.testing.assert_array_equal(radiograph.pixels, RAMP)
        assert radiograph.flags == {Flag.HEADER_REPAIRED}


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
@pytest.mark.parametrize(
    "broken", ["no delimiters", "no sequence delimiter", "too long", "too short", "far too long"]
)
@pytest.mark.parametrize(
    ("keyword", "tag"),
    [("AnatomicRegionSequence", (0x0008, 0x2218)), ("ViewCodeSequence", (0x0054, 0x0220))],
)
def test_sequence_or_length_that_swallows_what_follows(
    syntax: uid.UID, broken: str, keyword: str, tag: tuple[int, int]
) -> None:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "72696002", "Knee"
    item.is_undefined_length_sequence_item = True
    big = syntax == uid.ExplicitVRBigEndian
    dataset = make(PixelData=(RAMP.byteswap() if big else RAMP).tobytes())
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = syntax
    setattr(dataset, keyword, [item])
    dataset[keyword].is_undefined_length = True
    data = to_bytes(dataset)
    order = ">" if big else "<"
    item_end, sequence_end = (struct.pack(f"{order}HHL", 0xFFFE, n, 0) for n in (0xE00D, 0xE0DD))
    assert item_end + sequence_end in data
    if broken == "no delimiters":
        data = data.replace(item_end + sequence_end, b"")
    elif broken == "no sequence delimiter":
        data = data.replace(item_end + sequence_end, item_end)
    else:
        length = {"too long": 60, "too short": 2, "far too long": 9_000_000}[broken]
        at = data.index(struct.pack(f"{order}HH", *tag))
        at += 4 if syntax == uid.ImplicitVRLittleEndian else 8
        data = data[:at] + struct.pack(f"{order}L", length) + data[at + 4 :]
    if keyword == "ViewCodeSequence" and syntax == uid.ImplicitVRLittleEndian:
        pytest.skip("nothing but the tag's four bytes tells where the pixels are")
    radiograph = read_bytes(data)
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    if syntax != uid.ImplicitVRLittleEndian:
        assert radiograph.view is View.PA
        assert radiograph.spacing_mm == (0.14, 0.15)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_cut_within_the_header(share: float) -> None:
    """A header that goes on for long, so that the cut is in it."""
    dataset = make(ImageComments="x" * 10_000)
    data = to_bytes(dataset)
    start = data.index(b"x" * 1000)
    assert code_of(data[: start + int(share * 10_000)]) == "image.truncated"


def test_cut_right_before_the_pixels() -> None:
    data = encode(uid.ExplicitVRLittleEndian)
    at = data.rindex(b"\xe0\x7f\x10\x00OW")
    assert code_of(data[: at + 12]) == "image.truncated"
    assert code_of(data[: at + 6]) == "image.truncated"


def test_pixels_of_an_icon_are_not_the_picture() -> None:
    icon = Dataset()
    icon.Rows = icon.Columns = 64
    icon.BitsAllocated = 8
    icon.PixelData = bytes(64 * 64)
    radiograph = read_bytes(to_bytes(make(IconImageSequence=[icon])))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)


def test_elements_after_the_pixels() -> None:
    padding = b"\xfc\xff\xfc\xffOB\0\0" + (64).to_bytes(4, "little") + bytes(64)
    radiograph = read_bytes(encode(uid.ExplicitVRLittleEndian) + padding)
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.flags == frozenset()


@pytest.mark.parametrize("vr", [b"OB", b"UN", b"US"])
def test_pixels_under_another_vr(vr: bytes) -> None:
    data = encode(uid.ExplicitVRLittleEndian)
    at = data.rindex(b"\xe0\x7f\x10\x00OW\0\0")
    head = data[at : at + 4] + vr
    if vr == b"US":  # a short length
        data = data[:at] + head + (RAMP.nbytes).to_bytes(2, "little") + data[at + 12 :]
    else:
        data = data[:at] + head + data[at + 6 :]
    np.testing.assert_array_equal(read_bytes(data).pixels, RAMP)


def test_wrong_length_within_the_meta_information() -> None:
    data = encode(uid.ExplicitVRLittleEndian)
    at = data.index(b"\x02\0\x10\0UI") + 6
    radiograph = read_bytes(data[:at] + b"\xff\xff" + data[at + 2 :])
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert Flag.HEADER_REPAIRED in radiograph.flags


@pytest.mark.parametrize("length", [0, 7, 60_000])
def test_wrong_length_of_the_meta_information(length: int) -> None:
    data = encode(uid.ExplicitVRLittleEndian)
    at = data.index(b"\x02\0\0\0UL") + 8
    data = data[:at] + length.to_bytes(4, "little") + data[at + 4 :]
    np.testing.assert_array_equal(read_bytes(data).pixels, RAMP)
