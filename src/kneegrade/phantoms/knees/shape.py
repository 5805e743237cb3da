"""A statistical shape model of the knee -> the two legs of a person, before any disease.

Mean, modes and variances are those of 748 annotated knees (`knees/quality/shape_model.json`):
A. Tiulpin, I. Melekhov, S. Saarakkala, "KNEEL: Knee Anatomical Landmark Localization Using
Hourglass Networks", ICCV Workshops 2019, arXiv:1907.12237.
Coordinates are ``(row, col)`` in mm at the detector plane,
in the frame of a right knee on a PA film: rows grow distally, lateral is at negative columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np

from kneegrade.arrays import Points
from kneegrade.knees.quality.shape_model import read_shape_model
from kneegrade.types import Side, Task, plateau_ends, plateau_width

Sex = Literal["female", "male"]


_WIDTH_MM: Final = MappingProxyType({"female": (73.8, 4.2), "male": (84.2, 4.8)})
"""Plateau width, mean and SD. Guess: the source's widths (mean 79.1, SD 7.7) as two bells."""
_MEDIAL_SPACE_MM: Final = MappingProxyType({"female": (4.8, 0.7), "male": (5.7, 0.8)})
"""Normal medial joint space width by sex, mean and SD (BMC Musculoskelet Disord 9:119, 2008)."""
_LATERAL_OVER_MEDIAL: Final = 5.45 / 4.56
_LATERAL_SD_MM: Final = 1.05
_SPACE_CORRELATION: Final = 0.58
"""Lateral against medial width of the source's KL 0 knees."""
_LEFT_RIGHT_CORRELATION: Final = 0.85
"""Guess: the two legs of a person are nearly alike."""


@dataclass(frozen=True, eq=False)
class KneeShape:
    """What differs between two knees without disease; it stays the same from visit to visit.

    Parameters
    ----------
    landmarks_mm : (16, 2) array
        The joint line, in the order of `types.LANDMARK_NAMES`. Read-only.
    normal_space_mm : mapping of Task to float
        Smallest joint space, lateral and medial, before any narrowing.
    femur_bend, tibia_bend : float
        Columns per row by which the shafts lean away from the mean, outside the joint.
    patella_mm : (rows, cols)
        Shift of the patella from the mean knee.
    fibula_mm : (rows, cols)
        Shift of the fibula.
    fat_mm : float
        Thickness of the fat under the skin.
    girth : float
        Width of the leg over that of the mean leg.
    spur_size : tuple of float
        How large a spur of a grade is drawn, by site (order of `severity.OSTEOPHYTES`), about 1.
    fabella : bool
        Whether it has the small bone behind the lateral condyle that one knee in six has.
    coarseness : float
        How much the struts of the spongy bone stand out: SD as a share of its attenuation.
    contour_seed : int
        Seed of the roughness of the bones' edges.
    """

    landmarks_mm: Points
    normal_space_mm: Mapping[Task, float]
    femur_bend: float
    tibia_bend: float
    patella_mm: tuple[float, float]
    fibula_mm: tuple[float, float]
    fat_mm: float
    girth: float
    spur_size: tuple[float, float, float, float]
    fabella: bool
    coarseness: float
    contour_seed: int

    def __post_init__(self) -> None:
        self.landmarks_mm.setflags(write=False)

    @property
    def scale(self) -> float:
        """Plateau width over the mean plateau width of the shape model."""
        mean = mean_landmarks()
        return plateau_width(self.landmarks_mm) / plateau_width(mean)


@dataclass(frozen=True, eq=False)
class Body:
    """The two legs of one person.

    Parameters
    ----------
    legs : mapping of Side to KneeShape
        Both in the frame of a right knee.
    """

    legs: Mapping[Side, KneeShape]


def draw_body(*, sex: Sex, bmi: float, rng: np.random.Generator) -> Body:
    """Draw the shape of a person's two knees.

    Parameters
    ----------
    sex : str
        ``female`` or ``male``: size of the bones and normal joint space width.
    bmi : float
        Body mass index, kg/m2, 14 to 60: fat and girth of the leg.
    rng : numpy.random.Generator

    Returns
    -------
    Body

    Raises
    ------
    ValueError
        If ``sex`` or ``bmi`` is anything else.
    """
    if sex not in _WIDTH_MM or not 14 <= bmi <= 60:
        raise ValueError(f"sex must be female or male and bmi in [14, 60]. Got {sex!r}, {bmi!r}.")
    n_modes = len(read_shape_model()["modes"])
    together = rng.standard_normal(n_modes + 11)
    share = np.sqrt(_LEFT_RIGHT_CORRELATION)
    legs = {}
    for side in Side:
        alone = rng.standard_normal(n_modes + 11)
        z = np.clip(share * together + np.sqrt(1 - share**2) * alone, -2.2, 2.2)
        legs[side] = _draw_leg(z[:n_modes], z[n_modes:], sex, bmi, rng)
    return Body(MappingProxyType(legs))


@cache
def mean_landmarks() -> Points:
    """The mean joint line of the shape model: (16, 2), mm, read-only."""
    mean = np.array(read_shape_model()["mean_row_col_mm"], np.float64)
    mean.setflags(write=False)
    return mean


def film_geometry() -> Mapping[str, Any]:
    """Where knees lie on the study's bilateral films: mm from the film's left and upper edge."""
    model = read_shape_model()
    return MappingProxyType(
        {**model["film_geometry"], "plateau_tilt_deg": model["plateau_tilt_deg"]}
    )


def _draw_leg(
    scores: Points, z: Points, sex: Sex, bmi: float, rng: np.random.Generator
) -> KneeShape:
    width, width_sd = _WIDTH_MM[sex]
    landmarks = mean_landmarks().copy()
    for i, mode in enumerate(read_shape_model()["modes"]):
        score = mode["score_mean_kl_0"] + mode["score_sd_kl_0"] * scores[i]
        if i == 0:  # mode 1 is the size: drawn for the sex instead of for everybody
            vector = np.array(mode["vector_row_col"])
            per_score = vector[8, 1] - vector[0, 1]
            mean = mean_landmarks()
            score = (width + width_sd * scores[0] - (mean[8, 1] - mean[0, 1])) / per_score
        landmarks += score * np.array(mode["vector_row_col"])
    medial_mm, medial_sd = _MEDIAL_SPACE_MM[sex]
    z_lateral = _SPACE_CORRELATION * z[0] + np.sqrt(1 - _SPACE_CORRELATION**2) * z[1]
    fatter = (bmi - 27) / 10
    return KneeShape(
        landmarks_mm=_levelled(landmarks),
        normal_space_mm=MappingProxyType(
            {
                Task.JSN_L: float(_LATERAL_OVER_MEDIAL * medial_mm + _LATERAL_SD_MM * z_lateral),
                Task.JSN_M: float(medial_mm + medial_sd * z[0]),
            }
        ),
        femur_bend=float(0.012 * z[2]),
        tibia_bend=float(0.015 * z[3]),
        patella_mm=(float(8 * z[4]), float(5 * z[5])),
        fibula_mm=(float(4 + 3 * z[9]), float(3 * z[8])),
        fat_mm=float(np.clip(9 + 7 * fatter + 2 * z[6], 4, 32)),
        girth=float(np.clip(1 + 0.16 * fatter + 0.06 * z[7], 0.8, 1.6)),
        spur_size=tuple(rng.uniform(0.9, 1.1, 4).tolist()),
        fabella=bool(rng.uniform() < 1 / 6),
        coarseness=float(np.clip(0.11 + 0.04 * z[10], 0.04, 0.25)),
        contour_seed=int(rng.integers(2**31)),
    )


def _levelled(landmarks: Points) -> Points:
    """Turn and shift so that the plateau's ends lie level and the valley t4 is the origin."""
    lateral, medial = plateau_ends(landmarks)
    down, along = medial - lateral
    angle = np.arctan2(down, along)
    cos, sin = np.cos(angle), np.sin(angle)
    rows, cols = (landmarks - landmarks[4]).T
    return np.stack([rows * cos - cols * sin, cols * cos + rows * sin], axis=1)
