"""The words of the field that results are addressed by: sides, tasks, projections, landmarks."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Side(StrEnum):
    """The patient's side."""

    RIGHT = "right"
    LEFT = "left"

    @property
    def other(self) -> "Side":
        """The opposite side."""
        return Side.LEFT if self is Side.RIGHT else Side.RIGHT

    @classmethod
    def parse(cls, text: str) -> "Side":
        """Read ``right``, ``R``, ``left`` or ``L`` in any case.

        Raises
        ------
        ValueError
            If the text names no side.
        """
        for side in cls:
            if text.strip().lower() in {side.value, side.value[0]}:
                return side
        raise ValueError(f"A side is right or left (R or L). Got {text!r}.")


class SubjectUse(StrEnum):
    """What a network's making used a subject's knees for, in the order of reports."""

    UNSEEN = "unseen"
    SELECTED = "selected"
    """Only used to select or calibrate."""
    UNKNOWN = "unknown"
    """Nobody can tell."""
    TRAINED = "trained"


class Task(StrEnum):
    """What is graded: the paper's seven tasks, then the six it left for later."""

    KL = "kl"
    FO_L = "fo_l"
    FO_M = "fo_m"
    TO_L = "to_l"
    TO_M = "to_m"
    JSN_L = "jsn_l"
    JSN_M = "jsn_m"
    SCL_FL = "scl_fl"
    SCL_FM = "scl_fm"
    SCL_TL = "scl_tl"
    SCL_TM = "scl_tm"
    ATT_TL = "att_tl"
    ATT_TM = "att_tm"

    @property
    def n_grades(self) -> int:
        """Number of grades: 5 for Kellgren-Lawrence, 4 for every other task."""
        return 5 if self is Task.KL else 4

    @property
    def label(self) -> str:
        """The task in the words of the field."""
        return _TASK_LABELS[self]


_TASK_LABELS = MappingProxyType(
    {
        Task.KL: "Kellgren-Lawrence",
        Task.FO_L: "osteophytes, femur lateral",
        Task.FO_M: "osteophytes, femur medial",
        Task.TO_L: "osteophytes, tibia lateral",
        Task.TO_M: "osteophytes, tibia medial",
        Task.JSN_L: "joint space narrowing, lateral",
        Task.JSN_M: "joint space narrowing, medial",
        Task.SCL_FL: "sclerosis, femur lateral",
        Task.SCL_FM: "sclerosis, femur medial",
        Task.SCL_TL: "sclerosis, tibia lateral",
        Task.SCL_TM: "sclerosis, tibia medial",
        Task.ATT_TL: "attrition, tibia lateral",
        Task.ATT_TM: "attrition, tibia medial",
    }
)


class Contrast(StrEnum):
    """What was done to a picture's contrast before it reached us."""

    PLAIN = "plain"
    ENHANCED = "enhanced"
    UNKNOWN = "unknown"


class View(StrEnum):
    """The projection of a radiograph, as its header tells it."""

    PA = "pa"
    AP = "ap"
    OTHER = "other"
    UNKNOWN = "unknown"


class SpacingSource(StrEnum):
    """Where the millimetres of a pixel come from (DICOM PS3.3 section 10.7.1)."""

    CALIBRATED = "calibrated"
    """PixelSpacing that was calibrated: millimetres in the patient."""
    MAGNIFICATION_CORRECTED = "magnification-corrected"
    """ImagerPixelSpacing divided by EstimatedRadiographicMagnificationFactor."""
    DETECTOR_PLANE = "detector-plane"
    """ImagerPixelSpacing as it stands: magnified, lengths come out too long."""
    KIND_UNKNOWN = "kind-unknown"
    """PixelSpacing of which the header does not tell the plane."""
    CALLER = "caller"
    """Given by the caller."""
    TABLE = "table"
    """A column of the knee table."""
    LANDMARK_FRAME = "landmark-frame"
    """Fitted so that landmarks known in mm fall on the picture."""
    UNKNOWN = "unknown"
    """No spacing: shares of bone width only, no millimetres."""


class LandmarkScheme(StrEnum):
    """Which points a set of landmarks holds, lateral to medial, tibia before femur or after."""

    KNEEL_16 = "kneel-16"
    """Nine points of the tibial plateau, then seven of the condyles' joint line."""
    BONEFINDER_74 = "bonefinder-74"
    """BoneFinder's: 0-36 femur, 37-73 tibia."""

    @property
    def n_points(self) -> int:
        """Number of points."""
        return 16 if self is LandmarkScheme.KNEEL_16 else 74


BONEFINDER_OF_KNEEL: Final = (
    *(47, 49, 51, 53, 55, 57, 59, 61, 63),
    *(12, 14, 16, 18, 20, 22, 24),
)
"""Places of the sixteen points among BoneFinder's 74 (KNEEL, arXiv:1907.12237)."""

N_TIBIAL: Final = 9
"""The first so many of the sixteen points are the tibia's."""
PLATEAU_ENDS: Final = (0, N_TIBIAL - 1)
"""Places of the lateral and the medial end of the tibial plateau, t0 and t8."""
LANDMARK_NAMES: Final = (
    *(f"t{i}" for i in range(N_TIBIAL)),
    *(f"f{i}" for i in range(len(BONEFINDER_OF_KNEEL) - N_TIBIAL)),
)
"""Of the sixteen points, in their order."""
