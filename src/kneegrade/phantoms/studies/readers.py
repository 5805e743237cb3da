"""A reader in front of a phantom's film: sees severity with noise and writes whole grades.

A reader's eye has one scale per feature (`CUTS`), the same in every study, on which noise has the
same spread everywhere. `scale_severity` and `see_severity` go from that scale to severity and back.

Targets, as quadratic weighted kappa of two readers over the first visits of a study: KL .70 to .86,
osteophytes .60 to .85, narrowing .75 to .90, and osteophytes of a compartment below its narrowing.
That is about what trained central readers reach: KL .66 to .97 between readers and .56 to .85
against a radiologist, single features .45 to .94, lateral narrowing .57 to .75 with .39 to .53 for
lateral femoral osteophytes (J Rheumatol, jrheum.org 26775, table 2); OAI's site readers against its
central ones narrowing .65 to .71, osteophytes .37 (Guermazi). Osteophytes stay above those figures:
a network trained on one reading of each knee reaches .79 to .84 for them in MOST (Tiulpin &
Saarakkala 2019), so single readings cannot be much noisier. Sclerosis and attrition: a guess.
"""

from statistics import NormalDist
from types import MappingProxyType
from typing import Final

import numpy as np

from kneegrade.arrays import FloatArray
from kneegrade.phantoms.knees.severity import FEATURES, NARROWING, Severity, compute_kl
from kneegrade.types import Grades, Task

CUTS: Final = MappingProxyType(
    {
        Task.FO_L: (0.47, 1.06, 1.50),
        Task.FO_M: (0.25, 0.71, 1.06),
        Task.TO_L: (0.44, 1.20, 1.57),
        Task.TO_M: (-0.13, 0.96, 1.53),
        Task.JSN_L: (1.20, 1.50, 2.02),
        Task.JSN_M: (0.13, 0.76, 1.59),
        Task.SCL_FL: (1.68, 2.17, 2.67),
        Task.SCL_FM: (1.01, 1.76, 2.33),
        Task.SCL_TL: (1.50, 2.02, 2.55),
        Task.SCL_TM: (0.76, 1.59, 2.20),
        Task.ATT_TL: (2.11, 2.48, 3.07),
        Task.ATT_TM: (1.70, 2.12, 2.77),
    }
)
"""Where grades 1, 2 and 3 begin on a reader's scale. Means over OAI and MOST of the normal deviates
of the shares in Table 1 of the paper; sclerosis and attrition are a guess."""

SPREADS: Final = MappingProxyType({task: 0.27 if task in NARROWING else 0.37 for task in FEATURES})
"""Standard deviation of a reader's noise on that scale."""

_SPREADS: Final = np.array([SPREADS[task] for task in FEATURES])
_CUTS: Final = np.array([CUTS[task] for task in FEATURES])
_FIRST, _MIDDLE, _LAST = _CUTS.T
_WIDTH_1, _WIDTH_2 = np.diff(_CUTS).T
LEAST_WIDTH: Final = 0.15
"""Of a true grade, in latent standard deviations."""
_NORMAL: Final = NormalDist()
_N_FIT_STEPS: Final = 25
_BEND: Final = 0.7
"""How fast severity nears 0 below the first cut and 4 above the last."""
_LEAST: Final = 1e-9


def bring_to_scale(task: Task, latent: FloatArray, cuts: FloatArray) -> FloatArray:
    """Bring latent values of a feature to a reader's scale.

    Parameters
    ----------
    task : Task
        One of `FEATURES`.
    latent : array
        Any real numbers.
    cuts : (3,) array
        Latent values, rising, that come to lie at `CUTS`; straight between, a slope of 1 outside.

    Returns
    -------
    array
        Of the shape of ``latent``.
    """
    inner: FloatArray = np.interp(latent, cuts, CUTS[task])
    inner += np.minimum(latent - cuts[0], 0) + np.maximum(latent - cuts[-1], 0)
    return inner


def fit_cuts(task: Task, shares: FloatArray, kept: FloatArray) -> FloatArray:
    """Fit where on a standard normal latent scale a feature's grades begin.

    Noise blurs the scale, so true grades are placed such that what is *read* has the wanted shares,
    by steps. Every true grade keeps a width of `LEAST_WIDTH` at least, at the cost of the fit.

    Parameters
    ----------
    task : Task
        One of `FEATURES`.
    shares : (3,) array
        Of knees that are to be read as at least 1, 2 and 3; falling, in (0, 1).
    kept : (4,) array
        Of knees of each true grade that are there to be read; the others were replaced.

    Returns
    -------
    (3,) array
        Latent values, for `bring_to_scale`.
    """
    latent = np.linspace(-5, 5, 201)
    density = np.exp(-(latent**2) / 2)
    to_share, to_deviate = np.vectorize(_NORMAL.cdf), np.vectorize(_NORMAL.inv_cdf)
    wanted = to_deviate(1 - shares)
    cuts: FloatArray = wanted
    for _ in range(_N_FIT_STEPS):
        seen = bring_to_scale(task, latent, cuts)
        weights = density * kept[np.searchsorted(CUTS[task], seen, side="right")]
        above = to_share(np.subtract.outer(seen, CUTS[task]) / SPREADS[task])
        cuts = cuts + wanted - to_deviate(1 - weights @ above / weights.sum())
        for place in (1, 2):
            cuts[place] = max(cuts[place], cuts[place - 1] + LEAST_WIDTH)
    return cuts


def scale_severity(seen: FloatArray) -> FloatArray:
    """Turn places on the reader's scale into severity.

    Parameters
    ----------
    seen : (..., 12) array
        By `FEATURES`; any real numbers.

    Returns
    -------
    (..., 12) array
        In (0, 4): 1, 2 and 3 at the cuts, straight between them, bent towards 0 and 4 outside.
    """
    inner = (
        1 + np.clip((seen - _FIRST) / _WIDTH_1, 0, 1) + np.clip((seen - _MIDDLE) / _WIDTH_2, 0, 1)
    )
    low = np.exp(np.minimum(seen - _FIRST, 0) / _BEND)
    high = -np.expm1(-np.maximum(seen - _LAST, 0) / _BEND)
    severity: FloatArray = np.clip(inner * low + high, _LEAST, 4 - _LEAST)
    return severity


def see_severity(severity: FloatArray) -> FloatArray:
    """Turn severity into places on the reader's scale: the inverse of `scale_severity`."""
    kept = np.clip(severity, _LEAST, 4 - _LEAST)
    inner = _FIRST + _WIDTH_1 * np.clip(kept - 1, 0, 1) + _WIDTH_2 * np.clip(kept - 2, 0, 1)
    low = np.log(np.minimum(kept, 1))
    high = -np.log1p(-np.maximum(kept - 3, 0))
    seen: FloatArray = inner + _BEND * (low + high)
    return seen


def read_grades(severity: Severity, *, rng: np.random.Generator) -> Grades:
    """Grade one phantom's knee as a trained reader does.

    Each feature is seen with noise of its own on the reader's scale (`SPREADS`) and given the whole
    grade it seems to have. Nobody writes a narrowing of 3 for both compartments: the one that seems
    less narrow gets 2. Kellgren-Lawrence follows from what was written.

    Parameters
    ----------
    severity : Severity
    rng : numpy.random.Generator
        The reader's eye on this day: the same state makes the same errors on any knee, so giving
        the same state at each visit makes a reader who sees a knee's films side by side.

    Returns
    -------
    Grades
        All thirteen tasks.
    """
    truth = np.array([severity[task] for task in FEATURES])
    seen = see_severity(truth) + _SPREADS * rng.standard_normal(len(FEATURES))
    grades = (seen[:, None] >= _CUTS).sum(axis=1)
    lateral, medial = (FEATURES.index(task) for task in NARROWING)
    if grades[lateral] == grades[medial] == 3:
        grades[lateral if seen[lateral] < seen[medial] else medial] = 2
    features = {task: int(grade) for task, grade in zip(FEATURES, grades, strict=True)}
    return Grades({Task.KL: compute_kl(features), **features})
