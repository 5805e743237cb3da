"""Recover where KNEEL's landmarks lie on the open knee pictures, train on them, measure the error.

KNEEL publishes sixteen landmarks of 748 knees without their films; 529 of these knees are in the
open set of knee pictures, in a frame that is not published. Two scales (the pictures were cut as
oblong boxes and made square) and a translation per knee are missing. They are fitted to what a
landmark network finds (trained on phantoms first), then networks are trained on the knees of the
other folds and the frames fitted again, round by round:

    kneegrade cohort kaggle knee-kl --out knees.parquet --contrast enhanced
    kneegrade phantom study --like oai --subjects 220 --seed 505 --spacing 0.35 --out phantoms
    kneegrade train locator-film-phantom --landmarks phantoms/truth-landmarks.csv --out film
    kneegrade train locator-knee-phantom --landmarks phantoms/truth-landmarks.csv --out knee-phantom
    python benchmarks/real_landmarks.py --kneel bf_landmarks_1_0.3.csv --knees knees.parquet \
        --phantoms phantoms/truth-landmarks.csv --film film --start knee-phantom --out real

The folder gets ``landmarks.csv`` (a landmark table of the knees whose frame is certain; those of
the knee table's split "train" alone in ``landmarks-train.csv``, for the shipped locator),
``spacing.csv`` (their pixel size and its source), ``errors.csv`` (every point of every held-out
knee, as found by a network that never saw the person), ``sheet-NN.png`` (worst first), and one run
per round and fold; it continues where it stopped. With ``--further N``, ``landmarks-further.csv``
gets N other knees of the split "train" with the points that a network of the last round finds: to
teach the scores of what spoils a picture on more bones than KNEEL's. It prints the tables of
errors, and by how much the grain of the pictures bears out that they were stretched.

With ``--measure BUNDLE`` it trains nothing and prints the errors of a bundle's locator on the knees
of the split "val", after the best translation with one scale and with two:

    python benchmarks/real_landmarks.py --kneel bf_landmarks_1_0.3.csv --knees knees.parquet \
        --measure default
"""

import argparse
import csv
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kneegrade.bundles.manifest import hash_subject, read_bundle
from kneegrade.cohorts.tables.table import read_knee_table, resolve_image
from kneegrade.images.read import read_radiograph
from kneegrade.knees.landmarks.published import KneelKnee, read_kneel_table
from kneegrade.knees.landmarks.table import TabledKnee, write_landmark_table
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.terms import LANDMARK_NAMES
from kneegrade.training.bundling.locator_export import export_locator
from kneegrade.training.locator.frames import Frame, fit_frame
from kneegrade.training.locator.pictures import fold_of
from kneegrade.training.locator.recipe import LandmarkRecipe
from kneegrade.training.locator.run import fit_landmark_run
from kneegrade.training.recipe_fields import read_recipe_text
from kneegrade.types import Contrast, Landmarks, LandmarkScheme, Radiograph, Side

KNEE_KL_METAL = Path(__file__).with_name("knee_kl_metal.csv")
CERTAIN_MM = 1.6
"""A frame is certain where half of the points miss it by less: four numbers hang on 32."""
SURE, CLEAN = 0.95, 0.9
"""Least mean confidence and largest score of a further knee."""
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


def make_absolute(path: str) -> str:
    """A picture's path, inside an archive or not, that holds from any folder."""
    file, mark, member = path.partition("::")
    return f"{Path(file).resolve()}{mark}{member}"


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
                    path=make_absolute(path),
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
                k
                for k in locator.locate(knee.radiograph).knees
                if k.landmarks.side is knee.kneel.side
            ]
            if located:
                found[i] = located[0].landmarks.points_px
        else:
            (one,) = locator.locate_in_crop(knee.radiograph, knee.kneel.side).knees
            found[i] = one.landmarks.points_px
    return found


def write_tables(
    folder: Path, knees: Sequence[Knee], frames: Sequence[Frame], metal: Set[str]
) -> Path:
    """Landmark table and pixel sizes of the knees whose frame is certain and that hold no metal."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = [
        (k, f)
        for k, f in zip(knees, frames, strict=True)
        if np.median(f.residuals_mm) < CERTAIN_MM and Path(k.path).stem not in metal
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
        columns = ("spacing_row_mm", "spacing_col_mm", "spacing_source")
        writer.writerow(("cohort", "subject_id", "side", *columns))
        for k, f in kept:
            key = ("oai", k.kneel.subject_id, k.kneel.side.value)
            writer.writerow((*key, *(f"{mm:.4f}" for mm in 1 / f.px_per_mm), "landmark-frame"))
    return path


def write_further(
    path: Path, locator: KneeLocator, table_path: Path, n: int, left_out: Set[str]
) -> None:
    """Landmark table of knees of the split "train" as a locator sees them, where it is sure."""
    table = read_knee_table(table_path)
    table = table[table["split"] == "train"].sample(frac=1, random_state=2019)
    knees: list[TabledKnee] = []
    for row in table.itertuples():
        image_path = make_absolute(resolve_image(table_path, row.image_path))
        if len(knees) == n:
            break
        if Path(image_path).stem in left_out:
            continue
        (found,) = locator.locate_in_crop(read_radiograph(image_path), Side(row.side)).knees
        scores = found.scores
        if (
            found.landmarks.confidence.mean() >= SURE
            and max(scores.not_knee, scores.metal, scores.motion) < CLEAN
        ):
            knees.append(TabledKnee("oai", row.subject_id, image_path, found.landmarks))
    write_landmark_table(knees, path)


def run_round(
    args: argparse.Namespace, number: int, knees: Sequence[Knee], frames: Sequence[Frame]
) -> NDArray[np.float64]:
    """Train a network per fold on the frames as they are; points of every knee, held out."""
    text = read_recipe_text(args.recipes[min(number, len(args.recipes) - 1)])
    recipe = LandmarkRecipe.from_toml(text)
    folder = args.out / f"round-{number}"
    table = write_tables(folder, knees, frames, args.metal)
    found = np.full((len(knees), 16, 2), np.nan)
    for fold in range(recipe.n_folds):
        run = folder / f"fold-{fold}"
        fit_landmark_run(text, [args.phantoms, table], run, fold=fold, start=args.start)
        locator = KneeLocator(export_locator(args.film, run, run))
        held = [i for i, k in enumerate(knees) if fold_of(k.subject, recipe.n_folds) == fold]
        found[held] = find_points(locator, [knees[i] for i in held], whole=False)
    return found


def summarise(errors: NDArray[np.float64], knees: Sequence[Knee], title: str) -> None:
    """Print mean error and share within each bound, over all and by KL grade."""
    kl = np.array([k.kneel.kl for k in knees])
    print(f"\n{title}: mean radial error, mm; share of points within {AT_MM} mm")
    for name, chosen in [("all", kl >= 0), *((f"KL {g}", kl == g) for g in range(5))]:
        part = errors[chosen]
        shares = " ".join(f"{100 * (part < at).mean():5.1f} %" for at in AT_MM)
        print(f"  {name:5} n={chosen.sum():4} {part.mean():.3f}  {shares}")
    subjects = np.array([k.subject for k in knees])
    at = {s: np.flatnonzero(subjects == s) for s in np.unique(subjects)}
    rng = np.random.default_rng(2019)
    drawn = [np.concatenate([at[s] for s in rng.choice(list(at), len(at))]) for _ in range(1000)]
    for name, values in (
        ("mean error", [errors[rows].mean() for rows in drawn]),
        ("share within 2 mm", [(errors[rows] < 2).mean() for rows in drawn]),
    ):
        low, high = np.percentile(values, (2.5, 97.5))
        print(f"  {name}: 95 % interval over subjects {low:.3f} to {high:.3f}")


def fit_one_scale(shape_mm: NDArray[np.float64], points_px: NDArray[np.float64]) -> NDArray:
    """Distances in mm after the best translation and a single scale (least squares)."""
    shape, points = shape_mm - shape_mm.mean(axis=0), points_px - points_px.mean(axis=0)
    return np.linalg.norm(points / ((shape * points).sum() / (shape**2).sum()) - shape, axis=1)


def summarise_fits(
    shapes_and_points: Sequence[tuple], knees: Sequence[Knee], title: str
) -> NDArray:
    """Print the errors after the best translation with one scale, then with two; return these."""
    one = np.array([fit_one_scale(*pair) for pair in shapes_and_points])
    summarise(one, knees, f"{title}, after the best translation and one scale")
    best = np.array([fit_frame(*pair, robust=False).residuals_mm for pair in shapes_and_points])
    summarise(best, knees, f"{title}, after the best translation and scales")
    return best


def measure_bundle(name: str, knees: Sequence[Knee]) -> None:
    """Print the errors of a bundle's locator on the knees that were held out from training."""
    held = [knee for knee in knees if knee.split == "val"]
    found = find_points(KneeLocator(read_bundle(name).locator), held, whole=False)
    summarise_fits([(k.shape_mm, p) for k, p in zip(held, found, strict=True)], held, name)


def measure_grain_aspect(pixels: NDArray[np.float32]) -> float:
    """Log ratio of the finest detail along rows to that along columns."""
    window = np.outer(np.hanning(pixels.shape[0]), np.hanning(pixels.shape[1]))
    power = np.abs(np.fft.fft2((pixels - pixels.mean()) * window)) ** 2
    along = [np.abs(np.fft.fftfreq(n)) > 0.35 for n in pixels.shape]
    return float(np.log(power[along[0]].sum() / power[:, along[1]].sum()))


def write_errors(path: Path, knees: Sequence[Knee], errors: NDArray[np.float64]) -> None:
    """Every point of every knee, mm."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("subject_id", "side", "kl", *LANDMARK_NAMES))
        for k, row in zip(knees, errors, strict=True):
            about = (k.kneel.subject_id, k.kneel.side.value, k.kneel.kl)
            writer.writerow((*about, *(f"{error:.3f}" for error in row)))


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
    parser.add_argument("--measure", metavar="BUNDLE", help="measure its locator, train nothing")
    parser.add_argument("--phantoms", type=Path)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["locator-knee-round", "locator-knee"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--metal", type=Path, default=KNEE_KL_METAL, help="CSV, as for quality.py")
    parser.add_argument("--further", type=int, default=0, metavar="N")
    args = parser.parse_args()
    if not args.measure and not all((args.phantoms, args.film, args.start, args.out)):
        parser.error("--phantoms, --film, --start and --out are needed to train")
    args.metal = set(pd.read_csv(args.metal)["image"])
    knees = read_knees(args.kneel, args.knees)
    if args.measure:
        measure_bundle(args.measure, knees)
        return
    first = args.out / "round-start"
    first.mkdir(parents=True, exist_ok=True)
    locator = KneeLocator(export_locator(args.film, args.start, first))
    found = find_points(locator, knees, whole=False)
    frames = [fit_frame(k.shape_mm, p) for k, p in zip(knees, found, strict=True)]
    best = np.array([f.residuals_mm for f in frames])
    summarise(best, knees, "Phantoms only, after the best translation and scales")
    for number in range(args.rounds):
        taught = frames
        found = run_round(args, number, knees, taught)
        frames = [fit_frame(k.shape_mm, p) for k, p in zip(knees, found, strict=True)]
        stands = [
            np.linalg.norm((p - f.to_px(k.shape_mm)) / f.px_per_mm, axis=1)
            for k, f, p in zip(knees, taught, found, strict=True)
        ]
        title = f"Round {number}, as it stands (frames of the round before)"
        summarise(np.array(stands), knees, title)
        pairs = [(k.shape_mm, p) for k, p in zip(knees, found, strict=True)]
        best = summarise_fits(pairs, knees, f"Round {number}")
    print("  by point:", " ".join(f"{e:.2f}" for e in best.mean(axis=0)))
    write_errors(args.out / "errors.csv", knees, best)
    spacing = np.array([1 / f.px_per_mm for f in frames])
    mean, spread = spacing.mean(axis=0), spacing.std(axis=0)
    print(f"Pixels of the pictures, row x col: {mean.round(4)} mm (SD {spread.round(4)})")
    aspect = np.log(spacing[:, 0] / spacing[:, 1])
    grain = [measure_grain_aspect(k.radiograph.pixels) for k in knees]
    correlation = np.corrcoef(aspect, grain)[0, 1]
    print(f"Height over width of a pixel: SD {aspect.std():.3f}, with grain r = {correlation:.2f}")
    certain = sum(np.median(f.residuals_mm) < CERTAIN_MM for f in frames)
    table = write_tables(args.out, knees, frames, args.metal)
    print(f"{certain} of {len(knees)} frames are certain: {table}")
    draw_sheet(args.out / "sheet.png", knees, frames, found)
    if args.further:
        run = args.out / f"round-{args.rounds - 1}" / "fold-0"
        left_out = args.metal | {Path(k.path).stem for k in knees}
        locator = KneeLocator(export_locator(args.film, run, run))
        further = args.out / "landmarks-further.csv"
        write_further(further, locator, args.knees, args.further, left_out)


if __name__ == "__main__":
    main()
