import pickle
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import SIZE_PX, tiny_logits, write_network

from kneegrade.bundles.manifest import read_bundle
from kneegrade.bundles.runner import OnnxNetwork, OnnxRunner
from kneegrade.errors import BundleError
from kneegrade.types import Task


def test_logits_per_task(tmp_path: Path) -> None:
    tasks = [Task.KL, Task.TO_M]
    write_network(tmp_path / "n.onnx", tasks, seed=3)
    images = np.random.default_rng(0).normal(size=(5, 1, SIZE_PX, SIZE_PX)).astype(np.float32)
    logits = OnnxRunner(tmp_path / "n.onnx", n_threads=1).run(images)
    assert list(logits) == tasks
    for task, values in logits.items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, tiny_logits(images, task, seed=3), atol=1e-5)


@pytest.mark.parametrize("data", [b"", b"not a network", pickle.dumps({"a": 1})])
def test_a_file_that_is_no_network(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "member-0.onnx").write_bytes(data)
    with pytest.raises(BundleError) as caught:
        OnnxRunner(tmp_path / "member-0.onnx")
    assert caught.value.code == "bundle.invalid"


def test_a_network_cut_short(tmp_path: Path) -> None:
    write_network(tmp_path / "whole.onnx", [Task.KL], seed=0)
    data = (tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError) as caught:
        OnnxRunner(tmp_path / "cut.onnx")
    assert caught.value.code == "bundle.invalid"
    assert "whole" not in str(caught.value)


def test_a_network_whose_output_is_no_task(tmp_path: Path) -> None:
    write_network(tmp_path / "n.onnx", [Task.KL], seed=0)
    (tmp_path / "m.onnx").write_bytes((tmp_path / "n.onnx").read_bytes().replace(b"kl", b"xy"))
    with pytest.raises(BundleError) as caught:
        OnnxRunner(tmp_path / "m.onnx")
    assert caught.value.code == "bundle.invalid"


def test_the_embedded_locators_networks() -> None:
    spec = read_bundle("default").locator
    for path, size, n_points, outputs in (
        (spec.film, spec.film_size_px, 4, {"heatmaps": 4, "absent": 4}),
        (spec.knee, spec.knee_size_px, 16, {"heatmaps": 16, "absent": 16, "scores": 3, "metal": 1}),
    ):
        network = OnnxNetwork(path, n_threads=1)
        assert network.outputs == outputs
        found = network.run(np.zeros((2, 1, size, size), np.float32))
        shapes = {name: values.shape for name, values in found.items()}
        assert shapes["heatmaps"] == (2, n_points, size // 2, size // 2)
        assert shapes["absent"] == (2, n_points)
        assert shapes.get("scores", (2, 3)) == (2, 3)
        assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
        with pytest.raises(BundleError) as caught:
            OnnxRunner(path)
        assert caught.value.code == "bundle.invalid", "a locator grades nothing"
