"""Independent truth for the tests of the mathematics: closed forms from scipy.stats, and attacks by linear programmes.

Nothing here uses the package. Masses are `[K + 1]`: the certain mass of each class, then the rejected mass. sigma is 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, linprog
from scipy.stats import norm

Array = npt.NDArray[np.float64]


def exact_radius(rule: str, guarantee: str, masses: Array, leader: int) -> float:
    """Returns the radius in which the guarantee about class `leader` holds: theory's closed forms, 0 if it never does.

    `rule` is majority, plurality or filtered; `guarantee` is cc, ncl or uncertain. Smoothing without rejection is
    "majority cc" (Cohen's practical rule) or "filtered cc" (explicit competitors) with nothing rejected.
    """
    own, rejected = masses[leader], masses[-1]
    rivals = [float(q) for c, q in enumerate(masses[:-1]) if c != leader]
    strongest = max(rivals, default=0.0)
    if (rule, guarantee) == ("majority", "cc"):
        return max(0.0, norm.ppf(own))
    if (rule, guarantee) == ("majority", "ncl"):
        return max(0.0, -norm.ppf(strongest))
    if (rule, guarantee) == ("majority", "uncertain"):
        return max(0.0, -norm.ppf(max(masses[:-1])))
    if (rule, guarantee) == ("plurality", "cc"):
        return _gap(own, max(strongest, rejected))
    if (rule, guarantee) == ("plurality", "ncl"):
        return max(_gap(own, strongest), _gap(rejected, strongest), _union_root(own + rejected, strongest))
    if (rule, guarantee) == ("plurality", "uncertain"):
        return _gap(rejected, max(masses[:-1]))
    assert rule == "filtered"
    return _gap(own, strongest)


def _gap(large: float, small: float) -> float:
    return 0.5 * (norm.ppf(large) - norm.ppf(small)) if large > small else 0.0


def _union_root(union: float, rival: float) -> float:
    if union <= 2 * rival:
        return 0.0
    if rival == 0.0:
        return float("inf")
    difference = lambda r: norm.cdf(norm.ppf(union) - r) - 2 * norm.cdf(norm.ppf(rival) + r)  # noqa: E731
    return float(brentq(difference, 0.0, 12.0, xtol=1e-14))


class Demand(NamedTuple):
    """`weights` @ masses + `constant` must reach zero for the attacker."""

    weights: Array
    constant: float


def attacks(rule: str, guarantee: str, leader: int, classes: int) -> list[list[Demand]]:
    """Returns the ways to break a guarantee; each is a list of demands on the shifted masses that must all be met."""
    unit = np.eye(classes + 1)
    rejected = unit[classes]
    wrong = [unit[c] for c in range(classes) if c != leader]
    if rule == "majority":
        if guarantee == "cc":
            return [[Demand(-unit[leader], 0.5)]]
        answers = wrong if guarantee == "ncl" else list(unit[:classes])
        return [[Demand(one, -0.5)] for one in answers]
    if guarantee == "uncertain":
        return [[Demand(one - rejected, 0.0)] for one in unit[:classes]]
    if rule == "plurality" and guarantee == "ncl":
        return [[Demand(one - unit[leader], 0.0), Demand(one - rejected, 0.0)] for one in wrong]
    beaten_by = [*wrong, rejected] if rule == "plurality" else wrong
    return [[Demand(one - unit[leader], 0.0)] for one in beaten_by]


def best_margin(demands: list[Demand], masses: Array, radius: float, cells: int = 400) -> float:
    """Returns the largest value that an attacker can give to the worst-met demand at distance `radius`.

    A linear programme over all (randomised) classifiers that are constant on the cells of a line along the shift and
    have these masses at the input. By the Neyman-Pearson lemma the line suffices. Such a classifier exists, so a
    positive margin is a real attack; finer cells only help the attacker.
    """
    edges = np.concatenate([[-np.inf], np.linspace(-6.0, 6.0 + radius, cells - 1), [np.inf]])
    here, there = np.diff(norm.cdf(edges)), np.diff(norm.cdf(edges - radius))
    outcomes = len(masses)
    # Variables: the share of each cell that goes to each outcome, cell after cell, then the margin.
    one_outcome_a_cell = np.kron(np.eye(cells), np.ones((1, outcomes)))
    masses_here = np.kron(here[None, :], np.eye(outcomes))
    implied = np.argmax(masses)  # by all the others; stated as well, rounding could make it impossible
    stated = np.delete(np.arange(outcomes), implied)
    equal = np.pad(np.vstack([one_outcome_a_cell, masses_here[stated]]), ((0, 0), (0, 1)))
    margins = np.array([np.append(-np.kron(there, d.weights), 1.0) for d in demands])
    solved = linprog(
        np.append(np.zeros(cells * outcomes), -1.0),
        A_ub=margins,
        b_ub=[d.constant for d in demands],
        A_eq=equal,
        b_eq=np.concatenate([np.ones(cells), masses[stated]]),
        bounds=[(0, 1)] * (cells * outcomes) + [(None, None)],
    )
    assert solved.status == 0, solved.message
    assert solved.fun is not None
    return float(-solved.fun)


def can_break(rule: str, guarantee: str, masses: Array, leader: int, radius: float) -> bool:
    """Returns whether some classifier with these masses breaks the guarantee at this distance."""
    ways = attacks(rule, guarantee, leader, len(masses) - 1)
    return any(best_margin(way, masses, radius) >= -1e-9 for way in ways)
