"""What each measure computes: from logits, and in a form that gradients pass through.

Invariant: every measure of `MEASURES` has a form here, and the two functions of a form agree wherever float32 can tell.
Larger means more uncertain, and a row of logits gives the same bits whatever rows stand around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch

from rsuq_cli.errors import BadInput, nearest

_GEN_EXPONENT, _GEN_CLASSES = 0.1, 100


class Outputs:
    """Logits `[N, K]` in float32, and what several measures need of them, computed once."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits.float()

    @property
    def classes(self) -> int:
        """K."""
        return self.logits.shape[1]

    @cached_property
    def log_p(self) -> torch.Tensor:
        """Logarithm of the softmax, `[N, K]`."""
        return torch.log_softmax(self.logits, dim=1)

    @cached_property
    def p(self) -> torch.Tensor:
        """The softmax, `[N, K]`."""
        return self.log_p.exp()

    @cached_property
    def two_largest(self) -> torch.Tensor:
        """Logarithms of the two largest probabilities, `[N, 2]`; of one class, `[N, 1]`."""
        return self.log_p.topk(min(2, self.classes), dim=1).values

    @cached_property
    def doubt(self) -> torch.Tensor:
        """1 - p of the largest `[N]`, without the cancellation of subtracting two numbers near one."""
        return -torch.expm1(self.two_largest[:, 0])


class Form(NamedTuple):
    """A measure as functions: `value` `[N]` of the outputs, and `soft` `[N]` of logits `[N, K]`.

    `soft` is what attacks climb: the same number, with finite gradients everywhere.
    """

    value: Callable[[Outputs], torch.Tensor]
    soft: Callable[[torch.Tensor], torch.Tensor]


def _entropy(of: Outputs) -> torch.Tensor:
    entropy: torch.Tensor = torch.special.entr(of.p).sum(dim=1) / math.log(max(of.classes, 2))
    return entropy.clamp(0.0, 1.0)


def _soft_entropy(logits: torch.Tensor) -> torch.Tensor:
    log_p = torch.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(1) / math.log(max(logits.shape[1], 2))


def _confidence(of: Outputs) -> torch.Tensor:
    return of.doubt.clamp(0.0, 1.0)


def _soft_confidence(logits: torch.Tensor) -> torch.Tensor:
    return 1 - torch.log_softmax(logits, dim=1).exp().amax(1)


def _margin(of: Outputs) -> torch.Tensor:
    second = of.two_largest[:, 1].exp() if of.classes > 1 else torch.zeros_like(of.doubt)
    return (of.doubt + second).clamp(0.0, 1.0)


def _soft_margin(logits: torch.Tensor) -> torch.Tensor:
    top = torch.log_softmax(logits, dim=1).exp().topk(min(2, logits.shape[1]), dim=1).values
    return 1 - top[:, 0] + top[:, 1:].sum(1)


def _energy(of: Outputs) -> torch.Tensor:
    return _soft_energy(of.logits)


def _soft_energy(logits: torch.Tensor) -> torch.Tensor:
    return -torch.logsumexp(logits, dim=1)


def _max_logit(of: Outputs) -> torch.Tensor:
    return _soft_max_logit(of.logits)


def _soft_max_logit(logits: torch.Tensor) -> torch.Tensor:
    return -logits.amax(dim=1)


def _gen(of: Outputs) -> torch.Tensor:
    largest = of.p if of.classes <= _GEN_CLASSES else of.p.topk(_GEN_CLASSES, dim=1).values
    # The power by exp and log: torch's own rounds differently where a thread's share ends, so its last bit would depend
    # on the size of the batch and the number of threads.
    return (largest * (1.0 - largest)).clamp_min(0.0).log().mul(_GEN_EXPONENT).exp().sum(dim=1)


def _soft_gen(logits: torch.Tensor) -> torch.Tensor:
    log_p = torch.log_softmax(logits, dim=1)
    largest = log_p.topk(min(_GEN_CLASSES, logits.shape[1]), dim=1).values.clamp_max(-1e-12)
    return (_GEN_EXPONENT * (largest + torch.log(-torch.expm1(largest)))).exp().sum(1)


# Entropy, confidence and margin are scaled to [0, 1]. Energy: Liu et al. 2020 (T = 1); maximum logit: Hendrycks et al.
# 2022; GEN: Liu et al. 2023 (gamma = 0.1, top 100 classes).
FORMS: dict[str, Form] = {
    "entropy": Form(_entropy, _soft_entropy),
    "confidence": Form(_confidence, _soft_confidence),
    "margin": Form(_margin, _soft_margin),
    "energy": Form(_energy, _soft_energy),
    "max_logit": Form(_max_logit, _soft_max_logit),
    "gen": Form(_gen, _soft_gen),
}


def form_of(measure: str) -> Form:
    """Returns the functions of a measure; raises BadInput, with the nearest names, for one that there is not."""
    if measure not in FORMS:
        raise BadInput(f"this release cannot compute the uncertainty measure {measure!r}", nearest(measure, FORMS))
    return FORMS[measure]
