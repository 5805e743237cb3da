"""What every training run on disk shares: begin, fit or continue, keep a log."""

import ctypes
import hashlib
import json
import platform
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as lightning
import timm
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from safetensors.torch import save_file
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from kneegrade.bundles.manifest import hash_file
from kneegrade.errors import RecipeError
from kneegrade.output import write_whole, writing_to
from kneegrade.training.recipe_fields import ScheduleSpec


def begin_run(folder: Path, recipe_text: str, about: Mapping[str, Any]) -> None:
    """Write the recipe and what it runs on, or check that they are the ones of this folder.

    Raises
    ------
    RecipeError
        ``run.other-recipe``.
    OutputError
        ``output.not-writable``.
    """
    begun = {"recipe_sha256": hashlib.sha256(recipe_text.encode()).hexdigest(), **about}
    path = folder / "begun.json"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            if json.loads(path.read_text(encoding="utf-8")) != begun:
                raise RecipeError(
                    "run.other-recipe",
                    f"{str(folder)!r} was begun with another recipe, fold or set of knees.",
                    "Name another --out, or delete this one.",
                )
            return
        write_whole(folder / "recipe.toml", recipe_text)
        write_whole(path, json.dumps(begun, indent=1) + "\n")


def save_weights(network: nn.Module, folder: Path) -> None:
    """Write ``weights.safetensors``."""
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / "weights.safetensors")


def finish_run(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``run.json``: the facts, the hash of the weights and the versions of the libraries."""
    whole = {
        **facts,
        "weights_sha256": hash_file(folder / "weights.safetensors"),
        "versions": {
            "torch": torch.__version__.split("+")[0],
            "timm": timm.__version__,
            "pytorch-lightning": version("pytorch-lightning"),
            "python": platform.python_version(),
        },
    }
    write_whole(folder / "run.json", json.dumps(whole, indent=1) + "\n")
    (folder / "last.ckpt").unlink(missing_ok=True)


def read_facts(folder: Path) -> dict[str, Any]:
    """Read ``run.json`` of a finished run.

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
    return dict(facts)


def fit_module(
    module: lightning.LightningModule,
    data: lightning.LightningDataModule,
    schedule: ScheduleSpec,
    folder: Path,
    *,
    show_progress: bool,
) -> None:
    """Train, or continue from ``last.ckpt``; the module ends with the averaged weights.

    ``log/metrics.csv`` gets what the module logs.
    """
    trainer = lightning.Trainer(
        max_epochs=schedule.epochs,
        precision=schedule.precision,
        accelerator="auto",
        devices=1,
        logger=CSVLogger(save_dir=folder, name="", version="log"),
        callbacks=[
            EMAWeightAveraging(decay=schedule.average_decay),
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


def make_optimiser(network: nn.Module, schedule: ScheduleSpec, n_steps: int) -> dict[str, Any]:
    """AdamW, decay on weights of two or more dimensions; warm-up and cosine by step."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = AdamW(
        [
            {"params": decayed, "weight_decay": schedule.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=schedule.learning_rate,
    )
    scheduler = OneCycleLR(
        optimiser,
        max_lr=schedule.learning_rate,
        total_steps=n_steps,
        pct_start=schedule.warmup_share,
        cycle_momentum=False,
    )
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
