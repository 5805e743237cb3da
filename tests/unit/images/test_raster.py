import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from kneegrade.errors import ImageError
from kneegrade.images.raster import SYNTHETIC_TEXT, read_raster
from kneegrade.images.read import read_radiograph
from kneegrade.types import Contrast, Flag, Radiograph

RAMP = (np.arange(70 * 90).reshape(70, 90) * 37 % 256).astype(np.uint8)
SMOOTH = np.add.outer(np.arange(80), np.arange(96)).astype(np.uint8)


def encode(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def read(data: bytes) -> Radiograph:
    return read_raster(data, contrast=Contrast.PLAIN)


def code_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read(data)
    assert caught.value.hint
    return caught.value.code


def png_header(columns: int, rows: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"big_tiff": True}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
    ],
)
def test_lossless_8_bit(kind: str, options: dict[str, Any]) -> None:
    radiograph = read(encode(RAMP, kind, **options))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.flags == {Flag.VIEW_UNKNOWN, Flag.SPACING_UNKNOWN}
    assert radiograph.contrast is Contrast.PLAIN
    assert not radiograph.polarity_stated
    assert len(radiograph.source_id) == 64


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"big_tiff": True})]
)
def test_16_bit(kind: str, options: dict[str, Any]) -> None:
    values = (RAMP.astype(np.uint16) * 257 - 3 * (RAMP > 0)).astype(np.uint16)
    np.testing.assert_array_equal(read(encode(values, kind, **options)).pixels, values)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_is_flagged(kind: str) -> None:
    radiograph = read(encode(SMOOTH, kind, quality=95))
    assert np.abs(radiograph.pixels - SMOOTH).max() <= 4
    assert Flag.LOSSY_COMPRESSION in radiograph.flags


@pytest.mark.parametrize("big_tiff", [False, True])
def test_16_bit_white_is_zero(big_tiff: bool) -> None:
    values = RAMP.astype(np.uint16) * 200
    options = {"tiffinfo": {262: 0}, "big_tiff": big_tiff}  # Pillow writes the values as they are
    np.testing.assert_array_equal(read(encode(values, "TIFF", **options)).pixels, 65535.0 - values)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_orientation_is_obeyed(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {"exif": exif}
    if kind == "TIFF":
        options = {"tiffinfo": {274: orientation}}
    data = encode(SMOOTH, kind, **options)
    with Image.open(BytesIO(data)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("L"))
    np.testing.assert_allclose(read(data).pixels, expected, atol=1)


# what says that a program drew it


def marked(kind: str, text: str) -> bytes:
    """SMOOTH with a text where a picture of this kind keeps one."""
    if kind == "PNG":
        chunk = PngInfo()
        chunk.add_text("Description", text)
        return encode(SMOOTH, kind, pnginfo=chunk)
    if kind == "TIFF":
        return encode(SMOOTH, kind, description=text)
    if kind == "JPEG":
        return encode(SMOOTH, kind, comment=text)
    exif = Image.Exif()
    exif[270] = text
    return encode(SMOOTH, kind, exif=exif)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_a_picture_that_says_so_is_flagged_as_synthetic(kind: str) -> None:
    assert Flag.SYNTHETIC in read(marked(kind, f"Kept: {SYNTHETIC_TEXT}")).flags
    assert Flag.SYNTHETIC not in read(marked(kind, "A knee; not synthetic.")).flags


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    ("source", "is_synthetic"),
    [
        ("trainedAlgorithmicMedia", True),
        ("algorithmicMedia", True),
        ("digitalCapture", False),
        ("compositeWithTrainedAlgorithmicMedia", False),
    ],
)
def test_digital_source_type_of_xmp(kind: str, source: str, is_synthetic: bool) -> None:
    xmp = f"<x>http://cv.iptc.org/newscodes/digitalsourcetype/{source}</x>"
    if kind == "PNG":
        chunk = PngInfo()
        chunk.add_itxt("XML:com.adobe.xmp", xmp)
        data = encode(SMOOTH, kind, pnginfo=chunk)
    elif kind == "TIFF":
        data = encode(SMOOTH, kind, tiffinfo={700: xmp.encode()})
    else:
        data = encode(SMOOTH, kind, xmp=xmp.encode())
    assert (Flag.SYNTHETIC in read(data).flags) is is_synthetic


def test_a_broken_text_says_nothing() -> None:
    data = encode(RAMP, "TIFF", tiffinfo={270: b"\xff\xfe\0", 700: b"\xff" * 3})
    assert read(data).flags == {Flag.VIEW_UNKNOWN, Flag.SPACING_UNKNOWN}


# grey and colour


def test_grey_rgb_and_opaque_alpha() -> None:
    rgb = np.stack([RAMP] * 3, axis=2)
    np.testing.assert_array_equal(read(encode(rgb, "PNG")).pixels, RAMP)
    rgba = np.dstack([rgb, np.full_like(RAMP, 255)])
    np.testing.assert_array_equal(read(encode(rgba, "PNG")).pixels, RAMP)


def test_16_bit_rgb_keeps_its_depth() -> None:
    values = RAMP.astype(np.uint16) * 3
    encoded = cv2.imencode(".png", np.stack([values] * 3, axis=2))[1].tobytes()
    np.testing.assert_array_equal(read(encoded).pixels, values)


def test_grey_palette() -> None:
    picture = Image.fromarray(RAMP).convert("P")
    file = BytesIO()
    picture.save(file, "PNG")
    np.testing.assert_array_equal(read(file.getvalue()).pixels, RAMP)


def encode_bmp(palette: list[tuple[int, int, int]], indices: np.ndarray, bits: int) -> bytes:
    """A BMP with a palette, written from the top down."""
    rows, row_bytes = indices.shape[0], -(-indices.shape[1] * bits // 32) * 4
    spread = np.unpackbits(indices[:, :, None], axis=2)[:, :, 8 - bits :]
    packed = np.packbits(spread.reshape(rows, -1), axis=1)
    body = b"".join(row.tobytes().ljust(row_bytes, b"\0") for row in packed)
    colours = b"".join(bytes([blue, green, red, 0]) for red, green, blue in palette)
    start = 14 + 40 + len(colours)
    size = (indices.shape[1], -rows)
    head = struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, 0, len(body), 0, 0, len(palette), 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + colours + body


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_palette_of_a_bmp(bits: int) -> None:
    indices = RAMP >> (8 - bits)
    greys = [255 - 255 * index // (2**bits - 1) for index in range(2**bits)]
    data = encode_bmp([(grey, grey, grey) for grey in greys], indices, bits)
    np.testing.assert_array_equal(read(data).pixels, np.array(greys)[indices])
    tinted = encode_bmp([(grey, grey // 2, grey // 3) for grey in greys], indices, bits)
    assert code_of(tinted) == "image.colour"


def test_noise_of_chroma_and_a_coloured_letter_pass() -> None:
    smooth = np.add.outer(np.arange(300), np.arange(300)) / 3
    noise = np.random.default_rng(0).normal(0, 3, (300, 300, 3))
    rgb = np.clip(smooth[:, :, None] + noise, 0, 255).astype(np.uint8)
    rgb[2:14, 2:14] = (255, 0, 0)
    radiograph = read(encode(rgb, "JPEG", quality=60))
    assert np.abs(radiograph.pixels[20:, 20:] - smooth[20:, 20:]).mean() < 5


@pytest.mark.parametrize("tint", [(1, 0.8, 0.6), (0.7, 0.8, 1)])
def test_colour_is_refused(tint: tuple[float, float, float]) -> None:
    bright = 80 + SMOOTH // 2
    rgb = (bright[:, :, None] * np.array(tint)).astype(np.uint8)
    assert code_of(encode(rgb, "PNG")) == "image.colour"
    assert code_of(encode(rgb, "JPEG")) == "image.colour"


def test_transparency_is_refused() -> None:
    rgba = np.dstack([RAMP, RAMP, RAMP, np.full_like(RAMP, 255)])
    rgba[0, 0, 3] = 0
    assert code_of(encode(rgba, "PNG")) == "image.unreadable"


def test_numbers_that_are_none() -> None:
    values = RAMP.astype(np.float32)
    np.testing.assert_array_equal(read(encode(values, "TIFF")).pixels, values)
    values[0, 0] = np.nan
    assert code_of(encode(values, "TIFF")) == "image.unreadable"


# bad files


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.8])
def test_broken_off(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    data = encode(noise, kind)
    expected = {"image.truncated", "image.unreadable"}
    assert code_of(data[: max(12, int(share * len(data)))]) in expected


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_pixels_broken_off(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    data = encode(noise, kind)
    assert code_of(data[: len(data) * 3 // 4]) == "image.truncated"


@pytest.mark.parametrize("size", [(30_000, 30_000), (12_000, 12_000)])
def test_huge_headers_allocate_nothing(size: tuple[int, int]) -> None:
    jpeg = bytearray(encode(RAMP, "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", *size)
    tracemalloc.start()
    try:
        assert code_of(png_header(*size)) == "image.too-large"
        assert code_of(bytes(jpeg)) == "image.too-large"
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_header_without_pixels() -> None:
    assert code_of(png_header(100, 100)) == "image.truncated"


def test_huge_tiff_and_webp_headers() -> None:
    tiff = bytearray(encode(RAMP, "TIFF"))
    for tag in (256, 257):  # ImageWidth, ImageLength
        at = tiff.index(struct.pack("<HHI", tag, 4, 1))
        tiff[at + 8 : at + 12] = struct.pack("<I", 30_000)
    assert code_of(bytes(tiff)) == "image.too-large"
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_382).to_bytes(3, "little") * 2
    frame = encode(RAMP, "WEBP")[12:]
    webp = b"RIFF" + struct.pack("<I", len(body) + len(frame) + 4) + b"WEBP" + body + frame
    assert code_of(webp) in {"image.too-large", "image.unreadable"}


@pytest.mark.parametrize("shape", [(1, 1), (63, 500), (500, 2)])
def test_too_small(shape: tuple[int, int]) -> None:
    assert code_of(encode(np.zeros(shape, np.uint8), "PNG")) == "image.too-small"


def test_blank() -> None:
    assert code_of(encode(np.full((64, 64), 7, np.uint8), "PNG")) == "image.blank"


def test_huge_bmp_header() -> None:
    data = bytearray(encode(RAMP, "BMP"))
    for size in ((30_000, 30_000), (12_000, -12_000)):
        data[18:26] = struct.pack("<ii", *size)
        assert code_of(bytes(data)) == "image.too-large"


@pytest.mark.parametrize("big_tiff", [False, True])
def test_several_pages(big_tiff: bool) -> None:
    pages = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    file = BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], big_tiff=big_tiff)
    assert code_of(file.getvalue()) == "image.multi-frame"


@pytest.mark.real_data
def test_real_films(real_data: Path) -> None:
    films = sorted(
        [*(real_data / "knee-plain").glob("*.jpg"), *(real_data / "not-knees").glob("*.jpg")]
    )
    assert films
    for film in films:
        assert Flag.SPACING_UNKNOWN in read_radiograph(film).flags
