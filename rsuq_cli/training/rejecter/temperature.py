"""The temperature of every pass under noise: how sure a network is of its noisy inputs, set right by one number.

Invariant: temperatures are positive, and a network whose probabilities are right under noise already has 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from rsuq_cli.training.rejecter.fit import FOLDS, Fit, Linear
from rsuq_cli.training.rejecter.worth import Draws, Flags, Floats, Integers, outcome

_COLDEST, _HOTTEST = 0.02, 50.0


def temperatures(logits: npt.NDArray[np.float32], labels: Integers) -> Floats:
    """Returns the temperature of each pass, `[T]`, under which the labels `[S]` of noisy draws are likeliest.

    Logits are `[S, T, K]`. Guo et al. 2017, on draws of noise. The likelihood is concave in 1 / temperature.
    """
    found = [_temperature(logits[:, one].astype(np.float64), labels) for one in range(logits.shape[1])]
    return np.array(found)


def _temperature(logits: Floats, labels: Integers) -> float:
    rows = np.arange(len(labels))

    def surprise(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean())

    found = minimize_scalar(surprise, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def tempered_margin(logits: npt.NDArray[np.float32], classes: Integers, found: Floats) -> Floats:
    """Returns half the own margin of the mean of the tempered softmaxes, `[S]`, of the classes named `[S]`."""
    mean = np.exp(log_softmax(logits / found[:, None], axis=2)).mean(axis=1)
    rows = np.arange(len(classes))
    own = mean[rows, classes]
    mean[rows, classes] = 0.0
    scores: Floats = (1 - own + mean.max(axis=1)) / 2
    return scores


def fitted_temperatures(
    draws: Draws, logits: npt.NDArray[np.float32], *, coverage: float, max_cost: float
) -> Fit:  # fmt: skip
    """Returns the temperatures in the place of coefficients, and what they gain and cost of images left out.

    There is no price to choose: `affordable` says whether the cost keeps to what was asked for.
    """
    scores = np.zeros(len(draws))
    for fold in range(FOLDS):
        held_out: Flags = draws.images % FOLDS == fold
        if held_out.any() and not held_out.all():
            others = temperatures(logits[~held_out], draws.labels[~held_out])
            scores[held_out] = tempered_margin(logits[held_out], draws.classes[held_out], others)
    expected = outcome(draws, scores, coverage)
    whole = Linear(temperatures(logits, draws.labels), 0.0)
    return Fit(whole, 0.0, 0.0, expected, expected.cost <= max_cost)
