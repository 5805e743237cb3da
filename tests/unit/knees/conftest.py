import zipfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from kneegrade.bundles.manifest import read_bundle
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.types import Side

KaggleKnee = tuple[str, Side, np.ndarray]


def read_kaggle_knees(folder: Path, labels: pd.DataFrame) -> Iterable[KaggleKnee]:
    """(file, side, pixels (224, 224) uint8) of the open set's knees."""
    for (split, kl), rows in labels.groupby(["split", "kl"]):
        with zipfile.ZipFile(folder / f"{split}-kl{kl}.zip") as archive:
            for file, side in zip(rows["file"], rows["side"], strict=True):
                data = np.frombuffer(archive.read(file), np.uint8)
                yield file, Side.parse(side), cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


@pytest.fixture(scope="session")
def locator() -> KneeLocator:
    """The embedded locator, with one thread."""
    return KneeLocator(read_bundle("default").locator, n_threads=1)


@pytest.fixture(scope="session")
def kaggle_labels(real_data: Path) -> pd.DataFrame:
    """The open set's labels with a column ``inverted``."""
    labels = pd.read_csv(real_data / "knee-kl" / "labels.csv")
    notes = pd.read_csv(real_data / "knee-kl" / "notes.csv")
    inverted = set(notes[notes["kind"] == "inverted"]["file"])
    assert len(inverted) == 84
    return labels.assign(inverted=labels["file"].isin(inverted))


@pytest.fixture(scope="session")
def kaggle_sample(real_data: Path, kaggle_labels: pd.DataFrame) -> list[KaggleKnee]:
    """600 knees of the open set that are not inverted."""
    chosen = kaggle_labels[~kaggle_labels["inverted"]].sample(600, random_state=1)
    return list(read_kaggle_knees(real_data / "knee-kl", chosen))


@pytest.fixture(scope="session")
def inverted_knees(real_data: Path, kaggle_labels: pd.DataFrame) -> list[KaggleKnee]:
    """The 84 knees of the open set that are listed as inverted."""
    chosen = kaggle_labels[kaggle_labels["inverted"]]
    return list(read_kaggle_knees(real_data / "knee-kl", chosen))


@pytest.fixture(scope="session")
def metal_knees(real_data: Path, kaggle_labels: pd.DataFrame) -> list[KaggleKnee]:
    """The 46 knees of the open set that hold metal."""
    listed = pd.read_csv(Path(__file__).parents[3] / "benchmarks" / "knee_kl_metal.csv")
    chosen = kaggle_labels[kaggle_labels["file"].map(lambda f: Path(f).stem).isin(listed["image"])]
    assert len(chosen) == len(listed) == 46
    return list(read_kaggle_knees(real_data / "knee-kl", chosen))


@pytest.fixture(scope="session")
def plain_films(real_data: Path) -> dict[str, np.ndarray]:
    """30 plain films of one left knee, thigh to calf, uint8."""
    paths = sorted((real_data / "knee-plain").glob("*.jpg"))
    return {path.stem: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths}
