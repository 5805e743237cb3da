"""Knee table and radiographs -> an ROI store, on all cores, continued where it stopped."""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from kneegrade.bundles.manifest import LocatorSpec, hash_file
from kneegrade.cohorts.tables.schema import KEY_COLUMNS
from kneegrade.cohorts.tables.table import read_radiograph_file, read_spacing
from kneegrade.errors import InternalError, KneegradeError, TableError, WorkerError
from kneegrade.images.geometry import apply_affine, invert_affine
from kneegrade.images.read import read_file
from kneegrade.journal import note, read_journal
from kneegrade.knees.landmarks.folder import LandmarkFolder
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.pictures import encode_png
from kneegrade.knees.prepare import PreparedKnee, RefusedKnee, prepare_knees, prepare_landmarks
from kneegrade.knees.store import (
    AFFINE_COLUMNS,
    RESULT_COLUMNS,
    StoreSettings,
    begin_store,
    read_index,
)
from kneegrade.output import write_whole, writing_to
from kneegrade.types import Contrast, Radiograph, Side
from kneegrade.workers import LIMIT_S, run_on_workers

JOURNAL: Final = "rois.jsonl"

Result = dict[str, Any]

log = logging.getLogger(__name__)


def write_rois(
    table: pd.DataFrame,
    table_path: Path,
    folder: Path,
    settings: StoreSettings,
    locator: LocatorSpec,
    *,
    landmarks: LandmarkFolder | None = None,
    n_workers: int | None = None,
    limit_s: float = LIMIT_S,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Cut every knee of a table into an ROI store; continue where an earlier call stopped.

    A knee that cannot be cut, or whose film ends or hangs the process that reads it, keeps its row,
    with ``status`` failed and its ``error_code``.

    Parameters
    ----------
    table : DataFrame
        A checked knee table.
    table_path : Path
        Where it was read from: its ``image_path`` is relative to that.
    folder, settings
        The store; the locator's hashes are filled in here.
    locator : LocatorSpec
    landmarks : LandmarkFolder or None
        A user's own landmarks; a knee without any is located by the networks.
    n_workers, limit_s
        As for `run_on_workers`.
    on_progress : callable
        Called with the number of knees done and in all.

    Returns
    -------
    DataFrame, the index.

    Raises
    ------
    TableError, OutputError
        ``store.other-settings`` if the folder holds ROIs cut otherwise; ``output.not-writable``.
    """
    hashes = "-".join(hash_file(path)[:12] for path in (locator.film, locator.knee))
    settings = replace(settings, locator=hashes, has_landmark_files=landmarks is not None)
    head = begin_store(folder, settings)
    table = table.reset_index(drop=True)
    names = _roi_files(table, landmarks)
    with writing_to(folder):
        results = _read_finished(folder, table, names, read_journal(folder / JOURNAL, head))
    rows = zip(names, table.to_dict("records"), strict=True)
    todo = [(name, row) for name, row in rows if name not in results]
    start = partial(_open_cutting, table_path, folder, locator, settings, landmarks)
    with closing(run_on_workers(start, todo, n_workers=n_workers, limit_s=limit_s)) as made:
        for result in _note_results(made, todo, folder):
            results[result["roi_file"]] = result
            on_progress(len(results), len(names))
    with writing_to(folder):
        index = _write_index(table, names, results, folder)
        (folder / JOURNAL).unlink(missing_ok=True)
    return index


def _note_results(
    results: Iterable[tuple[int, Result | WorkerError]],
    todo: Sequence[tuple[str, Mapping[str, Any]]],
    folder: Path,
) -> Iterator[Result]:
    """Note in the journal what comes of each knee, as it comes."""
    with writing_to(folder):
        journal = (folder / JOURNAL).open("a", encoding="utf-8")
    with journal:
        for index, made in results:
            name, row = todo[index]
            result = _failed(name, made) if isinstance(made, WorkerError) else made
            with writing_to(folder):
                note(journal, {"source": _source_of(row)} | result)
            yield result


def write_unused_landmarks(own: LandmarkFolder, table: pd.DataFrame, folder: Path) -> int:
    """Write ``landmarks-unused.csv``: a row for each landmarked knee that the knee table lacks.

    Returns
    -------
    int
        How many there are; their code is ``landmarks.no-image``.
    """
    baseline = table[table["visit_months"] == 0]
    unused = own.list_without_picture(
        set(zip(table["image_path"].astype(str), table["side"].astype(str), strict=True)),
        set(zip(baseline["subject_id"].astype(str), baseline["side"].astype(str), strict=True)),
    )
    error = TableError(
        "landmarks.no-image",
        f"The knee table must have an image of each landmarked knee. {len(unused)} have none.",
        "Check image_path, or subject_id and side.",
    )
    lines = [f"{name},{side},failed,{error.code}" for name, side in unused]
    text = "\n".join(["knee,side,status,error_code", *lines]) + "\n"
    (folder / "landmarks-unused.csv").write_text(text, encoding="utf-8")
    return len(unused)


def _open_cutting(
    table_path: Path,
    folder: Path,
    locator: LocatorSpec,
    settings: StoreSettings,
    landmarks: LandmarkFolder | None,
) -> Callable[[tuple[str, Mapping[str, Any]]], Result]:
    """Load the locator, with one thread; what is returned cuts the knee of a row."""
    networks = KneeLocator(locator, n_threads=1)
    cut = partial(_cut_one, networks=networks, settings=settings, landmarks=landmarks)
    return partial(_write_one, cut=cut, table_path=table_path, folder=folder)


def _write_one(
    task: tuple[str, Mapping[str, Any]],
    cut: Callable[[Mapping[str, Any], Radiograph], tuple[PreparedKnee | RefusedKnee, str]],
    table_path: Path,
    folder: Path,
) -> Result:
    name, row = task
    try:
        radiograph = read_file(read_radiograph_file(row, table_path))
        made, landmark_source = cut(row, radiograph)
    except KneegradeError as error:
        return _failed(name, error)
    except Exception as error:  # noqa: BLE001 whatever a film raises is that film's row
        bug = InternalError.of(error)
        log.error("%s", bug)
        log.info("%s", bug.trace)
        return _failed(name, bug)
    if isinstance(made, PreparedKnee):
        return _store(made, "", name, landmark_source, folder)
    if made.knee is None:
        return _failed(name, made.error)
    return _store(made.knee, made.error.code, name, landmark_source, folder)


def _store(
    knee: PreparedKnee, error_code: str, name: str, landmark_source: str, folder: Path
) -> Result:
    """Write a knee's ROI; the index says what refused it, if anything did."""
    roi = knee.roi
    with writing_to(folder):
        write_whole(folder / name, encode_png(roi.pixels))
    points = apply_affine(invert_affine(roi.to_radiograph), knee.landmarks.kneel_points_px)
    return {
        "roi_file": name,
        "status": "refused" if error_code else "ok",
        "error_code": error_code,
        "flags": ";".join(sorted(roi.flags)),
        "inside_fraction": roi.inside_fraction,
        "contrast": roi.contrast.value,
        **dict(zip(AFFINE_COLUMNS, roi.to_radiograph.ravel().tolist(), strict=True)),
        "confidence": float(knee.landmarks.confidence.mean()),
        "landmarks": np.round(points, 2).ravel().tolist(),
        "landmark_source": landmark_source,
    }


def _failed(name: str, error: KneegradeError) -> Result:
    return {
        "roi_file": name,
        "status": "failed",
        "error_code": error.code,
        "flags": "",
        "landmarks": [],
        "landmark_source": "",
    }


def _cut_one(
    row: Mapping[str, Any],
    radiograph: Radiograph,
    *,
    networks: KneeLocator,
    settings: StoreSettings,
    landmarks: LandmarkFolder | None,
) -> tuple[PreparedKnee | RefusedKnee, str]:
    """The knee of a row, and whether its landmarks come from the network or from a file."""
    side = Side(row["side"])
    known = None if landmarks is None else landmarks.find(row, radiograph)
    if known is not None:
        return prepare_landmarks(radiograph, known, settings.roi, networks), "file"
    knees = prepare_knees(networks, radiograph, settings.roi, side=side, kind=settings.kind)
    return knees[0], "network"


def _read_finished(
    folder: Path, table: pd.DataFrame, names: list[str], noted: Iterable[Result]
) -> dict[str, Result]:
    """Results of an earlier call that still hold: of the same picture, with the ROI on disk."""
    is_there = (folder / "index.parquet").is_file()
    index = read_index(folder).to_dict("records") if is_there else []
    made = {row["roi_file"]: {"source": _source_of(row)} | row for row in index}
    made |= {result["roi_file"]: result for result in noted}
    asked = dict(zip(names, map(_source_of, table.to_dict("records")), strict=True))
    return {
        name: {column: result.get(column) for column in RESULT_COLUMNS}
        for name, result in made.items()
        if result["status"] != "failed"
        and asked.get(name) == result["source"]
        and (folder / name).is_file()
    }


def _source_of(row: Mapping[str, Any]) -> str:
    """What a row's ROI was made of: picture, contrast, and size of a pixel."""
    contrast = row.get("contrast", Contrast.UNKNOWN.value)
    return json.dumps([row["image_path"], contrast, read_spacing(row)])


def _write_index(
    table: pd.DataFrame, names: list[str], results: dict[str, Result], folder: Path
) -> pd.DataFrame:
    """Write the rows of the table that have a result, in the table's order."""
    made = [results.get(name) for name in names]
    present = [result is not None for result in made]
    rows = table[present].drop(columns=["contrast"], errors="ignore").reset_index(drop=True)
    index = rows.join(pd.DataFrame([r for r in made if r is not None], columns=RESULT_COLUMNS))
    content = io.BytesIO()
    index.to_parquet(content, index=False)
    write_whole(folder / "index.parquet", content.getvalue())
    return index


def _roi_files(table: pd.DataFrame, landmarks: LandmarkFolder | None) -> list[str]:
    """File name of each row's ROI; other landmarks give another, so that the knee is cut again."""
    keys = table[list(KEY_COLUMNS)].astype(str).itertuples(index=False)
    texts = ["|".join(key) for key in keys]
    if landmarks is not None:
        rows = table.to_dict("records")
        texts = [text + landmarks.hash_of(row) for text, row in zip(texts, rows, strict=True)]
    return [f"roi-{hashlib.sha256(text.encode()).hexdigest()[:16]}.png" for text in texts]
