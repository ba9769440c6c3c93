"""Dropout that stays on (Gal and Ghahramani 2016), with masks that are a function of the input.

Invariant: what a mask drops depends on (seed, the bits of the input, pass, layer, element) alone. A network with its
masks is therefore one fixed function of a noisy input, as every certificate assumes: no two samples share a mask, and
batch, order, worker and resume make no difference.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.masks import dropped, keys_of
from rsuq_cli.models.monte_carlo import MonteCarlo
from rsuq_cli.models.zoo import Shape

# Whose masks have an entry for every element, and whose have one for every channel.
_BY_ELEMENT, _BY_CHANNEL = (nn.Dropout,), (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_OTHERS = (nn.AlphaDropout, nn.FeatureAlphaDropout)
_INPUTS = 4

# Batch norm is folded by tracing, which takes these as they are.
torch.fx.wrap("keys_of")
torch.fx.wrap("dropped")


class NoLastLayer(BadInput):
    """A network does not end with one linear layer."""

    def __init__(self, spec: str) -> None:
        super().__init__(
            f"{spec} does not end with one linear layer",
            "for --mc-dropout give it nn.Dropout layers of its own, and for training leave --frozen-body out",
        )


class _Masks:
    """The keys `[N]` of the inputs that are being asked about, and which pass it is; None where nothing is dropped."""

    def __init__(self) -> None:
        self.keys: torch.Tensor | None = None
        self.turn = 0


class _Dropped(nn.Module):
    """In the place of a network's own dropout layer."""

    def __init__(self, rate: float, layer: int, masks: _Masks, *, by_channel: bool) -> None:
        super().__init__()
        self.rate, self.layer, self.by_channel = rate, layer, by_channel
        self._masks = masks

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self._masks.keys is None:
            return features
        return dropped(
            features, self._masks.keys, self.rate, turn=self._masks.turn, layer=self.layer, by_channel=self.by_channel
        )


class _Head(nn.Module):
    """A last layer that is asked once for every mask of what it is given: the network before it is asked once."""

    def __init__(self, last: nn.Module, passes: MonteCarlo, masks: _Masks) -> None:
        super().__init__()
        self.last, self._passes, self._masks = last, passes, masks

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Returns the logits `[N, T, K]`."""
        assert self._masks.keys is not None
        plain = [self.last(features)] if self._passes.plain else []
        masked = [
            self.last(dropped(features, self._masks.keys, self._passes.rate, turn=turn, layer=0))
            for turn in range(self._passes.passes)
        ]
        return torch.stack([*plain, *masked], dim=1)


class Dropout(nn.Module):
    """Maps images `[N, C, H, W]` to logits `[N, T, K]` of so many passes, each with other masks."""

    def __init__(self, network: nn.Module, settings: MonteCarlo, masks: _Masks, *, at_once: bool) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self._masks, self._at_once = masks, at_once
        self.rates = [part.rate for part in network.modules() if isinstance(part, _Dropped)]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the logits; gradients pass through the network, and masks are constants to them."""
        keys = keys_of(images, self.settings.seed)
        try:
            if self._at_once:
                self._masks.keys = keys
                return cast("torch.Tensor", self.network(images))
            passes = []
            if self.settings.plain:
                passes.append(self.network(images.clone()).clone())
            self._masks.keys = keys
            for turn in range(self.settings.passes):
                self._masks.turn = turn
                passes.append(self.network(images.clone()).clone())
            return torch.stack(passes, dim=1)
        finally:
            self._masks.keys = None


def with_dropout(network: nn.Module, settings: MonteCarlo | None, shape: Shape, spec: str) -> nn.Module:
    """Returns a copy that is asked under masks, by the network's own dropout layers, or before its last layer where it
    has none; of no settings, the network itself.

    Raises BadInput for kinds of dropout that shift what they do not drop, and where there is no last layer to be found.
    """
    if settings is None:
        return network
    masks = _Masks()
    network = copy.deepcopy(network)
    if any(isinstance(part, _OTHERS) for part in network.modules()):
        raise BadInput(f"{spec} has alpha dropout, which --mc-dropout does not know", "use nn.Dropout, or leave it out")
    if own_layers := _own_layers(network):
        for layer, name in enumerate(own_layers):
            own = network.get_submodule(name)
            by_channel = isinstance(own, _BY_CHANNEL)
            _put(network, name, _Dropped(cast("nn.Dropout", own).p, layer, masks, by_channel=by_channel))
        return Dropout(network, settings, masks, at_once=False).eval()
    name = last_layer(network, shape, spec)
    _put(network, name, _Head(network.get_submodule(name), settings, masks))
    return Dropout(network, settings, masks, at_once=True).eval()


def _own_layers(network: nn.Module) -> list[str]:
    kinds = (*_BY_ELEMENT, *_BY_CHANNEL)
    # A layer that stands in two places has masks of its own in each.
    every = network.named_modules(remove_duplicate=False)
    return [name for name, part in every if isinstance(part, kinds) and part.p > 0]


def _put(network: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, part)


def last_layer(network: nn.Module, shape: Shape, spec: str) -> str:
    """Returns the name of the layer whose answer is the network's own; raises BadInput where there is none."""
    answers: dict[str, list[torch.Tensor]] = {}
    hooks = [
        part.register_forward_hook(lambda _, given, answer, name=name: answers.setdefault(name, []).append(answer))
        for name, part in network.named_modules()
        if isinstance(part, nn.Linear)
    ]
    place = next((parameter.device for parameter in network.parameters()), None)
    images = torch.rand((_INPUTS, *shape), generator=torch.Generator().manual_seed(0)).to(place)
    try:
        with torch.inference_mode():
            logits = network(images)
    finally:
        for hook in hooks:
            hook.remove()
    for name, given in answers.items():
        if len(given) == 1 and given[0].shape == logits.shape and bool((given[0] == logits).all()):
            return name
    raise NoLastLayer(spec)
