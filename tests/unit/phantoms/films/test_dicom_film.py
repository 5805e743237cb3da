from dataclasses import replace

import numpy as np
import pydicom
import pytest
from made_films import NOTHING_IN_HEADER, draw_knee
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from kneegrade.images.read import read_radiograph
from kneegrade.phantoms.films.dicom_film import write_dicom_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.types import Flag, Side, SpacingSource, View

SYNTAXES = (ExplicitVRLittleEndian, JPEGLSLossless, JPEG2000Lossless, RLELossless)


@pytest.fixture(scope="module")
def film():
    return draw_knee(Side.LEFT)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_dicom_film_gives_its_pixels_back(film, tmp_path, syntax, inverted):
    path = tmp_path / "film.dcm"
    write_dicom_film(path, film, inverted=inverted, transfer_syntax=syntax)
    ds = pydicom.dcmread(path)
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
    stored = ds.pixel_array
    assert np.array_equal(4095 - stored if inverted else stored, film.pixels)
    assert (ds.BitsStored, ds.HighBit) == (12, 11)


@pytest.mark.parametrize("name", SCANNERS)
def test_every_scanners_film_is_read_back_bone_bright(film, tmp_path, name):
    scanner = SCANNERS[name]
    wide = np.asarray(film.pixels.astype(np.uint32) * scanner.white // 4095, np.uint16)
    written = replace(film, pixels=wide, scanner=scanner)
    write_dicom_film(tmp_path / "film.dcm", written, inverted=True)
    ds = pydicom.dcmread(tmp_path / "film.dcm")
    assert ds.BitsStored == scanner.bits
    assert ds.Modality == scanner.modality
    assert ("Digital" in ds.SOPClassUID.name) == (scanner.modality == "DX")
    read = read_radiograph(tmp_path / "film.dcm")
    assert (read.side, read.view) == (Side.LEFT, View.PA)
    assert read.spacing_source is SpacingSource.DETECTOR_PLANE
    assert read.spacing_mm == pytest.approx((film.spacing_mm, film.spacing_mm))
    assert np.corrcoef(read.pixels.ravel(), film.pixels.ravel())[0, 1] > 0.999


def test_the_header_says_phantom_and_can_be_changed(film, tmp_path):
    path = tmp_path / "film.dcm"
    write_dicom_film(path, film)
    first = path.read_bytes()
    ds = pydicom.dcmread(path)
    assert (str(ds.PatientName), ds.PatientID) == ("SYNTHETIC^PHANTOM", "PHANTOM-01")
    assert ds.SyntheticData == "YES"
    assert Flag.SYNTHETIC in read_radiograph(path).flags
    assert (ds.ImageLaterality, ds.ViewPosition, ds.BodyPartExamined) == ("L", "PA", "KNEE")
    assert list(ds.PatientOrientation) == ["L", "F"]
    write_dicom_film(path, film)
    assert path.read_bytes() == first
    changes = {**NOTHING_IN_HEADER, "ImagerPixelSpacing": None, "AccessionNumber": "16"}
    write_dicom_film(path, film, header=changes)
    bare = pydicom.dcmread(path)
    assert not {*NOTHING_IN_HEADER, "ImagerPixelSpacing"} & set(bare.dir())
    assert bare.AccessionNumber == "16"
