from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kneegrade.knees.measuring.joint_space import (
    MEASURED,
    Area,
    Bone,
    Compartment,
    Length,
    measure_joint_space,
)
from kneegrade.phantoms.films.attenuation import FilmGrid, compute_bone, compute_soft_tissue
from kneegrade.phantoms.films.exposure import expose_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.anatomy import Positioning, draw_knee_anatomy
from kneegrade.phantoms.knees.outline import surface_rows
from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.types import (
    Flag,
    Landmarks,
    LandmarkScheme,
    Radiograph,
    Side,
    SpacingSource,
    Task,
)

HEALTHY = dict.fromkeys(FEATURES, 0.5)
SPACING = 0.2


def landmarks_at(points, side=Side.RIGHT):
    return Landmarks(side, LandmarkScheme.KNEEL_16, points, np.ones(16))


def radiograph_of(pixels, spacing=SPACING):
    known = spacing is not None
    return Radiograph(
        pixels=np.asarray(pixels, np.float32),
        source_id="phantom",
        spacing_mm=(spacing, spacing) if known else None,
        spacing_source=SpacingSource.CALLER if known else SpacingSource.UNKNOWN,
    )


def filmed(changes=None, *, side=Side.RIGHT, size_mm=(130, 120), seed=3, tilt_deg=0.0):
    """A film of one knee, its true landmarks and its true smallest widths where we measure."""
    rng = np.random.default_rng(seed)
    level = draw_knee_anatomy(
        side=Side.RIGHT,
        shape=draw_body(sex="female", bmi=26, rng=rng).legs[Side.RIGHT],
        severity=Severity({**HEALTHY, **(changes or {})}),
        positioning=Positioning(rim_mm=(1.0, 1.0)),
    )
    first, last = level.landmarks_mm[[0, 8], 1]
    widths = {}
    for half, stretch in MEASURED.items():
        cols = first + (last - first) * np.linspace(*stretch, 200)
        tibia, femur = (
            surface_rows(level.outlines[bone], cols, 0.49 * (last - first))
            for bone in ("tibia", "femur")
        )
        widths[half] = float((tibia - femur).min())
    anatomy = level.turned(tilt_deg)
    anatomy = anatomy if side is Side.RIGHT else anatomy.mirrored()
    shape = tuple(round(mm / SPACING) for mm in size_mm)
    grid = FilmGrid(shape, SPACING, (shape[0] / 2, shape[1] / 2))
    attenuation = compute_soft_tissue([anatomy], [grid], rng) + compute_bone(anatomy, grid, rng)
    pixels = expose_film(attenuation, spacing_mm=SPACING, scanner=SCANNERS["oai-dx"], rng=rng)
    return radiograph_of(pixels), landmarks_at(grid.to_px(anatomy.landmarks_mm), side), widths


@pytest.fixture(scope="module")
def healthy():
    return filmed()


@pytest.mark.parametrize("half", Compartment)
@pytest.mark.parametrize("severity", [0.5, 1.5, 2.5, 3.5])
def test_minimum_width_is_that_of_the_outlines(half, severity):
    task = Task.JSN_M if half is Compartment.MEDIAL else Task.JSN_L
    radiograph, landmarks, widths = filmed({task: severity})
    rng = np.random.default_rng(1)
    noisy = landmarks_at(landmarks.points_px + rng.normal(0, 0.6 / SPACING, (16, 2)))
    space = measure_joint_space(radiograph, noisy)
    assert space.compartments[half].minimum.mm == pytest.approx(widths[half], abs=0.35)
    assert Flag.MARGIN_NOT_TRACED not in space.flags or severity > 3


def test_every_length_is_told_twice_and_its_line_is_as_long(healthy):
    radiograph, landmarks, _ = healthy
    space = measure_joint_space(radiograph, landmarks)
    true_width = np.linalg.norm(landmarks.points_px[8] - landmarks.points_px[0]) * SPACING
    assert space.width_mm == pytest.approx(true_width)
    for half, part in space.compartments.items():
        for length, line in (
            (part.minimum, part.minimum_line_px),
            (part.fixed, part.fixed_line_px),
        ):
            assert length.mm == pytest.approx(length.share * true_width)
            drawn = np.linalg.norm(line[1] - line[0]) * SPACING
            assert drawn == pytest.approx(length.mm, abs=0.15)
        assert part.area.mm2 == pytest.approx(part.area.share * true_width**2)
        assert part.minimum.share <= part.fixed.share
        first, last = MEASURED[half]
        mean_gap = part.area.share / (last - first)
        assert part.minimum.share <= mean_gap < 3 * part.minimum.share


def test_without_spacing_there_are_shares_only(healthy):
    radiograph, landmarks, _ = healthy
    known = measure_joint_space(radiograph, landmarks)
    space = measure_joint_space(radiograph_of(radiograph.pixels, None), landmarks)
    assert space.width_mm is space.medial.minimum.mm is space.lateral.area.mm2 is None
    assert space.medial.minimum.share == pytest.approx(known.medial.minimum.share)


def test_margins_lie_on_the_bones_and_run_from_lateral_to_medial(healthy):
    radiograph, landmarks, _ = healthy
    space = measure_joint_space(radiograph, landmarks)
    for part in (space.lateral, space.medial):
        for line, inwards in ((part.femur_px, -1), (part.tibia_px, 1)):
            assert (np.diff(line[:, 1]) >= 0).all()
            rows, cols = np.rint(line[10:-10]).astype(int).T
            bone, gap = (radiograph.pixels[rows + by * inwards, cols] for by in (4, -4))
            assert (bone > gap).mean() > 0.95


@settings(max_examples=6, deadline=None)
@given(tilt=st.floats(-8, 8), severity=st.floats(0, 2.9))
def test_a_mirrored_film_of_the_other_side_measures_the_same(tilt, severity):
    radiograph, landmarks, _ = filmed({Task.JSN_M: severity}, tilt_deg=tilt, size_mm=(110, 110))
    flipped = radiograph_of(radiograph.pixels[:, ::-1])
    points = landmarks.points_px * (1, -1) + (0, radiograph.pixels.shape[1] - 1)
    one = measure_joint_space(radiograph, landmarks)
    other = measure_joint_space(flipped, landmarks_at(points, Side.LEFT))
    assert other.flags == one.flags
    for half in Compartment:
        a, b = one.compartments[half], other.compartments[half]
        for name in ("minimum", "fixed", "area"):
            assert getattr(b, name).share == pytest.approx(getattr(a, name).share, abs=2e-4)
        back = b.tibia_px * (1, -1) + (0, radiograph.pixels.shape[1] - 1)
        np.testing.assert_allclose(back, a.tibia_px, atol=0.15)


@settings(max_examples=6, deadline=None)
@given(millimetres=st.floats(0.05, 2), factor=st.floats(0.01, 100), offset=st.floats(-500, 500))
def test_shares_depend_on_neither_spacing_nor_window(healthy, millimetres, factor, offset):
    radiograph, landmarks, _ = healthy
    one = measure_joint_space(radiograph, landmarks)
    windowed = factor * radiograph.pixels.astype(np.float64) + offset
    other = measure_joint_space(radiograph_of(windowed, millimetres), landmarks)
    for half in Compartment:
        a, b = one.compartments[half], other.compartments[half]
        assert b.minimum.share == pytest.approx(a.minimum.share, rel=0.01)
        assert b.area.share == pytest.approx(a.area.share, rel=0.01)
    assert other.width_mm == pytest.approx(one.width_mm * millimetres / SPACING)


def test_shares_do_not_depend_on_the_size_of_the_picture(healthy):
    radiograph, landmarks, _ = healthy
    doubled = np.kron(radiograph.pixels, np.ones((2, 2), np.float32))
    other = measure_joint_space(
        radiograph_of(doubled, SPACING / 2), landmarks_at(landmarks.points_px * 2 + 0.5)
    )
    one = measure_joint_space(radiograph, landmarks)
    for half in Compartment:
        a, b = one.compartments[half].minimum, other.compartments[half].minimum
        assert b.mm == pytest.approx(a.mm, abs=0.1)


@pytest.mark.parametrize("gamma", [0.6, 1.7])
def test_gamma_moves_a_width_by_less_than_a_pixel(healthy, gamma):
    radiograph, landmarks, _ = healthy
    top = float(radiograph.pixels.max())
    other = radiograph_of(top * (radiograph.pixels / top) ** gamma)
    one, two = (measure_joint_space(film, landmarks) for film in (radiograph, other))
    for half in Compartment:
        a, b = one.compartments[half].minimum, two.compartments[half].minimum
        assert b.mm == pytest.approx(a.mm, abs=SPACING)


def test_pixels_that_are_not_square_are_measured_in_mm(healthy):
    radiograph, landmarks, _ = healthy
    stretched = Radiograph(
        pixels=np.repeat(radiograph.pixels, 2, axis=0),
        source_id="stretched",
        spacing_mm=(SPACING / 2, SPACING),
        spacing_source=SpacingSource.CALLER,
    )
    points = landmarks.points_px * (2, 1) + (0.5, 0)
    one = measure_joint_space(radiograph, landmarks)
    other = measure_joint_space(stretched, landmarks_at(points))
    assert other.width_mm == pytest.approx(one.width_mm)
    assert other.medial.minimum.mm == pytest.approx(one.medial.minimum.mm, abs=0.1)


def spurs_mm2(space):
    return {
        (bone, half): getattr(space.compartments[half], f"{bone.value}_spur").mm2
        for bone in Bone
        for half in Compartment
    }


@pytest.mark.parametrize(
    ("task", "site", "least_mm2"),
    [
        (Task.FO_L, (Bone.FEMUR, Compartment.LATERAL), 12),
        (Task.FO_M, (Bone.FEMUR, Compartment.MEDIAL), 12),
        (Task.TO_L, (Bone.TIBIA, Compartment.LATERAL), 8),
        (Task.TO_M, (Bone.TIBIA, Compartment.MEDIAL), 8),
    ],
)
def test_an_osteophyte_adds_area_where_it_grows(healthy, task, site, least_mm2):
    bare = spurs_mm2(measure_joint_space(*healthy[:2]))
    lipped = spurs_mm2(measure_joint_space(*filmed({task: 3.5})[:2]))
    assert lipped.pop(site) > bare.pop(site) + least_mm2
    assert lipped == pytest.approx(bare, abs=4)


def test_a_femur_without_osteophytes_has_no_area(healthy):
    spurs = spurs_mm2(measure_joint_space(*healthy[:2]))
    assert max(spurs[Bone.FEMUR, half] for half in Compartment) < 4


def test_a_larger_osteophyte_of_the_femur_has_more_area():
    films = [filmed({Task.FO_L: severity})[:2] for severity in (1.5, 2.5, 3.5)]
    areas = [measure_joint_space(*film).lateral.femur_spur.mm2 for film in films]
    assert areas == sorted(areas)
    assert areas[2] > areas[0] + 6


def test_the_end_of_the_picture_is_no_side_of_a_bone(healthy):
    radiograph, landmarks, _ = healthy
    pixels = radiograph.pixels + radiograph.pixels.max()
    pixels[0, 0] = 0  # darker than the film beside the bone, as a corner without exposure
    last = int(landmarks.points_px[15, 1] + 9 / SPACING)  # medial bone, little beside it
    whole, cut = (
        spurs_mm2(measure_joint_space(radiograph_of(part), landmarks))
        for part in (pixels, pixels[:, :last])
    )
    assert cut == pytest.approx(whole, abs=1)


def test_the_angle_needs_shafts_and_says_where_they_are_short():
    long = measure_joint_space(*filmed(size_mm=(240, 170))[:2])
    short = measure_joint_space(*filmed(size_mm=(140, 130))[:2])
    stump = measure_joint_space(*filmed(size_mm=(100, 100))[:2])
    assert 165 < long.femorotibial.degrees < 180
    assert Flag.SHAFTS_SHORT not in long.flags
    assert Flag.SHAFTS_SHORT in short.flags
    assert short.femorotibial.degrees == pytest.approx(long.femorotibial.degrees, abs=5)
    assert stump.femorotibial is None
    assert Flag.SHAFTS_SHORT not in stump.flags


def test_the_angle_grows_where_the_tibia_turns_in():
    radiograph, landmarks, _ = filmed(size_mm=(240, 170))
    points = landmarks.points_px
    turned, angle = radiograph.pixels.copy(), np.deg2rad(4)
    first = int(points[:, 0].max()) + 60  # rows of the tibial shaft lean to the medial side
    for row in range(first, len(turned)):
        turned[row] = np.roll(turned[row], round(np.tan(angle) * (row - first)))
    one = measure_joint_space(radiograph, landmarks).femorotibial.degrees
    other = measure_joint_space(radiograph_of(turned), landmarks).femorotibial.degrees
    assert other - one == pytest.approx(4, abs=1)


def test_no_edge_to_follow_is_flagged_and_leaves_the_landmarks_curve(healthy):
    _, landmarks, _ = healthy
    rows = np.linspace(0, 1, 650, dtype=np.float32)[:, None]
    space = measure_joint_space(radiograph_of(rows * np.ones((1, 600))), landmarks)
    assert Flag.MARGIN_NOT_TRACED in space.flags
    middle = landmarks.points_px[7]
    row = np.interp(middle[1], space.medial.tibia_px[:, 1], space.medial.tibia_px[:, 0])
    assert row == pytest.approx(middle[0], abs=2)


def two_rims(landmarks, apart_px):
    """A picture of two dark-bright steps below each other along the landmarks' tibial line."""
    rows, cols = np.mgrid[:650, :600]
    order = np.argsort(landmarks.points_px[:9, 1])
    tibia, femur = landmarks.points_px[:9][order], landmarks.points_px[9:]
    first = np.interp(cols[0], tibia[:, 1], tibia[:, 0])
    above = np.interp(cols[0], femur[:, 1], femur[:, 0])
    picture = 100.0 * (rows < above) + 90.0 * (rows > first) + 60.0 * (rows > first - apart_px)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    return radiograph_of(picture + noise)


def test_rims_of_the_plateau_that_do_not_coincide_are_flagged(healthy):
    _, landmarks, _ = healthy
    apart = measure_joint_space(two_rims(landmarks, 12), landmarks)
    together = measure_joint_space(two_rims(landmarks, 0), landmarks)
    assert Flag.PLATEAU_RIMS_APART in apart.flags
    assert apart.medial.rim_distance.mm == pytest.approx(12 * SPACING, abs=0.5)
    assert Flag.PLATEAU_RIMS_APART not in together.flags


def test_widths_are_never_negative_where_bones_overlap(healthy):
    radiograph, landmarks, _ = healthy
    points = landmarks.points_px.copy()
    points[9:, 0] = points[:9][[0, 1, 2, 4, 6, 7, 8], 0] + 12
    blank = radiograph_of(np.random.default_rng(2).normal(0, 1, radiograph.pixels.shape))
    space = measure_joint_space(blank, landmarks_at(points))
    for part in (space.lateral, space.medial):
        assert part.minimum.share >= 0
        assert part.area.share >= 0
    assert min(part.minimum.share for part in space.compartments.values()) == 0


def test_what_is_no_measure_is_refused(healthy):
    with pytest.raises(ValueError, match="A length must be finite and 0 or more"):
        Length(-0.01, None)
    with pytest.raises(ValueError, match="An area must be finite and 0 or more"):
        Area(0.1, float("nan"))
    space = measure_joint_space(*healthy[:2])
    with pytest.raises(ValueError, match="all known or none is"):
        replace(space, width_mm=None)
    with pytest.raises(ValueError, match="exactly where the spacing is known"):
        replace(space, width_mm=None, spacing_mm=None, spacing_source=SpacingSource.UNKNOWN)
    with pytest.raises(ValueError, match="a lateral and a medial compartment"):
        replace(space, compartments={Compartment.MEDIAL: space.medial})
    with pytest.raises(ValueError, match="from one point to another"):
        replace(space.medial, fixed_line_px=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="read-only"):
        space.medial.femur_px[0] = 0


def test_a_plateau_without_width_is_refused(healthy):
    radiograph, landmarks, _ = healthy
    points = landmarks.points_px.copy()
    points[8] = points[0]
    with pytest.raises(ValueError, match="must differ"):
        measure_joint_space(radiograph, landmarks_at(points))
