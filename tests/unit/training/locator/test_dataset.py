from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from made_films import write_picture
from made_landmarks import (
    PEOPLE,
    draw_coarse_film,
    landmark_recipe,
    tabled_knees,
    without_chance,
)

from kneegrade.bundles.manifest import KNEE_SCORES
from kneegrade.bundles.subjects import hash_subject
from kneegrade.errors import TableError
from kneegrade.images.geometry import apply_affine
from kneegrade.knees.landmarks.table import read_landmark_table, write_landmark_table
from kneegrade.phantoms.films.dicom_film import write_dicom_film
from kneegrade.phantoms.spoilt.too_many_knees import join_knees
from kneegrade.training.locator import dataset as landmark_data
from kneegrade.training.locator.dataset import (
    PLATEAU_SHARES,
    LandmarkData,
    LandmarkDataset,
    vary_picture,
)
from kneegrade.training.locator.pictures import (
    PICTURE_PX,
    LandmarkPicture,
    fold_of,
    read_pictures,
)
from kneegrade.training.locator.recipe import LandmarkRecipe, Stage
from kneegrade.types import Side

SEEDS = range(12)
DOT_SD_PX = 4.0


def read(table: Path, stage: Stage, **changes: str) -> list[LandmarkPicture]:
    (pictures,) = read_pictures([table], landmark_recipe(stage, **changes))
    return pictures


def known(points: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isfinite(points).all(axis=1))


def with_dot(picture: LandmarkPicture, point: int) -> LandmarkPicture:
    """The picture black, with a bright dot at one of its points."""
    rows, cols = np.indices((PICTURE_PX, PICTURE_PX))
    row, col = picture.points_px[point]
    dot = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * DOT_SD_PX**2))
    return replace(picture, pixels=np.rint(255 * dot).astype(np.uint8))


def find_dot(pixels: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Centre of what is brighter than the background, within 12 px of a place."""
    rows, cols = np.indices(pixels.shape)
    weights = np.abs(pixels.astype(float) - np.median(pixels))
    weights[np.hypot(rows - near[0], cols - near[1]) > 12] = 0
    assert weights.max() > 60, "no dot there"
    return np.array([(weights * rows).sum(), (weights * cols).sum()]) / weights.sum()


# pictures of a table


@pytest.mark.parametrize("stage", Stage)
def test_oblong_pixels_are_made_square_as_in_locating(tmp_path: Path, stage: Stage) -> None:
    film = draw_coarse_film(Side.RIGHT, seed=1)
    rows, cols = film.pixels.shape
    squeezed = cv2.resize(film.pixels, (cols, rows // 2), interpolation=cv2.INTER_AREA)
    header = {"ImagerPixelSpacing": None, "PixelAspectRatio": ["2", "1"]}
    write_dicom_film(tmp_path / "square.dcm", film)
    write_dicom_film(tmp_path / "oblong.dcm", replace(film, pixels=squeezed), header=header)
    (square,) = tabled_knees(film, "own", "a", "square.dcm")
    points = (square.landmarks.points_px + 0.5) * (0.5, 1) - 0.5
    there = replace(square.landmarks, points_px=points)
    oblong = replace(square, image_path="oblong.dcm", landmarks=there)
    write_landmark_table([square, oblong], tmp_path / "landmarks.csv")
    one, other = read(tmp_path / "landmarks.csv", stage)
    np.testing.assert_allclose(one.points_px, other.points_px, atol=0.01)
    assert np.corrcoef(one.pixels.ravel(), other.pixels.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("stage", Stage)
def test_what_cannot_be_read_is_left_out_and_told(
    landmark_table: Path, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = read(landmark_table, stage)
    assert [picture.knee.image_path for picture in pictures] == [f"{i}.png" for i in range(6)]
    assert "1 images cannot be read" in caplog.text
    people = {hash_subject("own", subject) for subject in PEOPLE}
    assert people == {p.subject for p in pictures if p.knee.cohort == "own"}
    for picture in pictures:
        assert picture.pixels.shape == (PICTURE_PX, PICTURE_PX)
        assert picture.pixels.dtype == np.uint8
        assert int(picture.pixels.max()) - int(picture.pixels.min()) > 150


def test_the_points_of_one_knee_are_those_of_the_table(landmark_table: Path) -> None:
    for picture in read(landmark_table, Stage.KNEE):
        points = picture.points_px
        back = apply_affine(picture.to_radiograph, points)
        np.testing.assert_allclose(back, picture.knee.landmarks.kneel_points_px, atol=1e-6)
        assert points[0, 0] == pytest.approx(points[8, 0], abs=1e-6), "level"
        assert (np.diff(points[:9, 1]) > 0).all(), "lateral first, whichever side"
        assert points[8, 1] - points[0, 1] == pytest.approx(PICTURE_PX / 2), "2 plateau widths"
        assert points[9:, 0].mean() < points[:9, 0].mean(), "femur above"


def test_the_points_of_a_film_are_the_plateaus_ends_by_side(landmark_table: Path) -> None:
    for picture in read(landmark_table, Stage.FILM, p_metal="0.0"):
        is_left = picture.knee.landmarks.side is Side.LEFT
        assert list(known(picture.points_px)) == ([2, 3] if is_left else [0, 1])
        ends = picture.points_px[known(picture.points_px)]
        truth = picture.knee.landmarks.kneel_points_px[[0, 8]]
        np.testing.assert_allclose(apply_affine(picture.to_radiograph, ends), truth, atol=1e-6)


def test_a_film_of_both_is_one_picture_and_two_knees(tmp_path: Path) -> None:
    film = draw_coarse_film(Side.RIGHT, Side.LEFT, seed=3)
    write_picture(tmp_path / "both.png", film)
    write_landmark_table(tabled_knees(film, "own", "a", "both.png"), tmp_path / "l.csv")
    (picture,) = read(tmp_path / "l.csv", Stage.FILM)
    assert list(known(picture.points_px)) == [0, 1, 2, 3]
    cols = picture.points_px[:, 1]
    assert cols[0] < cols[1] < cols[3] < cols[2], "the right knee first, medial inwards"
    assert len(read(tmp_path / "l.csv", Stage.KNEE)) == 2


def test_of_a_larger_table_a_part_is_read(landmark_table: Path) -> None:
    part = read(landmark_table, Stage.KNEE, knees_per_table="3")
    assert len(part) <= 3
    again = read(landmark_table, Stage.KNEE, knees_per_table="3")
    assert [p.knee.image_path for p in part] == [p.knee.image_path for p in again]


@pytest.mark.parametrize("knees", ["none", "unreadable"])
def test_a_table_without_a_picture(landmark_table: Path, tmp_path: Path, knees: str) -> None:
    found = [] if knees == "none" else read_landmark_table(landmark_table)
    write_landmark_table(found, tmp_path / "l.csv")
    with pytest.raises(TableError) as caught:
        read(tmp_path / "l.csv", Stage.KNEE)
    assert caught.value.code == "table.empty"


def test_folds_go_by_person() -> None:
    people = [hash_subject("own", str(i)) for i in range(400)]
    counts = np.bincount([fold_of(person, 4) for person in people])
    assert len(counts) == 4
    assert counts.min() > 60
    assert [fold_of(p, 4) for p in people] == [fold_of(p, 4) for p in people]


# how an epoch shows them


@pytest.mark.parametrize("stage", Stage)
def test_the_middle_pose_keeps_points_and_picture_together(
    landmark_table: Path, stage: Stage
) -> None:
    recipe = landmark_recipe(stage, size_px="256")
    for picture in read(landmark_table, stage):
        for point in known(picture.points_px)[[0, -1]]:
            shown = vary_picture(with_dot(picture, point), recipe, None)
            expected = shown.points_px[0, point]
            np.testing.assert_allclose(find_dot(shown.pixels, expected), expected, atol=0.3)
            assert shown.scores == dict.fromkeys(KNEE_SCORES, False)


@pytest.mark.parametrize("stage", Stage)
def test_points_follow_the_picture_when_it_is_varied(landmark_table: Path, stage: Stage) -> None:
    recipe = without_chance(landmark_recipe(stage, size_px="256"))
    pictures = read(landmark_table, stage)
    n_seen = 0
    for seed in SEEDS:
        picture = pictures[seed % len(pictures)]
        for place, point in enumerate(known(picture.points_px)[[0, -1]]):
            rng = np.random.default_rng(seed)
            shown = vary_picture(with_dot(picture, point), recipe, rng)
            moved = known(shown.points_px[0])[[0, -1]][place]  # of a film turned round, another
            expected = shown.points_px[0, moved]
            if (expected > 15).all() and (expected < 240).all():
                n_seen += 1
                np.testing.assert_allclose(find_dot(shown.pixels, expected), expected, atol=0.7)
    assert n_seen >= len(SEEDS)


def test_a_film_turned_round_shows_the_other_knee(landmark_table: Path) -> None:
    recipe = without_chance(landmark_recipe(Stage.FILM))
    picture = read(landmark_table, Stage.FILM)[0]
    assert list(known(picture.points_px)) == [0, 1]
    sides = [
        known(vary_picture(picture, recipe, np.random.default_rng(seed)).points_px[0])[0]
        for seed in range(20)
    ]
    assert set(sides) == {0, 2}
    assert 5 <= sides.count(2) <= 15, "about half of them"
    for seed in SEEDS:
        (points,) = vary_picture(picture, recipe, np.random.default_rng(seed)).points_px
        first, second = points[known(points)]
        is_right = known(points)[0] == 0
        assert (first[1] < second[1]) == is_right, "lateral, then medial"


def test_one_knee_is_never_turned_round(landmark_table: Path) -> None:
    recipe = landmark_recipe(Stage.KNEE)
    picture = read(landmark_table, Stage.KNEE)[0]
    for seed in SEEDS:
        (points,) = vary_picture(picture, recipe, np.random.default_rng(seed)).points_px
        assert (np.diff(points[:9, 1]) > 0).all()


def test_knees_on_films_are_shown_small_and_large(landmark_table: Path) -> None:
    recipe = without_chance(landmark_recipe(Stage.FILM))
    pictures = read(landmark_table, Stage.FILM, p_metal="0.0")
    widths = []
    for seed in range(36):
        picture = pictures[seed % 6]
        (points,) = vary_picture(picture, recipe, np.random.default_rng(seed)).points_px
        ends = points[known(points)]
        widths.append(np.linalg.norm(ends[1] - ends[0]) / recipe.input.size_px)
    low, high = PLATEAU_SHARES
    assert low * 0.98 < min(widths)
    assert max(widths) < high * 1.02
    assert max(widths) / min(widths) > 3


@pytest.mark.parametrize("stage", Stage)
def test_the_same_epoch_shows_the_same_bytes(landmark_table: Path, stage: Stage) -> None:
    recipe = landmark_recipe(stage)
    pictures = read(landmark_table, stage)
    for place in range(len(pictures)):
        first, again, other = (
            LandmarkDataset(pictures, recipe, epoch=epoch)[place] for epoch in (1, 1, 2)
        )
        assert first[0].numpy().tobytes() == again[0].numpy().tobytes()
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first[0], other[0])
    still = LandmarkDataset(pictures, recipe, epoch=None)
    assert torch.equal(still[0][0], still[0][0])


@pytest.mark.parametrize("stage", Stage)
def test_what_the_network_is_taught(landmark_table: Path, stage: Stage) -> None:
    recipe = landmark_recipe(stage)
    pictures = read(landmark_table, stage)
    image, points, is_there, kinds, metal = LandmarkDataset(pictures, recipe, epoch=None)[1]
    assert (image.shape, image.dtype) == ((1, 64, 64), torch.float32)
    assert float(image.mean()) == pytest.approx(0, abs=1e-4)
    assert float(image.std()) == pytest.approx(1, abs=1e-2)
    assert points.shape == (3 if stage is Stage.FILM else 1, stage.n_points, 2)
    assert not is_there[1:].any()
    assert torch.isfinite(points).all()
    assert kinds.tolist() == [False, False, False]
    assert (metal.shape, metal.dtype) == ((1, 32, 32), torch.float32)
    assert not metal.any()
    shown = vary_picture(pictures[1], recipe, None)
    expected = known(shown.points_px[0])
    assert list(np.flatnonzero(is_there[0])) == list(expected)
    on_input = points.numpy()[0, expected] * 2 + 0.5  # heat maps have half the resolution
    np.testing.assert_allclose(on_input, shown.points_px[0, expected], atol=1e-4)


def test_points_that_leave_the_picture_are_not_there(landmark_table: Path) -> None:
    recipe = without_chance(landmark_recipe(Stage.KNEE, shift_share="0.5"))
    pictures = read(landmark_table, Stage.KNEE)
    n_gone = 0
    for epoch in range(4):
        data = LandmarkDataset(pictures, recipe, epoch=epoch)
        for place in range(len(pictures)):
            _, points, is_there, *_ = data[place]
            inside = ((points > -1) & (points < 32.5)).all(dim=-1)
            assert inside[is_there].all()
            n_gone += int((~is_there).sum())
    assert n_gone > 20


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"p_not_knee": "1.0", "p_metal": "0.0", "p_motion": "0.0"}, [True, False, False]),
        ({"p_not_knee": "0.0", "p_metal": "1.0", "p_motion": "0.0"}, [False, True, False]),
        ({"p_not_knee": "0.0", "p_metal": "0.0", "p_motion": "1.0"}, [False, False, True]),
    ],
)
def test_pictures_made_into_something_else(
    landmark_table: Path, changes: dict[str, str], expected: list[bool]
) -> None:
    recipe = landmark_recipe(Stage.KNEE, **changes)
    data = LandmarkDataset(read(landmark_table, Stage.KNEE), recipe, epoch=0)
    for place in range(len(data)):
        _, _, is_there, kinds, metal = data[place]
        assert kinds.tolist() == expected
        assert bool(metal.any()) == expected[1], "where the metal is"
        assert bool(is_there.any()) != expected[0], "what is no knee has no points"
    still = LandmarkDataset(read(landmark_table, Stage.KNEE), recipe, epoch=None)
    assert not still[0][3].any(), "held-out knees are left alone"


def test_markers_are_no_failure(landmark_table: Path) -> None:
    (picture, *_) = read(landmark_table, Stage.KNEE)
    plain = without_chance(landmark_recipe(Stage.KNEE))
    marked = replace(plain, augment=replace(plain.augment, p_marker=1.0))
    whiter = 0
    for seed in SEEDS:
        one, other = (
            vary_picture(picture, r, np.random.default_rng(seed)) for r in (plain, marked)
        )
        assert other.scores == dict.fromkeys(KNEE_SCORES, False)
        assert not other.metal.any()
        whiter += int((other.pixels == 255).sum() > (one.pixels == 255).sum())
    assert whiter > 0


def test_a_cover_is_dark_for_bright_is_metal(landmark_table: Path) -> None:
    (picture, *_) = read(landmark_table, Stage.KNEE)
    plain = without_chance(landmark_recipe(Stage.KNEE))
    covered = replace(plain, augment=replace(plain.augment, p_cover=1.0))
    for seed in SEEDS:
        one, other = (
            vary_picture(picture, r, np.random.default_rng(seed)).pixels for r in (plain, covered)
        )
        assert (other != one).any()
        assert other[other != one].max() <= np.median(one), seed


def test_a_film_of_too_many_knees(landmark_table: Path) -> None:
    """A strip for each: its points lie in it, lateral and medial as its side has them."""
    pictures = read(landmark_table, Stage.FILM, p_metal="0.0")
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        films = [(p.pixels, p.points_px) for p in pictures[: 2 + seed % 2]]
        pixels, points = join_knees(films, rng)
        assert pixels.shape == (PICTURE_PX, PICTURE_PX)
        width = PICTURE_PX / len(films)
        for i, (ends, picture) in enumerate(zip(points, pictures, strict=False)):
            assert list(known(ends)) == list(known(picture.points_px))
            first, second = ends[known(ends)]
            assert i * width < min(first[1], second[1]) < max(first[1], second[1]) < (i + 1) * width
            assert (first[1] < second[1]) == (known(ends)[0] == 0)
            turned = picture.points_px[known(ends)]
            tilts = [
                np.subtract(*pair)[0] / np.subtract(*pair)[1]
                for pair in (ends[known(ends)], turned)
            ]
            assert tilts[0] == pytest.approx(tilts[1])


def test_an_epoch_shows_films_of_too_many_knees(landmark_table: Path) -> None:
    recipe = landmark_recipe(Stage.FILM)
    pictures = read(landmark_table, Stage.FILM)
    counts = [
        int(is_there.any(dim=1).sum())
        for epoch in range(12)
        for _, _, is_there, *_ in LandmarkDataset(pictures, recipe, epoch=epoch)
    ]
    assert {2, 3} & set(counts)
    assert counts.count(1) > len(counts) / 2


def test_an_epoch_draws_equally_from_every_table(landmark_table: Path) -> None:
    recipe = landmark_recipe(Stage.KNEE, knees_per_table="9", batch_size="2")
    pictures = read(landmark_table, Stage.KNEE)
    few, many = pictures[:2], pictures[2:]
    seen: list[Any] = []

    class Counted(LandmarkDataset):
        def __getitem__(self, position: int) -> tuple[torch.Tensor, ...]:
            seen.append(position)
            return super().__getitem__(position)

    data = LandmarkData(recipe, [few, many], pictures, n_workers=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landmark_data, "LandmarkDataset", Counted)
        batches = list(data.train_dataloader())
    assert len(batches) == 9
    counts = np.bincount(seen, minlength=6)
    assert counts[:2].sum() == counts[2:].sum() == 9
    assert counts[:2].min() >= 4
    assert counts[2:].min() >= 2
    assert sum(len(batch[0]) for batch in data.val_dataloader()) == 6


def test_the_recipes_seed_decides(landmark_table: Path) -> None:
    pictures = read(landmark_table, Stage.KNEE)
    first, second = (
        LandmarkDataset(pictures, seeded(landmark_recipe(Stage.KNEE), seed), epoch=0)[0][0]
        for seed in (1, 2)
    )
    assert not torch.equal(first, second)


def seeded(recipe: LandmarkRecipe, seed: int) -> LandmarkRecipe:
    return replace(recipe, seed=seed)
