"""Several normalisations of one network on the same noisy inputs: which of them answers best.

Invariant: candidates are compared on inputs that all of them saw, so a difference is theirs alone; whoever is clearly
worse drops out, so that a clear case costs little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.special import bdtr

from rsuq_cli.datasets.dataset import Split, pixels
from rsuq_cli.models.loading import LoadedModel
from rsuq_cli.models.normalise import Normalise
from rsuq_cli.models.statistics import Statistics
from rsuq_cli.run.cautions import is_near_chance
from rsuq_cli.sampling.device import inference

# Inputs of a round, after which candidates are dropped.
_ROUND = 64
# A candidate is worse than another where a sign test on the inputs that only one of them has right says so.
_DECISIVE = 0.001
# By how many standard errors a mean probability counts as higher, and what a single sample can weigh at most.
_ERRORS = 3.0
_LEAST = -20.0
# Candidates that answer more of the samples differently are different networks, and it matters which is meant.
_SAME_ANSWERS = 0.02


@dataclass
class Candidate:
    """A normalisation, and what the network with it says of the samples so far, in their order.

    `answers` are the classes, `right` says which of them are right, and `likelihoods` are the logarithms of the
    probability of the label.
    """

    name: str
    statistics: Statistics
    answers: list[int] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    likelihoods: list[float] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return float(np.mean(self.right))

    @property
    def likelihood(self) -> float:
        """The mean logarithm of the probability of the label."""
        return float(np.mean(self.likelihoods))

    def is_worse(self, than: Candidate) -> bool:
        """Returns whether a sign test says so, over the samples that both have seen (McNemar 1947, exact)."""
        pairs = list(zip(self.right, than.right, strict=False))
        won, lost = sum(ours > theirs for ours, theirs in pairs), sum(ours < theirs for ours, theirs in pairs)
        return lost > won and bool(2 * bdtr(won, won + lost, 0.5) < _DECISIVE)

    def is_likelier(self, than: Candidate) -> bool:
        """Returns whether the labels are more probable, by so many standard errors of the paired differences."""
        gain = np.array(self.likelihoods) - np.array(than.likelihoods)
        return bool(gain.mean() > _ERRORS * gain.std() / len(gain) ** 0.5)

    def differs(self, other: Candidate) -> float:
        """Returns the share of the samples that are answered differently."""
        return float(np.mean(np.array(self.answers) != np.array(other.answers)))


def with_statistics(model: LoadedModel, statistics: Statistics) -> LoadedModel:
    """Returns the model of the zoo with another normalisation in its first layer; the module is the same object."""
    layer = model.module.get_submodule("normalise")
    assert isinstance(layer, Normalise)
    model.module.normalise = Normalise(*statistics, out_channels=layer.out_channels).eval()
    return replace(model, normalisation=statistics)


class Race:
    """Candidates on `most` copies of the same inputs under noise of `sigma`, dropped once they are worse than the best.

    `left` are those that were not dropped; clean inputs are seen once.
    """

    def __init__(
        self, model: LoadedModel, candidates: Sequence[Candidate], split: Split, sigma: float, device: torch.device,
        most: int,
    ) -> None:  # fmt: skip
        self.sigma, self.inputs = sigma, len(split)
        self.candidates = self.left = list(candidates)
        self._labels = split.labels
        generator = torch.Generator().manual_seed(0)
        samples = most if sigma else min(most, len(split))
        for start in range(0, samples, _ROUND):
            positions = torch.arange(start, min(start + _ROUND, samples)) % len(split)
            images = pixels(split.images[positions])
            noisy = images + sigma * torch.randn(images.shape, generator=generator)
            for one in self.left:
                _answer(one, with_statistics(model, one.statistics), noisy, split.labels[positions], device)
            best = self.most_accurate
            self.left = [one for one in self.left if not one.is_worse(best)]
            if len(self.left) == 1:
                break
        model.module.to("cpu")

    @property
    def most_accurate(self) -> Candidate:
        """The candidate that is right most often of those that are left."""
        return max(self.left, key=lambda one: one.accuracy)

    @property
    def useless(self) -> bool:
        """Whether even the most accurate knows nothing of the labels."""
        answers = np.array(self.most_accurate.answers[: self.inputs])
        return is_near_chance(self._labels[: len(answers)].numpy(), answers)

    def chosen(self, preferred: str) -> Candidate:
        """Returns the likeliest of those left, or the one of the preferred name where no other is clearly likelier.

        Accuracy alone seldom tells similar normalisations apart; the probability of the labels does. Where nothing
        tells anything, the first of all is as good as another.
        """
        if self.useless:
            return self.candidates[0]
        best = max(self.left, key=lambda one: one.likelihood)
        return next((one for one in self.left if one.name == preferred and not best.is_likelier(one)), best)

    def unclear(self, taken: Candidate) -> list[Candidate]:
        """Returns those that are neither worse than the one taken nor nearly the same network."""
        others = (one for one in self.left if one is not taken and not taken.is_likelier(one))
        return [one for one in others if one.differs(taken) > _SAME_ANSWERS]


def _answer(
    one: Candidate, model: LoadedModel, images: torch.Tensor, labels: torch.Tensor, device: torch.device
) -> None:
    """Adds what the network says of a round; logits that are no numbers give class -1."""
    with inference(device, "fp32"):
        logits = model.module.to(device)(images.to(device)).float().cpu()
        likelihoods = torch.log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
    classes = torch.where(logits.isfinite().all(dim=1), logits.argmax(dim=1), -1)
    one.answers += classes.tolist()
    one.right += (classes == labels).tolist()
    one.likelihoods += likelihoods.nan_to_num(_LEAST, posinf=_LEAST).clamp_min(_LEAST).tolist()
