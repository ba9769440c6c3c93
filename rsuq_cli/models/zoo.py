"""The named architectures: one table from a name to a network of the data's size and class count.

Invariant: a model of the zoo is `Sequential(normalise, network)` and maps pixels in [0, 1] of `[N, C, H, W]` to logits
`[N, num_classes]`; importing this module does not import torchvision.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.models.cifar_resnet import CifarResNet
from rsuq_cli.models.normalise import Normalise
from rsuq_cli.models.small import CNN, MLP

Shape = tuple[int, int, int]


class Architecture(NamedTuple):
    """How to make a network, and the channels it is made for (None: whatever the data have)."""

    make: Callable[[Shape, int], nn.Module]
    channels: int | None = 3


def cifar_resnet(depth: int) -> Architecture:
    """Returns the entry of the 6n + 2 residual network of that depth."""
    return Architecture(lambda shape, num_classes: CifarResNet(depth, num_classes))


def torchvision_resnet(name: str) -> Architecture:
    """Returns the entry of torchvision's `resnet18`, `resnet50` or `wide_resnet50_2`."""

    def make(shape: Shape, num_classes: int) -> nn.Module:
        from torchvision import models

        network: nn.Module = getattr(models, name)(weights=None, num_classes=num_classes)
        if is_small(shape):
            network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            network.maxpool = nn.Identity()
        return network

    return Architecture(make)


def densenet121(shape: Shape, num_classes: int) -> nn.Module:
    """Returns torchvision's `densenet121`, with a stem for small images where they are small."""
    from torchvision import models

    network: nn.Module = models.densenet121(weights=None, num_classes=num_classes)
    if is_small(shape):
        features = network.features
        assert isinstance(features, nn.Sequential)
        features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        features.pool0 = nn.Identity()
    return network


def vit_b_16(shape: Shape, num_classes: int) -> nn.Module:
    """Returns torchvision's `vit_b_16` for square images whose side is a multiple of its 16-pixel patches."""
    _, height, width = shape
    if height != width or height % 16:
        raise BadInput(
            f"vit_b_16 cuts square images into patches of 16×16, and these are {height}×{width}",
            f"resize them with --image-size {max(16, round(max(height, width) / 16) * 16)}, or take another model",
        )
    from torchvision import models

    network: nn.Module = models.vit_b_16(weights=None, num_classes=num_classes, image_size=height)
    return network


ARCHITECTURES: dict[str, Architecture] = {
    "mlp": Architecture(MLP, channels=None),
    "cnn": Architecture(CNN, channels=None),
    "resnet20": cifar_resnet(20),
    "resnet32": cifar_resnet(32),
    "resnet56": cifar_resnet(56),
    "resnet110": cifar_resnet(110),
    "resnet18": torchvision_resnet("resnet18"),
    "resnet50": torchvision_resnet("resnet50"),
    "wide_resnet50_2": torchvision_resnet("wide_resnet50_2"),
    "densenet121": Architecture(densenet121),
    "vit_b_16": Architecture(vit_b_16),
}
NAMES: tuple[str, ...] = tuple(ARCHITECTURES)
_WEIGHTS_ENDINGS = (".pt", ".pth", ".tar", ".ckpt", ".safetensors", ".bin", ".pkl")


def channels_taken(name: str, channels: int) -> int:
    """Returns how many channels a network of that name sees of images of `channels`; theirs where it is no name."""
    return (ARCHITECTURES[name].channels if name in ARCHITECTURES else None) or channels


def unknown_model(name: str) -> BadInput:
    """Returns what to say of a name that no architecture has; a file of weights is not one either."""
    if name.lower().endswith(_WEIGHTS_ENDINGS):
        return BadInput(
            f"{name!r} is a file of weights, not a model",
            f"name its network, as --model resnet110 --weights {name} or --model net.py:make --weights {name}",
        )
    return BadInput(f"there is no model named {name!r}", nearest(name, NAMES))


def is_small(shape: Shape) -> bool:
    """Returns whether images of `(C, H, W)` would vanish in a stem made for 224×224: a side below 64 pixels."""
    return min(shape[1:]) < 64


def build(
    name: str,
    *,
    shape: Shape,
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Sequential:
    """Returns an untrained model of the zoo, on the CPU and in training mode, for images of `shape` = (C, H, W).

    Its children are `normalise` and `network`. `mean` and `std` hold one value per channel in pixel units; without
    them pixels pass unchanged. Initial weights come from torch's global generator.
    Raises BadInput for an unknown name, and for a shape that the architecture cannot take.
    """
    if name not in ARCHITECTURES:
        raise unknown_model(name)
    architecture = ARCHITECTURES[name]
    channels = shape[0]
    wanted = channels_taken(name, channels)
    if channels not in (1, wanted):
        raise BadInput(f"{name} takes images of 1 or {wanted} channels, and these have {channels}", "try cnn or mlp")
    if name == "cnn" and min(shape[1:]) < 2:
        raise BadInput(f"cnn takes images from 2×2 up, and these are {shape[1]}×{shape[2]}", "try mlp")
    mean = (0.0,) * channels if mean is None else mean
    std = (1.0,) * channels if std is None else std
    normalise = Normalise(mean, std, out_channels=wanted)
    network = architecture.make(shape, num_classes)
    return nn.Sequential(OrderedDict[str, torch.nn.Module](normalise=normalise, network=network))
