"""Made-up results of knees, for tests of whatever shows one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kneegrade.errors import ImageError, KneegradeError, KneeNotFoundError
from kneegrade.knees.measuring.sizes import Area, CompartmentSizes, JointSizes, Length
from kneegrade.pipeline.results import KneeKey, KneeResult, Status, TaskResult
from kneegrade.types import Flag, Side, SpacingSource, Task

IMPLANT = KneeNotFoundError("knee.implant", "The knee contains metal.", "Leave this one out.")
EMPTY = ImageError("image.empty", "The file must hold a picture. Got 0 bytes.", "Copy it again.")


def make_compartment(smallest: Length, fixed: Length) -> CompartmentSizes:
    """A compartment with these widths; its areas are of no knee."""
    area = Area(0.01, None if smallest.mm is None else 60.0)
    return CompartmentSizes(smallest, fixed, area, femur_spur=area, tibia_spur=area)


def make_joint(
    source: SpacingSource = SpacingSource.DETECTOR_PLANE,
    *,
    lateral_mm: float = 5.43,
    medial_mm: float = 2.68,
    fta_deg: float | None = 175.34,
) -> JointSizes:
    """A joint of a plateau 80 mm wide; without millimetres where their source is unknown."""
    known = source is not SpacingSource.UNKNOWN

    def length(mm: float) -> Length:
        return Length(mm / 80, mm if known else None)

    return JointSizes(
        lateral=make_compartment(length(lateral_mm), length(6.0)),
        medial=make_compartment(length(medial_mm), length(3.0)),
        femorotibial_deg=fta_deg,
        plateau_width_mm=80.0 if known else None,
        spacing_source=source,
    )


def make_result(
    source: str = "a.png", tasks: Sequence[Task] = (Task.KL,), **changes: Any
) -> KneeResult:
    """A graded right knee; ``changes`` replace its other fields."""
    result = KneeResult(
        source=source,
        key=KneeKey(),
        side=Side.RIGHT,
        status=Status.OK,
        bundle_id="tiny-0.1-abc",
        tasks={
            task: TaskResult(2, (1 / task.n_grades,) * task.n_grades, (task.n_grades - 1) / 2)
            for task in tasks
        },
    )
    return replace(result, **changes)


def make_refused(
    source: str = "a.png", error: KneegradeError = IMPLANT, **changes: Any
) -> KneeResult:
    """A left knee that was found and refused."""
    result = KneeResult.of_error(
        error,
        source,
        KneeKey(),
        Side.LEFT,
        "tiny-0.1-abc",
        flags=frozenset({Flag.IMPLANT}),
        status=Status.REFUSED,
    )
    return replace(result, **changes)


def make_failed(source: str = "a.png", error: KneegradeError = EMPTY) -> KneeResult:
    """A file that gave no knee."""
    return KneeResult.of_error(error, source, KneeKey(), None, "tiny-0.1-abc")
