import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kneegrade.images.geometry import (
    apply_affine,
    compose_affines,
    invert_affine,
    resample,
)

coordinates = st.floats(-5000, 5000)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=8)


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Turn, scale by row and column, perhaps mirror, shift."""
    angle = draw(st.floats(-np.pi, np.pi))
    scale = np.array(
        [draw(st.floats(0.2, 5)), draw(st.floats(0.2, 5)) * draw(st.sampled_from([1, -1]))]
    )
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn * scale, [draw(coordinates), draw(coordinates)]])


@given(affines(), points)
def test_there_and_back(affine: np.ndarray, p: list[tuple[float, float]]) -> None:
    np.testing.assert_allclose(
        apply_affine(invert_affine(affine), apply_affine(affine, p)), p, atol=1e-6
    )


@given(affines(), affines(), points)
def test_composition(outer: np.ndarray, inner: np.ndarray, p: list[tuple[float, float]]) -> None:
    at_once = apply_affine(compose_affines(outer, inner), p)
    np.testing.assert_allclose(at_once, apply_affine(outer, apply_affine(inner, p)), atol=1e-5)


@given(
    st.floats(-np.pi, np.pi), st.floats(0.3, 1.4), st.booleans(), st.floats(-3, 3), st.floats(-3, 3)
)
def test_resample_agrees_with_the_affine(
    angle: float, scale: float, mirrored: bool, row: float, column: float
) -> None:
    """On a plane, bilinear interpolation is exact: each output is the plane at its point."""
    plane = (7 * np.arange(60)[:, None] + 3 * np.arange(80)[None, :]).astype(np.float32)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 1] *= -1 if mirrored else 1
    size = (21, 17)
    centre = np.array([30 + row, 40 + column]) - turn @ [10, 8]
    affine = np.column_stack([turn, centre])
    output, inside = resample(plane, affine, size, fill=0)
    assert inside == 1
    mapped = apply_affine(affine, np.moveaxis(np.indices(size), 0, -1))
    # OpenCV 4 rounds positions to 1/32 pixel.
    np.testing.assert_allclose(output, mapped @ [7, 3], atol=10 / 32)
