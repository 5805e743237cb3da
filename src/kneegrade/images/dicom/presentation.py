"""Stored values become what a reader sees (DICOM PS3.3 sections C.11.1, C.11.2 and C.7.5.1.1.2).

Modality LUT, then VOI LUT or window, then the inversion that the header asks for, so that bone is
bright. pydicom's own functions are not used: they wrap around where a table has 8-bit entries or
the values are signed, and turn the picture over under a negative slope.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kneegrade.arrays import FloatImage, Mask
from kneegrade.images.dicom.header import (
    PYDICOM_ERRORS,
    read_numbers,
    read_value,
    read_written_numbers,
)
from kneegrade.images.dicom.refusals import bad_header
from kneegrade.types import Flag

_N_PLACES: Final = 64
_MIN_DETAIL: Final = 0.005
"""Smallest difference that is a detail, as a share of the picture's range."""
_END_SHARE: Final = 0.01
"""How near to an end a place is shown as plain black or white, as a share of the range shown."""
_MAX_LOST: Final = 0.75
"""Share of the details that may be lost at one end. On 30 plain knee films, windows that show the
middle 60 % of the values lose up to 0.7, windows of 12 bits on values of 16 from 0.7 to 0.9."""


def present(
    stored: NDArray[Any], header: Dataset, little_endian: bool, high: float, flags: set[Flag]
) -> FloatImage:
    """Bring stored values to what a reader sees, bone bright and padding dark.

    Parameters
    ----------
    stored : (rows, cols) array of integers
    header : Dataset
    little_endian : bool
        Byte order of the tables.
    high : float
        Value that a window's upper end is shown as.
    flags : set of Flag
        Gets ``header-repaired`` where a broken table or window is passed over.

    Returns
    -------
    (rows, cols) array, float32

    Raises
    ------
    ImageError
        ``image.bad-header`` for a rescale that leaves nothing of the picture.
    """
    padding = _find_padding(stored, header, flags)
    values = _apply_modality(stored.astype(np.float32), header, little_endian, flags)
    shown = _apply_voi(values, header, little_endian, high, padding, flags)
    inside = shown if padding is None else shown[~padding]
    darkest, brightest = inside.min(), inside.max()
    if _is_inverted(header, flags):
        shown = brightest + darkest - shown
    if padding is not None:
        shown[padding] = darkest
    return shown


def _find_padding(stored: NDArray[Any], header: Dataset, flags: set[Flag]) -> Mask | None:
    """Pixels that were added around the picture (PS3.3 section C.7.5.1.1.2).

    Only what is joined with a corner of the picture: bone may have the padding's value too.
    """
    numbers = read_numbers(header, "PixelPaddingValue", flags)
    if len(numbers) != 1:
        return None
    limits = read_numbers(header, "PixelPaddingRangeLimit", flags) or numbers
    n_values = 2 ** int(header.get("BitsStored") or 16)
    low, high = (_as_stored(number, stored, n_values) for number in (numbers[0], limits[0]))
    alike = (stored >= min(low, high)) & (stored <= max(low, high))
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    corners = {int(label) for label in labels[[0, 0, -1, -1], [0, -1, 0, -1]]} - {0}
    padding: Mask = np.isin(labels, list(corners))
    if not corners:
        return None
    inside = stored[~padding]
    if inside.size == 0 or inside.min() == inside.max():  # it calls the picture itself padding
        flags.add(Flag.HEADER_REPAIRED)
        return None
    return padding


def _as_stored(number: float, stored: NDArray[Any], n_values: int) -> float:
    """A padding value as it lies in the pixels: with their sign, and within the bits stored."""
    if stored.min() < 0:
        return number - 2**16 if number >= 2**15 else number
    return number if 0 <= number <= stored.max() else int(number) % n_values


def _apply_modality(
    values: FloatImage, header: Dataset, little_endian: bool, flags: set[Flag]
) -> FloatImage:
    """Modality LUT, else rescale; a broken table is passed over and flagged."""
    tables = read_value(header, "ModalityLUTSequence", flags)
    if tables:
        try:
            return apply_table(values, tables[0], little_endian)
        except PYDICOM_ERRORS:
            flags.add(Flag.HEADER_REPAIRED)
    slope = read_written_numbers(header, "RescaleSlope", flags) or (1.0,)
    intercept = read_written_numbers(header, "RescaleIntercept", flags) or (0.0,)
    if slope[0] == 0:
        raise bad_header("a RescaleSlope of 0")
    with np.errstate(over="ignore", invalid="ignore"):
        rescaled: FloatImage = values * np.float32(slope[0]) + np.float32(intercept[0])
    return rescaled


def _apply_voi(
    values: FloatImage,
    header: Dataset,
    little_endian: bool,
    high: float,
    padding: Mask | None,
    flags: set[Flag],
) -> FloatImage:
    """First VOI LUT, else first window, else nothing; a broken one is passed over and flagged."""
    tables = read_value(header, "VOILUTSequence", flags)
    shown: FloatImage | None = None
    if tables:
        try:
            shown = apply_table(values, tables[0], little_endian)
        except PYDICOM_ERRORS:
            flags.add(Flag.HEADER_REPAIRED)
    if shown is None:
        shown = _apply_window(values, header, high, flags)
    if shown is not values and not _shows_picture(values, shown, padding):
        flags.add(Flag.HEADER_REPAIRED)
        return values
    return shown


def _shows_picture(values: FloatImage, shown: FloatImage, padding: Mask | None) -> bool:
    """Tell whether a window or table lies where the picture's own values are.

    Details are neighbouring places that differ. A tight window loses some of them at its dark and
    some at its bright end; one that lies beside the values loses nearly all at one of the two. A
    blank border hardly counts, for it has no details but its edge.
    """
    before, after = _average_places(values), _average_places(shown)
    if padding is not None:
        used = _average_places(padding.astype(np.float32)) == 0
        if used.any():
            before, after = np.where(used, before, np.nan), np.where(used, after, np.nan)
    low, high = np.nanmin(after), np.nanmax(after)
    if low == high:
        return False
    range_ = np.nanpercentile(before, 99) - np.nanpercentile(before, 1)
    at_end = [after < low + _END_SHARE * (high - low), after > high - _END_SHARE * (high - low)]
    n_details, n_lost = 0, [0, 0]
    for first, second in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        detail = np.abs(before[first] - before[second]) > _MIN_DETAIL * range_
        n_details += int(detail.sum())
        for n, lost in enumerate(at_end):
            n_lost[n] += int((detail & lost[first] & lost[second]).sum())
    return max(n_lost) <= _MAX_LOST * n_details


def _average_places(values: FloatImage) -> FloatImage:
    """Means over squares, about `_N_PLACES` along the shorter side."""
    step = max(1, min(values.shape) // _N_PLACES)
    rows, columns = (n // step for n in values.shape)
    squares = values[: rows * step, : columns * step].reshape(rows, step, columns, step)
    means: FloatImage = squares.mean(axis=(1, 3))
    return means


def apply_table(values: FloatImage, item: Dataset, little_endian: bool) -> FloatImage:
    """Look values up as PS3.3 section C.11.1.1.1 says; beyond the ends, the ends."""
    n_entries, first, _ = (int(number) for number in item.LUTDescriptor)
    n_entries = n_entries or 2**16
    if first >= 2**15 and values.min() < 0:
        first -= 2**16  # signed, written as unsigned
    data = item.LUTData
    if isinstance(data, bytes):
        width = 2 if len(data) >= 2 * n_entries else 1
        data = np.frombuffer(data, f"{'<' if little_endian else '>'}u{width}")
    table = np.asarray(data, dtype=np.float32)[:n_entries]
    if table.shape != (n_entries,):
        raise ValueError(f"A LUT of {n_entries} entries was expected. Got shape {table.shape}.")
    if table.min() == table.max():
        raise ValueError("A LUT whose entries differ was expected. Got one value.")
    index = np.clip(np.rint(values) - first, 0, n_entries - 1).astype(np.int32)
    looked_up: FloatImage = table[index]
    return looked_up


def _apply_window(values: FloatImage, header: Dataset, high: float, flags: set[Flag]) -> FloatImage:
    """Window to 0 .. ``high`` (PS3.3 sections C.11.2.1.2 and C.11.2.1.3)."""
    centers = read_written_numbers(header, "WindowCenter", flags)
    widths = read_written_numbers(header, "WindowWidth", flags)
    if not centers or not widths:
        return values
    function = str(read_value(header, "VOILUTFunction", flags) or "LINEAR").strip().upper()
    center, width = centers[0], widths[0]
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    known = function in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}
    if not known or width < 0 or (width == 0 and function != "LINEAR"):
        flags.add(Flag.HEADER_REPAIRED)
        return values
    scaled = (values - np.float32(center)) / np.float32(max(width, 1e-6))
    if function == "SIGMOID":
        shown = 1 / (1 + np.exp(-4 * np.clip(scaled, -20, 20)))
    else:
        shown = np.clip(scaled + np.float32(0.5), 0, 1)
    windowed: FloatImage = shown * np.float32(high)
    return windowed


def _is_inverted(header: Dataset, flags: set[Flag]) -> bool:
    """MONOCHROME1, or the presentation LUT's shape (PS3.3 section C.11.6)."""
    photometric = str(read_value(header, "PhotometricInterpretation", flags) or "")
    inverted = photometric.strip().upper() == "MONOCHROME1"
    shape = str(read_value(header, "PresentationLUTShape", flags) or "").strip().upper()
    if shape in {"IDENTITY", "INVERSE"} and (shape == "INVERSE") != inverted:
        flags.add(Flag.HEADER_REPAIRED)  # IDENTITY under MONOCHROME1: the latter is obeyed
        inverted = True
    return inverted
