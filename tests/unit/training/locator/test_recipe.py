import pytest
from made_landmarks import landmark_recipe_text

from kneegrade.errors import RecipeError
from kneegrade.training.grader.recipe import Recipe
from kneegrade.training.locator.recipe import LandmarkRecipe, Stage, is_landmark_recipe
from kneegrade.training.recipe_fields import RECIPES_FOLDER, read_recipe_text

TEXTS = {path.stem: read_recipe_text(path.stem) for path in RECIPES_FOLDER.glob("*.toml")}
SHIPPED = sorted(name for name, text in TEXTS.items() if is_landmark_recipe(text))


def code_of(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        LandmarkRecipe.from_toml(text)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_is_whole(name: str) -> None:
    recipe = LandmarkRecipe.from_toml(TEXTS[name])
    assert recipe.name == name
    assert name.startswith(f"locator-{recipe.stage.value}")
    halvings = len(recipe.network.channels)
    assert recipe.input.size_px % 2**halvings == 0, "every level has whole pixels"


def test_both_stages_have_recipes_and_grading_has_others() -> None:
    assert {LandmarkRecipe.from_toml(TEXTS[name]).stage for name in SHIPPED} == set(Stage)
    for name in set(TEXTS) - set(SHIPPED):
        assert Recipe.from_toml(TEXTS[name]).name == name


def test_a_recipe_that_starts_from_another_has_the_same_network() -> None:
    for stage in Stage:
        recipes = [LandmarkRecipe.from_toml(TEXTS[name]) for name in SHIPPED]
        alike = {(r.network, r.input) for r in recipes if r.stage is stage}
        assert len(alike) == 1, stage


def test_values_are_read() -> None:
    recipe = LandmarkRecipe.from_toml(landmark_recipe_text(Stage.KNEE, p_invert="0.25"))
    assert recipe.stage is Stage.KNEE
    assert recipe.network.channels == (4, 8)
    assert recipe.input.clip_percentiles == (1.0, 99.0)
    assert recipe.augment.p_invert == 0.25
    assert (Stage.FILM.n_points, Stage.FILM.n_scores) == (4, 0)
    assert (Stage.KNEE.n_points, Stage.KNEE.n_scores) == (16, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stage", '"hand"'),
        ("seed", '"x"'),
        ("n_folds", '"two"'),
        ("size_px", "70"),
        ("size_px", "0"),
        ("size_px", '"wide"'),
        ("clip_percentiles", "[99.0, 1.0]"),
        ("clip_percentiles", "[1.0]"),
        ("channels", "[4]"),
        ("channels", "4"),
        ("sigma_px", "0.0"),
        ("epochs", "0"),
        ("batch_size", "0"),
        ("learning_rate", "-1.0"),
        ("precision", '"8-bit"'),
        ("p_blur", "1.5"),
        ("knees_per_table", "0"),
        ("n_folds", "1"),
        ("p_invert", "-0.1"),
        ("p_cover", "1.5"),
        ("p_not_knee", "2.0"),
        ("p_metal", "1.5"),
        ("p_motion", "-1.0"),
        ("p_marker", "1.1"),
        ("stretch_share", "2.0"),
        ("channels", "[4, 0]"),
        ("field_of_view_plateau_widths", "-1.0"),
    ],
)
def test_a_value_out_of_range(name: str, value: str) -> None:
    assert code_of(landmark_recipe_text(Stage.KNEE, **{name: value})) == "recipe.invalid"


def test_not_knees_and_metal_are_no_more_than_all_pictures() -> None:
    text = landmark_recipe_text(Stage.KNEE, p_not_knee="0.6", p_metal="0.6")
    assert code_of(text) == "recipe.invalid"


@pytest.mark.parametrize("stage", Stage)
def test_a_recipe_for_one_knee_says_how_wide_it_is(stage: Stage) -> None:
    text = landmark_recipe_text(stage, field_of_view_plateau_widths="0.0")
    if stage is Stage.FILM:
        assert LandmarkRecipe.from_toml(text).stage is stage
    else:
        assert code_of(text) == "recipe.invalid"


@pytest.mark.parametrize("name", ["name", "stage", "seed", "size_px", "channels", "p_cover"])
def test_a_missing_value(name: str) -> None:
    lines = landmark_recipe_text(Stage.FILM).splitlines()
    kept = [line for line in lines if not line.startswith(f"{name} = ")]
    assert len(kept) == len(lines) - 1
    assert code_of("\n".join(kept)) == "recipe.invalid"


@pytest.mark.parametrize("part", ["", "[input]", "[network]", "[schedule]", "[augment]"])
def test_an_unknown_value(part: str) -> None:
    text = landmark_recipe_text(Stage.FILM)
    place = text.index("stage") if not part else text.index(part) + len(part) + 1
    assert code_of(f"{text[:place]}colour = 3\n{text[place:]}") == "recipe.invalid"


@pytest.mark.parametrize("text", ["", "stage", "= no", "stage = 3", 'input = "film"'])
def test_no_recipe_at_all(text: str) -> None:
    assert code_of(text) == "recipe.invalid"


@pytest.mark.parametrize("text", ["", "= no", 'name = "stage"', "[input]\nstage = 1"])
def test_what_names_no_stage_is_no_landmark_recipe(text: str) -> None:
    assert not is_landmark_recipe(text)
