"""Weights that are cast to bfloat16 once, instead of by autocast for every batch.

Invariant: what is computed is what autocast computes, bit for bit, on the inputs that it is tried on; a network of
which that is not so, or whose weights are used in other ways too, is left as it is.
"""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn

from rsuq_cli.sampling.device import inference


def cast_once(module: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """Returns a copy of the module with weights of convolutions and linear layers in bfloat16, or the module itself.

    `inputs` `[N, C, H, W]` are those that the two are tried on, on the module's device.
    """
    with contextlib.suppress(Exception):  # a network that computes with its weights itself, or no memory for two
        changed = copy.deepcopy(module)
        parts = list(_castable(changed))
        for part in parts:
            part.to(torch.bfloat16)
        if parts and torch.equal(_answers(module, inputs), _answers(changed, inputs)):
            return changed
    return module


def _castable(module: nn.Module) -> Iterator[nn.Module]:
    """Yields the layers that autocast runs in bfloat16 with all that they hold, and whose weights nobody else has."""
    owners = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))
    for part in module.modules():
        hooked = part._forward_pre_hooks or part._forward_hooks
        if (
            type(part) in (nn.Conv2d, nn.Linear)
            and not hooked
            and all(owners[id(one)] == 1 for one in part.parameters())
        ):
            yield part


def _answers(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    with inference(inputs.device, "bf16"):
        answers: torch.Tensor = module(inputs.clone())
    return answers.clone()  # which a module may write its next answers into
