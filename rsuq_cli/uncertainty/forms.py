"""What each measure computes: from the logits of one or several passes, and in a form that gradients pass through.

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
from rsuq_cli.uncertainty.rejecter import Rejecter

_GEN_EXPONENT, _GEN_CLASSES = 0.1, 100


class Outputs:
    """What a predictor gave, `passes` logits `[N, T, K]` (or `[N, K]` of one pass), in float32, and what several
    measures need of them, computed once.

    `decide` is "single", where the first pass names the class, or "mean", where the mean of the softmax does. In the
    measures of one pass, p is the softmax of the pass that decides, or else the mean; and the logits of a mean are the
    mean of the logits. `rejecter` is the fitted one, None where there is none.
    """

    def __init__(self, passes: torch.Tensor, decide: str = "single", rejecter: Rejecter | None = None) -> None:
        self.rejecter = rejecter
        self.passes = (passes[:, None] if passes.ndim == 2 else passes).float()
        self._of_mean = decide == "mean" and self.passes.shape[1] > 1

    @property
    def classes(self) -> int:
        """K."""
        return self.passes.shape[2]

    @cached_property
    def logits(self) -> torch.Tensor:
        """Logits `[N, K]`: of the pass that decides, or the mean over the passes."""
        return self.passes.mean(dim=1) if self._of_mean else self.passes[:, 0]

    @cached_property
    def passes_log_p(self) -> torch.Tensor:
        """Logarithm of the softmax of every pass, `[N, T, K]`."""
        return torch.log_softmax(self.passes, dim=2)

    @cached_property
    def mean_log_p(self) -> torch.Tensor:
        """Logarithm of the mean of the softmax over the passes, `[N, K]`."""
        return torch.logsumexp(self.passes_log_p, dim=1) - math.log(self.passes.shape[1])

    @cached_property
    def log_p(self) -> torch.Tensor:
        """Logarithm of the softmax of the pass that decides, or of the mean, `[N, K]`."""
        return self.mean_log_p if self._of_mean else torch.log_softmax(self.logits, dim=1)

    @cached_property
    def p(self) -> torch.Tensor:
        """That softmax, `[N, K]`."""
        return self.log_p.exp()

    @property
    def deciding(self) -> torch.Tensor:
        """What the class is read off, `[N, K]`: logits of one pass (probabilities may have rounded to the same number),
        or the logarithm of the mean.
        """
        return self.mean_log_p if self._of_mean else self.logits

    @cached_property
    def decided(self) -> torch.Tensor:
        """The class that is named, `[N]`."""
        return self.deciding.argmax(dim=1)

    @cached_property
    def two_largest(self) -> torch.Tensor:
        """Logarithms of the two largest probabilities, `[N, 2]`; of one class, `[N, 1]`."""
        return self.log_p.topk(min(2, self.classes), dim=1).values

    @cached_property
    def doubt(self) -> torch.Tensor:
        """1 - p of the largest `[N]`, without the cancellation of subtracting two numbers near one."""
        return -torch.expm1(self.two_largest[:, 0])

    @cached_property
    def votes(self) -> torch.Tensor:
        """The class that every pass names, `[N, T]`."""
        return self.passes.argmax(dim=2)


class Form(NamedTuple):
    """A measure as two functions of the outputs, `[N]` each: `value`, and `soft`, which attacks climb.

    `soft` is the same number with finite gradients everywhere; of one that counts votes, a number that grows with it.
    """

    value: Callable[[Outputs], torch.Tensor]
    soft: Callable[[Outputs], torch.Tensor]


def _entropy(of: Outputs) -> torch.Tensor:
    entropy: torch.Tensor = torch.special.entr(of.p).sum(dim=1) / math.log(max(of.classes, 2))
    return entropy.clamp(0.0, 1.0)


def _soft_entropy(of: Outputs) -> torch.Tensor:
    return _entropy_of(of.log_p)


def _entropy_of(log_p: torch.Tensor) -> torch.Tensor:
    """Returns the entropy over the last dimension, / log K, with finite gradients."""
    return -(log_p.exp() * log_p).sum(-1) / math.log(max(log_p.shape[-1], 2))


def _confidence(of: Outputs) -> torch.Tensor:
    return of.doubt.clamp(0.0, 1.0)


def _soft_confidence(of: Outputs) -> torch.Tensor:
    return 1 - of.p.amax(1)


def _margin(of: Outputs) -> torch.Tensor:
    second = of.two_largest[:, 1].exp() if of.classes > 1 else torch.zeros_like(of.doubt)
    return (of.doubt + second).clamp(0.0, 1.0)


def _soft_margin(of: Outputs) -> torch.Tensor:
    top = of.p.topk(min(2, of.classes), dim=1).values
    return 1 - top[:, 0] + top[:, 1:].sum(1)


def _energy(of: Outputs) -> torch.Tensor:
    return -torch.logsumexp(of.logits, dim=1)


def _max_logit(of: Outputs) -> torch.Tensor:
    return -of.logits.amax(dim=1)


def _gen(of: Outputs) -> torch.Tensor:
    largest = of.p if of.classes <= _GEN_CLASSES else of.p.topk(_GEN_CLASSES, dim=1).values
    # The power by exp and log: torch's own rounds differently where a thread's share ends, so its last bit would depend
    # on the size of the batch and the number of threads.
    return (largest * (1.0 - largest)).clamp_min(0.0).log().mul(_GEN_EXPONENT).exp().sum(dim=1)


def _soft_gen(of: Outputs) -> torch.Tensor:
    largest = of.log_p.topk(min(_GEN_CLASSES, of.classes), dim=1).values.clamp_max(-1e-12)
    return (_GEN_EXPONENT * (largest + torch.log(-torch.expm1(largest)))).exp().sum(1)


def _own_margin(of: Outputs) -> torch.Tensor:
    return _soft_own_margin(of).clamp(0.0, 2.0)


def _soft_own_margin(of: Outputs) -> torch.Tensor:
    own = of.decided[:, None]
    others = of.mean_log_p.exp().scatter(1, own, 0.0)
    return others.amax(1) - torch.expm1(of.mean_log_p.gather(1, own)[:, 0])


def _mean_entropy(of: Outputs) -> torch.Tensor:
    return _entropy_of(of.mean_log_p).clamp(0.0, 1.0)


def _soft_mean_entropy(of: Outputs) -> torch.Tensor:
    return _entropy_of(of.mean_log_p)


def _mean_confidence(of: Outputs) -> torch.Tensor:
    return -torch.expm1(of.mean_log_p.amax(1)).clamp(-1.0, 0.0)


def _soft_mean_confidence(of: Outputs) -> torch.Tensor:
    return 1 - of.mean_log_p.exp().amax(1)


def _expected_entropy(of: Outputs) -> torch.Tensor:
    return _soft_expected_entropy(of).clamp(0.0, 1.0)


def _soft_expected_entropy(of: Outputs) -> torch.Tensor:
    return _entropy_of(of.passes_log_p).mean(1)


def _mutual_information(of: Outputs) -> torch.Tensor:
    return _soft_mutual_information(of).clamp(0.0, 1.0)


def _soft_mutual_information(of: Outputs) -> torch.Tensor:
    # As the mean distance of the passes from their mean, so that equal passes give 0 and not the rounding of a
    # difference of entropies.
    distance = (of.passes_log_p.exp() * (of.passes_log_p - of.mean_log_p[:, None])).sum(2)
    return distance.mean(1) / math.log(max(of.classes, 2))


def _variation_ratio(of: Outputs) -> torch.Tensor:
    named = torch.nn.functional.one_hot(of.votes, of.classes).sum(1)
    return 1 - named.amax(1) / of.votes.shape[1]


def _soft_variation_ratio(of: Outputs) -> torch.Tensor:
    return _soft_mean_confidence(of)


def _disagreement(of: Outputs) -> torch.Tensor:
    return (of.votes != of.decided[:, None]).sum(1) / of.votes.shape[1]


def _soft_disagreement(of: Outputs) -> torch.Tensor:
    return 1 - of.mean_log_p.exp().gather(1, of.decided[:, None])[:, 0]


def _rejecter(of: Outputs) -> torch.Tensor:
    if of.rejecter is None:
        raise BadInput("there is no fitted rejecter to tell uncertainty", "give --rejecter ID")
    return of.rejecter.uncertainty(of)


# Entropy, confidence and margin are scaled to [0, 1]. Energy: Liu et al. 2020 (T = 1); maximum logit: Hendrycks et al.
# 2022; GEN: Liu et al. 2023 (gamma = 0.1, top 100 classes).
FORMS: dict[str, Form] = {
    "entropy": Form(_entropy, _soft_entropy),
    "confidence": Form(_confidence, _soft_confidence),
    "margin": Form(_margin, _soft_margin),
    "energy": Form(_energy, _energy),
    "max_logit": Form(_max_logit, _max_logit),
    "gen": Form(_gen, _soft_gen),
    # Of several passes: Lakshminarayanan et al. 2017 for their mean, Depeweg et al. 2018 for its two parts, Gal 2016
    # for the variation ratio.
    "own_margin": Form(_own_margin, _soft_own_margin),
    "mean_entropy": Form(_mean_entropy, _soft_mean_entropy),
    "mean_confidence": Form(_mean_confidence, _soft_mean_confidence),
    "expected_entropy": Form(_expected_entropy, _soft_expected_entropy),
    "mutual_information": Form(_mutual_information, _soft_mutual_information),
    "variation_ratio": Form(_variation_ratio, _soft_variation_ratio),
    "disagreement": Form(_disagreement, _soft_disagreement),
    "rejecter": Form(_rejecter, _rejecter),
}


def form_of(measure: str) -> Form:
    """Returns the functions of a measure; raises BadInput, with the nearest names, for one that there is not."""
    if measure not in FORMS:
        raise BadInput(f"this release cannot compute the uncertainty measure {measure!r}", nearest(measure, FORMS))
    return FORMS[measure]
