"""Recover where KNEEL's landmarks lie on the open knee pictures, train on them, measure the error.

KNEEL publishes sixteen landmarks of 748 knees without their films; 529 of these knees are in the
open set of knee pictures, in a frame that is not published. A scale and a translation per knee are
missing. They are fitted to what a landmark network finds (trained on phantoms first), then networks
are trained on the knees of the other folds and the frames fitted again, round by round:

    kneegrade cohort kaggle knee-kl --out knees.parquet --contrast enhanced
    kneegrade phantom study --like oai --subjects 220 --seed 505 --spacing 0.35 --out phantoms
    kneegrade train locator-film --landmarks phantoms/truth-landmarks.csv --out film
    kneegrade train locator-knee-phantom --landmarks phantoms/truth-landmarks.csv --out knee-phantom
    python benchmarks/real_landmarks.py --kneel bf_landmarks_1_0.3.csv --knees knees.parquet \
        --phantoms phantoms/truth-landmarks.csv --film film --start knee-phantom --out real

The folder gets ``landmarks.csv`` (a landmark table of the knees whose frame is certain; those of
the knee table's split "train" alone in ``landmarks-train.csv``, for the shipped locator),
``spacing.csv`` (their pixel size and its source), ``errors.csv`` (every point of every held-out
knee, as found by a network that never saw the person), ``sheet.png`` (worst first), and one run per
round and fold; it continues where it stopped. It prints the table of errors.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.bundles.manifest import hash_subject
from kneegrade.cohorts.table import read_knee_table, resolve_image
from kneegrade.images.read import read_radiograph
from kneegrade.knees.landmark_files import KneelKnee, read_kneel_table
from kneegrade.knees.landmark_table import TabledKnee, write_landmark_table
from kneegrade.knees.locate import KneeLocator
from kneegrade.training.landmark_frames import Frame, fit_frame
from kneegrade.training.landmark_pictures import fold_of
from kneegrade.training.landmark_recipe import LandmarkRecipe
from kneegrade.training.landmark_run import fit_landmark_run
from kneegrade.training.locator_export import export_locator
from kneegrade.training.recipe import read_recipe_text
from kneegrade.types import Contrast, Landmarks, LandmarkScheme, Radiograph, Side

CERTAIN_MM = 1.6
"""A knee is kept for training where its points miss the fitted frame by less, on average."""
AT_MM = (1.0, 1.5, 2.0, 2.5)


@dataclass(frozen=True, eq=False)
class Knee:
    """One knee of both sets."""

    kneel: KneelKnee
    path: str
    radiograph: Radiograph
    shape_mm: NDArray[np.float64]
    """As the picture shows it: a left knee's columns are turned."""
    subject: str
    split: str


def read_knees(kneel: Path, table_path: Path) -> list[Knee]:
    """The knees of KNEEL's table that have a picture."""
    table = read_knee_table(table_path)
    paths = {
        (row.subject_id, row.side): (resolve_image(table_path, row.image_path), row.split)
        for row in table.itertuples()
    }
    knees = []
    for knee in read_kneel_table(kneel):
        path, split = paths.get((knee.subject_id, knee.side.value), (None, None))
        if path is not None:
            turn = (1.0, 1.0 if knee.side is Side.RIGHT else -1.0)
            knees.append(
                Knee(
                    kneel=knee,
                    path=str(Path(path.partition("::")[0]).resolve()) + path[path.find("::") :],
                    radiograph=read_radiograph(path, contrast=Contrast.ENHANCED),
                    shape_mm=knee.shape_mm * turn,
                    subject=hash_subject("oai", knee.subject_id),
                    split=split,
                )
            )
    return knees


def find_points(locator: KneeLocator, knees: Sequence[Knee], *, whole: bool) -> NDArray[np.float64]:
    """Points ``(n, 16, 2)`` in px of the pictures; not a number where no knee is found.

    ``whole``: search the picture as a film is searched, else take it for a crop.
    """
    found = np.full((len(knees), 16, 2), np.nan)
    for i, knee in enumerate(knees):
        if whole:
            located = [
                k for k in locator.locate(knee.radiograph) if k.landmarks.side is knee.kneel.side
            ]
            if located:
                found[i] = located[0].landmarks.points_px
        else:
            one = locator.locate_in_crop(knee.radiograph, knee.kneel.side)
            found[i] = one.landmarks.points_px
    return found


def write_tables(folder: Path, knees: Sequence[Knee], frames: Sequence[Frame]) -> Path:
    """Landmark table and pixel sizes of the knees whose frame is certain."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = [
        (k, f) for k, f in zip(knees, frames, strict=True) if f.residuals_mm.mean() < CERTAIN_MM
    ]
    rows = [
        TabledKnee(
            cohort="oai",
            subject_id=k.kneel.subject_id,
            image_path=k.path,
            landmarks=Landmarks(
                k.kneel.side, LandmarkScheme.KNEEL_16, f.to_px(k.shape_mm), np.ones(16)
            ),
        )
        for k, f in kept
    ]
    path = folder / "landmarks.csv"
    write_landmark_table(rows, path)
    train = [row for row, (k, _) in zip(rows, kept, strict=True) if k.split == "train"]
    write_landmark_table(train, folder / "landmarks-train.csv")
    with (folder / "spacing.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("cohort", "subject_id", "side", "spacing_mm", "spacing_source"))
        for k, f in kept:
            key = ("oai", k.kneel.subject_id, k.kneel.side.value)
            writer.writerow((*key, f"{1 / f.px_per_mm:.4f}", "landmark-frame"))
    return path


def run_round(
    args: argparse.Namespace, number: int, knees: Sequence[Knee], frames: Sequence[Frame]
) -> NDArray[np.float64]:
    """Train a network per fold on the frames as they are; points of every knee, held out."""
    text = read_recipe_text(args.recipes[min(number, len(args.recipes) - 1)])
    recipe = LandmarkRecipe.from_toml(text)
    folder = args.out / f"round-{number}"
    table = write_tables(folder, knees, frames)
    found = np.full((len(knees), 16, 2), np.nan)
    for fold in range(recipe.n_folds):
        run = folder / f"fold-{fold}"
        fit_landmark_run(text, [args.phantoms, table], run, fold=fold, start=args.start)
        locator = KneeLocator(export_locator(args.film, run, run))
        held = [i for i, k in enumerate(knees) if fold_of(k.subject, recipe.n_folds) == fold]
        found[held] = find_points(locator, [knees[i] for i in held], whole=False)
    return found


def summarise(errors: NDArray[np.float64], kl: NDArray[np.int64], title: str) -> None:
    """Print mean error and share within each bound, over all and by KL grade."""
    print(f"\n{title}: mean radial error, mm; share of points within {AT_MM} mm")
    for name, chosen in [("all", kl >= 0), *((f"KL {g}", kl == g) for g in range(5))]:
        part = errors[chosen]
        shares = " ".join(f"{100 * (part < at).mean():5.1f} %" for at in AT_MM)
        print(f"  {name:5} n={chosen.sum():4} {part.mean():.3f}  {shares}")


def draw_sheet(
    path: Path, knees: Sequence[Knee], frames: Sequence[Frame], found: NDArray[np.float64]
) -> None:
    """Every knee, worst first: the known points in the frame (green), points found (red)."""
    tiles = []
    for i in np.argsort([-f.residuals_mm.mean() for f in frames]):
        picture = np.clip(knees[i].radiograph.pixels, 0, 255).astype(np.uint8)
        tile = cv2.cvtColor(cv2.resize(picture, None, fx=2, fy=2), cv2.COLOR_GRAY2BGR)
        for points, colour in (
            (frames[i].to_px(knees[i].shape_mm), (0, 220, 0)),
            (found[i], (60, 60, 255)),
        ):
            for row, col in points * 2 + 0.5:
                cv2.circle(tile, (round(col), round(row)), 3, colour, -1)
        text = f"KL{knees[i].kneel.kl} {frames[i].residuals_mm.mean():.2f} mm"
        cv2.putText(tile, text, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 255, 255), 2)
        tiles.append(tile)
    across = 8
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    rows = [np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)]
    for page in range(0, len(rows), 6):
        cv2.imwrite(
            str(path.with_name(f"{path.stem}-{page // 6:02}.png")), np.vstack(rows[page : page + 6])
        )


def main() -> None:
    """Run the rounds and print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kneel", type=Path, required=True)
    parser.add_argument("--knees", type=Path, required=True)
    parser.add_argument("--phantoms", type=Path, required=True)
    parser.add_argument("--film", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=["locator-knee-round", "locator-knee"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    knees = read_knees(args.kneel, args.knees)
    kl = np.array([k.kneel.kl for k in knees])
    first = args.out / "round-start"
    first.mkdir(parents=True, exist_ok=True)
    locator = KneeLocator(export_locator(args.film, args.start, first))
    found = find_points(locator, knees, whole=False)
    frames = [fit_frame(k.shape_mm, p) for k, p in zip(knees, found, strict=True)]
    summarise(np.array([f.residuals_mm for f in frames]), kl, "Phantoms only, after the best fit")
    for number in range(args.rounds):
        taught = frames
        found = run_round(args, number, knees, taught)
        frames = [fit_frame(k.shape_mm, p) for k, p in zip(knees, found, strict=True)]
        stands = [
            np.linalg.norm(p - f.to_px(k.shape_mm), axis=1) / f.px_per_mm
            for k, f, p in zip(knees, taught, found, strict=True)
        ]
        summarise(
            np.array(stands), kl, f"Round {number}, as it stands (frames of the round before)"
        )
        best = np.array([f.residuals_mm for f in frames])
        summarise(best, kl, f"Round {number}, after the best translation and scale")
    print("  by point:", " ".join(f"{e:.2f}" for e in best.mean(axis=0)))
    spacing = np.array([1 / f.px_per_mm for f in frames])
    print(f"Pixel size of the pictures: {spacing.mean():.4f} mm (SD {spacing.std():.4f})")
    table = write_tables(args.out, knees, frames)
    certain = sum(f.residuals_mm.mean() < CERTAIN_MM for f in frames)
    print(f"{certain} of {len(knees)} knees in {table}")
    draw_sheet(args.out / "sheet.png", knees, frames, found)


if __name__ == "__main__":
    main()
