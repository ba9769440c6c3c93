"""A user's own module as everything else runs it: images in, logits out.

Invariant: a `Network` is the module it wraps, under the module's own weight names, and returns a tensor; its parameters
are all there, and no part of it answers by the batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from itertools import chain
from typing import Any, Self

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from rsuq_cli.errors import BadInput, RsuqError

LOGITS = "logits"
# Where torch keeps layers whose scale comes from the batch that they are given.
_BY_BATCH = "quantized.dynamic"
_MOST_NAMED = 4


class Network(nn.Module):
    """The logits of a module that returns them as a tensor, as `logits` of a dict or an object, or alone in a tuple.

    Raises BadInput, which says what was returned, where there are no logits.
    """

    def __init__(self, module: nn.Module, spec: str) -> None:
        super().__init__()
        self.module = module
        self.spec = spec

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_compiling():
            return logits_of(self.module(images), self.spec)
        try:
            output = self.module(images)
        except Exception as error:  # whatever the user's network raises, at its first pass or its thousandth
            # A full memory is a matter of the batch, and for whoever chose it.
            if isinstance(error, (RsuqError, torch.OutOfMemoryError)) or "memory" in str(error):
                raise
            raise pass_failed(self, self.spec, images, error) from error
        return logits_of(output, self.spec)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of training or evaluation; what `torch.export` made keeps the one that it was made in."""
        with contextlib.suppress(NotImplementedError):
            super().train(mode)
        return self

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Returns the module's own state, under its own names."""
        return self.module.state_dict(*arguments, **options)

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Loads a state dict of the module's own names."""
        return self.module.load_state_dict(*arguments, **options)


def as_network(module: nn.Module, spec: str, shape: tuple[int, int, int]) -> Network:
    """Returns the module as a network for images of `shape` = (C, H, W), lazy parameters filled in.

    Raises BadInput for dynamically quantised layers, and where the pass that fills lazy parameters fails.
    """
    by_batch = [part for part in module.modules() if _BY_BATCH in type(part).__module__]
    if by_batch:
        raise BadInput(
            f"{spec}: the scale of a dynamically quantised {type(by_batch[0]).__name__} comes from the whole batch, so "
            "the answer to an input depends on the others in its batch",
            "quantise statically, or certify the network as it was before",
        )
    network = Network(module, spec)
    if any(is_lazy(tensor) for tensor in _tensors(network).values()):
        _fill_in(network, shape)
    for name, tensor in _tensors(network).items():
        if is_lazy(tensor):
            raise BadInput(f"{spec}: the lazy {name} has no shape, since no forward pass uses it", "take it out")
        if tensor.is_meta:
            raise BadInput(f"{spec}: {name} lies on torch's meta device and has no values", "make it on the CPU")
    return network


def pass_failed(module: nn.Module, spec: str, images: torch.Tensor, error: Exception) -> BadInput:
    """Returns what to say of a forward pass that raised `error`."""
    other = precision_of(module)
    reason = " ".join(str(error).split())[:200] or "no message"
    return BadInput(
        f"{spec}: a forward pass on [{', '.join(map(str, images.shape))}] raised {type(error).__name__}: {reason}",
        f"its weights are {other}, and it is given float32: call .float() on it" if other
        else "it must take the data's shape, in batches of any size",
    )  # fmt: skip


def logits_of(output: Any, spec: str) -> torch.Tensor:
    """Returns the logits of what a module returned; raises BadInput where it is not clear which they are."""
    # A proxy is what torch.fx traces with, in the place of the tensor.
    if isinstance(output, (torch.Tensor, torch.fx.Proxy)):
        return output  # type: ignore[return-value]
    found = output.get(LOGITS) if isinstance(output, Mapping) else getattr(output, LOGITS, None)
    if found is None and isinstance(output, (tuple, list)) and len(output) == 1:
        (found,) = output
    if isinstance(found, (torch.Tensor, torch.fx.Proxy)):
        return found  # type: ignore[return-value]
    raise BadInput(f"{spec}: the output is {_described(output)}, not a tensor of logits", "return the logits")


def _described(output: Any) -> str:
    if isinstance(output, Mapping):
        names = [str(name) for name in output]
        more = ", …" if len(names) > _MOST_NAMED else ""
        return f"a {type(output).__name__} of {', '.join(names[:_MOST_NAMED]) or 'nothing'}{more}"
    if isinstance(output, (tuple, list)):
        parts = [
            f"[{', '.join(map(str, part.shape))}]" if isinstance(part, torch.Tensor) else type(part).__name__
            for part in output[:_MOST_NAMED]
        ]
        more = ", …" if len(output) > _MOST_NAMED else ""
        return f"a {type(output).__name__} of {', '.join(parts) or 'nothing'}{more}"
    return f"a {type(output).__name__}"


def _fill_in(network: Network, shape: tuple[int, int, int]) -> None:
    """Gives lazy parameters their shapes, by a pass that leaves nothing else behind."""
    was_training = network.training
    network.eval()
    try:
        # Not in inference mode, whose tensors could not be trained.
        with torch.no_grad():
            network(torch.zeros(2, *shape))
    finally:
        network.train(was_training)


def _tensors(network: Network) -> dict[str, torch.Tensor]:
    return {**dict(network.module.named_parameters()), **dict(network.module.named_buffers())}


def precision_of(module: nn.Module) -> str | None:
    """Returns the type of floating weights that are not float32, "float16" say; None where all are."""
    kinds = {tensor.dtype for tensor in chain(module.parameters(), module.buffers()) if tensor.is_floating_point()}
    others = sorted(str(kind).removeprefix("torch.") for kind in kinds - {torch.float32})
    return others[0] if others else None
