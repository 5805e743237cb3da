"""Measure how good the joint space measures are.

Usage: python benchmarks/joint_space.py accuracy [--knees N] [--noise-mm MM]
       python benchmarks/joint_space.py spurs [--knees N] [--noise-mm MM]
       python benchmarks/joint_space.py repeat [--knees N] [--repeats N] [--noise-mm MM]
       python benchmarks/joint_space.py angle [--knees N] [--repeats N] [--noise-mm MM]
       python benchmarks/joint_space.py real --rois STORE [--split NAME]
       python benchmarks/joint_space.py speed

`accuracy`: minimum widths of phantoms against the truth that they were drawn with, by grade of
narrowing, beside the widths that the landmarks alone give. `spurs`: osteophyte areas of phantoms by
grade of osteophyte, beside those that they were drawn with. `repeat`: repeatability under
re-simulated exposure and repositioning noise: the same phantom knee, turned, shifted and tilted a
little, exposed anew. `angle`: the same for the femorotibial angle, and its error against the axes
of the shafts as drawn, by the length of shaft that the film shows. `real`: rank correlation of
every measure with the Kellgren-Lawrence grade on the real knees of an ROI store, with the landmarks
that the store holds; intervals by bootstrap over subjects. `speed`: ms per knee.

The phantoms' landmarks are those of the embedded locator, or, with --noise-mm, the true ones with
Gaussian noise of that mean radial size, drawn anew for every film.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import process_time

import cv2
import numpy as np

from kneegrade.bundles.manifest import read_bundle
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.measuring.joint_space import MEASURED, JointSpace, measure_joint_space
from kneegrade.knees.measuring.margins import PX_PER_WIDTH, Bone, Compartment, take_joint
from kneegrade.knees.store import read_index, read_rois
from kneegrade.phantoms.films.attenuation import FilmGrid, compute_bone, compute_soft_tissue
from kneegrade.phantoms.films.exposure import expose_film
from kneegrade.phantoms.films.scanners import SCANNERS, Scanner
from kneegrade.phantoms.knees.anatomy import KneeAnatomy, Positioning, draw_knee_anatomy
from kneegrade.phantoms.knees.outline import surface_rows
from kneegrade.phantoms.knees.severity import Severity
from kneegrade.phantoms.knees.shape import Body, draw_body
from kneegrade.phantoms.studies.likely_knee import draw_likely_knee
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side, SpacingSource, Task

SEED = 2024
SIZE_MM = (150.0, 130.0)
TURN_SD_DEG, SHIFT_SD_MM, RIM_SD_MM = 1.0, 3.0, 0.5
"""Repositioning: turn of the leg in the film, shift on the film, distance of the plateau's rims."""
NARROWING = {Compartment.LATERAL: Task.JSN_L, Compartment.MEDIAL: Task.JSN_M}
OSTEOPHYTES = {
    (Bone.FEMUR, Compartment.LATERAL): Task.FO_L,
    (Bone.FEMUR, Compartment.MEDIAL): Task.FO_M,
    (Bone.TIBIA, Compartment.LATERAL): Task.TO_L,
    (Bone.TIBIA, Compartment.MEDIAL): Task.TO_M,
}
FILM_HEIGHTS_MM = (300.0, 200.0, 150.0)
"""Both shafts whole, in good part, or as stumps only."""
AXIS_MM = {Bone.FEMUR: (-115, -67), Bone.TIBIA: (67, 110)}
"""Where a shaft doesn't flare: mm below the plateau of a knee whose plateau is 80 mm wide."""
BAR_MM = {Compartment.LATERAL: 0.23, Compartment.MEDIAL: 0.14}
"""SD of films taken twice (Kothari 2004, pubmed 15150666)."""


@dataclass(frozen=True)
class Phantom:
    """A knee that can be filmed again and again."""

    side: Side
    body: Body
    severity: Severity
    scanner: Scanner
    positioning: Positioning
    seed: int


def draw_phantom(number: int, asked: Mapping[Task, int]) -> Phantom:
    """Knee ``number`` with some grades asked for."""
    rng = np.random.default_rng([SEED, number])
    scanners = tuple(SCANNERS.values())
    return Phantom(
        side=tuple(Side)[int(rng.integers(2))],
        body=draw_body(
            sex=("female", "male")[int(rng.integers(2))], bmi=float(rng.uniform(20, 38)), rng=rng
        ),
        severity=draw_likely_knee(asked, seed=number),
        scanner=scanners[number % len(scanners)],
        positioning=Positioning(
            tilt_deg=float(rng.normal(-1, 2)),
            rim_mm=(float(rng.normal(2.2, 0.8)), float(rng.normal(2.6, 0.9))),
        ),
        seed=int(rng.integers(2**31)),
    )


def reposition(knee: Positioning, rng: np.random.Generator) -> Positioning:
    """How the same knee stands the next time."""
    rims = (float(rim + RIM_SD_MM * rng.standard_normal()) for rim in knee.rim_mm)
    return Positioning(
        tilt_deg=float(knee.tilt_deg + TURN_SD_DEG * rng.standard_normal()),
        rim_mm=(next(rims), next(rims)),
    )


def film(
    knee: Phantom,
    positioning: Positioning,
    rng: np.random.Generator,
    *,
    size_mm: tuple[float, float] = SIZE_MM,
) -> tuple[Radiograph, np.ndarray, KneeAnatomy]:
    """A film of the knee, its true landmarks in px and its anatomy.

    The bone is the same at every exposure; ``rng`` draws the place on the film and the noise.
    """
    spacing = knee.scanner.spacing_mm
    shape = tuple(round(mm / spacing) for mm in size_mm)
    anatomy = draw_knee_anatomy(
        side=knee.side,
        shape=knee.body.legs[knee.side],
        severity=knee.severity,
        positioning=positioning,
    )
    middle = np.array(shape) / 2 + rng.normal(0, SHIFT_SD_MM / spacing, 2)
    grid = FilmGrid(shape, spacing, (float(middle[0]), float(middle[1])))
    own = np.random.default_rng(knee.seed)
    attenuation = compute_soft_tissue([anatomy], [grid], own) + compute_bone(anatomy, grid, own)
    pixels = expose_film(attenuation, spacing_mm=spacing, scanner=knee.scanner, rng=rng)
    radiograph = Radiograph(
        pixels=pixels.astype(np.float32),
        source_id="phantom",
        spacing_mm=(spacing, spacing),
        spacing_source=SpacingSource.CALLER,
    )
    return radiograph, grid.to_px(anatomy.landmarks_mm), anatomy


def place_landmarks(
    radiograph: Radiograph,
    truth: np.ndarray,
    side: Side,
    noise_mm: float | None,
    rng: np.random.Generator,
) -> Landmarks:
    """The locator's landmarks, or the true ones with noise of a mean radial size."""
    if noise_mm is None:
        return open_locator().locate(radiograph, hint=side).knees[0].landmarks
    spread = noise_mm / np.sqrt(np.pi / 2) / radiograph.spacing_mm[0]
    points = truth + rng.normal(0, spread, truth.shape) if noise_mm else truth
    return Landmarks(side, LandmarkScheme.KNEEL_16, points, np.ones(len(points)))


@cache
def open_locator() -> KneeLocator:
    """The embedded bundle's."""
    return KneeLocator(read_bundle("default").locator)


def landmark_width_mm(radiograph: Radiograph, landmarks: Landmarks, half: Compartment) -> float:
    """Minimum width between the landmarks' polylines, over the stretch that is measured."""
    pose = take_joint(radiograph, landmarks)
    cols = pose.cols_at(np.linspace(*MEASURED[half], 100))
    lower, upper = (
        np.interp(cols, part[:, 1], part[:, 0]) for part in (pose.landmarks[:9], pose.landmarks[9:])
    )
    return float(max((lower - upper).min(), 0) / PX_PER_WIDTH * pose.width_mm)


def take_level(anatomy: KneeAnatomy) -> KneeAnatomy:
    """As a right knee, its plateau level."""
    right = anatomy if anatomy.side is Side.RIGHT else anatomy.mirrored()
    down, along = right.landmarks_mm[8] - right.landmarks_mm[0]
    return right.turned(-float(np.rad2deg(np.arctan2(down, along))))


def true_width_mm(anatomy: KneeAnatomy, half: Compartment) -> float:
    """Smallest gap between the outlines as drawn, over the stretch that is measured."""
    level = take_level(anatomy)
    first, last = level.landmarks_mm[[0, 8], 1]
    cols = first + (last - first) * np.linspace(*MEASURED[half], 100)
    rows = [
        surface_rows(level.outlines[bone], cols, 0.49 * (last - first))
        for bone in ("tibia", "femur")
    ]
    return float((rows[0] - rows[1]).min())


def print_accuracy(knees: int, noise_mm: float | None) -> None:
    """Mean error and SD of the minimum widths by grade of narrowing."""
    found: dict[tuple[Compartment, int], list[tuple[float, ...]]] = {}
    for number in range(knees):
        knee = draw_phantom(number, {(Task.JSN_M, Task.JSN_L)[number % 2]: number // 2 % 4})
        rng = np.random.default_rng([SEED, number, 1])
        radiograph, truth, anatomy = film(knee, knee.positioning, rng)
        landmarks = place_landmarks(radiograph, truth, knee.side, noise_mm, rng)
        space = measure_joint_space(radiograph, landmarks)
        for half, task in NARROWING.items():
            width, true = space.compartments[half].minimum.mm, true_width_mm(anatomy, half)
            alone = landmark_width_mm(radiograph, landmarks, half)
            errors = (width - true, alone - true, width - anatomy.joint_space_mm[task])
            found.setdefault((half, knee.severity.grades[task]), []).append(errors)
    print("Minimum width in mm: error against the outlines over the stretch that is measured;")
    print("of the landmarks alone; against the phantom's own smallest gap (a wider stretch).")
    print(f"{'':18}{'n':>4}{'mean':>7}{'SD':>6}{'|error|':>8}{'worst':>7} |"
          f"{'alone: mean':>12}{'SD':>6} |{'own: mean':>10}{'SD':>6}{'|error|':>8}")  # fmt: skip
    for half in Compartment:
        rows = [(f"JSN {grade}", found.get((half, grade), [])) for grade in range(4)]
        rows.append(("all", [pair for _, pairs in rows for pair in pairs]))
        for name, errors in rows:
            if len(errors) > 1:
                error, alone, own = np.array(errors).T
                print(f"{half.value + ' ' + name:18}{len(error):4}{error.mean():7.2f}"
                      f"{error.std(ddof=1):6.2f}{np.abs(error).mean():8.2f}"
                      f"{np.abs(error).max():7.2f} |{alone.mean():12.2f}{alone.std(ddof=1):6.2f} |"
                      f"{own.mean():10.2f}{own.std(ddof=1):6.2f}{np.abs(own).mean():8.2f}")  # fmt: skip  # noqa: E501


def true_spur_mm2(anatomy: KneeAnatomy, bone: Bone, task: Task) -> float:
    """Area of an osteophyte as drawn, outside the bone that it grows from."""
    if task not in anatomy.spurs:
        return 0.0
    per_mm, spur = 10, anatomy.spurs[task]
    first = spur.min(axis=0) - 1
    masks = [np.zeros((400, 400), np.uint8) for _ in range(2)]
    for mask, outline in zip(masks, (spur, anatomy.outlines[bone.value]), strict=True):
        cv2.fillPoly(mask, [np.rint((outline - first) * per_mm).astype(np.int32)[:, ::-1]], 1)
    return float(((masks[0] == 1) & (masks[1] == 0)).sum()) / per_mm**2


def print_spurs(knees: int, noise_mm: float | None) -> None:
    """Measured and true osteophyte areas by grade of osteophyte, and their rank correlation."""
    from scipy.stats import spearmanr

    found: dict[Task, list[tuple[int, float, float]]] = {task: [] for task in OSTEOPHYTES.values()}
    for number in range(knees):
        asked = {t: number // 4**i % 4 for i, t in enumerate((Task.FO_L, Task.FO_M))}
        asked |= {Task.TO_L: asked[Task.FO_M], Task.TO_M: asked[Task.FO_L]}
        knee = draw_phantom(number, asked)
        rng = np.random.default_rng([SEED, number, 1])
        radiograph, truth, anatomy = film(knee, knee.positioning, rng)
        landmarks = place_landmarks(radiograph, truth, knee.side, noise_mm, rng)
        space = measure_joint_space(radiograph, landmarks)
        for (bone, half), task in OSTEOPHYTES.items():
            area = getattr(space.compartments[half], f"{bone.value}_spur")
            true = true_spur_mm2(anatomy, bone, task)
            found[task].append((knee.severity.grades[task], area.mm2, true))
    print(f"Osteophyte area in mm2, measured (drawn), mean by grade; {knees} phantoms")
    print(f"{'':18}" + "".join(f"{f'grade {grade}':>15}" for grade in range(4)) + f"{'rho':>7}")
    for (bone, half), task in OSTEOPHYTES.items():
        grades, areas, true = np.array(found[task]).T
        cells = [
            f"{areas[grades == grade].mean():7.1f} ({true[grades == grade].mean():5.1f})"
            for grade in range(4)
        ]
        rho = spearmanr(grades, areas)[0]
        print(f"{f'{bone.value} {half.value}':18}" + "".join(f"{c:>15}" for c in cells)
              + f"{rho:7.2f}")  # fmt: skip


def print_repeatability(knees: int, repeats: int, noise_mm: float | None) -> None:
    """Root mean square SD of repeats within a knee."""
    kinds = [(half, kind) for half in Compartment for kind in ("minimum", "fixed", "landmarks")]
    values = np.empty((knees, repeats, len(kinds)))
    for number in range(knees):
        knee = draw_phantom(number, {(Task.JSN_M, Task.JSN_L)[number % 2]: number // 2 % 4})
        for repeat in range(repeats):
            rng = np.random.default_rng([SEED, number, 2, repeat])
            radiograph, truth, _ = film(knee, reposition(knee.positioning, rng), rng)
            landmarks = place_landmarks(radiograph, truth, knee.side, noise_mm, rng)
            space = measure_joint_space(radiograph, landmarks)
            values[number, repeat] = [
                landmark_width_mm(radiograph, landmarks, half)
                if kind == "landmarks"
                else getattr(space.compartments[half], kind).mm
                for half, kind in kinds
            ]
    within = np.sqrt(values.var(axis=1, ddof=1).mean(axis=0))
    typical = np.sqrt(np.median(values.var(axis=1, ddof=1), axis=0))
    print("Repeatability under re-simulated exposure and repositioning noise (SD: "
          f"{TURN_SD_DEG} deg, {SHIFT_SD_MM} mm, rims {RIM_SD_MM} mm)")  # fmt: skip
    print(f"{'width, mm':24} {'SD':>6} {'median':>7} {'bar':>5}")
    for (half, kind), sd, middle in zip(kinds, within, typical, strict=True):
        print(f"{half.value + ' ' + kind:24} {sd:6.3f} {middle:7.3f} {BAR_MM[half]:5.2f}")


def true_angle_deg(anatomy: KneeAnatomy) -> float:
    """Lateral angle of the midlines of the shafts as drawn."""
    level = take_level(anatomy)
    scale = float(level.landmarks_mm[8, 1] - level.landmarks_mm[0, 1]) / 80
    turns = {}
    for bone, span in AXIS_MM.items():
        rows = level.landmarks_mm[0, 0] + scale * np.linspace(*span, 30)
        start = level.outlines[bone.value]
        stop = np.roll(start, -1, axis=0)
        middles = []
        for row in rows:
            across = (start[:, 0] <= row) != (stop[:, 0] <= row)
            first, last = start[across], stop[across]
            share = (row - first[:, 0]) / (last[:, 0] - first[:, 0])
            cols = first[:, 1] + share * (last[:, 1] - first[:, 1])
            middles.append((cols.min() + cols.max()) / 2)
        turns[bone] = np.rad2deg(np.arctan(np.polyfit(rows, middles, 1)[0]))
    return 180 - float(turns[Bone.FEMUR] - turns[Bone.TIBIA])


def print_angles(knees: int, repeats: int, noise_mm: float | None) -> None:
    """Error and repeatability of the femorotibial angle, by height of the film."""
    print("Femorotibial angle, degrees, under re-simulated exposure and repositioning noise")
    print(f"{'film':>8}{'n':>5}{'none':>6}{'shaft':>9}{'error':>8}{'SD':>6}{'worst':>7}"
          f"{'repeats SD':>12}{'r':>7}")  # fmt: skip
    for height in FILM_HEIGHTS_MM:
        angles, shafts = np.full((2, knees, repeats), np.nan)
        true = np.empty((knees, repeats))
        for number in range(knees):
            knee = draw_phantom(number, {(Task.JSN_M, Task.JSN_L)[number % 2]: number // 2 % 4})
            for repeat in range(repeats):
                rng = np.random.default_rng([SEED, number, 4, repeat])
                radiograph, truth, anatomy = film(
                    knee, reposition(knee.positioning, rng), rng, size_mm=(height, SIZE_MM[1])
                )
                landmarks = place_landmarks(radiograph, truth, knee.side, noise_mm, rng)
                angle = measure_joint_space(radiograph, landmarks).femorotibial
                true[number, repeat] = true_angle_deg(anatomy)
                if angle is not None:
                    angles[number, repeat] = angle.degrees
                    shafts[number, repeat] = min(angle.femur_mm, angle.tibia_mm)
        error = angles - true
        within = np.sqrt(np.nanmean(np.nanvar(angles, axis=1, ddof=1)))
        known = np.isfinite(angles)
        print(f"{height:5.0f} mm{knees * repeats:5}{(~known).sum():6}{np.nanmean(shafts):6.0f} mm"
              f"{np.nanmean(error):8.2f}{np.nanstd(error):6.2f}{np.nanmax(np.abs(error)):7.2f}"
              f"{within:12.2f}{np.corrcoef(angles[known], true[known])[0, 1]:7.2f}")  # fmt: skip


MEASURES = ("minimum", "fixed", "area", "femur_spur", "tibia_spur")


def shares_of(space: JointSpace) -> dict[str, float]:
    """Every measure of a knee as a share of its plateau width; the angle in degrees."""
    shares = {
        f"{half.value} {name}": getattr(space.compartments[half], name).share
        for name in MEASURES
        for half in Compartment
    }
    for name in MEASURES[:3]:
        shares[f"smaller {name}"] = min(shares[f"{half.value} {name}"] for half in Compartment)
    for name in MEASURES[3:]:
        shares[f"both {name}"] = sum(shares[f"{half.value} {name}"] for half in Compartment)
    angle = space.femorotibial
    shares["femorotibial angle"] = np.nan if angle is None else angle.degrees
    return shares


def read_real(store: Path, split: str | None) -> Iterator[tuple[str, int, Radiograph, Landmarks]]:
    """(subject, KL grade, ROI, its landmarks) of the graded knees of a store."""
    index = read_index(store)
    index = index[(index["status"] == "ok") & index["kl"].notna()]
    if split is not None:
        index = index[index["split"] == split]
    rows = zip(index["subject_id"], index["kl"], index["landmarks"], strict=True)
    for (subject, kl, numbers), roi in zip(rows, read_rois(store, index), strict=True):
        points = np.reshape(numbers, (16, 2))
        # Lateral is at column 0 already, as in a right knee.
        landmarks = Landmarks(Side.RIGHT, LandmarkScheme.KNEEL_16, points, np.ones(16))
        yield subject, int(kl), Radiograph(roi.pixels, roi.source_id), landmarks


def correlate(store: Path, split: str | None, n_resamples: int = 1000) -> None:
    """Spearman's rank correlation of every measure with the KL grade, with 95 % intervals."""
    from scipy.stats import spearmanr

    rows, grades, subjects, flags = [], [], [], Counter()
    for subject, kl, radiograph, landmarks in read_real(store, split):
        subjects.append(subject)
        space = measure_joint_space(radiograph, landmarks)
        rows.append(shares_of(space))
        grades.append(kl)
        flags.update(flag.value for flag in space.flags)
    if not rows:
        raise SystemExit("The store has no graded knee of this split.")
    kl = np.array(grades)
    rng = np.random.default_rng(SEED)
    names, of_knee = np.unique(subjects, return_inverse=True)
    knees_of = [np.flatnonzero(of_knee == i) for i in range(len(names))]
    picks = [
        np.concatenate([knees_of[i] for i in rng.integers(0, len(names), len(names))])
        for _ in range(n_resamples)
    ]
    print(f"{len(kl)} knees, KL {np.bincount(kl).tolist()}; flagged: {dict(flags)}")
    print(f"{'share of plateau width':24}{'n':>5}{'rho':>8}{'95 % interval':>18}")
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        known = np.isfinite(values)
        if known.sum() < 20:
            print(f"{name:24}{known.sum():5}")
            continue
        rho = spearmanr(kl[known], values[known])[0]
        resampled = [
            spearmanr(kl[pick][known[pick]], values[pick][known[pick]])[0] for pick in picks
        ]
        low, high = np.nanpercentile(resampled, (2.5, 97.5))
        print(f"{name:24}{known.sum():5}{rho:8.3f}{low:10.3f}{high:8.3f}")


def time_knees(knees: int = 40) -> None:
    """Ms a knee on films of both the joint and the shafts, against resampling the joint alone."""
    taken, measured = [], []
    for number in range(6):
        knee = draw_phantom(number, {})
        rng = np.random.default_rng([SEED, number, 3])
        radiograph, truth, _ = film(knee, knee.positioning, rng, size_mm=(240.0, 170.0))
        landmarks = place_landmarks(radiograph, truth, knee.side, 0.9, rng)
        for _ in range(knees // 6 + 1):
            start = process_time()
            take_joint(radiograph, landmarks)
            middle = process_time()
            measure_joint_space(radiograph, landmarks)
            taken.append(middle - start)
            measured.append(process_time() - middle)
    pose, whole = 1000 * np.median(taken), 1000 * np.median(measured)
    print(
        f"{whole:.1f} ms of processor time a knee, {whole / pose:.1f} times the standard pose alone"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    accuracy, repeat = verbs.add_parser("accuracy"), verbs.add_parser("repeat")
    spurs, angle = verbs.add_parser("spurs"), verbs.add_parser("angle")
    accuracy.add_argument("--knees", type=int, default=200)
    spurs.add_argument("--knees", type=int, default=128)
    for verb in (repeat, angle):
        verb.add_argument("--knees", type=int, default=40)
        verb.add_argument("--repeats", type=int, default=5)
    real = verbs.add_parser("real")
    real.add_argument("--rois", type=Path, required=True)
    real.add_argument("--split")
    verbs.add_parser("speed")
    for verb in (accuracy, repeat, spurs, angle):
        verb.add_argument("--noise-mm", type=float)
    args = parser.parse_args()
    if args.verb == "accuracy":
        print_accuracy(args.knees, args.noise_mm)
    elif args.verb == "spurs":
        print_spurs(args.knees, args.noise_mm)
    elif args.verb == "repeat":
        print_repeatability(args.knees, args.repeats, args.noise_mm)
    elif args.verb == "angle":
        print_angles(args.knees, args.repeats, args.noise_mm)
    elif args.verb == "real":
        correlate(args.rois, args.split)
    else:
        time_knees()


if __name__ == "__main__":
    main()
