import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_landmarks import PEOPLE, landmark_recipe_text
from safetensors.torch import load_file
from torch.utils.data import default_collate

from kneegrade.bundles.subjects import hash_subject
from kneegrade.errors import OutputError, RecipeError, TableError
from kneegrade.training.locator import run as landmark_run
from kneegrade.training.locator.dataset import LandmarkDataset
from kneegrade.training.locator.network import LandmarkNetwork, compute_landmark_loss
from kneegrade.training.locator.pictures import fold_of, read_pictures
from kneegrade.training.locator.recipe import Stage
from kneegrade.training.locator.run import (
    FinishedLandmarkRun,
    LandmarkModule,
    fit_landmark_run,
    predict_points,
    read_landmark_run,
)

TEXT = landmark_recipe_text(Stage.KNEE)
HELD = {fold: {p for p in PEOPLE if fold_of(hash_subject("own", p), 2) == fold} for fold in (0, 1)}


class PowerCutError(Exception):
    """The machine went away."""


def fit(text: str, table: Path, folder: Path, **options: Any) -> FinishedLandmarkRun:
    return fit_landmark_run(text, [table], folder, n_workers=0, **options)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = load_file(folder / "weights.safetensors")
    return loaded


def differ(first: Path, second: Path) -> list[str]:
    one, other = weights_of(first), weights_of(second)
    assert one.keys() == other.keys()
    return [name for name, values in one.items() if not torch.equal(values, other[name])]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, landmark_table: Path) -> FinishedLandmarkRun:
    return fit(TEXT, landmark_table, tmp_path_factory.mktemp("runs") / "whole")


def test_what_a_finished_run_leaves(finished: FinishedLandmarkRun) -> None:
    names = {path.name for path in finished.folder.iterdir()}
    assert names == {
        "begun.json",
        "heldout.csv",
        "log",
        "recipe.toml",
        "run.json",
        "subjects.json",
        "weights.safetensors",
    }
    assert finished.recipe.stage is Stage.KNEE
    assert finished.facts["hold_out"] == "fold-0"
    assert finished.facts["cohorts"] == ["own", "phantom"]
    assert sum(finished.facts["knees"].values()) == 6, "the unreadable one is left out"
    assert (finished.folder / "recipe.toml").read_text(encoding="utf-8") == TEXT


def test_the_log_has_every_epoch(finished: FinishedLandmarkRun) -> None:
    log = pd.read_csv(finished.folder / "log" / "metrics.csv")
    for name in ("train_loss", "heldout_loss"):
        rows = log.dropna(subset=name)
        assert list(rows["epoch"]) == [0, 1]
        assert rows[name].between(0.1, 20).all()


def test_people_are_named_by_hash_and_phantoms_not_at_all(finished: FinishedLandmarkRun) -> None:
    subjects = json.loads((finished.folder / "subjects.json").read_text(encoding="utf-8"))
    assert HELD[0], "fold 0 holds someone out"
    assert HELD[1], "and leaves someone to train on"
    assert subjects["selected"] == sorted(hash_subject("own", p) for p in HELD[0])
    assert subjects["trained"] == sorted(hash_subject("own", p) for p in HELD[1])


def test_heldout_points_are_those_of_the_saved_network(
    finished: FinishedLandmarkRun, landmark_table: Path
) -> None:
    with (finished.folder / "heldout.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (pictures,) = read_pictures([landmark_table], finished.recipe)
    heldout = [picture for picture in pictures if fold_of(picture.subject, 2) == 0]
    assert len(rows) == 16 * len(heldout) == 16 * finished.facts["knees"]["selected"]
    assert {row["image_path"] for row in rows} == {p.knee.image_path for p in heldout}
    found, taught, sure = predict_points(finished.read_network(), heldout, finished.recipe)
    errors = np.linalg.norm(found - taught, axis=2)
    told = np.reshape([float(row["error_px"]) for row in rows], errors.shape)
    np.testing.assert_allclose(told, errors, atol=1e-3)
    confidence = np.reshape([float(row["confidence"]) for row in rows], sure.shape)
    np.testing.assert_allclose(confidence, sure, atol=1e-3)


def test_taught_points_are_those_of_the_table(
    finished: FinishedLandmarkRun, landmark_table: Path
) -> None:
    """In px of the network's input, 1.4 plateau widths wide, the plateau level."""
    (pictures,) = read_pictures([landmark_table], finished.recipe)
    _, taught, _ = predict_points(finished.read_network(), pictures, finished.recipe)
    np.testing.assert_allclose(taught[:, 8, 1] - taught[:, 0, 1], 64 / 1.4, atol=0.01)
    np.testing.assert_allclose(taught[:, 8, 0], taught[:, 0, 0], atol=0.01)


def test_a_finished_run_returns_at_once(
    finished: FinishedLandmarkRun, landmark_table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("it trains again")

    monkeypatch.setattr(landmark_run, "fit_module", fail)
    monkeypatch.setattr(landmark_run, "read_pictures", fail)
    before = (finished.folder / "run.json").read_bytes()
    assert fit(TEXT, landmark_table, finished.folder) == finished
    assert (finished.folder / "run.json").read_bytes() == before


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    tmp_path: Path,
    finished: FinishedLandmarkRun,
    landmark_table: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(module: LandmarkModule) -> None:
        if module.current_epoch == 1:
            raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(LandmarkModule, "on_train_epoch_start", fail)
        with pytest.raises(PowerCutError):
            fit(TEXT, landmark_table, tmp_path)
    assert (tmp_path / "last.ckpt").is_file()
    with pytest.raises(RecipeError) as caught:
        read_landmark_run(tmp_path)
    assert caught.value.code == "run.not-found"
    fit(TEXT, landmark_table, tmp_path)
    assert differ(finished.folder, tmp_path) == []
    assert not (tmp_path / "last.ckpt").exists()
    log = pd.read_csv(tmp_path / "log" / "metrics.csv")
    assert list(log.dropna(subset="heldout_loss")["epoch"]) == [0, 1]


@pytest.mark.parametrize("change", ["recipe", "fold", "table", "start"])
def test_another_run_in_the_same_folder_is_refused(
    finished: FinishedLandmarkRun, landmark_table: Path, tmp_path: Path, change: str
) -> None:
    text = TEXT.replace("seed = 2019", "seed = 2020") if change == "recipe" else TEXT
    table = landmark_table
    if change == "table":
        table = tmp_path / "l.csv"
        lines = landmark_table.read_text(encoding="utf-8").splitlines(keepends=True)
        table.write_text("".join(lines[:-16]), encoding="utf-8")
    fold = 1 if change == "fold" else None
    start = finished.folder if change == "start" else None
    with pytest.raises(RecipeError) as caught:
        fit(text, table, finished.folder, fold=fold, start=start)
    assert caught.value.code == "run.other-recipe"
    assert (finished.folder / "recipe.toml").read_text(encoding="utf-8") == TEXT


def test_a_run_starts_from_the_weights_of_another(
    finished: FinishedLandmarkRun, landmark_table: Path, tmp_path: Path
) -> None:
    """Where nothing is learned, they are what is left."""
    text = landmark_recipe_text(Stage.KNEE, epochs="1", learning_rate="1e-12")
    fit(text, landmark_table, tmp_path / "from", fold=1, start=finished.folder)
    fit(text, landmark_table, tmp_path / "new", fold=1)
    start, after, new = map(weights_of, (finished.folder, tmp_path / "from", tmp_path / "new"))
    learned = [name for name, values in start.items() if name.endswith("weight")]
    for name in learned:
        torch.testing.assert_close(after[name], start[name], atol=1e-6, rtol=1e-5)
    assert any((new[name] - start[name]).abs().max() > 1e-3 for name in learned)
    subjects = json.loads((tmp_path / "new" / "subjects.json").read_text(encoding="utf-8"))
    assert subjects["selected"] == sorted(hash_subject("own", p) for p in HELD[1])
    subjects = json.loads((tmp_path / "from" / "subjects.json").read_text(encoding="utf-8"))
    assert subjects["selected"] == [], "whom the start was trained on is held out no more"
    assert subjects["trained"] == sorted(hash_subject("own", p) for p in PEOPLE)


def test_a_start_that_is_no_run(landmark_table: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        fit(TEXT, landmark_table, tmp_path / "run", start=tmp_path / "nothing")
    assert caught.value.code == "run.not-found"
    assert not (tmp_path / "run").exists()


def test_a_start_of_another_network_is_refused(
    finished: FinishedLandmarkRun, landmark_table: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as caught:
        fit(
            landmark_recipe_text(Stage.KNEE, channels="[4, 12]"),
            landmark_table,
            tmp_path,
            start=finished.folder,
        )
    assert caught.value.code == "run.other-recipe"


def test_it_learns(landmark_table: Path, finished: FinishedLandmarkRun) -> None:
    """The tiny network finds the points of six knees that it saw 120 times."""
    (pictures,) = read_pictures([landmark_table], finished.recipe)
    torch.manual_seed(0)
    network = LandmarkNetwork(finished.recipe.network, Stage.KNEE)
    batch = default_collate(list(LandmarkDataset(pictures, finished.recipe, epoch=None)))
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-2)
    for _ in range(120):
        optimiser.zero_grad()
        loss = compute_landmark_loss(network(batch[0]), *batch[1:], 1.5)
        loss.backward()
        optimiser.step()
    found, taught, _ = predict_points(network.eval(), pictures, finished.recipe)
    errors = np.linalg.norm(found - taught, axis=2)
    before = predict_points(finished.read_network(), pictures, finished.recipe)[0]
    assert np.median(errors) < 2.5
    assert np.median(np.linalg.norm(before - taught, axis=2)) > 10


def test_a_table_all_of_one_fold_cannot_be_trained_on(landmark_table: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(landmark_table)
    rows[rows["subject_id"].isin(HELD[0])].to_csv(landmark_table.with_name("few.csv"), index=False)
    with pytest.raises(RecipeError) as caught:
        fit(TEXT, landmark_table.with_name("few.csv"), tmp_path)
    assert caught.value.code == "recipe.invalid"


def test_no_table_there(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        fit(TEXT, tmp_path / "gone.csv", tmp_path / "run")
    assert caught.value.code == "table.not-found"
    assert not (tmp_path / "run").exists()


def test_changed_weights_are_refused(finished: FinishedLandmarkRun, tmp_path: Path) -> None:
    for path in finished.folder.glob("*.*"):
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert read_landmark_run(tmp_path).facts == finished.facts
    with (tmp_path / "weights.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(RecipeError) as caught:
        read_landmark_run(tmp_path)
    assert caught.value.code == "run.not-found"


def test_a_folder_that_cannot_be_made(landmark_table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        fit(TEXT, landmark_table, tmp_path / "file" / "run")
    assert caught.value.code == "output.not-writable"
