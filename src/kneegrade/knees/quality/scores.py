"""What the landmark network thinks of the picture it located a knee in."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from kneegrade.bundles.manifest import KNEE_SCORES
from kneegrade.knees.quality.metal import MetalPlace
from kneegrade.types import Landmarks, Radiograph

METAL_FROM: Final = 0.4
"""Score of the network from which a knee holds metal or is suspected to: 4 of 600 training knees
without any, 44 of 46 that hold some; 30 plain films and their mirror images have up to 0.36, one of
them 0.74 in a pose a hair's breadth away: it is the cortex."""
PLAIN_CERTAINTY: Final = 0.9
PLAIN_CONTRAST: Final = 0.18
"""Certainty and contrast of a `MetalPlace` from which the metal is plain to see: the 44 have 0.94
and 0.23 or more; of natural knees (890 of both splits, the plain films) the places that the network
outlines at a score of 0.4 or more have at most 0.87 and 0.17."""
SURE_METAL: Final = 0.95
"""Score and certainty from which plain metal need only be brighter at all: where little else is in
view, as beside a prosthesis, or the bone is burnt out. No natural knee reaches both, the nearest in
score (0.91) has 0.55, the nearest in certainty (0.87) has 0.74."""
SUSPECT_FROM: Final = 0.1
SUSPECT_CONTRAST: Final = 0.4
"""Score and contrast from which metal is suspected where the score alone does not tell it: the tip
of a nail among the 46 (0.10, 0.57); the nearest natural knee has 0.22 and 0.38."""
SHAFT_SCORE: Final = 0.8
SHAFT_CERTAINTY: Final = 0.965
SHAFT_CONTRAST: Final = 0.2
"""Score, certainty and contrast from which a shaft holds metal. Of staples, screws and plates drawn
on the plain films a plateau width from the joint 95 % have 0.97, 0.98 and 0.23 or more; natural
shafts there come as near as 0.93, 0.93, 0.17 and 0.54, 0.97, 0.15."""
NAIL_FROM: Final = 0.25
"""`measure_canal` from which a nail is suspected: natural shafts of 30 plain films, their mirror
images and 30 phantoms have at most 0.20."""

SEEMS_NOT_KNEE: Final = 0.5
SEEMS_CONFIDENCE: Final = 0.3
"""Score of the network below which, and mean confidence of the landmarks on the film from which,
something seems to be a knee, whole or not: laxer than what a graded knee must have. Set on 251
pictures of other things (chests, pelves, CT and MR slices, drawn bars, phantoms of hands and of
knees from the side): none passes both, and their confidence is at most 0.15, of drawn bars 0.44. Of
real knees that an upright edge cuts through, 15 to 50 % of the plateau off, about 80 % pass, and
all knees of phantom films with too many."""


@dataclass(frozen=True)
class KneeScores:
    """What the landmark network thinks of the picture it located a knee in.

    Parameters
    ----------
    not_knee : float
        Probability that it does not show a knee in a PA or AP view, 0 to 1.
    metal : float
        Probability that it shows metal, 0 to 1; 0 where no place of it is seen.
    motion : float
        Probability that the knee moved while it was exposed, 0 to 1.
    shape_distance : float
        `compute_shape_distance` of the landmarks before they were smoothed.
    metal_places : tuple of MetalPlace
        Where metal is seen, at the joint and in the shafts.
    canal : float
        Greatest `measure_canal` of the shafts; -1 where none is shown.
    """

    not_knee: float
    metal: float
    motion: float
    shape_distance: float = 0.0
    metal_places: tuple[MetalPlace, ...] = ()
    canal: float = -1.0

    @classmethod
    def of_logits(cls, logits: NDArray[np.float32]) -> Self:
        """The network's own scores: (3,) logits in the order of `KNEE_SCORES`."""
        probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return cls(**dict(zip(KNEE_SCORES, probabilities.tolist(), strict=True)))

    def __post_init__(self) -> None:
        for name in KNEE_SCORES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1]. Got {getattr(self, name)}.")

    @property
    def evident_metal(self) -> tuple[MetalPlace, ...]:
        """The places at the joint, and those in a shaft on which all measures agree."""
        return tuple(
            place
            for place in self.metal_places
            if not place.in_shaft
            or (
                place.score >= SHAFT_SCORE
                and place.certainty >= SHAFT_CERTAINTY
                and place.contrast >= SHAFT_CONTRAST
            )
        )

    @property
    def has_plain_metal(self) -> bool:
        """Whether the network sees metal at the joint and the film shows it."""
        if self.metal < METAL_FROM:
            return False
        at_joint = [place for place in self.metal_places if not place.in_shaft]
        return any(
            (p.certainty >= PLAIN_CERTAINTY and p.contrast >= PLAIN_CONTRAST)
            or (min(p.certainty, self.metal) >= SURE_METAL and p.contrast > 0)
            for p in at_joint
        )

    @property
    def has_suspected_metal(self) -> bool:
        """Whether there may be metal at the joint, or there is some in a shaft."""
        contrast = max((p.contrast for p in self.metal_places if not p.in_shaft), default=0.0)
        return (
            self.metal >= METAL_FROM
            or (self.metal >= SUSPECT_FROM and contrast >= SUSPECT_CONTRAST)
            or self.canal >= NAIL_FROM
            or any(place.in_shaft for place in self.evident_metal)
        )


def seems_a_knee(radiograph: Radiograph, landmarks: Landmarks, scores: KneeScores) -> bool:
    """Whether what was located seems to be a knee, whole or cut off.

    It must before anything is said that is true of knees alone: that there are too many, that one
    is cut off or of an unknown side. Parameters as `check_quality`'s.
    """
    last = np.array(radiograph.pixels.shape) - 1
    on_film = ((landmarks.points_px >= 0) & (landmarks.points_px <= last)).all(axis=1)
    if scores.not_knee >= SEEMS_NOT_KNEE or not on_film.any():
        return False
    return float(landmarks.confidence[on_film].mean()) >= SEEMS_CONFIDENCE
