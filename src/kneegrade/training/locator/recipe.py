"""``recipe.toml`` of a landmark network: how to train one of the locator's two stages."""

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from kneegrade.bundles.manifest import KNEE_SCORES
from kneegrade.training.recipe_fields import (
    AugmentSpec,
    ScheduleSpec,
    parse_recipe,
    require,
    take_fields,
)


class Stage(StrEnum):
    """What a landmark network looks at."""

    FILM = "film"
    """The whole film: the two ends of each knee's tibial plateau."""
    KNEE = "knee"
    """One knee, lateral first, about level: sixteen points, and what spoils the image."""

    @property
    def n_points(self) -> int:
        """Heat maps: lateral and medial end of the right, then of the left plateau; or sixteen."""
        return 4 if self is Stage.FILM else 16

    @property
    def n_scores(self) -> int:
        """Further outputs of a knee: `KNEE_SCORES`."""
        return 0 if self is Stage.FILM else len(KNEE_SCORES)


@dataclass(frozen=True)
class LandmarkInputSpec:
    """What the network sees.

    Parameters
    ----------
    size_px : int
        Rows and columns; a multiple of 32.
    field_of_view_plateau_widths : float
        Width of the image of one knee; ignored for a film.
    clip_percentiles : (low, high)
        Grey values outside are clipped before mean and standard deviation are set to 0 and 1.
    """

    size_px: int
    field_of_view_plateau_widths: float
    clip_percentiles: tuple[float, float]

    def __post_init__(self) -> None:
        require(
            self.size_px > 0 and self.size_px % 32 == 0,
            "size_px",
            "a multiple of 32",
            self.size_px,
        )
        low, high = self.clip_percentiles
        require(0 <= low < high <= 100, "clip_percentiles", "rising within 0..100", (low, high))


@dataclass(frozen=True)
class LandmarkNetworkSpec:
    """The network: channels at each halving of the resolution, and the width of the target.

    Parameters
    ----------
    channels : tuple of int
    sigma_px : float
        Standard deviation of the Gaussian that the heat map is taught, in its px.
    """

    channels: tuple[int, ...]
    sigma_px: float

    def __post_init__(self) -> None:
        enough = len(self.channels) > 1 and min(self.channels) > 0
        require(enough, "channels", "two or more numbers above 0", self.channels)
        require(self.sigma_px > 0, "sigma_px", "above 0", self.sigma_px)


@dataclass(frozen=True)
class LandmarkAugmentSpec(AugmentSpec):
    """Random changes of an image with landmarks.

    Parameters
    ----------
    p_invert : float
        Probability of dark bone.
    p_cover : float
        Probability of a patch, as of burnt-in text, over part of the image.
    stretch_share : float
        By how much a pixel may be higher than wide, or wider than high.
    p_marker : float
        Probability of a lead letter or of steel beads beside the knee.
    p_not_knee, p_metal, p_motion : float
        Shares of images of one knee that are made into an image of something else, a knee with
        metal, or a knee with motion.
    """

    p_invert: float
    p_cover: float
    stretch_share: float
    p_marker: float
    p_not_knee: float
    p_metal: float
    p_motion: float

    def __post_init__(self) -> None:
        super().__post_init__()
        made_kinds = ("p_not_knee", "p_metal", "p_motion")
        for name in ("p_invert", "p_cover", "stretch_share", "p_marker", *made_kinds):
            require(0 <= getattr(self, name) <= 1, name, "in [0, 1]", getattr(self, name))
        made = self.p_not_knee + self.p_metal + self.p_motion
        require(made <= 1, ", ".join(made_kinds), "at most 1 together", made)


@dataclass(frozen=True)
class LandmarkRecipe:
    """A whole recipe.

    Parameters
    ----------
    name : str
    stage : Stage
    seed : int
    n_folds : int
        Subjects are dealt to this many folds by the hash of their id.
    knees_per_table : int
        Images of an epoch that each landmark table gives; of a larger table a random part is
        used, a smaller one is used more than once.
    """

    name: str
    stage: Stage
    seed: int
    n_folds: int
    knees_per_table: int
    input: LandmarkInputSpec
    network: LandmarkNetworkSpec
    schedule: ScheduleSpec
    augment: LandmarkAugmentSpec

    def __post_init__(self) -> None:
        require(self.n_folds > 1, "n_folds", "2 or more", self.n_folds)
        require(self.knees_per_table > 0, "knees_per_table", "1 or more", self.knees_per_table)
        width = self.input.field_of_view_plateau_widths
        given = width > 0 or self.stage is Stage.FILM
        require(given, "field_of_view_plateau_widths", "above 0", width)

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Build a recipe from the text of a ``recipe.toml``.

        Raises
        ------
        RecipeError
            ``recipe.invalid``, naming the first value that is missing, unknown or out of range.
        """
        return parse_recipe(text, cls._from_values)

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> Self:
        spec = take_fields(values, cls)
        return cls(
            name=str(spec["name"]),
            stage=Stage(spec["stage"]),
            seed=int(spec["seed"]),
            n_folds=int(spec["n_folds"]),
            knees_per_table=int(spec["knees_per_table"]),
            input=LandmarkInputSpec(**_tuples(take_fields(spec["input"], LandmarkInputSpec))),
            network=LandmarkNetworkSpec(
                **_tuples(take_fields(spec["network"], LandmarkNetworkSpec))
            ),
            schedule=ScheduleSpec(**take_fields(spec["schedule"], ScheduleSpec)),
            augment=LandmarkAugmentSpec(**take_fields(spec["augment"], LandmarkAugmentSpec)),
        )


def is_landmark_recipe(text: str) -> bool:
    """Whether a recipe trains a landmark network: it names a stage."""
    try:
        return "stage" in tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
