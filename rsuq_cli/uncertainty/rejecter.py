"""A fitted rejecter: a linear function of what all passes over a noisy input said, or their own margin, tempered.

Invariant: it is a deterministic function of the logits, frozen before anything is certified, and a row of logits gives
the same bits whatever rows stand around it: features are looked up, and only summed along a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import torch

if TYPE_CHECKING:
    from rsuq_cli.uncertainty.forms import Outputs

Kind = Literal["linear", "temperature"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Classes behind these say next to nothing, and would make as many features as an ImageNet network has classes.
_RANKS, _MOST_ONE_HOT = 10, 100
# A probability below exp(-20) is rounding: its logarithm would outweigh everything else.
_LOWEST_LOG = -20.0


def features(of: Outputs) -> torch.Tensor:
    """Returns what a rejecter looks at, float32 `[N, F]`.

    The log-softmax of every pass and the mean softmax, both with the classes in the order of who decides, so that a
    pass that backs another class stands out; and the two leading classes, one-hot where there are at most 100.
    """
    order = torch.argsort(of.deciding, dim=1, descending=True, stable=True)
    ranked = order[:, :_RANKS]
    logs = of.passes_log_p.gather(2, ranked[:, None].expand(-1, of.passes.shape[1], -1)).clamp_min(_LOWEST_LOG)
    parts = [logs.flatten(1), of.mean_log_p.gather(1, ranked).exp()]
    if of.classes <= _MOST_ONE_HOT:
        parts += [
            torch.nn.functional.one_hot(order[:, rank], of.classes).float() for rank in range(ranked.shape[1])[:2]
        ]
    return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Rejecter:
    """A linear function of the features; of the kind "temperature", the coefficients are the temperature of each pass.

    `sha256` is that of the file that holds it.
    """

    coefficients: tuple[float, ...]
    bias: float
    sha256: str
    kind: str = "linear"

    @classmethod
    def of(cls, coefficients: Sequence[float], bias: float, sha256: str = "", kind: str = "linear") -> Rejecter:
        """Returns the rejecter of any sequence of numbers."""
        return cls(tuple(map(float, coefficients)), float(bias), sha256, kind)

    def uncertainty(self, of: Outputs) -> torch.Tensor:
        """Returns ½(1 + s/(1 + |s|)) of the linear score s, `[N]` in [0, 1]: it grows with s, and finitely.

        Of temperatures, half the own margin of the mean of the tempered softmaxes.
        """
        if self.kind == "temperature":
            return self._tempered_margin(of)
        found = features(of)
        score = (found * _weights(self, found.device)).sum(dim=1) + self.bias
        return 0.5 * (1 + score / (1 + score.abs()))

    def _tempered_margin(self, of: Outputs) -> torch.Tensor:
        log_p = torch.log_softmax(of.passes / _weights(self, of.passes.device)[:, None], dim=2)
        mean = torch.logsumexp(log_p, dim=1) - math.log(of.passes.shape[1])
        own = of.decided[:, None]
        others = mean.exp().scatter(1, own, 0.0).amax(1)
        return (0.5 * (others - torch.expm1(mean.gather(1, own)[:, 0]))).clamp(0.0, 1.0)


@lru_cache(maxsize=8)
def _weights(rejecter: Rejecter, device: torch.device) -> torch.Tensor:
    """Returns the coefficients on a device, float32 `[F]`; gradients may pass beside them, whoever asked first."""
    with torch.inference_mode(False):
        return torch.tensor(rejecter.coefficients, dtype=torch.float32).to(device)
