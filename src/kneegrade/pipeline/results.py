"""The result of one knee, typed: what the table, the page and every report are written from.

A result and a row of the prediction table say the same: `KneeResult.to_row` and
`KneeResult.of_row` are each other's inverse.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from kneegrade.errors import KneegradeError
from kneegrade.grading.grader import expected_grade
from kneegrade.grading.predictions import KEY_COLUMNS, Row, task_columns
from kneegrade.knees.measuring.sizes import Area, CompartmentSizes, JointSizes, Length
from kneegrade.knees.prepare import RefusedKnee
from kneegrade.pipeline.drawing import KneeDrawing
from kneegrade.pipeline.grader import GradedKnee
from kneegrade.types import Flag, KneePrediction, Side, SpacingSource, Task

DECIMALS: Final = 6
"""To which a result is rounded when it is made, so that it survives the way to a file and back."""


class Status(StrEnum):
    """What became of a knee, or of a file that gave none."""

    OK = "ok"
    REFUSED = "refused"
    """Found, and not to be graded."""
    FAILED = "failed"


class KneeKey(NamedTuple):
    """Where a knee stands in a knee table, its side apart; nothing of a loose file is known."""

    cohort: str | None = None
    subject_id: str | None = None
    visit_months: int | None = None
    reading: str | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """The key that a row of a knee table, or of a prediction table, has."""
        return cls(**{name: row[name] for name in cls._fields})


@dataclass(frozen=True)
class TaskResult:
    """The grade of one task.

    Parameters
    ----------
    grade : int
    probabilities : tuple of float
        One a grade, rounded.
    expected : float
        Mean grade under them.
    spread : float or None
        Standard deviation of the expected grade over the members; None for a single member.
    """

    grade: int
    probabilities: tuple[float, ...]
    expected: float
    spread: float | None = None


@dataclass(frozen=True)
class KneeResult:
    """One knee, or one file that gave none.

    Parameters
    ----------
    source : str
        As the caller named the file.
    key : KneeKey
    side : Side or None
    status : Status
    bundle_id : str
    flags : frozenset of Flag
    tasks : mapping of Task to TaskResult
        Empty unless ``status`` is ok.
    joint : JointSizes or None
        What was measured; None where nothing was.
    error_code, error : str
        Why it was refused or failed; empty where it was graded.
    """

    source: str
    key: KneeKey
    side: Side | None
    status: Status
    bundle_id: str
    flags: frozenset[Flag] = frozenset()
    tasks: Mapping[Task, TaskResult] = field(default_factory=dict)
    joint: JointSizes | None = None
    error_code: str = ""
    error: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", MappingProxyType(dict(self.tasks)))
        if (self.status is Status.OK) == bool(self.error_code):
            raise ValueError(f"A knee is graded or has an error. Got {self.error_code!r}.")

    @classmethod
    def of_prediction(
        cls,
        prediction: KneePrediction,
        source: str,
        key: KneeKey,
        joint: JointSizes | None = None,
    ) -> Self:
        """The result of a graded knee."""
        tasks = {}
        for task, grade in prediction.grades.items():
            probabilities = prediction.probabilities[task]
            spread = prediction.spread.get(task)
            tasks[task] = TaskResult(
                grade=grade,
                probabilities=tuple(round(float(p), DECIMALS) for p in probabilities),
                expected=round(float(expected_grade(probabilities)), DECIMALS),
                spread=None if spread is None else round(spread, DECIMALS),
            )
        return cls(
            source=source,
            key=key,
            side=prediction.side,
            status=Status.OK,
            bundle_id=prediction.bundle_id,
            flags=prediction.flags,
            tasks=tasks,
            joint=None if joint is None else joint.rounded(DECIMALS),
        )

    @classmethod
    def of_error(
        cls,
        error: KneegradeError,
        source: str,
        key: KneeKey,
        side: Side | None,
        bundle_id: str,
        *,
        flags: frozenset[Flag] = frozenset(),
        status: Status = Status.FAILED,
    ) -> Self:
        """The result of a file that gave no knee, or of a knee that was found and refused."""
        return cls(
            source=source,
            key=key,
            side=side,
            status=status,
            bundle_id=bundle_id,
            flags=flags,
            error_code=error.code,
            error=f"{error.message} {error.hint}",
        )

    def to_row(self) -> Row:
        """The row of the prediction table; a column that is not there is empty."""
        row: Row = {
            "source": self.source,
            **dict.fromkeys(KEY_COLUMNS),
            **self.key._asdict(),
            "side": None if self.side is None else self.side.value,
            "status": self.status.value,
            "error_code": self.error_code,
            "error": self.error,
            "flags": ";".join(sorted(self.flags)),
            "bundle_id": self.bundle_id,
        }
        if self.joint is not None:
            row |= _joint_to_row(self.joint)
        for task, result in self.tasks.items():
            values = [result.grade, *result.probabilities, result.expected, result.spread]
            row |= dict(zip(task_columns(task), values, strict=True))
        return row

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """The result that a row of `to_row` tells.

        Raises
        ------
        KeyError, ValueError, TypeError
            If it is not such a row.
        """
        tasks = {}
        for task in Task:
            if row.get(task.value) is not None:
                grade, *probabilities, expected, spread = (row[n] for n in task_columns(task))
                tasks[task] = TaskResult(grade, tuple(probabilities), expected, spread)
        return cls(
            source=row["source"],
            key=KneeKey.of_row(row),
            side=row["side"] and Side(row["side"]),
            status=Status(row["status"]),
            bundle_id=row["bundle_id"],
            flags=frozenset(Flag(name) for name in row["flags"].split(";") if name),
            tasks=tasks,
            joint=_joint_of_row(row) if row.get("spacing_source") else None,
            error_code=row["error_code"],
            error=row["error"],
        )


@dataclass(frozen=True)
class KneeRecord:
    """A result, and what is drawn over its ROI.

    Parameters
    ----------
    result : KneeResult
    drawing : KneeDrawing or None
        None where there is no ROI.
    """

    result: KneeResult
    drawing: KneeDrawing | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        drawing = None if self.drawing is None else self.drawing.to_json()
        return {"row": self.result.to_row(), "drawing": drawing}


def result_of(
    knee: GradedKnee | RefusedKnee, source: str, key: KneeKey, bundle_id: str
) -> KneeResult:
    """The result of what `KneeGrader.grade` gave for one knee."""
    if isinstance(knee, GradedKnee):
        return KneeResult.of_prediction(knee.prediction, source, key, knee.joint_space.sizes)
    found = knee.knee
    return KneeResult.of_error(
        knee.error,
        source,
        key,
        knee.side,
        bundle_id,
        flags=frozenset() if found is None else found.roi.flags,
        status=Status.FAILED if found is None else Status.REFUSED,
    )


def _joint_to_row(joint: JointSizes) -> Row:
    row: Row = {
        "fta_deg": joint.femorotibial_deg,
        "plateau_width_mm": joint.plateau_width_mm,
        "spacing_source": joint.spacing_source.value,
    }
    for half, sizes in (("l", joint.lateral), ("m", joint.medial)):
        for name, length in (("jsw", sizes.minimum), ("jsw_fixed", sizes.fixed)):
            row |= {f"{name}_{half}_mm": length.mm, f"{name}_{half}_share": length.share}
        spurs = (("spur_f", sizes.femur_spur), ("spur_t", sizes.tibia_spur))
        for name, area in (("jsa", sizes.area), *spurs):
            row |= {f"{name}_{half}_mm2": area.mm2, f"{name}_{half}_share": area.share}
    return row


def _joint_of_row(row: Mapping[str, Any]) -> JointSizes:
    def length(name: str) -> Length:
        return Length(row[f"{name}_share"], row[f"{name}_mm"])

    def area(name: str) -> Area:
        return Area(row[f"{name}_share"], row[f"{name}_mm2"])

    lateral, medial = (
        CompartmentSizes(
            minimum=length(f"jsw_{half}"),
            fixed=length(f"jsw_fixed_{half}"),
            area=area(f"jsa_{half}"),
            femur_spur=area(f"spur_f_{half}"),
            tibia_spur=area(f"spur_t_{half}"),
        )
        for half in "lm"
    )
    return JointSizes(
        lateral=lateral,
        medial=medial,
        femorotibial_deg=row["fta_deg"],
        plateau_width_mm=row["plateau_width_mm"],
        spacing_source=SpacingSource(row["spacing_source"]),
    )
