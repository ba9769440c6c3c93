"""What is guaranteed around an input: four statements, each a radius from one error budget.

Invariant: each function's statement is wrong with probability at most the bounder's alpha. It counts the bounds that
it needs and gives each an equal share (Bonferroni); the number is fixed before the estimation samples are seen. Since
masses sum to one, 1 - lower bound of an event is an upper bound of everything outside it, at no further cost. Of many
competitors with a bound each, the largest bound is that of the largest amount, so only that one is computed. How many
bounds they take, one for all or one for each, is said by the outcomes (`Outcomes.one_bound` has the proof).

Radii are in units of sigma. `form` says how competitors are bounded: "merged" into one, or "class-wise".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.bounds import Array, Bounder
from rsuq_cli.certificates.outcomes import Outcomes
from rsuq_cli.certificates.radii import plurality_not_wrong, stays_above_half, stays_ahead, stays_below_half

Rule = Literal["majority", "plurality", "filtered", "standard"]
Form = Literal["merged", "class-wise"]
RULES: tuple[Rule, ...] = ("majority", "plurality", "filtered", "standard")


class Guarantee(NamedTuple):
    """A radius in units of sigma, whether the statement holds at the input itself, and the bounds behind it."""

    radius: Array
    holds: npt.NDArray[np.bool_]
    lower: Array  # of the mass that must stay large
    upper: Array  # of the mass that must stay small


Statement = Callable[[Outcomes, Bounder, Form], Guarantee]


def keeps_majority(outcomes: Outcomes, bounder: Bounder, form: Form) -> Guarantee:
    """The class has more than half of all samples: standard smoothing, and CC under majority. One bound."""
    lower = bounder.lower(outcomes.leader, shares=1)
    return Guarantee(stays_above_half(lower), lower > 0.5, lower, 1.0 - lower)


def no_wrong_majority(outcomes: Outcomes, bounder: Bounder, form: Form) -> Guarantee:
    """No other class has a majority: NCL under majority.

    Merged: one bound, of the class or rejection together. Class-wise: no competitor may reach half; larger where the
    wrong mass is spread. With one bound for all of them it is never smaller than merged: their largest count is at
    most their sum.
    """
    if form == "class-wise":
        upper = bounder.upper(outcomes.strongest, shares=outcomes.upper_bounds())
        radius = stays_below_half(upper)
        if not outcomes.one_bound:
            return Guarantee(radius, upper <= 0.5, 1.0 - upper, upper)
    lower = bounder.lower(outcomes.not_wrong, shares=1)
    merged = Guarantee(stays_above_half(lower), lower > 0.5, lower, 1.0 - lower)
    if form == "merged":
        return merged
    # Where the two counts are the same the bounds are, but for rounding, which must not break the order.
    upper = np.minimum(upper, merged.upper)
    return Guarantee(np.maximum(radius, merged.radius), upper <= 0.5, 1.0 - upper, upper)


def no_majority(outcomes: Outcomes, bounder: Bounder, form: Form) -> Guarantee:
    """No class has a majority: stays uncertain under majority.

    One bound suffices: the statement fails only if the bound of the truly largest class fails, whichever it is, and
    the largest of the bounds, the bound of the largest count, is at least that one.
    """
    upper = bounder.upper(outcomes.largest, shares=1)
    return Guarantee(stays_below_half(upper), upper <= 0.5, 1.0 - upper, upper)


def keeps_plurality(outcomes: Outcomes, bounder: Bounder, form: Form) -> Guarantee:
    """The class beats every competitor and rejection: CC under plurality."""
    if form == "merged":
        return keeps_majority(outcomes, bounder, form)
    shares = 1 + outcomes.upper_bounds(beside=1)
    lower = bounder.lower(outcomes.leader, shares=shares)
    rivals = bounder.upper(outcomes.strongest, shares=shares)
    strongest = np.maximum(rivals, bounder.upper(outcomes.rejected, shares=shares))
    return _ahead(lower, np.minimum(strongest, 1.0 - lower))


def no_wrong_plurality(outcomes: Outcomes, bounder: Bounder, form: Form) -> Guarantee:
    """For every competitor, the class or rejection beats it: NCL under plurality, the largest of three terms."""
    shares = 3 if form == "merged" else 3 + outcomes.upper_bounds()
    leader = bounder.lower(outcomes.leader, shares=shares)
    rejected = bounder.lower(outcomes.rejected, shares=shares)
    union = bounder.lower(outcomes.not_wrong, shares=shares)
    upper = 1.0 - union
    if form == "class-wise":
        upper = np.minimum(upper, bounder.upper(outcomes.strongest, shares=shares))
    radius = plurality_not_wrong(leader, rejected, union, upper)
    return Guarantee(radius, radius > 0, union, upper)


def rejection_wins(outcomes: Outcomes, bounder: Bounder, form: Form) -> Guarantee:
    """Rejection beats every class: stays uncertain under plurality."""
    shares = 1 if form == "merged" else 1 + outcomes.upper_bounds(beside=1)
    lower = bounder.lower(outcomes.rejected, shares=shares)
    upper = 1.0 - lower
    if form == "class-wise":
        rivals = bounder.upper(outcomes.strongest, shares=shares)
        upper = np.minimum(upper, np.maximum(rivals, bounder.upper(outcomes.leader, shares=shares)))
    return _ahead(lower, upper)


def beats_rivals(outcomes: Outcomes, bounder: Bounder, form: Form) -> Guarantee:
    """The class beats every competitor: filtered, and standard smoothing with explicit competitors."""
    shares = 2 if form == "merged" else 1 + outcomes.upper_bounds()
    lower = bounder.lower(outcomes.leader, shares=shares)
    upper = bounder.upper(outcomes.wrong if form == "merged" else outcomes.strongest, shares=shares)
    return _ahead(lower, np.minimum(upper, 1.0 - lower))


def standard_statement(form: Form) -> Statement:
    """Returns the statement of smoothing without rejection: Cohen's practical bound, or explicit competitors."""
    return keeps_majority if form == "merged" else beats_rivals


def _ahead(lower: Array, upper: Array) -> Guarantee:
    radius = stays_ahead(lower, upper)
    return Guarantee(radius, lower > upper, lower, upper)
