"""Names of the arrays that are passed around, by what they hold; numbers -> grey values."""

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
"""(rows, cols): grey values of a picture."""
GreyImage = NDArray[np.uint8]
"""(rows, cols): grey values 0 to 255."""
Mask = NDArray[np.bool_]
"""(rows, cols): whether each pixel belongs to something."""
Points = NDArray[np.float64]
"""(n, 2): ``(row, col)``, in px or mm as the name says."""
Affine = NDArray[np.float64]
"""(2, 3): takes ``(row, col, 1)`` to ``(row, col)``."""
FloatArray = NDArray[np.float64]
"""Numbers, of the shape that is told where they are."""


def round_to_grey(values: NDArray[np.generic]) -> GreyImage:
    """The nearest grey values, 0 to 255."""
    grey: GreyImage = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return grey
