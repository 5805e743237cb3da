import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kneegrade.bundles.subjects import hash_subject
from kneegrade.errors import OutputError, RecipeError, TableError
from kneegrade.grading.grader import decode_grade
from kneegrade.grading.predictions import read_predictions
from kneegrade.knees.store import read_index
from kneegrade.training import fitting
from kneegrade.training.grader import run
from kneegrade.training.grader.datasets import KneeDataset, read_labelled_knees
from kneegrade.training.grader.lightning_module import GradingModule
from kneegrade.training.grader.recipe import Recipe
from kneegrade.training.grader.run import FinishedRun, fit_run, predict_logits, read_run
from kneegrade.types import Task


class PowerCutError(Exception):
    """The machine went away."""


def fit(text: str, store: Path, folder: Path, **options: Any) -> FinishedRun:
    return fit_run(text, store, folder, n_workers=0, **options)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = load_file(folder / "weights.safetensors")
    return loaded


def assert_same_weights(first: Path, second: Path) -> None:
    one, other = weights_of(first), weights_of(second)
    assert one.keys() == other.keys()
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], msg=name)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, recipe_text: str, store: Path
) -> FinishedRun:
    return fit(recipe_text, store, tmp_path_factory.mktemp("runs") / "whole")


def cut_power_after(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Fail at the start of the epoch after ``epoch``, once its checkpoint is written."""
    begin = GradingModule.on_train_epoch_start

    def fail(module: GradingModule) -> None:
        begin(module)
        if module.current_epoch == epoch + 1:
            raise PowerCutError

    monkeypatch.setattr(GradingModule, "on_train_epoch_start", fail)


def test_what_a_finished_run_leaves(finished: FinishedRun, recipe: Recipe, knees: Any) -> None:
    names = {path.name for path in finished.folder.iterdir()}
    assert names == {
        "begun.json",
        "heldout.parquet",
        "log",
        "recipe.toml",
        "run.json",
        "subjects.json",
        "weights.safetensors",
    }
    assert finished.recipe == recipe
    assert finished.facts["knees"] == {"trained": 11, "selected": 4}
    assert finished.facts["hold_out"] == "split"
    assert 0.2 <= finished.temperatures[Task.KL] <= 5
    subjects = json.loads((finished.folder / "subjects.json").read_text())
    assert subjects["trained"] == sorted(hash_subject("made-up", f"s{i}") for i in range(6))
    assert subjects["selected"] == sorted(hash_subject("made-up", f"s{i}") for i in (6, 7))


def test_the_log_has_every_epoch(finished: FinishedRun, recipe: Recipe) -> None:
    log = pd.read_csv(finished.folder / "log" / "metrics.csv")
    assert {"epoch", "train_loss", "heldout_loss", "heldout_kl_kappa"} <= set(log.columns)
    for name in ("train_loss", "heldout_loss"):
        assert list(log.dropna(subset=name)["epoch"]) == list(range(recipe.schedule.epochs))


def test_heldout_predictions_are_those_of_the_saved_network(
    finished: FinishedRun, store: Path, recipe: Recipe
) -> None:
    table = read_predictions(finished.folder / "heldout.parquet")
    index = read_index(store)
    rows = index[index["split"] == "val"]
    assert list(table["source"]) == list(rows["image_path"])
    assert list(table["subject_id"]) == list(rows["subject_id"])
    knees = read_labelled_knees(rows, store, recipe)
    logits = predict_logits(finished.read_network(), KneeDataset(knees, recipe, epoch=None))
    scaled = torch.from_numpy(logits[Task.KL] / finished.temperatures[Task.KL])
    p = scaled.softmax(dim=1).numpy()
    np.testing.assert_allclose(table[[f"kl_p{g}" for g in range(5)]].to_numpy(), p, atol=1e-5)
    assert list(table["kl"]) == [decode_grade(row, recipe.decoding) for row in p]


def test_the_same_recipe_gives_the_same_weights(
    tmp_path: Path, finished: FinishedRun, recipe_text: str, store: Path
) -> None:
    fit(recipe_text, store, tmp_path / "again")
    assert_same_weights(finished.folder, tmp_path / "again")


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    tmp_path: Path,
    finished: FinishedRun,
    recipe_text: str,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        cut_power_after(patched, epoch=0)
        with pytest.raises(PowerCutError):
            fit(recipe_text, store, tmp_path / "cut")
    assert (tmp_path / "cut" / "last.ckpt").is_file()
    with pytest.raises(RecipeError, match="no finished"):
        read_run(tmp_path / "cut")
    fit(recipe_text, store, tmp_path / "cut")
    assert_same_weights(finished.folder, tmp_path / "cut")
    assert not (tmp_path / "cut" / "last.ckpt").exists()


def test_a_run_cut_off_before_its_first_checkpoint_begins_again(
    tmp_path: Path,
    finished: FinishedRun,
    recipe_text: str,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        cut_power_after(patched, epoch=-1)
        with pytest.raises(PowerCutError):
            fit(recipe_text, store, tmp_path / "cut")
    fit(recipe_text, store, tmp_path / "cut")
    assert_same_weights(finished.folder, tmp_path / "cut")


def test_a_run_cut_off_between_training_and_saving_keeps_the_ema_of_the_weights(
    tmp_path: Path,
    finished: FinishedRun,
    recipe_text: str,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(fitting, "save_file", fail)
        with pytest.raises(PowerCutError):
            fit(recipe_text, store, tmp_path / "cut")
    fit(recipe_text, store, tmp_path / "cut")
    assert_same_weights(finished.folder, tmp_path / "cut")


def test_the_log_of_a_continued_run_has_every_epoch(
    tmp_path: Path, recipe_text: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        cut_power_after(patched, epoch=0)
        with pytest.raises(PowerCutError):
            fit(recipe_text, store, tmp_path)
    fit(recipe_text, store, tmp_path)
    log = pd.read_csv(tmp_path / "log" / "metrics.csv")
    assert list(log.dropna(subset="heldout_loss")["epoch"]) == [0, 1]


def test_a_finished_run_returns_at_once(
    finished: FinishedRun, recipe_text: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("it trains again")

    monkeypatch.setattr(run, "fit_module", fail)
    before = (finished.folder / "run.json").read_bytes()
    again = fit(recipe_text, store, finished.folder)
    assert again == finished
    assert (finished.folder / "run.json").read_bytes() == before


@pytest.mark.parametrize("change", ["recipe", "fold"])
def test_another_run_in_the_same_folder_is_refused(
    finished: FinishedRun, recipe_text: str, store: Path, change: str
) -> None:
    text = recipe_text.replace("seed = 7", "seed = 8") if change == "recipe" else recipe_text
    with pytest.raises(RecipeError) as caught:
        fit(text, store, finished.folder, fold=1 if change == "fold" else None)
    assert caught.value.code == "run.other-recipe"
    assert (finished.folder / "recipe.toml").read_text(encoding="utf-8") == recipe_text


def test_a_fold_is_trained(tmp_path: Path, recipe_text: str, store: Path) -> None:
    done = fit(recipe_text, store, tmp_path, fold=2)
    subjects = json.loads((tmp_path / "subjects.json").read_text())
    assert done.facts["hold_out"] == "fold-2"
    assert len(subjects["trained"]) + len(subjects["selected"]) == 8
    assert not set(subjects["trained"]) & set(subjects["selected"])


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        read_run(tmp_path / "nothing")
    assert caught.value.code == "run.not-found"


def test_changed_weights_are_refused(tmp_path: Path, finished: FinishedRun) -> None:
    for path in finished.folder.glob("*.*"):
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert read_run(tmp_path).temperatures == finished.temperatures
    with (tmp_path / "weights.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(RecipeError) as caught:
        read_run(tmp_path)
    assert caught.value.code == "run.not-found"


def test_no_store_there(tmp_path: Path, recipe_text: str) -> None:
    with pytest.raises(TableError) as caught:
        fit(recipe_text, tmp_path / "no-store", tmp_path / "run")
    assert caught.value.code == "store.not-found"
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path, recipe_text: str, store: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        fit(recipe_text, store, tmp_path / "file" / "run")
    assert caught.value.code == "output.not-writable"
