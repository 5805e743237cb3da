"""kneegrade reads knee radiographs: Kellgren-Lawrence grades and joint space widths.

OARSI grades with a bundle trained on them; the one that ships is not. Research use only.
"""

from kneegrade.errors import KneegradeError
from kneegrade.types import (
    Contrast,
    Flag,
    Grades,
    KneePrediction,
    KneeROI,
    Landmarks,
    LandmarkScheme,
    Radiograph,
    Side,
    SpacingSource,
    Task,
    View,
)

__version__ = "0.1.0"

__all__ = [
    "Contrast",
    "Flag",
    "Grades",
    "KneePrediction",
    "KneeROI",
    "KneegradeError",
    "LandmarkScheme",
    "Landmarks",
    "Radiograph",
    "Side",
    "SpacingSource",
    "Task",
    "View",
    "__version__",
]
