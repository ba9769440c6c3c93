"""Models that other libraries name: `timm:NAME`, `torchvision:NAME`, `hf:REPOSITORY`, each with `@SIDE` for another
size.

Invariant: such a model is `Sequential(resize, normalise, network)`: it maps pixels in [0, 1] of the data's size to
logits, and what its library does to an image before the network sees it is part of the function. Resizing is
deterministic, differentiable and the same whatever lies in the batch.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.errors import BadInput
from rsuq_cli.models.libraries import from_timm, from_torchvision, from_transformers
from rsuq_cli.models.libraries.prescription import Prescription
from rsuq_cli.models.normalise import Normalise
from rsuq_cli.models.statistics import Statistics

Shape = tuple[int, int, int]
_LIBRARIES: dict[str, ModuleType] = {
    "timm": from_timm, "torchvision": from_torchvision, "hf": from_transformers,
}  # fmt: skip
_SIZED = re.compile(r"(.+)@([1-9][0-9]{0,3})", re.DOTALL)


class Named(NamedTuple):
    """The library of a model, its name there, and the side of the images that it is to see, None for the usual."""

    library: str
    name: str
    side: int | None


class Resize(nn.Module):
    """Resizes images `[N, C, H, W]` to `to` = (H, W) and takes the `cut` = (H, W) in their middle.

    Bilinear and bicubic interpolation are antialiased, as Pillow's are; every image is resized by itself.
    """

    def __init__(self, to: tuple[int, int], cut: tuple[int, int], interpolation: str) -> None:
        super().__init__()
        self.to_size, self.cut, self.interpolation = to, cut, interpolation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        antialias = self.interpolation in ("bilinear", "bicubic")
        resized = F.interpolate(images, size=self.to_size, mode=self.interpolation, antialias=antialias)
        top, left = (round((whole - part) / 2) for whole, part in zip(self.to_size, self.cut, strict=True))
        return resized[:, :, top : top + self.cut[0], left : left + self.cut[1]]

    def extra_repr(self) -> str:
        return f"to={self.to_size}, cut={self.cut}, {self.interpolation}"


@dataclass(frozen=True)
class LibraryModel:
    """A model of a library for images of `shape`, what its library prescribes, and how many classes it answers with."""

    module: nn.Sequential
    prescription: Prescription
    shape: Shape
    outputs: int

    def recorded(self) -> dict[str, Any]:
        """Returns where the noise is added, and what is done to an image after that: (C, H, W), pixels."""
        resize = self.module.get_submodule("resize")
        done = {"resize": list(resize.to_size), "interpolation": resize.interpolation} if isinstance(resize, Resize) \
            else {}  # fmt: skip
        return {"noise_at": list(self.shape), "seen_at": list(self.prescription.size), **done}


def named(spec: str) -> Named:
    """Returns the parts of a name such as `timm:resnet18@32`; a folder that ends so is one."""
    library, _, name = spec.partition(":")
    sized = _SIZED.fullmatch(name)
    if sized is None or (library == "hf" and Path(name).is_dir()):
        return Named(library, name, None)
    return Named(library, sized[1], int(sized[2]))


def prescribed(spec: str) -> Prescription:
    """Returns what a library prescribes for a model; raises BadInput for an unknown name and a missing library."""
    library, name, side = named(spec)
    if not name:
        raise BadInput(f"{spec} names no model", f"write it as {library}:NAME")
    found: Prescription = _LIBRARIES[library].prescribed(name, side)
    return found


def from_library(
    spec: str, *, shape: Shape, outputs: int | None = None, pretrained: bool = False,
    statistics: Statistics | None = None,
) -> LibraryModel:  # fmt: skip
    """Returns a model for images of `shape` = (C, H, W) on the CPU, with the library's own weights or drawn ones.

    `outputs` is its number of classes, None for the library's own, which pretrained ones have; `statistics` stand in
    for the prescribed ones. Raises BadInput where it cannot be had, or takes images of other channels.
    """
    known = prescribed(spec)
    library, name, side = named(spec)
    channels = known.size[0]
    if shape[0] not in (1, channels):
        raise BadInput(f"{spec} takes images of {channels} channels, and these have {shape[0]}", "give data alike")
    wanted = known.outputs if outputs is None or pretrained else outputs
    network: nn.Module = _LIBRARIES[library].made(name, side, wanted, pretrained=pretrained)
    normalise = Normalise(*(statistics or known.statistics), out_channels=channels)
    parts = OrderedDict[str, nn.Module](
        resize=_resize(spec, known, shape), normalise=normalise, network=network
    )  # fmt: skip
    return LibraryModel(nn.Sequential(parts), known, shape, wanted)


def fine_tuned(spec: str, *, shape: Shape, num_classes: int) -> tuple[LibraryModel, Sequence[str]]:
    """Returns a model for other classes that begins with the library's weights, and the names of those it draws anew.

    What has the shape that it had is taken over; the rest, the last layer, comes from torch's generator.
    """
    drawn = from_library(spec, shape=shape, outputs=num_classes)
    theirs = from_library(spec, shape=shape, pretrained=True).module.state_dict()
    own = drawn.module.state_dict()
    fitting = {name: value for name, value in theirs.items() if name in own and own[name].shape == value.shape}
    drawn.module.load_state_dict({**own, **fitting})
    return drawn, [name for name in own if name not in fitting]


def _resize(spec: str, known: Prescription, shape: Shape) -> nn.Module:
    """Returns what makes of an image of the data what the network sees; nothing for data of its size."""
    sees = known.size[1:]
    if shape[1:] == sees:
        return nn.Identity()
    to = known.resized(*shape[1:])
    if to[0] < sees[0] or to[1] < sees[1]:
        raise BadInput(
            f"{spec} sees {sees[0]}×{sees[1]}, and images are resized to {to[0]}×{to[1]}", "give --image-size"
        )
    return Resize(to, (sees[0], sees[1]), known.interpolation)
