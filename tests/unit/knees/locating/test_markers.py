"""Lead letters drawn beside a knee that is given by its landmarks alone."""

import cv2
import numpy as np
import pytest
from made_films import draw_whole_film, whole_radiograph

from kneegrade.knees.locating.markers import SideMarker, read_markers
from kneegrade.types import Landmarks, LandmarkScheme, Radiograph, Side

SHAPE = (640, 560)
WIDTH = 200.0
"""Of the plateau, px."""
AT = (150.0, 90.0)
"""Where letters are drawn: (row, col)."""
SIDES = {"R": Side.RIGHT, "L": Side.LEFT}


def knee_at(row: float = 400, col: float = 330) -> Landmarks:
    """A level knee: only its place and the width of its plateau count."""
    columns = np.linspace(-WIDTH / 2, WIDTH / 2, 9)
    points = [(row + 10, col + x) for x in columns] + [(row - 10, col + x) for x in columns[1:8]]
    return Landmarks(Side.RIGHT, LandmarkScheme.KNEEL_16, np.array(points), np.ones(16))


def draw_leg(*, noise: float = 12, seed: int = 0) -> np.ndarray:
    """Air, soft tissue that thickens to the middle, a shaft; grain over all."""
    rng = np.random.default_rng(seed)
    columns = np.arange(SHAPE[1])
    tissue = 500 * np.sqrt(np.clip(1 - ((columns - 330) / 290) ** 2, 0, 1))
    shaft = np.where(abs(columns - 330) < 45, 250, 0)
    return np.float32(100 + tissue + shaft) + rng.normal(0, noise, SHAPE).astype(np.float32)


def draw_character(text: str, *, height: float = 28, angle: float = 0) -> np.ndarray:
    """Share of each pixel that a character covers, (n, n)."""
    side = 2 * round(1.1 * height)
    canvas = np.zeros((8 * side, 8 * side), np.uint8)
    font, scale, line = cv2.FONT_HERSHEY_SIMPLEX, 8 * height / 22, round(8 * height / 6)
    (wide, tall), _ = cv2.getTextSize(text, font, scale, line)
    cv2.putText(canvas, text, (4 * side - wide // 2, 4 * side + tall // 2), font, scale, 255, line)
    turn = cv2.getRotationMatrix2D((4 * side, 4 * side), angle, 1)
    turned = cv2.warpAffine(canvas, turn, canvas.shape)
    return cv2.resize(turned, (side, side), interpolation=cv2.INTER_AREA) / np.float32(255)


def paste(
    pixels: np.ndarray,
    share: np.ndarray,
    *,
    at: tuple[float, float] = AT,
    plate: bool = False,
) -> np.ndarray:
    """Lead on a film: bright, or a bright plate on which the shape is dark."""
    top, left = (round(middle - size / 2) for middle, size in zip(at, share.shape, strict=True))
    pasted = pixels.copy()
    window = pasted[top : top + share.shape[0], left : left + share.shape[1]]
    window[:] = 900 - 500 * share if plate else window + (1000 - window) * share
    return pasted


def read(pixels: np.ndarray) -> tuple[SideMarker, ...]:
    return read_markers(Radiograph(pixels.astype(np.float32), "id"), [knee_at()])


def check_read(pixels: np.ndarray, text: str, *, mirrored: bool = False) -> None:
    (marker,) = read(pixels)
    assert (marker.side, marker.mirrored) == (SIDES[text], mirrored)
    np.testing.assert_allclose(marker.centre_px, AT, atol=8)
    assert 0.87 <= marker.score <= 1


@pytest.mark.parametrize("plate", [False, True])
@pytest.mark.parametrize("angle", [-20, 0, 20])
@pytest.mark.parametrize("text", SIDES)
def test_a_letter_is_read(text: str, angle: float, plate: bool) -> None:
    letter = draw_character(text, angle=angle)
    check_read(paste(draw_leg(), letter, plate=plate), text)
    check_read(paste(draw_leg(), letter[:, ::-1], plate=plate), text, mirrored=True)


@pytest.mark.parametrize("height", [17, 28, 44])
@pytest.mark.parametrize("text", SIDES)
def test_letters_of_8_to_18_mm(text: str, height: float) -> None:
    check_read(paste(draw_leg(), draw_character(text, height=height)), text)


@pytest.mark.parametrize("text", SIDES)
def test_the_grey_scale_does_not_matter(text: str) -> None:
    film = paste(draw_leg(), draw_character(text))
    check_read(0.01 * film - 30, text)


@pytest.mark.parametrize("plate", [False, True])
@pytest.mark.parametrize("text", list("ABCDEFGHIJKMNOPQSTUVWXYZ0123456789+<"))
def test_other_characters_are_not_read(text: str, plate: bool) -> None:
    for angle in (-15, 0, 15):
        film = paste(draw_leg(), draw_character(text, angle=angle), plate=plate)
        assert read(film) == ()


def draw_shape(name: str) -> np.ndarray:
    canvas = np.zeros((60, 60), np.float32)
    if name == "disc":
        cv2.circle(canvas, (30, 30), 14, 1, -1)
    elif name == "ring":
        cv2.circle(canvas, (30, 30), 14, 1, 4)
    elif name == "bar":
        canvas[15:45, 27:33] = 1
    elif name == "corner":
        canvas[15:45, 15:20] = canvas[15:20, 15:45] = 1
    elif name == "person":
        cv2.circle(canvas, (30, 18), 7, 1, -1)
        canvas[28:45, 20:40] = 1
    else:
        canvas[12:48, 15:45] = 1
    return canvas


@pytest.mark.parametrize("name", ["disc", "ring", "bar", "corner", "person", "plate"])
def test_shapes_are_not_read(name: str) -> None:
    shape = draw_shape(name)
    assert shape.any()
    assert read(paste(draw_leg(), shape)) == ()
    assert read(paste(draw_leg(), shape, plate=True)) == ()


@pytest.mark.parametrize("word", ["RL", "LEFT", "ERECT"])
def test_a_word_is_not_read(word: str) -> None:
    stamp = np.zeros(SHAPE, np.uint8)
    cv2.putText(stamp, word, (40, 150), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 5)
    assert read(np.where(stamp > 0, 1000, draw_leg())) == ()


@pytest.mark.parametrize("height", [8, 90])
def test_letters_of_another_size_are_not_read(height: float) -> None:
    assert read(paste(draw_leg(), draw_character("L", height=height), at=(150, 120))) == ()


def test_nothing_is_read_within_the_joint() -> None:
    film = paste(draw_leg(), draw_character("R"), at=(400, 330))
    assert read(film) == ()
    far = read_markers(Radiograph(film, "id"), [knee_at(row=100, col=100)])
    assert [marker.side for marker in far] == [Side.RIGHT]


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_read_where_there_is_none(seed: int) -> None:
    assert read(draw_leg(noise=60, seed=seed)) == ()
    assert read(np.zeros(SHAPE)) == ()
    rng = np.random.default_rng(seed)
    assert read(rng.normal(size=SHAPE)) == ()


def test_without_landmarks_there_is_no_scale() -> None:
    film = Radiograph(paste(draw_leg(), draw_character("R")), "id")
    assert read_markers(film, []) == ()


def test_two_letters_are_read() -> None:
    film = paste(draw_leg(), draw_character("R"))
    film = paste(film, draw_character("L"), at=(560, 90))
    assert {(m.side, round(m.centre_px[0], -1)) for m in read(film)} == {
        (Side.RIGHT, 150),
        (Side.LEFT, 560),
    }


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_drawn_film_of_both_knees(mirrored: bool) -> None:
    film = draw_whole_film(Side.RIGHT, Side.LEFT)
    pixels, columns = film.pixels, film.pixels.shape[1]
    landmarks = [
        Landmarks(side, LandmarkScheme.KNEEL_16, knee.landmarks_px, np.ones(16))
        for side, knee in film.knees.items()
    ]
    markers = read_markers(whole_radiograph(pixels), landmarks)
    if mirrored:
        turned = [
            Landmarks(
                knee.side.other,
                knee.scheme,
                knee.points_px * (1, -1) + (0, columns - 1),
                knee.confidence,
            )
            for knee in landmarks
        ]
        markers = read_markers(whole_radiograph(pixels[:, ::-1]), turned)
    assert {(marker.side, marker.mirrored) for marker in markers} == {
        (Side.RIGHT, mirrored),
        (Side.LEFT, mirrored),
    }
    for marker in markers:
        is_first = marker.centre_px[1] < columns / 2
        assert is_first is ((marker.side is Side.RIGHT) is not mirrored)
