import numpy as np
import pytest
from made_films import draw_whole_film

from kneegrade.phantoms.spoilt.shaft_metal import SHAFT_METAL_KINDS, paint_shaft_metal
from kneegrade.types import Side


@pytest.mark.parametrize("kind", SHAFT_METAL_KINDS)
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("below", [1.0, -1.0])
def test_metal_lies_in_the_shaft(kind: str, side: Side, below: float) -> None:
    film = draw_whole_film(side)
    points = film.knees[side].landmarks_px
    width = np.linalg.norm(points[8] - points[0])
    still = paint_shaft_metal(
        np.zeros(film.pixels.shape),
        points,
        np.random.default_rng(1),
        kind=kind,
        below_plateau=below,
    )
    rows, cols = np.nonzero(still > 100)
    assert len(rows) > 20
    away = (rows - points[[0, 8], 0].mean()) / width
    assert (np.sign(away) == np.sign(below)).all()
    assert np.abs(away).min() > 0.5
    aside = (cols - points[[0, 8], 1].mean()) / width
    assert np.abs(aside).max() < 0.6


def test_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        paint_shaft_metal(
            np.zeros((9, 9)),
            np.zeros((16, 2)),
            np.random.default_rng(0),
            kind="glue",
            below_plateau=1,
        )
