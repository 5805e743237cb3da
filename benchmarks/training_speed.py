"""Images per second of a training step on the CPU, with and without what kneegrade does for speed.

Usage: python benchmarks/training_speed.py   (needs the extra [train]; a minute or two)
Each setting runs in a fresh process; ratios are against plain float32.
"""

import subprocess
import sys
import time

SETTINGS = {
    "float32": ("32-true", False, False),
    "bfloat16": ("bf16-mixed", False, False),
    "bfloat16, wide depthwise in float32": ("bf16-mixed", True, False),
    "bfloat16, wide depthwise in float32, freed memory kept": ("bf16-mixed", True, True),
}


def measure(precision: str, *, depthwise: bool, keep: bool, batch: int = 16) -> float:
    """Images per second, best of eight steps after two."""
    import torch

    from kneegrade.training.fitting import keep_freed_memory
    from kneegrade.training.grader.losses import compute_loss
    from kneegrade.training.grader.networks import GradingNetwork, keep_wide_depthwise_in_float32
    from kneegrade.training.grader.recipe import Recipe
    from kneegrade.training.recipe_fields import read_recipe_text
    from kneegrade.types import Task

    if keep:
        keep_freed_memory()
    recipe = Recipe.from_toml(read_recipe_text("kl-lite0"))
    network = GradingNetwork(recipe.network, recipe.tasks).train()
    network.to(memory_format=torch.channels_last)
    if depthwise:
        keep_wide_depthwise_in_float32(network)
    images = torch.randn(batch, 1, recipe.input.size_px, recipe.input.size_px)
    grades = {Task.KL: torch.randint(0, 5, (batch,))}
    optimiser = torch.optim.AdamW(network.parameters())
    times = []
    for _ in range(10):
        start = time.perf_counter()
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "32-true"):
            outputs = dict(zip(recipe.tasks, network(images), strict=True))
            loss = compute_loss(outputs, grades, recipe.loss)
        loss.backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    return batch / min(times[2:])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        how, deep, kept = SETTINGS[sys.argv[1]]
        print(measure(how, depthwise=deep, keep=kept))
        sys.exit()
    first = None
    for name in SETTINGS:
        out = subprocess.run([sys.executable, __file__, name], check=True, capture_output=True)
        speed = float(out.stdout)
        first = first or speed
        print(f"{name}: {speed:.1f} images/s, {speed / first:.2f} of float32", flush=True)
