"""Now and then some inputs again, in other company: a network that answers for one input at a time says the same.

Invariant: noise samples are independent only if their answers are, so a network whose answer to an input moves with the
rest of the batch, with the size of the batch or from call to call is found out, and sampling ends; under one row in a
hundred is asked twice. Which rows are, and in what company, is fixed beforehand.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from rsuq_cli.errors import BadInput
from rsuq_cli.sampling.agreement import differing
from rsuq_cli.sampling.device import inference
from rsuq_cli.sampling.forward import Forward

KEPT, ANCHORS = 16, 8
# Rows between two checks, in rows of one check. A small pass takes longer for a row: with it a third of a percent.
_EVERY = 1024
# What is left unchecked at the end of a count is at most an eighth of that.
_LEFT = _EVERY // 8
HINT = "look for dropout, statistics of the batch, or a state that changes in its forward pass"


class Refuted(BadInput):
    """The network does not answer for one input at a time: nothing that was sampled from it is a certificate."""


class Kept(NamedTuple):
    """Inputs of a batch, copied before the network saw them, and the rows `[KEPT]` that they were in."""

    inputs: torch.Tensor
    rows: torch.Tensor


class Watch:
    """Asks a forward pass again. `rows` is what a pass for a few inputs takes on this device."""

    def __init__(self, forward: Forward, rows: int) -> None:
        self._forward, self.rows = forward, rows
        self._largest = self._since = 0
        self._anchor: tuple[torch.Tensor, torch.Tensor] | None = None

    def keep(self, noisy: torch.Tensor, used: int) -> Kept | None:
        """Returns some of the `used` inputs of a batch that is about to run, None where none are to be asked again."""
        self._since += used
        if used <= self._largest and self._since < _EVERY * self.rows:
            return None
        rows = torch.linspace(0, used - 1, min(KEPT, used), device=noisy.device).round().long()
        return Kept(noisy[rows].clone(), rows)

    def compare(self, kept: Kept, passes: torch.Tensor, used: int) -> None:
        """Asks again; raises Refuted where an answer differs from that in the batch's `passes` `[rows, T, K]`."""
        self._ask(kept.inputs, passes[kept.rows])
        self._largest, self._since = max(self._largest, used), 0

    def conclude(self) -> None:
        """Asks the first inputs of all once more; raises Refuted where the answers have changed since."""
        if self._anchor is not None and self._since >= _LEFT * self.rows:
            self._ask(*self._anchor)
            self._since = 0

    def _ask(self, inputs: torch.Tensor, expected: torch.Tensor) -> None:
        if self._anchor is None:
            # Answers of one moment are compared with each other, and with those of the first.
            self._anchor = inputs[:ANCHORS].clone(), expected[:ANCHORS].clone()
        asked = torch.cat([inputs, self._anchor[0]])
        said = torch.cat([expected, self._anchor[1]])
        found = self._among_others(asked)
        if not self._differ(said, found):
            return
        if self._differ(found, self._among_others(asked)):
            raise Refuted("the model answers differently each time", HINT)
        raise Refuted(
            "the model: the answer to an input depends on the others in its batch, or on what it was asked before", HINT
        )

    def _differ(self, before: torch.Tensor, after: torch.Tensor) -> bool:
        """Returns whether two answers `[N, T, K]` to the same inputs are not the same, in any pass."""
        return bool(differing(before.flatten(0, 1), after.flatten(0, 1), self._forward.precision).any())

    def _among_others(self, inputs: torch.Tensor) -> torch.Tensor:
        """Returns the passes `[N, T, K]` over inputs, in a batch of them and brighter and darker ones."""
        others = torch.cat([4 * inputs - 1.5, 1 - inputs, -2 * inputs])
        count = max(self.rows - len(inputs), 0)
        batch = torch.cat([inputs, others[torch.arange(count, device=inputs.device) % len(others)]])
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0)).to(inputs.device)
        with inference(self._forward.device, self._forward.precision):
            passes = self._forward.passes(batch[order])
        return passes[order.argsort()][: len(inputs)]
