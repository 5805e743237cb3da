"""What a DICOM header tells beside the pixels: spacing, side, view, and how far to trust it.

Whatever is broken here counts as absent and is flagged; only pixels are worth an error.
"""

import math
import re
import struct
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Final

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from kneegrade.types import Flag, Side, SpacingSource, View

PYDICOM_ERRORS: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OSError,
    struct.error,
    LookupError,
    ArithmeticError,
    RuntimeError,
    NotImplementedError,
    BytesLengthException,
)
"""What pydicom and its decoders raise on broken files."""

LOSSY_SYNTAXES: Final = frozenset(
    {
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLSNearLossless,
        uid.JPEG2000,
        uid.HTJ2K,
    }
)
"""Transfer syntaxes that lose, or that may and do not tell."""

SAME_SPACING: Final = 1e-3
"""Relative difference below which two spacings are one number written twice."""

_SPACING_FLAGS: Final = MappingProxyType(
    {
        SpacingSource.DETECTOR_PLANE: Flag.SPACING_DETECTOR_PLANE,
        SpacingSource.KIND_UNKNOWN: Flag.SPACING_KIND_UNKNOWN,
        SpacingSource.UNKNOWN: Flag.SPACING_UNKNOWN,
    }
)
_VIEW_FLAGS: Final = MappingProxyType(
    {View.OTHER: Flag.VIEW_NOT_PA_AP, View.UNKNOWN: Flag.VIEW_UNKNOWN}
)
_VIEWS: Final = MappingProxyType(
    {"pa": View.PA, "posteroanterior": View.PA, "ap": View.AP, "anteroposterior": View.AP}
)


def read_value(dataset: Dataset, keyword: str, flags: set[Flag]) -> Any:
    """Value of an element, or None where it is absent, empty or broken (then it is flagged)."""
    try:
        value = dataset.get(keyword)
    except PYDICOM_ERRORS:
        flags.add(Flag.HEADER_REPAIRED)
        return None
    return None if value is None or value == "" else value


def read_numbers(dataset: Dataset, keyword: str, flags: set[Flag]) -> tuple[float, ...]:
    """Finite numbers of an element; empty where it is absent or broken (then it is flagged)."""
    value = read_value(dataset, keyword, flags)
    if value is None:
        return ()
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    try:
        numbers = tuple(float(number) for number in (value if several else [value]))
    except (TypeError, ValueError):
        numbers = (math.nan,)
    if not all(math.isfinite(number) for number in numbers):
        flags.add(Flag.HEADER_REPAIRED)
        return ()
    return numbers


def read_spacing(
    dataset: Dataset, flags: set[Flag]
) -> tuple[tuple[float, float] | None, SpacingSource]:
    """Size of a pixel by DICOM PS3.3 section 10.7.1: never a default.

    In this order: PixelSpacing that was calibrated (it says how, or it differs from
    ImagerPixelSpacing); ImagerPixelSpacing divided by EstimatedRadiographicMagnificationFactor;
    ImagerPixelSpacing; PixelSpacing of unknown kind; none. The last three are flagged.

    Returns
    -------
    spacing_mm : (row, col) or None
    spacing_source : SpacingSource
    """
    spacing, source = _choose_spacing(
        _pair(dataset, "PixelSpacing", flags),
        _pair(dataset, "ImagerPixelSpacing", flags),
        read_value(dataset, "PixelSpacingCalibrationType", flags) is not None,
        _magnification(dataset, flags),
    )
    if source in _SPACING_FLAGS:
        flags.add(_SPACING_FLAGS[source])
    return spacing, source


def _choose_spacing(
    patient: tuple[float, float] | None,
    detector: tuple[float, float] | None,
    calibration_named: bool,
    magnification: float | None,
) -> tuple[tuple[float, float] | None, SpacingSource]:
    if patient is not None:
        differs = detector is not None and not all(
            math.isclose(a, b, rel_tol=SAME_SPACING) for a, b in zip(patient, detector, strict=True)
        )
        if calibration_named or differs:
            return patient, SpacingSource.CALIBRATED
    if detector is not None and magnification is not None:
        corrected = (detector[0] / magnification, detector[1] / magnification)
        return corrected, SpacingSource.MAGNIFICATION_CORRECTED
    if detector is not None:
        return detector, SpacingSource.DETECTOR_PLANE
    if patient is not None:
        return patient, SpacingSource.KIND_UNKNOWN
    return None, SpacingSource.UNKNOWN


def _pair(dataset: Dataset, keyword: str, flags: set[Flag]) -> tuple[float, float] | None:
    numbers = read_numbers(dataset, keyword, flags)
    if not numbers:
        return None
    if len(numbers) != 2 or min(numbers) <= 0:
        flags.add(Flag.HEADER_REPAIRED)
        return None
    return numbers[0], numbers[1]


def _magnification(dataset: Dataset, flags: set[Flag]) -> float | None:
    """Source-to-detector over source-to-patient distance: 1 or more, else it is broken."""
    numbers = read_numbers(dataset, "EstimatedRadiographicMagnificationFactor", flags)
    if not numbers:
        return None
    if len(numbers) != 1 or numbers[0] < 1:
        flags.add(Flag.HEADER_REPAIRED)
        return None
    return numbers[0]


def read_side(dataset: Dataset, flags: set[Flag]) -> Side | None:
    """Side from ImageLaterality, else from Laterality; both sides or none gives None."""
    for keyword in ("ImageLaterality", "Laterality"):
        text = str(read_value(dataset, keyword, flags) or "").strip()
        if text:
            try:
                return Side.parse(text)
            except ValueError:  # B for both, U for unpaired
                return None
    return None


def read_view(dataset: Dataset, flags: set[Flag]) -> View:
    """Projection from ViewPosition, else from the meaning of ViewCodeSequence; else flagged."""
    text = str(read_value(dataset, "ViewPosition", flags) or "")
    if not text.strip():
        items = read_value(dataset, "ViewCodeSequence", flags)
        if isinstance(items, Iterable) and not isinstance(items, str | bytes):
            for item in list(items)[:1]:
                text = str(read_value(item, "CodeMeaning", flags) or "")
    letters = re.sub(r"[^a-z]", "", text.lower())
    view = _VIEWS.get(letters, View.OTHER) if letters else View.UNKNOWN
    if view in _VIEW_FLAGS:
        flags.add(_VIEW_FLAGS[view])
    return view


def read_processing(dataset: Dataset, syntax: uid.UID, flags: set[Flag]) -> None:
    """Flag raw detector values and loss by compression."""
    intent = str(read_value(dataset, "PresentationIntentType", flags) or "")
    if intent.strip().upper() == "FOR PROCESSING":
        flags.add(Flag.FOR_PROCESSING)
    lossy = str(read_value(dataset, "LossyImageCompression", flags) or "").strip()
    if lossy == "01" or syntax in LOSSY_SYNTAXES:
        flags.add(Flag.LOSSY_COMPRESSION)


def read_synthetic(dataset: Dataset, flags: set[Flag]) -> None:
    """Flag what SyntheticData (0008,001C) says was made artificially (PS3.3 section C.12.1)."""
    if str(read_value(dataset, "SyntheticData", flags) or "").strip().upper() == "YES":
        flags.add(Flag.SYNTHETIC)


def read_source_id(dataset: Dataset, flags: set[Flag]) -> str | None:
    """SOP Instance UID, or None where it is no UID."""
    text = str(read_value(dataset, "SOPInstanceUID", flags) or "")
    return text if re.fullmatch(r"[0-9.]{1,64}", text) else None
