"""One picture of a batch: what it is, and its way to rows, drawings and the ROIs' pictures.

What is made of it is JSON, for a journal: for each knee a ``row`` of the prediction table and what
to draw over its picture, ``drawing``.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from kneegrade.bundles.manifest import Bundle
from kneegrade.errors import InternalError, KneegradeError
from kneegrade.grading.predictions import row_of_error, row_of_prediction
from kneegrade.knees.drawing import draw_knee
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.posing.pictures import encode_png
from kneegrade.output import write_whole, writing_to
from kneegrade.pipeline.grader import GradedKnee, KneeGrader
from kneegrade.types import Contrast, KneeROI, Side, SpacingSource

log = logging.getLogger(__name__)

PICTURES: Final = "knees"

KneeLine = dict[str, Any]
"""``row`` and ``drawing`` of a knee, in JSON."""


@dataclass(frozen=True)
class Picture:
    """One picture to grade.

    Parameters
    ----------
    source : str
        What the row's ``source`` says.
    path : str
        Where the picture is: a file, or ``archive.zip::member`` (also .tar, .tar.gz,
        .tgz).
    key : mapping
        The knee table's key columns, or nothing.
    """

    source: str
    path: str
    side: Side | None = None
    spacing_mm: float | tuple[float, float] | None = None
    spacing_source: SpacingSource = SpacingSource.CALLER
    contrast: Contrast = Contrast.UNKNOWN
    key: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What tells this picture's row from every other row of the batch, settings included."""
        side = self.side.value if self.side else ""
        settings = [side, str(self.spacing_mm or ""), self.spacing_source, self.contrast.value]
        return json.dumps([self.source, *settings, *map(str, self.key.values())])

    def read_state(self) -> list[int]:
        """Size and time of the last change of the file or archive; nothing where there is none."""
        for path in (self.path, self.path.partition("::")[0]):
            try:
                found = Path(path).stat()
            except (OSError, ValueError):
                continue
            return [found.st_size, found.st_mtime_ns]
        return []

    def file_in(self, folder: Path, side: str) -> Path:
        """Where a batch keeps an ROI's picture: its name is a hash, so that it holds no id."""
        digits = hashlib.sha256(f"{self.identity}{side}".encode()).hexdigest()[:16]
        return folder / PICTURES / f"knee-{digits}.png"


def open_grading(
    bundle: Bundle, kind: InputKind, folder: Path | None
) -> Callable[[Picture], list[KneeLine]]:
    """Load the networks, with one thread each; what is returned grades pictures.

    Parameters
    ----------
    bundle : Bundle
    kind : InputKind
    folder : Path or None
        The batch's folder, to write each knee's picture to; None to write none.
    """
    grader = KneeGrader(bundle, n_threads=1)
    return partial(grade_picture, grader=grader, kind=kind, folder=folder)


def grade_picture(
    picture: Picture, grader: KneeGrader, kind: InputKind, folder: Path | None
) -> list[KneeLine]:
    """Grade a picture: one or two knees. Their pictures are on disk when this returns.

    Raises
    ------
    OutputError
        ``output.not-writable``.
    """
    lines, rois = _grade_one(picture, grader, kind)
    if folder is not None:
        with writing_to(folder):
            for line, roi in zip(lines, rois, strict=True):
                if roi is not None:
                    file = picture.file_in(folder, line["row"]["side"])
                    write_whole(file, encode_png(roi.pixels))
    return lines


def fail_picture(picture: Picture, error: KneegradeError, bundle: Bundle) -> list[KneeLine]:
    """What stands for a picture that could not be graded: one row that says why."""
    row = row_of_error(error, picture.source, picture.key, picture.side, bundle.bundle_id)
    return [{"row": row, "drawing": None}]


def _grade_one(
    picture: Picture, grader: KneeGrader, kind: InputKind
) -> tuple[list[dict[str, Any]], list[KneeROI | None]]:
    """Rows and drawings, to be kept in the journal, and the ROIs beside them."""
    try:
        return _grade_picture(picture, grader, kind)
    except KneegradeError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 whatever a film raises is that film's row
        failure = InternalError.of(error)
        log.error("%s", failure)
        log.info("%s", failure.trace)
    return fail_picture(picture, failure, grader.bundle), [None]


def _grade_picture(
    picture: Picture, grader: KneeGrader, kind: InputKind
) -> tuple[list[dict[str, Any]], list[KneeROI | None]]:
    bundle_id = grader.bundle.bundle_id
    results = grader.grade(
        picture.path,
        side=picture.side,
        kind=kind,
        spacing_mm=picture.spacing_mm,
        spacing_source=picture.spacing_source,
        contrast=picture.contrast,
    )
    lines: list[dict[str, Any]] = []
    rois: list[KneeROI | None] = []
    for result in results:
        drawing = None
        if isinstance(result, GradedKnee):
            row = row_of_prediction(
                result.prediction, picture.source, picture.key, result.joint_space
            )
            drawing = draw_knee(
                result.roi, result.landmarks, result.joint_space, metal_px=result.metal_px
            ).to_json()
            rois.append(result.roi)
        else:
            knee = result.knee
            row = row_of_error(
                result.error,
                picture.source,
                picture.key,
                result.side,
                bundle_id,
                knee.roi.flags if knee else frozenset(),
                refused=knee is not None,
            )
            rois.append(knee.roi if knee else None)
            if knee is not None:
                drawing = draw_knee(knee.roi, knee.landmarks, metal_px=knee.metal_px).to_json()
        lines.append({"row": row, "drawing": drawing})
    return lines, rois
