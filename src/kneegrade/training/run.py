"""A training run on disk: begin, continue, finish.

The folder holds ``recipe.toml``, ``log/metrics.csv``, ``last.ckpt`` while it runs, and at the end
``weights.safetensors``, ``heldout.parquet`` (a prediction table), ``subjects.json`` and
``run.json``.
"""

import ctypes
import hashlib
import json
import logging
import platform
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import timm
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from safetensors.torch import load_file, save_file

from kneegrade.bundles.manifest import hash_file
from kneegrade.errors import OutputError, RecipeError
from kneegrade.grading.grader import decode_grade, softmax
from kneegrade.grading.predictions import KEY_COLUMNS, row_of_prediction, write_parquet
from kneegrade.knees.store import read_index
from kneegrade.training.calibration import fit_temperature
from kneegrade.training.crossval import HoldOut, hold_out
from kneegrade.training.datasets import KneeDataset, read_labelled_knees
from kneegrade.training.lightning_module import GradingModule, KneeData
from kneegrade.training.networks import GradingNetwork
from kneegrade.training.recipe import Recipe
from kneegrade.types import Flag, Grades, KneePrediction, Side, Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run left: its recipe, temperatures and facts."""

    folder: Path
    recipe: Recipe
    temperatures: dict[Task, float]
    facts: dict[str, Any]

    def read_network(self) -> GradingNetwork:
        """The trained network in evaluation mode."""
        network = GradingNetwork(self.recipe.network, self.recipe.tasks)
        network.load_state_dict(load_file(self.folder / "weights.safetensors"))
        return network.eval()


def fit_run(
    recipe_text: str,
    store: Path,
    folder: Path,
    *,
    fold: int | None = None,
    n_workers: int = 1,
    show_progress: bool = False,
) -> FinishedRun:
    """Train a network, or continue a run that was interrupted, or return a finished one.

    Parameters
    ----------
    recipe_text : str
        Text of a ``recipe.toml``.
    store : Path
        An ROI store.
    folder : Path
        The run's folder.
    fold : int or None
        The fold to hold out; None keeps a published split, else holds out fold 0.
    n_workers : int
        Processes that augment pictures.
    show_progress : bool
        Whether to draw a progress bar.

    Raises
    ------
    RecipeError
        ``run.other-recipe`` if the folder holds a run of another recipe, fold or store.
    """
    recipe = Recipe.from_toml(recipe_text)
    parts = hold_out(read_index(store), recipe, fold)
    _begin(folder, recipe_text, parts, store)
    if (folder / "run.json").is_file():
        log.info("The run is finished already.")
        return read_run(folder)
    keep_freed_memory()
    lightning.seed_everything(recipe.seed, verbose=False)
    module = GradingModule(recipe)
    heldout = read_labelled_knees(parts.heldout, store, recipe)
    data = KneeData(
        recipe, read_labelled_knees(parts.train, store, recipe), heldout, n_workers=n_workers
    )
    started = time.monotonic()
    _fit(module, data, recipe, folder, show_progress=show_progress)
    minutes = (time.monotonic() - started) / 60
    network = module.network.cpu().eval()
    save_file(
        {key: value.contiguous() for key, value in network.state_dict().items()},
        folder / "weights.safetensors",
    )
    per_pose = [
        predict_logits(network, KneeDataset(heldout, recipe, epoch=None, pose=pose))
        for pose in recipe.input.poses
    ]
    logits = {task: np.stack([p[task] for p in per_pose], axis=1) for task in recipe.tasks}
    temperatures = {
        task: fit_temperature(logits[task], heldout.grades[task]) for task in recipe.tasks
    }
    write_parquet(
        _heldout_rows(parts, logits, temperatures, recipe), recipe.tasks, folder / "heldout.parquet"
    )
    _finish(folder, recipe, parts, temperatures, minutes)
    return read_run(folder)


def read_run(folder: Path) -> FinishedRun:
    """Read a finished run.

    Raises
    ------
    RecipeError
        ``run.not-found`` if there is none, or its weights are not the ones it wrote.
    """
    path = folder / "run.json"
    weights = folder / "weights.safetensors"
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if facts is None or not weights.is_file() or hash_file(weights) != facts["weights_sha256"]:
        raise RecipeError(
            "run.not-found",
            f"There is no finished training run in {str(folder)!r}.",
            "Train with kneegrade train; the same command continues an interrupted run.",
        )
    return FinishedRun(
        folder=folder,
        recipe=Recipe.from_toml((folder / "recipe.toml").read_text(encoding="utf-8")),
        temperatures={Task(name): t for name, t in facts["temperatures"].items()},
        facts=facts,
    )


def predict_logits(
    network: GradingNetwork, knees: KneeDataset, *, batch_size: int = 32
) -> dict[Task, NDArray[np.float64]]:
    """Logits ``(n, n_grades)`` per task in float32, in the order of the knees."""
    parts: list[tuple[NDArray[np.float64], ...]] = []
    with torch.inference_mode():
        for first in range(0, len(knees), batch_size):
            images = torch.stack(
                [knees[i][0] for i in range(first, min(first + batch_size, len(knees)))]
            )
            parts.append(tuple(scores.double().numpy() for scores in network(images)))
    return {
        task: np.concatenate([part[i] for part in parts]) for i, task in enumerate(network.tasks)
    }


def _fit(
    module: GradingModule, data: KneeData, recipe: Recipe, folder: Path, *, show_progress: bool
) -> None:
    trainer = lightning.Trainer(
        max_epochs=recipe.schedule.epochs,
        precision=recipe.schedule.precision,
        accelerator="auto",
        devices=1,
        logger=CSVLogger(save_dir=folder, name="", version="log"),
        callbacks=[
            EMAWeightAveraging(decay=recipe.schedule.average_decay),
            ModelCheckpoint(
                dirpath=folder, filename="last", save_top_k=1, enable_version_counter=False
            ),
        ],
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        enable_progress_bar=show_progress,
        enable_model_summary=False,
    )
    checkpoint = folder / "last.ckpt"
    _set_log_aside(folder / "log")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        warnings.filterwarnings("ignore", message="Experiment logs directory .* is not empty")
        try:
            trainer.fit(
                module,
                data,
                ckpt_path=checkpoint if checkpoint.is_file() else None,
                weights_only=True,
            )
        except SystemExit as stop:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from stop
    # Lightning leaves the averaged weights in the module only where it trained an epoch in this
    # call; the checkpoint always holds them.
    averaged = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(averaged)
    _join_logs(folder / "log")


def _set_log_aside(folder: Path) -> None:
    """Rename the log of an interrupted call: Lightning deletes it when it begins another."""
    path = folder / "metrics.csv"
    if path.is_file():
        path.rename(folder / f"metrics-{len(list(folder.glob('metrics-*.csv'))):03}.csv")


def _join_logs(folder: Path) -> None:
    """Make one log of the logs of every call; an epoch that was run twice stands as it ended."""
    parts = [*sorted(folder.glob("metrics-*.csv")), *folder.glob("metrics.csv")]
    rows = pd.concat([pd.read_csv(path) for path in parts])
    rows = rows.groupby(["epoch", "step"], as_index=False).last()
    rows.to_csv(folder / "metrics.csv", index=False)
    for path in parts:
        if path.name != "metrics.csv":
            path.unlink()


def _begin(folder: Path, recipe_text: str, parts: HoldOut, store: Path) -> None:
    """Write the recipe and what it runs on, or check that they are the ones of this folder."""
    keys = pd.concat([parts.train["roi_file"], parts.heldout["roi_file"]])
    begun = {
        "recipe_sha256": hashlib.sha256(recipe_text.encode()).hexdigest(),
        "hold_out": parts.name,
        "knees_sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
    }
    path = folder / "begun.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            if json.loads(path.read_text(encoding="utf-8")) != begun:
                raise RecipeError(
                    "run.other-recipe",
                    f"{str(folder)!r} was begun with another recipe, fold or set of knees.",
                    "Name another --out, or delete this one.",
                )
            return
        (folder / "recipe.toml").write_text(recipe_text, encoding="utf-8")
        path.write_text(json.dumps(begun, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            "output.not-writable",
            f"The folder {str(folder)!r} cannot be written to: {error.strerror}.",
            "Choose another folder.",
        ) from error


def _heldout_rows(
    parts: HoldOut,
    logits: dict[Task, NDArray[np.float64]],
    temperatures: dict[Task, float],
    recipe: Recipe,
) -> list[dict[str, Any]]:
    probabilities = {
        task: softmax(logits[task] / temperatures[task]).mean(axis=1) for task in recipe.tasks
    }
    rows = []
    for i, row in enumerate(parts.heldout.to_dict("records")):
        p = {task: values[i] for task, values in probabilities.items()}
        prediction = KneePrediction(
            side=Side(row["side"]),
            grades=Grades({task: decode_grade(v, recipe.decoding) for task, v in p.items()}),
            probabilities=p,
            bundle_id=f"run:{recipe.name}-{parts.name}",
            source_id=row["roi_file"],
            flags=frozenset(Flag(name) for name in row["flags"].split(";") if name),
        )
        key = {name: row[name] for name in KEY_COLUMNS}
        rows.append(row_of_prediction(prediction, row["image_path"], key))
    return rows


def _finish(
    folder: Path, recipe: Recipe, parts: HoldOut, temperatures: dict[Task, float], minutes: float
) -> None:
    subjects = json.dumps(parts.hashed_subjects(), indent=0)
    (folder / "subjects.json").write_text(subjects + "\n", encoding="utf-8")
    facts = {
        "recipe": recipe.name,
        "hold_out": parts.name,
        "knees": {"trained": len(parts.train), "selected": len(parts.heldout)},
        "subjects": {k: len(v) for k, v in parts.hashed_subjects().items()},
        "temperatures": {task.value: t for task, t in temperatures.items()},
        "weights_sha256": hash_file(folder / "weights.safetensors"),
        "minutes_of_this_call": round(minutes, 1),
        "versions": {
            "torch": torch.__version__.split("+")[0],
            "timm": timm.__version__,
            "pytorch-lightning": version("pytorch-lightning"),
            "python": platform.python_version(),
        },
    }
    temporary = folder / "run.json.part"
    temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    temporary.replace(folder / "run.json")
    (folder / "last.ckpt").unlink(missing_ok=True)


def keep_freed_memory() -> None:
    """Ask glibc not to hand freed memory back between steps.

    Training frees and takes the same large blocks at every step; giving them back to the system
    each time costs a third of the speed (benchmarks/training_speed.py). Elsewhere it does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mmap_max, top_pad, trim_threshold = -4, -2, -1  # from malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_max, 0)
    libc.mallopt(top_pad, 2**28)
    libc.mallopt(trim_threshold, 2**31 - 1)
