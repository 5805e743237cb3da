"""A training run of a landmark network on disk: begin, continue, finish.

The folder holds what a grading run's does, but with ``heldout.csv`` (error of every held-out point)
instead of predictions.
"""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kneegrade.bundles.manifest import hash_file, read_bundle
from kneegrade.bundles.subjects import Subjects, read_subjects
from kneegrade.errors import RecipeError, TableError
from kneegrade.knees.locating.heatmaps import STRIDE, compute_probabilities, decode_heatmaps
from kneegrade.phantoms.studies.study import PHANTOM_COHORT
from kneegrade.training.fitting import (
    FittedModule,
    begin_run,
    finish_run,
    fit_module,
    load_weights,
    read_facts,
)
from kneegrade.training.locator.dataset import LandmarkData, LandmarkDataset
from kneegrade.training.locator.network import LandmarkNetwork, compute_landmark_loss
from kneegrade.training.locator.pictures import LandmarkPicture, fold_of, read_pictures
from kneegrade.training.locator.recipe import LandmarkRecipe
from kneegrade.training.locator.start import find_locator_file, load_onnx_weights

N_MEASURED: Final = 64
"""Images over which batch normalisation is measured where training starts from a bundle."""


@dataclass(frozen=True)
class FinishedLandmarkRun:
    """What a finished run left behind."""

    folder: Path
    recipe: LandmarkRecipe
    facts: dict[str, Any]

    def read_network(self) -> LandmarkNetwork:
        """The trained network in evaluation mode."""
        network = LandmarkNetwork(self.recipe.network, self.recipe.stage)
        load_weights(network, self.folder)
        return network


class LandmarkModule(FittedModule):
    """A landmark network with its loss and optimiser; logs ``train_loss`` and ``heldout_loss``."""

    network: LandmarkNetwork

    def __init__(self, recipe: LandmarkRecipe) -> None:
        super().__init__(LandmarkNetwork(recipe.network, recipe.stage), recipe.schedule)
        self.recipe = recipe

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> Tensor:
        """Loss of one batch."""
        loss = self._compute_loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], batch_index: int) -> None:
        """Loss of one held-out batch."""
        self.log("heldout_loss", self._compute_loss(batch), prog_bar=True)

    def _compute_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        images, points, is_there, kinds, metal = batch
        outputs = self.network(images.contiguous(memory_format=torch.channels_last))
        sigma = self.recipe.network.sigma_px
        return compute_landmark_loss(outputs, points, is_there, kinds, metal, sigma)


def fit_landmark_run(
    recipe_text: str,
    tables: Sequence[Path],
    folder: Path,
    *,
    fold: int | None = None,
    start: Path | None = None,
    n_workers: int = 1,
    show_progress: bool = False,
) -> FinishedLandmarkRun:
    """Train a landmark network, or continue a run, or return a finished one.

    Parameters
    ----------
    recipe_text : str
        Text of a ``recipe.toml`` that names a stage.
    tables : sequence of Path
        Landmark tables.
    folder : Path
        The run's folder.
    fold : int or None
        The fold of subjects to hold out; None holds out fold 0.
    start : Path or None
        A finished run of the same network, or a bundle (``default``: the embedded one), whose
        weights this one starts from.
    n_workers : int
        Processes that vary images.
    show_progress : bool

    Raises
    ------
    RecipeError
        ``run.other-recipe`` if the folder holds another run, or ``start`` another network;
        ``run.not-found`` for ``start``.
    BundleError
        As `read_bundle`, for ``start``.
    TableError
        As `read_pictures`.
    """
    recipe, held = LandmarkRecipe.from_toml(recipe_text), fold or 0
    begun_from = None if start is None else _find_start(start, recipe)
    if not begin_run(folder, recipe_text, _about(tables, held, begun_from), seed=recipe.seed):
        return read_landmark_run(folder)
    module = LandmarkModule(recipe)
    pictures = read_pictures(tables, recipe)
    train, heldout = _split(pictures, recipe, held)
    _load_start(module.network, begun_from, LandmarkDataset([*chain(*train)], recipe, epoch=0))
    data = LandmarkData(recipe, train, heldout, n_workers=n_workers)
    minutes = fit_module(module, data, recipe.schedule, folder, show_progress=show_progress)
    _write_heldout(module.network, heldout, recipe, folder / "heldout.csv")
    people = Subjects(_people(chain(*train)), _people(heldout)) | _read_start_subjects(start)
    facts = {
        "recipe": recipe.name,
        "hold_out": f"fold-{held}",
        "cohorts": sorted({p.knee.cohort for table in pictures for p in table}),
        "knees": {"trained": sum(map(len, train)), "selected": len(heldout)},
        "minutes_of_this_call": round(minutes, 1),
    }
    finish_run(folder, facts, people)
    return read_landmark_run(folder)


def _split(
    pictures: list[list[LandmarkPicture]], recipe: LandmarkRecipe, held: int
) -> tuple[list[list[LandmarkPicture]], list[LandmarkPicture]]:
    """Each table's images to train on, and the held-out ones of all."""
    n = recipe.n_folds
    train = [[p for p in table if fold_of(p.subject, n) != held] for table in pictures]
    if not all(train):
        raise RecipeError(
            "recipe.invalid",
            f"A landmark table has no knee outside fold {held} of {n}.",
            "Give tables of more subjects, or another fold.",
        )
    return train, [p for table in pictures for p in table if fold_of(p.subject, n) == held]


def read_landmark_run(folder: Path) -> FinishedLandmarkRun:
    """Read a finished run.

    Raises
    ------
    RecipeError
        ``run.not-found`` if there is none, or its weights are not the ones it wrote.
    """
    facts = read_facts(folder)
    text = (folder / "recipe.toml").read_text(encoding="utf-8")
    return FinishedLandmarkRun(folder, LandmarkRecipe.from_toml(text), facts)


def predict_points(
    network: LandmarkNetwork, pictures: Sequence[LandmarkPicture], recipe: LandmarkRecipe
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points found, points taught, and confidence, of images in their middle pose.

    Returns
    -------
    found, taught : (n, k, 2) array
        ``(row, col)`` in px of the network's input; taught is NaN where there is none.
    confidence : (n, k) array
    """
    dataset = LandmarkDataset(list(pictures), recipe, epoch=None)
    found, taught, sure = [], [], []
    with torch.inference_mode():
        for i in range(len(dataset)):
            image, points, is_there = dataset[i][:3]
            heatmaps, absent = (part.numpy() for part in network(image[None])[:2])
            point, confidence = decode_heatmaps(compute_probabilities(heatmaps, absent))
            truth = points[0].double().numpy() * STRIDE + (STRIDE - 1) / 2
            truth[~is_there[0].numpy()] = np.nan
            found.append(point[0])
            taught.append(truth)
            sure.append(confidence[0])
    return np.array(found), np.array(taught), np.array(sure)


def _write_heldout(
    network: LandmarkNetwork, heldout: list[LandmarkPicture], recipe: LandmarkRecipe, path: Path
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image_path", "side", "point", "error_px", "confidence"))
        if not heldout:
            return
        found, taught, sure = predict_points(network, heldout, recipe)
        errors = np.linalg.norm(found - taught, axis=2)
        for picture, error, confidence in zip(heldout, errors, sure, strict=True):
            about = (picture.knee.image_path, picture.knee.landmarks.side.value)
            for k in np.flatnonzero(np.isfinite(error)):
                writer.writerow((*about, k, f"{error[k]:.3f}", f"{confidence[k]:.3f}"))


def _find_start(folder: Path, recipe: LandmarkRecipe) -> FinishedLandmarkRun | Path:
    """A finished run, or the ONNX file of a bundle."""
    if _is_bundle(folder):
        return find_locator_file(folder, recipe.stage)
    run = read_landmark_run(folder)
    if (run.recipe.stage, run.recipe.network) != (recipe.stage, recipe.network):
        raise RecipeError(
            "run.other-recipe",
            f"The network of the run in {str(folder)!r} is not that of recipe {recipe.name!r}.",
            "Start from a run whose recipe has the same stage and [network].",
        )
    return run


def _load_start(
    network: LandmarkNetwork, start: FinishedLandmarkRun | Path | None, pictures: LandmarkDataset
) -> None:
    if start is None:
        return
    if isinstance(start, FinishedLandmarkRun):
        network.load_state_dict(start.read_network().state_dict())
        return
    order = np.random.default_rng(0).permutation(len(pictures))[:N_MEASURED]
    load_onnx_weights(network, start, torch.stack([pictures[i][0] for i in order]))


def _is_bundle(folder: Path) -> bool:
    return str(folder) == "default" or (folder / "bundle.json").is_file()


def _read_start_subjects(start: Path | None) -> Subjects:
    """Subjects that a run, or a bundle's locator, was trained or selected on."""
    if start is None:
        return Subjects()
    if _is_bundle(start):
        return Subjects.from_lists(read_bundle(start).locator.facts["subjects"])
    return read_subjects(start)


def _about(
    tables: Sequence[Path], fold: int, start: FinishedLandmarkRun | Path | None
) -> dict[str, Any]:
    for path in tables:
        if not path.is_file():
            raise TableError("table.not-found", f"There is no table at {path}.", "Check the path.")
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in tables]
    if isinstance(start, Path):
        begun_from = hash_file(start)
    else:
        begun_from = "" if start is None else start.facts["weights_sha256"]
    return {"hold_out": f"fold-{fold}", "tables_sha256": hashes, "start_sha256": begun_from}


def _people(pictures: Iterable[LandmarkPicture]) -> frozenset[str]:
    """Hashed ids; a phantom is not a person."""
    return frozenset(p.subject for p in pictures if p.knee.cohort != PHANTOM_COHORT)
