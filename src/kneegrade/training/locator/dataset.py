"""Images with landmarks as tensors, varied in training."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kneegrade.arrays import Affine, FloatArray, FloatImage, GreyImage, Points, round_to_grey
from kneegrade.bundles.manifest import KNEE_SCORES
from kneegrade.images.geometry import apply_affine, invert_affine, resample
from kneegrade.knees.locating.heatmaps import STRIDE
from kneegrade.knees.posing.contrast import standardise
from kneegrade.phantoms.spoilt.markers import paint_markers
from kneegrade.phantoms.spoilt.metal import PLATEAU_MM, paint_metal
from kneegrade.phantoms.spoilt.motion import blur_by_motion
from kneegrade.phantoms.spoilt.not_knees import draw_not_knee
from kneegrade.phantoms.spoilt.too_many_knees import MOST_KNEES, join_knees
from kneegrade.training.augment import vary_contrast
from kneegrade.training.locator.pictures import PICTURE_PX, STORED_WIDTHS, LandmarkPicture
from kneegrade.training.locator.recipe import LandmarkAugmentSpec, LandmarkRecipe, Stage

PLATEAU_SHARES: Final = (0.13, 0.85)
"""Plateau width as a share of the film's, as training shows it: from both knees to one alone."""
ZOOMS: Final = (0.4, 2.0)
MOTIONS_MM: Final = (2.0, 9.0)
"""Least and largest distance by which a knee moves that is taught as one with motion."""
JOINED: Final = 0.3
"""Share of films that are made of knees of several films, so that there may be too many."""
MARGIN_PX: Final = 1.0
"""A point up to this far outside the image still counts as in it."""


class Varied(NamedTuple):
    """An image as one epoch shows it."""

    pixels: GreyImage
    points_px: Points
    """``(knees, k, 2)``: the same point of several knees; NaN where there is none."""
    is_not_knee: bool
    has_metal: bool
    has_motion: bool
    metal: FloatImage
    """How plainly metal is seen, 0 to 1, at each pixel of the heat maps."""

    @property
    def scores(self) -> dict[str, bool]:
        """What the network ought to say of the image, by the names of `KNEE_SCORES`."""
        return {
            "not_knee": self.is_not_knee,
            "metal": self.has_metal,
            "motion": self.has_motion,
        }


class LandmarkDataset(Dataset[tuple[Tensor, ...]]):
    """Inputs; points ``(knees, k, 2)`` in px of the heat maps; which are there; kinds; metal.

    What an image looks like in an epoch depends on seed, epoch and position only.

    Parameters
    ----------
    pictures : list of LandmarkPicture
    recipe : LandmarkRecipe
    epoch : int or None
        None shows every image in its middle pose, unvaried.
    """

    def __init__(
        self, pictures: list[LandmarkPicture], recipe: LandmarkRecipe, *, epoch: int | None
    ) -> None:
        self._pictures = pictures
        self._recipe = recipe
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, position: int) -> tuple[Tensor, ...]:
        picture = self._pictures[position]
        rng = None
        if self._epoch is not None:
            rng = np.random.default_rng([self._recipe.seed, self._epoch, position])
        others: list[LandmarkPicture] = []
        if rng is not None and self._recipe.stage is Stage.FILM and rng.random() < JOINED:
            drawn = rng.integers(len(self._pictures), size=int(rng.integers(1, MOST_KNEES)))
            others = [self._pictures[i] for i in drawn]
        shown = vary_picture(picture, self._recipe, rng, others)
        image = standardise(shown.pixels, self._recipe.input.clip_percentiles)
        size = self._recipe.input.size_px
        n_knees = MOST_KNEES if self._recipe.stage is Stage.FILM else 1
        points = np.full((n_knees, *shown.points_px.shape[1:]), np.nan)
        points[: len(shown.points_px)] = shown.points_px
        is_there = ((points > -MARGIN_PX) & (points < size - 1 + MARGIN_PX)).all(axis=-1)
        on_map = np.nan_to_num((points - (STRIDE - 1) / 2) / STRIDE)
        return (
            torch.from_numpy(image[np.newaxis]),
            torch.from_numpy(on_map.astype(np.float32)),
            torch.from_numpy(is_there & (not shown.is_not_knee)),
            torch.tensor([shown.scores[name] for name in KNEE_SCORES]),
            torch.from_numpy(shown.metal[np.newaxis]),
        )


class LandmarkData(lightning.LightningDataModule):
    """Training and held-out images as batches; each epoch draws equally from every table."""

    def __init__(
        self,
        recipe: LandmarkRecipe,
        train: list[list[LandmarkPicture]],
        heldout: list[LandmarkPicture],
        *,
        n_workers: int,
    ) -> None:
        super().__init__()
        self._recipe = recipe
        self._all = [picture for table in train for picture in table]
        self._sizes = [len(table) for table in train]
        self._heldout = heldout
        self._n_workers = n_workers

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of the current epoch (Lightning asks for them anew each epoch)."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        rng = np.random.default_rng([self._recipe.seed, epoch])
        drawn: list[int] = []
        first = 0
        for size in self._sizes:
            rounds = -(-self._recipe.knees_per_table // size)
            order = np.concatenate([rng.permutation(size) for _ in range(rounds)]) + first
            drawn += order[: self._recipe.knees_per_table].tolist()
            first += size
        return DataLoader(
            LandmarkDataset(self._all, self._recipe, epoch=epoch),
            batch_size=self._recipe.schedule.batch_size,
            sampler=[drawn[i] for i in rng.permutation(len(drawn))],
            drop_last=len(drawn) > self._recipe.schedule.batch_size,
            num_workers=self._n_workers,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of the held-out images."""
        return DataLoader(LandmarkDataset(self._heldout, self._recipe, epoch=None), batch_size=32)


def vary_picture(
    picture: LandmarkPicture,
    recipe: LandmarkRecipe,
    rng: np.random.Generator | None,
    others: Sequence[LandmarkPicture] = (),
) -> Varied:
    """Show a stored image as the network sees it; at random where a generator is given.

    A knee of each of ``others`` is put beside one of its own.
    """
    size = recipe.input.size_px
    source, points = picture.pixels, picture.points_px[np.newaxis]
    if rng is not None and others:
        films = [(p.pixels, p.points_px) for p in (picture, *others)]
        source, points = join_knees([films[i] for i in rng.permutation(len(films))], rng)
    is_not_knee = has_metal = has_motion = False
    metal = np.zeros((size // STRIDE, size // STRIDE), np.float32)
    if rng is not None and recipe.stage is Stage.KNEE:
        spec, kind = recipe.augment, rng.random()
        if kind < spec.p_not_knee:
            source, is_not_knee = draw_not_knee(source, rng), True
        elif kind < spec.p_not_knee + spec.p_metal:
            (source, painted), has_metal = paint_metal(source, points[0], rng), True
        elif kind < spec.p_not_knee + spec.p_metal + spec.p_motion:
            length_mm = np.exp(rng.uniform(*np.log(MOTIONS_MM)))
            length_px = float(length_mm) * PICTURE_PX / STORED_WIDTHS / PLATEAU_MM
            source, has_motion = blur_by_motion(source, length_px, rng), True
        if rng.random() < spec.p_marker:
            source = paint_markers(source, points[0], rng)
    affine = _middle_pose(recipe, size)
    if rng is not None:
        affine = (
            _draw_film_pose(points, recipe.augment, size, rng)
            if recipe.stage is Stage.FILM
            else _draw_knee_pose(affine, recipe.augment, size, rng)
        )
    fill = float(np.percentile(source, 2))
    if rng is not None and rng.random() < 0.5:
        fill = float(rng.uniform(0, 255) ** 2 / 255)
    pixels, _ = resample(source.astype(np.float32), affine, (size, size), fill=fill)
    shown = round_to_grey(pixels)
    if has_metal:
        there, _ = resample(painted, affine, (size, size), fill=0.0)
        metal = there.reshape(size // STRIDE, STRIDE, -1, STRIDE).mean(axis=(1, 3))
    points = apply_affine(invert_affine(affine), points)
    if rng is not None:
        shown = _vary_look(shown, recipe.augment, rng)
    if rng is not None and recipe.stage is Stage.FILM and rng.random() < 0.5:
        shown, points = _mirror(shown, points)
    return Varied(shown, points, is_not_knee, has_metal, has_motion, metal)


def _middle_pose(recipe: LandmarkRecipe, size: int) -> Affine:
    widths = recipe.input.field_of_view_plateau_widths
    share = 1.0 if recipe.stage is Stage.FILM else widths / STORED_WIDTHS
    return _pose(share * PICTURE_PX / size, 0.0, np.full(2, (PICTURE_PX - 1) / 2), size)


def _draw_knee_pose(
    middle: Affine, spec: LandmarkAugmentSpec, size: int, rng: np.random.Generator
) -> Affine:
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(spec.scale_share))
    step = float(middle[0, 0] * zoom)
    shift = rng.uniform(-1, 1, 2) * spec.shift_share * size * step
    angle = np.deg2rad(rng.uniform(-1, 1) * spec.rotation_deg)
    pose = _pose(step, float(angle), np.zeros(2), size)
    stretch = float(np.exp(rng.uniform(-0.5, 0.5) * np.log1p(spec.stretch_share)))
    return pose * [[stretch], [1 / stretch]] + np.column_stack(
        [np.zeros((2, 2)), (PICTURE_PX - 1) / 2 + shift]
    )


def _draw_film_pose(
    points: Points, spec: LandmarkAugmentSpec, size: int, rng: np.random.Generator
) -> Affine:
    """A film nearer or farther, so that a plateau spans 13 to 85 % of the image's width."""
    pairs = points.reshape(-1, 2, 2)
    ends = [pair for pair in pairs if np.isfinite(pair).all()]
    chosen = ends[int(rng.integers(len(ends)))]
    share = float(np.linalg.norm(chosen[1] - chosen[0])) / PICTURE_PX
    wanted = np.exp(rng.uniform(*np.log(PLATEAU_SHARES)))
    zoom = float(np.clip(wanted / share, *ZOOMS))
    middle = np.full(2, (PICTURE_PX - 1) / 2)
    towards = np.clip(zoom - 1, 0, 1)  # the nearer, the more one knee is in the middle
    centre = middle + towards * (chosen.mean(axis=0) - middle)
    step = PICTURE_PX / size / zoom
    shift = rng.uniform(-1, 1, 2) * spec.shift_share * size * step
    angle = np.deg2rad(rng.uniform(-1, 1) * spec.rotation_deg)
    return _pose(step, float(angle), centre + shift, size)


def _pose(step: float, angle: float, centre: FloatArray, size: int) -> Affine:
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([linear, centre - linear @ np.full(2, (size - 1) / 2)])


def _vary_look(pixels: GreyImage, spec: LandmarkAugmentSpec, rng: np.random.Generator) -> GreyImage:
    if rng.random() < spec.p_cover:
        size = pixels.shape[0]
        rows, cols = rng.integers(size // 24, size // 5, 2)
        row, col = rng.integers(0, size, 2)
        pixels = pixels.copy()
        darker = int(np.median(pixels)) + 1  # a bright cover would look like metal
        pixels[row : row + rows, col : col + cols] = rng.integers(0, darker)
    pixels = vary_contrast(pixels, spec, rng)
    return 255 - pixels if rng.random() < spec.p_invert else pixels


def _mirror(pixels: GreyImage, points: Points) -> tuple[GreyImage, Points]:
    """The same film mirrored: right knees become left ones."""
    mirrored = points[:, [2, 3, 0, 1]].copy()
    mirrored[..., 1] = pixels.shape[1] - 1 - mirrored[..., 1]
    return np.ascontiguousarray(pixels[:, ::-1]), mirrored
