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
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from kneegrade.images.dicom.codestreams import Codestream
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

LOSSY_SYNTAXES: Final = frozenset({uid.JPEG2000, uid.HTJ2K})
"""Transfer syntaxes that may lose where the codestream does not tell."""

SAME_SPACING: Final = 0.02
"""Relative difference below which two spacings are one number, written twice or rounded."""
MOST_MAGNIFIED: Final = 1.6
"""No radiograph of a knee is magnified more: distances to the detector and to the knee."""

SPACING_FLAGS: Final = MappingProxyType(
    {
        SpacingSource.DETECTOR_PLANE: Flag.SPACING_DETECTOR_PLANE,
        SpacingSource.KIND_UNKNOWN: Flag.SPACING_KIND_UNKNOWN,
        SpacingSource.UNKNOWN: Flag.SPACING_UNKNOWN,
    }
)
"""What a reader must know where the millimetres come from there."""

MOST_OBLONG: Final = 4.0
"""A pixel that is more times as high as wide, or as wide as high, is a broken header."""

_BINARY_VRS: Final = frozenset({"FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"})
_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,3})?")
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
    """Size of a pixel by DICOM PS3.3 sections 10.7.1 and C.8.6.1: never a default.

    In this order: PixelSpacing that was calibrated (it says how, or it is smaller, by what knees
    are magnified, than the spacing at the detector or on the film that was scanned:
    ImagerPixelSpacing, else NominalScannedPixelSpacing); PixelSpacing of unknown kind where that
    contradicts it; that spacing divided by EstimatedRadiographicMagnificationFactor; that spacing;
    PixelSpacing of unknown kind; none. Unknown kinds, the detector's and none are flagged.

    Returns
    -------
    spacing_mm : (row, col) or None
    spacing_source : SpacingSource
    """
    detector = _pair(dataset, "ImagerPixelSpacing", flags)
    spacing, source = _choose_spacing(
        _pair(dataset, "PixelSpacing", flags),
        detector or _pair(dataset, "NominalScannedPixelSpacing", flags),
        read_value(dataset, "PixelSpacingCalibrationType", flags) is not None,
        _magnification(dataset, flags),
        flags,
    )
    if source in SPACING_FLAGS:
        flags.add(SPACING_FLAGS[source])
    return spacing, source


def read_pixel_aspect(
    dataset: Dataset, spacing_mm: tuple[float, float] | None, flags: set[Flag]
) -> float:
    """Height of a pixel over its width: by its spacing, else PixelAspectRatio, else 1.

    DICOM PS3.3 section C.7.6.3.1.7; flagged where both are there and contradict each other.
    """
    told = _pair(dataset, "PixelAspectRatio", flags)
    height, width = spacing_mm or told or (1.0, 1.0)
    if told is not None and not _is_same(told[0] / told[1], height / width):
        flags.add(Flag.HEADER_REPAIRED)
    return height / width


def _choose_spacing(
    patient: tuple[float, float] | None,
    detector: tuple[float, float] | None,
    calibration_named: bool,
    magnification: float | None,
    flags: set[Flag],
) -> tuple[tuple[float, float] | None, SpacingSource]:
    if patient is not None and calibration_named:
        return patient, SpacingSource.CALIBRATED
    if patient is not None and detector is not None:
        by_row, by_col = detector[0] / patient[0], detector[1] / patient[1]
        if not (_is_same(by_row, 1) and _is_same(by_col, 1)):
            if _is_same(by_row, by_col) and 1 < by_row <= MOST_MAGNIFIED:
                return patient, SpacingSource.CALIBRATED
            flags.add(Flag.HEADER_REPAIRED)  # neither is the other, corrected
            return patient, SpacingSource.KIND_UNKNOWN
    if detector is not None and magnification is not None:
        corrected = (detector[0] / magnification, detector[1] / magnification)
        return corrected, SpacingSource.MAGNIFICATION_CORRECTED
    if detector is not None:
        return detector, SpacingSource.DETECTOR_PLANE
    if patient is not None:
        return patient, SpacingSource.KIND_UNKNOWN
    return None, SpacingSource.UNKNOWN


def _pair(dataset: Dataset, keyword: str, flags: set[Flag]) -> tuple[float, float] | None:
    """Positive numbers of rows and columns, the first two; one alone stands for both."""
    numbers = read_written_numbers(dataset, keyword, flags, n=2)
    if not numbers:
        return None
    if len(numbers) != 2:
        flags.add(Flag.HEADER_REPAIRED)
    row, col = (numbers * 2)[:2]
    if min(row, col) <= 0 or not 1 / MOST_OBLONG <= row / col <= MOST_OBLONG:
        flags.add(Flag.HEADER_REPAIRED)
        return None
    return row, col


def _is_same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME_SPACING)


def _magnification(dataset: Dataset, flags: set[Flag]) -> float | None:
    """Source-to-detector over source-to-patient distance; 1 stands for one that nobody measured."""
    numbers = read_written_numbers(dataset, "EstimatedRadiographicMagnificationFactor", flags)
    if not numbers or numbers == (1,):
        return None
    if len(numbers) != 1 or not 1 < numbers[0] <= MOST_MAGNIFIED:
        flags.add(Flag.HEADER_REPAIRED)
        return None
    return numbers[0]


def read_written_numbers(
    dataset: Dataset, keyword: str, flags: set[Flag], *, n: int = 1
) -> tuple[float, ...]:
    """`read_numbers` of an element whose numbers are text, however they were written.

    Decimal commas, another separator than the backslash, brackets, a unit, and a text under another
    VR than the element's own are read and flagged. ``n`` is how many numbers there should be.
    """
    raw: Any = dataset.get_item(keyword) if keyword in dataset else None
    if not isinstance(raw, RawDataElement) or not raw.value:
        return read_numbers(dataset, keyword, flags)
    if raw.VR in _BINARY_VRS:
        flags.add(Flag.HEADER_REPAIRED)
        return read_numbers(dataset, keyword, flags)
    text = raw.value.decode("ascii", "replace").strip("\0 ")
    numbers = _parse_numbers(text, n)
    is_standard = all(_NUMBER.fullmatch(part.strip(" ")) for part in text.split("\\"))
    if "," in text or not is_standard or raw.VR not in {None, "DS", "IS"}:
        flags.add(Flag.HEADER_REPAIRED)
    return numbers


def _parse_numbers(text: str, n: int) -> tuple[float, ...]:
    """Numbers of a text, of which there should be ``n``; none where a part of it is no number."""
    plain = re.sub(r"mm|[\[\](){}\"']", " ", text.lower())
    parts = [part for part in re.split(r"[\\;:/\s]+|(?<=\d)x|,\s+", plain) if part]
    if len(parts) == 1 and "," in parts[0]:
        decimals = parts[0].split(",")
        is_pair = n == 2 and len(decimals) == 2 and decimals[0] != "0"  # 4,5: 0,5 is a half
        if "." in text or len(decimals) == 3 or is_pair:  # 0.143,0.143: commas between numbers
            parts = decimals
        elif len(decimals) == 4:  # 0,143,0,143
            parts = [",".join(decimals[:2]), ",".join(decimals[2:])]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        return ()
    return tuple(float(part.replace(",", ".")) for part in parts)


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


def read_processing(
    dataset: Dataset, syntax: uid.UID | None, codestream: Codestream | None, flags: set[Flag]
) -> None:
    """Flag raw detector values and loss by compression: what the codestream tells goes first."""
    intent = str(read_value(dataset, "PresentationIntentType", flags) or "")
    if intent.strip().upper() == "FOR PROCESSING":
        flags.add(Flag.FOR_PROCESSING)
    lossy = codestream.lossy if codestream is not None else False
    if lossy is None:
        lossy = syntax in LOSSY_SYNTAXES
    stated = str(read_value(dataset, "LossyImageCompression", flags) or "").strip()
    ratios = read_numbers(dataset, "LossyImageCompressionRatio", flags)
    if lossy or stated in {"01", "1"} or max(ratios, default=0) > 1:
        flags.add(Flag.LOSSY_COMPRESSION)


def read_synthetic(dataset: Dataset, flags: set[Flag]) -> None:
    """Flag what SyntheticData (0008,001C) says was made artificially (PS3.3 section C.12.1)."""
    if str(read_value(dataset, "SyntheticData", flags) or "").strip().upper() == "YES":
        flags.add(Flag.SYNTHETIC)


def read_source_id(dataset: Dataset, flags: set[Flag]) -> str | None:
    """SOP Instance UID, or None where it is no UID."""
    text = str(read_value(dataset, "SOPInstanceUID", flags) or "")
    return text if re.fullmatch(r"[0-9.]{1,64}", text) else None
