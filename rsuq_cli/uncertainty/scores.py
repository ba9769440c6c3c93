"""Uncertainty of a batch of answers, every measure that is asked for in one go.

Invariant: a deterministic function of the logits, computed in float32 whatever the precision of the model, larger =
more uncertain. Logits that are not all finite are no answer: infinitely uncertain by every measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from rsuq_cli.uncertainty.forms import Outputs, form_of
from rsuq_cli.uncertainty.predictor import PLAIN
from rsuq_cli.uncertainty.rejecter import Rejecter

# Probabilities in bfloat16 sum to 1 within this.
_ROUNDING = 0.02


class Scores(NamedTuple):
    """The measures asked for, float32 `[M, N]`, one row for each in the order asked, and the softmax `[N, K]`.

    `classes` `[N]` are those that are named. `answered` `[N]` says where the logits of all passes are finite; elsewhere
    the measures are infinite and the softmax is 0.
    """

    values: torch.Tensor
    probabilities: torch.Tensor
    answered: torch.Tensor
    classes: torch.Tensor


def score(logits: torch.Tensor) -> torch.Tensor:
    """Returns the uncertainty of logits `[N, K]` of one pass as float32 `[M, N]`, a row for each of its measures."""
    return scores(logits).values


def scores(
    passes: torch.Tensor, measures: Iterable[str] | None = None, decide: str = "single",
    rejecter: Rejecter | None = None,
) -> Scores:  # fmt: skip
    """Returns the measures named of logits `[N, K]`, or of those of several passes `[N, T, K]`, and the softmax.

    Where none is named, they are those of one pass.
    Raises BadInput for a measure that there is not, and for that of a fitted rejecter without one.
    """
    outputs = Outputs(passes, decide, rejecter)
    values = [form_of(measure).value(outputs) for measure in (PLAIN.measures if measures is None else measures)]
    answered = is_answer(outputs.passes.flatten(1))
    return Scores(
        torch.where(answered, torch.stack(values), torch.inf),
        torch.where(answered[:, None], outputs.p, 0.0),
        answered,
        outputs.decided,
    )


def is_answer(logits: torch.Tensor) -> torch.Tensor:
    """Returns where logits `[N, K]` are all finite, `[N]`: a sample without an answer votes for no class."""
    # Zero times what is not finite is not a number: a quarter of the time of asking each value.
    return (logits * 0).sum(dim=1) == 0


def look_like_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Returns `[N]`, true where what a model gave as logits `[N, K]` lies in [0, 1] and sums to 1, within rounding."""
    inside = (logits > -_ROUNDING) & (logits < 1 + _ROUNDING)
    return inside.all(dim=1) & ((logits.sum(dim=1) - 1).abs() < _ROUNDING)
