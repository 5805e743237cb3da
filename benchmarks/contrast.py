"""Does a grade hang on the picture's contrast? Kappa with the contrast changed, next to plain.

Usage: python benchmarks/contrast.py TABLE [--plain DIR] [--bundle NAME] [--split val] [--every N]

TABLE is a knee table of enhanced crops with KL grades; DIR holds plain films of one knee. Every
picture goes the whole way (radiograph, crop, network input); whether it was enhanced is judged from
it, as where nobody says. --every N takes every Nth knee. Prints Markdown.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from kneegrade.arrays import GreyImage
from kneegrade.bundles.manifest import read_bundle
from kneegrade.cohorts.tables.table import read_knee_table, resolve_image
from kneegrade.evaluation.metrics import compute_quadratic_kappa
from kneegrade.grading.grader import Grader
from kneegrade.images.read import read_radiograph
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.posing.contrast import enhance
from kneegrade.knees.posing.crop import RoiSpec
from kneegrade.knees.prepare import RefusedKnee, prepare_knees
from kneegrade.types import Contrast, Flag, KneeROI, Radiograph, Side, Task


def _gamma(power: float) -> Callable[[GreyImage], GreyImage]:
    return lambda pixels: np.rint(255 * (pixels / 255.0) ** power).astype(np.uint8)


def _window(pixels: GreyImage) -> GreyImage:
    low, high = np.percentile(pixels, (5, 95))
    return np.rint(np.clip((pixels - low) / (high - low), 0, 1) * 255).astype(np.uint8)


CHANGES: dict[str, Callable[[GreyImage], GreyImage]] = {
    "as it is": lambda pixels: pixels,
    "gamma 0.6": _gamma(0.6),
    "gamma 1.6": _gamma(1.6),
    "linear window, 5 % cut off at both ends": _window,
    "CLAHE again (8 x 8, clip 5)": lambda pixels: enhance(pixels, tiles=8, clip_limit=5.0),
    "blurred (sigma 1.5 px)": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 1.5),
    "inverted": lambda pixels: 255 - pixels,
}


def _radiograph(pixels: GreyImage, contrast: Contrast) -> Radiograph:
    return Radiograph(pixels=pixels.astype(np.float32), source_id="benchmark", contrast=contrast)


def measure_changes(grader: Grader, table_path: Path, split: str, every: int) -> None:
    """Kappa on the enhanced crops, their contrast changed in one way at a time."""
    table = read_knee_table(table_path)
    table = table[table["split"] == split].iloc[::every]
    truth = table["kl"].to_numpy(dtype=np.int64)
    pictures = [
        read_radiograph(resolve_image(table_path, path)).pixels.astype(np.uint8)
        for path in table["image_path"]
    ]
    sides = [Side(side) for side in table["side"]]
    size = grader.bundle.input.size_px
    locator = KneeLocator(grader.bundle.locator)
    print(f"\nQuadratic kappa on {len(truth)} knees of the split {split}:\n")
    print("| contrast | kappa | difference | judged plain |")
    print("|---|---|---|---|")
    first = None
    for name, change in CHANGES.items():
        rois = [
            cut_first(locator, _radiograph(change(pixels), Contrast.UNKNOWN), size, side)
            for pixels, side in zip(pictures, sides, strict=True)
        ]
        graded = [p for i in range(0, len(rois), 32) for p in grader.grade(rois[i : i + 32])]
        grades = np.array([prediction.grades[Task.KL] for prediction in graded])
        kappa = compute_quadratic_kappa(truth, grades, n_grades=5)
        first = kappa if first is None else first
        share = np.mean([Flag.CONTRAST_JUDGED_PLAIN in prediction.flags for prediction in graded])
        print(f"| {name} | {kappa:.3f} | {kappa - first:+.3f} | {share:.1%} |", flush=True)


def cut_first(
    locator: KneeLocator, radiograph: Radiograph, size_px: int, side: Side | None = None
) -> KneeROI:
    """The first knee on a radiograph, whether it would be refused or not."""
    knee = prepare_knees(locator, radiograph, RoiSpec(size_px=size_px), side=side)[0]
    if isinstance(knee, RefusedKnee):
        if knee.knee is None:
            raise knee.error
        return knee.knee.roi
    return knee.roi


def measure_plain_films(grader: Grader, folder: Path) -> None:
    """How often the grade of a plain film and of its enhanced copy agree."""
    size = grader.bundle.input.size_px
    locator = KneeLocator(grader.bundle.locator)
    pairs: list[tuple[int, int]] = []
    judged = Counter()
    for path in sorted(folder.glob("*.jpg")):
        for mirror in (False, True):
            pixels = read_radiograph(path).pixels
            pixels = pixels[:, ::-1] if mirror else pixels
            film = _radiograph(pixels, Contrast.UNKNOWN)
            plain = cut_first(locator, film, size)
            grey = np.rint(plain.pixels * 255).astype(np.uint8)
            enhanced = KneeROI(
                side=plain.side,
                pixels=enhance(grey, tiles=8, clip_limit=5.0) / np.float32(255),
                to_radiograph=plain.to_radiograph,
                mirrored=plain.mirrored,
                source_id=plain.source_id,
            )
            one, other = grader.grade([plain, enhanced])
            judged[Flag.CONTRAST_JUDGED_PLAIN in one.flags, "plain"] += 1
            judged[Flag.CONTRAST_JUDGED_ENHANCED in other.flags, "enhanced"] += 1
            if not mirror:
                pairs.append((one.grades[Task.KL], other.grades[Task.KL]))
    gaps = Counter(abs(a - b) for a, b in pairs)
    print(f"\n{len(pairs)} plain films, each graded as it is and as its enhanced copy:\n")
    print(
        f"equal {gaps[0] / len(pairs):.0%}; "
        + ", ".join(f"{g} apart: {n}" for g, n in sorted(gaps.items()))
    )
    print(
        "pairs (plain, enhanced): "
        + ", ".join(f"{k}: {v}" for k, v in sorted(Counter(pairs).items()))
    )
    for kind in ("plain", "enhanced"):
        right, wrong = judged[True, kind], judged[False, kind]
        print(f"{kind} pictures judged {kind}: {right} of {right + wrong}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    the_grader = Grader(read_bundle(options.bundle))
    measure_changes(the_grader, options.table, options.split, options.every)
    if options.plain:
        measure_plain_films(the_grader, options.plain)
