"""A reader in front of a phantom's film: sees severity with noise and writes whole grades.

A reader's eye has one scale per feature (`CUTS`), the same in every study, on which noise has the
same spread everywhere. `scale_severity` and `see_severity` go from that scale to severity and back.

Targets, as quadratic weighted kappa of two readers on 4,000 knees of a study's subjects: KL .65 to
.88, osteophytes .6 to .85 and below the narrowing of their compartment, narrowing .7 to .9. They
are what trained central readers reach: KL .66 to .97 between readers and .56 to .85 against a
radiologist, single features .45 to .94, lateral narrowing .57 to .75 with .39 to .53 for lateral
femoral osteophytes (J Rheumatol 26775, table 2); OAI's site readers against its central ones
narrowing .65 to .71, osteophytes .37 (Guermazi). The upper ends are open because most of those
kappas are not weighted quadratically, and because a network trained on one reading of each knee
reaches .83 to .84 for osteophytes and .90 to .94 for narrowing (Tiulpin & Saarakkala 2019): single
readings cannot be much noisier.
"""

from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.phantoms.severity import FEATURES, NARROWING, Severity, compute_kl
from kneegrade.types import Grades, Task

CUTS: Final = MappingProxyType(
    {
        Task.FO_L: (0.47, 1.06, 1.50),
        Task.FO_M: (0.25, 0.71, 1.06),
        Task.TO_L: (0.44, 1.15, 1.57),
        Task.TO_M: (-0.13, 0.95, 1.53),
        Task.JSN_L: (1.20, 1.50, 2.03),
        Task.JSN_M: (0.11, 0.76, 1.59),
        Task.SCL_FL: (1.65, 2.20, 2.70),
        Task.SCL_FM: (0.95, 1.75, 2.30),
        Task.SCL_TL: (1.50, 2.05, 2.55),
        Task.SCL_TM: (0.75, 1.60, 2.15),
        Task.ATT_TL: (2.10, 2.45, 3.05),
        Task.ATT_TM: (1.70, 2.10, 2.75),
    }
)
"""Where grades 1, 2 and 3 begin on a reader's scale. Means over OAI and MOST of the normal deviates
of the shares in Table 1 of the paper; sclerosis and attrition are a guess."""

_SPREADS: Final = np.array([0.3 if task in NARROWING else 0.4 for task in FEATURES])
_CUTS: Final = np.array([CUTS[task] for task in FEATURES])
_BEND: Final = 0.7
"""How fast severity nears 0 below the first cut and 4 above the last."""
_LEAST: Final = 1e-9


def scale_severity(seen: NDArray[np.float64]) -> NDArray[np.float64]:
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
    severity = np.empty_like(seen)
    for place, (first, middle, last) in enumerate(_CUTS):
        one = seen[..., place]
        inner = np.interp(one, (first, middle, last), (1.0, 2.0, 3.0))
        low = np.exp(np.minimum(one - first, 0) / _BEND)
        high = -np.expm1(-np.maximum(one - last, 0) / _BEND)
        severity[..., place] = inner * low + high
    return np.clip(severity, _LEAST, 4 - _LEAST)


def see_severity(severity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn severity into places on the reader's scale: the inverse of `scale_severity`."""
    kept = np.clip(severity, _LEAST, 4 - _LEAST)
    seen = np.empty_like(kept)
    for place, cuts in enumerate(_CUTS):
        one = kept[..., place]
        inner = np.interp(one, (1.0, 2.0, 3.0), cuts)
        low = np.log(np.minimum(one, 1))
        high = -np.log1p(-np.maximum(one - 3, 0))
        seen[..., place] = inner + _BEND * (low + high)
    return seen


def read_grades(severity: Severity, *, rng: np.random.Generator) -> Grades:
    """Grade one phantom's knee as a trained reader does.

    Each feature is seen with noise of its own on the reader's scale (a spread of .3 for narrowing,
    .4 for all else) and given the whole grade it seems to have. Nobody writes a narrowing of 3 for
    both compartments: the one that seems less narrow gets 2. Kellgren-Lawrence follows from what
    was written.

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


def compute_reading_shares(
    seen: NDArray[np.float64], weights: NDArray[np.float64], task: Task
) -> NDArray[np.float64]:
    """Compute how often a reader gives a feature at least 1, 2 and 3.

    Parameters
    ----------
    seen : (n,) array
        Places of knees on the reader's scale.
    weights : (n,) array
        How common each is; they sum to 1.
    task : Task
        One of `FEATURES`.

    Returns
    -------
    (3,) array
    """
