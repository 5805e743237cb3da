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

    SYNTHETIC = ("synthetic", "The file says that it was drawn by a program.")
    SIDE_FROM_PICTURE = (
        "side-from-picture",
        "No side was given: it is judged by the picture, a lead letter on it first.",
    )
    SIDE_CONFLICT = (
        "side-conflict",
        "The given side, a lead letter and the look of the knee disagree about the side: check it.",
    )
    POLARITY_CORRECTED = ("polarity-corrected", "The picture was inverted (bone dark): corrected.")
    POLARITY_CONFLICT = (
        "polarity-conflict",
        "Shown as its header asks, the picture has dark bone: header and picture disagree.",
    )
    CONTRAST_JUDGED_PLAIN = (
        "contrast-judged-plain",
        "Nobody said whether the contrast was enhanced: the picture looks plain and was enhanced.",
    )
    CONTRAST_JUDGED_ENHANCED = (
        "contrast-judged-enhanced",
        "Nobody said whether the contrast was enhanced: the picture looks so and was left alone.",
    )
    OUTSIDE_FILM = ("outside-film", "Part of the region of interest lies outside the film.")
    SPACING_UNKNOWN = ("spacing-unknown", "The file tells no size of a pixel: no lengths in mm.")
    SPACING_DETECTOR_PLANE = (
        "spacing-detector-plane",
        "The size of a pixel is that at the detector: lengths are magnified.",
    )
    SPACING_KIND_UNKNOWN = (
        "spacing-kind-unknown",
        "The header gives a size of a pixel but not in which plane.",
    )
    SPACING_IMPLAUSIBLE = (
        "spacing-implausible",
        "By the size of a pixel that was given the plateau is as wide as no person's: no mm.",
    )
    OTHER_KNEE_LEFT_OUT = (
        "other-knee-left-out",
        "The film shows the other knee too, which is not in this row: one side was asked for, or "
        "the header names one.",
    )
    VIEW_UNKNOWN = ("view-unknown", "The header does not tell the projection.")
    VIEW_NOT_PA_AP = ("view-not-pa-ap", "The header tells a projection that is neither PA nor AP.")
    FOR_PROCESSING = (
        "for-processing",
        "A DICOM image 'for processing': raw detector values, not what a reader sees.",
    )
    LOSSY_COMPRESSION = ("lossy-compression", "The picture was compressed with loss.")
    CHARACTER_SET_REPAIRED = (
        "character-set-repaired",
        "The header names a character set that does not exist.",
    )
    LANDMARK_UNIT_INFERRED = (
        "landmark-unit-inferred",
        "The landmark file does not tell its unit: judged by how wide the knee is.",
    )
    HEADER_REPAIRED = (
        "header-repaired",
        "The header breaks the DICOM standard where it could be read all the same.",
    )
    MARGIN_NOT_TRACED = (
        "margin-not-traced",
        "A bone's margin could not be traced: widths there are those of the landmarks' curve.",
    )
    PLATEAU_RIMS_APART = (
        "plateau-rims-apart",
        "Front and back rim of the tibial plateau do not coincide: widths depend on the choice.",
    )
    SHAFTS_SHORT = (
        "shafts-short",
        "Only stumps of the shafts are on the picture: the femorotibial angle is uncertain.",
    )
    NOT_A_KNEE = (
        "not-a-knee",
        "The picture shows no knee, or none in a PA or AP view (from the side, for example).",
    )
    IMPLANT = ("implant", "The knee holds metal: a prosthesis, screws, a plate, a nail, wires.")
    METAL_SUSPECTED = (
        "metal-suspected",
        "There may be metal at the joint, or is some in a shaft: look whether the knee is natural.",
    )
    KNEE_CUT_OFF = ("knee-cut-off", "Too much of the knee lies outside the film.")
    BLURRED = ("blurred", "The knee moved during the exposure: its outlines are blurred.")
    BADLY_EXPOSED = (
        "badly-exposed",
        "Much of the joint is plain white or black, has hardly any contrast, or is mostly noise.",
    )
