"""What an objective is, and the noise that all of them train under.

Invariant: an objective sees clean pixels in [0, 1] and adds its own noise, fresh at every call, from the generator
that it is given and from nothing else. Noise is never clipped. What is repeated is image-major: an image's copies stand
together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from rsuq_cli.datasets.dataset import pixels
from rsuq_cli.errors import BadInput

Value = int | float | bool | str
# In the memory of a training: how many images there are.
IMAGES = "images"


class Batch(NamedTuple):
    """What a loss is of: `images` `[N, C, H, W]` in [0, 1], `labels` `[N]`, `sigma` in pixel units.

    `generator` lives on their device. `progress` is the share of all epochs that is done when this one is, in (0, 1].
    `rows` `[N]` are the positions of the images among those that are trained on, and `memory` is what an objective
    keeps from step to step, by name: tensors of its own, which an interrupted training keeps, too.
    """

    images: torch.Tensor
    labels: torch.Tensor
    sigma: float
    generator: torch.Generator
    progress: float
    rows: torch.Tensor
    memory: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Data:
    """All that is trained on, before an epoch: `before` is the share of the epochs that are done, in [0, 1).

    `images` `[N, C, H, W]` are as they are stored; the rest is as in a `Batch`.
    """

    images: torch.Tensor
    labels: torch.Tensor
    sigma: float
    generator: torch.Generator
    before: float
    memory: dict[str, torch.Tensor]

    def pixels(self, part: slice) -> torch.Tensor:
        """Returns some of the images in [0, 1]."""
        return pixels(self.images[part])


@dataclass(frozen=True)
class UnderNoise(ABC):
    """What every objective is: the mean loss over a batch, under `noises` draws for every image and step.

    An objective is a frozen dataclass: its fields are its parameters, numbers or words, each with a default. It raises
    BadInput in `__post_init__` for a value out of its range. `published` has, by the sigma that they were published
    for, the parameters that differ from those defaults.
    """

    noises: int = 1

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {}
    # Whether it is about what a denoiser makes of an image, whatever the network behind it is.
    of_denoiser: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check("noises", self.noises, self.noises >= 1, "at least 1")

    def passes(self, sigma: float) -> float:
        """Returns what a step costs at this sigma, in plain steps on the same images: a forward and a backward pass."""
        return float(self.noises)

    @abstractmethod
    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss, a scalar with gradient."""

    def order(self, model: nn.Module, data: Data) -> torch.Tensor:
        """Returns the positions of the images in the order in which an epoch takes them."""
        return torch.randperm(len(data.labels), device=data.labels.device, generator=data.generator)


def denoiser_of(model: nn.Module) -> nn.Module:
    """Returns what stands in front of the network of a model that is trained as a denoiser."""
    return model.get_submodule("denoiser")


def network_behind(model: nn.Module) -> nn.Module:
    """Returns the network behind the denoiser, which is not trained."""
    return model.get_submodule("network")


def check(name: str, value: Value, holds: bool, must: str) -> None:
    """Raises BadInput where the value of a parameter is impossible."""
    if not holds:
        raise BadInput(f"{name} is {value}", f"it must be {must}")


def add_noise(images: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Returns `images + N(0, σ²)`, in pixel space and not clipped, as the certificate assumes."""
    return draw(images, 1, sigma, generator).add_(images)


def draw(images: torch.Tensor, noises: int, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Returns noise `[N · noises, C, H, W]` for images `[N, C, H, W]`: those of an image stand together."""
    shape = (len(images) * noises, *images.shape[1:])
    return torch.randn(shape, device=images.device, generator=generator).mul_(sigma)


def repeated(rows: torch.Tensor, noises: int) -> torch.Tensor:
    """Returns every row `noises` times, one after the other, as `draw` has the noise."""
    return rows if noises == 1 else rows.repeat_interleave(noises, dim=0)


def log_softmaxes(logits: torch.Tensor, noises: int) -> torch.Tensor:
    """Returns the logarithms of the softmax of logits `[N · noises, K]`, in float32, by image: `[N, noises, K]`."""
    return logits.float().log_softmax(dim=1).view(-1, noises, logits.shape[1])


def log_mean(log_p: torch.Tensor) -> torch.Tensor:
    """Returns the logarithm of the mean over the noises: `[N, K]` of `[N, noises, K]`."""
    return log_p.logsumexp(dim=1) - torch.log(torch.tensor(float(log_p.shape[1])))


def entropy(log_p: torch.Tensor) -> torch.Tensor:
    """Returns -Σ p log p over the last dimension."""
    return -(log_p.exp() * log_p).sum(dim=-1)


def divergence(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Returns KL(p‖q) = Σ p (log p - log q) over the last dimension."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def warmed(progress: float, share: float) -> float:
    """Returns the factor of a warm-up that takes so large a share of the epochs: 1 once it is over."""
    return 1.0 if share <= 0 else min(1.0, progress / share)
