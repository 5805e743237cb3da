"""DICOM files made for tests: one that breaks no rule, then what the test changes."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from kneegrade.errors import ImageError
from kneegrade.images.dicom.read import read_dicom
from kneegrade.types import Contrast, Radiograph

SAMPLES = Path(pydicom.__file__).parent / "data/test_files"
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


ENCODERS = {
    uid.JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(
        pixels, codecformat="j2k", reversible=True
    ),
    uid.JPEG2000: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=90, codecformat="j2k"),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEGLSNearLossless: lambda pixels: imagecodecs.jpegls_encode(pixels, level=2),
    uid.JPEGLosslessSV1: lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True),
    uid.JPEGExtended12Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, 95, bitspersample=12),
    uid.JPEGBaseline8Bit: lambda pixels: imagecodecs.jpeg8_encode(
        (pixels >> 4).astype(np.uint8), 95
    ),
}
"""How 12-bit values become a codestream, by transfer syntax."""


def encode(syntax: uid.UID, pixels: np.ndarray = RAMP) -> bytes:
    """A codestream of 12-bit values."""
    stream: bytes = ENCODERS[syntax](pixels)
    return stream


def compress(syntax: uid.UID, pixels: np.ndarray = RAMP, **elements: Any) -> Dataset:
    """A digital radiograph of 12-bit values, compressed."""
    dataset = make(pixels, BitsStored=12, HighBit=11)
    if syntax == uid.JPEGBaseline8Bit:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.file_meta.TransferSyntaxUID = syntax
    wrap(dataset, encapsulate([encode(syntax, pixels)]))
    dataset.update(elements)
    return dataset


def wrap(dataset: Dataset, value: bytes) -> None:
    """Give a dataset encapsulated pixels."""
    dataset.PixelData = value
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
