"""An ROI store of made-up pictures, for tests of whatever reads one."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from kneegrade.knees.posing.crop import RoiSpec
from kneegrade.knees.store import AFFINE_COLUMNS, StoreSettings


def write_made_store(knees: pd.DataFrame, pictures: Sequence[np.ndarray], folder: Path) -> Path:
    """Write pictures (n, n) uint8, one a row of the table, as ROIs of status ok."""
    folder.mkdir(parents=True)
    index = knees.reset_index(drop=True).copy()
    index["roi_file"] = [f"roi-{i:016x}.png" for i in range(len(index))]
    index["status"], index["error_code"], index["flags"] = "ok", "", "view-unknown"
    index["inside_fraction"], index["confidence"], index["landmark_source"] = 1.0, 0.9, "network"
    index["landmarks"] = [[float(v) for v in range(32)]] * len(index)
    mirror = np.where(index["side"] == "left", -1.0, 1.0)
    for name, values in zip(AFFINE_COLUMNS, (1.0, 0.0, 0.0, 0.0, mirror, 0.0), strict=True):
        index[name] = values
    for name, picture in zip(index["roi_file"], pictures, strict=True):
        cv2.imwrite(str(folder / name), picture)
    index.to_parquet(folder / "index.parquet", index=False)
    settings = StoreSettings(RoiSpec(size_px=pictures[0].shape[0]))
    (folder / "store.json").write_text(json.dumps(asdict(settings)), encoding="utf-8")
    return folder
