"""Certificates: decision and radii of a smoothed, uncertainty-aware classifier, from votes.

Invariant: a pure function of the votes, rule, competitors and alpha. Each guarantee of an input holds with probability
at least 1 - alpha / family_size; without proof the decision is "undecided" and the radius 0. Under majority
radius_cc <= radius_standard <= radius_ncl wherever the two classes agree, since their counts are ordered
(with bounds of version 1 where competitors are merged).
The threshold is part of the classifier: a guarantee is about the one whose votes these are, held over the whole ball.

Sources: Cohen et al. 2019 (arXiv 1902.02918) for smoothing; Däubener et al. 2024 (arXiv 2410.20432) for the two
guarantees CC (consistent and confident) and NCL (no confident label change).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.bounds import Array, Bounder, Known
from rsuq_cli.certificates.case import FORETOLD, Case
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.guarantees import (
    Form,
    Guarantee,
    Rule,
    Statement,
    beats_rivals,
    keeps_majority,
    keeps_plurality,
    no_majority,
    no_wrong_majority,
    no_wrong_plurality,
    rejection_wins,
    standard_statement,
)
from rsuq_cli.certificates.method import (
    COMPETITORS,
    Competitors,
    Method,
)
from rsuq_cli.certificates.outcomes import (
    Amounts,
    Choice,
    Outcomes,
    outcomes,
    unlisted_mass,
    without_rejection,
)

Decision = Literal["certain", "uncertain", "undecided"]
DECISIONS: tuple[Decision, ...] = ("certain", "uncertain", "undecided")
CERTAIN, UNCERTAIN, UNDECIDED = range(3)
# The class of an input whose selection samples all had no answer: there is none to certify.
NOBODY = -1


class Bounds(NamedTuple):
    """The bounds behind a radius: of the mass that must stay large, and of the one that must stay small."""

    lower: Array
    upper: Array


@dataclass(frozen=True)
class Certificates:
    """One certificate for each input; every array has the leading shape of the votes. Radii in pixel units."""

    class_index: npt.NDArray[np.int64]
    standard_class: npt.NDArray[np.int64]
    decision: npt.NDArray[np.int64]  # position in DECISIONS
    standard_decided: npt.NDArray[np.bool_]
    at_ceiling: npt.NDArray[np.bool_]
    class_wise: npt.NDArray[np.bool_]  # the form of the NCL bound that was used
    n: Amounts
    certain_count: Amounts
    uncertain_count: Amounts
    vote_count: Amounts
    radius_standard: Array
    radius_cc: Array
    radius_ncl: Array
    radius_uncertain: Array
    radius_explicit: Array  # standard smoothing with explicit competitors; NaN where it is not asked for
    bounds: dict[str, Bounds]

    def __getitem__(self, at: Any) -> Certificates:
        """Returns the certificates at an index or slice of the leading axes."""
        return self._each(lambda array: array[at])

    def spread(self, shape: tuple[int, ...]) -> Certificates:
        """Returns the certificates with that leading shape, into which theirs broadcast."""
        return self._each(lambda array: array if array.shape == shape else np.broadcast_to(array, shape))

    def _each(self, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Certificates:
        values = {field.name: change(getattr(self, field.name)) for field in fields(self) if field.name != "bounds"}
        bounds = {name: Bounds(change(b.lower), change(b.upper)) for name, b in self.bounds.items()}
        return Certificates(**values, bounds=bounds)


class _Problem(NamedTuple):
    """Amounts to bound, the bounder, and both as the selection foretells them (to choose a form)."""

    estimated: Outcomes
    bounder: Bounder
    foretold: Outcomes | None = None
    foretelling: Bounder | None = None


def certify(selection: Counts, estimation: Counts, method: Method) -> Certificates:
    """Returns a certificate for each input from the votes of its two independent sets of samples.

    `selection` and `estimation` hold votes `[..., K]`; the class and the grouping of its competitors are chosen on the
    first, bounds are put on the second (Cohen et al. 2019, Algorithm "certify"). Radii are in the pixel units of
    `method.sigma`. Raises ValueError for an unknown rule or competitors.
    """
    return certify_each(selection, estimation, [method])[0]


def certify_each(selection: Counts, estimation: Counts, methods: Iterable[Method]) -> list[Certificates]:
    """Returns what `certify` does for each of the methods; what they have in common is computed once."""
    case = Case.of(selection, estimation)
    return [_of_case(case, method, method.bounder(case.total)) for method in methods]


def hoped(selection: Counts, estimation: Counts, method: Method, n: int) -> Certificates:
    """Returns the certificates that going on to n samples may give; radii to hope for, and no proof of anything.

    The samples to come favour each guarantee as much as those so far allow (`anytime.Reachable`).
    """
    case = Case.of(selection, estimation)
    return _of_case(case, method, method.reachable(case.total, n))


def _of_case(case: Case, method: Method, bounder: Bounder) -> Certificates:
    _check(method)
    problem, standard = (_Problem(amounts, bounder) for amounts in case.counted(one_bound=method.one_bound))
    if method.competitors == "auto":
        # Where the number of samples depends on what they were, the form must not depend on it.
        total = np.full_like(case.total, FORETOLD) if method.anytime else case.total
        foretold, foretelling = case.foretold(total, one_bound=method.one_bound), method.bounder(total)
        problem = problem._replace(foretold=foretold.rejecting, foretelling=foretelling)
        standard = standard._replace(foretold=foretold.standard, foretelling=foretelling)
    found = _certificates(problem, standard, case.choice, case.standard_choice, method)
    spread = found.spread(case.choice.class_index.shape)
    silent = case.selection.votes.sum(axis=-1) == 0
    return _about_nobody(spread, np.broadcast_to(silent, spread.decision.shape)) if silent.any() else spread


def _about_nobody(found: Certificates, silent: npt.NDArray[np.bool_]) -> Certificates:
    """Returns certificates that claim nothing about a class where none of the selection samples had an answer."""
    return replace(
        found,
        class_index=np.where(silent, NOBODY, found.class_index),
        standard_class=np.where(silent, NOBODY, found.standard_class),
        radius_standard=np.where(silent, 0.0, found.radius_standard),
        radius_cc=np.where(silent, 0.0, found.radius_cc),
        radius_ncl=np.where(silent, 0.0, found.radius_ncl),
        radius_explicit=np.where(silent, 0.0 * found.radius_explicit, found.radius_explicit),
        decision=np.where(silent & (found.decision == CERTAIN), UNDECIDED, found.decision),
        standard_decided=found.standard_decided & ~silent,
        at_ceiling=found.at_ceiling & ~silent,
        certain_count=np.where(silent, 0, found.certain_count),
        vote_count=np.where(silent, 0, found.vote_count),
    )


def certify_masses(
    certain: Array, uncertain: Array, method: Method, class_index: npt.NDArray[np.int64] | None = None
) -> Certificates:
    """Returns the certificates of masses known exactly, `[..., K]` by class, certain and uncertain; n is 1.

    Masses may sum to less than one: of what is not listed nothing is known, so each guarantee takes it for the rival
    that hurts it most, a listed class, another one, or rejection. Radii can be infinite, where a mass is 1.
    `class_index` overrides the class with the largest certain mass.
    """
    _check(method)
    votes = certain + uncertain
    unlisted = unlisted_mass(votes.sum(axis=-1))
    listed = 1.0 - unlisted
    choice = _rank(certain, votes) if class_index is None else Choice(class_index, certain)
    standard_choice = _rank(votes, votes) if class_index is None else Choice(class_index, votes)
    # A known mass costs no error budget, so no competitors are merged to save some.
    exact = outcomes(certain, uncertain.sum(axis=-1), listed, choice, one_bound=True)
    exact_standard = without_rejection(votes, listed, standard_choice, one_bound=True)
    bounder = Known(np.ones(certain.shape[:-1]), unlisted)
    problem = _Problem(exact, bounder, exact, bounder)
    standard = _Problem(exact_standard, bounder, exact_standard, bounder)
    return _certificates(problem, standard, choice, standard_choice, method)


def _certificates(
    problem: _Problem, standard_problem: _Problem, choice: Choice, standard_choice: Choice, method: Method
) -> Certificates:
    # Under majority the classifier without rejection is Cohen's majority rule, whichever way NCL bounds competitors.
    baseline: Competitors = "merged" if method.rule == "majority" else method.competitors
    standard, standard_class_wise = _best_form(_standard, standard_problem, baseline)
    explicit = None
    if method.rule == "majority" and method.one_bound and method.competitors != "merged":
        # Beside it a gain is the measure's: beside the merged baseline it is the bound's, too.
        explicit = _best_form(_standard, standard_problem, "class-wise")[0].radius
    if method.rule == "standard":
        # Nothing is ever rejected: all three guarantees are the same statement about the same ball.
        return _assemble(standard_problem, standard_choice, standard_problem, standard_choice, method,
                         standard, standard, standard, _never(standard), standard_class_wise)  # fmt: skip
    consistent, unconfused, uncertain = _statements(method.rule)
    competitors = method.competitors
    if competitors == "auto" and method.rule == "majority" and method.one_bound:
        competitors = "class-wise"  # never below merged, so there is nothing to choose
    cc, cc_wise = _best_form(consistent, problem, competitors)
    # Under filtered the two are one statement.
    same = unconfused is consistent
    ncl, class_wise = (cc, cc_wise) if same else _best_form(unconfused, problem, competitors)
    stays_uncertain = _never(cc) if uncertain is None else _best_form(uncertain, problem, competitors)[0]
    return _assemble(problem, choice, standard_problem, standard_choice, method,
                     standard, cc, ncl, stays_uncertain, class_wise, explicit)  # fmt: skip


def _statements(rule: Rule) -> tuple[Statement, Statement, Statement | None]:
    """Returns what CC, NCL and stays-uncertain mean under a rule that rejects (filtered is never uncertain)."""
    if rule == "majority":
        return keeps_majority, no_wrong_majority, no_majority
    if rule == "plurality":
        return keeps_plurality, no_wrong_plurality, rejection_wins
    return beats_rivals, beats_rivals, None


def _standard(amounts: Outcomes, bounder: Bounder, form: Form) -> Guarantee:
    return standard_statement(form)(amounts, bounder, form)


def _best_form(
    statement: Statement, problem: _Problem, competitors: Competitors
) -> tuple[Guarantee, npt.NDArray[np.bool_] | bool]:
    """Returns the guarantee, and where it is class-wise; "auto" takes the form that the selection samples favour.

    Without a listed competitor there is none to bound by itself, and what is not listed is merged.
    """
    if problem.estimated.groups == 0:
        competitors = "merged"
    if competitors != "auto":
        return statement(problem.estimated, problem.bounder, competitors), competitors == "class-wise"
    assert problem.foretold is not None
    assert problem.foretelling is not None
    forms: tuple[Form, Form] = ("class-wise", "merged")
    hoped = [statement(problem.foretold, problem.foretelling, form).radius for form in forms]
    class_wise = hoped[0] > hoped[1]
    both = [statement(problem.estimated, problem.bounder, form) for form in forms]
    return Guarantee(*(np.where(class_wise, a, b) for a, b in zip(*both, strict=True))), class_wise


def _never(like: Guarantee) -> Guarantee:
    zero = np.zeros_like(like.radius)
    return Guarantee(zero, np.zeros_like(like.holds), zero, np.ones_like(zero))


def _assemble(
    problem: _Problem, choice: Choice, standard_problem: _Problem, standard_choice: Choice, method: Method,
    standard: Guarantee, cc: Guarantee, ncl: Guarantee, uncertain: Guarantee, class_wise: npt.NDArray[np.bool_] | bool,
    explicit: Array | None = None,
) -> Certificates:  # fmt: skip
    amounts, votes, total = problem.estimated, standard_problem.estimated.leader, problem.bounder.total
    decision = np.where(cc.holds, CERTAIN, np.where(uncertain.holds, UNCERTAIN, UNDECIDED))
    full = (amounts.not_wrong >= total) | (votes >= total)
    named = {"standard": standard, "cc": cc, "ncl": ncl, "uncertain": uncertain}
    return Certificates(
        class_index=choice.class_index,
        standard_class=standard_choice.class_index,
        decision=decision,
        standard_decided=standard.holds,
        at_ceiling=full,
        class_wise=np.broadcast_to(np.asarray(class_wise), full.shape),
        n=total,
        certain_count=amounts.leader,
        uncertain_count=amounts.rejected,
        vote_count=votes,
        radius_standard=method.sigma * standard.radius,
        radius_cc=method.sigma * np.where(cc.holds, cc.radius, 0.0),
        radius_ncl=method.sigma * ncl.radius,
        radius_uncertain=method.sigma * np.where(decision == UNCERTAIN, uncertain.radius, 0.0),
        radius_explicit=np.full_like(standard.radius, np.nan) if explicit is None else method.sigma * explicit,
        bounds={name: Bounds(g.lower, g.upper) for name, g in named.items()},
    )


def _rank(primary: Array, secondary: Array) -> Choice:
    return Choice(np.lexsort((-secondary, -primary), axis=-1)[..., 0], primary)


def _check(method: Method) -> None:
    if not method.error_budget > 0:
        raise ValueError(f"nothing is left of alpha {method.alpha:g}: {method}")
    if method.competitors not in COMPETITORS:
        raise ValueError(f"unknown competitors {method.competitors!r}: one of {', '.join(COMPETITORS)}")
    if method.rule not in ("majority", "plurality", "filtered", "standard"):
        raise ValueError(f"unknown rule {method.rule!r}")
