"""What a reader of a result must know about how it came to be."""

from enum import StrEnum
from typing import Self


class Flag(StrEnum):
    """What a reader of a result must know about how it came to be, each with its ``meaning``."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """Keep the meaning beside the value; the value alone still names the flag."""
        flag = str.__new__(cls, value)
        flag._value_ = value
        flag.meaning = meaning
        return flag

    SYNTHETIC = ("synthetic", "The file says that a program drew it.")
    SIDE_FROM_PICTURE = (
        "side-from-picture",
        "No side was given: it was judged from the radiograph, first by a lead letter on it.",
    )
    SIDE_CONFLICT = (
        "side-conflict",
        "The given side, a lead letter and the look of the knee do not agree: check the side.",
    )
    POLARITY_CORRECTED = (
        "polarity-corrected",
        "The radiograph was inverted (bone dark): corrected.",
    )
    POLARITY_CONFLICT = (
        "polarity-conflict",
        "Displayed as its header asks, bone is dark: the header and the pixels disagree.",
    )
    CONTRAST_JUDGED_PLAIN = (
        "contrast-judged-plain",
        "It was not stated whether the contrast was enhanced: it looks plain, and was enhanced.",
    )
    CONTRAST_JUDGED_ENHANCED = (
        "contrast-judged-enhanced",
        "It was not stated whether the contrast was enhanced: it looks so, and was left alone.",
    )
    OUTSIDE_FILM = ("outside-film", "Part of the region of interest lies outside the radiograph.")
    SPACING_UNKNOWN = ("spacing-unknown", "The size of a pixel is not known: no lengths in mm.")
    SPACING_DETECTOR_PLANE = (
        "spacing-detector-plane",
        "The size of a pixel is that at the detector: lengths are magnified.",
    )
    SPACING_KIND_UNKNOWN = (
        "spacing-kind-unknown",
        "The header gives the size of a pixel, but not the plane in which it holds.",
    )
    SPACING_IMPLAUSIBLE = (
        "spacing-implausible",
        "By the given size of a pixel the plateau would have an impossible width: no mm.",
    )
    OTHER_KNEE_LEFT_OUT = (
        "other-knee-left-out",
        "The radiograph also shows the other knee, which is not in this row: one side was "
        "asked for, or the header names one.",
    )
    VIEW_UNKNOWN = ("view-unknown", "The header does not state the projection.")
    VIEW_NOT_PA_AP = ("view-not-pa-ap", "The header states a projection that is neither PA nor AP.")
    FOR_PROCESSING = (
        "for-processing",
        "A DICOM image 'for processing': raw detector values, not what a reader sees.",
    )
    LOSSY_COMPRESSION = ("lossy-compression", "The image was stored with lossy compression.")
    CHARACTER_SET_REPAIRED = (
        "character-set-repaired",
        "The header names a character set that does not exist.",
    )
    LANDMARK_UNIT_INFERRED = (
        "landmark-unit-inferred",
        "The landmark file does not state its unit: it was judged by the width of the knee.",
    )
    HEADER_REPAIRED = (
        "header-repaired",
        "The header breaks the DICOM standard, but could still be read.",
    )
    MARGIN_NOT_TRACED = (
        "margin-not-traced",
        "A bone's margin could not be traced: widths there are those of the landmarks' curve.",
    )
    PLATEAU_RIMS_APART = (
        "plateau-rims-apart",
        "The front and back rims of the tibial plateau do not coincide: widths depend on the "
        "choice.",
    )
    SHAFTS_SHORT = (
        "shafts-short",
        "Too little of the shafts is shown: the femorotibial angle is uncertain.",
    )
    NOT_A_KNEE = (
        "not-a-knee",
        "The image shows no knee, or none in a PA or AP view (a lateral view, for example).",
    )
    IMPLANT = (
        "implant",
        "There is metal in the knee: a prosthesis, screws, a plate, a nail or wires.",
    )
    METAL_SUSPECTED = (
        "metal-suspected",
        "There may be metal at the joint, or there is some in a shaft: check whether the knee "
        "is natural.",
    )
    KNEE_CUT_OFF = ("knee-cut-off", "Too much of the knee lies outside the radiograph.")
    BLURRED = ("blurred", "Motion during the exposure has blurred the outlines of the knee.")
    BADLY_EXPOSED = (
        "badly-exposed",
        "Much of the joint is plain white or black, has hardly any contrast, or is mostly noise.",
    )
