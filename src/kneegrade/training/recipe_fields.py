"""What the recipes of the grader and of the locator share: schedule, augmentation, reading."""

import tomllib
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from kneegrade.errors import RecipeError

R = TypeVar("R")
Precision = Literal["32-true", "bf16-mixed"]
RECIPES_FOLDER: Final = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class ScheduleSpec:
    """Optimisation: AdamW, cosine warm-up and decay, EMA of the weights.

    Parameters
    ----------
    epochs, batch_size : int
    learning_rate : float
        At its peak.
    warmup_share : float
        Share of all steps over which the rate rises.
    weight_decay : float
        On weights of two or more dimensions.
    ema_decay : float
        Decay per step of the exponential moving average of the weights, which is what is kept.
    precision : str
        ``32-true`` or ``bf16-mixed``.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_share: float
    weight_decay: float
    ema_decay: float
    precision: Precision

    def __post_init__(self) -> None:
        require(self.epochs > 0, "epochs", "1 or more", self.epochs)
        require(self.batch_size > 1, "batch_size", "2 or more", self.batch_size)
        require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        require(0 <= self.warmup_share < 1, "warmup_share", "in [0, 1)", self.warmup_share)
        require(0 <= self.ema_decay < 1, "ema_decay", "in [0, 1)", self.ema_decay)
        require(
            self.precision in {"32-true", "bf16-mixed"},
            "precision",
            "32-true or bf16-mixed",
            self.precision,
        )


@dataclass(frozen=True)
class AugmentSpec:
    """Random changes of a training image.

    Parameters
    ----------
    rotation_deg, shift_share, scale_share : float
        Largest rotation, shift (share of the width) and change of scale, uniform, always drawn.
    gamma : float
        Largest gamma; drawn log-uniform between its inverse and itself.
    p_gamma, p_window, p_enhance, p_flatten, p_blur, p_noise : float
        Probabilities of: gamma; a linear window that saturates up to a tenth of either end; CLAHE
        (again); stronger low frequencies with weaker fine structure, as before an enhancement; a
        Gaussian blur; Gaussian noise.
    """

    rotation_deg: float
    shift_share: float
    scale_share: float
    gamma: float
    p_gamma: float
    p_window: float
    p_enhance: float
    p_flatten: float
    p_blur: float
    p_noise: float

    def __post_init__(self) -> None:
        require(self.gamma >= 1, "gamma", "1 or more", self.gamma)
        for name in ("p_gamma", "p_window", "p_enhance", "p_flatten", "p_blur", "p_noise"):
            require(0 <= getattr(self, name) <= 1, name, "in [0, 1]", getattr(self, name))


def read_recipe_text(name_or_path: str) -> str:
    """Text of a recipe that ships with the package (by name) or of a file.

    Raises
    ------
    RecipeError
        ``recipe.not-found``.
    """
    shipped = RECIPES_FOLDER / f"{name_or_path}.toml"
    for path in (Path(name_or_path), shipped):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    names = ", ".join(sorted(path.stem for path in RECIPES_FOLDER.glob("*.toml")))
    raise RecipeError(
        "recipe.not-found",
        f"A recipe must be a .toml file or one of: {names}. Got {name_or_path!r}.",
        "Check the name or path.",
    )


def parse_recipe(text: str, build: Callable[[dict[str, Any]], R]) -> R:
    """Build a recipe from the values of a TOML text; what goes wrong is ``recipe.invalid``."""
    try:
        return build(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise invalid_recipe(f"It is not TOML: {error}.") from error
    except (TypeError, ValueError) as error:
        raise invalid_recipe(f"{error}.") from error


def take_fields(values: Any, cls: type) -> dict[str, Any]:
    """Demand that a TOML table has exactly the fields of a dataclass."""
    if not isinstance(values, dict):
        raise invalid_recipe(f"{cls.__name__} must be a table. Got {values!r}.")
    names = {field.name for field in fields(cls)}
    unknown = sorted(set(values) - names)
    missing = sorted(
        field.name for field in fields(cls) if field.name not in values and field.default is MISSING
    )
    if unknown or missing:
        raise invalid_recipe(
            f"{cls.__name__}: unknown {unknown or 'none'}, missing {missing or 'none'}."
        )
    return values


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Demand a value in its range, else ``recipe.invalid``."""
    if not condition:
        raise invalid_recipe(f"{name} must be {expected}. Got {got!r}.")


def invalid_recipe(what: str) -> RecipeError:
    """The error of a recipe that cannot be used."""
    return RecipeError(
        "recipe.invalid",
        f"The recipe cannot be used. {what}",
        "Compare it with the recipes that ship with kneegrade.",
    )
