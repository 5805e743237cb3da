"""Landmarks published without their films, and images of the same knees -> landmark tables.

KNEEL publishes sixteen landmarks of 748 knees; 529 of these knees are in the open set of knee
images, in a frame that is not published (`frames` fits it to what a network finds). Where a frame
is certain, the published points are put on the image and can be taught.
"""

import csv
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from kneegrade.arrays import FloatArray, Points
from kneegrade.bundles.subjects import hash_subject
from kneegrade.cohorts.tables.table import read_knee_table, resolve_image
from kneegrade.images.read import read_radiograph
from kneegrade.knees.landmarks.published import KneelKnee, read_kneel_table
from kneegrade.knees.landmarks.table import TabledKnee, write_landmark_table
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.training.locator.frames import Frame
from kneegrade.types import Contrast, Landmarks, LandmarkScheme, Radiograph, Side, SpacingSource

COHORT: Final = "oai"
"""The study that both sets come from."""
CERTAIN_MM: Final = 1.6
"""A frame is certain where half of the points miss it by less: four numbers are fitted to 32."""
SURE, CLEAN = 0.95, 0.9
"""Least mean confidence and largest score of a knee whose landmarks come from a network alone."""
_ORDER_SEED: Final = 2019
_N_POINTS: Final = LandmarkScheme.KNEEL_16.n_points


@dataclass(frozen=True, eq=False)
class PublishedKnee:
    """One knee with published landmarks and an image.

    Parameters
    ----------
    kneel : KneelKnee
    image_path : str
        Absolute; inside an archive as ``a.zip::member``.
    radiograph : Radiograph
    shape_mm : (16, 2) array
        As the image shows it: a left knee's columns are mirrored.
    subject : str
        Hash of cohort and id.
    split : str
        Of the knee table.
    """

    kneel: KneelKnee
    image_path: str
    radiograph: Radiograph
    shape_mm: Points
    subject: str
    split: str


def read_published_knees(kneel: Path, knee_table: Path) -> list[PublishedKnee]:
    """Read the knees of KNEEL's table that have an image in a knee table.

    Raises
    ------
    TableError
        As `read_kneel_table` and `read_knee_table`.
    ImageError
        As `read_radiograph`.
    """
    places = {
        (row["subject_id"], row["side"]): (_find_image(knee_table, row["image_path"]), row["split"])
        for row in read_knee_table(knee_table).to_dict("records")
    }
    knees = []
    for knee in read_kneel_table(kneel):
        if (knee.subject_id, knee.side.value) in places:
            path, split = places[knee.subject_id, knee.side.value]
            turn = (1.0, 1.0 if knee.side is Side.RIGHT else -1.0)
            knees.append(
                PublishedKnee(
                    kneel=knee,
                    image_path=path,
                    radiograph=read_radiograph(path, contrast=Contrast.ENHANCED),
                    shape_mm=knee.shape_mm * turn,
                    subject=hash_subject(COHORT, knee.subject_id),
                    split=split,
                )
            )
    return knees


def find_points(locator: KneeLocator, knees: Sequence[PublishedKnee]) -> FloatArray:
    """Points ``(n, 16, 2)`` that a locator finds, in px of the images."""
    found = np.empty((len(knees), _N_POINTS, 2))
    for i, knee in enumerate(knees):
        (located,) = locator.locate_in_crop(knee.radiograph, knee.kneel.side).knees
        found[i] = located.landmarks.points_px
    return found


def is_certain(frame: Frame) -> bool:
    """Whether the published points may be taught where this frame puts them."""
    return bool(np.median(frame.residuals_mm) < CERTAIN_MM)


def write_usable_landmarks(
    folder: Path, knees: Sequence[PublishedKnee], frames: Sequence[Frame], left_out: Set[str]
) -> Path:
    """Write the landmarks and pixel sizes of the knees whose frame is certain.

    Parameters
    ----------
    folder : Path
        Gets ``landmarks.csv``, a landmark table; ``landmarks-train.csv``, those of the split
        "train" alone; ``spacing.csv``. It is created if needed.
    knees : sequence of PublishedKnee
    frames : sequence of Frame
        One of each knee.
    left_out : set of str
        Names of images, without their suffix, that are not used: those that show metal.

    Returns
    -------
    Path
        ``landmarks.csv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = [
        (knee, frame)
        for knee, frame in zip(knees, frames, strict=True)
        if is_certain(frame) and Path(knee.image_path).stem not in left_out
    ]
    tabled = [_table_knee(knee, frame) for knee, frame in kept]
    path = folder / "landmarks.csv"
    write_landmark_table(tabled, path)
    train = [row for row, (knee, _) in zip(tabled, kept, strict=True) if knee.split == "train"]
    write_landmark_table(train, folder / "landmarks-train.csv")
    with (folder / "spacing.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = ("spacing_row_mm", "spacing_col_mm", "spacing_source")
        writer.writerow(("cohort", "subject_id", "side", *columns))
        for knee, frame in kept:
            key = (COHORT, knee.kneel.subject_id, knee.kneel.side.value)
            sizes = (f"{mm:.4f}" for mm in 1 / frame.px_per_mm)
            writer.writerow((*key, *sizes, SpacingSource.LANDMARK_FRAME.value))
    return path


def write_further_landmarks(
    path: Path, locator: KneeLocator, knee_table: Path, n: int, left_out: Set[str]
) -> None:
    """Write a landmark table of at most ``n`` other knees, as a locator sees them.

    They are drawn from the split "train"; one that the locator isn't sure of, or that shows metal,
    motion or no knee, is passed over, and so are the images ``left_out`` (names without suffix).
    """
    table = read_knee_table(knee_table)
    table = table[table["split"] == "train"].sample(frac=1, random_state=_ORDER_SEED)
    knees: list[TabledKnee] = []
    for row in table.to_dict("records"):
        image_path = _find_image(knee_table, row["image_path"])
        if len(knees) == n:
            break
        if Path(image_path).stem in left_out:
            continue
        (found,) = locator.locate_in_crop(read_radiograph(image_path), Side(row["side"])).knees
        if (
            found.landmarks.confidence.mean() >= SURE
            and max(found.scores.not_knee, found.scores.metal, found.scores.motion) < CLEAN
        ):
            knees.append(TabledKnee(COHORT, row["subject_id"], image_path, found.landmarks))
    write_landmark_table(knees, path)


def _table_knee(knee: PublishedKnee, frame: Frame) -> TabledKnee:
    points_px = frame.to_px(knee.shape_mm)
    landmarks = Landmarks(
        knee.kneel.side, LandmarkScheme.KNEEL_16, points_px, np.ones(len(points_px))
    )
    return TabledKnee(COHORT, knee.kneel.subject_id, knee.image_path, landmarks)


def _find_image(knee_table: Path, image_path: str) -> str:
    """An image's path that is valid from any folder."""
    file, mark, member = resolve_image(knee_table, image_path).partition("::")
    return f"{Path(file).resolve()}{mark}{member}"
