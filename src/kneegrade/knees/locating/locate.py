"""Radiograph -> the knees on it, each with sixteen landmarks: coarse to fine, by heat maps.

The first network sees the whole film and finds the two ends of each knee's tibial plateau, apart
for right and left (the fibula is lateral). The second sees one knee at a time, level and with the
lateral side first, finds its sixteen landmarks, and is run again where they give another pose.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage
from kneegrade.bundles.manifest import LocatorSpec
from kneegrade.bundles.runner import OnnxNetwork, invalid_network
from kneegrade.errors import KneeNotFoundError
from kneegrade.images.geometry import apply_affine, invert_affine, resample
from kneegrade.knees.locating.heatmaps import (
    compute_probabilities,
    decode_heatmaps,
    find_second_peak,
)
from kneegrade.knees.posing.contrast import standardise
from kneegrade.knees.posing.pose import CENTRE_ABOVE_PLATEAU, film_affine, knee_affine
from kneegrade.knees.quality.checks import KneeScores, measure_likeness, seems_a_knee
from kneegrade.knees.quality.metal import SHAFT_VIEWS, View, find_metal, measure_canal
from kneegrade.knees.quality.orientation import Orientation, judge_orientation
from kneegrade.knees.quality.shape_model import (
    compute_shape_distance,
    place_average_knee,
    smooth_landmarks,
)
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side

Points = NDArray[np.float64]

LEAST_CONFIDENCE: Final = 0.5
"""Least confidence of an end of a plateau for it to be found."""
UNSURE: Final = 0.3
"""Mean confidence of the sixteen points below which they are the average knee's, in the pose that
was looked at: on a prosthesis there is none to find."""
SECOND_PEAK: Final = 0.2
"""Confidence from which a second place for the same end may mean a further knee."""
AT_EDGE_WIDTHS: Final = 0.25
"""How near the film's edge, in its own widths, an end of a plateau lies that may be cut off."""
CUT_OFF_SHARES: Final = (0.1, 0.3, 0.5)
"""Shares of a plateau beyond the edge that are tried where one end of it alone may be shown."""
AVERAGE_KNEE_WEIGHT: Final = 15.0
"""Confidence that a correlation with the average knee of one side, over the other's, is worth."""
SAME_KNEE_WIDTHS: Final = 0.5
"""Two knees nearer than so many plateau widths are one, seen as right and as left."""
SAME_POSE_WIDTHS: Final = 0.05
"""The ends of a plateau nearer to where they were expected than so many of its widths are seen in
standard pose."""
CROP_WIDTHS: Final = 1.25
"""Field of view of a picture that is cut to one knee, in plateau widths."""


@dataclass(frozen=True, eq=False)
class LocatedKnee:
    """One knee that was found on a radiograph.

    Parameters
    ----------
    landmarks : Landmarks
        Lateral to medial, as this side has them.
    side_confidence : float
        By how much the picture shows this side rather than the other, -1 to 1.
    inverted : bool
        Whether bone is dark.
    scores : KneeScores
        What the second network thinks of the picture.
    """

    landmarks: Landmarks
    side_confidence: float
    inverted: bool
    scores: KneeScores


@dataclass(frozen=True, eq=False)
class _Plateau:
    """The two ends of a plateau, as the first network sees them."""

    side: Side
    ends_px: Points
    confidence: Points
    side_confidence: float = 1.0

    @property
    def is_found(self) -> bool:
        return bool((self.confidence > LEAST_CONFIDENCE).all())

    @property
    def width_px(self) -> float:
        return float(np.linalg.norm(self.ends_px[1] - self.ends_px[0]))


class KneeLocator:
    """Finds zero, one or two knees on a radiograph.

    Parameters
    ----------
    spec : LocatorSpec
    n_threads : int or None
        Threads per network; None takes the machine's cores, at most 4.

    Raises
    ------
    BundleError
        ``bundle.invalid`` if a network cannot be loaded or is another one.
    """

    def __init__(self, spec: LocatorSpec, *, n_threads: int | None = None) -> None:
        self._spec = spec
        self._film = OnnxNetwork(spec.film, n_threads=n_threads)
        self._knee = OnnxNetwork(spec.knee, n_threads=n_threads)
        self._field_of_view = spec.knee_field_of_view_plateau_widths
        for path, network, needed in (
            (spec.film, self._film, {"heatmaps": 4, "absent": 4}),
            (spec.knee, self._knee, {"heatmaps": 16, "absent": 16, "scores": 3, "metal": 1}),
        ):
            if network.outputs != needed:
                raise invalid_network(path)

    def locate(
        self, radiograph: Radiograph, *, hint: Side | None = None
    ) -> tuple[LocatedKnee, ...]:
        """Find the knees on a film, or on a picture of one knee.

        Parameters
        ----------
        radiograph : Radiograph
        hint : Side or None
            The side that the only knee on the film is taken for, whatever the picture shows.

        Returns
        -------
        tuple of LocatedKnee
            From lesser to greater columns; empty where there is none.

        Raises
        ------
        KneeNotFoundError
            ``knee.too-many`` or ``knee.cut-off``, where what is seen seems to be a knee.
        """
        found = self._find_plateaus(radiograph)
        if len(found) == 1:
            found = [self._choose_side(radiograph, found[0], hint)]
        knees = (self._refine_whole_or_cut(radiograph, plateau) for plateau in found)
        return tuple(self._look_along_the_leg(radiograph, knee) for knee in knees)

    def locate_in_crop(self, radiograph: Radiograph, side: Side) -> LocatedKnee:
        """Find the landmarks in a picture that is cut to one knee of a known side."""
        rows, cols = radiograph.pixels.shape
        aspect = radiograph.pixel_aspect
        width = max(rows * aspect, cols) / CROP_WIDTHS
        row = (rows - 1) / 2 + CENTRE_ABOVE_PLATEAU * width / aspect
        low, high = ((cols - 1) / 2 + away for away in (-width / 2, width / 2))
        lateral, medial = (low, high) if side is Side.RIGHT else (high, low)
        ends = np.array([[row, lateral], [row, medial]])
        return self._refine(radiograph, _Plateau(side, ends, np.ones(2)))

    def _find_plateaus(self, radiograph: Radiograph) -> list[_Plateau]:
        size = self._spec.film_size_px
        affine = film_affine(radiograph.pixels.shape, size, radiograph.pixel_size)
        picture = _sample(radiograph, affine, size)
        plateaus = self._see_plateaus(radiograph, affine, picture)
        if not any(p.is_found for p in plateaus):
            negative = self._see_plateaus(radiograph, affine, -picture)
            if any(p.is_found for p in negative):
                plateaus = negative
        whole = [p for p in plateaus if p.is_found]
        if not whole and any(
            self._find_cut_off(radiograph, p, int(seen)) is not None
            for p in plateaus
            for seen in np.flatnonzero(p.confidence > LEAST_CONFIDENCE)
        ):
            raise KneeNotFoundError(
                "knee.cut-off",
                "Only one end of the tibial plateau is seen: the film cuts the knee.",
                "Give a film that shows the whole knee.",
            )
        return sorted(whole, key=lambda p: p.ends_px[:, 1].mean())

    def _see_plateaus(
        self, radiograph: Radiograph, affine: NDArray[np.float64], picture: FloatImage
    ) -> list[_Plateau]:
        """Right and left plateau as the film's network sees them, however unsure."""
        outputs = self._film.run(self._standardise(picture))
        probabilities = compute_probabilities(outputs["heatmaps"], outputs["absent"])
        peaks = [decode_heatmaps(probabilities), find_second_peak(probabilities)]
        points_px = np.stack([apply_affine(affine, points[0]) for points, _ in peaks])
        confidence = np.stack([sure[0] for _, sure in peaks])
        plateaus = []
        for side, pair in ((Side.RIGHT, [0, 1]), (Side.LEFT, [2, 3])):
            seen = [
                _Plateau(side, points_px[places, pair], confidence[places, pair])
                for places in map(list, product((0, 1), repeat=2))
                if (confidence[places, pair] > SECOND_PEAK * np.array(places)).all()
            ]
            plateaus.append(self._choose_knee(radiograph, seen) if len(seen) > 1 else seen[0])
        return _join_same_place(*plateaus)

    def _choose_knee(self, radiograph: Radiograph, seen: list[_Plateau]) -> _Plateau:
        """Of plateaus of one side the one that seems a knee's; the first where none does."""
        knees: list[_Plateau] = []
        for plateau in seen:
            knee = self._refine(radiograph, plateau)
            if not seems_a_knee(radiograph, knee.landmarks, knee.scores):
                continue
            ends_px = knee.landmarks.points_px[[0, 8]]
            if all(_distance(ends_px, other.ends_px) > SAME_KNEE_WIDTHS for other in knees):
                knees.append(replace(plateau, ends_px=ends_px))
        if len(knees) > 1:
            raise _too_many(seen[0].side)
        return knees[0] if knees else seen[0]

    def _refine_whole_or_cut(self, radiograph: Radiograph, plateau: _Plateau) -> LocatedKnee:
        """The knee as its plateau was seen; if that is none, one that the film's edge cuts off."""
        knee = self._refine(radiograph, plateau)
        if seems_a_knee(radiograph, knee.landmarks, knee.scores):
            return knee
        n_cols = radiograph.pixels.shape[1]
        to_edge = np.minimum(plateau.ends_px[:, 1], n_cols - 1 - plateau.ends_px[:, 1])
        outer = int(to_edge.argmin())
        if to_edge[outer] > AT_EDGE_WIDTHS * plateau.width_px:
            return knee
        return self._find_cut_off(radiograph, plateau, 1 - outer) or knee

    def _find_cut_off(
        self, radiograph: Radiograph, plateau: _Plateau, seen: int
    ) -> LocatedKnee | None:
        """What seems to be a knee, one end of its plateau in its place, the other anywhere."""
        for guess in _guess_other_end(plateau, seen, radiograph.pixels.shape[1]):
            knee = self._refine(radiograph, guess)
            if seems_a_knee(radiograph, knee.landmarks, knee.scores):
                return knee
        return None

    def _choose_side(
        self, radiograph: Radiograph, plateau: _Plateau, hint: Side | None
    ) -> _Plateau:
        """The side of the only knee: the hint, else by the film's network and the average knee."""
        shown = self._judge(self._picture_of(radiograph, plateau.ends_px)[1])
        likeness = shown.side_margin if shown.side is Side.RIGHT else -shown.side_margin
        sure = plateau.side_confidence + AVERAGE_KNEE_WEIGHT * likeness
        if hint is plateau.side.other or (hint is None and sure < 0):
            plateau = replace(plateau, side=plateau.side.other, ends_px=plateau.ends_px[::-1])
            sure = -sure
        return replace(plateau, side_confidence=float(np.clip(sure, -1, 1)))

    def judge(self, radiograph: Radiograph, landmarks: Landmarks) -> LocatedKnee:
        """Judge polarity and quality of a knee whose landmarks are known; they are kept."""
        judged = self._look(radiograph, landmarks.kneel_points_px[[0, 8]], landmarks.side)
        return self._look_along_the_leg(radiograph, replace(judged, landmarks=landmarks))

    def _refine(self, radiograph: Radiograph, plateau: _Plateau) -> LocatedKnee:
        """Look as the film's network saw the plateau; if it lies otherwise, look again as it does.

        The polarity is judged anew each time.
        """
        knee = self._look(radiograph, plateau.ends_px, plateau.side)
        ends_px = knee.landmarks.points_px[[0, 8]]
        if np.abs(ends_px - plateau.ends_px).max() > SAME_POSE_WIDTHS * plateau.width_px:
            knee = self._look(radiograph, ends_px, plateau.side)
        return replace(knee, side_confidence=plateau.side_confidence)

    def _look(
        self,
        radiograph: Radiograph,
        ends_px: Points,
        side: Side,
        *,
        inverted: bool | None = None,
    ) -> LocatedKnee:
        """Find the landmarks; if bone then turns out to be dark, look again at the negative."""
        affine, picture = self._picture_of(radiograph, ends_px)
        guess = self._judge(picture).polarity < 0 if inverted is None else inverted
        shown = -picture if guess else picture
        outputs = self._knee.run(self._standardise(shown))
        points, confidence = decode_heatmaps(
            compute_probabilities(outputs["heatmaps"], outputs["absent"])
        )
        if inverted is None and measure_likeness(shown, points[0]) < 0:
            return self._look(radiograph, ends_px, side, inverted=not guess)
        odds = outputs["scores"][0].astype(np.float64)
        not_knee, implant, moved = (1 / (1 + np.exp(-odds))).tolist()
        view = View(shown, affine, radiograph.pixels.shape, self._field_of_view)
        metal = find_metal(view, outputs["metal"][0, 0], implant)
        if confidence[0].mean() < UNSURE:
            likeliest = place_average_knee(apply_affine(invert_affine(affine), ends_px))
        else:
            likeliest = smooth_landmarks(points[0])
        points_px = apply_affine(affine, likeliest)
        return LocatedKnee(
            landmarks=Landmarks(side, LandmarkScheme.KNEEL_16, points_px, confidence[0]),
            side_confidence=1.0,
            inverted=guess,
            scores=KneeScores(
                not_knee,
                implant if metal else 0.0,
                moved,
                compute_shape_distance(points[0]),
                metal,
            ),
        )

    def _look_along_the_leg(self, radiograph: Radiograph, knee: LocatedKnee) -> LocatedKnee:
        """Add the metal in the shafts, as far as the film shows them."""
        if not seems_a_knee(radiograph, knee.landmarks, knee.scores):
            return knee
        size, width = self._spec.knee_size_px, self._field_of_view
        places, canal = list(knee.scores.metal), -1.0
        at_joint = self._affine_of(radiograph, knee.landmarks.kneel_points_px[[0, 8]])
        for below in SHAFT_VIEWS:
            affine = at_joint.copy()
            affine[:, 2] += affine[:, 0] * below * size / width
            picture = _sample(radiograph, affine, size)
            shown = -picture if knee.inverted else picture
            view = View(shown, affine, radiograph.pixels.shape, width, below)
            if not view.shows_shaft():
                continue
            outputs = self._knee.run(self._standardise(view.pixels))
            score = float(1 / (1 + np.exp(-outputs["scores"][0, 1].astype(np.float64))))
            found = find_metal(view, outputs["metal"][0, 0], score)
            places += [place for place in found if place.in_shaft]
            canal = max(canal, measure_canal(view))
        return replace(knee, scores=replace(knee.scores, metal=tuple(places), canal=canal))

    def _judge(self, picture: FloatImage) -> Orientation:
        """Compare with the average knee, lateral first; it is about as wide as a crop."""
        size = picture.shape[0]
        share = CROP_WIDTHS / self._field_of_view
        edge = max(round(size * (1 - share) / 2), 0)
        return judge_orientation(picture[edge : size - edge, edge : size - edge])

    def _picture_of(
        self, radiograph: Radiograph, ends_px: Points
    ) -> tuple[NDArray[np.float64], FloatImage]:
        affine = self._affine_of(radiograph, ends_px)
        return affine, _sample(radiograph, affine, self._spec.knee_size_px)

    def _affine_of(self, radiograph: Radiograph, ends_px: Points) -> NDArray[np.float64]:
        return knee_affine(
            ends_px[0],
            ends_px[1],
            size_px=self._spec.knee_size_px,
            plateau_widths=self._field_of_view,
            pixel_size=radiograph.pixel_size,
        )

    def _standardise(self, picture: FloatImage) -> NDArray[np.float32]:
        return standardise(picture, self._spec.clip_percentiles)[np.newaxis, np.newaxis]


def _join_same_place(right: _Plateau, left: _Plateau) -> list[_Plateau]:
    """Right and left plateau, or, where both are the same place, the surer of them.

    A right knee's lateral end is where a left knee's medial end would be: what the network finds
    there as either adds up.
    """
    better, other = sorted((right, left), key=lambda p: p.confidence.sum(), reverse=True)
    if _distance(better.ends_px, other.ends_px[::-1]) > SAME_KNEE_WIDTHS:
        return [right, left]
    margin = float((better.confidence - other.confidence[::-1]).mean())
    summed = np.minimum(better.confidence + other.confidence[::-1], 1)
    return [replace(better, confidence=summed, side_confidence=margin)]


def _distance(ends_px: Points, others_px: Points) -> float:
    """How far two plateaus lie apart, in widths of the first."""
    width = max(float(np.linalg.norm(ends_px[1] - ends_px[0])), 1.0)
    return float(np.linalg.norm(ends_px - others_px, axis=1).mean()) / width


def _guess_other_end(plateau: _Plateau, seen: int, n_cols: int) -> Iterator[_Plateau]:
    """Where a plateau may lie of which one end is seen: as it is, or cut off by the film's edge."""
    yield plateau
    goes_right = (plateau.side is Side.RIGHT) == (seen == 0)
    col = plateau.ends_px[seen, 1]
    shown = max(n_cols - 1 - col if goes_right else col, 1.0)
    for share in CUT_OFF_SHARES:
        ends_px = plateau.ends_px.copy()
        ends_px[1 - seen] = ends_px[seen] + (0, shown / (1 - share) * (1 if goes_right else -1))
        yield replace(plateau, ends_px=ends_px)


def _sample(radiograph: Radiograph, affine: Points, size: int) -> FloatImage:
    """A square picture of a radiograph; what lies beyond is as dark as its darkest rows."""
    lowest = float(radiograph.pixels[::8].min())
    return resample(radiograph.pixels, affine, (size, size), fill=lowest)[0]


def _too_many(side: Side) -> KneeNotFoundError:
    return KneeNotFoundError(
        "knee.too-many",
        f"The film shows more than one {side.value} knee; one of each side was expected.",
        "Cut the film, or give its parts one by one.",
    )
