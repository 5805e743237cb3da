"""Landmark tables -> images in memory, each with its points, for landmark networks to learn."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from kneegrade.arrays import Affine, GreyImage, Points, round_to_grey
from kneegrade.bundles.subjects import hash_subject
from kneegrade.cohorts.tables.table import resolve_image
from kneegrade.errors import ImageError, TableError
from kneegrade.images.geometry import apply_affine, invert_affine, resample
from kneegrade.images.read import read_radiograph
from kneegrade.knees.landmarks.table import TabledKnee, read_landmark_table
from kneegrade.knees.posing.contrast import scale_to_unit
from kneegrade.knees.posing.pose import StandardPose, film_affine
from kneegrade.phantoms.spoilt.metal import paint_metal
from kneegrade.training.locator.recipe import LandmarkRecipe, Stage
from kneegrade.types import Radiograph, Side, plateau_ends

log = logging.getLogger(__name__)

PICTURE_PX: Final = 384
"""Rows and columns of a stored image: more than the network sees, so that it can be varied."""
STORED_WIDTHS: Final = 2.0
"""Width of a stored image of one knee in plateau widths."""


@dataclass(frozen=True)
class LandmarkPicture:
    """One image and its points.

    Parameters
    ----------
    pixels : (384, 384) array, uint8
    points_px : (k, 2) array
        ``(row, col)`` on it; NaN where the knee is not there.
    subject : str
        Hash of cohort and id.
    knee : TabledKnee
        Where it comes from; of a film, the first knee.
    to_radiograph : (2, 3) array
        Affine from the image to the radiograph.
    """

    pixels: GreyImage
    points_px: Points
    subject: str
    knee: TabledKnee
    to_radiograph: Affine


def read_pictures(paths: Sequence[Path], recipe: LandmarkRecipe) -> list[list[LandmarkPicture]]:
    """Read at most ``knees_per_table`` images of each landmark table that can be read.

    Raises
    ------
    TableError
        ``table.empty``, or as `read_landmark_table`.
    """
    return [_read_table(path, recipe) for path in paths]


def fold_of(subject: str, n_folds: int) -> int:
    """Fold of a hashed subject, the same wherever it turns up."""
    return int(subject, 16) % n_folds


def _read_table(path: Path, recipe: LandmarkRecipe) -> list[LandmarkPicture]:
    by_picture: dict[str, list[TabledKnee]] = {}
    for knee in read_landmark_table(path):
        by_picture.setdefault(knee.image_path, []).append(knee)
    groups = [[knee] for knees in by_picture.values() for knee in knees]
    if recipe.stage is Stage.FILM:
        groups = list(by_picture.values())
    if not groups:
        raise TableError("table.empty", f"{path.name} names no knee.", "Give one that does.")
    rng = np.random.default_rng([recipe.seed, len(groups)])
    chosen = sorted(rng.permutation(len(groups))[: recipe.knees_per_table].tolist())
    pictures = []
    unreadable = 0
    for image_path, group in groupby((groups[i] for i in chosen), key=_image_path):
        try:
            radiograph = read_radiograph(resolve_image(path, image_path))
        except ImageError as error:
            unreadable += 1
            log.debug("%s is left out: %s", image_path, error)
            continue
        pictures += [_picture_of(radiograph, knees, recipe, rng) for knees in group]
    if unreadable:
        log.warning("%s: %d images cannot be read and are left out.", path.name, unreadable)
    if not pictures:
        raise TableError("table.empty", f"No image of {path.name} can be read.", "Check paths.")
    return pictures


def _image_path(knees: Sequence[TabledKnee]) -> str:
    return knees[0].image_path


def _picture_of(
    radiograph: Radiograph,
    knees: Sequence[TabledKnee],
    recipe: LandmarkRecipe,
    rng: np.random.Generator,
) -> LandmarkPicture:
    stage = recipe.stage
    if stage is Stage.FILM:
        affine = film_affine(radiograph.pixels.shape, PICTURE_PX, radiograph.pixel_size)
    else:
        affine = _frame_of(knees[0].landmarks.plateau_px, radiograph.pixel_size)
    fill = float(np.percentile(radiograph.pixels, 2))
    pixels, _ = resample(radiograph.pixels, affine, (PICTURE_PX, PICTURE_PX), fill=fill)
    to_picture = invert_affine(affine)
    if stage is Stage.FILM:
        points_px = np.full((4, 2), np.nan)
        for knee in knees:
            first = 0 if knee.landmarks.side is Side.RIGHT else 2
            points_px[first : first + 2] = apply_affine(to_picture, knee.landmarks.plateau_px)
    else:
        points_px = apply_affine(to_picture, knees[0].landmarks.kneel_points_px)
    picture = np.rint(scale_to_unit(pixels) * 255).astype(np.uint8)
    if stage is Stage.FILM and rng.random() < recipe.augment.p_metal:
        all_points = apply_affine(to_picture, knees[0].landmarks.kneel_points_px)
        picture = _with_metal(picture, all_points, rng)
    return LandmarkPicture(
        pixels=picture,
        points_px=points_px,
        subject=hash_subject(knees[0].cohort, knees[0].subject_id),
        knee=knees[0],
        to_radiograph=affine,
    )


def _frame_of(ends_px: Points, pixel_size: tuple[float, float] = (1.0, 1.0)) -> Affine:
    return StandardPose.of_plateau(ends_px, pixel_size).square_frame(PICTURE_PX, STORED_WIDTHS)


def _with_metal(film: GreyImage, points: Points, rng: np.random.Generator) -> GreyImage:
    """The film with metal in one knee: painted on an enlarged image of it."""
    to_film = _frame_of(plateau_ends(points))
    to_knee = invert_affine(to_film)
    size = (PICTURE_PX, PICTURE_PX)
    knee, _ = resample(film.astype(np.float32), to_film, size, fill=0.0)
    plain = round_to_grey(knee)
    painted, _ = paint_metal(plain, apply_affine(to_knee, points), rng)
    added, _ = resample(painted.astype(np.float32) - plain, to_knee, film.shape, fill=0.0)
    return round_to_grey(film + added)
