import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_landmarks import landmark_recipe, landmark_recipe_text
from safetensors.torch import load_file

from kneegrade.bundles.manifest import DEFAULT_FOLDER, read_bundle
from kneegrade.bundles.runner import OnnxNetwork
from kneegrade.errors import BundleError, RecipeError
from kneegrade.training.locator.network import LandmarkNetwork
from kneegrade.training.locator.recipe import LandmarkRecipe, Stage
from kneegrade.training.locator.run import fit_landmark_run
from kneegrade.training.locator.start import find_locator_file, load_onnx_weights
from kneegrade.training.recipe_fields import read_recipe_text

CHANNELS = "[24, 40, 64, 96, 128]"
"""Of the embedded locator's second stage."""


def shipped_network(stage: Stage) -> LandmarkNetwork:
    recipe = LandmarkRecipe.from_toml(read_recipe_text(f"locator-{stage.value}"))
    return LandmarkNetwork(recipe.network, stage)


def some_images(seed: int, n: int) -> torch.Tensor:
    return torch.randn(n, 1, 256, 256, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stage", Stage)
def test_the_network_computes_what_the_file_does(stage: Stage) -> None:
    network = shipped_network(stage).eval()
    path = find_locator_file("default", stage)
    load_onnx_weights(network, path, some_images(0, 8))
    images = some_images(1, 3)
    expected = OnnxNetwork(path, n_threads=1).run(images.numpy())
    with torch.inference_mode():
        found = network(images)
    for values, wanted in zip(found, expected.values(), strict=True):
        np.testing.assert_allclose(values.numpy(), wanted, atol=1e-4)


def test_batch_normalisation_knows_the_pictures_it_was_shown() -> None:
    """So by their own mean and variance, as in training, it does nearly the same."""
    network = shipped_network(Stage.KNEE)
    images = some_images(0, 8)
    load_onnx_weights(network, find_locator_file("default", Stage.KNEE), images)
    assert network.training, "the mode is left alone"
    with torch.inference_mode():
        trained = network(images)[0]
        graded = network.eval()(images)[0]
    torch.testing.assert_close(trained, graded, atol=1e-2, rtol=1e-2)


def test_a_file_of_another_network_is_refused() -> None:
    network = LandmarkNetwork(landmark_recipe(Stage.KNEE).network, Stage.KNEE)
    with pytest.raises(RecipeError) as caught:
        load_onnx_weights(network, find_locator_file("default", Stage.KNEE), some_images(0, 2))
    assert caught.value.code == "run.other-recipe"


@pytest.mark.parametrize("start", [Path("default"), DEFAULT_FOLDER])
def test_a_run_starts_from_a_bundle(start: Path, landmark_table: Path, tmp_path: Path) -> None:
    """Where nothing is learned, the file's convolutions are what is left."""
    text = landmark_recipe_text(Stage.KNEE, channels=CHANNELS, epochs="1", learning_rate="1e-12")
    fit_landmark_run(text, [landmark_table], tmp_path, start=start, n_workers=0)
    expected = shipped_network(Stage.KNEE)
    load_onnx_weights(expected, find_locator_file("default", Stage.KNEE), some_images(0, 2))
    left = load_file(tmp_path / "weights.safetensors")
    for name, values in expected.named_parameters():
        if values.ndim > 1:
            torch.testing.assert_close(left[name], values.detach(), atol=1e-6, rtol=1e-5)
    subjects = json.loads((tmp_path / "subjects.json").read_text(encoding="utf-8"))
    earlier = read_bundle("default").locator.facts["subjects"]
    assert set(earlier["trained"]) < set(subjects["trained"])
    assert set(earlier["selected"]) < set(subjects["selected"])


def test_a_start_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        find_locator_file(tmp_path, Stage.FILM)
    assert caught.value.code == "bundle.not-found"
