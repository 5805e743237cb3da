from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from made_dicom import RAMP, SAMPLES, code_of, make, read, to_bytes
from pydicom.dataset import Dataset

from kneegrade.errors import CODES, ImageError
from kneegrade.images.dicom.read import read_dicom
from kneegrade.images.read import read_radiograph
from kneegrade.types import Contrast, Flag, Side, SpacingSource, View

SAMPLE_FILES = sorted(path for path in SAMPLES.rglob("*") if path.is_file())


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
        ("MR_truncated.dcm", "image.truncated"),
        ("examples_palette.dcm", "image.colour"),
        ("examples_rgb_color.dcm", "image.colour"),
        ("examples_ybr_color.dcm", "image.multi-frame"),
        ("SC_rgb_jpeg_gdcm.dcm", "image.colour"),
        ("SC_ybr_full_422_uncompressed.dcm", "image.colour"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", "image.bad-header"),
        ("test-SR.dcm", "image.no-pixels"),
        ("rtplan_truncated.dcm", "image.truncated"),
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


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_jpeg_of_12_bits(name: str) -> None:
    radiograph = read_radiograph(SAMPLES / name)
    lossless = read_radiograph(SAMPLES / "JPEG2000.dcm")  # the same picture by another way
    likeness = np.corrcoef(radiograph.pixels.ravel(), lossless.pixels.ravel())[0, 1]
    assert likeness > 0.95
    assert Flag.LOSSY_COMPRESSION in radiograph.flags


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

CALIBRATED, DETECTOR = [0.14, 0.154], [0.2, 0.22]


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
        ((None, DETECTOR, None, 1), DETECTOR, "detector-plane", "spacing-detector-plane"),
        (
            ([0.1995, 0.22], DETECTOR, None, None),
            DETECTOR,
            "detector-plane",
            "spacing-detector-plane",
        ),
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


@pytest.mark.parametrize("broken", [[0.0, 0.14], [-0.1, -0.1], [0.01, 0.25], "0.1\\x"])
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


@pytest.mark.parametrize(
    "detector",
    [
        [1.0, 1.0],  # a placeholder
        [0.02, 0.02],  # cm
        [0.15, 0.165],  # it would be made smaller
        [0.2, 0.165],  # of another shape
    ],
)
def test_two_spacings_that_contradict_each_other_are_not_calibrated(detector: list[float]) -> None:
    radiograph = read(make(PixelSpacing=[0.2, 0.22], ImagerPixelSpacing=detector))
    assert radiograph.spacing_mm == (0.2, 0.22)
    assert radiograph.spacing_source is SpacingSource.KIND_UNKNOWN
    assert radiograph.flags == {Flag.SPACING_KIND_UNKNOWN, Flag.HEADER_REPAIRED}


@pytest.mark.parametrize("factor", [0, 0.9, 1.8])
def test_magnification_that_no_knee_has_is_passed_over(factor: float) -> None:
    dataset = make(PixelSpacing=None, EstimatedRadiographicMagnificationFactor=factor)
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


@pytest.mark.parametrize(("value", "is_synthetic"), [("YES", True), ("NO", False), ("", False)])
def test_synthetic_data_is_flagged(value: str, is_synthetic: bool) -> None:
    assert (Flag.SYNTHETIC in read(make(SyntheticData=value)).flags) is is_synthetic


def test_misspelt_character_set_is_flagged() -> None:
    data = to_bytes(make(SpecificCharacterSet="ISO_IR 100"))
    data = data.replace(b"CS\x0a\x00ISO_IR 100", b"CS\x0e\x00ISO_2022_IR_6 ")
    radiograph = read_dicom(data, contrast=Contrast.UNKNOWN)
    assert radiograph.flags == {Flag.CHARACTER_SET_REPAIRED}


def test_source_id_that_is_no_uid_becomes_a_hash() -> None:
    data = to_bytes(make()).replace(b"1.2.3.4\0", b"Secret\0\0")
    radiograph = read_dicom(data, contrast=Contrast.UNKNOWN)
    assert len(radiograph.source_id) == 64


@pytest.mark.real_data
def test_real_rgb_films(real_data: Path) -> None:
    films = sorted((real_data / "not-knees").glob("*.dcm"))
    assert films
    for film in films:
        radiograph = read_radiograph(film)
        assert min(radiograph.pixels.shape) > 200
        assert radiograph.spacing_source is SpacingSource.KIND_UNKNOWN
