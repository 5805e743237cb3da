"""How large and of what shape a pixel is, however a header puts it."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from kneegrade.errors import ImageError
from kneegrade.images.read import read_radiograph
from kneegrade.types import Flag, Radiograph, SpacingSource


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read_film(
        elements: dict[str, Any], raw: dict[str, tuple[str, bytes]], **options: Any
    ) -> Any:
        """Read a film with these elements, some of them written byte by byte with a VR."""
        film = Dataset()
        film.file_meta = FileMetaDataset()
        film.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        film.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
        film.SOPInstanceUID = "1.2.3"
        film.Rows, film.Columns, film.SamplesPerPixel = 64, 64, 1
        film.PhotometricInterpretation, film.PixelRepresentation = "MONOCHROME2", 0
        film.BitsAllocated, film.BitsStored, film.HighBit = 8, 8, 7
        film.ViewPosition = "PA"
        film.PixelData = np.arange(64 * 64, dtype=np.uint16).astype(np.uint8).tobytes()
        for keyword, value in elements.items():
            setattr(film, keyword, value)
        for keyword in raw:
            film.add_new(keyword, "LO", f"<{keyword}>")
        file = BytesIO()
        film.save_as(file, enforce_file_format=True)
        data = file.getvalue()
        for keyword, (vr, value) in raw.items():
            stand_in = f"<{keyword}>".encode()
            stand_in += b" " * (len(stand_in) % 2)
            old = b"LO" + len(stand_in).to_bytes(2, "little") + stand_in
            assert data.count(old) == 1
            length = len(value).to_bytes(2, "little")
            if vr in {"UN", "OB"}:
                length = b"\0\0" + len(value).to_bytes(4, "little")
            data = data.replace(old, vr.encode() + length + value)
        path = tmp_path / "film.dcm"
        path.write_bytes(data)
        return read_radiograph(path, **options)

    return read_film


@pytest.mark.parametrize(
    ("vr", "written"),
    [
        ("DS", b"0,143\\0,15 "),
        ("DS", b"0.143,0.15"),
        ("DS", b"0,143,0,15"),
        ("DS", b"0.143; 0.15 "),
        ("DS", b"0.143 0.15"),
        ("DS", b"0.143, 0.15"),
        ("DS", b"0,143, 0,15"),
        ("DS", b"0.143x0.15"),
        ("DS", b"0.143mm\\0.15mm"),
        ("DS", b"[0.143, 0.15]"),
        ("DS", b"0.143\\0.15\\1.0"),
        ("LO", b"0.143\\0.15"),
        ("SH", b" 0,143\\0,15"),
        ("UN", b"0.143\\0.15 "),
        ("OB", b"0.143\\0.15\0"),
        ("FD", np.array([0.143, 0.15]).tobytes()),
    ],
)
def test_spacing_is_read_however_it_is_written(read: Any, vr: str, written: bytes) -> None:
    film: Radiograph = read({}, {"PixelSpacing": (vr, written)})
    assert film.spacing_mm == pytest.approx((0.143, 0.15))
    assert film.spacing_source is SpacingSource.KIND_UNKNOWN
    assert Flag.HEADER_REPAIRED in film.flags


def test_spacing_as_the_standard_writes_it_is_not_flagged(read: Any) -> None:
    film = read({}, {"PixelSpacing": ("DS", b"1.43e-1\\ 0.15 ")})
    assert film.spacing_mm == pytest.approx((0.143, 0.15))
    assert Flag.HEADER_REPAIRED not in film.flags


@pytest.mark.parametrize("written", [b"0,143 ", b"0.143 ", b"0.143\\"])
def test_one_number_stands_for_both(read: Any, written: bytes) -> None:
    film = read({}, {"PixelSpacing": ("DS", written)})
    assert film.spacing_mm == pytest.approx((0.143, 0.143))
    assert Flag.HEADER_REPAIRED in film.flags


@pytest.mark.parametrize("written", [b"a\\b ", b"0.1\\-0.1", b"nan\\nan ", b"1_0\\1_0 "])
def test_no_spacing_is_made_of_what_is_no_number(read: Any, written: bytes) -> None:
    film = read({}, {"PixelSpacing": ("DS", written + b" " * (len(written) % 2))})
    assert film.spacing_mm is None
    assert {Flag.HEADER_REPAIRED, Flag.SPACING_UNKNOWN} <= film.flags


def test_spacing_of_a_scanned_film(read: Any) -> None:
    scanned = read({"NominalScannedPixelSpacing": [0.1, 0.12]}, {})
    assert scanned.spacing_mm == (0.1, 0.12)
    assert scanned.spacing_source is SpacingSource.DETECTOR_PLANE
    calibrated = read({"NominalScannedPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.09, 0.09]}, {})
    assert calibrated.spacing_source is SpacingSource.CALIBRATED
    both = read({"NominalScannedPixelSpacing": [1, 1], "ImagerPixelSpacing": [0.2, 0.2]}, {})
    assert both.spacing_mm == (0.2, 0.2)


@pytest.mark.parametrize(
    ("vr", "written", "flagged"),
    [
        ("IS", b"4\\5 ", False),
        ("IS", b"0.8\\1 ", False),
        ("LO", b"4 5 ", True),
        ("IS", b"4,5 ", True),
        ("IS", b"4:5 ", True),
        ("DS", b"0,8\\1 ", True),
    ],
)
def test_shape_of_a_pixel_without_its_size(
    read: Any, vr: str, written: bytes, flagged: bool
) -> None:
    film = read({}, {"PixelAspectRatio": (vr, written)})
    assert film.pixel_aspect == pytest.approx(0.8)
    assert film.spacing_mm is None
    assert (Flag.HEADER_REPAIRED in film.flags) is flagged


@pytest.mark.parametrize("written", [b"0\\1 ", b"1\\20", b"x\\1 "])
def test_a_shape_that_no_pixel_has_is_passed_over(read: Any, written: bytes) -> None:
    film = read({}, {"PixelAspectRatio": ("IS", written)})
    assert film.pixel_aspect == 1
    assert Flag.HEADER_REPAIRED in film.flags


def test_spacing_tells_the_shape_before_the_ratio(read: Any) -> None:
    film = read({"ImagerPixelSpacing": [0.2, 0.25], "PixelAspectRatio": ["1", "2"]}, {})
    assert film.pixel_aspect == pytest.approx(0.8)
    assert Flag.HEADER_REPAIRED in film.flags, "they contradict each other"
    agreed = read({"ImagerPixelSpacing": [0.2, 0.25], "PixelAspectRatio": ["4", "5"]}, {})
    assert Flag.HEADER_REPAIRED not in agreed.flags


def test_a_name_in_the_place_of_a_syntax_is_not_printed(read: Any, tmp_path: Path) -> None:
    read({}, {})
    data = (tmp_path / "film.dcm").read_bytes()
    syntax = pydicom.uid.ExplicitVRLittleEndian.encode() + b"\0"
    start = data.index(syntax)
    broken = data[:start] + b"DOE^JANE".ljust(len(syntax), b"X") + data[start + len(syntax) :]
    (tmp_path / "film.dcm").write_bytes(broken[:-100])
    with pytest.raises(ImageError) as caught:
        read_radiograph(tmp_path / "film.dcm")
    assert caught.value.code == "image.no-decoder"
    assert "DOE" not in str(caught.value)


def test_one_number_of_the_caller_keeps_the_shape(read: Any) -> None:
    film = read({"PixelAspectRatio": ["4", "5"]}, {}, spacing_mm=0.2)
    assert film.spacing_mm == pytest.approx((0.2, 0.25))
    assert film.spacing_source is SpacingSource.CALLER
    assert not {Flag.SPACING_UNKNOWN, Flag.HEADER_REPAIRED} & film.flags
    two = read({"PixelAspectRatio": ["4", "5"]}, {}, spacing_mm=(0.2, 0.2))
    assert two.spacing_mm == (0.2, 0.2)
