"""Grade many pictures into a folder: one row a knee, nothing lost, continued where it ended.

``journal.jsonl`` in the output folder holds the rows of every finished picture; its first line
names the bundle and the settings, so that two kinds of results never mix. The tables are written
from it at the end.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from kneegrade import __version__
from kneegrade.bundles.manifest import Bundle
from kneegrade.errors import InternalError, KneegradeError, MissingExtraError, OutputError
from kneegrade.grading.predictions import table_columns, write_csv, write_json, write_parquet
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.posing.pictures import encode_png
from kneegrade.knees.prepared import RefusedKnee
from kneegrade.pipeline.drawing import KneeDrawing, draw_knee
from kneegrade.pipeline.grader import KneeGrader
from kneegrade.pipeline.results import KneeKey, KneeResult, result_of
from kneegrade.types import KneeROI, RadiographFile, Side

log = logging.getLogger(__name__)

JOURNAL: Final = "journal.jsonl"
PICTURES: Final = "knees"


@dataclass(frozen=True)
class Picture:
    """One picture to grade.

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
        """What tells this picture's row from every other row of the batch, settings included."""
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

    def file_in(self, folder: Path, side: Side | None) -> Path:
        """Where a batch keeps an ROI's picture: its name is a hash, so that it holds no id."""
        digits = hashlib.sha256(f"{self.identity}{side or ''}".encode()).hexdigest()[:16]
        return folder / PICTURES / f"knee-{digits}.png"


@dataclass(frozen=True)
class BatchKnee:
    """One row of a batch.

    Parameters
    ----------
    result : KneeResult
    picture : Picture
    drawing : KneeDrawing or None
        What to draw over the ROI's picture; None where there is no ROI.
    """

    result: KneeResult
    picture: Picture
    drawing: KneeDrawing | None

    def file_in(self, folder: Path) -> Path:
        """Where the ROI's picture is."""
        return self.picture.file_in(folder, self.result.side)


def grade_batch(
    pictures: Sequence[Picture],
    grader: KneeGrader,
    folder: Path,
    *,
    kind: InputKind = InputKind.AUTO,
    keep_pictures: bool = True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[BatchKnee]:
    """Grade pictures, writing each one's rows as soon as they are there.

    A picture that an earlier call finished is kept while the file is unchanged; one with a row of
    ``status`` failed is tried again.

    Parameters
    ----------
    pictures : sequence of Picture
    grader : KneeGrader
    folder : Path
        Made if it is not there.
    kind : InputKind
    keep_pictures : bool
        Whether to write each knee's picture into ``knees/``, for the report.
    on_progress : callable
        Called with the number of pictures done and in all.

    Returns
    -------
    list of BatchKnee
        In the order of ``pictures``; one or two for each.

    Raises
    ------
    OutputError
        ``output.not-writable`` or ``output.other-run``.
    """
    with _writable(folder):
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        finished = _read_journal(folder, grader.bundle, kind)
        journal = (folder / JOURNAL).open("a", encoding="utf-8")
    knees: list[BatchKnee] = []
    with journal:
        for done, picture in enumerate(pictures, start=1):
            state = picture.read_state()
            lines = finished.get((picture.identity, *state))
            if lines is None:
                lines, rois = _grade_one(picture, grader, kind)
                with _writable(folder):
                    for line, roi in zip(lines, rois, strict=True):
                        if roi is not None and keep_pictures:
                            file = picture.file_in(folder, Side(line["row"]["side"]))
                            file.write_bytes(encode_png(roi.pixels))
                    _append(journal, {"identity": picture.identity, "state": state, "knees": lines})
            knees += [_knee_of(picture, line) for line in lines]
            on_progress(done, len(pictures))
    return knees


def write_tables(
    results: Sequence[KneeResult],
    bundle: Bundle,
    folder: Path,
    *,
    osteophyte_areas: bool = False,
) -> list[Path]:
    """Write ``predictions.json``, ``.csv`` and, with the extra ``[study]``, ``.parquet``.

    Parameters
    ----------
    results : sequence of KneeResult
    bundle : Bundle
        What graded them.
    folder : Path
    osteophyte_areas : bool
        Whether to write `SPUR_COLUMNS` too.
    """
    rows = [result.to_row() for result in results]
    columns = table_columns([spec.task for spec in bundle.tasks], osteophyte_areas=osteophyte_areas)
    about = {
        "software": f"kneegrade {__version__}",
        "notice": "Research use only. Not a medical device.",
        "bundle": {
            "bundle_id": bundle.bundle_id,
            "licence": bundle.licence,
            "training": bundle.training,
            "agreement": bundle.agreement,
        },
    }
    json_path, csv_path, parquet_path = (
        folder / f"predictions.{suffix}" for suffix in ("json", "csv", "parquet")
    )
    with _writable(folder):
        write_json(rows, columns, about, json_path)
        write_csv(rows, columns, csv_path)
        try:
            write_parquet(rows, columns, parquet_path)
        except MissingExtraError:  # kneegrade info tells
            return [json_path, csv_path]
    return [json_path, csv_path, parquet_path]


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
    bundle_id = grader.bundle.bundle_id
    key = picture.key or KneeKey()
    result = KneeResult.of_error(failure, picture.source, key, picture.side, bundle_id)
    return [{"row": result.to_row(), "drawing": None}], [None]


def _grade_picture(
    picture: Picture, grader: KneeGrader, kind: InputKind
) -> tuple[list[dict[str, Any]], list[KneeROI | None]]:
    bundle_id = grader.bundle.bundle_id
    lines: list[dict[str, Any]] = []
    rois: list[KneeROI | None] = []
    key = picture.key or KneeKey()
    for knee in grader.grade_file(picture.file, side=picture.side, kind=kind):
        result = result_of(knee, picture.source, key, bundle_id)
        drawing = None
        shown = knee.knee if isinstance(knee, RefusedKnee) else knee
        if shown is not None:
            space = None if isinstance(knee, RefusedKnee) else knee.joint_space
            drawing = draw_knee(shown.roi, shown.landmarks, space, shown.metal_px).to_json()
        rois.append(None if shown is None else shown.roi)
        lines.append({"row": result.to_row(), "drawing": drawing})
    return lines, rois


def _knee_of(picture: Picture, line: Mapping[str, Any]) -> BatchKnee:
    drawing = line["drawing"]
    result = KneeResult.of_row(line["row"])
    return BatchKnee(result, picture, drawing and KneeDrawing.from_json(drawing))


def _read_journal(
    folder: Path, bundle: Bundle, kind: InputKind
) -> dict[tuple[str | int, ...], list[dict[str, Any]]]:
    """What an earlier call finished, by identity and state; begins a journal if needed."""
    path = folder / JOURNAL
    head = {"kneegrade": __version__, "bundle_id": bundle.bundle_id, "input": kind.value}
    try:
        lines = list(_read_lines(path)) if path.is_file() else []
        finished = {(line["identity"], *line["state"]): line["knees"] for line in lines[1:]}
        whole = {
            identity: knees
            for identity, knees in finished.items()
            if all(knee["row"]["status"] != "failed" for knee in knees)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise _other_run(folder, f"a {JOURNAL} that kneegrade did not write") from error
    if not lines:
        path.write_text(json.dumps(head) + "\n", encoding="utf-8")
    elif lines[0] != head:
        raise _other_run(folder, f"results of another bundle, --input or version: {lines[0]}")
    return whole


def _other_run(folder: Path, what: str) -> OutputError:
    return OutputError(
        "output.other-run",
        f"The folder {str(folder)!r} holds {what}.",
        "Name another --out, or delete this folder.",
    )


def _read_lines(path: Path) -> Iterable[Any]:
    """Whole lines of the journal; a last line that was cut off is dropped from the file too."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]


def _append(journal: IO[str], line: Mapping[str, Any]) -> None:
    journal.write(json.dumps(line, ensure_ascii=False) + "\n")
    journal.flush()


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            "output.not-writable",
            f"The folder {str(folder)!r} cannot be written to: {error.strerror}.",
            "Choose another --out, or free space.",
        ) from error
