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

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from kneegrade.arrays import FloatImage
from kneegrade.errors import TableError
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.posing.crop import RoiSpec
from kneegrade.knees.posing.pictures import read_png
from kneegrade.output import write_whole, writing_to
from kneegrade.types import Contrast, Flag, KneeROI, Side

SCHEMA_VERSION: Final = 2
AFFINE_COLUMNS: Final = ("a00", "a01", "a02", "a10", "a11", "a12")
RESULT_COLUMNS: Final = (
    *("roi_file", "status", "error_code", "flags", "inside_fraction", "contrast"),
    *AFFINE_COLUMNS,
    *("confidence", "landmarks", "landmark_source"),
)


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


def begin_store(folder: Path, settings: StoreSettings) -> dict[str, Any]:
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
