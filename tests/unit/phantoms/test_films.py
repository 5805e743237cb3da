import cv2
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from kneegrade.phantoms.films import (
    draw_phantom,
    stamp_film,
    write_dicom_film,
    write_raster_film,
)
from kneegrade.types import Grades, Side, Task

GRADES = Grades(
    {Task.FO_L: 0, Task.FO_M: 1, Task.TO_L: 0, Task.TO_M: 2, Task.JSN_L: 0, Task.JSN_M: 1}
)


@pytest.fixture(scope="module")
def knee():
    return draw_phantom(
        side=Side.LEFT,
        grades=GRADES,
        spacing_mm=0.5,
        size_mm=(150, 130),
        rng=np.random.default_rng(3),
    )


def test_the_truth_goes_with_the_film(knee):
    assert knee.side is Side.LEFT
    assert knee.grades[Task.KL] == 2
    assert knee.pixels.shape == (300, 260)
    assert knee.landmarks_px.shape == (16, 2)
    assert knee.landmarks_px[0, 1] > knee.landmarks_px[8, 1], "lateral is right in a left knee"
    with pytest.raises(ValueError, match="read-only"):
        knee.pixels[0, 0] = 1


def test_the_stamp_is_there_and_away_from_the_joint():
    grey = np.full((300, 260), 2000, np.uint16)
    marked, unmarked = stamp_film(grey, side=Side.RIGHT), stamp_film(grey, side=None)
    changed = np.argwhere(unmarked != grey)
    assert changed[:, 0].min() > 0.9 * 300
    assert np.ptp(changed[:, 1]) > 50
    assert set(np.unique(unmarked)) == {60, 2000, 3900}
    letter = np.argwhere(marked != unmarked)
    assert letter[:, 0].max() < 60
    assert letter[:, 1].max() < 60
    assert np.argwhere(stamp_film(grey, side=Side.LEFT) != unmarked)[:, 1].min() > 200
    with pytest.raises(ValueError, match="100 pixels"):
        stamp_film(grey[:50], side=None)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, JPEGLSLossless, JPEG2000Lossless, RLELossless]
)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_dicom_film_gives_its_pixels_back(knee, tmp_path, syntax, inverted):
    path = tmp_path / "film.dcm"
    write_dicom_film(
        path,
        knee.pixels,
        side=knee.side,
        spacing_mm=knee.spacing_mm,
        inverted=inverted,
        transfer_syntax=syntax,
    )
    ds = pydicom.dcmread(path)
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
    stored = ds.pixel_array
    assert np.array_equal(4095 - stored if inverted else stored, knee.pixels)
    assert (ds.BitsStored, ds.HighBit) == (12, 11)


def test_the_header_is_that_of_a_digital_x_ray_for_presentation(knee, tmp_path):
    path = tmp_path / "film.dcm"
    write_dicom_film(path, knee.pixels, side=knee.side, spacing_mm=0.5)
    first = path.read_bytes()
    ds = pydicom.dcmread(path)
    assert ds.SOPClassUID.name == "Digital X-Ray Image Storage - For Presentation"
    assert (str(ds.PatientName), ds.PatientID) == ("SYNTHETIC^PHANTOM", "PHANTOM-01")
    assert (ds.ImageLaterality, ds.ViewPosition, ds.BodyPartExamined) == ("L", "PA", "KNEE")
    assert list(ds.PatientOrientation) == ["L", "F"]
    assert list(ds.ImagerPixelSpacing) == [0.5, 0.5]
    write_dicom_film(path, knee.pixels, side=knee.side, spacing_mm=0.5)
    assert path.read_bytes() == first
    write_dicom_film(path, knee.pixels, side=knee.side, spacing_mm=0.5, header_complete=False)
    bare = pydicom.dcmread(path)
    assert not {"ImageLaterality", "ViewPosition", "PatientOrientation"} & set(bare.dir())


@pytest.mark.parametrize("name", ["film.png", "film.tif", "film.jpg"])
def test_a_picture_shows_the_film(knee, tmp_path, name):
    write_raster_film(tmp_path / name, knee.pixels)
    picture = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
    assert picture.shape == knee.pixels.shape
    difference = np.abs(picture.astype(int) - (knee.pixels >> 4))
    assert difference.mean() < (2 if name.endswith("jpg") else 1e-9)


def test_another_ending_is_refused(knee, tmp_path):
    with pytest.raises(ValueError, match=r"\.bmp"):
        write_raster_film(tmp_path / "film.bmp", knee.pixels)
