"""``recipe.toml``: how to train. Every value is in the file; nothing is set elsewhere."""

from dataclasses import dataclass
from typing import Any, Self

from kneegrade.bundles.manifest import Decoding, EnhancementSpec, InputSpec, PoseSpec
from kneegrade.training.recipe_fields import (
    AugmentSpec,
    ScheduleSpec,
    parse_recipe,
    require,
    take_fields,
)
from kneegrade.types import Task


@dataclass(frozen=True)
class NetworkSpec:
    """The network.

    Parameters
    ----------
    backbone : str
        Name of a model in timm.
    start : str
        ``imagenet`` (weights from an installed package) or ``random``.
    dropout : float
        Before each task's linear layer, in [0, 1).
    """

    backbone: str
    start: str
    dropout: float

    def __post_init__(self) -> None:
        require(self.start in {"imagenet", "random"}, "start", "imagenet or random", self.start)
        require(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)


@dataclass(frozen=True)
class LossSpec:
    """Cross-entropy plus a share of the squared error of the expected grade.

    Parameters
    ----------
    label_smoothing : float
        In [0, 1).
    expected_grade_weight : float
        0 leaves the cross-entropy alone.
    """

    label_smoothing: float
    expected_grade_weight: float

    def __post_init__(self) -> None:
        require(0 <= self.label_smoothing < 1, "label_smoothing", "in [0, 1)", self.label_smoothing)
        require(
            self.expected_grade_weight >= 0,
            "expected_grade_weight",
            "0 or more",
            self.expected_grade_weight,
        )


@dataclass(frozen=True)
class Recipe:
    """A whole recipe.

    Parameters
    ----------
    name : str
    tasks : tuple of Task
    decoding : Decoding
        How the bundle will report a grade.
    seed : int
    n_folds : int
        Subject-wise folds where the knee table has no published split.
    """

    name: str
    tasks: tuple[Task, ...]
    decoding: Decoding
    seed: int
    n_folds: int
    input: InputSpec
    network: NetworkSpec
    schedule: ScheduleSpec
    loss: LossSpec
    augment: AugmentSpec

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
        tasks = tuple(Task(name) for name in spec["tasks"])
        decoding = Decoding(spec["decoding"])
        require(bool(tasks), "tasks", "one task or more", spec["tasks"])
        look = take_fields(spec["input"], InputSpec)
        enhancement = look["enhancement"]
        return cls(
            name=str(spec["name"]),
            tasks=tasks,
            decoding=decoding,
            seed=int(spec["seed"]),
            n_folds=int(spec["n_folds"]),
            input=InputSpec(
                **{
                    **look,
                    "enhancement": EnhancementSpec(**take_fields(enhancement, EnhancementSpec))
                    if enhancement
                    else None,
                    "clip_percentiles": tuple(look["clip_percentiles"]),
                    "poses": tuple(
                        PoseSpec(**take_fields(p, PoseSpec)) for p in look.get("poses", [{}])
                    ),
                }
            ),
            network=NetworkSpec(**take_fields(spec["network"], NetworkSpec)),
            schedule=ScheduleSpec(**take_fields(spec["schedule"], ScheduleSpec)),
            loss=LossSpec(**take_fields(spec["loss"], LossSpec)),
            augment=AugmentSpec(**take_fields(spec["augment"], AugmentSpec)),
        )
