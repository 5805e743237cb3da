"""A folder of ROIs and its index: what training reads.

``roi-<16 hexadecimal digits>.png`` is one knee (8 bits; the digits are a hash of its key, so that
no file name holds an id); ``index.parquet`` has one row per row of the knee table: all its columns,
then ``roi_file``, ``inside_fraction``, ``flags``, ``status``, ``error_code`` and the affine to the
radiograph ``a00 .. a12`` (``(row, col, 1)`` of the ROI to ``(row, col)``). ``store.json`` holds the
cropping settings.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from kneegrade.cohorts.table import KEY_COLUMNS, resolve_image
from kneegrade.errors import KneegradeError, OutputError, TableError
from kneegrade.images.read import read_radiograph
from kneegrade.knees.crop import InputKind, crop_knee
from kneegrade.knees.pictures import encode_png, read_png
from kneegrade.types import Contrast, Flag, FloatImage, KneeROI, Side

SCHEMA_VERSION: Final = 1
AFFINE_COLUMNS: Final = ("a00", "a01", "a02", "a10", "a11", "a12")
RESULT_COLUMNS: Final = (
    *("roi_file", "status", "error_code", "flags", "inside_fraction", "contrast"),
    *AFFINE_COLUMNS,
)
FLUSH_EVERY: Final = 1000

Result = dict[str, Any]


@dataclass(frozen=True)
class StoreSettings:
    """How the ROIs of a store were cut."""

    size_px: int
    kind: InputKind = InputKind.AUTO
    schema_version: int = SCHEMA_VERSION


def write_rois(
    table: pd.DataFrame,
    table_path: Path,
    folder: Path,
    settings: StoreSettings,
    *,
    n_workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Cut every knee of a table into an ROI store; continue where an earlier call stopped.

    A knee that cannot be cut keeps its row, with ``status`` failed and its ``error_code``.

    Parameters
    ----------
    table : DataFrame
        A checked knee table.
    table_path : Path
        Where it was read from: its ``image_path`` is relative to that.
    folder : Path
        The store.
    settings : StoreSettings
    n_workers : int
        Processes.
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
    _check_settings(folder, settings)
    table = table.reset_index(drop=True)
    names = _roi_files(table)
    results = _read_finished(folder, table, names)
    open_rows = [i for i, name in enumerate(names) if name not in results]
    n_done = len(names) - len(open_rows)
    rows = table.iloc[open_rows].to_dict("records")
    write = partial(_write_one, table_path=table_path, folder=folder, settings=settings)
    try:
        with _many_processes(n_workers) as map_over:
            jobs = map_over(write, rows, [names[i] for i in open_rows])
            for count, result in enumerate(jobs, start=1):
                results[result["roi_file"]] = result
                on_progress(n_done + count, len(names))
                if count % FLUSH_EVERY == 0:
                    _write_index(table, names, results, folder)
    except KeyboardInterrupt:
        _write_index(table, names, results, folder)
        raise
    return _write_index(table, names, results, folder)


@contextmanager
def _many_processes(n_workers: int) -> Iterator[Callable[..., Iterable[Result]]]:
    """``map`` over processes (reading DICOM is not safe in threads), or plainly for one worker."""
    if n_workers == 1:
        yield map
        return
    with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=8)


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
    return StoreSettings(
        size_px=values["size_px"],
        kind=InputKind(values["kind"]),
        schema_version=values["schema_version"],
    )


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


def _write_one(
    row: Mapping[str, Any], name: str, table_path: Path, folder: Path, settings: StoreSettings
) -> Result:
    try:
        spacing = row.get("spacing_mm")
        radiograph = read_radiograph(
            resolve_image(table_path, row["image_path"]),
            spacing_mm=None if spacing is None or pd.isna(spacing) else float(spacing),
            contrast=Contrast(row.get("contrast", Contrast.UNKNOWN)),
        )
        roi = crop_knee(
            radiograph, size_px=settings.size_px, side=Side(row["side"]), kind=settings.kind
        )
    except KneegradeError as error:
        return {"roi_file": name, "status": "failed", "error_code": error.code, "flags": ""}
    try:
        (folder / name).write_bytes(encode_png(roi.pixels))
    except OSError as error:
        raise OutputError(
            "output.not-writable",
            f"A picture cannot be written to the folder {str(folder)!r}: {error.strerror}.",
            "Make room, or choose another folder.",
        ) from error
    return {
        "roi_file": name,
        "status": "ok",
        "error_code": "",
        "flags": ";".join(sorted(roi.flags)),
        "inside_fraction": roi.inside_fraction,
        "contrast": roi.contrast.value,
        **dict(zip(AFFINE_COLUMNS, roi.to_radiograph.ravel().tolist(), strict=True)),
    }


def _read_finished(folder: Path, table: pd.DataFrame, names: list[str]) -> dict[str, Result]:
    """Results of an earlier call that still hold: of the same picture, with the ROI on disk."""
    if not (folder / "index.parquet").is_file():
        return {}
    contrasts = table.get("contrast", pd.Series(Contrast.UNKNOWN.value, index=table.index))
    asked = dict(zip(names, zip(table["image_path"], contrasts, strict=True), strict=True))
    index = read_index(folder)
    return {
        row["roi_file"]: {name: row[name] for name in RESULT_COLUMNS}
        for row in index[index["status"] == "ok"].to_dict("records")
        if asked.get(row["roi_file"]) == (row["image_path"], row["contrast"])
        and (folder / row["roi_file"]).is_file()
    }


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


def _check_settings(folder: Path, settings: StoreSettings) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "store.json"
        if path.is_file():
            if read_settings(folder) != settings:
                raise TableError(
                    "store.other-settings",
                    f"The ROI store {str(folder)!r} was cut with other settings: "
                    f"{path.read_text(encoding='utf-8').strip()}.",
                    "Name another folder, or delete this one.",
                )
            return
        path.write_text(json.dumps(asdict(settings)) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            "output.not-writable",
            f"The folder {str(folder)!r} cannot be written to: {error.strerror}.",
            "Choose another folder.",
        ) from error


def _roi_files(table: pd.DataFrame) -> list[str]:
    keys = table[list(KEY_COLUMNS)].astype(str).itertuples(index=False)
    return [f"roi-{hashlib.sha256('|'.join(key).encode()).hexdigest()[:16]}.png" for key in keys]
