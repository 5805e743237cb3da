"""Grade many pictures into an output folder: one row each, nothing lost, continued where it ended.

``journal.jsonl`` in the output folder holds every finished row; its first line names the bundle
and the settings, so that two kinds of results never mix. The tables are written from it at the end.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from kneegrade import __version__
from kneegrade.bundles.manifest import Bundle
from kneegrade.errors import KneegradeError, MissingExtraError, OutputError
from kneegrade.grading.predictions import (
    Row,
    row_of_error,
    row_of_prediction,
    write_csv,
    write_json,
    write_parquet,
)
from kneegrade.knees.crop import InputKind
from kneegrade.knees.pictures import encode_png
from kneegrade.pipeline import KneeGrader
from kneegrade.types import Contrast, KneeROI, Side

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
    path : str
        Where the picture is: a file, or ``archive.zip::member`` (also .tar, .tar.gz,
        .tgz).
    key : mapping
        The knee table's key columns, or nothing.
    """

    source: str
    path: str
    side: Side | None = None
    spacing_mm: float | None = None
    contrast: Contrast = Contrast.UNKNOWN
    key: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What tells this picture's row from every other row of the batch, settings included."""
        side = self.side.value if self.side else ""
        settings = [side, str(self.spacing_mm or ""), self.contrast.value]
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

    def file_in(self, folder: Path) -> Path:
        """Where a batch keeps the ROI's picture: its name is a hash, so that it holds no id."""
        digits = hashlib.sha256(self.identity.encode()).hexdigest()[:16]
        return folder / PICTURES / f"knee-{digits}.png"


def grade_batch(
    pictures: Sequence[Picture],
    grader: KneeGrader,
    folder: Path,
    *,
    kind: InputKind = InputKind.AUTO,
    keep_pictures: bool = True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """Grade pictures, writing each row as soon as it is there.

    Rows that an earlier call finished with ``status`` ok are kept while the file is unchanged;
    failed ones are tried again.

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
    list of rows
        In the order of ``pictures``.

    Raises
    ------
    OutputError
        ``output.not-writable`` or ``output.other-run``.
    """
    with _writable(folder):
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        finished = _read_journal(folder, grader.bundle, kind)
        journal = (folder / JOURNAL).open("a", encoding="utf-8")
    rows: list[Row] = []
    with journal:
        for done, picture in enumerate(pictures, start=1):
            state = picture.read_state()
            row = finished.get((picture.identity, *state))
            if row is None:
                row, roi = _grade_one(picture, grader, kind)
                with _writable(folder):
                    if roi is not None and keep_pictures:
                        picture.file_in(folder).write_bytes(encode_png(roi.pixels))
                    _append(journal, {"identity": picture.identity, "state": state, "row": row})
            rows.append(row)
            on_progress(done, len(pictures))
    return rows


def write_tables(rows: Sequence[Row], bundle: Bundle, folder: Path) -> list[Path]:
    """Write ``predictions.json``, ``.csv`` and, where pyarrow is installed, ``.parquet``."""
    tasks = [spec.task for spec in bundle.tasks]
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
        write_json(rows, about, json_path)
        write_csv(rows, tasks, csv_path)
        try:
            write_parquet(rows, tasks, parquet_path)
        except MissingExtraError as error:
            log.warning("predictions.parquet is not written: %s", error)
            return [json_path, csv_path]
    return [json_path, csv_path, parquet_path]


def _grade_one(picture: Picture, grader: KneeGrader, kind: InputKind) -> tuple[Row, KneeROI | None]:
    try:
        knee = grader.grade(
            picture.path,
            side=picture.side,
            kind=kind,
            spacing_mm=picture.spacing_mm,
            contrast=picture.contrast,
        )
    except KneegradeError as error:
        bundle_id = grader.bundle.bundle_id
        return row_of_error(error, picture.source, picture.key, picture.side, bundle_id), None
    return row_of_prediction(knee.prediction, picture.source, picture.key), knee.roi


def _read_journal(
    folder: Path, bundle: Bundle, kind: InputKind
) -> dict[tuple[str | int, ...], Row]:
    """Rows that an earlier call finished, by identity and state; begins a journal if needed."""
    path = folder / JOURNAL
    head = {"kneegrade": __version__, "bundle_id": bundle.bundle_id, "input": kind.value}
    try:
        lines = list(_read_lines(path)) if path.is_file() else []
        rows = {(line["identity"], *line["state"]): line["row"] for line in lines[1:]}
    except (ValueError, KeyError, TypeError) as error:
        raise _other_run(folder, f"a {JOURNAL} that kneegrade did not write") from error
    if not lines:
        path.write_text(json.dumps(head) + "\n", encoding="utf-8")
    elif lines[0] != head:
        raise _other_run(folder, f"results of another bundle, --input or version: {lines[0]}")
    return {identity: row for identity, row in rows.items() if row["status"] == "ok"}


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
