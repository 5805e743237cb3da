"""What is held of a graded film: a small document of plain numbers."""

from pathlib import Path
from typing import Any

import numpy as np

from kneegrade.errors import KneegradeError
from kneegrade.grading.predictions import SPACE_COLUMNS, SPUR_COLUMNS
from kneegrade.knees.prepare import RefusedKnee
from kneegrade.pipeline.grader import GradedKnee, KneeGrader
from kneegrade.pipeline.results import KneeKey, result_of

Document = dict[str, Any]


def grade_films(grader: KneeGrader, films: list[Path]) -> Document:
    """Each film's knees by its file name."""
    return {film.name: grade_film(grader, film) for film in films}


def grade_film(grader: KneeGrader, film: Path) -> list[Document]:
    """One document a knee, or the code of the error where there is none."""
    try:
        return [describe_knee(knee) for knee in grader.grade(film)]
    except KneegradeError as error:
        return [{"error_code": error.code}]


def describe_knee(knee: GradedKnee | RefusedKnee) -> Document:
    """Grades, probabilities, landmarks (px of the film), what was measured, and flags."""
    result = result_of(knee, "", KneeKey(), "")
    if isinstance(knee, RefusedKnee):
        if result.side is None:
            return {"error_code": result.error_code}
        return {
            "side": result.side.value,
            "error_code": result.error_code,
            "flags": sorted(result.flags),
        }
    prediction = knee.prediction
    return {
        "side": knee.side.value,
        "grades": {task.value: grade for task, grade in prediction.grades.items()},
        "probabilities": {
            task.value: np.round(values, 5).tolist()
            for task, values in prediction.probabilities.items()
        },
        "landmarks_px": np.round(knee.landmarks.points_px, 2).tolist(),
        "measured": {
            name: value if value is None or isinstance(value, str) else round(value, 5)
            for name, value in result.to_row().items()
            if name in {*SPACE_COLUMNS, *SPUR_COLUMNS}
        },
        "flags": sorted(prediction.flags),
    }
