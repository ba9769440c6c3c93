"""Uncertainty of a batch of logits, every measure that is asked for in one go.

Invariant: a deterministic function of the logits, computed in float32 whatever the precision of the model, larger =
more uncertain. Logits that are not all finite are no answer: infinitely uncertain by every measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from rsuq_cli.uncertainty.forms import Outputs, form_of
from rsuq_cli.uncertainty.measures import MEASURES

# Probabilities in bfloat16 sum to 1 within this.
_ROUNDING = 0.02


class Scores(NamedTuple):
    """The measures asked for, float32 `[M, N]`, one row for each in the order asked, and the softmax `[N, K]`.

    `answered` `[N]` says where the logits are all finite; elsewhere the measures are infinite and the softmax is 0.
    """

    values: torch.Tensor
    probabilities: torch.Tensor
    answered: torch.Tensor


def score(logits: torch.Tensor) -> torch.Tensor:
    """Returns the uncertainty of logits `[N, K]` as float32 `[M, N]`, one row for each of `MEASURES`, in its order."""
    return scores(logits).values


def scores(logits: torch.Tensor, measures: Iterable[str] | None = None) -> Scores:
    """Returns the measures named of logits `[N, K]` (all of `MEASURES`, in its order, where none is), and the softmax.

    Raises BadInput for a measure that there is not.
    """
    outputs = Outputs(logits)
    values = [form_of(measure).value(outputs) for measure in (MEASURES if measures is None else measures)]
    answered = is_answer(outputs.logits)
    return Scores(
        torch.where(answered, torch.stack(values), torch.inf), torch.where(answered[:, None], outputs.p, 0.0), answered
    )


def is_answer(logits: torch.Tensor) -> torch.Tensor:
    """Returns where logits `[N, K]` are all finite, `[N]`: a sample without an answer votes for no class."""
    # Zero times what is not finite is not a number: a quarter of the time of asking each value.
    return (logits * 0).sum(dim=1) == 0


def look_like_probabilities(found: Scores) -> torch.Tensor:
    """Returns `[N]`, true where what the model gave as logits lies in [0, 1] and sums to 1, within rounding.

    The logits are got back from the softmax and the energy, −logsumexp: no second pass over them is needed. `found`
    has every measure.
    """
    energy = found.values[list(MEASURES).index("energy")]
    z = found.probabilities.log() - energy[:, None]
    inside = (z > -_ROUNDING) & (z < 1 + _ROUNDING)
    return inside.all(dim=1) & ((z.sum(dim=1) - 1).abs() < _ROUNDING)
