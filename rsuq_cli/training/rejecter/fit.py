"""The fit of a rejecter: a logistic regression in which every draw weighs what rejecting it is worth, or costs.

Invariant: prices are compared by scores of images that the fit behind them did not see (cross-fitting by image), never
by those that it saw.
"""

from __future__ import annotations

import warnings
from itertools import product
from typing import NamedTuple

import numpy as np

from rsuq_cli.errors import BadInput
from rsuq_cli.training.rejecter.worth import Draws, Flags, Floats, Outcome, outcome, weights

# What a right sample may cost, beside what a wrong one is worth; and what any sample costs, in units of what one is
# worth on average: coverage is spent where it pays.
PRICES = (0.0, 0.5, 1.0, 2.0, 4.0)
TOLLS = (0.3, 1.0, 3.0)
FOLDS = 4
# At first as if nothing were rejected, then where the first fit has left off: the last wrong sample is worth most.
_ROUNDS = 2


class Linear(NamedTuple):
    """A linear score of the features: coefficients `[F]`, and a bias."""

    coefficients: Floats
    bias: float

    def of(self, features: Floats) -> Floats:
        """Returns the scores `[S]` of features `[S, F]`."""
        scores: Floats = features @ self.coefficients + self.bias
        return scores


class Fit(NamedTuple):
    """The rejecter, the price and the toll that were chosen, and what it gains and costs of images it did not see.

    `affordable` says whether any price keeps to the cost that was asked for.
    """

    linear: Linear
    price: float
    toll: float
    expected: Outcome
    affordable: bool


def fitted(draws: Draws, *, coverage: float, max_cost: float) -> Fit:
    """Returns the rejecter that gains most at a coverage among those that cost at most `max_cost` of the CC radius.

    Raises BadInput where no draw is wrong on an image whose smoothed class is right, so that nothing can be gained.
    """
    if not draws.counts:
        raise BadInput(
            "the network is never wrong on noisy copies of images that it is right about: nothing is to be gained",
            "a rejecter is for a larger --sigma, or a data set with more calibration images",
        )
    folds = _folds(draws)
    found = []
    for price, toll in product(PRICES, TOLLS):
        scores = np.zeros(len(draws))
        for fold in folds:
            scores[fold.held_out] = weighed(fold.others, price, toll, coverage).of(draws.features[fold.held_out])
        found.append((price, toll, outcome(draws, scores, coverage)))
    within = [one for one in found if one[2].cost <= max_cost]
    price, toll, expected = (
        max(within, key=lambda one: one[2].gain) if within else min(found, key=lambda one: one[2].cost)
    )
    return Fit(weighed(draws, price, toll, coverage), price, toll, expected, bool(within))


def weighed(draws: Draws, price: float, toll: float, coverage: float) -> Linear:
    """Returns the rejecter of a price and a toll, fitted anew where the one before has left off."""
    certain = np.ones(len(draws), dtype=np.bool_)
    found = Linear(np.zeros(draws.features.shape[1]), 0.0)
    for _ in range(_ROUNDS):
        found = _regression(draws, certain, price, toll)
        scores = found.of(draws.features)
        certain = scores <= np.quantile(scores, coverage, method="inverted_cdf")
    return found


class _Fold(NamedTuple):
    """Which draws `[S]` belong to the images that a fit does not see, and the draws that it sees."""

    held_out: Flags
    others: Draws


def _folds(draws: Draws) -> tuple[_Fold, ...]:
    """Returns the folds of cross-fitting by image that have something to fit and something to hold out."""
    parts = (draws.images % FOLDS == fold for fold in range(FOLDS))
    folds = (_Fold(held_out, draws.of(~held_out)) for held_out in parts if held_out.any() and not held_out.all())
    return tuple(fold for fold in folds if fold.others.counts)


def _regression(draws: Draws, certain: Flags, price: float, toll: float) -> Linear:
    """Returns the weighted logistic regression: reject where worth is above price × cost + toll.

    A draw stands on both sides, with what speaks for each. The weights add up to the number of images, since the draws
    of one image are no independent examples; that sets how much a ridge of 1 on standardised features holds it back.
    """
    worth, cost = weights(draws, certain)
    against = price * cost + toll * worth.mean()
    sides = np.concatenate([worth, against])
    return logistic(
        np.concatenate([draws.features, draws.features]),
        np.repeat([True, False], len(draws)),
        sides * (len(np.unique(draws.images)) / sides.sum()),
    )


def logistic(features: Floats, positive: Flags, weight: Floats) -> Linear:
    """Returns a logistic regression on features `[S, F]`, standardised, with a ridge of 1 and weights `[S]`.

    Raises BadInput where all that weighs anything lies on one side.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    counts = weight > 0
    features, positive, weight = features[counts], positive[counts], weight[counts]
    if positive.all() or not positive.any():
        raise BadInput("every noisy draw is on one side: there is nothing to fit", "take more calibration images")
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-9] = 1.0
    regression = LogisticRegression(C=1.0, max_iter=500, tol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that is nearly there is as good a rejecter
        regression.fit((features - centre) / scale, positive, sample_weight=weight)
    coefficients = regression.coef_[0] / scale
    return Linear(coefficients, float(regression.intercept_[0] - coefficients @ centre))
