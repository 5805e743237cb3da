"""A recipe and a module to fit -> a run on disk: begin, fit or continue, keep a log, finish."""

import ctypes
import hashlib
import json
import logging
import platform
import time
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytorch_lightning as lightning
import timm
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from kneegrade.bundles.manifest import hash_file
from kneegrade.bundles.subjects import Subjects, write_subjects
from kneegrade.errors import RecipeError
from kneegrade.output import write_whole, writing_to
from kneegrade.training.recipe_fields import ScheduleSpec

log = logging.getLogger(__name__)

WEIGHTS_FILE: Final = "weights.safetensors"


class FittedModule(lightning.LightningModule):
    """A network with its optimiser; a child adds the loss.

    Parameters
    ----------
    network : torch.nn.Module
    schedule : ScheduleSpec
    """

    def __init__(self, network: nn.Module, schedule: ScheduleSpec) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.schedule = schedule

    def configure_optimizers(self) -> Any:
        """AdamW, decay on weights of two or more dimensions; warm-up and cosine by step."""
        schedule = self.schedule
        parameters = list(self.network.parameters())
        optimiser = AdamW(
            [
                {
                    "params": [p for p in parameters if p.ndim > 1],
                    "weight_decay": schedule.weight_decay,
                },
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=schedule.learning_rate,
        )
        scheduler = OneCycleLR(
            optimiser,
            max_lr=schedule.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=schedule.warmup_share,
            cycle_momentum=False,
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def begin_run(folder: Path, recipe_text: str, about: Mapping[str, Any], *, seed: int) -> bool:
    """Write the recipe and what it runs on, or check that this folder holds the same.

    Returns
    -------
    bool
        Whether anything is left to train; then the generators are seeded.

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
        else:
            write_whole(folder / "recipe.toml", recipe_text)
            write_whole(path, json.dumps(begun, indent=1) + "\n")
    if (folder / "run.json").is_file():
        log.info("The run is finished already.")
        return False
    keep_freed_memory()
    lightning.seed_everything(seed, verbose=False)
    return True


def finish_run(folder: Path, facts: Mapping[str, Any], subjects: Subjects) -> None:
    """Write whose knees the network was trained on, and ``run.json``.

    It holds the facts, the number of subjects, the hash of the weights and the versions of the
    libraries.
    """
    write_subjects(subjects, folder)
    whole = {
        **facts,
        "subjects": {use: len(ids) for use, ids in subjects.as_lists().items()},
        "weights_sha256": hash_file(folder / WEIGHTS_FILE),
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
    weights = folder / WEIGHTS_FILE
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if facts is None or not weights.is_file() or hash_file(weights) != facts["weights_sha256"]:
        raise RecipeError(
            "run.not-found",
            f"There is no finished training run in {str(folder)!r}.",
            "Train with kneegrade train; the same command continues an interrupted run.",
        )
    return dict(facts)


def load_weights(network: nn.Module, folder: Path) -> None:
    """Load the weights of a finished run into a network, and set it to evaluation mode."""
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    network.eval()


def fit_module(
    module: FittedModule,
    data: lightning.LightningDataModule,
    schedule: ScheduleSpec,
    folder: Path,
    *,
    show_progress: bool,
) -> float:
    """Train, or continue from ``last.ckpt``, and write the weights.

    The network ends with their exponential moving average (EMA), in evaluation mode.
    ``log/metrics.csv`` gets what the module logs.

    Returns
    -------
    float
        Minutes that it took.
    """
    started = time.monotonic()
    trainer = _make_trainer(schedule, folder, show_progress=show_progress)
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
    # Lightning leaves the EMA in the module only where it trained an epoch in this call; the
    # checkpoint always holds it.
    module.load_state_dict(
        torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    )
    _join_logs(folder / "log")
    state = module.network.cpu().eval().state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, folder / WEIGHTS_FILE)
    return (time.monotonic() - started) / 60


def _make_trainer(
    schedule: ScheduleSpec, folder: Path, *, show_progress: bool
) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=schedule.epochs,
        precision=schedule.precision,
        accelerator="auto",
        devices=1,
        logger=CSVLogger(save_dir=folder, name="", version="log"),
        callbacks=[
            EMAWeightAveraging(decay=schedule.ema_decay),
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


def _set_log_aside(folder: Path) -> None:
    """Rename the log of an interrupted call: Lightning deletes it when it begins another."""
    path = folder / "metrics.csv"
    if path.is_file():
        path.rename(folder / f"metrics-{len(list(folder.glob('metrics-*.csv'))):03}.csv")


def _join_logs(folder: Path) -> None:
    """Make one log of the logs of every call; an epoch that was run twice keeps its last values."""
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
