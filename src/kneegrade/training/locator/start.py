"""A bundle's locator -> weights that a landmark network starts from.

In an ONNX file each convolution holds its batch normalisation too. The two are taken apart again,
so that whoever has a bundle, but not the run that it came from, can train its locator further.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from kneegrade.bundles.manifest import read_bundle
from kneegrade.errors import RecipeError
from kneegrade.training.locator.network import LandmarkNetwork
from kneegrade.training.locator.recipe import Stage
from kneegrade.training.onnx_file import read_onnx_weights


def find_locator_file(bundle: str | Path, stage: Stage) -> Path:
    """The ONNX file of one stage of a bundle's locator.

    Raises
    ------
    BundleError
        As `read_bundle`.
    """
    locator = read_bundle(bundle).locator
    return locator.film if stage is Stage.FILM else locator.knee


def load_onnx_weights(network: LandmarkNetwork, path: Path, images: Tensor) -> None:
    """Give a network the weights of an ONNX file that was written from one like it.

    Parameters
    ----------
    network : LandmarkNetwork
        Afterwards it computes what the file does, in evaluation mode.
    path : Path
    images : (n, 1, size, size) tensor
        Network inputs as training shows them: what batch normalisation takes for the mean and
        variance of each convolution's output is measured on these.

    Raises
    ------
    RecipeError
        ``run.other-recipe`` if the file is of a different network.
    """
    weights = read_onnx_weights(path)
    for convolution, norm in _pair_norms(network).items():
        bias = weights.get(f"{convolution}.weight_bias", torch.empty(0))
        weights |= {
            f"{norm}.weight": torch.ones_like(bias),
            f"{norm}.bias": bias,
            f"{norm}.running_mean": torch.zeros_like(bias),
            f"{norm}.running_var": torch.ones_like(bias),
            f"{norm}.num_batches_tracked": torch.tensor(0),
        }
    state = network.state_dict()
    fitting = {name: weights[name] for name in state if name in weights}
    if {k: v.shape for k, v in fitting.items()} != {k: v.shape for k, v in state.items()}:
        raise RecipeError(
            "run.other-recipe",
            f"{path} is of a different network from the recipe's.",
            "Start from a bundle whose locator has the recipe's stage and [network].",
        )
    network.load_state_dict(fitting)
    _measure_norms(network, images)


def _pair_norms(network: LandmarkNetwork) -> dict[str, str]:
    """Name of each convolution that a batch normalisation follows, and that one's name."""
    return {
        f"{name}.{i}": f"{name}.{i + 1}"
        for name, block in network.named_modules()
        if isinstance(block, nn.Sequential)
        for i, part in enumerate(block)
        if isinstance(part, nn.Conv2d)
    }


@torch.no_grad()
def _measure_norms(network: LandmarkNetwork, images: Tensor) -> None:
    """Give each normalisation, which only adds its bias so far, the mean and variance it meets."""

    def settle(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        norm.running_mean, norm.running_var = mean, variance
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)

    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    was_training = network.training
    network.eval()(images)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
