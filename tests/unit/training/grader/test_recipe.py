from pathlib import Path

import pytest

from kneegrade.bundles.manifest import Decoding, EnhancementSpec, InputSpec
from kneegrade.errors import RecipeError
from kneegrade.training.grader.recipe import Recipe
from kneegrade.training.locator.recipe import is_landmark_recipe
from kneegrade.training.recipe_fields import RECIPES_FOLDER, read_recipe_text
from kneegrade.types import Task

SHIPPED = sorted(
    path.stem
    for path in RECIPES_FOLDER.glob("*.toml")
    if not is_landmark_recipe(path.read_text(encoding="utf-8"))
)


def code_of(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_toml(text)
    assert caught.value.hint
    return caught.value.code


def test_a_recipe_holds_what_its_file_says(recipe: Recipe) -> None:
    assert (recipe.name, recipe.tasks, recipe.seed) == ("tiny", (Task.KL,), 7)
    assert recipe.decoding is Decoding.EXPECTED
    assert recipe.input == InputSpec(64, 1.25, True, EnhancementSpec(8, 5.0, 29.0), (1.0, 99.0))
    assert recipe.network.backbone == "test_efficientnet"
    assert recipe.schedule.batch_size == 4
    assert recipe.loss.expected_grade_weight == 0.5
    assert recipe.augment.gamma == 2.0


def test_no_enhancement(recipe_text: str) -> None:
    line = "enhancement = { tiles = 8, clip_limit = 5.0, local_contrast = 29.0 }"
    assert line in recipe_text
    assert Recipe.from_toml(recipe_text.replace(line, "enhancement = {}")).input.enhancement is None


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_are_valid_and_named_after_their_file(name: str) -> None:
    recipe = Recipe.from_toml(read_recipe_text(name))
    assert recipe.name == name


def test_the_default_recipe_ships() -> None:
    assert "kl-lite0" in SHIPPED


def test_a_recipe_of_ones_own(tmp_path: Path, recipe_text: str) -> None:
    (tmp_path / "mine.toml").write_text(recipe_text, encoding="utf-8")
    assert read_recipe_text(str(tmp_path / "mine.toml")) == recipe_text


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    for name in ("nothing", str(tmp_path), ""):
        with pytest.raises(RecipeError) as caught:
            read_recipe_text(name)
        assert caught.value.code == "recipe.not-found"
        assert "kl-lite0" in caught.value.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed = 7", ""),
        ("seed = 7", "seed = 7\nsead = 8"),
        ('tasks = ["kl"]', 'tasks = ["kneecap"]'),
        ('tasks = ["kl"]', "tasks = []"),
        ('decoding = "expected"', 'decoding = "loudest"'),
        ("epochs = 2", "epochs = 0"),
        ("batch_size = 4", "batch_size = 1"),
        ("learning_rate = 1e-3", "learning_rate = -1.0"),
        ("learning_rate = 1e-3", "learning_rate = nan"),
        ("warmup_share = 0.1", "warmup_share = 1.0"),
        ("ema_decay = 0.9", "ema_decay = 1.0"),
        ('precision = "32-true"', 'precision = "half"'),
        ('start = "random"', 'start = "luck"'),
        ("dropout = 0.5", "dropout = 1.0"),
        ("label_smoothing = 0.05", "label_smoothing = 1.0"),
        ("expected_grade_weight = 0.5", "expected_grade_weight = -1"),
        ("gamma = 2.0", "gamma = 0.5"),
        ("p_blur = 0.3", "p_blur = 1.1"),
        ("tiles = 8, ", ""),
        ("[loss]", "[lost]"),
        ("[loss]", "loss = 3\n[unused]"),
        ("size_px = 64", "size_px = "),
    ],
)
def test_a_recipe_that_makes_no_sense(recipe_text: str, old: str, new: str) -> None:
    assert old in recipe_text
    assert code_of(recipe_text.replace(old, new)) == "recipe.invalid"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed = 7", 'seed = "seven"'),
        ('tasks = ["kl"]', "tasks = 3"),
        ("epochs = 2", 'epochs = "two"'),
        ("dropout = 0.5", 'dropout = "none"'),
        ("size_px = 64", "size_px = 0"),
        ("size_px = 64", 'size_px = "wide"'),
        ("clip_percentiles = [1.0, 99.0]", "clip_percentiles = 1.0"),
        ("clip_percentiles = [1.0, 99.0]", "clip_percentiles = [99.0, 1.0]"),
    ],
)
def test_a_value_of_another_kind(recipe_text: str, old: str, new: str) -> None:
    assert old in recipe_text
    assert code_of(recipe_text.replace(old, new)) == "recipe.invalid"
