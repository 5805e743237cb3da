import numpy as np
import pytest

from kneegrade.phantoms.knees.shape import draw_body, film_geometry, mean_landmarks
from kneegrade.terms import LANDMARK_NAMES
from kneegrade.types import Side, Task


@pytest.fixture(scope="module", params=["female", "male"])
def sex_and_legs(request):
    bodies = [
        draw_body(sex=request.param, bmi=28, rng=np.random.default_rng(i)) for i in range(200)
    ]
    return request.param, [[body.legs[side] for body in bodies] for side in Side]


def width(leg):
    return np.linalg.norm(leg.landmarks_mm[8] - leg.landmarks_mm[0])


def test_sizes_and_spaces_are_the_published_ones_of_the_sex(sex_and_legs):
    sex, (right, _) = sex_and_legs
    female = sex == "female"
    widths = [width(leg) for leg in right]
    assert np.mean(widths) == pytest.approx(73.8 if female else 84.2, abs=1)
    medial = [leg.normal_space_mm[Task.JSN_M] for leg in right]
    assert np.mean(medial) == pytest.approx(4.8 if female else 5.7, abs=0.15)
    assert np.std(medial) == pytest.approx(0.7 if female else 0.8, abs=0.15)
    lateral = [leg.normal_space_mm[Task.JSN_L] for leg in right]
    assert min(lateral) > 2.5
    assert np.corrcoef(lateral, medial)[0, 1] == pytest.approx(0.58, abs=0.12)


def test_the_legs_of_a_person_are_alike_but_not_the_same(sex_and_legs):
    _, (right, left) = sex_and_legs
    together = np.corrcoef([width(leg) for leg in right], [width(leg) for leg in left])[0, 1]
    assert 0.7 < together < 0.95


def test_the_plateau_is_level_about_the_valley_between_the_spines(sex_and_legs):
    for leg in sex_and_legs[1][0][:20]:
        assert leg.landmarks_mm[4] == pytest.approx([0, 0])
        assert leg.landmarks_mm[0, 0] == pytest.approx(leg.landmarks_mm[8, 0])
        assert leg.landmarks_mm[0, 1] < -25 < 25 < leg.landmarks_mm[8, 1]
        assert leg.landmarks_mm[[3, 5], 0].min() < leg.landmarks_mm[[1, 7], 0].min() - 4


def test_the_spread_of_the_points_is_that_of_the_shape_model():
    """The SD of points that size moves little: rows of the spines and of the notch's roof."""
    legs = [
        draw_body(sex=sex, bmi=28, rng=np.random.default_rng(i)).legs[Side.LEFT]
        for i in range(200)
        for sex in ("female", "male")
    ]
    rows = np.array([leg.landmarks_mm[:, 0] - leg.landmarks_mm[4, 0] for leg in legs])
    expected = {"t3": 1.3, "t5": 1.4, "f3": 2.2}
    for name, sd in expected.items():
        assert rows[:, LANDMARK_NAMES.index(name)].std() == pytest.approx(sd, rel=0.4), name
    assert np.abs(rows.mean(axis=0) - mean_landmarks()[:, 0]).max() < 1


def test_a_heavier_person_has_thicker_legs():
    thin, heavy = (
        draw_body(sex="male", bmi=bmi, rng=np.random.default_rng(3)).legs[Side.LEFT]
        for bmi in (20, 40)
    )
    assert heavy.fat_mm > thin.fat_mm + 8
    assert heavy.girth > thin.girth + 0.2
    assert np.array_equal(heavy.landmarks_mm, thin.landmarks_mm)


def test_an_unknown_sex_or_bmi_is_refused():
    for sex, bmi in (("x", 25), ("male", 5), ("male", float("nan"))):
        with pytest.raises(ValueError, match="Got"):
            draw_body(sex=sex, bmi=bmi, rng=np.random.default_rng(0))


def test_right_knees_lie_left_on_the_studys_films():
    place = film_geometry()
    assert place["right_knee_centre_col_mm_from_film_left"]["mean"] == pytest.approx(118, abs=1)
    assert place["left_knee_centre_col_mm_from_film_left"]["mean"] == pytest.approx(301.4, abs=1)
