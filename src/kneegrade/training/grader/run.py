"""A training run on disk: begin, continue, finish.

The folder holds ``recipe.toml``, ``log/metrics.csv``, ``last.ckpt`` while it runs, and at the end
``weights.safetensors``, ``heldout.parquet`` (a prediction table), ``subjects.json`` and
``run.json``.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from kneegrade.grading.grader import decode_grade, softmax
from kneegrade.grading.predictions import table_columns, write_parquet
from kneegrade.knees.store import read_index
from kneegrade.pipeline.results import KneeKey, KneeResult
from kneegrade.training.fitting import begin_run, finish_run, fit_module, load_weights, read_facts
from kneegrade.training.grader.calibration import fit_temperature
from kneegrade.training.grader.crossval import HoldOut, hold_out
from kneegrade.training.grader.datasets import KneeDataset, LabelledKnees, read_labelled_knees
from kneegrade.training.grader.lightning_module import GradingModule, KneeData
from kneegrade.training.grader.networks import GradingNetwork
from kneegrade.training.grader.recipe import Recipe
from kneegrade.types import Flag, Grades, KneePrediction, Side, Task

BATCH_SIZE: Final = 32
"""Knees whose logits are computed at once."""


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
        load_weights(network, self.folder)
        return network


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
        Processes that augment images.
    show_progress : bool
        Whether to draw a progress bar.

    Raises
    ------
    RecipeError
        ``run.other-recipe`` if the folder holds a run of another recipe, fold or store.
    """
    recipe = Recipe.from_toml(recipe_text)
    parts = hold_out(read_index(store), recipe, fold)
    keys = pd.concat([parts.train["roi_file"], parts.heldout["roi_file"]])
    knees = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    about = {"hold_out": parts.name, "knees_sha256": knees}
    if not begin_run(folder, recipe_text, about, seed=recipe.seed):
        return read_run(folder)
    module = GradingModule(recipe)
    heldout = read_labelled_knees(parts.heldout, store, recipe)
    data = KneeData(
        recipe, read_labelled_knees(parts.train, store, recipe), heldout, n_workers=n_workers
    )
    minutes = fit_module(module, data, recipe.schedule, folder, show_progress=show_progress)
    logits = _predict_poses(module.network, heldout, recipe)
    temperatures = {
        task: fit_temperature(logits[task], heldout.grades[task]) for task in recipe.tasks
    }
    rows = _heldout_rows(parts, logits, temperatures, recipe)
    write_parquet(rows, table_columns(recipe.tasks), folder / "heldout.parquet")
    facts = {
        "recipe": recipe.name,
        "hold_out": parts.name,
        "knees": {"trained": len(parts.train), "selected": len(parts.heldout)},
        "temperatures": {task.value: t for task, t in temperatures.items()},
        "minutes_of_this_call": round(minutes, 1),
    }
    finish_run(folder, facts, parts.hashed_subjects())
    return read_run(folder)


def read_run(folder: Path) -> FinishedRun:
    """Read a finished run.

    Raises
    ------
    RecipeError
        ``run.not-found`` if there is none, or its weights are not the ones it wrote.
    """
    facts = read_facts(folder)
    return FinishedRun(
        folder=folder,
        recipe=Recipe.from_toml((folder / "recipe.toml").read_text(encoding="utf-8")),
        temperatures={Task(name): t for name, t in facts["temperatures"].items()},
        facts=facts,
    )


def predict_logits(network: GradingNetwork, knees: KneeDataset) -> dict[Task, NDArray[np.float64]]:
    """Logits ``(n, n_grades)`` per task in float32, in the order of the knees."""
    parts: list[tuple[NDArray[np.float64], ...]] = []
    with torch.inference_mode():
        for first in range(0, len(knees), BATCH_SIZE):
            images = torch.stack(
                [knees[i][0] for i in range(first, min(first + BATCH_SIZE, len(knees)))]
            )
            parts.append(tuple(scores.double().numpy() for scores in network(images)))
    return {
        task: np.concatenate([part[i] for part in parts]) for i, task in enumerate(network.tasks)
    }


def _predict_poses(
    network: GradingNetwork, knees: LabelledKnees, recipe: Recipe
) -> dict[Task, NDArray[np.float64]]:
    """Logits ``(n, n_poses, n_grades)`` per task."""
    per_pose = [
        predict_logits(network, KneeDataset(knees, recipe, epoch=None, pose=pose))
        for pose in recipe.input.poses
    ]
    return {task: np.stack([p[task] for p in per_pose], axis=1) for task in recipe.tasks}


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
        result = KneeResult.of_prediction(prediction, row["image_path"], KneeKey.of_row(row))
        rows.append(result.to_row())
    return rows
