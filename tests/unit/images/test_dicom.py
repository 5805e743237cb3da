import tracemalloc
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from kneegrade.errors import CODES, ImageError
from kneegrade.images import dicom
from kneegrade.images.dicom import DECODING_PLUGINS, read_dicom
from kneegrade.images.read import read_radiograph
from kneegrade.types import Contrast, Flag, Radiograph, Side, SpacingSource, View

SAMPLES = Path(pydicom.__file__).parent / "data/test_files"
SAMPLE_FILES = sorted(path for path in SAMPLES.rglob("*") if path.is_file())
RAMP = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) % 4096


def make(pixels: np.ndarray = RAMP, **elements: Any) -> Dataset:
    """A digital radiograph that breaks no rule, then what the test changes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName = "Secret^Name"
    dataset.PatientID = "SECRET-ID"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    dataset.PixelSpacing = [0.14, 0.15]
    dataset.ImagerPixelSpacing = [0.16, 0.17]
    dataset.ViewPosition = "PA"
    dataset.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # we write broken files on purpose
        dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read(dataset: Dataset) -> Radiograph:
    return read_dicom(to_bytes(dataset), contrast=Contrast.UNKNOWN)


def code_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_dicom(data, contrast=Contrast.UNKNOWN)
    assert "Secret" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    return caught.value.code


def table(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


# pydicom's own files


@pytest.mark.parametrize("path", SAMPLE_FILES, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_every_sample_file_is_read_or_refused_with_a_code(path: Path) -> None:
    try:
        radiograph = read_radiograph(path)
    except ImageError as error:
        refusal = error
        radiograph = None
    if radiograph is None:
        assert refusal.code in CODES
        assert refusal.hint
    else:
        assert radiograph.pixels.ndim == 2
        assert radiograph.pixels.min() < radiograph.pixels.max()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("JPGExtended.dcm", "image.no-decoder"),
        ("JPEG-lossy.dcm", "image.no-decoder"),
        ("MR_truncated.dcm", "image.truncated"),
        ("examples_palette.dcm", "image.colour"),
        ("examples_rgb_color.dcm", "image.colour"),
        ("examples_ybr_color.dcm", "image.multi-frame"),
        ("SC_rgb_jpeg_gdcm.dcm", "image.colour"),
        ("SC_ybr_full_422_uncompressed.dcm", "image.colour"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", "image.bad-header"),
        ("test-SR.dcm", "image.no-pixels"),
        ("rtplan_truncated.dcm", "image.no-pixels"),
        ("waveform_ecg.dcm", "image.no-pixels"),
        ("dicomdirtests/DICOMDIR", "image.no-pixels"),
        ("dicomdirtests/77654033/CR1/6154", "image.too-small"),
        ("test1.json", "image.unreadable"),
    ],
)
def test_refused_sample_files(name: str, code: str) -> None:
    assert code_of((SAMPLES / name).read_bytes()) == code


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_expb.dcm",
        "MR_small_implicit.dcm",
        "MR_small_padded.dcm",
    ],
)
def test_copies_equal_their_original(name: str) -> None:
    original, copy = (read_radiograph(SAMPLES / n) for n in ("MR_small.dcm", name))
    np.testing.assert_array_equal(copy.pixels, original.pixels)
    assert copy.spacing_mm == original.spacing_mm


def test_colour_copies_equal_their_original() -> None:
    plain = read_radiograph(SAMPLES / "SC_rgb_jpeg_dcmd.dcm")
    baseline = read_radiograph(SAMPLES / "SC_rgb_jpeg.dcm")
    assert np.abs(plain.pixels - baseline.pixels).max() <= 3
    assert Flag.LOSSY_COMPRESSION in baseline.flags - plain.flags


def test_padding_is_flagged() -> None:
    assert Flag.HEADER_REPAIRED in read_radiograph(SAMPLES / "MR_small_padded.dcm").flags


def test_named_plugins_are_installed() -> None:
    for syntax, plugin in DECODING_PLUGINS.items():
        assert plugin in get_decoder(syntax).available_plugins, syntax.name


# photometric path


def test_plain_values_and_header() -> None:
    radiograph = read(make(ImageLaterality="R"))
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.source_id == "1.2.3.4"
    assert radiograph.polarity_stated
    assert radiograph.side is Side.RIGHT
    assert radiograph.view is View.PA
    assert radiograph.flags == frozenset()


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_compressed_copies(syntax: uid.UID) -> None:
    dataset = make()
    dataset.compress(syntax)
    np.testing.assert_array_equal(read(dataset).pixels, RAMP)


def test_lossless_jpeg_is_decoded_apart_and_survives_damage() -> None:
    sample = pydicom.dcmread(SAMPLES / "SC_rgb_jpeg_gdcm.dcm")
    decoded = dicom.decode_apart(sample, uid.JPEGLosslessSV1)
    np.testing.assert_array_equal(decoded, sample.pixel_array)
    frame = bytearray(sample.PixelData)
    frame[frame.index(b"\xff\xda") + 6 : -40] = b"\xff\xc3" * 20
    sample.PixelData = bytes(frame)
    with pytest.raises(RuntimeError):
        dicom.decode_apart(sample, uid.JPEGLosslessSV1)


def test_deflated() -> None:
    dataset = make()
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(read(dataset).pixels, RAMP)


def test_deflated_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make(PixelData=bytes(4_000_000))
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", 2_000_000)
    assert code_of(to_bytes(dataset)) == "image.too-large"


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
    entries = [10 * i for i in range(100)]
    radiograph = read(
        make(VOILUTSequence=[table(entries, 50, 16)], WindowCenter=2000, WindowWidth=4000)
    )
    np.testing.assert_array_equal(radiograph.pixels, np.clip(RAMP.astype(int) - 50, 0, 99) * 10)


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


# colour


def test_grey_rgb_is_read() -> None:
    grey = (RAMP % 256).astype(np.uint8)
    radiograph = read(make(np.stack([grey] * 3, axis=2)))
    np.testing.assert_array_equal(radiograph.pixels, grey)
    assert not radiograph.polarity_stated


def test_grey_ybr_is_read() -> None:
    grey = (RAMP % 256).astype(np.uint8)
    ybr = np.stack([grey, np.full_like(grey, 128), np.full_like(grey, 128)], axis=2)
    radiograph = read(make(ybr, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_allclose(radiograph.pixels, grey, atol=1)


def test_colour_of_12_bits_is_judged_on_its_own_scale() -> None:
    colour = np.stack([RAMP, RAMP // 2, RAMP // 4], axis=2)
    assert code_of(to_bytes(make(colour, BitsStored=12, HighBit=11))) == "image.colour"


@pytest.mark.parametrize(("green", "code"), [(1.0, None), (0.5, "image.colour")])
def test_palette(green: float, code: str | None) -> None:
    index = (RAMP % 256).astype(np.uint8)
    dataset = make(index, PhotometricInterpretation="PALETTE COLOR")
    grey = np.arange(256, dtype=np.uint16) * 257
    for colour, share in (("Red", 1.0), ("Green", green), ("Blue", 1.0)):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        entries = (grey * share).astype("<u2").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", entries)
    if code is None:
        np.testing.assert_array_equal(read(dataset).pixels, index * 257.0)
    else:
        assert code_of(to_bytes(dataset)) == code


def test_palette_without_tables() -> None:
    dataset = make((RAMP % 256).astype(np.uint8), PhotometricInterpretation="PALETTE COLOR")
    assert code_of(to_bytes(dataset)) == "image.bad-header"


# spacing, side, view, flags

CALIBRATED, DETECTOR = [0.14, 0.15], [0.2, 0.22]


@pytest.mark.parametrize(
    ("elements", "spacing", "source", "flag"),
    [
        ((CALIBRATED, DETECTOR, None, None), CALIBRATED, "calibrated", None),
        ((CALIBRATED, DETECTOR, None, 1.1), CALIBRATED, "calibrated", None),
        ((CALIBRATED, None, "FIDUCIAL", None), CALIBRATED, "calibrated", None),
        ((CALIBRATED, CALIBRATED, "GEOMETRY", None), CALIBRATED, "calibrated", None),
        ((DETECTOR, DETECTOR, None, 1.1), [0.2 / 1.1, 0.2], "magnification-corrected", None),
        ((None, DETECTOR, None, 1.1), [0.2 / 1.1, 0.2], "magnification-corrected", None),
        ((DETECTOR, DETECTOR, None, None), DETECTOR, "detector-plane", "spacing-detector-plane"),
        ((None, DETECTOR, None, None), DETECTOR, "detector-plane", "spacing-detector-plane"),
        ((CALIBRATED, None, None, None), CALIBRATED, "kind-unknown", "spacing-kind-unknown"),
        ((CALIBRATED, None, None, 1.1), CALIBRATED, "kind-unknown", "spacing-kind-unknown"),
        ((None, None, None, None), None, "unknown", "spacing-unknown"),
    ],
)
def test_spacing_rule(
    elements: tuple[Any, ...], spacing: list[float] | None, source: str, flag: str | None
) -> None:
    patient, detector, kind, magnification = elements
    dataset = make(PixelSpacing=patient, ImagerPixelSpacing=detector)
    if kind is not None:
        dataset.PixelSpacingCalibrationType = kind
    if magnification is not None:
        dataset.EstimatedRadiographicMagnificationFactor = magnification
    radiograph = read(dataset)
    assert radiograph.spacing_mm == (None if spacing is None else pytest.approx(tuple(spacing)))
    assert radiograph.spacing_source is SpacingSource(source)
    assert radiograph.flags == (frozenset() if flag is None else {Flag(flag)})


@pytest.mark.parametrize("broken", [[0.0, 0.14], [-0.1, -0.1], [0.1, 0.1, 0.1], "0.1\\x"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_spacing_counts_as_absent(broken: Any) -> None:
    dataset = make(ImagerPixelSpacing=None, PixelSpacing=None)
    element = pydicom.DataElement(
        "PixelSpacing", "LO", broken if isinstance(broken, str) else [str(b) for b in broken]
    )
    dataset["PixelSpacing"] = element
    data = to_bytes(dataset).replace(b"\x28\x00\x30\x00LO", b"\x28\x00\x30\x00DS")
    radiograph = read_dicom(data, contrast=Contrast.UNKNOWN)
    assert radiograph.spacing_mm is None
    assert {Flag.SPACING_UNKNOWN, Flag.HEADER_REPAIRED} <= radiograph.flags


def test_magnification_below_one_is_passed_over() -> None:
    dataset = make(PixelSpacing=None, EstimatedRadiographicMagnificationFactor=0)
    radiograph = read(dataset)
    assert radiograph.spacing_source is SpacingSource.DETECTOR_PLANE
    assert Flag.HEADER_REPAIRED in radiograph.flags


@pytest.mark.parametrize(
    ("image", "series", "side"),
    [
        ("R", "L", Side.RIGHT),
        ("L", None, Side.LEFT),
        ("", "L", Side.LEFT),
        (None, "R", Side.RIGHT),
        ("B", "L", None),
        ("U", None, None),
        (None, None, None),
    ],
)
def test_side(image: str | None, series: str | None, side: Side | None) -> None:
    dataset = make()
    if image is not None:
        dataset.ImageLaterality = image
    if series is not None:
        dataset.Laterality = series
    assert read(dataset).side is side


@pytest.mark.parametrize(
    ("position", "meaning", "view", "flag"),
    [
        ("PA", None, View.PA, None),
        ("ap ", None, View.AP, None),
        ("LL", None, View.OTHER, Flag.VIEW_NOT_PA_AP),
        ("SUNRISE", "postero-anterior", View.OTHER, Flag.VIEW_NOT_PA_AP),
        ("", "postero-anterior", View.PA, None),
        (None, "antero-posterior", View.AP, None),
        (None, "Antero-posterior oblique", View.OTHER, Flag.VIEW_NOT_PA_AP),
        ("", None, View.UNKNOWN, Flag.VIEW_UNKNOWN),
        (None, None, View.UNKNOWN, Flag.VIEW_UNKNOWN),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_view(position: str | None, meaning: str | None, view: View, flag: Flag | None) -> None:
    dataset = make(ViewPosition=position)
    if meaning is not None:
        item = Dataset()
        item.CodeMeaning = meaning
        dataset.ViewCodeSequence = [item]
    radiograph = read(dataset)
    assert radiograph.view is view
    assert radiograph.flags - {Flag.HEADER_REPAIRED} == (frozenset() if flag is None else {flag})


def test_for_processing_and_lossy_are_flagged() -> None:
    radiograph = read(make(PresentationIntentType="FOR PROCESSING", LossyImageCompression="01"))
    assert radiograph.flags == {Flag.FOR_PROCESSING, Flag.LOSSY_COMPRESSION}
    assert read(make(LossyImageCompression="00")).flags == frozenset()


def test_misspelt_character_set_is_flagged() -> None:
    data = to_bytes(make(SpecificCharacterSet="ISO_IR 100"))
    data = data.replace(b"CS\x0a\x00ISO_IR 100", b"CS\x0e\x00ISO_2022_IR_6 ")
    radiograph = read_dicom(data, contrast=Contrast.UNKNOWN)
    assert radiograph.flags == {Flag.CHARACTER_SET_REPAIRED}


def test_source_id_that_is_no_uid_becomes_a_hash() -> None:
    data = to_bytes(make()).replace(b"1.2.3.4\0", b"Secret\0\0")
    radiograph = read_dicom(data, contrast=Contrast.UNKNOWN)
    assert len(radiograph.source_id) == 64


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
        (_set(ModalityLUTSequence=[Dataset()]), "image.bad-header"),
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


@pytest.mark.parametrize(
    "syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGBaseline8Bit]
)
def test_compressed_headers_that_lie(syntax: uid.UID) -> None:
    if syntax == uid.JPEGBaseline8Bit:
        dataset = pydicom.dcmread(SAMPLES / "SC_rgb_jpeg_dcmtk.dcm")
    else:
        dataset = make()
        dataset.compress(syntax)
    dataset.Rows = dataset.Columns = 9000
    rle = syntax == uid.RLELossless
    tracemalloc.start()
    try:
        assert code_of(to_bytes(dataset)) == ("image.truncated" if rle else "image.bad-header")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_codestream_larger_than_its_header() -> None:
    dataset = make()
    dataset.compress(uid.JPEG2000Lossless)
    size = (80).to_bytes(4) + (64).to_bytes(4)
    huge = (60_000).to_bytes(4) * 2
    assert size in dataset.PixelData
    dataset.PixelData = dataset.PixelData.replace(size, huge)
    dataset["PixelData"].is_undefined_length = True
    assert code_of(to_bytes(dataset)) == "image.bad-header"


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless])
def test_codestream_that_breaks_off(syntax: uid.UID) -> None:
    dataset = make(np.random.default_rng(0).integers(0, 4096, (64, 80), dtype=np.uint16))
    dataset.compress(syntax)
    frame = dataset.PixelData[16 : len(dataset.PixelData) // 2]
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    assert code_of(to_bytes(dataset)) == "image.truncated"


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "JPEG2000.dcm", "MR_small.dcm"])
def test_files_that_break_off(name: str, share: float) -> None:
    data = (SAMPLES / name).read_bytes()
    code = code_of(data[: int(share * len(data))])
    assert code in {"image.truncated", "image.no-pixels", "image.unreadable"}


@pytest.mark.parametrize("syntax", [uid.MPEG2MPML, uid.UID("1.2.3.4.5")])
def test_unknown_compression(syntax: uid.UID) -> None:
    dataset = make(PixelData=encapsulate([b"12345678"]))
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
    assert code_of(file.getvalue()) == "image.no-decoder"


def test_plugin_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make()
    dataset.compress(uid.JPEGLSLossless)
    monkeypatch.setattr(dicom, "DECODING_PLUGINS", {uid.JPEGLSLossless: "absent"})
    assert code_of(to_bytes(dataset)) == "image.no-decoder"


def test_without_preamble_or_meta() -> None:
    file = BytesIO()
    dataset = make()
    dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    dataset.save_as(file, implicit_vr=True, little_endian=True, enforce_file_format=False)
    bare = file.getvalue()[file.getvalue().index(b"\x08\x00\x16\x00") :]
    assert bare[128:132] != b"DICM"
    radiograph = read_dicom(bare, contrast=Contrast.UNKNOWN)
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert Flag.HEADER_REPAIRED in radiograph.flags


@pytest.mark.real_data
def test_real_rgb_films(real_data: Path) -> None:
    films = sorted((real_data / "not-knees").glob("*.dcm"))
    assert films
    for film in films:
        radiograph = read_radiograph(film)
        assert min(radiograph.pixels.shape) > 200
        assert radiograph.spacing_source is SpacingSource.KIND_UNKNOWN
