"""What the page ``report.html`` calls grades, measures, and where they come from."""

from typing import Final

from kneegrade.bundles.manifest import Decoding
from kneegrade.types import SpacingSource

KL_WORDS: Final = (
    "no osteoarthritis",
    "doubtful osteoarthritis",
    "minimal osteoarthritis",
    "moderate osteoarthritis",
    "severe osteoarthritis",
)
"""The KL grades in the words of Kellgren and Lawrence (Ann Rheum Dis 1957)."""
KL_CRITERIA: Final = (
    "none of what follows",
    "doubtful narrowing of joint space and possible osteophytic lipping",
    "definite osteophytes and possible narrowing of joint space",
    "moderate multiple osteophytes, definite narrowing of joint space and some sclerosis and "
    "possible deformity of bone ends",
    "large osteophytes, marked narrowing of joint space, severe sclerosis and definite deformity "
    "of bone ends",
)
"""What a knee of each grade shows, in the first wording, as Schiphof et al. quote it (Ann Rheum Dis
2008, table 1, beside four other wordings)."""

SPACING_WORDS: Final = {
    SpacingSource.CALIBRATED: "Millimetres: in the patient, by a calibrated size of a pixel.",
    SpacingSource.MAGNIFICATION_CORRECTED: "Millimetres: at the detector, divided by the "
    "magnification that the header estimates.",
    SpacingSource.DETECTOR_PLANE: "Millimetres: at the detector, not calibrated: larger than in "
    "the patient.",
    SpacingSource.KIND_UNKNOWN: "Millimetres: by the header, which does not say in which plane.",
    SpacingSource.CALLER: "Millimetres: by the size of a pixel that was given.",
    SpacingSource.TABLE: "Millimetres: by the size of a pixel in the knee table.",
    SpacingSource.LANDMARK_FRAME: "Millimetres: fitted to known landmarks on the image.",
    SpacingSource.UNKNOWN: "Millimetres: none, the size of a pixel is not known.",
}
DECODING_WORDS: Final = {
    Decoding.MOST_PROBABLE: "the most probable one",
    Decoding.EXPECTED: "the expected grade, rounded",
}
