import cv2
import numpy as np
import pytest

from kneegrade.phantoms.films import lateral_film
from kneegrade.phantoms.films.attenuation import FilmGrid
from kneegrade.phantoms.films.film import ONE_KNEE_MM, draw_lateral_film
from kneegrade.phantoms.films.lateral_film import compute_lateral_knee
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.shape import Body, draw_body
from kneegrade.types import Side

CR = SCANNERS["oai-cr-a"]
SPACING = 0.5
GRID = FilmGrid((480, 360), SPACING, (250, 180))
SEEDS = range(6)


def body_of(seed: int) -> Body:
    return draw_body(sex="female", bmi=26, rng=np.random.default_rng(seed))


def attenuation(side: Side = Side.RIGHT, seed: int = 0) -> np.ndarray:
    leg = body_of(seed).legs[side]
    return compute_lateral_knee(leg, side, GRID, np.random.default_rng(seed))


def film(side: Side = Side.RIGHT, scanner=CR, seed: int = 0, spacing_mm: float = SPACING):
    rng = np.random.default_rng(seed)
    return draw_lateral_film(
        body=body_of(seed), side=side, scanner=scanner, spacing_mm=spacing_mm, rng=rng
    )


def runs_of(row: np.ndarray) -> np.ndarray:
    """First and last column of each stretch that is true."""
    return np.flatnonzero(np.diff(row, prepend=False, append=False)).reshape(-1, 2)


@pytest.fixture
def no_soft_tissue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lateral_film, "compute_soft_tissue", lambda *_: np.zeros(GRID.shape, "f4"))


@pytest.mark.usefixtures("no_soft_tissue")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_patella_stands_apart_in_front_of_the_femur(seed: int) -> None:
    bones = attenuation(seed=seed) > 0.1
    n, labels, stats, centres = cv2.connectedComponentsWithStats(bones.astype(np.uint8))
    areas_mm2 = stats[:, cv2.CC_STAT_AREA] * SPACING**2
    (patella,) = np.flatnonzero((areas_mm2 > 400) & (areas_mm2 < 1300))
    rows, cols = np.nonzero(labels == patella)
    for row in np.unique(rows):
        others = np.flatnonzero(bones[row] & (labels[row] != patella))
        assert others.min() > cols[rows == row].max() + 1, "nothing in front of it"
    assert centres[patella][1] < 250, "above the joint"
    assert 30 < np.ptp(rows) * SPACING < 60
    assert n <= 5, "background, patella, femur, tibia, at times the fibula"


@pytest.mark.usefixtures("no_soft_tissue")
def test_two_bones_in_the_calf_one_in_the_thigh() -> None:
    """The fibula is the thinner one, behind; of some knees it is seen over the tibia's edge."""
    seen_apart = 0
    for seed in SEEDS:
        bones = attenuation(seed=seed) > 0.15
        assert len(runs_of(bones[60])) == 1
        widths = [np.diff(found).ravel() for found in map(runs_of, bones[330:470:4])]
        two = np.array([pair for pair in widths if len(pair) == 2])
        if len(two) >= 3:
            front, behind = np.median(two, axis=0)
            assert front > 1.5 * behind
            seen_apart += 1
    assert seen_apart >= 3


def test_a_left_knee_looks_the_other_way() -> None:
    """The skin is nearer to the bone in front, at the shin."""
    for seed in SEEDS:
        ahead = {}
        for side in Side:
            row = attenuation(side, seed)[430]
            inside = np.flatnonzero(row > 0.05)
            bone = int(row.argmax())
            ahead[side] = (bone - inside[0]) - (inside[-1] - bone)
        assert ahead[Side.RIGHT] < 0 < ahead[Side.LEFT], seed


@pytest.mark.parametrize("name", SCANNERS)
def test_a_film_has_its_scanners_depth_size_and_stamp_and_no_knee(name: str) -> None:
    scanner = SCANNERS[name]
    made = film(scanner=scanner)
    assert made.pixels.shape == tuple(round(mm / SPACING) for mm in ONE_KNEE_MM)
    assert made.pixels.dtype == np.uint16
    assert made.pixels.max() == scanner.white, "of the stamp"
    assert made.knees == {}
    plate = made.pixels[-22:-6, 6:60]
    assert set(np.unique(plate)) == {0, scanner.white}
    assert 0.1 < (plate > 0).mean() < 0.7


def test_the_same_seed_gives_the_same_film_and_another_one_another() -> None:
    first = film()
    np.testing.assert_array_equal(first.pixels, film().pixels)
    assert not np.array_equal(first.pixels, film(seed=1).pixels)


def test_knees_are_bent_in_their_own_way() -> None:
    """Where the bones lie in the thigh and in the calf, against the joint."""
    bends = []
    for seed in range(10):
        knee = attenuation(seed=seed)
        thigh, joint, calf = (float(np.median(knee[r : r + 10].argmax(1))) for r in (40, 230, 440))
        bends.append((thigh + calf) / 2 - joint)
    assert np.std(bends) > 3
    assert np.mean(bends) > 0, "the patella is at the apex"


def test_a_finer_film_shows_the_same_knee() -> None:
    scanner = SCANNERS["oai-film"]  # without a border, which falls elsewhere
    coarse, fine = (film(scanner=scanner, spacing_mm=mm).pixels[..., 60:-60] for mm in (0.6, 0.3))
    assert fine.shape == (800, 480)
    halved = fine[:, 60:-60].reshape(400, 2, -1, 2).mean(axis=(1, 3))
    other = film(scanner=scanner, spacing_mm=0.6, seed=1).pixels[..., 60:-60]
    assert np.corrcoef(halved.ravel(), coarse.ravel())[0, 1] > 0.97
    assert np.corrcoef(other.ravel(), coarse.ravel())[0, 1] < 0.9


@pytest.mark.parametrize("spacing_mm", [0.0, 3.0, float("nan")])
def test_a_bad_spacing_is_refused(spacing_mm: float) -> None:
    with pytest.raises(ValueError, match="A pixel must be"):
        film(spacing_mm=spacing_mm)
