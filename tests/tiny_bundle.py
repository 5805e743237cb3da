"""A bundle with a network of 25 numbers and the embedded locator, for tests that need a bundle."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kneegrade.bundles.manifest import DEFAULT_FOLDER
from kneegrade.types import Task

SIZE_PX = 32


def tiny_weights(task: Task, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (4, n_grades) on the means of the picture's quadrants, and biases (n_grades,)."""
    rng = np.random.default_rng([seed, *task.value.encode()])
    weights = rng.normal(size=(4, task.n_grades)).astype(np.float32)
    return weights, rng.normal(size=task.n_grades).astype(np.float32)


def tiny_logits(images: np.ndarray, task: Task, seed: int) -> np.ndarray:
    """What the network of `write_network` computes, in NumPy."""
    half = images.shape[-1] // 2
    quadrants = images.reshape(len(images), 2, half, 2, half).mean(axis=(2, 4)).reshape(-1, 4)
    weights, biases = tiny_weights(task, seed)
    return quadrants @ weights + biases


def write_network(path: Path, tasks: Sequence[Task], seed: int, size_px: int = SIZE_PX) -> None:
    """Write an ONNX network: means of the four quadrants, then a linear layer per task."""
    half = size_px // 2
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["p"], kernel_shape=[half] * 2, strides=[half] * 2
        ),
        helper.make_node("Flatten", ["p"], ["quadrants"]),
    ]
    constants, outputs = [], []
    for task in tasks:
        names = [f"{task.value}_w", f"{task.value}_b"]
        constants += [
            numpy_helper.from_array(array, name)
            for name, array in zip(names, tiny_weights(task, seed), strict=True)
        ]
        nodes.append(helper.make_node("Gemm", ["quadrants", *names], [task.value]))
        outputs.append(
            helper.make_tensor_value_info(task.value, TensorProto.FLOAT, ["n", task.n_grades])
        )
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, size_px, size_px])
    graph = helper.make_graph(nodes, "tiny", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)


def write_tiny_bundle(
    folder: Path,
    *,
    tasks: Sequence[Task] = (Task.KL,),
    n_members: int = 1,
    subjects: Mapping[str, Sequence[str]] | None = None,
    **changes: Any,
) -> Path:
    """Write a whole bundle; ``changes`` replace entries of the manifest; returns the folder.

    Member ``k`` has the weights of seed ``k``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    members = [f"member-{k}.onnx" for k in range(n_members)]
    for k, name in enumerate(members):
        write_network(folder / name, tasks, seed=k)
    (folder / "MODEL_CARD.md").write_text("A network for tests.\n", encoding="utf-8")
    known = subjects or {"trained": [], "selected": []}
    (folder / "subjects.json").write_text(
        json.dumps({use: list(ids) for use, ids in known.items()}), encoding="utf-8"
    )
    locator = json.loads((DEFAULT_FOLDER / "bundle.json").read_bytes())["locator"]
    for part in ("film", "knee"):
        shutil.copy(DEFAULT_FOLDER / locator[part], folder / locator[part])
    names = [*members, locator["film"], locator["knee"], "subjects.json", "MODEL_CARD.md"]
    manifest = {
        "schema_version": 2,
        "name": "tiny",
        "version": "0.1",
        "tasks": {t.value: {"temperature": 1.0, "decoding": "expected"} for t in tasks},
        "input": {
            "size_px": SIZE_PX,
            "field_of_view_plateau_widths": 1.25,
            "lateral_first": True,
            "enhancement": {"tiles": 8, "clip_limit": 5.0, "local_contrast": 29.0},
            "clip_percentiles": [1.0, 99.0],
        },
        "members": members,
        "locator": locator,
        "average": "probability",
        "training": {},
        "agreement": {},
        "licence": "Apache-2.0",
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    write_manifest(folder, manifest | changes)
    return folder


def write_manifest(folder: Path, manifest: Any) -> None:
    """Write ``bundle.json``."""
    (folder / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
