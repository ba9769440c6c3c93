"""The 6n + 2 networks against the published layout: counts from He et al. 2016, names from released checkpoints."""

import pytest
import torch

from rsuq_cli.models.cifar_resnet import CifarResNet

# He et al. 2016, Table 6, in millions. Ours has 1×1 convolutions on two shortcuts, which adds a little.
PUBLISHED_MILLIONS = {20: 0.27, 32: 0.46, 56: 0.85, 110: 1.7}
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def published_names(depth: int) -> set[str]:
    """Returns the names in a released state dict of Cohen et al. 2019, spelled out from its layout."""
    names = {"conv1.weight", "fc.weight", "fc.bias"} | {f"bn1.{part}" for part in BATCH_NORM}
    for layer in (1, 2, 3):
        for block in range((depth - 2) // 6):
            prefix = f"layer{layer}.{block}"
            names |= {f"{prefix}.conv1.weight", f"{prefix}.conv2.weight"}
            names |= {f"{prefix}.bn{index}.{part}" for index in (1, 2) for part in BATCH_NORM}
        if layer > 1:
            names.add(f"layer{layer}.0.downsample.0.weight")
            names |= {f"layer{layer}.0.downsample.1.{part}" for part in BATCH_NORM}
    return names


@pytest.mark.parametrize("depth", [20, 32, 56, 110])
def test_names_and_sizes_are_the_published_ones(depth: int) -> None:
    with torch.device("meta"):
        network = CifarResNet(depth, 10)
    assert set(network.state_dict()) == published_names(depth)
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert millions == pytest.approx(PUBLISHED_MILLIONS[depth], rel=0.03)
    convolutions = [m for name, m in network.named_modules() if "conv" in name]
    assert len(convolutions) + 1 == depth


def test_shapes_are_the_published_ones() -> None:
    shapes = {name: tuple(value.shape) for name, value in CifarResNet(20, 10).state_dict().items()}
    assert shapes["conv1.weight"] == (16, 3, 3, 3)
    assert shapes["layer2.0.downsample.0.weight"] == (32, 16, 1, 1)
    assert shapes["layer3.2.conv2.weight"] == (64, 64, 3, 3)
    assert shapes["fc.weight"] == (10, 64)


@pytest.mark.parametrize("side", [32, 28, 8])
def test_other_sizes_work(side: int) -> None:
    assert CifarResNet(20, 5).eval()(torch.rand(2, 3, side, side)).shape == (2, 5)


@pytest.mark.parametrize("depth", [2, 7, 21])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="6n"):
        CifarResNet(depth, 10)
