"""Measure how far phantoms are from real knees.

Usage: python benchmarks/phantom_realism.py sheet FILE.png
       python benchmarks/phantom_realism.py make N DIR
       python benchmarks/phantom_realism.py tell-apart PHANTOMS.csv REAL.parquet
       python benchmarks/phantom_realism.py tables PHANTOMS.csv REAL.parquet DIR

`sheet` draws one phantom per KL grade and scanner. `make` draws N phantom knees of an OAI-like
study, cropped as the open set's knees are, and writes them with a knee table, for `kneegrade
prepare` and `train` (benchmarks/phantom-realism.toml). `tell-apart` trains small classifiers to
tell phantoms from real knees of the train split and prints their AUC on those of the val split.
`tables` writes phantoms.parquet, real.parquet and both.parquet: as many real knees of the train
split as there are phantoms, and the whole val split to hold out.
"""

import argparse
import csv
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from kneegrade.cohorts.tables.table import (
    read_knee_table,
    rebase_images,
    resolve_image,
    write_knee_table,
)
from kneegrade.images.geometry import resample
from kneegrade.images.read import read_radiograph
from kneegrade.knees.posing.contrast import enhance_to, scale_to_unit
from kneegrade.phantoms.films.film import PhantomFilm, draw_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.phantoms.studies.population import Study, draw_subject
from kneegrade.phantoms.studies.readers import read_grades
from kneegrade.types import Side, Task

SIZE_PX = 224
SEED = 2019
N_WORKERS = 2
TELL_APART_PX = 64


def crop(film: PhantomFilm, side: Side, rng: np.random.Generator) -> np.ndarray:
    """A phantom's knee as the open set shows its knees: as it stood, 1.2 to 1.5 widths across."""
    points = film.knees[side].landmarks_px
    width = float(np.linalg.norm(points[8] - points[0]))
    size = width / rng.uniform(0.67, 0.82)
    off = width * rng.normal((-0.13, 0), (0.03, 0.02))
    step = size / SIZE_PX
    first = (points[0] + points[8]) / 2 + off - step * (SIZE_PX - 1) / 2
    affine = np.array([[step, 0, first[0]], [0, step, first[1]]])
    pixels, _ = resample(film.pixels.astype(np.float32), affine, (SIZE_PX, SIZE_PX), fill=0.0)
    return np.rint(scale_to_unit(pixels) * 255).astype(np.uint8)


def enhanced(pixels: np.ndarray) -> np.ndarray:
    """Brought to the contrast of the open set, as the embedded bundle does."""
    return enhance_to(pixels, tiles=8, clip_limit=5.0, local_contrast=29.0)


def draw_one(number: int) -> tuple[np.ndarray, Side, dict[str, int]] | None:
    """One knee of subject ``number`` at one visit; None where it is replaced."""
    rng = np.random.default_rng([SEED, number])
    subject = draw_subject(Study.OAI, number, SEED)
    visit = subject.visits[int(rng.integers(len(subject.visits)))]
    side = tuple(Side)[int(rng.integers(2))]
    severity = visit.severity[side]
    if severity is None:
        return None
    scanner = SCANNERS[tuple(SCANNERS)[int(rng.integers(len(SCANNERS)))]]
    film = draw_film(
        body=draw_body(sex=subject.sex, bmi=subject.bmi, rng=rng),
        knees={side: severity},
        scanner=scanner,
        spacing_mm=0.2,
        size_mm=(200, 170),
        rng=rng,
    )
    grades = {task.value: grade for task, grade in read_grades(severity, rng=rng).items()}
    return crop(film, side, rng), side, grades


def make(count: int, folder: Path) -> None:
    """Write ``count`` crops, lateral first, and their knee table."""
    folder.mkdir(parents=True)
    rows = []
    with get_context("spawn").Pool(N_WORKERS) as pool:
        for number, drawn in enumerate(pool.imap(draw_one, range(count), chunksize=8)):
            if drawn is None:
                continue
            pixels, side, grades = drawn
            shown = pixels if side is Side.RIGHT else pixels[:, ::-1]
            cv2.imwrite(str(folder / f"{number:06}.png"), shown)
            key = {"cohort": "phantom", "subject_id": f"P{number:06}", "visit_months": 0}
            rows.append(
                {**key, "side": side.value, "reading": "phantom", "image_path": f"{number:06}.png"}
                | {"split": "train", "contrast": "plain", **grades}
            )
    with (folder / "knees.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    print(f"{len(rows)} knees in {folder}; KL {np.bincount([row['kl'] for row in rows]).tolist()}")


def sheet(file: Path) -> None:
    """KL 0 to 4 from left to right, one scanner per pair of rows: enhanced, then plain."""
    grades = (
        {},
        {Task.TO_M: 1},
        {Task.TO_M: 2, Task.FO_M: 1, Task.TO_L: 1, Task.JSN_M: 1},
        {Task.TO_M: 2, Task.FO_M: 2, Task.TO_L: 1, Task.FO_L: 1, Task.JSN_M: 2},
        {Task.TO_M: 3, Task.FO_M: 3, Task.TO_L: 2, Task.FO_L: 1, Task.JSN_M: 3},
        {Task.TO_L: 3, Task.FO_L: 3, Task.TO_M: 1, Task.FO_M: 2, Task.JSN_L: 3},
    )
    labels = np.zeros((30, SIZE_PX * len(grades)), np.uint8)
    for j, text in enumerate(("KL 0", "KL 1", "KL 2", "KL 3", "KL 4 medial", "KL 4 lateral")):
        label, at = f"SYNTHETIC  {text}", (SIZE_PX * j + 8, 20)
        cv2.putText(labels, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
    rows = [labels]
    for i, name in enumerate(("oai-cr-a", "oai-film", "most-dx")):
        drawn = []
        for j, asked in enumerate(grades):
            rng = np.random.default_rng([SEED, i, j])
            severity = Severity.from_grades({**dict.fromkeys(FEATURES[:6], 0), **asked}, rng)
            body = draw_body(sex=("female", "male")[j % 2], bmi=24 + 3 * i, rng=rng)
            film = draw_film(
                body=body,
                knees={Side.RIGHT: severity},
                scanner=SCANNERS[name],
                size_mm=(200, 170),
                rng=rng,
            )
            drawn.append(crop(film, Side.RIGHT, rng))
        rows += [np.hstack([enhanced(pixels) for pixels in drawn]), np.hstack(drawn)]
    cv2.imwrite(str(file), np.vstack(rows))


def small_pictures(
    table_path: Path, split: str, *, plain: bool, most: int = 10_000
) -> Iterator[np.ndarray]:
    """At most so many pictures of a split, lateral first, enhanced, 64 x 64, mean 0 and SD 1."""
    table = read_knee_table(table_path)
    table = table[table["split"] == split]
    for row in table.sample(min(most, len(table)), random_state=SEED).itertuples():
        pixels = read_radiograph(resolve_image(table_path, row.image_path)).pixels.astype(np.uint8)
        pixels = pixels if row.side == "right" else pixels[:, ::-1]
        pixels = np.ascontiguousarray(enhanced(pixels) if plain else pixels)
        small = cv2.resize(pixels, (TELL_APART_PX,) * 2, interpolation=cv2.INTER_AREA)
        small = small.astype(np.float32)
        yield (small - small.mean()) / max(float(small.std()), 1e-6)


def tell_apart(phantoms: Path, real: Path) -> None:
    """AUC of a linear classifier on 16 x 16 px and of a small convolutional network on 64 x 64."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    torch.manual_seed(SEED)
    made = np.stack(list(small_pictures(phantoms, "train", plain=True)))
    held_made, made = made[: len(made) // 3], made[len(made) // 3 :]
    known = np.stack(list(small_pictures(real, "train", plain=False, most=len(made))))
    held_real = np.stack(list(small_pictures(real, "val", plain=False)))
    train, held = np.concatenate([made, known]), np.concatenate([held_made, held_real])
    is_real = np.r_[np.zeros(len(made)), np.ones(len(known))].astype(int)
    truth = np.r_[np.zeros(len(held_made)), np.ones(len(held_real))].astype(int)
    print(f"{len(made)} phantoms and {len(known)} real to train, {len(held_made)} and "
          f"{len(held_real)} held out")  # fmt: skip

    def coarse(pictures: np.ndarray) -> np.ndarray:
        return pictures.reshape(-1, 16, 4, 16, 4).mean(axis=(2, 4)).reshape(len(pictures), -1)

    linear = LogisticRegression(C=0.01, max_iter=2000).fit(coarse(train), is_real)
    scores = linear.decision_function(coarse(held))
    print(f"linear, 16 x 16 px: AUC {roc_auc_score(truth, scores):.3f}")
    layers: list[torch.nn.Module] = []
    for before, after in ((1, 12), (12, 24), (24, 48)):
        layers += [torch.nn.Conv2d(before, after, 3, 2, 1), torch.nn.ReLU()]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(48, 1)]
    network = torch.nn.Sequential(*layers, *head)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    pictures = torch.from_numpy(train[:, None])
    labels = torch.from_numpy(is_real.astype(np.float32))
    for _ in range(6):
        for batch in torch.randperm(len(pictures)).split(64):
            optimiser.zero_grad()
            seen = network(pictures[batch])[:, 0]
            torch.nn.functional.binary_cross_entropy_with_logits(seen, labels[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        scores = network(torch.from_numpy(held[:, None]))[:, 0].numpy()
    print(f"convolutional, 64 x 64 px: AUC {roc_auc_score(truth, scores):.3f}")


def write_tables(phantoms: Path, real: Path, folder: Path) -> None:
    """Phantoms alone, as many real knees of the train split alone, and both; each with val."""
    import pandas as pd

    made = rebase_images(read_knee_table(phantoms), phantoms.parent, folder)
    known = rebase_images(read_knee_table(real), real.parent, folder)
    made = made[[name for name in made.columns if name in known.columns]]
    held, train = (known[known["split"] == split] for split in ("val", "train"))
    people = train["subject_id"].drop_duplicates().sample(len(made) // 2, random_state=SEED)
    some = train[train["subject_id"].isin(people)]
    parts = {"phantoms": [made, held], "real": [some, held], "both": [made, some, held]}
    for name, tables in parts.items():
        write_knee_table(pd.concat(tables, ignore_index=True), folder / f"{name}.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("sheet").add_argument("file", type=Path)
    making = verbs.add_parser("make")
    making.add_argument("count", type=int)
    making.add_argument("folder", type=Path)
    telling = verbs.add_parser("tell-apart")
    telling.add_argument("phantoms", type=Path)
    telling.add_argument("real", type=Path)
    writing = verbs.add_parser("tables")
    for name in ("phantoms", "real", "folder"):
        writing.add_argument(name, type=Path)
    args = parser.parse_args()
    if args.verb == "sheet":
        sheet(args.file)
    elif args.verb == "make":
        make(args.count, args.folder)
    elif args.verb == "tables":
        write_tables(args.phantoms, args.real, args.folder)
    else:
        tell_apart(args.phantoms, args.real)


if __name__ == "__main__":
    main()
