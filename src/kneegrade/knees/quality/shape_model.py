"""The shape model of the sixteen landmarks, and how far a knee's points are from it.

Mean, modes and variances are those of 748 annotated knees (`shape_model.json`): A. Tiulpin,
I. Melekhov, S. Saarakkala, "KNEEL: Knee Anatomical Landmark Localization Using Hourglass Networks",
ICCV Workshops 2019, arXiv:1907.12237.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from kneegrade.arrays import Points
from kneegrade.terms import PLATEAU_ENDS

_LOCATING_MM: Final = 0.8
"""Standard deviation per coordinate that locating a point adds to the shape itself."""


_ERROR_MM: Final = 0.6
"""Standard deviation per coordinate of the networks' error (benchmarks/real_landmarks.py)."""


@cache
def read_shape_model() -> Mapping[str, Any]:
    """The model as it is stored: ``mean_row_col_mm``, ``modes``, ``film_geometry`` and more."""
    text = (files("kneegrade.knees.quality") / "shape_model.json").read_text(encoding="utf-8")
    return MappingProxyType(json.loads(text))


def compute_shape_distance(points_px: Points) -> float:
    """How far sixteen points are from the shape of a knee, whatever its size, place and tilt.

    The points are laid over the mean shape by the best translation, rotation and scale; what
    remains is divided by its standard deviation, mode by mode (all but the first, the size), and
    what no mode explains by the error of locating.

    Parameters
    ----------
    points_px : (16, 2) array, float64
        ``(row, col)``, lateral at the lesser columns, in pixels as high as they are wide.

    Returns
    -------
    float
        Root mean square in standard deviations: about 1 for knees, 0 for the mean shape; infinite
        where all points lie on one another.
    """
    mean, vectors, sd_mm = _model_arrays()
    laid = _lay_over(points_px, mean)
    if laid is None:
        return float("inf")
    difference = (laid - mean).ravel()
    scores = vectors @ difference
    rest = difference - vectors.T @ scores
    sizeless = scores[1:] / np.hypot(sd_mm[1:], _LOCATING_MM)
    n_rest = difference.size - len(scores)
    total = (sizeless**2).sum() + (rest**2).sum() / _LOCATING_MM**2
    return float(np.sqrt(total / (len(sizeless) + n_rest)))


def smooth_landmarks(points_px: Points) -> Points:
    """The likeliest knee behind sixteen points that were located with error.

    Of the deviation from the mean shape, each mode keeps the share that its own spread has of its
    spread and the error together (a Wiener filter, `_ERROR_MM` per coordinate); what no mode
    explains is left out.

    Parameters
    ----------
    points_px : (16, 2) array, float64
        As in `compute_shape_distance`.

    Returns
    -------
    (16, 2) array, float64
        In the same px.
    """
    mean, vectors, sd_mm = _model_arrays()
    laid = _lay_over(points_px, mean)
    if laid is None:
        return points_px
    kept = sd_mm**2 / (sd_mm**2 + _ERROR_MM**2)
    likeliest = mean.ravel() + vectors.T @ (kept * (vectors @ (laid - mean).ravel()))
    back = _lay_over(likeliest.reshape(-1, 2), points_px)
    return points_px if back is None else back


def place_average_knee(ends_px: Points) -> Points:
    """The mean shape where its plateau has these ends.

    Parameters
    ----------
    ends_px : (2, 2) array, float64
        ``(row, col)`` of the lateral and the medial end, lateral at the lesser column.

    Returns
    -------
    (16, 2) array, float64
        In the same px.
    """
    mean = _model_arrays()[0] @ (1, 1j)
    first, last = ends_px @ (1, 1j)
    lateral, medial = mean[list(PLATEAU_ENDS)]
    placed = first + (mean - lateral) * (last - first) / (medial - lateral)
    return np.stack([placed.real, placed.imag], axis=1)


@cache
def _model_arrays() -> tuple[Points, Points, Points]:
    model = read_shape_model()
    vectors = np.array([np.ravel(mode["vector_row_col"]) for mode in model["modes"]])
    sd_mm = np.array([mode["score_sd"] for mode in model["modes"]])
    return np.array(model["mean_row_col_mm"]), vectors, sd_mm


def _lay_over(points: Points, onto: Points) -> Points | None:
    """The points after the similarity that brings them nearest to others."""
    source = (points - points.mean(axis=0)) @ (1, 1j)
    target = (onto - onto.mean(axis=0)) @ (1, 1j)
    size = float((np.abs(source) ** 2).sum())
    if size == 0:
        return None
    laid = source * (source.conj() @ target) / size
    over: Points = np.stack([laid.real, laid.imag], axis=1) + onto.mean(axis=0)
    return over
