"""Time of finding both knees of a film, against KNEEL's two-stage ensemble; same runtime, one run.

Usage: python benchmarks/locator_speed.py [N_THREADS] [--rounds R] [--scanner NAME]
       (needs the extra [train]; two threads, nine rounds)

The locator of the embedded bundle finds both knees of a phantom film of 350 x 430 mm, resampling
and decoding included. The peer is built here to the sizes of A. Tiulpin, I. Melekhov and
S. Saarakkala, "KNEEL: Knee Anatomical Landmark Localization Using Hourglass Networks", ICCV
Workshops 2019, with random weights: two stages, one hourglass each (depth 4, base width 24, 3
channels, maps at stride 4, soft-argmax), five folds (here of the same weights, each a session of
its own); stage one finds one joint centre in each half of a film of 1 mm/px, stage two 16 points
in 450 px of 0.3 mm. Only its networks are timed: no resampling, no optional second pass. Both run
in ONNX Runtime with the same settings, in turn in every round.

What its publication and code leave open, or contradict each other in, is taken the cheaper way, so
the ratio is a lower bound: stage one sees 256 px (the least multiple of 64 that holds half a
film's 215 px; its 350 rows would need more); stem widths 24, 48, 48, 48, 96; one residual block
per place, 96 channels within the hourglass and 192 where it ends; multi-scale blocks in the stem
and on the outermost level, bottlenecks within; 1 x 1 convolutions of that size; nearest
enlargement. Both knees of a fold are one batch.

Multiply-adds are those of convolutions and matrix products, parameters those in the ONNX files.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import onnx
import torch
from torch import Tensor, nn

import kneegrade.knees.posing.pose as pose_module
from kneegrade.bundles.manifest import LocatorSpec, read_bundle
from kneegrade.bundles.runner import OnnxNetwork
from kneegrade.images.geometry import resample
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.phantoms.films.film import BOTH_KNEES_MM, draw_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.training.onnx_file import write_onnx
from kneegrade.types import Radiograph, Side, SpacingSource

N_FOLDS = 5
DEPTH, BASE_WIDTH, WIDTH = 4, 24, 192
STAGES = {"stage one": (256, 1), "stage two": (450, 16)}
"""Side of the input in px and number of maps."""

CUTS, COARSE, FINE = "shrinking and cutting", "film network", "knee network"


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Normalised and rectified first, as in Newell's hourglass."""
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
    )


class Residual(nn.Module):
    """Multi-scale: 3 x 3 convolutions of n/2, n/4, n/4 channels, joined; else a bottleneck."""

    def __init__(self, inputs: int, outputs: int, *, multi_scale: bool) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        kernels = (3, 3, 3) if multi_scale else (1, 3, 1)
        widths = (half, quarter, quarter) if multi_scale else (half, half, outputs)
        self.multi_scale = multi_scale
        self.steps = nn.ModuleList(
            _convolution(before, after, kernel)
            for before, after, kernel in zip((inputs, *widths), widths, kernels, strict=False)
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same size."""
        levels = [maps]
        for step in self.steps:
            levels.append(step(levels[-1]))
        found = torch.cat(levels[1:], dim=1) if self.multi_scale else levels[-1]
        return found + self.skip(maps)


class Hourglass(nn.Module):
    """Halves, goes one level deeper, enlarges, adds what was kept."""

    def __init__(self, depth: int, inputs: int, outputs: int, *, multi_scale: bool) -> None:
        super().__init__()
        self.kept = Residual(inputs, outputs, multi_scale=multi_scale)
        self.before = Residual(inputs, inputs, multi_scale=multi_scale)
        self.within = (
            Hourglass(depth - 1, inputs, inputs, multi_scale=False)
            if depth > 1
            else Residual(inputs, inputs, multi_scale=False)
        )
        self.after = Residual(inputs, outputs, multi_scale=multi_scale)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same size."""
        small = nn.functional.max_pool2d(maps, 2)
        deep = self.after(self.within(self.before(small)))
        return self.kept(maps) + nn.functional.interpolate(deep, size=maps.shape[-2:])


class PeerNetwork(nn.Module):
    """One fold of one stage: grey -> points as shares of width and height."""

    def __init__(self, n_points: int) -> None:
        super().__init__()
        base, inner = BASE_WIDTH, WIDTH // 2
        self.net = nn.Sequential(
            nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(base),
            nn.ReLU(),
            Residual(base, 2 * base, multi_scale=True),
            nn.MaxPool2d(2),
            Residual(2 * base, 2 * base, multi_scale=True),
            Residual(2 * base, 2 * base, multi_scale=True),
            Residual(2 * base, inner, multi_scale=True),
            Hourglass(DEPTH, inner, WIDTH, multi_scale=True),
            nn.Dropout2d(0.25),
            _convolution(WIDTH, WIDTH, 1),
            nn.Dropout2d(0.25),
            _convolution(WIDTH, WIDTH, 1),
            nn.Conv2d(WIDTH, n_points, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Points ``(n, k, 2)`` as (width, height), for images ``(n, 1, size, size)``."""
        maps = self.net(images.expand(-1, 3, -1, -1))
        rows, cols = maps.shape[-2:]
        share = maps.flatten(2).softmax(dim=2).unflatten(2, (rows, cols))
        row = (share.sum(dim=3) * torch.linspace(0, 1, rows)).sum(dim=2)
        col = (share.sum(dim=2) * torch.linspace(0, 1, cols)).sum(dim=2)
        return torch.stack([col, row], dim=2)


def write_peer(folder: Path) -> dict[str, Path]:
    """The network of each stage as an ONNX file."""
    torch.manual_seed(0)
    paths = {}
    for stage, (size, n_points) in STAGES.items():
        paths[stage] = folder / f"{stage}.onnx"
        write_onnx(PeerNetwork(n_points).eval(), size, ["points"], paths[stage])
    return paths


def count_work(path: Path) -> tuple[int, int]:
    """Parameters of an ONNX network, and multiply-adds for one picture."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    weights = {w.name: tuple(w.dims) for w in graph.initializer}
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    work = 0
    for node in graph.node:
        if node.op_type == "Conv":
            weight = weights[node.input[1]]
            work += int(np.prod(weight) * np.prod(shapes[node.output[0]][2:]))
        elif node.op_type in {"Gemm", "MatMul"} and node.input[1] in weights:
            work += int(np.prod(weights[node.input[1]]))
    floats = [w for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT]
    return sum(int(np.prod(w.dims)) for w in floats), work


def draw_radiograph(scanner: str) -> Radiograph:
    """A film of both knees at the scanner's own spacing."""
    rng = np.random.default_rng(0)
    film = draw_film(
        body=draw_body(sex="female", bmi=28.0, rng=rng),
        knees={side: Severity(dict.fromkeys(FEATURES, 0.5)) for side in Side},
        scanner=SCANNERS[scanner],
        size_mm=BOTH_KNEES_MM,
        rng=rng,
    )
    spacing = (film.spacing_mm, film.spacing_mm)
    return Radiograph(
        film.pixels.astype(np.float32), "0" * 64, spacing, SpacingSource.DETECTOR_PLANE
    )


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def split_time(locator: KneeLocator, film: Radiograph) -> tuple[Counter[str], Counter[str]]:
    """Seconds and calls of each part of one `locate`."""
    spent: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    run_network = OnnxNetwork.run

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        spent[name] += time.perf_counter() - start
        calls[name] += 1
        return result

    def run(network: OnnxNetwork, images: np.ndarray) -> Any:
        name = FINE if "scores" in network.outputs else COARSE
        return timed(name, lambda: run_network(network, images))

    def sample(*args: Any, **options: Any) -> Any:
        return timed(CUTS, lambda: resample(*args, **options))

    with (
        patch.object(OnnxNetwork, "run", run),
        patch.object(pose_module, "resample", sample),
    ):
        whole = seconds(lambda: locator.locate(film))
    spent["the rest"] = whole - sum(spent.values())
    return spent, calls


def measure(
    spec: LocatorSpec, film: Radiograph, peer: dict[str, Path], args: argparse.Namespace
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Milliseconds per round of everything measured, and calls of each part of the locator."""
    locator = KneeLocator(spec, n_threads=args.threads)
    if len(locator.locate(film).knees) != 2:
        raise SystemExit("The locator does not find both knees of the film: nothing to compare.")
    rng = np.random.default_rng(0)
    networks = {
        stage: [OnnxNetwork(path, n_threads=args.threads) for _ in range(N_FOLDS)]
        for stage, path in peer.items()
    }
    pair = {
        stage: rng.standard_normal((2, 1, size, size), np.float32)
        for stage, (size, _) in STAGES.items()
    }

    def run_ensemble() -> None:
        for stage, folds in networks.items():
            for network in folds:
                network.run(pair[stage])

    run_ensemble()
    rounds: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        now = {"locator": seconds(lambda: locator.locate(film)), "ensemble": seconds(run_ensemble)}
        for stage, folds in networks.items():
            now[stage] = seconds(lambda n=folds[0], x=pair[stage][:1]: n.run(x))
        spent, calls = split_time(locator, film)
        for name, value in (now | spent).items():
            rounds.setdefault(name, []).append(value * 1e3)
    return {name: np.array(times) for name, times in rounds.items()}, calls


def print_time(name: str, times: np.ndarray) -> None:
    print(f"{name:44} {np.median(times):9.1f} {times.min():9.1f}")


def print_work(name: str, pictures: dict[Path, int], n_folds: int = 1) -> int:
    """One line for all networks of one method; the multiply-adds for a film."""
    counted = [(*count_work(path), number) for path, number in pictures.items()]
    parameters = n_folds * sum(count for count, _, _ in counted)
    work = n_folds * sum(one * number for _, one, number in counted)
    print(f"{name:44} {parameters / 1e6:9.2f} {work / 1e9:9.2f}")
    return work


def main() -> None:
    parser = argparse.ArgumentParser(description="Both knees of a film, against KNEEL's ensemble.")
    parser.add_argument("threads", type=int, nargs="?", default=2, metavar="N_THREADS")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scanner", choices=SCANNERS, default="oai-dx")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    spec = read_bundle("default").locator
    film = draw_radiograph(args.scanner)
    with tempfile.TemporaryDirectory() as folder:
        peer = write_peer(Path(folder))
        times, calls = measure(spec, film, peer, args)
        rows, cols = film.pixels.shape
        print(f"film {rows} x {cols} px, {args.threads} threads, {args.rounds} rounds")
        print(f"{'':44} {'median ms':>9} {'best ms':>9}")
        print_time("locator, both knees", times["locator"])
        for part in (CUTS, COARSE, FINE):
            print_time(f"  {part}, {calls[part]} calls", times[part])
        print_time("  the rest", times["the rest"])
        print_time(f"hourglass ensemble, {N_FOLDS} folds, networks only", times["ensemble"])
        for stage, (size, n_points) in STAGES.items():
            print_time(f"  {stage}, {size} px, {n_points} maps: one picture", times[stage])
        print(f"{'':44} {'M params':>9} {'G madds':>9}")
        ours = print_work("locator", {spec.film: calls[COARSE], spec.knee: calls[FINE]})
        theirs = print_work("hourglass ensemble", dict.fromkeys(peer.values(), 2), N_FOLDS)
    for name, value in (("median", np.median), ("best", np.min)):
        whole, ensemble = value(times["locator"]), value(times["ensemble"])
        print(f"time, {name}: ensemble / locator = {ensemble / whole:.1f}")
    print(f"multiply-adds: ensemble / locator = {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
