import numpy as np
import pytest

from kneegrade.errors import TableError
from kneegrade.knees.landmarks.published import PointUnit, read_bonefinder, read_kneel_table
from kneegrade.types import Flag, LandmarkScheme, Side

FILM = (1000, 1400)


def knee_points(left=300.0, width=280.0):
    """74 points that span a knee: x from ``left``, y about 500."""
    x = np.linspace(left, left + width, 74)
    return np.stack([x, 500 + 10 * np.sin(np.arange(74))], axis=1)


def write_pts(path, points, newline="\n", blank=""):
    lines = ["version: 1", f"n_points: {len(points)}", "{"]
    lines += [blank + f"{x} {y}" for x, y in points] + ["}", ""]
    path.write_bytes(newline.join(lines).encode())
    return path


def read(path, **more):
    return read_bonefinder(path, **{"film_shape": FILM, "spacing_mm": 0.2} | more)


def test_points_in_px_are_turned_to_row_and_col(tmp_path):
    points = knee_points()
    (knee,) = read(write_pts(tmp_path / "001.pts", points), unit=PointUnit.PX)
    assert (knee.side, knee.scheme) == (Side.LEFT, LandmarkScheme.BONEFINDER_74)
    assert np.allclose(knee.points_px, points[:, ::-1])
    assert np.allclose(knee.kneel_points_px[0], points[47, ::-1])
    assert np.allclose(knee.kneel_points_px[9], points[12, ::-1])
    assert not knee.flags


def test_points_in_mm_are_divided_by_the_spacing(tmp_path):
    (knee,) = read(write_pts(tmp_path / "001.pts", knee_points() * 0.2), unit=PointUnit.MM)
    assert np.allclose(knee.points_px, knee_points()[:, ::-1])


def test_points_in_mm_on_pixels_that_are_not_square(tmp_path):
    path = write_pts(tmp_path / "001.pts", knee_points() * (0.25, 0.2))
    (knee,) = read(path, unit=PointUnit.MM, spacing_mm=(0.2, 0.25))
    assert np.allclose(knee.points_px, knee_points()[:, ::-1])


@pytest.mark.parametrize("factor", [1.0, 0.2])
def test_an_unknown_unit_is_inferred_and_flagged(tmp_path, factor):
    (knee,) = read(write_pts(tmp_path / "001.pts", knee_points() * factor))
    assert np.allclose(knee.points_px, knee_points()[:, ::-1])
    assert knee.flags == {Flag.LANDMARK_UNIT_INFERRED}


def test_a_flipped_file_is_a_right_knee_on_the_mirrored_film(tmp_path):
    (knee,) = read(write_pts(tmp_path / "001_f.pts", knee_points()), unit=PointUnit.PX)
    assert knee.side is Side.RIGHT
    assert knee.points_px[0, 1] == pytest.approx(1399 - 300)


def test_both_knees_in_one_file_are_left_then_right(tmp_path):
    both = np.vstack([knee_points(900), knee_points(100)])
    left, right = read(write_pts(tmp_path / "x.pts", both), unit=PointUnit.PX)
    assert (left.side, right.side) == (Side.LEFT, Side.RIGHT)
    assert left.points_px[0, 1] == pytest.approx(900)


def test_windows_line_ends_and_blank_lines_are_read(tmp_path):
    path = write_pts(tmp_path / "001.pts", knee_points(), newline="\r\n", blank="\r\n  ")
    assert len(read(path, unit=PointUnit.PX)[0].points_px) == 74


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n", "74 or 148"),
        ("version: 1\n1 2\n", "between"),
        ("{\n1 2 3\n}", "two numbers"),
        ("{\n1 x\n}", "two numbers"),
        ("{\n" + "1 nan\n" * 74 + "}", "finite"),
    ],
)
def test_what_is_no_landmark_file_is_refused(tmp_path, text, what):
    (tmp_path / "x.pts").write_text(text)
    with pytest.raises(TableError, match=what) as caught:
        read(tmp_path / "x.pts")
    assert caught.value.code == "landmarks.invalid"


def test_a_missing_file_and_a_missing_spacing_are_refused(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        read(tmp_path / "none.pts")
    path = write_pts(tmp_path / "001.pts", knee_points() * 0.2)
    with pytest.raises(TableError, match="size of the film's pixels"):
        read(path, spacing_mm=None)


def test_points_off_the_film_are_refused(tmp_path):
    path = write_pts(tmp_path / "001.pts", knee_points(left=1300))
    with pytest.raises(TableError) as caught:
        read(path, unit=PointUnit.PX)
    assert caught.value.code == "landmarks.off-film"


KNEEL_ROW = (
    'S1,{side},3,"10,20,60,20,110,18,150,10,160,14,170,9,220,20,270,21,320,20",'
    '"12,8,60,10,110,4,160,-6,210,5,270,9,318,10","200,300,666,766","433,533"\n'
)
KNEEL_HEADER = "subject_id,side,kl,tibia,femur,bbox,center\n"


def test_kneels_table_gives_shape_in_mm_and_points_on_the_film(tmp_path):
    path = tmp_path / "kneel.csv"
    path.write_text(KNEEL_HEADER + KNEEL_ROW.format(side="R") + KNEEL_ROW.format(side="L"))
    right, left = read_kneel_table(path)
    assert (right.subject_id, right.side, right.kl) == ("S1", Side.RIGHT, 3)
    assert np.allclose(right.shape_mm[0], (6, 3))
    assert np.array_equal(right.shape_mm, left.shape_mm)
    assert np.allclose(right.landmarks.points_px[0], (300 - 100 + 20, 200 - 100 + 10))
    assert np.allclose(left.landmarks.points_px[0], (220, 100 + 465 - 10))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("10,20,60", "10,x,60"),
        ("10,20,60,20", "10,20"),
        ("10,20,60", "10,nan,60"),
        (",3,", ",k,"),
        (',"200,300,666,766","433,533"', ""),
    ],
)
def test_a_damaged_row_of_kneels_table_is_named(tmp_path, old, new):
    path = tmp_path / "kneel.csv"
    path.write_text(KNEEL_HEADER + KNEEL_ROW.format(side="R").replace(old, new, 1))
    with pytest.raises(TableError, match="row 2") as caught:
        read_kneel_table(path)
    assert caught.value.code == "landmarks.invalid"


@pytest.mark.parametrize("damage", [b"\0", b"\x81", b"x" * 200_000])
def test_a_table_that_is_no_csv(tmp_path, damage):
    path = tmp_path / "kneel.csv"
    path.write_bytes(KNEEL_HEADER.encode() + damage + KNEEL_ROW.format(side="R").encode())
    with pytest.raises(TableError) as caught:
        read_kneel_table(path)
    assert caught.value.code == "landmarks.invalid"


def test_another_table_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="subject_id"):
        read_kneel_table(tmp_path / "x.csv")


@pytest.mark.real_data
def test_the_published_table_is_read(real_data):
    knees = read_kneel_table(real_data / "knee-landmarks" / "bf_landmarks_1_0.3.csv")
    assert len(knees) == 604
    centres = np.array([knee.shape_mm[4] for knee in knees])
    assert np.abs(centres - 233 * 0.3).max() < 0.7
    for knee in knees:
        cols = knee.landmarks.points_px[[0, 8], 1]
        assert (cols[0] < cols[1]) == (knee.side is Side.RIGHT)
