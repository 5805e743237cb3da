"""Metal in the bone: where the landmark network sees it, and whether the film shows it too.

The network's score and map alone don't carry over to every hospital's films: on some it takes the
cortex of a natural shaft for metal. What it outlines is therefore measured on the film.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import Affine, FloatImage, Mask, Points
from kneegrade.images.geometry import apply_affine
from kneegrade.knees.measuring.bone_sides import SHAFTS
from kneegrade.knees.measuring.margins import Bone
from kneegrade.knees.posing.pose import CENTRE_ABOVE_PLATEAU

SHAFT_VIEWS: Final = (-1.5, -0.75, 0.75, 1.5)
"""How far below the joint's centre, in plateau widths, the shafts are looked at."""
SHAFT_FROM: Final = 0.6
"""From so many plateau widths above or below the joint's centre metal lies in a shaft: what the
region of interest just shows no more."""
LEAST_BONE_SHOWN: Final = 0.03
"""Share of a view that must show bone of a shaft for it to be looked at."""
BESIDE_BONE: Final = 0.25
"""Share of a bright place beside the bone from which it is none in the bone: a bar, a letter."""

LEAST_SHAFT: Final = 0.35
"""Less of a shaft, in plateau widths, says nothing about its canal: crops of a knee, which show up
to 0.2 of where the shaft flares, would be taken for nails."""

ROW_STEP: Final = 4
"""A canal is measured in every fourth row: neighbours are alike."""

LEAST_METAL_PX: Final = 6
"""A smaller patch of a metal map is left out of its outlines, px of the map."""

_AVERAGE_WIDTH_MM: Final = 80.0
_BONE_MARGIN_MM: Final = 6.0
_BESIDE_MM: Final = 10.0
"""How far beside the mean bone's sides it may still lie; how far something protrudes from it."""
_RING_PX, _GAP_PX = 7, 2
"""How far around a place bone is compared with it, and what is left out between, px."""


@dataclass(frozen=True, eq=False)
class MetalPlace:
    """One place that the landmark network takes for metal.

    Parameters
    ----------
    outline_px : (k, 2) array
        ``(row, col)`` on the radiograph.
    certainty : float
        Highest probability of the network's map within, 0 to 1.
    contrast : float
        By how much it is brighter than the bone around it (upper quartiles), as a share of the
        range of grey, 5 to 95 %, of the bone that is in view; 0 where what is bright there reaches
        far beyond the bone.
    score : float
        Probability that the view holds metal, 0 to 1.
    in_shaft : bool
        Whether it was seen in a view of a shaft, beyond the region of interest.
    """

    outline_px: Points
    certainty: float
    contrast: float
    score: float
    in_shaft: bool = False


@dataclass(frozen=True, eq=False)
class LegView:
    """A square picture of a leg, level, lateral first, as the network is shown it.

    Parameters
    ----------
    pixels : (n, n) array, float32
        Bone bright.
    to_radiograph : (2, 3) array
    shape : (rows, cols)
        Of the radiograph.
    plateau_widths : float
        Width of the picture.
    below_joint : float
        How far below the joint's centre its middle lies, in plateau widths.
    """

    pixels: FloatImage
    to_radiograph: Affine
    shape: tuple[int, ...]
    plateau_widths: float
    below_joint: float = 0.0

    @property
    def plateau(self) -> Points:
        """The lateral and the medial end of the plateau, (2, 2) px of the picture."""
        n = len(self.pixels)
        middle, width = (n - 1) / 2, n / self.plateau_widths
        row = middle + (CENTRE_ABOVE_PLATEAU - self.below_joint) * width
        return np.array([(row, middle - width / 2), (row, middle + width / 2)])

    def invert(self) -> Self:
        """The negative."""
        return replace(self, pixels=-self.pixels)

    def rows_below_joint(self) -> NDArray[np.float64]:
        """How far each row lies below the joint's centre, in plateau widths: ``(n,)``."""
        n = len(self.pixels)
        return (np.arange(n) - (n - 1) / 2) * self.plateau_widths / n + self.below_joint

    def find_bone(self, margin_mm: float) -> Mask:
        """Where the femur or tibia of a mean knee would be, so much wider on either side."""
        n = len(self.pixels)
        tables = [np.array(SHAFTS[bone]) for bone in (Bone.FEMUR, Bone.TIBIA)]
        down, lateral, medial = np.hstack(tables)
        row_mm = (self.rows_below_joint() - CENTRE_ABOVE_PLATEAU) * _AVERAGE_WIDTH_MM
        col_mm = (np.arange(n) - (n - 1) / 2) * self.plateau_widths / n * _AVERAGE_WIDTH_MM
        first = np.interp(row_mm, down, lateral) - margin_mm
        last = np.interp(row_mm, down, medial) + margin_mm
        within = (col_mm >= first[:, np.newaxis]) & (col_mm <= last[:, np.newaxis])
        return np.asarray(within & self.find_shown())

    def find_shown(self) -> Mask:
        """What lies on the film, its outermost pixels left out."""
        places = np.arange(len(self.pixels))
        shown = np.ones(self.pixels.shape, bool)
        for (by_row, by_col, first), size in zip(self.to_radiograph, self.shape, strict=True):
            at = by_row * places[:, np.newaxis] + by_col * places + first
            shown &= (at >= 1) & (at <= size - 2)
        return shown

    def shows_shaft(self) -> bool:
        """Whether enough bone beyond the region of interest is shown to look for metal in it."""
        far = np.abs(self.rows_below_joint()) > SHAFT_FROM
        return float((self.find_bone(0.0) & far[:, np.newaxis]).mean()) >= LEAST_BONE_SHOWN


def measure_canal(view: LegView) -> float:
    """By how much the middle of a shaft is brighter than the brightest of both its sides.

    A natural shaft's cortex is brighter than its marrow; a nail in it is brighter than the cortex.

    Parameters
    ----------
    view : LegView

    Returns
    -------
    float
        The upper quartile over the rows beyond the region of interest, as a share of the range of
        grey, 5 to 95 %, of the bone in view; -1 where less than `LEAST_SHAFT` is shown.
    """
    pixels = np.asarray(cv2.GaussianBlur(view.pixels, (0, 0), 1.0), np.float32)
    bone = view.find_bone(0.0)
    shaft = np.flatnonzero((np.abs(view.rows_below_joint()) > SHAFT_FROM) & bone.any(axis=1))
    if len(shaft) * view.plateau_widths / len(pixels) < LEAST_SHAFT:
        return -1.0
    excess = []
    for row in shaft[::ROW_STEP]:
        cols = np.flatnonzero(bone[row])
        aside = (cols[-1] - cols[0]) // 6  # a bone is wider than the mean one, or lies beside it
        across = pixels[row, max(cols[0] - aside, 0) : cols[-1] + aside + 1]
        third = int(0.3 * len(across))
        middle, sides = across[third : len(across) - third], np.delete(across, np.s_[third:-third])
        excess.append(float(np.percentile(middle, 80) - sides.max()))
    low, high = np.percentile(pixels[bone], (5, 95))
    return float(np.percentile(excess, 75) / max(float(high - low), 1e-6))


def outline_metal(logits: NDArray[np.float32], stride: int) -> tuple[NDArray[np.float64], ...]:
    """Outlines of what is rather metal than not.

    Parameters
    ----------
    logits : (rows, cols) array, float32
        One metal map.
    stride : int
        Pixels of the network's input per pixel of the map.

    Returns
    -------
    tuple of (k, 2) arrays, float64
        ``(row, col)`` in px of the network's input.
    """
    there = (logits > 0).astype(np.uint8)
    outlines, _ = cv2.findContours(there, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return tuple(
        outline[:, 0, ::-1].astype(np.float64) * stride + (stride - 1) / 2
        for outline in outlines
        if cv2.contourArea(outline) >= LEAST_METAL_PX
    )


def find_metal(view: LegView, logits: NDArray[np.float32], score: float) -> tuple[MetalPlace, ...]:
    """Outline what is rather metal than not, and measure it on the film.

    At the joint, metal may also be darker than the bone: a prosthesis leaves too little of a knee
    to judge the polarity by.

    Parameters
    ----------
    view : LegView
    logits : (rows, cols) array, float32
        The network's map of metal in this view.
    score : float
        The network's score of the view.
    """
    outlines = outline_metal(logits, view.pixels.shape[0] // logits.shape[0])
    if not outlines:
        return ()
    pixels = np.asarray(cv2.GaussianBlur(view.pixels, (0, 0), 1.0), np.float32)
    wide = np.asarray(cv2.resize(logits, view.pixels.shape[::-1], interpolation=cv2.INTER_LINEAR))
    bone, near = view.find_bone(_BONE_MARGIN_MM), view.find_bone(_BESIDE_MM)
    bone = bone if bone.any() else np.ones_like(bone)
    low, high = np.percentile(pixels[bone], (5, 95))
    metal = _fill(outlines, pixels.shape)
    rows = view.rows_below_joint()
    places = []
    for outline in outlines:
        within = _fill((outline,), pixels.shape)
        contrast, reaches = _measure_contrast(pixels, within, metal, bone)
        if not view.below_joint and contrast < 0:
            contrast, reaches = _measure_contrast(-pixels, within, metal, bone)
        beside = float((reaches & ~near & view.find_shown()).sum() / max(reaches.sum(), 1))
        in_bone = float(bone[within].mean()) >= 0.5 and beside < BESIDE_BONE
        middle = float(rows[np.nonzero(within)[0]].mean())
        places.append(
            MetalPlace(
                outline_px=apply_affine(view.to_radiograph, outline),
                certainty=float(1 / (1 + np.exp(-wide[within].max()))),
                contrast=contrast / max(float(high - low), 1e-6) if in_bone else 0.0,
                score=score,
                in_shaft=view.below_joint != 0 and abs(middle) > SHAFT_FROM,
            )
        )
    return tuple(places)


def _measure_contrast(
    pixels: FloatImage, within: Mask, metal: Mask, bone: Mask
) -> tuple[float, Mask]:
    """By how much a place is brighter than the bone around it, and all that is as bright with it.

    As bright: above the middle between both, and joined with the place.
    """
    ring = _widen(within, _RING_PX) & ~_widen(metal, _GAP_PX)
    ring = ring & bone if (ring & bone).any() else ring
    if not ring.any():
        return 0.0, within
    inner, outer = (float(np.percentile(pixels[part], 75)) for part in (within, ring))
    bright = (pixels > (inner + outer) / 2).astype(np.uint8)
    _, labels = cv2.connectedComponents(bright)
    joined = np.unique(labels[within & (bright > 0)])
    return inner - outer, np.asarray(np.isin(labels, joined[joined > 0]))


def _widen(mask: Mask, px: int) -> Mask:
    kernel = np.ones((2 * px + 1, 2 * px + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _fill(outlines: tuple[Points, ...], shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.rint(outline[:, ::-1]).astype(np.int32)], 1)
    return np.asarray(mask > 0)
