"""From which length on does motion spoil a reading? Beside the same knees held still.

Usage: python benchmarks/motion.py TABLE [--bundle PATH] [--split val] [--every N]

TABLE is a knee table of the open set (crops of one knee) with KL grades. Every knee is moved along
a line by each length (`blur_by_motion`, as in quality.py) and read again: quadratic kappa with the
readers' grades, how far the landmarks and the smaller joint space width go from those of the still
knee, and how many are flagged. Prints Markdown.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from kneegrade.bundles.manifest import read_bundle
from kneegrade.cohorts.tables.table import read_knee_table, resolve_image
from kneegrade.evaluation.metrics import compute_quadratic_kappa
from kneegrade.grading.grader import Grader
from kneegrade.images.read import read_radiograph
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.measuring.joint_space import measure_joint_space
from kneegrade.knees.posing.crop import RoiSpec, crop_knee
from kneegrade.knees.quality.checks import check_quality
from kneegrade.phantoms.spoilt.metal import PLATEAU_MM
from kneegrade.phantoms.spoilt.motion import blur_by_motion
from kneegrade.types import Flag, Radiograph, Side, Task

SEED = 74_915
LENGTHS_MM = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)


def read_one(locator: KneeLocator, radiograph: Radiograph, side: Side, size_px: int):
    """Landmarks, region of interest, smaller width as a share of bone width, whether flagged."""
    located = locator.locate_in_crop(radiograph, side)
    (knee,) = located.knees
    roi = crop_knee(located.radiograph, knee.landmarks, RoiSpec(size_px=size_px))
    flags = check_quality(located.radiograph, knee.landmarks, roi, knee.scores)
    space = measure_joint_space(located.radiograph, knee.landmarks)
    width = min(space.medial.minimum.share, space.lateral.minimum.share)
    return knee.landmarks.points_px, roi, width, Flag.BLURRED in flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1)
    args = parser.parse_args()
    grader = Grader(read_bundle(args.bundle))
    locator = KneeLocator(grader.bundle.locator)
    table = read_knee_table(args.table)
    table = table[table["split"] == args.split].iloc[:: args.every]
    truth = table["kl"].to_numpy(dtype=np.int64)
    print(f"\n{len(table)} knees of the split {args.split}:\n")
    print("| motion | kappa | grade as still | landmarks | width: bias, SD | flagged |")
    print("|---|---|---|---|---|---|")
    still = None
    for length_mm in LENGTHS_MM:
        points, rois, widths, flagged = [], [], [], []
        for i, row in enumerate(table.itertuples()):
            radiograph = read_radiograph(resolve_image(args.table, row.image_path))
            side = Side(row.side)
            if length_mm:
                ends = still[0][i][[0, 8]]
                length_px = length_mm * float(np.linalg.norm(ends[1] - ends[0])) / PLATEAU_MM
                picture = np.clip(radiograph.pixels, 0, 255).astype(np.uint8)
                moved = blur_by_motion(picture, length_px, np.random.default_rng([SEED, i]))
                radiograph = replace(radiograph, pixels=moved.astype(np.float32))
            size = grader.bundle.input.size_px
            found = read_one(locator, radiograph, side, size)
            for values, value in zip((points, rois, widths, flagged), found, strict=True):
                values.append(value)
        graded = [p for i in range(0, len(rois), 32) for p in grader.grade(rois[i : i + 32])]
        grades = np.array([prediction.grades[Task.KL] for prediction in graded])
        still = still or (points, grades, np.array(widths))
        kappa = compute_quadratic_kappa(truth, grades, n_grades=5)
        px_per_mm = np.linalg.norm(np.array(still[0])[:, 8] - np.array(still[0])[:, 0], axis=1)
        px_per_mm /= PLATEAU_MM
        away = np.linalg.norm(np.array(points) - still[0], axis=2).mean(axis=1) / px_per_mm
        wider = (np.array(widths) - still[2]) * PLATEAU_MM
        print(
            f"| {length_mm:g} mm | {kappa:.3f} | {np.mean(grades == still[1]):.0%} "
            f"| {away.mean():.2f} mm | {np.nanmean(wider):+.2f}, {np.nanstd(wider):.2f} mm "
            f"| {np.mean(flagged):.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
