import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_landmarks import PEOPLE, landmark_recipe_text

from kneegrade.bundles.manifest import LocatorSpec, read_bundle
from kneegrade.bundles.runner import OnnxNetwork
from kneegrade.bundles.subjects import hash_subject
from kneegrade.errors import BundleError, RecipeError
from kneegrade.training.bundling import locator_export
from kneegrade.training.bundling.locator_export import (
    copy_locator,
    export_locator,
    locator_manifest,
)
from kneegrade.training.locator.recipe import Stage
from kneegrade.training.locator.run import fit_landmark_run, read_landmark_run

Runs = dict[Stage, Path]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, landmark_table: Path) -> Runs:
    """A run of one epoch of each stage; they hold out different people."""
    folder = tmp_path_factory.mktemp("runs")
    for fold, stage in enumerate(Stage):
        text = landmark_recipe_text(stage, epochs="1", size_px="96" if fold else "64")
        run = folder / stage.value
        fit_landmark_run(text, [landmark_table], run, fold=fold, n_workers=0)
    return {stage: folder / stage.value for stage in Stage}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, runs: Runs) -> LocatorSpec:
    folder = tmp_path_factory.mktemp("bundle")
    return export_locator(runs[Stage.FILM], runs[Stage.KNEE], folder)


@pytest.mark.parametrize("n", [1, 3])
def test_the_onnx_files_compute_what_torch_does(spec: LocatorSpec, runs: Runs, n: int) -> None:
    for stage, path, size in (
        (Stage.FILM, spec.film, spec.film_size_px),
        (Stage.KNEE, spec.knee, spec.knee_size_px),
    ):
        network = read_landmark_run(runs[stage]).read_network()
        images = torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(5))
        found = OnnxNetwork(path, n_threads=1).run(images.numpy())
        assert (
            list(found)
            == ["heatmaps", "absent", "scores", "metal"][: 4 if stage is Stage.KNEE else 2]
        )
        with torch.inference_mode():
            expected = network(images)
        for values, wanted in zip(found.values(), expected, strict=True):
            np.testing.assert_allclose(values, wanted.numpy(), atol=1e-4)


def test_what_the_spec_says(spec: LocatorSpec, runs: Runs) -> None:
    assert (spec.film.name, spec.knee.name) == ("locator-film.onnx", "locator-knee.onnx")
    assert (spec.film_size_px, spec.knee_size_px) == (64, 96)
    assert spec.knee_field_of_view_plateau_widths == 1.4
    assert spec.clip_percentiles == (1.0, 99.0)
    facts = spec.facts
    assert facts["recipes"] == ["locator-film", "locator-knee"]
    assert facts["data"] == ["knees of the cohort own", "Phantoms drawn by kneegrade"]
    assert 0 <= facts["largest_logit_difference"] < 1e-3
    assert {sum(knees.values()) for knees in facts["knees"].values()} == {6}


def test_whoever_one_stage_was_trained_on_counts_as_trained(spec: LocatorSpec) -> None:
    """Each stage holds out one of two folds, hence everyone was trained on."""
    subjects = spec.facts["subjects"]
    assert subjects["trained"] == sorted(hash_subject("own", subject) for subject in PEOPLE)
    assert subjects["selected"] == []


def test_the_manifest_names_files_and_is_json(spec: LocatorSpec) -> None:
    manifest = locator_manifest(spec)
    assert json.loads(json.dumps(manifest))["knee"] == "locator-knee.onnx"
    assert set(manifest) == set(vars(spec))


@pytest.mark.parametrize("wrong", [(Stage.KNEE, Stage.FILM), (Stage.FILM, Stage.FILM)])
def test_a_run_of_the_other_stage_is_refused(
    runs: Runs, tmp_path: Path, wrong: tuple[Stage, Stage]
) -> None:
    with pytest.raises(RecipeError) as caught:
        export_locator(runs[wrong[0]], runs[wrong[1]], tmp_path)
    assert caught.value.code == "run.other-recipe"
    assert list(tmp_path.iterdir()) == []


def test_no_run_there(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        export_locator(runs[Stage.FILM], tmp_path / "nothing", tmp_path)
    assert caught.value.code == "run.not-found"


def test_a_network_that_came_out_otherwise_is_refused(
    runs: Runs, spec: LocatorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_again(network: object, size_px: int, names: object, path: Path) -> None:
        path.write_bytes((spec.film.parent / path.name).read_bytes())

    class Off(OnnxNetwork):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            return {name: values + 0.002 for name, values in super().run(images).items()}

    monkeypatch.setattr(locator_export, "write_onnx", write_again)
    assert export_locator(runs[Stage.FILM], runs[Stage.KNEE], tmp_path).facts == spec.facts
    monkeypatch.setattr(locator_export, "OnnxNetwork", Off)
    with pytest.raises(BundleError) as caught:
        export_locator(runs[Stage.FILM], runs[Stage.KNEE], tmp_path)
    assert caught.value.code == "bundle.parity"


def test_the_embedded_locator_is_copied(tmp_path: Path) -> None:
    embedded = read_bundle("default").locator
    copied = copy_locator(tmp_path)
    assert copied.film.parent == copied.knee.parent == tmp_path
    assert copied.film.read_bytes() == embedded.film.read_bytes()
    assert copied.knee.read_bytes() == embedded.knee.read_bytes()
    assert locator_manifest(copied) == locator_manifest(embedded)
