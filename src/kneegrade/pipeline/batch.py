"""Grade many pictures into a folder, on all cores: one row a knee, nothing lost, continued.

``journal.jsonl`` in the output folder holds the rows of every finished picture; its first line
names the bundle and the settings, so that two kinds of results never mix. The tables are written
from it at the end, in the order of the pictures.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from kneegrade import __version__
from kneegrade.bundles.manifest import Bundle, read_bundle
from kneegrade.errors import MissingExtraError, WorkerError
from kneegrade.grading.predictions import Row, write_csv, write_json, write_parquet
from kneegrade.journal import note, read_journal
from kneegrade.knees.drawing import KneeDrawing
from kneegrade.knees.locating.find import InputKind
from kneegrade.output import writing_to
from kneegrade.pipeline.grader import DEFAULT_BUNDLE
from kneegrade.pipeline.picture import PICTURES, KneeLine, Picture, fail_picture, open_grading
from kneegrade.workers import LIMIT_S, run_on_workers

JOURNAL: Final = "journal.jsonl"

_Kept = list[tuple[Row, str]]
"""Rows of a picture, and their drawings as text."""
_Key = tuple[str | int, ...]
"""Identity of a picture, size and time of its file."""


@dataclass(frozen=True)
class BatchKnee:
    """One row of a batch.

    Parameters
    ----------
    row : mapping
        As in the prediction table.
    picture : Picture
    drawing_json : str
        `drawing` as text, a tenth of its size in memory; "null" where there is no ROI.
    """

    row: Row
    picture: Picture
    drawing_json: str

    @property
    def drawing(self) -> KneeDrawing | None:
        """What to draw over the ROI's picture; None where there is no ROI."""
        values = json.loads(self.drawing_json)
        return None if values is None else KneeDrawing.from_json(values)

    def file_in(self, folder: Path) -> Path:
        """Where the ROI's picture is."""
        return self.picture.file_in(folder, self.row["side"] or "")


def grade_batch(
    pictures: Sequence[Picture],
    bundle: Bundle | str | Path = DEFAULT_BUNDLE,
    folder: Path = Path("kneegrade-output"),
    *,
    kind: InputKind = InputKind.AUTO,
    keep_pictures: bool = True,
    n_workers: int | None = None,
    limit_s: float = LIMIT_S,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[BatchKnee]:
    """Grade pictures, writing each one's rows as soon as they are there.

    Pictures are graded in processes beside this one; one that hangs or ends its process gets a row
    of ``status`` failed. What an earlier call finished is kept while the file is unchanged; a
    failed row is tried again. Any number of processes gives the same rows.

    Parameters
    ----------
    pictures : sequence of Picture
        One that is given twice is graded once.
    bundle : Bundle, str or Path
    folder : Path
        Made if it is not there.
    kind : InputKind
    keep_pictures : bool
        Whether to write each knee's picture into ``knees/``, for the report.
    n_workers : int or None
        Processes, of one thread each; None takes all cores.
    limit_s : float
        Seconds that a picture may take.
    on_progress : callable
        Called with the number of pictures done and in all.

    Returns
    -------
    list of BatchKnee
        In the order of ``pictures``; one or two for each.

    Raises
    ------
    BundleError, OutputError, WorkerError
        ``output.not-writable``, ``output.other-run``, ``worker.no-start``.
    """
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    finished = _begin(folder, bundle, kind)
    keyed = [(_key_of(picture), picture) for picture in pictures]
    todo = {key: picture for key, picture in keyed if key not in finished}
    start = partial(open_grading, bundle, kind, folder if keep_pictures else None)
    n_kept = len({key for key, _ in keyed}) - len(todo)
    on_progress(n_kept, n_kept + len(todo))
    with closing(
        run_on_workers(start, [*todo.values()], n_workers=n_workers, limit_s=limit_s)
    ) as results:
        noted = _note_results(results, todo, bundle, folder)
        for n_done, (key, lines) in enumerate(noted, start=n_kept + 1):
            finished[key] = _keep(lines)
            on_progress(n_done, n_kept + len(todo))
    return [BatchKnee(row, picture, text) for key, picture in keyed for row, text in finished[key]]


def write_tables(rows: Sequence[Row], bundle: Bundle, folder: Path) -> list[Path]:
    """Write ``predictions.json``, ``.csv`` and, with the extra ``[study]``, ``.parquet``."""
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
    with writing_to(folder):
        write_json(rows, about, json_path)
        write_csv(rows, tasks, csv_path)
        try:
            write_parquet(rows, tasks, parquet_path)
        except MissingExtraError:  # kneegrade info tells
            return [json_path, csv_path]
    return [json_path, csv_path, parquet_path]


def _keep(lines: Sequence[KneeLine]) -> _Kept:
    return [(line["row"], json.dumps(line["drawing"])) for line in lines]


def _key_of(picture: Picture) -> _Key:
    return (picture.identity, *picture.read_state())


def _begin(folder: Path, bundle: Bundle, kind: InputKind) -> dict[_Key, _Kept]:
    """Make the folder, or find in it what an earlier call finished."""
    head = {"kneegrade": __version__, "bundle_id": bundle.bundle_id, "input": kind.value}
    with writing_to(folder):
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        lines = read_journal(folder / JOURNAL, head)
        last = {(line["identity"], *line["state"]): _keep(line["knees"]) for line in lines}
    return {
        key: kept for key, kept in last.items() if all(row["status"] != "failed" for row, _ in kept)
    }


def _note_results(
    results: Iterable[tuple[int, list[KneeLine] | WorkerError]],
    pictures: Mapping[_Key, Picture],
    bundle: Bundle,
    folder: Path,
) -> Iterator[tuple[_Key, list[KneeLine]]]:
    """Note in the journal what comes of each picture, as it comes."""
    keys = list(pictures)
    with writing_to(folder):
        journal = (folder / JOURNAL).open("a", encoding="utf-8")
    with journal:
        for index, result in results:
            key, lines = keys[index], result
            if isinstance(lines, WorkerError):
                lines = fail_picture(pictures[key], lines, bundle)
            with writing_to(folder):
                note(journal, {"identity": key[0], "state": key[1:], "knees": lines})
            yield key, lines
