"""Time and peak memory of grading one knee; ratio against the network alone.

Usage: python benchmarks/grade_speed.py [FILE...]   (default: the films of demo/films)
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

from kneegrade.bundles.runner import OnnxRunner
from kneegrade.images.read import read_radiograph
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.crop import RoiSpec
from kneegrade.knees.prepare import prepare_knees
from kneegrade.pipeline.grader import KneeGrader


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _milliseconds(work: object, items: list, runs: int = 5) -> float:
    """Best mean over the items, in ms per item."""
    best = np.inf
    for _ in range(runs):
        start = time.perf_counter()
        for item in items:
            work(item)
        best = min(best, (time.perf_counter() - start) / len(items))
    return best * 1e3


if __name__ == "__main__":
    demo = Path(__file__).parents[1] / "demo" / "films"
    files = [Path(name) for name in sys.argv[1:]] or sorted(demo.iterdir())
    after_imports = _peak_mib()
    grader = KneeGrader()
    spec = grader.bundle.input
    image = np.zeros((1, 1, spec.size_px, spec.size_px), dtype=np.float32)
    members = [OnnxRunner(path) for path in grader.bundle.members]
    network = _milliseconds(lambda x: [member.run(x) for member in members], [image] * 8)
    whole = _milliseconds(grader.grade, files)
    films = [read_radiograph(path) for path in files]
    read = _milliseconds(read_radiograph, files)
    locator = KneeLocator(grader.bundle.locator)
    crop = _milliseconds(lambda film: prepare_knees(locator, film, RoiSpec()), films)
    print(f"{len(files)} files: {whole:.1f} ms a knee (read {read:.1f}, find and cut {crop:.1f})")
    print(f"network alone: {network:.1f} ms")
    print(f"whole way / network alone = {whole / network:.1f}")
    print(f"peak memory {_peak_mib():.0f} MiB, after the imports {after_imports:.0f} MiB")
    print(f"peak / after the imports = {_peak_mib() / after_imports:.2f}")
