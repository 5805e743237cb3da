"""ONNX Runtime against torch eager: the embedded bundle's network, float32, same threads.

Usage: python benchmarks/onnx_speed.py   (needs the extra [train])
"""

import time

import numpy as np
import torch

from kneegrade.bundles.manifest import read_bundle
from kneegrade.bundles.runner import OnnxRunner
from kneegrade.training.grader.networks import GradingNetwork
from kneegrade.training.grader.recipe import Recipe
from kneegrade.training.recipe_fields import read_recipe_text

THREADS = 2


def _best_ms(work: object, runs: int = 20) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


if __name__ == "__main__":
    bundle = read_bundle("default")
    recipe = Recipe.from_toml(read_recipe_text(bundle.name))
    torch.set_num_threads(THREADS)
    network = GradingNetwork(recipe.network, recipe.tasks).eval()
    runner = OnnxRunner(bundle.members[0], n_threads=THREADS)
    size = bundle.input.size_px
    for batch in (1, 8):
        images = np.random.default_rng(0).standard_normal((batch, 1, size, size), np.float32)
        tensor = torch.from_numpy(images)
        with torch.inference_mode():
            eager = _best_ms(lambda x=tensor: network(x))
        onnx = _best_ms(lambda x=images: runner.run(x))
        print(f"batch {batch}: torch eager {eager:.1f} ms, ONNX Runtime {onnx:.1f} ms")
        print(f"batch {batch}: torch eager / ONNX Runtime = {eager / onnx:.2f}")
