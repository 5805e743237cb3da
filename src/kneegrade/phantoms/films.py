"""A phantom's film as a file: stamped, marked, with its truth beside it.

Every film carries the word SYNTHETIC in its pixels, away from the joint, in whatever format it is
written.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    generate_uid,
)

from kneegrade.phantoms.anatomy import draw_knee_anatomy
from kneegrade.phantoms.exposure import expose_film, film_grid
from kneegrade.types import Grades, Side

Film = NDArray[np.uint16]

STAMP: Final = "SYNTHETIC"
WHITE: Final = 4095
"""The largest value of a 12-bit film."""

_LETTERS: Final = {
    "S": (".####", "#....", "#....", ".###.", "....#", "....#", "####."),
    "Y": ("#...#", "#...#", ".#.#.", "..#..", "..#..", "..#..", "..#.."),
    "N": ("#...#", "##..#", "##..#", "#.#.#", "#..##", "#..##", "#...#"),
    "T": ("#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#.."),
    "H": ("#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
    "I": (".###.", "..#..", "..#..", "..#..", "..#..", "..#..", ".###."),
    "C": (".####", "#....", "#....", "#....", "#....", "#....", ".####"),
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
}


@dataclass(frozen=True, eq=False)
class PhantomKnee:
    """One film and the truth that it was made with.

    Parameters
    ----------
    side : Side
    grades : Grades
        All seven tasks of the paper.
    pixels : (rows, cols) array, uint16 in [0, 4095]
        Bone bright, stamped. Read-only.
    landmarks_px : (16, 2) array
        ``(row, col)``, in the order of `anatomy.LANDMARK_NAMES`. Read-only.
    spacing_mm : float
        Size of a pixel at the detector, the same along rows and columns.
    """

    side: Side
    grades: Grades
    pixels: Film
    landmarks_px: NDArray[np.float64]
    spacing_mm: float

    def __post_init__(self) -> None:
        self.pixels.setflags(write=False)
        self.landmarks_px.setflags(write=False)


def draw_phantom(
    *,
    side: Side,
    grades: Grades,
    spacing_mm: float,
    size_mm: tuple[float, float],
    rng: np.random.Generator,
    marker: bool = True,
) -> PhantomKnee:
    """Draw a knee, take its film, stamp it.

    Parameters
    ----------
    side : Side
    grades : Grades
        As `draw_knee_anatomy`.
    spacing_mm : float
        Size of a pixel in mm.
    size_mm : (rows, cols)
        Size of the film in mm.
    rng : numpy.random.Generator
    marker : bool
        Whether the film shows an R or L at its lateral edge.

    Returns
    -------
    PhantomKnee

    Raises
    ------
    ValueError
        As `draw_knee_anatomy` and `film_grid`.
    """
    grid = film_grid(spacing_mm=spacing_mm, size_mm=size_mm)
    anatomy = draw_knee_anatomy(side=side, grades=grades, rng=rng)
    pixels = expose_film(anatomy, spacing_mm=spacing_mm, size_mm=size_mm, rng=rng)
    pixels = stamp_film(pixels, side=side if marker else None)
    return PhantomKnee(side, anatomy.grades, pixels, grid.to_px(anatomy.landmarks_mm), spacing_mm)


def stamp_film(pixels: Film, *, side: Side | None) -> Film:
    """Burn SYNTHETIC into the bottom left corner, and the side's letter into a top one.

    Parameters
    ----------
    pixels : (rows, cols) array, uint16
    side : Side or None
        R at the left edge or L at the right edge, the lateral side of the knee; None for no letter.

    Returns
    -------
    (rows, cols) array, uint16
        A copy.

    Raises
    ------
    ValueError
        If the film has fewer than 100 pixels either way.
    """
    if min(pixels.shape) < 100:
        raise ValueError(f"A film to stamp needs 100 pixels each way. Got {pixels.shape}.")
    stamped = pixels.copy()
    rows, cols = pixels.shape
    size = max(1, cols // 200)
    gap = 3 * size
    word = _lettering(STAMP, size)
    _burn(stamped, word, rows - gap - word.shape[0], gap)
    if side is not None:
        letter = _lettering(side.value[0].upper(), 2 * size)
        _burn(stamped, letter, gap, gap if side is Side.RIGHT else cols - gap - letter.shape[1])
    return stamped


def write_dicom_film(
    path: Path,
    pixels: Film,
    *,
    side: Side,
    spacing_mm: float,
    header_complete: bool = True,
    inverted: bool = False,
    transfer_syntax: UID = JPEGLSLossless,
) -> None:
    """Write a film as a DICOM digital x-ray image for presentation.

    Parameters
    ----------
    path : pathlib.Path
        Overwritten where it exists.
    pixels : (rows, cols) array, uint16 in [0, 4095]
        Bone bright.
    side : Side
    spacing_mm : float
        ImagerPixelSpacing.
    header_complete : bool
        False leaves out laterality, view and patient orientation, as many clinical headers do.
    inverted : bool
        True stores the negative as MONOCHROME1; it shows the same picture.
    transfer_syntax : pydicom.uid.UID
        Explicit VR Little Endian, or a lossless compression that pydicom can write.
    """
    digest = hashlib.sha256(pixels.tobytes() + path.name.encode()).hexdigest()
    ds = _phantom_header(digest)
    if header_complete:
        ds.ImageLaterality, ds.ViewPosition = side.value[0].upper(), "PA"
        ds.PatientOrientation = ["L", "F"]
    ds.ImagerPixelSpacing = [spacing_mm, spacing_mm]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "YES", "00"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1 if inverted else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    stored = (WHITE - pixels if inverted else pixels).astype("<u2")
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
    if transfer_syntax != ExplicitVRLittleEndian:
        ds.compress(transfer_syntax, stored, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)


def write_raster_film(path: Path, pixels: Film) -> None:
    """Write a film as a picture without a header: 8 bits, bone bright.

    Parameters
    ----------
    path : pathlib.Path
        Ends in .png, .jpg, .jpeg, .tif or .tiff; overwritten where it exists.
    pixels : (rows, cols) array, uint16 in [0, 4095]

    Raises
    ------
    ValueError
        If the ending names another format.
    """
    if path.suffix.lower() not in {".png", ".jpg", ".jpeg", ".tif", ".tiff"}:
        raise ValueError(f"A picture's name must end in .png, .jpg or .tif. Got {path.suffix!r}.")
    eight_bits = (pixels >> 4).astype(np.uint8)
    path.write_bytes(cv2.imencode(path.suffix.lower(), eight_bits)[1].tobytes())


def _phantom_header(digest: str) -> Dataset:
    """Patient, study and equipment of a phantom; the UIDs follow from the digest."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["image", digest])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", digest])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", digest])
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.PatientName, ds.PatientID = "SYNTHETIC^PHANTOM", "PHANTOM-01"
    ds.PatientBirthDate = ds.PatientSex = ds.ReferringPhysicianName = ds.AccessionNumber = ""
    ds.StudyDate = ds.ContentDate = "20250101"
    ds.StudyTime = ds.ContentTime = "120000"
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", "1", "1"
    ds.Manufacturer, ds.ManufacturerModelName = "kneegrade", "phantom"
    ds.StudyDescription = ds.SeriesDescription = "SYNTHETIC KNEE, NOT A PATIENT"
    ds.Modality, ds.PresentationIntentType = "DX", "FOR PRESENTATION"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.BodyPartExamined = "KNEE"
    return ds


def _lettering(text: str, size: int) -> NDArray[np.bool_]:
    """The text in 5 x 7 dots of ``size`` px, with a margin of one dot."""
    dots = [np.array([[c == "#" for c in row] for row in _LETTERS[letter]]) for letter in text]
    line = np.hstack([np.pad(letter, ((1, 1), (1, 0))) for letter in dots])
    return np.kron(np.pad(line, ((0, 0), (0, 1))), np.ones((size, size), bool))


def _burn(pixels: Film, dots: NDArray[np.bool_], row: int, col: int) -> None:
    """White letters on a black plate, readable over any tissue."""
    window = pixels[row : row + dots.shape[0], col : col + dots.shape[1]]
    window[:] = np.where(dots, np.uint16(3900), np.uint16(60))
