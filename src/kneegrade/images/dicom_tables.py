"""Tables and windows of a DICOM header, from values to values (DICOM PS3.3 section C.11).

pydicom's own functions are not used: they wrap around where a table has 8-bit entries or the
values are signed, and turn the picture over under a negative slope.
"""

import numpy as np
from pydicom.dataset import Dataset

from kneegrade.images.dicom_header import PYDICOM_ERRORS, read_numbers, read_value
from kneegrade.types import Flag, FloatImage


def apply_voi(
    values: FloatImage, dataset: Dataset, little_endian: bool, flags: set[Flag]
) -> FloatImage:
    """First VOI LUT, else first window, else nothing; a broken one is passed over and flagged."""
    tables = read_value(dataset, "VOILUTSequence", flags)
    shown: FloatImage | None = None
    if tables:
        try:
            shown = apply_table(values, tables[0], little_endian)
        except PYDICOM_ERRORS:
            flags.add(Flag.HEADER_REPAIRED)
    if shown is None:
        shown = _apply_window(values, dataset, flags)
    if shown.min() == shown.max() and values.min() < values.max():  # it shows nothing
        flags.add(Flag.HEADER_REPAIRED)
        return values
    return shown


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
    index = np.clip(np.rint(values) - first, 0, n_entries - 1).astype(np.int32)
    looked_up: FloatImage = table[index]
    return looked_up


def _apply_window(values: FloatImage, dataset: Dataset, flags: set[Flag]) -> FloatImage:
    """Window to 0 .. 2**BitsStored - 1 (PS3.3 sections C.11.2.1.2 and C.11.2.1.3)."""
    centers = read_numbers(dataset, "WindowCenter", flags)
    widths = read_numbers(dataset, "WindowWidth", flags)
    if not centers or not widths:
        return values
    function = str(read_value(dataset, "VOILUTFunction", flags) or "LINEAR").strip().upper()
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
    top = np.float32(2 ** int(dataset.BitsStored) - 1)
    windowed: FloatImage = shown * top
    return windowed
