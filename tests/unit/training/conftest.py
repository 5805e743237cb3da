from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_landmarks import write_made_landmarks
from made_store import write_made_store

from kneegrade.training.grader.recipe import Recipe
from kneegrade.training.recipe_fields import read_recipe_text

RECIPE_TEXT = """
name = "tiny"
tasks = ["kl"]
decoding = "expected"
seed = 7
n_folds = 3

[input]
size_px = 64
field_of_view_plateau_widths = 1.25
lateral_first = true
clip_percentiles = [1.0, 99.0]
enhancement = { tiles = 8, clip_limit = 5.0, local_contrast = 29.0 }

[network]
backbone = "test_efficientnet"
start = "random"
dropout = 0.5

[schedule]
epochs = 2
batch_size = 4
learning_rate = 1e-3
warmup_share = 0.1
weight_decay = 0.03
ema_decay = 0.9
precision = "32-true"

[loss]
label_smoothing = 0.05
expected_grade_weight = 0.5

[augment]
rotation_deg = 8.0
shift_share = 0.05
scale_share = 0.10
gamma = 2.0
p_gamma = 0.5
p_window = 0.3
p_enhance = 0.25
p_flatten = 0.25
p_blur = 0.3
p_noise = 0.2
"""


@pytest.fixture(scope="session")
def recipe_text() -> str:
    """A recipe for a network so small that an epoch takes a blink."""
    return RECIPE_TEXT


@pytest.fixture(scope="session")
def recipe(recipe_text: str) -> Recipe:
    return Recipe.from_toml(recipe_text)


@pytest.fixture(scope="session")
def full_recipe() -> Recipe:
    """The shipped recipe, with random weights to start from."""
    shipped = Recipe.from_toml(read_recipe_text("kl-lite0"))
    return replace(shipped, network=replace(shipped.network, start="random"))


@pytest.fixture(scope="session")
def knees() -> pd.DataFrame:
    """Both knees of 8 subjects: 6 to train on, 2 to select on."""
    subjects = [f"s{number}" for number in range(8)]
    return pd.DataFrame(
        {
            "cohort": "made-up",
            "subject_id": np.repeat(subjects, 2),
            "visit_months": pd.array([0] * 16, dtype="Int16"),
            "side": ["right", "left"] * 8,
            "reading": "one",
            "image_path": [f"{s}-{side}.png" for s in subjects for side in ("r", "l")],
            "kl": pd.array([0, 1, 2, 3, 4, 0, 1, None, 2, 3, 4, 0, 1, 2, 3, 4], dtype="Int8"),
            "split": ["train"] * 12 + ["val"] * 4,
            "contrast": "enhanced",
        }
    )


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, knees: pd.DataFrame) -> Path:
    """An ROI store of made-up pictures: the higher the grade, the narrower the dark band."""
    rng = np.random.default_rng(1)
    pictures = []
    for grade in knees["kl"].fillna(0):
        picture = rng.integers(90, 160, size=(64, 64)).astype(np.uint8)
        picture[27 : 36 - 2 * int(grade)] = 20
        pictures.append(picture)
    return write_made_store(knees, pictures, tmp_path_factory.mktemp("store") / "rois")


@pytest.fixture(scope="session")
def landmark_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The landmark table of six drawn films, see `write_made_landmarks`."""
    return write_made_landmarks(tmp_path_factory.mktemp("landmarks"))
