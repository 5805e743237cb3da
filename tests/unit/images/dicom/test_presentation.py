from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from made_dicom import RAMP, make, read, table, to_bytes
from pydicom.dataset import Dataset

from kneegrade.images.dicom.read import read_dicom
from kneegrade.types import Contrast, Flag, Side, View

# photometric path


def test_plain_values_and_header() -> None:
    radiograph = read(make(ImageLaterality="R"))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.source_id == "1.2.3.4"
    assert radiograph.polarity_stated
    assert radiograph.side is Side.RIGHT
    assert radiograph.view is View.PA
    assert radiograph.flags == frozenset()


@pytest.mark.parametrize("shape", [None, "INVERSE"])
def test_monochrome1_is_inverted_once(shape: str | None) -> None:
    dataset = make(PhotometricInterpretation="MONOCHROME1")
    if shape is not None:
        dataset.PresentationLUTShape = shape
    radiograph = read(dataset)
    np.testing.assert_array_equal(radiograph.pixels, 4095 - RAMP.astype(np.float32))
    assert radiograph.polarity_stated
    assert Flag.HEADER_REPAIRED not in radiograph.flags


@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")]
)
def test_contradicting_presentation_shape_inverts_and_flags(photometric: str, shape: str) -> None:
    radiograph = read(make(PhotometricInterpretation=photometric, PresentationLUTShape=shape))
    np.testing.assert_array_equal(radiograph.pixels, 4095 - RAMP.astype(np.float32))
    assert Flag.HEADER_REPAIRED in radiograph.flags


def test_inversion_comes_after_the_window() -> None:
    radiograph = read(
        make(PhotometricInterpretation="MONOCHROME1", WindowCenter=1000.5, WindowWidth=1001)
    )
    assert (radiograph.pixels[RAMP <= 500] == 65535).all()
    assert (radiograph.pixels[RAMP > 1500] == 0).all()


@pytest.mark.parametrize("bits", [10, 12, 15])
def test_odd_depths_with_rubbish_above_the_stored_bits(bits: int) -> None:
    values = RAMP % 2**bits
    radiograph = read(make(values | np.uint16(0x8000), BitsStored=bits, HighBit=bits - 1))
    np.testing.assert_array_equal(radiograph.pixels, values)


def test_high_bit_at_the_top() -> None:
    radiograph = read(make(RAMP << 4, BitsStored=12, HighBit=15))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)


@pytest.mark.parametrize("bits", [12, 16])
def test_signed(bits: int) -> None:
    values = RAMP.astype(np.int16) - 2048
    radiograph = read(make(values, BitsStored=bits, HighBit=bits - 1))
    np.testing.assert_array_equal(radiograph.pixels, values)


def test_rescale() -> None:
    radiograph = read(make(RescaleSlope="0.5", RescaleIntercept="-100"))
    np.testing.assert_allclose(radiograph.pixels, RAMP * 0.5 - 100)


def test_modality_table() -> None:
    entries = [3 * i for i in range(4096)]
    radiograph = read(make(ModalityLUTSequence=[table(entries, 0, 16)]))
    np.testing.assert_array_equal(radiograph.pixels, 3.0 * RAMP)


def test_voi_table_is_preferred_and_clamps() -> None:
    entries = [10 * i for i in range(2000)]
    radiograph = read(
        make(VOILUTSequence=[table(entries, 50, 16)], WindowCenter=2000, WindowWidth=4000)
    )
    np.testing.assert_array_equal(radiograph.pixels, np.clip(RAMP.astype(int) - 50, 0, 1999) * 10)


def test_voi_table_with_8_bit_entries_does_not_wrap_around() -> None:
    entries = [i // 16 for i in range(4096)]
    radiograph = read(make(VOILUTSequence=[table(entries, 0, 8)]))
    np.testing.assert_array_equal(radiograph.pixels, RAMP // 16)


def test_voi_table_of_signed_values() -> None:
    entries = list(range(4096))
    values = RAMP.astype(np.int16) - 2048
    radiograph = read(make(values, VOILUTSequence=[table(entries, -2048, 16)]))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)


def test_broken_voi_table_is_passed_over() -> None:
    item = table([1, 2, 3], 0, 16)
    item.LUTDescriptor = [4096, 0, 16]
    radiograph = read(make(VOILUTSequence=[item]))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert Flag.HEADER_REPAIRED in radiograph.flags


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicom(function: str) -> None:
    dataset = make(WindowCenter=[1800, 1], WindowWidth=[900, 1], VOILUTFunction=function)
    expected = pydicom.pixels.apply_windowing(RAMP, dataset)
    np.testing.assert_allclose(read(dataset).pixels, expected, atol=0.02)


def test_window_under_a_negative_slope_keeps_its_direction() -> None:
    dataset = make(RescaleSlope="-1", RescaleIntercept="0", WindowCenter=-2000, WindowWidth=2000)
    pixels = read(dataset).pixels
    assert pixels[RAMP == 4000].max() < pixels[RAMP == 10].min()


@pytest.mark.parametrize(
    "broken",
    [
        {"WindowWidth": 0},
        {"WindowWidth": 10, "VOILUTFunction": "CUBIC"},
        {"WindowWidth": 2, "WindowCenter": 60000},
    ],
)
def test_broken_windows_are_passed_over(broken: dict[str, Any]) -> None:
    radiograph = read(make(**({"WindowCenter": 100} | broken)))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert Flag.HEADER_REPAIRED in radiograph.flags


# what is passed over


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize("content", ["empty item", "empty elements", "too short", "no entries"])
def test_broken_tables_are_passed_over(keyword: str, content: str) -> None:
    item = Dataset()
    if content == "empty elements":
        item.add_new("LUTDescriptor", "US", None)
        item.add_new("LUTData", "OW", b"")
    elif content == "too short":
        item = table([1, 2, 3], 0, 16)
        item.LUTDescriptor = [4096, 0, 16]
    elif content == "no entries":
        item.add_new("LUTDescriptor", "US", [0, 0, 16])
    radiograph = read(make(**{keyword: [item]}))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.flags == {Flag.HEADER_REPAIRED}


def test_broken_modality_table_leaves_the_rescale() -> None:
    radiograph = read(make(ModalityLUTSequence=[Dataset()], RescaleSlope=2, RescaleIntercept=5))
    np.testing.assert_array_equal(radiograph.pixels, RAMP * 2.0 + 5)


KNEE = cv2.GaussianBlur(np.random.default_rng(3).random((256, 200)), (0, 0), 9)
KNEE = ((KNEE - KNEE.min()) / np.ptp(KNEE) * 48_000 + 12_000).astype(np.uint16)
BORDERED = np.pad(KNEE, ((0, 0), (40, 40)))
"""Values of 16 bits as a detector gives them, and the same with a blank border."""


@pytest.mark.parametrize("pixels", [KNEE, BORDERED])
@pytest.mark.parametrize(
    ("center", "width"), [(3174, 2426), (2047, 4095), (90_000, 20_000), (-5, 10), (12_050, 90)]
)
def test_window_beside_the_values_is_passed_over(
    pixels: np.ndarray, center: float, width: float
) -> None:
    radiograph = read(make(pixels, WindowCenter=center, WindowWidth=width))
    np.testing.assert_array_equal(radiograph.pixels, pixels)
    assert radiograph.flags == {Flag.HEADER_REPAIRED}


@pytest.mark.parametrize("pixels", [KNEE, BORDERED])
@pytest.mark.parametrize(("low", "high"), [(0, 100), (5, 95), (20, 80), (30, 70), (20, 60)])
def test_tight_window_is_used(pixels: np.ndarray, low: float, high: float) -> None:
    bottom, top = np.percentile(KNEE, [low, high])
    window = {"WindowCenter": f"{(bottom + top) / 2:.1f}", "WindowWidth": f"{top - bottom:.1f}"}
    radiograph = read(make(pixels, VOILUTFunction="LINEAR_EXACT", **window))
    shown = np.clip((pixels - bottom) / (top - bottom), 0, 1) * 65535
    np.testing.assert_allclose(radiograph.pixels, shown, atol=100)
    assert radiograph.flags == frozenset()


# padding (PS3.3 section C.7.5.1.1.2)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("value", "limit"), [(0, None), (65535, None), (0, 90), (90, 0)])
def test_padding_is_shown_dark(photometric: str, value: int, limit: int | None) -> None:
    pixels = np.pad(KNEE, ((0, 0), (40, 40)), constant_values=max(value, limit or 0))
    dataset = make(pixels, PhotometricInterpretation=photometric, PixelPaddingValue=value)
    if limit is not None:
        dataset.PixelPaddingRangeLimit = limit
    shown = read(dataset).pixels
    knee = KNEE.astype(np.float32)
    if photometric == "MONOCHROME1":
        knee = knee.max() + knee.min() - knee
    np.testing.assert_array_equal(shown[:, 40:-40], knee)
    assert (shown[:, :40] == knee.min()).all()
    assert (shown[:, -40:] == knee.min()).all()


@pytest.mark.parametrize("written", [-2000, 63536])
def test_signed_padding(written: int) -> None:
    pixels = np.pad((KNEE // 32).astype(np.int16), 20, constant_values=-2000)
    dataset = make(pixels)
    dataset.add_new("PixelPaddingValue", "SS" if written < 0 else "US", written)
    shown = read(dataset).pixels
    assert shown.min() == (KNEE // 32).min()


def test_padding_does_not_count_where_a_window_is_judged() -> None:
    pixels = np.pad(KNEE // 4, ((0, 0), (600, 600)))
    rng = np.random.default_rng(0)
    pixels[:, :600] = rng.integers(0, 2, (256, 600)) * 60_000
    pixels[:, -600:] = 60_000
    window = {"WindowCenter": 9000, "WindowWidth": 12_000}
    dataset = make(pixels, PixelPaddingValue=60_000, **window)
    assert Flag.HEADER_REPAIRED not in read(dataset).flags


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_bone_of_the_paddings_value_is_no_padding(photometric: str) -> None:
    pixels = KNEE.copy()
    pixels[60:90, 50:80] = 65535
    plain = read(make(pixels, PhotometricInterpretation=photometric)).pixels
    padded = make(pixels, PhotometricInterpretation=photometric, PixelPaddingValue=65535)
    np.testing.assert_array_equal(read(padded).pixels, plain)


@pytest.mark.parametrize("value", [65535, 0x0FFF])
def test_padding_beyond_the_bits_stored(value: int) -> None:
    pixels = np.pad(KNEE // 32, 20, constant_values=0x0FFF)
    dataset = make(pixels, BitsStored=12, HighBit=11, PixelPaddingValue=value)
    shown = read(dataset).pixels
    assert (shown[:20] == (KNEE // 32).min()).all()


def test_a_table_of_one_value_is_passed_over() -> None:
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 16])
    item.add_new("LUTData", "OW", np.zeros(256, np.uint16).tobytes())
    radiograph = read(make(KNEE, ModalityLUTSequence=[item]))
    np.testing.assert_array_equal(radiograph.pixels, KNEE)
    assert radiograph.flags == {Flag.HEADER_REPAIRED}


def test_a_window_in_decimal_commas_is_read() -> None:
    dataset = make(KNEE, WindowCenter="36000.5", WindowWidth="48000.0")
    data = to_bytes(dataset)
    comma = data.replace(b"36000.5", b"36000,5").replace(b"48000.0", b"48000,0")
    assert comma != data
    one, other = (read_dicom(d, contrast=Contrast.UNKNOWN) for d in (data, comma))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert other.flags == {Flag.HEADER_REPAIRED}


def test_padding_value_that_is_the_picture_is_passed_over() -> None:
    flat = np.full((64, 80), 500, dtype=np.uint16)
    flat[10, 10] = 700
    radiograph = read(make(flat, PixelPaddingValue=500))
    np.testing.assert_array_equal(radiograph.pixels, flat)
    assert radiograph.flags == {Flag.HEADER_REPAIRED}


def test_padding_all_over_the_picture_does_not_hinder_a_window() -> None:
    pixels = KNEE.copy()
    pixels[::2, ::3] = 0
    radiograph = read(make(pixels, PixelPaddingValue=0, WindowCenter=36_000, WindowWidth=48_000))
    assert radiograph.flags == frozenset()
    assert radiograph.pixels.max() == 65535
