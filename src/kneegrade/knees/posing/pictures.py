"""An ROI's pixels -> a PNG file's bytes, and back."""

from pathlib import Path

import cv2
import numpy as np

from kneegrade.arrays import FloatImage


def encode_png(pixels: FloatImage) -> bytes:
    """8-bit grey PNG of ``(n, n)`` pixels in [0, 1]; exact where they are steps of 1/255."""
    done, encoded = cv2.imencode(".png", np.rint(pixels * 255).astype(np.uint8))
    if not done:
        raise OSError("OpenCV could not encode a PNG")
    return encoded.tobytes()


def read_png(path: Path) -> FloatImage | None:
    """Pixels ``(n, n)``, float32 in [0, 1], of a PNG that `encode_png` made; None if it is none."""
    stored = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return None if stored is None else np.asarray(stored, dtype=np.float32) / np.float32(255)
