"""Modules of which a training changes a part, and what of them is kept.

Invariant: the rest neither learns nor counts: its weights need no gradients, and it stays in eval mode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self, cast

import torch
from torch import nn

from rsuq_cli.models.dropout import last_layer
from rsuq_cli.models.zoo import Shape


class PartlyTrained(nn.Module, ABC):
    """A network that stays in eval mode while a part of it, or what stands before it, is trained."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    @abstractmethod
    def kept(self) -> nn.Module:
        """What a checkpoint holds."""

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of all but the network."""
        super().train(mode)
        self.network.eval()
        return self

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Returns the state of what is kept, under its own names: the rest does not change."""
        return self.kept.state_dict(*arguments, **options)

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Loads a state of what is kept."""
        return self.kept.load_state_dict(*arguments, **options)


class FrozenBody(PartlyTrained):
    """A network of which the last layer alone is trained: few images would spoil the rest, batch statistics too."""

    def __init__(self, network: nn.Module, shape: Shape, spec: str) -> None:
        super().__init__(network)
        last = network.get_submodule(last_layer(network, shape, spec))
        network.requires_grad_(False)
        last.requires_grad_(True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the network's answers."""
        return cast("torch.Tensor", self.network(images))

    @property
    def kept(self) -> nn.Module:
        """The whole network."""
        return self.network
