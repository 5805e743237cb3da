"""Radiograph -> the corrected radiograph with its knees: coarse to fine, by heat maps.

The first network sees the whole film and finds the two ends of each knee's tibial plateau, apart
for right and left (the fibula is lateral). The second sees one knee at a time
(`kneegrade.knees.locating.knee_network`), and is run again where it gives another pose.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from kneegrade.arrays import Affine, FloatImage, Points
from kneegrade.bundles.manifest import LocatorSpec
from kneegrade.bundles.runner import OnnxNetwork, invalid_network
from kneegrade.errors import KneeNotFoundError
from kneegrade.images.geometry import apply_affine
from kneegrade.knees.locating.heatmaps import (
    compute_probabilities,
    decode_heatmaps,
    find_second_peak,
)
from kneegrade.knees.locating.knee_network import (
    CROP_WIDTHS,
    KneeNetwork,
    LocatedKnee,
    SeenKnee,
)
from kneegrade.knees.posing.contrast import standardise
from kneegrade.knees.posing.pose import CENTRE_ABOVE_PLATEAU, film_affine, take_picture
from kneegrade.knees.quality.metal import LegView
from kneegrade.types import Flag, Landmarks, Radiograph, Side

LEAST_CONFIDENCE: Final = 0.5
"""Least confidence of an end of a plateau for it to be found."""
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


@dataclass(frozen=True, eq=False)
class LocatedKnees:
    """A radiograph and the knees on it.

    Parameters
    ----------
    radiograph : Radiograph
        Corrected: bone bright, without a pixel size that would give a plateau of no human size.
    knees : tuple of LocatedKnee
        From lesser to greater columns; empty where there is none.
    missing : Side or None
        The side of a knee that ought to be on the film beside the one that is.
    """

    radiograph: Radiograph
    knees: tuple[LocatedKnee, ...]
    missing: Side | None = None


@dataclass(frozen=True, eq=False)
class _Plateau:
    """The two ends of a plateau, as the first network sees them.

    ``view`` is the picture of the knee with this plateau, where it was taken already.
    """

    side: Side
    ends_px: Points
    confidence: Points
    side_confidence: float = 1.0
    view: LegView | None = None

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
        if self._film.outputs != {"heatmaps": 4, "absent": 4}:
            raise invalid_network(spec.film)
        self._knee = KneeNetwork(spec, n_threads=n_threads)

    def locate(self, radiograph: Radiograph, *, hint: Side | None = None) -> LocatedKnees:
        """Find the knees on a film, or on a crop of one knee.

        Parameters
        ----------
        radiograph : Radiograph
        hint : Side or None
            The side that the only knee on the film is taken for, whatever the radiograph shows.

        Raises
        ------
        KneeNotFoundError
            ``knee.too-many`` or ``knee.cut-off``, where what is seen seems to be a knee.
        """
        found = self._find_plateaus(radiograph)
        if len(found) == 1:
            found = [self._choose_side(radiograph, found[0], hint)]
        seen = [self._refine_whole_or_cut(radiograph, plateau) for plateau in found]
        return self._correct(radiograph, seen)

    def locate_in_crop(self, radiograph: Radiograph, side: Side) -> LocatedKnees:
        """Find the landmarks on a radiograph that is cropped to one knee of a known side."""
        rows, cols = radiograph.pixels.shape
        aspect = radiograph.pixel_aspect
        width = max(rows * aspect, cols) / CROP_WIDTHS
        row = (rows - 1) / 2 + CENTRE_ABOVE_PLATEAU * width / aspect
        low, high = ((cols - 1) / 2 + away for away in (-width / 2, width / 2))
        lateral, medial = (low, high) if side is Side.RIGHT else (high, low)
        ends = np.array([[row, lateral], [row, medial]])
        return self._correct(
            radiograph, [self._refine(radiograph, _Plateau(side, ends, np.ones(2)))]
        )

    def judge(self, radiograph: Radiograph, landmarks: Landmarks) -> LocatedKnees:
        """Judge polarity and quality of a knee whose landmarks are known; they are kept."""
        view = self._knee.take(radiograph, landmarks.plateau_px)
        seen = self._knee.look(view, landmarks.side)
        known = seen._replace(knee=replace(seen.knee, landmarks=landmarks))
        return self._correct(radiograph, [known])

    def _correct(self, radiograph: Radiograph, seen: Sequence[SeenKnee]) -> LocatedKnees:
        """Decide once whether bone is dark on a radiograph: as on its surest knee."""
        if not seen:
            return LocatedKnees(radiograph, ())
        inverted = max(seen, key=lambda s: s.knee.landmarks.confidence.mean()).inverted
        if inverted:
            stated = {Flag.POLARITY_CONFLICT} if radiograph.polarity_stated else set()
            radiograph = replace(
                radiograph,
                pixels=-radiograph.pixels,
                flags=radiograph.flags | {Flag.POLARITY_CORRECTED} | stated,
            )
        knees = []
        for knee, was_inverted in seen:
            if was_inverted != inverted:
                view = self._knee.take(radiograph, knee.landmarks.plateau_px)
                again, _ = self._knee.look(view, knee.landmarks.side, inverted=False)
                knee = replace(again, side_confidence=knee.side_confidence)  # noqa: PLW2901
            knees.append(self._knee.look_along_the_leg(radiograph, knee))
        return LocatedKnees(radiograph, tuple(knees))

    def _find_plateaus(self, radiograph: Radiograph) -> list[_Plateau]:
        size = self._spec.film_size_px
        affine = film_affine(radiograph.pixels.shape, size, radiograph.pixel_size)
        picture = take_picture(radiograph, affine, size)
        plateaus = self._see_plateaus(radiograph, affine, picture)
        if not any(p.is_found for p in plateaus):
            negative = self._see_plateaus(radiograph, affine, -picture)
            if any(p.is_found for p in negative):
                plateaus = negative
        whole = [p for p in plateaus if p.is_found]
        if not whole and any(
            self._find_cut_off(radiograph, p, int(end)) is not None
            for p in plateaus
            for end in np.flatnonzero(p.confidence > LEAST_CONFIDENCE)
        ):
            raise KneeNotFoundError(
                "knee.cut-off",
                "Only one end of the tibial plateau is seen: the film cuts the knee.",
                "Give a film that shows the whole knee.",
            )
        return sorted(whole, key=lambda p: p.ends_px[:, 1].mean())

    def _see_plateaus(
        self, radiograph: Radiograph, affine: Affine, picture: FloatImage
    ) -> list[_Plateau]:
        """Right and left plateau as the film's network sees them, however unsure."""
        outputs = self._film.run(
            standardise(picture, self._spec.clip_percentiles)[np.newaxis, np.newaxis]
        )
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
            knee, _ = self._refine(radiograph, plateau)
            if not knee.seems_a_knee(radiograph):
                continue
            ends_px = knee.landmarks.plateau_px
            if all(_distance(ends_px, other.ends_px) > SAME_KNEE_WIDTHS for other in knees):
                knees.append(replace(plateau, ends_px=ends_px))
        if len(knees) > 1:
            raise _too_many(seen[0].side)
        return knees[0] if knees else seen[0]

    def _refine_whole_or_cut(self, radiograph: Radiograph, plateau: _Plateau) -> SeenKnee:
        """The knee as its plateau was seen; if that is none, one that the film's edge cuts off."""
        seen = self._refine(radiograph, plateau)
        if seen.knee.seems_a_knee(radiograph):
            return seen
        n_cols = radiograph.pixels.shape[1]
        to_edge = np.minimum(plateau.ends_px[:, 1], n_cols - 1 - plateau.ends_px[:, 1])
        outer = int(to_edge.argmin())
        if to_edge[outer] > AT_EDGE_WIDTHS * plateau.width_px:
            return seen
        return self._find_cut_off(radiograph, plateau, 1 - outer) or seen

    def _find_cut_off(self, radiograph: Radiograph, plateau: _Plateau, end: int) -> SeenKnee | None:
        """What seems to be a knee, one end of its plateau in its place, the other anywhere."""
        for guess in _guess_other_end(plateau, end, radiograph.pixels.shape[1]):
            seen = self._refine(radiograph, guess)
            if seen.knee.seems_a_knee(radiograph):
                return seen
        return None

    def _choose_side(
        self, radiograph: Radiograph, plateau: _Plateau, hint: Side | None
    ) -> _Plateau:
        """The side of the only knee: the hint, else by the film's network and the average knee."""
        view = self._knee.take(radiograph, plateau.ends_px)
        shown = self._knee.judge(view)
        likeness = shown.side_margin if shown.side is Side.RIGHT else -shown.side_margin
        sure = plateau.side_confidence + AVERAGE_KNEE_WEIGHT * likeness
        if hint is plateau.side.other or (hint is None and sure < 0):
            ends_px = plateau.ends_px[::-1]
            sure = float(np.clip(-sure, -1, 1))
            return replace(plateau, side=plateau.side.other, ends_px=ends_px, side_confidence=sure)
        return replace(plateau, side_confidence=float(np.clip(sure, -1, 1)), view=view)

    def _refine(self, radiograph: Radiograph, plateau: _Plateau) -> SeenKnee:
        """Look as the film's network saw the plateau; if it lies otherwise, look again as it does.

        The polarity is judged anew each time.
        """
        view = plateau.view or self._knee.take(radiograph, plateau.ends_px)
        seen = self._knee.look(view, plateau.side)
        ends_px = seen.knee.landmarks.plateau_px
        if np.abs(ends_px - plateau.ends_px).max() > SAME_POSE_WIDTHS * plateau.width_px:
            seen = self._knee.look(self._knee.take(radiograph, ends_px), plateau.side)
        return seen._replace(knee=replace(seen.knee, side_confidence=plateau.side_confidence))


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


def _guess_other_end(plateau: _Plateau, end: int, n_cols: int) -> Iterator[_Plateau]:
    """Where a plateau may lie of which one end is seen: as it is, or cut off by the film's edge."""
    yield plateau
    goes_right = (plateau.side is Side.RIGHT) == (end == 0)
    col = plateau.ends_px[end, 1]
    shown = max(n_cols - 1 - col if goes_right else col, 1.0)
    for share in CUT_OFF_SHARES:
        ends_px = plateau.ends_px.copy()
        ends_px[1 - end] = ends_px[end] + (0, shown / (1 - share) * (1 if goes_right else -1))
        yield replace(plateau, ends_px=ends_px, view=None)


def _too_many(side: Side) -> KneeNotFoundError:
    return KneeNotFoundError(
        "knee.too-many",
        f"The film shows more than one {side.value} knee; one of each side was expected.",
        "Cut the film, or give its parts one by one.",
    )
