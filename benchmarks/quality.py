"""False alarms of each quality flag on real knees, and how much of what must be flagged is.

Usage: python benchmarks/quality.py TABLE [--bundle PATH] [--split val] [--knees N]
                            [--metal FILE] [--not-knees DIR] [--plain DIR] [--measures]

TABLE is a knee table of the open set (crops of one knee). Every knee of the split is checked as it
is; of each, one failure per kind is made and checked: metal painted on it, by kind, pictures of no
knee, motion, wrong exposure, a part cut off, inverted grey values. Phantom films with a prosthesis,
of a hand, of a knee from the side and of too many knees are drawn, and films with metal in a shaft.
What no knee and a knee cut off end as is told by code. `--not-knees` names a folder of real
pictures that must not be graded: each goes through KneeGrader. `--plain` names one of whole plain
films of one knee: they and their mirror images are checked, as they are and with metal drawn in a
shaft. `--metal` names a CSV of the knees that do hold metal in the bone, of any split
(`knee_kl_metal.csv` unless told: all of the open set, found by eye without a network's help): they
are no false alarms, and whether they are refused, or graded and flagged as suspected, is printed by
kind.
`--measures` prints how each measure is distributed over the knees instead, and which knees the
network suspects most: the bars in kneegrade/knees/quality.py are set by those of the train split.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from kneegrade.arrays import GreyImage, round_to_grey
from kneegrade.bundles.manifest import read_bundle
from kneegrade.cohorts.tables.table import read_knee_table, resolve_image
from kneegrade.errors import KneegradeError
from kneegrade.images.read import read_radiograph
from kneegrade.knees.locating.knee_network import LocatedKnee
from kneegrade.knees.locating.locate import KneeLocator, LocatedKnees
from kneegrade.knees.posing.crop import RoiSpec, crop_knee
from kneegrade.knees.prepare import RefusedKnee, prepare_knees
from kneegrade.knees.quality.checks import check_quality
from kneegrade.knees.quality.measures import QualityMeasures, measure_quality
from kneegrade.phantoms.films.film import PhantomFilm, draw_film, draw_hand_film, draw_lateral_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.phantoms.spoilt.metal import METAL_KINDS, PLATEAU_MM, paint_metal
from kneegrade.phantoms.spoilt.motion import blur_by_motion
from kneegrade.phantoms.spoilt.not_knees import draw_not_knee
from kneegrade.phantoms.spoilt.shaft_metal import SHAFT_METAL_KINDS, paint_shaft_metal
from kneegrade.phantoms.studies.likely_knee import draw_likely_knee
from kneegrade.pipeline.grader import GradedKnee, KneeGrader
from kneegrade.types import Flag, Radiograph, Side

KNEE_KL_METAL = Path(__file__).with_name("knee_kl_metal.csv")
SEED = 74_915
"""Of the made failures: not a recipe's, whose pictures a network may have learned."""
N_PHANTOMS = {"prosthesis": 30, "hand": 30, "lateral": 60}
TOO_MANY = ("RLR", "LRL", "RRL", "LLR", "RR", "LL")
"""Knees side by side that are no pair, left to right on the film."""
N_TOO_MANY = 10
LENGTHS_MM = (2, 3, 4, 6, 8)
N_SHAFTS, SHAFT_FILM_MM = 30, (350.0, 180.0)
"""Phantom films with metal in the tibia, a plateau width below the joint, and their size."""
QUALITY_FLAGS = (
    *(Flag.NOT_A_KNEE, Flag.IMPLANT, Flag.METAL_SUSPECTED, Flag.KNEE_CUT_OFF),
    *(Flag.BLURRED, Flag.BADLY_EXPOSED, Flag.POLARITY_CORRECTED),
)
NO_KNEE = {"knee.not-found", "knee.cut-off", "knee.too-many", Flag.NOT_A_KNEE.value}
METAL = {Flag.IMPLANT, Flag.NOT_A_KNEE}
"""What refuses a knee with metal."""
Maker = Callable[[GreyImage, LocatedKnee, np.random.Generator], GreyImage]


def check_all(located: LocatedKnees) -> set[str]:
    """All flags of the knees that were located on a radiograph."""
    flags: set[str] = set()
    for knee in located.knees:
        roi = crop_knee(located.radiograph, knee.landmarks, RoiSpec())
        flags |= roi.flags
        flags |= check_quality(located.radiograph, knee.landmarks, roi, knee.scores)
    return flags


def check_crop(locator: KneeLocator, radiograph: Radiograph, side: Side) -> set[str]:
    return check_all(locator.locate_in_crop(radiograph, side))


def check_film(locator: KneeLocator, radiograph: Radiograph) -> set[str]:
    """Flags of all knees on a film, or the code of the error."""
    try:
        located = locator.locate(radiograph)
    except KneegradeError as error:
        return {error.code}
    return check_all(located) if located.knees else {"knee.not-found"}


def find_end(locator: KneeLocator, radiograph: Radiograph, side: Side | None = None) -> str:
    """What a picture ends as: the code of an error or refusal, or graded, flagged for metal."""
    knees = prepare_knees(locator, radiograph, RoiSpec(), side=side)
    return " + ".join(
        knee.error.code
        if isinstance(knee, RefusedKnee)
        else f"graded, {Flag.METAL_SUSPECTED}"
        if Flag.METAL_SUSPECTED in knee.roi.flags
        else "graded"
        for knee in knees
    )


def paint(kind: str) -> Maker:
    def make(picture: GreyImage, knee: LocatedKnee, rng: np.random.Generator) -> GreyImage:
        """The picture is turned so that lateral is at column 0, and back."""
        points = knee.landmarks.kneel_points_px.copy()
        if knee.landmarks.side is Side.RIGHT:
            return paint_metal(picture, points, rng, kind)[0]
        points[:, 1] = picture.shape[1] - 1 - points[:, 1]
        mirrored = np.ascontiguousarray(picture[:, ::-1])
        return paint_metal(mirrored, points, rng, kind)[0][:, ::-1]

    return make


def move(length_mm: float) -> Maker:
    def make(picture: GreyImage, knee: LocatedKnee, rng: np.random.Generator) -> GreyImage:
        points = knee.landmarks.kneel_points_px
        px_per_mm = float(np.linalg.norm(points[8] - points[0])) / PLATEAU_MM
        return blur_by_motion(picture, length_mm * px_per_mm, rng)

    return make


def expose(kind: str) -> Maker:
    def make(picture: GreyImage, knee: LocatedKnee, rng: np.random.Generator) -> GreyImage:
        grey = picture.astype(np.float64)
        if kind == "white":
            made = grey / np.percentile(grey, rng.uniform(30, 65)) * 255
        elif kind == "black":
            dark = np.percentile(grey, rng.uniform(35, 70))
            made = (grey - dark) / (256 - dark) * 255
        elif kind == "flat":
            made = rng.uniform(0, 240) + grey / 255 * rng.uniform(3, 10)
        else:
            made = grey + rng.normal(0, grey.std() * rng.uniform(1, 3), grey.shape)
        return round_to_grey(made)

    return make


def cut(picture: GreyImage, knee: LocatedKnee, rng: np.random.Generator) -> GreyImage:
    """Only a part of the knee: 15 to 50 % of the plateau's width is missing, or all but a bone."""
    points = knee.landmarks.kneel_points_px
    ends = np.sort(points[[0, 8], 1])
    width, missing = ends[1] - ends[0], rng.uniform(0.15, 0.5)
    kind = int(rng.integers(4))
    if kind == 0:
        return picture[:, int(ends[0] + missing * width) :]
    if kind == 1:
        return picture[:, : int(ends[1] - missing * width)]
    off = rng.uniform(0, 0.15) * width
    if kind == 2:
        return picture[int(points[:, 0].max() + off) :]
    return picture[: int(points[:, 0].min() - off)]


KINDS: dict[str, tuple[Maker, set[str]]] = {
    **{f"metal: {kind}": (paint(kind), METAL) for kind in METAL_KINDS},
    "no knee, made": (lambda picture, _, rng: draw_not_knee(picture, rng), NO_KNEE),
    **{f"motion of {mm} mm": (move(mm), {Flag.BLURRED}) for mm in LENGTHS_MM},
    **{
        f"exposure: {kind}": (expose(kind), {Flag.BADLY_EXPOSED})
        for kind in ("white", "black", "flat", "noise")
    },
    "cut off": (cut, NO_KNEE | {Flag.KNEE_CUT_OFF}),
    "inverted": (lambda picture, _, rng: 255 - picture, {Flag.POLARITY_CORRECTED}),
}
"""How each kind of failure is made, and what counts as detected (one of these)."""
FILM_KINDS = {"cut off"}
"""Kinds that are looked at as films: they have lost their place in the middle."""


def read_knees(
    args: argparse.Namespace, *, metal: bool = False
) -> Iterator[tuple[str, Radiograph, Side]]:
    """The knees of the split without metal; or, by kind, those with metal of all splits."""
    table = read_knee_table(args.table)
    kinds = pd.read_csv(args.metal).set_index("image")["kind"].to_dict()
    table = table[table["image_path"].map(lambda path: Path(path).stem in kinds) == metal]
    if not metal:
        table = table[table["split"] == args.split]
    if args.knees and not metal:
        table = table.sample(min(args.knees, len(table)), random_state=2019)
    for row in table.to_dict("records"):
        path = resolve_image(args.table, row["image_path"])
        name = Path(row["image_path"]).stem
        yield kinds.get(name, name), read_radiograph(path), Side(row["side"])


def draw_phantom(kind: str, i: int) -> PhantomFilm:
    """Both sides and every scanner in turn."""
    rng = np.random.default_rng([SEED, i])
    scanner = list(SCANNERS.values())[i % len(SCANNERS)]
    if kind == "hand":
        return draw_hand_film(scanner=scanner, spacing_mm=0.3, rng=rng)
    body = draw_body(sex=("female", "male")[i // 2 % 2], bmi=rng.uniform(20, 38), rng=rng)
    side = (Side.RIGHT, Side.LEFT)[i // len(SCANNERS) % 2]
    if kind == "lateral":
        return draw_lateral_film(body=body, side=side, scanner=scanner, spacing_mm=0.3, rng=rng)
    return draw_film(body=body, knees={side: None}, scanner=scanner, spacing_mm=0.3, rng=rng)


def draw_too_many(sides: str, i: int) -> np.ndarray:
    """Films of one knee side by side, as high as the lowest, all of one scanner."""
    rng = np.random.default_rng([SEED, i, *sides.encode()])
    scanner = list(SCANNERS.values())[i % len(SCANNERS)]
    body = draw_body(sex=("female", "male")[i % 2], bmi=rng.uniform(20, 38), rng=rng)
    films = []
    for place, letter in enumerate(sides):
        side = Side.RIGHT if letter == "R" else Side.LEFT
        knees = {side: draw_likely_knee({}, seed=SEED + 3 * i + place)}
        film = draw_film(body=body, knees=knees, scanner=scanner, spacing_mm=0.3, rng=rng)
        films.append(film.pixels)
    rows = min(len(film) for film in films)
    return np.hstack([film[:rows] for film in films])


def check_too_many(locator: KneeLocator) -> dict[str, list[bool]]:
    """Whether films of too many knees are refused as such; prints what else they end as."""
    hits = {}
    for sides in TOO_MANY:
        ends: Counter[str] = Counter()
        for i in range(N_TOO_MANY):
            pixels = draw_too_many(sides, i).astype(np.float32)
            ends[" ".join(sorted(check_film(locator, Radiograph(pixels, f"{sides}-{i}"))))] += 1
        n_told = ends.pop("knee.too-many", 0)
        hits[f"too many knees, {sides}"] = [True] * n_told + [False] * (N_TOO_MANY - n_told)
        if ends:
            print(f"  {sides}, not told as too many: {dict(ends)}")
    return hits


def read_plain_films(folder: Path) -> Iterator[tuple[Radiograph, Side]]:
    """Films of one left knee, each followed by its mirror image."""
    for path in sorted(folder.glob("*.jpg")):
        film = read_radiograph(path)
        yield film, Side.LEFT
        yield replace(film, pixels=film.pixels[:, ::-1]), Side.RIGHT


def draw_shaft_films() -> Iterator[tuple[Radiograph, Side]]:
    for i in range(N_SHAFTS):
        rng = np.random.default_rng([SEED, i])
        body = draw_body(sex=("female", "male")[i % 2], bmi=rng.uniform(20, 38), rng=rng)
        scanner, side = list(SCANNERS.values())[i % len(SCANNERS)], list(Side)[i // 2 % 2]
        film = draw_film(
            body=body,
            knees={side: draw_likely_knee({}, seed=SEED + i)},
            scanner=scanner,
            size_mm=SHAFT_FILM_MM,
            spacing_mm=0.3,
            rng=rng,
        )
        yield Radiograph(film.pixels.astype(np.float32), f"shaft-{i}"), side


def print_shafts(
    locator: KneeLocator, name: str, films: list[tuple[Radiograph, Side]], places: tuple[float, ...]
) -> None:
    """How whole films end as they are, and with metal in a shaft, so far below the plateau."""
    print_ends(f"{name}, natural", [find_end(locator, film, side) for film, side in films])
    for below in places:
        for number, kind in enumerate(SHAFT_METAL_KINDS):
            ends = []
            for i, (film, side) in enumerate(films):
                (knee,) = locator.locate(film, hint=side).knees
                points = knee.landmarks.kneel_points_px
                rng = np.random.default_rng([SEED, i, number, int(below > 0)])
                made = paint_shaft_metal(film.pixels, points, rng, kind=kind, below_plateau=below)
                ends.append(find_end(locator, replace(film, pixels=made), side))
            print_ends(f"{name}, {kind} {below:+g} widths below", ends)


def print_ends(name: str, ends: list[str]) -> None:
    print(f"  {name:44} {len(ends):4d}  {dict(Counter(ends).most_common())}")


def check_phantoms(locator: KneeLocator) -> dict[str, list[bool]]:
    """Whether each phantom film is refused; those from the side also when cut to their middle."""
    signs = NO_KNEE | {Flag.IMPLANT.value}
    told: dict[str, list[str]] = {}
    hits: dict[str, list[bool]] = {}
    for kind, n in N_PHANTOMS.items():
        for i in range(n):
            film = draw_phantom(kind, i)
            radiograph = Radiograph(pixels=film.pixels.astype(np.float32), source_id=f"{kind}-{i}")
            found = check_film(locator, radiograph)
            hits.setdefault(f"{kind}, phantom", []).append(bool(found & signs))
            told.setdefault(f"{kind}, phantom", []).append(find_end(locator, radiograph))
            if kind == "lateral":
                cut = replace(radiograph, pixels=_cut_middle(radiograph.pixels))
                found = check_crop(locator, cut, (Side.RIGHT, Side.LEFT)[i % 2])
                hits.setdefault(f"{kind}, phantom, cut", []).append(bool(found & signs))
                told.setdefault(f"{kind}, phantom, cut", []).append(find_end(locator, cut))
    print("told as")
    for name, ends in told.items():
        print_ends(name, ends)
    return hits


def _cut_middle(pixels: np.ndarray, share: float = 0.65) -> np.ndarray:
    """A square about the middle, so wide a share of the film's width."""
    rows, cols = pixels.shape
    side = round(share * cols)
    top, left = (rows - side) // 2, (cols - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def print_measures(locator: KneeLocator, args: argparse.Namespace) -> None:
    rows, paths = [], []
    for path, radiograph, side in read_knees(args):
        located = locator.locate_in_crop(radiograph, side)
        (knee,) = located.knees
        roi = crop_knee(located.radiograph, knee.landmarks, RoiSpec())
        found = measure_quality(located.radiograph, knee.landmarks, roi)
        scores = (knee.scores.not_knee, knee.scores.metal, knee.scores.motion)
        rows.append((*astuple(found), *scores))
        paths.append(path)
    scored = ["score: not a knee", "score: metal", "score: motion"]
    names = [*(f.name for f in fields(QualityMeasures)), *scored]
    table = pd.DataFrame(rows, columns=names, index=paths)
    shares = [0, 0.001, 0.005, 0.01, 0.5, 0.99, 0.995, 0.998, 0.999, 1]
    print(table.quantile(shares).T.to_string(float_format="{:.3f}".format))
    for name in scored:
        print(f"highest {name}\n{table[name].nlargest(8).to_string()}")


def print_grader(folder: Path, bundle: str) -> None:
    """How many pictures of a folder KneeGrader grades, by the first word of their names."""
    grader = KneeGrader(bundle)
    graded: Counter[str] = Counter()
    total: Counter[str] = Counter()
    codes: dict[str, Counter[str]] = {}
    for path in sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".png", ".dcm"}
    ):
        kind = "".join(c for c in path.stem.split("-")[0] if c.isalpha()) + path.suffix
        total[kind] += 1
        of_kind = codes.setdefault(kind, Counter())
        try:
            knees = grader.grade(path)
        except KneegradeError as error:
            of_kind[error.code] += 1
            continue
        of_kind.update(knee.error.code for knee in knees if isinstance(knee, RefusedKnee))
        if any(isinstance(knee, GradedKnee) for knee in knees):
            graded[kind] += 1
            print(f"graded: {path.name}")
    for kind, n in total.items():
        told = dict(codes[kind])
        print(f"real, {kind:24} {n:5d}  refused {1 - graded[kind] / n:7.1%}  told as {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--split", default="val")
    parser.add_argument("--knees", type=int)
    parser.add_argument("--metal", type=Path, default=KNEE_KL_METAL)
    parser.add_argument("--not-knees", type=Path)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--measures", action="store_true")
    args = parser.parse_args()
    locator = KneeLocator(read_bundle(args.bundle).locator)
    if args.measures:
        print_measures(locator, args)
        return
    real: Counter[str] = Counter()
    made: dict[str, list[bool]] = {name: [] for name in KINDS}
    suspected: Counter[str] = Counter()
    told: dict[str, list[str]] = {"cut off": [], "no knee, made": []}
    n_real = 0
    for i, (_, radiograph, side) in enumerate(read_knees(args)):
        located = locator.locate_in_crop(radiograph, side)
        (knee,) = located.knees
        flags = check_all(located)
        n_real += 1
        real.update(flags & set(QUALITY_FLAGS))
        real["any but inverted"] += bool(flags & set(QUALITY_FLAGS) - {Flag.POLARITY_CORRECTED})
        picture = np.clip(radiograph.pixels, 0, 255).astype(np.uint8)
        picture = 255 - picture if Flag.POLARITY_CORRECTED in flags else picture
        for number, (kind, (make, signs)) in enumerate(KINDS.items()):
            rng = np.random.default_rng([SEED, i, number])
            failure = replace(radiograph, pixels=make(picture, knee, rng).astype(np.float32))
            if min(failure.pixels.shape) < 64:
                continue
            if kind in FILM_KINDS:
                found = check_film(locator, failure)
            else:
                found = check_crop(locator, failure, side)
            made[kind].append(bool(found & signs))
            suspected[kind] += Flag.METAL_SUSPECTED in found and not found & METAL
            if kind in told:
                told[kind].append(find_end(locator, failure))
    print(f"{n_real} real knees without metal: false alarms")
    for flag in (*QUALITY_FLAGS, "any but inverted"):
        print(f"  {flag!s:28} {real[flag]:4d}  {real[flag] / max(n_real, 1):7.2%}")
    print("detected")
    for kind, radiograph, side in read_knees(args, metal=True):
        found = check_crop(locator, radiograph, side)
        for name in ("real metal, all", f"real metal: {kind}"):
            made.setdefault(name, []).append(bool(found & METAL))
            suspected[name] += Flag.METAL_SUSPECTED in found and not found & METAL
    for kind, hits in made.items():
        flagged = f"  suspected {suspected[kind] / len(hits):6.1%}" if "metal" in kind else ""
        print(f"  {kind:28} {len(hits):4d}  {np.mean(hits):7.1%}{flagged}")
    for kind, hits in {**check_phantoms(locator), **check_too_many(locator)}.items():
        print(f"  {kind:28} {len(hits):4d}  {np.mean(hits):7.1%}")
    for kind, ends in told.items():
        print_ends(kind, ends)
    print_shafts(locator, "phantom", list(draw_shaft_films()), (1.0,))
    if args.plain:
        print_shafts(locator, "plain", list(read_plain_films(args.plain)), (1.0, -1.2))
    if args.not_knees:
        print_grader(args.not_knees, args.bundle)


if __name__ == "__main__":
    main()
