"""One radiograph of a batch: what is asked for, and its way to results and ROIs on disk."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from kneegrade.bundles.manifest import Bundle
from kneegrade.errors import InternalError, KneegradeError, OutputError
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.posing.pictures import encode_png
from kneegrade.knees.prepare import RefusedKnee
from kneegrade.output import write_whole, writing_to
from kneegrade.pipeline.drawing import draw_knee
from kneegrade.pipeline.grader import GradedKnee, KneeGrader
from kneegrade.pipeline.results import KneeKey, KneeRecord, KneeResult, result_of
from kneegrade.types import RadiographFile, Side

log = logging.getLogger(__name__)

ROIS: Final = "knees"
"""Folder of the ROIs, within that of the batch."""


@dataclass(frozen=True)
class GradeRequest:
    """One radiograph to grade.

    Parameters
    ----------
    source : str
        What the row's ``source`` says.
    file : RadiographFile
    side : Side or None
        The knee that is meant.
    key : KneeKey or None
        Of the knee table; None for a loose file.
    """

    source: str
    file: RadiographFile
    side: Side | None = None
    key: KneeKey | None = None

    @property
    def identity(self) -> str:
        """What distinguishes this request from every other one of the batch."""
        known = [str(self.file.spacing_mm or ""), self.file.spacing_source, self.file.contrast]
        side = self.side.value if self.side else ""
        return json.dumps([self.source, side, *known, *map(str, self.key or ())])

    def read_state(self) -> list[int]:
        """Size and time of the last change of the file or archive; nothing where there is none."""
        for path in (self.file.path, self.file.path.partition("::")[0]):
            try:
                found = Path(path).stat()
            except (OSError, ValueError):
                continue
            return [found.st_size, found.st_mtime_ns]
        return []

    def roi_file(self, folder: Path, side: Side | None) -> Path:
        """Where a batch keeps the ROI of a side: the name is a hash, so that it holds no id."""
        digits = hashlib.sha256(f"{self.identity}{side or ''}".encode()).hexdigest()[:16]
        return folder / ROIS / f"knee-{digits}.png"


def open_grading(
    bundle: Bundle, kind: InputKind, folder: Path
) -> Callable[[GradeRequest], list[dict[str, Any]]]:
    """Load the networks, with one thread each; what is returned answers requests in JSON.

    Parameters
    ----------
    bundle : Bundle
    kind : InputKind
    folder : Path
        The batch's, to write each knee's ROI to.
    """
    grader = KneeGrader(bundle, n_threads=1)
    return partial(_answer_in_json, grader=grader, kind=kind, folder=folder)


def _answer_in_json(
    request: GradeRequest, grader: KneeGrader, kind: InputKind, folder: Path
) -> list[dict[str, Any]]:
    return [record.to_json() for record in answer(request, grader, kind, folder)]


def answer(
    request: GradeRequest, grader: KneeGrader, kind: InputKind, folder: Path
) -> list[KneeRecord]:
    """Grade a radiograph: one or two knees. Their ROIs are on disk when this returns.

    Raises
    ------
    OutputError
        ``output.not-writable``.
    """
    try:
        knees = grader.grade_file(request.file, side=request.side, kind=kind)
        return [_record(knee, request, grader.bundle.bundle_id, folder) for knee in knees]
    except OutputError:
        raise
    except KneegradeError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 whatever a radiograph raises is its own row
        failure = InternalError.of(error)
        log.error("%s", failure)
        log.info("%s", failure.trace)
    return [fail(request, failure, grader.bundle.bundle_id)]


def fail(request: GradeRequest, error: KneegradeError, bundle_id: str) -> KneeRecord:
    """What stands for a radiograph that could not be graded: one row that says why."""
    key = request.key or KneeKey()
    return KneeRecord(KneeResult.of_error(error, request.source, key, request.side, bundle_id))


def _record(
    knee: GradedKnee | RefusedKnee, request: GradeRequest, bundle_id: str, folder: Path
) -> KneeRecord:
    """A knee's result and drawing; its ROI is written."""
    result = result_of(knee, request.source, request.key or KneeKey(), bundle_id)
    shown = knee.knee if isinstance(knee, RefusedKnee) else knee
    if shown is None:
        return KneeRecord(result)
    space = None if isinstance(knee, RefusedKnee) else knee.joint_space
    with writing_to(folder):
        write_whole(request.roi_file(folder, result.side), encode_png(shown.roi.pixels))
    return KneeRecord(result, draw_knee(shown.roi, shown.landmarks, space, shown.metal_px))
