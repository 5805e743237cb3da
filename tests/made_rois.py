"""Made-up ROIs for tests of whatever takes one."""

from typing import Any

import numpy as np

from kneegrade.types import Contrast, KneeROI, Side


def make_roi(pixels: np.ndarray, **changes: Any) -> KneeROI:
    """An ROI of 8-bit pixels (n, n); ``changes`` replace its other fields."""
    values: dict[str, Any] = {
        "side": Side.RIGHT,
        "pixels": pixels.astype(np.float32) / np.float32(255),
        "to_radiograph": np.array([[1.0, 0, 0], [0, 1, 0]]),
        "mirrored": False,
        "source_id": "1.2.3",
        "contrast": Contrast.ENHANCED,
    }
    return KneeROI(**values | changes)


def plain_pixels(size: int = 64) -> np.ndarray:
    """A picture that differs more from place to place than within a place, (size, size) uint8."""
    rows, columns = np.indices((size, size)) / size
    noise = np.random.default_rng(0).normal(0, 3, (size, size))
    return np.clip(40 + 120 * rows + 60 * columns + noise, 0, 255).astype(np.uint8)


def enhanced_pixels(size: int = 64) -> np.ndarray:
    """A picture that looks much the same everywhere, (size, size) uint8."""
    return np.random.default_rng(0).integers(0, 256, (size, size)).astype(np.uint8)
