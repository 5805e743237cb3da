import tracemalloc
from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from made_dicom import (
    ENCODERS,
    SAMPLES,
    code_of,
    compress,
    encode,
    make,
    read,
    to_bytes,
    wrap,
)
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from kneegrade.images.dicom import decode_apart
from kneegrade.images.dicom.read import read_dicom
from kneegrade.types import Contrast, Flag, Radiograph

# files that lie


def _no_pixels(dataset: Dataset) -> None:
    del dataset.PixelData


def _broken_off(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]


def _set(**elements: Any) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset.update(elements)

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_no_pixels, "image.no-pixels"),
        (_set(PixelData=b""), "image.no-pixels"),
        (_broken_off, "image.truncated"),
        (_set(NumberOfFrames=2), "image.multi-frame"),
        (_set(Rows=30_000, Columns=30_000), "image.too-large"),
        (_set(Rows=9_000, Columns=9_000), "image.truncated"),
        (_set(Rows=1, Columns=1), "image.too-small"),
        (_set(BitsStored=17), "image.bad-header"),
        (_set(BitsAllocated=12), "image.bad-header"),
        (_set(SamplesPerPixel=2), "image.bad-header"),
        (_set(PhotometricInterpretation="RGB"), "image.bad-header"),
        (_set(PhotometricInterpretation=""), "image.bad-header"),
        (_set(RescaleSlope="1e39", RescaleIntercept="0"), "image.bad-header"),
        (_set(RescaleSlope="0", RescaleIntercept="0"), "image.bad-header"),
        (_set(PixelData=bytes(64 * 80 * 2)), "image.blank"),
    ],
)
def test_headers_that_lie(change: Callable[[Dataset], None], code: str) -> None:
    dataset = make()
    change(dataset)
    data = to_bytes(dataset)
    tracemalloc.start()
    try:
        assert code_of(data) == code
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_missing_rows() -> None:
    assert code_of(to_bytes(make(Rows=None))) == "image.bad-header"


@pytest.mark.parametrize("syntax", [uid.RLELossless, *ENCODERS])
def test_compressed_headers_that_lie(syntax: uid.UID) -> None:
    if syntax == uid.RLELossless:
        dataset = make()
        dataset.compress(syntax)
    else:
        dataset = compress(syntax)
    dataset.Rows = dataset.Columns = 9000
    rle = syntax == uid.RLELossless
    tracemalloc.start()
    try:
        assert code_of(to_bytes(dataset)) == ("image.truncated" if rle else "image.bad-header")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_codestream_larger_than_its_header() -> None:
    dataset = compress(uid.JPEG2000Lossless)
    size = (80).to_bytes(4) + (64).to_bytes(4)
    huge = (60_000).to_bytes(4) * 2
    assert size in dataset.PixelData
    wrap(dataset, dataset.PixelData.replace(size, huge))
    assert code_of(to_bytes(dataset)) == "image.bad-header"


@pytest.mark.parametrize("syntax", ENCODERS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_codestream_that_breaks_off(syntax: uid.UID, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (64, 80), dtype=np.uint16)
    stream = encode(syntax, noise)
    dataset = compress(syntax)
    wrap(dataset, encapsulate([stream[: int(share * len(stream))]]))
    assert code_of(to_bytes(dataset)) == "image.truncated"
    assert code_of(to_bytes(compress(syntax, noise))[:-200]) == "image.truncated"


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "JPEG2000.dcm", "MR_small.dcm"])
def test_files_that_break_off(name: str, share: float) -> None:
    data = (SAMPLES / name).read_bytes()
    code = code_of(data[: int(share * len(data))])
    assert code == "image.truncated"


@pytest.mark.parametrize("syntax", [uid.MPEG2MPML, uid.UID("1.2.3.4.5")])
def test_unknown_compression(syntax: uid.UID) -> None:
    dataset = make(PixelData=encapsulate([b"12345678"]))
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
    assert code_of(file.getvalue()) == "image.no-decoder"


# pixels under another name, or badly wrapped

ITEM, END, ITEM_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0\0\0\0\0"
GREY = (np.add.outer(np.arange(64), np.arange(80)) * 28).astype(np.uint16)


def item(data: bytes, length: int | None = None) -> bytes:
    return ITEM + (len(data) if length is None else length).to_bytes(4, "little") + data


def even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def file_of(value: bytes, syntax: uid.UID, *, tail: bytes = END) -> bytes:
    """A file whose pixels, of undefined length, hold these bytes to the end."""
    dataset = compress(uid.JPEGLSLossless, GREY)
    dataset.file_meta.TransferSyntaxUID = syntax
    whole = to_bytes(dataset)
    at = whole.rindex(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff")
    return whole[: at + 12] + value + tail


def read_bytes(data: bytes) -> Radiograph:
    return read_dicom(data, contrast=Contrast.UNKNOWN)


@pytest.mark.parametrize("syntax", ENCODERS)
def test_codestreams_are_read_under_every_name(syntax: uid.UID) -> None:
    plain = read(compress(syntax, GREY))
    lossy = {uid.JPEG2000, uid.JPEGLSNearLossless, uid.JPEGExtended12Bit, uid.JPEGBaseline8Bit}
    assert plain.flags == ({Flag.LOSSY_COMPRESSION} if syntax in lossy else frozenset())
    shown = plain.pixels * (16 if syntax == uid.JPEGBaseline8Bit else 1)
    np.testing.assert_allclose(shown, GREY, atol=40 if syntax in lossy else 0)
    for name in (*ENCODERS, uid.RLELossless, uid.ExplicitVRLittleEndian, uid.UID("1.2.3.4")):
        dataset = compress(syntax, GREY)
        dataset.file_meta.TransferSyntaxUID = name
        file = BytesIO()
        dataset.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
        renamed = read_bytes(file.getvalue())
        np.testing.assert_array_equal(renamed.pixels, plain.pixels)
        if name not in ENCODERS or (name in lossy) != (syntax in lossy):
            assert Flag.HEADER_REPAIRED in renamed.flags or name in lossy
        assert (Flag.LOSSY_COMPRESSION in renamed.flags) >= (syntax in lossy)


@pytest.mark.parametrize("name", [uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGLSLossless])
def test_plain_values_under_the_name_of_a_compression(name: uid.UID) -> None:
    data = to_bytes(make(GREY))
    old = data[data.index(b"\x02\0\x10\0UI") :][:8] + b"1.2.840.10008.1.2.1\0"
    new = b"\x02\0\x10\0UI" + len(even(name.encode())).to_bytes(2, "little") + even(name.encode())
    radiograph = read_bytes(data.replace(old, new))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert Flag.HEADER_REPAIRED in radiograph.flags


def test_encapsulated_plain_values_are_read() -> None:
    value = item(b"") + item(GREY.tobytes())
    radiograph = read_bytes(file_of(value, uid.UID("1.2.840.10008.1.2.1.98")))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.flags == frozenset()


JLS = even(encode(uid.JPEGLSLossless, GREY))
PIECES = [JLS[:40], JLS[40:100], JLS[100:]]


@pytest.mark.parametrize(
    ("value", "tail"),
    [
        (item(b"") + item(JLS), b""),  # no delimiter
        (item(b"") + item(JLS), b"\0" * 16),
        (item(b"") + item(JLS), b"\0" * 5),
        (item(b"") + item(JLS) + ITEM_END, END),
        (item(b"") + ITEM_END + item(JLS), END),
        (item(JLS), END),  # no offset table
        (item(b"") + item(JLS, len(JLS) - 6), END),  # lengths that are wrong
        (item(b"") + item(JLS, len(JLS) + 6), END),
        (item(b"") + item(JLS, 0xFFFFFFFF), END),
        (item(b"") + item(JLS, 0), END),
        (JLS, b""),  # not wrapped at all
        (item(b"") + item(JLS) + item(b""), b""),
    ],
)
def test_badly_wrapped_codestream_is_read(value: bytes, tail: bytes) -> None:
    radiograph = read_bytes(file_of(value, uid.JPEGLSLossless, tail=tail))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert Flag.HEADER_REPAIRED in radiograph.flags


@pytest.mark.parametrize("table", [b"", b"\0" * 4, b"\x07\0\0\0", b"\xff" * 12, b"\0" * 6])
def test_any_offset_table_and_any_number_of_fragments(table: bytes) -> None:
    value = item(table) + b"".join(item(piece) for piece in PIECES)
    radiograph = read_bytes(file_of(value, uid.JPEGLSLossless))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.flags == frozenset()


def test_missing_fragment_is_truncation() -> None:
    value = item(b"") + item(PIECES[0]) + item(PIECES[1])
    assert code_of(file_of(value, uid.JPEGLSLossless)) == "image.truncated"
    assert code_of(file_of(item(b""), uid.JPEGLSLossless, tail=b"")) == "image.no-pixels"
    assert code_of(file_of(b"", uid.JPEGLSLossless, tail=b"")) == "image.truncated"


def test_codestream_of_defined_length() -> None:
    for value in (encapsulate([JLS]), JLS):
        data = file_of(value, uid.JPEGLSLossless, tail=b"")
        at = data.rindex(b"\xe0\x7f\x10\x00OB\0\0")
        data = data[: at + 8] + len(value).to_bytes(4, "little") + data[at + 12 :]
        radiograph = read_bytes(data)
        np.testing.assert_array_equal(radiograph.pixels, GREY)
        assert Flag.HEADER_REPAIRED in radiograph.flags


def test_extended_offset_table() -> None:
    dataset = compress(uid.JPEGLSLossless, GREY)
    dataset.ExtendedOffsetTable = (99).to_bytes(8, "little")
    dataset.ExtendedOffsetTableLengths = (1).to_bytes(8, "little")
    np.testing.assert_array_equal(read(dataset).pixels, GREY)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLosslessSV1])
@pytest.mark.parametrize("padding", [b"\0", b"\0\0\0", b"\xff", b"\xff\xff", b"\0\xff"])
def test_padding_before_the_end_marker(syntax: uid.UID, padding: bytes) -> None:
    stream = encode(syntax, GREY)
    at = stream.rindex(b"\xff\xd9")
    dataset = compress(syntax, GREY)
    wrap(dataset, encapsulate([stream[:at] + padding + stream[at:]]))
    np.testing.assert_array_equal(read(dataset).pixels, GREY)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("instead", [b"", b"\0", b"\0\0", b"\xff"])
def test_missing_end_marker_of_a_whole_picture(syntax: uid.UID, instead: bytes) -> None:
    stream = encode(syntax, GREY)
    dataset = compress(syntax, GREY)
    wrap(dataset, encapsulate([stream[: stream.rindex(b"\xff\xd9")] + instead]))
    radiograph = read(dataset)
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.flags == {Flag.HEADER_REPAIRED}


def test_jpeg_2000_in_a_jp2_file() -> None:
    stream = imagecodecs.jpeg2k_encode(GREY, codecformat="jp2", reversible=True)
    dataset = compress(uid.JPEG2000Lossless, GREY)
    wrap(dataset, encapsulate([stream]))
    np.testing.assert_array_equal(read(dataset).pixels, GREY)


def test_rle_without_delimiter_or_under_another_name() -> None:
    dataset = make(GREY)
    dataset.compress(uid.RLELossless)
    whole = to_bytes(dataset)
    for data in (whole[:-8], whole.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")):
        radiograph = read_bytes(data)
        np.testing.assert_array_equal(radiograph.pixels, GREY)
        assert Flag.HEADER_REPAIRED in radiograph.flags
    assert code_of(whole[:-1000]) == "image.truncated"


def test_rows_and_columns_exchanged() -> None:
    dataset = compress(uid.JPEGLSLossless, GREY, Rows=80, Columns=64)
    radiograph = read(dataset)
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert Flag.HEADER_REPAIRED in radiograph.flags


@pytest.mark.parametrize("length", [0, 2, 64 * 80, 64 * 80 * 2 + 20])
def test_length_of_plain_values_that_is_wrong(length: int) -> None:
    data = to_bytes(make(GREY))
    at = data.rindex(b"\xe0\x7f\x10\x00OW\0\0")
    data = data[: at + 8] + length.to_bytes(4, "little") + data[at + 12 :]
    radiograph = read_bytes(data)
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert Flag.HEADER_REPAIRED in radiograph.flags


@pytest.mark.parametrize(
    "keyword", ["PixelRepresentation", "SamplesPerPixel", "BitsStored", "HighBit"]
)
def test_what_can_be_told_without_the_header(keyword: str) -> None:
    radiograph = read(make(GREY, **{keyword: None}))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.flags == {Flag.HEADER_REPAIRED}


# stored bits


def test_values_wider_than_bits_stored_are_used() -> None:
    wide = (GREY.astype(int) * 8).clip(0, 65535).astype(np.uint16)
    for dataset in (make(wide), compress(uid.JPEGLSLossless, wide)):
        dataset.BitsStored, dataset.HighBit = 12, 11
        radiograph = read(dataset)
        np.testing.assert_array_equal(radiograph.pixels, wide)
        assert radiograph.flags == {Flag.HEADER_REPAIRED}


def test_overlay_in_the_unused_bits_is_no_part_of_the_values() -> None:
    overlay = np.zeros_like(GREY)
    overlay[10:20, 10:40] = 0x4000
    overlay[::7, ::5] |= 0x8000
    radiograph = read(make(GREY | overlay, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.flags == frozenset()


def test_high_bit_at_the_top_of_values_that_begin_at_bit_0() -> None:
    radiograph = read(make(GREY, BitsStored=12, HighBit=15))
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    assert radiograph.flags == {Flag.HEADER_REPAIRED}


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.JPEG2000Lossless])
def test_signed_values_in_a_codestream_without_a_sign(syntax: uid.UID) -> None:
    signed = GREY.astype(np.int16) - 2000
    dataset = compress(syntax, (signed & 0xFFF).astype(np.uint16), PixelRepresentation=1)
    np.testing.assert_array_equal(read(dataset).pixels, signed)


# colours


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGBaseline8Bit])
def test_grey_in_colours(syntax: uid.UID) -> None:
    grey = (GREY >> 4).astype(np.uint8)
    colours = np.stack([grey] * 3, axis=2)
    if syntax == uid.JPEGBaseline8Bit:
        stream = imagecodecs.jpeg8_encode(colours, 95, subsampling="444")
    elif syntax == uid.JPEGLSLossless:
        stream = imagecodecs.jpegls_encode(colours)
    else:
        stream = imagecodecs.jpeg2k_encode(colours, codecformat="j2k", reversible=True)
    photometric = "YBR_FULL_422" if syntax == uid.JPEGBaseline8Bit else "RGB"
    dataset = make(colours, PhotometricInterpretation=photometric)
    dataset.file_meta.TransferSyntaxUID = syntax
    wrap(dataset, encapsulate([stream]))
    np.testing.assert_allclose(read(dataset).pixels, grey, atol=3)


# the decoder's own process


def test_a_decoder_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_apart, "_START_S", 0)
    monkeypatch.setattr(decode_apart, "_PIXELS_PER_S", 5120 / 0.01)
    assert code_of(to_bytes(compress(uid.JPEGLSLossless, GREY))) == "image.unreadable"


def test_damage_within_a_codestream() -> None:
    dataset = compress(uid.JPEGLSLossless, GREY)
    stream = bytearray(dataset.PixelData)
    stream[200:-60] = b"\x55" * (len(stream) - 260)
    wrap(dataset, bytes(stream))
    assert code_of(to_bytes(dataset)) == "image.unreadable"
