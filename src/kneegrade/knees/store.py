"""A folder of ROIs and its index: what training reads.

``roi-<16 hexadecimal digits>.png`` is one knee (8 bits; the digits are a hash of its key and of a
user's own landmarks of it, so that no file name holds an id); ``index.parquet`` has one row per row
of the knee table: all its columns, then ``roi_file``, ``inside_fraction``, ``flags``, ``status``,
``error_code``, the affine to the radiograph ``a00 .. a12`` (``(row, col, 1)`` of the ROI to
``(row, col)``), ``confidence`` (mean of the landmarks') and ``landmarks`` (sixteen ``row`` and
``col`` in px of the ROI, one list).
``store.json`` holds the cropping settings. A knee that was found and refused has its picture too.
While knees are being cut, ``rois.jsonl`` says which are done; it is gone when the index is whole.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from kneegrade.arrays import FloatImage
from kneegrade.bundles.manifest import LocatorSpec, hash_file
from kneegrade.cohorts.tables.schema import KEY_COLUMNS
from kneegrade.cohorts.tables.table import read_radiograph_file, read_spacing
from kneegrade.errors import InternalError, KneegradeError, TableError, WorkerError
from kneegrade.images.geometry import apply_affine, invert_affine
from kneegrade.images.read import read_file
from kneegrade.journal import note, read_journal
from kneegrade.knees.landmarks.folder import LandmarkFolder
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.crop import RoiSpec
from kneegrade.knees.posing.pictures import encode_png, read_png
from kneegrade.knees.prepared import PreparedKnee, RefusedKnee, prepare_knees, prepare_landmarks
from kneegrade.output import write_whole, writing_to
from kneegrade.types import Contrast, Flag, KneeROI, Radiograph, Side
from kneegrade.workers import LIMIT_S, run_on_workers

SCHEMA_VERSION: Final = 2
AFFINE_COLUMNS: Final = ("a00", "a01", "a02", "a10", "a11", "a12")
RESULT_COLUMNS: Final = (
    *("roi_file", "status", "error_code", "flags", "inside_fraction", "contrast"),
    *AFFINE_COLUMNS,
    *("confidence", "landmarks", "landmark_source"),
)
JOURNAL: Final = "rois.jsonl"

Result = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreSettings:
    """How the ROIs of a store were cut.

    Parameters
    ----------
    roi : RoiSpec
    kind : InputKind
    locator : str
        First digits of the hashes of the locator's networks.
    has_landmark_files : bool
        Whether landmarks were read from files where there were any.
    """

    roi: RoiSpec
    kind: InputKind = InputKind.AUTO
    locator: str = ""
    has_landmark_files: bool = False
    schema_version: int = SCHEMA_VERSION


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
    folder : Path
        The store.
    settings : StoreSettings
        The locator's hashes are filled in here.
    locator : LocatorSpec
    landmarks : LandmarkFolder or None
        A user's own landmarks; a knee without any is located by the networks.
    n_workers : int or None
        Processes; None takes all cores.
    limit_s : float
        Seconds that a knee may take.
    on_progress : callable
        Called with the number of knees done and in all.

    Returns
    -------
    DataFrame
        The index.

    Raises
    ------
    TableError
        ``store.other-settings`` if the folder holds ROIs that were cut otherwise.
    OutputError
        ``output.not-writable``.
    """
    hashes = "-".join(hash_file(path)[:12] for path in (locator.film, locator.knee))
    settings = replace(settings, locator=hashes, has_landmark_files=landmarks is not None)
    head = _check_settings(folder, settings)
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
        (folder / JOURNAL).unlink()
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


def read_index(folder: Path) -> pd.DataFrame:
    """Read the index of an ROI store.

    Raises
    ------
    TableError
        ``store.not-found``.
    """
    path = folder / "index.parquet"
    if not path.is_file():
        raise TableError(
            "store.not-found",
            f"An ROI store is a folder with an index.parquet. Got {str(folder)!r}.",
            "Make one with kneegrade prepare.",
        )
    return pd.read_parquet(path)


def read_settings(folder: Path) -> StoreSettings:
    """Read how the ROIs of a store were cut."""
    values = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    roi = values["roi"]
    return StoreSettings(
        roi=RoiSpec(**{**roi, "clip_percentiles": tuple(roi["clip_percentiles"])}),
        kind=InputKind(values["kind"]),
        locator=values["locator"],
        has_landmark_files=values["has_landmark_files"],
        schema_version=values["schema_version"],
    )


def summarise_index(index: pd.DataFrame) -> dict[str, Any]:
    """Count the knees of a store: all, refused, failed, by error code, with landmarks of files."""
    codes = index.loc[index["status"] != "ok", "error_code"].value_counts()
    return {
        "knees": len(index),
        "refused": int((index["status"] == "refused").sum()),
        "failed": int((index["status"] == "failed").sum()),
        "error_codes": {str(code): int(n) for code, n in codes.items()},
        "landmarks_from_files": int((index["landmark_source"] == "file").sum()),
    }


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


def read_roi_pixels(folder: Path, roi_file: str) -> FloatImage:
    """Pixels of one stored ROI: ``(n, n)``, float32 in [0, 1]."""
    pixels = read_png(folder / roi_file)
    if pixels is None:
        raise TableError(
            "store.not-found",
            f"The ROI store names {roi_file}, which is not there or is no picture.",
            "Run kneegrade prepare again.",
        )
    return pixels


def read_rois(folder: Path, index: pd.DataFrame) -> Iterable[KneeROI]:
    """Read the ROIs of the index's rows (all of ``status`` ok), in their order."""
    for row in index.to_dict("records"):
        affine = np.array([row[name] for name in AFFINE_COLUMNS]).reshape(2, 3)
        yield KneeROI(
            side=Side(row["side"]),
            pixels=read_roi_pixels(folder, row["roi_file"]),
            to_radiograph=affine,
            mirrored=bool(np.linalg.det(affine[:, :2]) < 0),
            source_id=row["roi_file"],
            inside_fraction=row["inside_fraction"],
            contrast=Contrast(row["contrast"]),
            flags=frozenset(Flag(name) for name in row["flags"].split(";") if name),
        )


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
    temporary = folder / "index.parquet.part"
    index.to_parquet(temporary, index=False)
    temporary.replace(folder / "index.parquet")
    return index


def _check_settings(folder: Path, settings: StoreSettings) -> dict[str, Any]:
    """Begin the store, or make sure that it was cut alike; its settings in JSON."""
    path = folder / "store.json"
    text = json.dumps(asdict(settings)) + "\n"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            write_whole(path, text)
        elif read_settings(folder) != settings:
            raise TableError(
                "store.other-settings",
                f"The ROI store {str(folder)!r} was cut with other settings: "
                f"{path.read_text(encoding='utf-8').strip()}.",
                "Name another folder, or delete this one.",
            )
    head: dict[str, Any] = json.loads(text)
    return head


def _roi_files(table: pd.DataFrame, landmarks: LandmarkFolder | None) -> list[str]:
    """File name of each row's ROI; other landmarks give another, so that the knee is cut again."""
    keys = table[list(KEY_COLUMNS)].astype(str).itertuples(index=False)
    texts = ["|".join(key) for key in keys]
    if landmarks is not None:
        rows = table.to_dict("records")
        texts = [text + landmarks.hash_of(row) for text, row in zip(texts, rows, strict=True)]
    return [f"roi-{hashlib.sha256(text.encode()).hexdigest()[:16]}.png" for text in texts]
