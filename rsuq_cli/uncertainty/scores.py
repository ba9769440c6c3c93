"""Uncertainty of a batch of logits, every measure in one go.

Invariant: a deterministic function of the logits, computed in float32 whatever the precision of the model, larger =
more uncertain. Logits that are not all finite are no answer: infinitely uncertain by every measure.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from rsuq_cli.uncertainty.measures import MEASURES

_GEN_EXPONENT, _GEN_CLASSES = 0.1, 100
# Probabilities in bfloat16 sum to 1 within this.
_ROUNDING = 0.02


class Scores(NamedTuple):
    """Every measure, float32 `[M, N]`, one row for each of `MEASURES` in its order, and the softmax `[N, K]`.

    `answered` `[N]` says where the logits are all finite; elsewhere the measures are infinite and the softmax is 0.
    """

    values: torch.Tensor
    probabilities: torch.Tensor
    answered: torch.Tensor


def score(logits: torch.Tensor) -> torch.Tensor:
    """Returns the uncertainty of logits `[N, K]` as float32 `[M, N]`, one row for each of `MEASURES`, in its order."""
    return scores(logits).values


def scores(logits: torch.Tensor) -> Scores:
    """Returns every measure of logits `[N, K]`, and the softmax that most of them come from.

    Entropy, confidence and margin are scaled to [0, 1]. Energy: Liu et al. 2020 (T = 1); maximum logit: Hendrycks et
    al. 2022; GEN: Liu et al. 2023 (gamma = 0.1, top 100 classes).
    """
    z = logits.float()
    classes = z.shape[1]
    log_p = torch.log_softmax(z, dim=1)
    p = log_p.exp()
    top = log_p.topk(min(2, classes), dim=1).values
    # 1 - p of the largest, without the cancellation of subtracting two numbers near one.
    confidence = -torch.expm1(top[:, 0])
    second = top[:, 1].exp() if classes > 1 else torch.zeros_like(confidence)
    entropy = torch.special.entr(p).sum(dim=1) / math.log(max(classes, 2))
    largest = p if classes <= _GEN_CLASSES else p.topk(_GEN_CLASSES, dim=1).values
    # The power by exp and log: torch's own rounds differently where a thread's share ends, so its last bit would depend
    # on the size of the batch and the number of threads.
    gen = (largest * (1.0 - largest)).clamp_min(0.0).log().mul(_GEN_EXPONENT).exp().sum(dim=1)
    values = {
        "entropy": entropy.clamp(0.0, 1.0),
        "confidence": confidence.clamp(0.0, 1.0),
        "margin": (confidence + second).clamp(0.0, 1.0),
        "energy": -torch.logsumexp(z, dim=1),
        "max_logit": -z.amax(dim=1),
        "gen": gen,
    }
    stacked = torch.stack([values[name] for name in MEASURES])
    answered = is_answer(z)
    return Scores(torch.where(answered, stacked, torch.inf), torch.where(answered[:, None], p, 0.0), answered)


def is_answer(logits: torch.Tensor) -> torch.Tensor:
    """Returns where logits `[N, K]` are all finite, `[N]`: a sample without an answer votes for no class."""
    # Zero times what is not finite is not a number: a quarter of the time of asking each value.
    return (logits * 0).sum(dim=1) == 0


def look_like_probabilities(found: Scores) -> torch.Tensor:
    """Returns `[N]`, true where what the model gave as logits lies in [0, 1] and sums to 1, within rounding.

    The logits are got back from the softmax and the energy, −logsumexp: no second pass over them is needed.
    """
    energy = found.values[list(MEASURES).index("energy")]
    z = found.probabilities.log() - energy[:, None]
    inside = (z > -_ROUNDING) & (z < 1 + _ROUNDING)
    return inside.all(dim=1) & ((z.sum(dim=1) - 1).abs() < _ROUNDING)
