"""What a rejected noise sample is worth and costs: how much radius its mass is, where its input stands.

Invariant: radii are in units of sigma, of the smoothed class of the draws themselves; an input whose smoothed class is
wrong has no radius, and its samples are worth and cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

# How many draws the probabilities of the network stand for, beside the votes that were counted: raw counts of few draws
# take easy inputs for certain, where a sample is worth most.
_PRIOR = 16.0
_SMALLEST = 1e-3


@dataclass(frozen=True, eq=False)
class Draws:
    """Noisy draws of images, every image with as many.

    `features` `[S, F]`; `classes`, `labels` and `images` `[S]` are the class that was named, the right one, and which
    image it is (0 to I - 1); `right` `[S]` is the probability that the network gives to the label.
    """

    features: Floats
    classes: Integers
    labels: Integers
    images: Integers
    right: Floats

    def __len__(self) -> int:
        return len(self.classes)

    def of(self, chosen: Flags) -> Draws:
        """Returns the draws of some of the images, `chosen` `[S]`, numbered anew."""
        numbers = np.unique(self.images[chosen], return_inverse=True)[1]
        return Draws(
            self.features[chosen], self.classes[chosen], self.labels[chosen], numbers.astype(np.int64),
            self.right[chosen],
        )  # fmt: skip

    @property
    def wrong(self) -> Flags:
        """Which draws name another class than the right one, `[S]`."""
        wrong: Flags = self.classes != self.labels
        return wrong

    @property
    def counts(self) -> bool:
        """Whether there is a wrong draw of an image whose smoothed class is right: all that rejecting can gain by."""
        return bool((self.wrong & self.answered_right[self.images]).any())

    @cached_property
    def answered_right(self) -> Flags:
        """Which images most of the draws are right about, `[I]`: a tie with another class counts as wrong."""
        votes = np.zeros((int(self.images.max(initial=-1)) + 1, int(max(self.classes.max(), self.labels.max())) + 1))
        np.add.at(votes, (self.images, self.classes), 1)
        labels = np.zeros(len(votes), np.int64)
        labels[self.images] = self.labels
        own = votes[np.arange(len(votes)), labels]
        votes[np.arange(len(votes)), labels] = -1
        right: Flags = own > votes.max(axis=1)
        return right

    def masses(self, certain: Flags) -> tuple[Floats, Floats]:
        """Returns the wrong and the right mass of every image, `[I]` each, among the draws that are `certain` `[S]`.

        Counts, with the network's own probabilities as so many draws more, at least 0.001 and at most 0.999.
        """
        size = np.bincount(self.images)
        found = []
        for counted, probable in ((self.wrong, 1 - self.right), (~self.wrong, self.right)):
            share = np.bincount(self.images, weights=certain * probable) / size
            number = np.bincount(self.images, weights=certain & counted)
            found.append(np.clip((number + _PRIOR * share) / (size + _PRIOR), _SMALLEST, 1 - _SMALLEST))
        return found[0], found[1]


class Weights(NamedTuple):
    """What rejecting a draw gains by the NCL radius, and what it costs of the CC radius, `[S]` each, in sigma."""

    worth: Floats
    cost: Floats


def weights(draws: Draws, certain: Flags) -> Weights:
    """Returns the weights of draws where those that are not `certain` are rejected already.

    The slope of a radius in its mass q is 1 / phi(Phi^-1(q)): a sample of an easy input is worth most.
    """
    wrong_mass, right_mass = draws.masses(certain)
    worth, cost = (draws.answered_right / norm.pdf(norm.ppf(mass)) for mass in (wrong_mass, right_mass))
    return Weights(worth[draws.images] * draws.wrong, cost[draws.images] * ~draws.wrong)


class Outcome(NamedTuple):
    """What rejecting gains by the average NCL radius, and costs of the average CC radius, as shares of the standard
    radius.
    """

    gain: float
    cost: float


def outcome(draws: Draws, scores: Floats, coverage: float) -> Outcome:
    """Returns gain and cost where the share `coverage` of the draws with the lowest scores `[S]` is certain."""
    certain = scores <= np.quantile(scores, coverage, method="inverted_cdf")
    everything = np.ones(len(draws), dtype=np.bool_)
    standard = _average(draws, draws.masses(everything)[1])
    wrong_mass, right_mass = draws.masses(certain)
    if standard == 0:
        return Outcome(0.0, 0.0)
    return Outcome(_average(draws, 1 - wrong_mass) / standard - 1, 1 - _average(draws, right_mass) / standard)


def _average(draws: Draws, mass: Floats) -> float:
    radii = np.where(draws.answered_right, np.maximum(norm.ppf(mass), 0.0), 0.0)
    return float(radii.mean())
