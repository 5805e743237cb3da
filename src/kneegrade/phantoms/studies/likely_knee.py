"""A knee with some grades asked for, and the others as they go with these in a study."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

import numpy as np

from kneegrade.errors import OutputError
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.studies.population import Study, draw_subject
from kneegrade.types import Grades, Task

N_CANDIDATES: Final = 4000


def draw_likely_knee(asked: Mapping[Task, int], *, seed: int) -> Severity:
    """Draw the knee of a study's subject that comes closest to the asked grades, and give it those.

    Parameters
    ----------
    asked : mapping of Task to int
        Any of the thirteen tasks. A Kellgren-Lawrence grade must follow from the features
        (`compute_kl`).
    seed : int
        0 or more.

    Returns
    -------
    Severity
        Its grades are the asked ones.

    Raises
    ------
    OutputError
        ``phantom.grade-invalid`` if a grade is outside its scale, or if the features that are asked
        for do not go with the Kellgren-Lawrence grade.
    """
    try:
        grades = Grades(asked)
    except (TypeError, ValueError) as error:
        raise OutputError(
            "phantom.grade-invalid",
            f"A knee cannot be drawn with these grades: {error}",
            "Kellgren-Lawrence goes from 0 to 4, every other task from 0 to 3.",
        ) from error
    features = {task: grade for task, grade in grades.items() if task in FEATURES}
    rng = np.random.default_rng([seed, 5])
    places = dict(zip(FEATURES, rng.uniform(0.1, 0.9, len(FEATURES)), strict=True))
    best: Severity | None = None
    least = np.inf
    for knee in islice(_draw_knees(seed), N_CANDIDATES):
        distance = sum(abs(knee.grades[task] - grade) for task, grade in features.items())
        if distance >= least:
            continue
        moved: dict[Task, float] = {
            t: g + places[t] for t, g in features.items() if int(knee[t]) != g
        }
        candidate = Severity({**knee, **moved})
        if candidate.grades[Task.KL] == grades.get(Task.KL, candidate.grades[Task.KL]):
            best, least = candidate, distance
        if least == 0:
            break
    if best is None:
        raise OutputError(
            "phantom.grade-invalid",
            f"These features do not go with a Kellgren-Lawrence grade of {grades[Task.KL]}.",
            "Leave kl out (it follows from the features), or give it alone.",
        )
    return best


def _draw_knees(seed: int) -> Iterator[Severity]:
    """Natural knees of the subjects of a study, in their order, without end."""
    number = 0
    while True:
        number += 1
        for visit in draw_subject(Study.OAI, number, seed).visits:
            yield from (knee for knee in visit.severity.values() if knee is not None)
