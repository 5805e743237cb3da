"""A phantom's film as a DICOM file of the digital (DX) or computed radiography (CR) kind."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    generate_uid,
)

from kneegrade.phantoms.films.film import PhantomFilm
from kneegrade.phantoms.films.scanners import Scanner

NO_CHANGES: Final[Mapping[str, object]] = MappingProxyType({})


def write_dicom_film(
    path: Path,
    film: PhantomFilm,
    *,
    header: Mapping[str, object] = NO_CHANGES,
    inverted: bool = False,
    transfer_syntax: UID = JPEGLSLossless,
) -> None:
    """Write a film as a DICOM image for presentation.

    A film of one knee has its laterality in the header, a film of both none, as in real ones;
    ImagerPixelSpacing is the size of a pixel at the detector. The same film, name and header give
    the same bytes.

    Parameters
    ----------
    path : pathlib.Path
        Overwritten where it exists.
    film : PhantomFilm
    header : mapping of str to object
        DICOM keyword to value, in place of the default; None leaves the attribute out.
    inverted : bool
        True stores the negative as MONOCHROME1; it shows the same image.
    transfer_syntax : pydicom.uid.UID
        Explicit VR Little Endian, or a lossless compression that pydicom can write.
    """
    stored = film.scanner.white - film.pixels if inverted else film.pixels
    digest = hashlib.sha256(film.pixels.tobytes() + path.name.encode()).hexdigest()
    ds = _patient_and_equipment(digest, film.scanner)
    _describe_view(ds, film)
    _describe_pixels(ds, film, inverted=inverted)
    for keyword, value in header.items():
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.PixelData = stored.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    if transfer_syntax != ExplicitVRLittleEndian:
        ds.compress(transfer_syntax, stored.astype(np.uint16), generate_instance_uid=False)
    with warnings.catch_warnings():
        # A misspelt character set is written as asked: readers must cope with it.
        warnings.filterwarnings("ignore", "Incorrect value for Specific Character Set")
        ds.save_as(path, enforce_file_format=True)


def _patient_and_equipment(digest: str, scanner: Scanner) -> Dataset:
    """Patient, study and equipment of a phantom; the UIDs follow from the digest."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    digital = scanner.modality == "DX"
    ds.SOPClassUID = (
        DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage
    )
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
    ds.Manufacturer, ds.ManufacturerModelName = "kneegrade", f"phantom {scanner.name}"
    ds.StudyDescription = ds.SeriesDescription = "SYNTHETIC KNEE, NOT A PATIENT"
    ds.Modality = scanner.modality
    if digital:
        ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SyntheticData = "YES"
    ds.BodyPartExamined = "KNEE"
    return ds


def _describe_view(ds: Dataset, film: PhantomFilm) -> None:
    ds.ViewPosition = "PA"
    ds.PatientOrientation = ["L", "F"]
    if len(film.knees) == 1:
        ds.ImageLaterality = next(iter(film.knees)).value[0].upper()
    elif film.knees:
        ds.ImageLaterality = "B"
    else:
        ds.BodyPartExamined = "HAND"


def _describe_pixels(ds: Dataset, film: PhantomFilm, *, inverted: bool) -> None:
    ds.ImagerPixelSpacing = [film.spacing_mm, film.spacing_mm]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "YES", "00"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1 if inverted else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    ds.WindowCenter, ds.WindowWidth = 2 ** (film.bits_stored - 1), 2**film.bits_stored
    ds.Rows, ds.Columns = film.pixels.shape
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, film.bits_stored, film.bits_stored - 1
