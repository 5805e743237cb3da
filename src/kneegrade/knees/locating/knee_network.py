"""One knee of a radiograph -> its sixteen landmarks, scores and metal, by the second network.

It is shown one knee at a time in standard pose, bone bright, and the shafts above and below it.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage, Points
from kneegrade.bundles.manifest import LocatorSpec
from kneegrade.bundles.runner import OnnxNetwork, invalid_network
from kneegrade.images.geometry import apply_affine
from kneegrade.knees.locating.heatmaps import compute_probabilities, decode_heatmaps
from kneegrade.knees.posing.contrast import standardise
from kneegrade.knees.posing.pose import StandardPose, take_picture
from kneegrade.knees.quality.measures import measure_likeness
from kneegrade.knees.quality.metal import SHAFT_VIEWS, LegView, find_metal, measure_canal
from kneegrade.knees.quality.orientation import Orientation, judge_orientation
from kneegrade.knees.quality.scores import KneeScores, seems_a_knee
from kneegrade.knees.quality.shape_model import (
    compute_shape_distance,
    place_average_knee,
    smooth_landmarks,
)
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side

UNSURE: Final = 0.3
"""Mean confidence of the sixteen points below which they are the average knee's, in the pose that
was looked at: on a prosthesis there is none to find."""
CROP_WIDTHS: Final = 1.25
"""Field of view of a radiograph that is cropped to one knee, in plateau widths."""


@dataclass(frozen=True, eq=False)
class LocatedKnee:
    """One knee that was found on a radiograph.

    Parameters
    ----------
    landmarks : Landmarks
        Lateral to medial, as this side has them.
    scores : KneeScores
        What the network thinks of the picture.
    side_confidence : float
        By how much the radiograph shows this side rather than the other, -1 to 1.
    """

    landmarks: Landmarks
    scores: KneeScores
    side_confidence: float = 1.0

    def seems_a_knee(self, radiograph: Radiograph) -> bool:
        """Whether it seems to be a knee, whole or cut off; see `seems_a_knee`."""
        return seems_a_knee(radiograph, self.landmarks, self.scores)


class SeenKnee(NamedTuple):
    """A knee, and whether the radiograph shows its bone dark."""

    knee: LocatedKnee
    inverted: bool


class KneeNetwork:
    """Looks at one knee at a time.

    Parameters
    ----------
    spec : LocatorSpec
    n_threads : int or None
        Threads of the network; None takes the machine's cores, at most 4.

    Raises
    ------
    BundleError
        ``bundle.invalid`` if the network cannot be loaded or is another one.
    """

    def __init__(self, spec: LocatorSpec, *, n_threads: int | None = None) -> None:
        self._spec = spec
        self._network = OnnxNetwork(spec.knee, n_threads=n_threads)
        if self._network.outputs != {"heatmaps": 16, "absent": 16, "scores": 3, "metal": 1}:
            raise invalid_network(spec.knee)

    def take(self, radiograph: Radiograph, ends_px: Points, below_joint: float = 0.0) -> LegView:
        """Sample a view of the leg whose plateau has these ends, as the radiograph shows it.

        Parameters
        ----------
        radiograph : Radiograph
        ends_px : (2, 2) array
            Lateral and medial end.
        below_joint : float
            How far below the joint's centre its middle lies, in plateau widths.
        """
        size, widths = self._spec.knee_size_px, self._spec.knee_field_of_view_plateau_widths
        pose = StandardPose.of_plateau(ends_px, radiograph.pixel_size)
        frame = pose.square_frame(size, widths, below_joint)
        pixels = take_picture(radiograph, frame, size)
        return LegView(pixels, frame, radiograph.pixels.shape, widths, below_joint)

    def judge(self, view: LegView) -> Orientation:
        """Compare with the average knee, lateral first; it is about as wide as a crop."""
        size = len(view.pixels)
        edge = max(round(size * (1 - CROP_WIDTHS / view.plateau_widths) / 2), 0)
        return judge_orientation(view.pixels[edge : size - edge, edge : size - edge])

    def look(self, view: LegView, side: Side, *, inverted: bool | None = None) -> SeenKnee:
        """Find the landmarks of a knee.

        Parameters
        ----------
        view : LegView
            At the joint, as the radiograph shows it.
        side : Side
        inverted : bool or None
            Whether bone is dark. None: as the average knee has it; if the landmarks then say
            otherwise, it is looked at once more.
        """
        guess = self.judge(view).polarity < 0 if inverted is None else inverted
        shown = view.invert() if guess else view
        outputs = self._run(shown.pixels)
        points, confidence = _decode(outputs)
        if inverted is None and measure_likeness(shown.pixels, points) < 0:
            return self.look(view, side, inverted=not guess)
        scores = KneeScores.of_logits(outputs["scores"][0])
        metal = find_metal(shown, outputs["metal"][0, 0], scores.metal)
        is_sure = confidence.mean() >= UNSURE
        likeliest = smooth_landmarks(points) if is_sure else place_average_knee(view.plateau)
        landmarks = Landmarks(
            side,
            LandmarkScheme.KNEEL_16,
            apply_affine(view.to_radiograph, likeliest),
            confidence,
        )
        scores = replace(
            scores,
            metal=scores.metal if metal else 0.0,
            shape_distance=compute_shape_distance(points),
            metal_places=metal,
        )
        return SeenKnee(LocatedKnee(landmarks, scores), guess)

    def look_along_the_leg(self, radiograph: Radiograph, knee: LocatedKnee) -> LocatedKnee:
        """Add the metal in the shafts, as far as the radiograph, bone bright, shows them."""
        if not knee.seems_a_knee(radiograph):
            return knee
        places, canal = list(knee.scores.metal_places), -1.0
        for below in SHAFT_VIEWS:
            view = self.take(radiograph, knee.landmarks.plateau_px, below)
            if not view.shows_shaft():
                continue
            outputs = self._run(view.pixels)
            score = KneeScores.of_logits(outputs["scores"][0]).metal
            found = find_metal(view, outputs["metal"][0, 0], score)
            places += [place for place in found if place.in_shaft]
            canal = max(canal, measure_canal(view))
        return replace(knee, scores=replace(knee.scores, metal_places=tuple(places), canal=canal))

    def _run(self, picture: FloatImage) -> dict[str, NDArray[np.float32]]:
        return self._network.run(
            standardise(picture, self._spec.clip_percentiles)[np.newaxis, np.newaxis]
        )


def _decode(outputs: dict[str, NDArray[np.float32]]) -> tuple[Points, NDArray[np.float64]]:
    """The sixteen points, (16, 2) px of the picture, and their confidence, (16,)."""
    probabilities = compute_probabilities(outputs["heatmaps"], outputs["absent"])
    points, confidence = decode_heatmaps(probabilities)
    return points[0], confidence[0]
