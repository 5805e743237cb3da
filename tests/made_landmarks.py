"""Drawn films with their landmark table, and tiny recipes, for tests of landmark networks."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_films import FILM_MM, write_picture

from kneegrade.knees.landmarks.table import TabledKnee, write_landmark_table
from kneegrade.phantoms.films.film import PhantomFilm, draw_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.severity import NARROWING, OSTEOPHYTES, Severity
from kneegrade.phantoms.knees.shape import draw_body
from kneegrade.phantoms.studies.study import PHANTOM_COHORT
from kneegrade.training.locator.recipe import LandmarkRecipe, Stage
from kneegrade.training.recipe_fields import read_recipe_text
from kneegrade.types import Grades, Landmarks, LandmarkScheme, Side, Task

TINY = {
    "size_px": "64",
    "channels": "[4, 8]",
    "epochs": "2",
    "batch_size": "4",
    "knees_per_table": "8",
    "precision": '"32-true"',
    "n_folds": "2",
}
PEOPLE = ("a", "b", "c", "d", "e")
"""Ids of the people of the table; its sixth knee is a phantom."""


def landmark_recipe_text(stage: Stage, /, **changes: str) -> str:
    """A shipped recipe, made tiny; ``changes`` replace further values, as TOML."""
    text = read_recipe_text(f"locator-{stage.value}")
    for name, value in {**TINY, **changes}.items():
        text, n_found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert n_found == 1, name
    return text


def landmark_recipe(stage: Stage, /, **changes: str) -> LandmarkRecipe:
    """The same, read."""
    return LandmarkRecipe.from_toml(landmark_recipe_text(stage, **changes))


def without_chance(recipe: LandmarkRecipe) -> LandmarkRecipe:
    """A recipe that changes a picture's pose alone."""
    never = {name: 0.0 for name in vars(recipe.augment) if name.startswith("p_")}
    return replace(recipe, augment=replace(recipe.augment, **never))


def draw_coarse_film(*sides: Side, seed: int) -> PhantomFilm:
    """A film of 1 mm a pixel."""
    rng = np.random.default_rng(seed)
    grades = Grades({Task.KL: 0, **dict.fromkeys((*OSTEOPHYTES, *NARROWING), 0)})
    rows, cols = FILM_MM
    return draw_film(
        body=draw_body(sex="female", bmi=27, rng=rng),
        knees={side: Severity.from_grades(grades, rng) for side in sides},
        scanner=SCANNERS["oai-cr-a"],
        size_mm=(rows, cols * (2.5 if len(sides) == 2 else 1)),
        spacing_mm=1.0,
        rng=rng,
    )


def tabled_knees(film: PhantomFilm, cohort: str, subject: str, image_path: str) -> list[TabledKnee]:
    """The true landmarks of a film's knees."""
    return [
        TabledKnee(
            cohort,
            subject,
            image_path,
            Landmarks(side, LandmarkScheme.KNEEL_16, knee.landmarks_px, np.ones(16)),
        )
        for side, knee in film.knees.items()
    ]


def write_made_landmarks(folder: Path) -> Path:
    """Write six films of one knee, one that cannot be read, and their landmark table.

    The sixth knee is a phantom. Returns the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    knees: list[TabledKnee] = []
    for i, subject in enumerate((*PEOPLE, "p0")):
        film = draw_coarse_film(Side.LEFT if i % 2 else Side.RIGHT, seed=i)
        write_picture(folder / f"{i}.png", film)
        cohort = "own" if subject in PEOPLE else PHANTOM_COHORT
        knees += tabled_knees(film, cohort, subject, f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    knees.append(replace(knees[0], subject_id="z", image_path="broken.png"))
    write_landmark_table(knees, folder / "landmarks.csv")
    return folder / "landmarks.csv"
