"""Grade many radiographs into a folder, on all cores: one row a knee, nothing lost, continued.

``journal.jsonl`` in the output folder holds the results of every finished radiograph; its first
line names the bundle and the settings, so that two kinds of results never mix. The tables are
written at the end, in the order of the requests.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from kneegrade import __version__
from kneegrade.bundles.manifest import Bundle, read_bundle
from kneegrade.errors import MissingExtraError, WorkerError
from kneegrade.grading.predictions import table_columns, write_csv, write_json, write_parquet
from kneegrade.journal import note, other_run, read_journal
from kneegrade.knees.locating.find import InputKind
from kneegrade.output import writing_to
from kneegrade.pipeline.drawing import KneeDrawing
from kneegrade.pipeline.grader import DEFAULT_BUNDLE
from kneegrade.pipeline.request import ROIS, GradeRequest, fail, open_grading
from kneegrade.pipeline.results import KneeResult, Status
from kneegrade.workers import LIMIT_S, run_on_workers

JOURNAL: Final = "journal.jsonl"

_Kept = list[tuple[KneeResult, str]]
"""Results of a request, and their drawings as text."""
_Key = tuple[str | int, ...]
"""Identity of a request, size and time of its file."""


@dataclass(frozen=True)
class BatchKnee:
    """One knee of a batch, or one file that gave none.

    Parameters
    ----------
    request : GradeRequest
    result : KneeResult
    drawing_json : str
        `drawing` as text, a tenth of its size in memory; "null" where there is no ROI.
    """

    request: GradeRequest
    result: KneeResult
    drawing_json: str

    @property
    def drawing(self) -> KneeDrawing | None:
        """What is drawn over the ROI; None where there is none."""
        values = json.loads(self.drawing_json)
        return None if values is None else KneeDrawing.from_json(values)

    def read_roi(self, folder: Path) -> bytes | None:
        """The ROI as a PNG, from the batch's folder; None where there is none."""
        file = self.request.roi_file(folder, self.result.side)
        return file.read_bytes() if file.is_file() else None


def grade_batch(
    requests: Sequence[GradeRequest],
    bundle: Bundle | str | Path = DEFAULT_BUNDLE,
    folder: Path = Path("kneegrade-output"),
    *,
    kind: InputKind = InputKind.AUTO,
    n_workers: int | None = None,
    limit_s: float = LIMIT_S,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[BatchKnee]:
    """Grade radiographs, noting each one's results as soon as they are there.

    They are graded in processes beside this one; one that hangs or ends its process gets a row
    of ``status`` failed. What an earlier call finished is kept while the file is unchanged; a
    failed row is tried again. Any number of processes gives the same rows.

    Parameters
    ----------
    requests : sequence of GradeRequest
        One that is given twice is answered once.
    bundle : Bundle, str or Path
    folder : Path
        Made if it is not there.
    kind : InputKind
    n_workers : int or None
        Processes, of one thread each; None takes all cores.
    limit_s : float
        Seconds that a radiograph may take.
    on_progress : callable
        Called with the number of radiographs done and in all.

    Returns
    -------
    list of BatchKnee
        In the order of ``requests``; one or two for each.

    Raises
    ------
    BundleError, OutputError, WorkerError
        ``output.not-writable``, ``output.other-run``, ``worker.no-start``.
    """
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    finished = _begin(folder, bundle, kind)
    keyed = [(_key_of(request), request) for request in requests]
    todo = {key: request for key, request in keyed if key not in finished}
    start = partial(open_grading, bundle, kind, folder)
    n_kept = len({key for key, _ in keyed}) - len(todo)
    on_progress(n_kept, n_kept + len(todo))
    with closing(
        run_on_workers(start, [*todo.values()], n_workers=n_workers, limit_s=limit_s)
    ) as answers:
        noted = _note_answers(answers, todo, bundle, folder)
        for n_done, (key, knees) in enumerate(noted, start=n_kept + 1):
            finished[key] = _keep(knees)
            on_progress(n_done, n_kept + len(todo))
    return [BatchKnee(request, *kept) for key, request in keyed for kept in finished[key]]


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
    with writing_to(folder):
        write_json(rows, columns, about, json_path)
        write_csv(rows, columns, csv_path)
        try:
            write_parquet(rows, columns, parquet_path)
        except MissingExtraError:  # kneegrade info tells
            return [json_path, csv_path]
    return [json_path, csv_path, parquet_path]


def _key_of(request: GradeRequest) -> _Key:
    return (request.identity, *request.read_state())


def _keep(knees: Sequence[Mapping[str, Any]]) -> _Kept:
    return [(KneeResult.of_row(knee["row"]), json.dumps(knee["drawing"])) for knee in knees]


def _begin(folder: Path, bundle: Bundle, kind: InputKind) -> dict[_Key, _Kept]:
    """Make the folder, or find in it what an earlier call finished."""
    head = {"kneegrade": __version__, "bundle_id": bundle.bundle_id, "input": kind.value}
    try:
        with writing_to(folder):
            (folder / ROIS).mkdir(parents=True, exist_ok=True)
            lines = read_journal(folder / JOURNAL, head)
            last = {(line["identity"], *line["state"]): _keep(line["knees"]) for line in lines}
    except (KeyError, TypeError, ValueError) as error:
        raise other_run(folder / JOURNAL, "was not written by this kneegrade") from error
    return {
        key: kept
        for key, kept in last.items()
        if all(result.status is not Status.FAILED for result, _ in kept)
    }


def _note_answers(
    answers: Iterable[tuple[int, list[dict[str, Any]] | WorkerError]],
    requests: Mapping[_Key, GradeRequest],
    bundle: Bundle,
    folder: Path,
) -> Iterator[tuple[_Key, list[dict[str, Any]]]]:
    """Note in the journal what comes of each request, as it comes."""
    keys = list(requests)
    with writing_to(folder):
        journal = (folder / JOURNAL).open("a", encoding="utf-8")
    with journal:
        for index, answer in answers:
            key, knees = keys[index], answer
            if isinstance(knees, WorkerError):
                knees = [fail(requests[key], knees, bundle.bundle_id).to_json()]
            with writing_to(folder):
                note(journal, {"identity": key[0], "state": key[1:], "knees": knees})
            yield key, knees
