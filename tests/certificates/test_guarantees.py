"""Guarantees: each spends its error budget and no more, by counting its bounds and by simulated coverage."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import truth
from scipy.stats import binomtest

from rsuq_cli.certificates.bounds import clopper_pearson_lower, clopper_pearson_upper
from rsuq_cli.certificates.certificate import CERTAIN, UNCERTAIN, Certificates, certify
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.guarantees import (
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
from rsuq_cli.certificates.method import Method
from rsuq_cli.certificates.outcomes import Outcomes, choose, from_counts

STATEMENTS: list[Statement] = [
    keeps_majority, no_wrong_majority, no_majority, keeps_plurality, no_wrong_plurality, rejection_wins, beats_rivals,
]  # fmt: skip


class Spending:
    """A bounder that adds up the shares of the budget that it is asked for.

    The bound of the strongest competitor stands for one of each of them, whichever it is.
    """

    def __init__(self, problem: Outcomes) -> None:
        self.problem = problem
        self.total = problem.total
        self.spent = 0.0

    def _spend(self, amount: npt.ArrayLike, shares: int) -> npt.NDArray[np.float64]:
        amounts = np.asarray(amount, dtype=np.float64)
        assert amounts.shape == self.total.shape
        bounds = self.problem.groups if amount is self.problem.strongest else 1
        self.spent += bounds / shares
        return amounts / 1000

    def lower(self, amount: npt.ArrayLike, *, shares: int) -> npt.NDArray[np.float64]:
        return self._spend(amount, shares)

    def upper(self, amount: npt.ArrayLike, *, shares: int) -> npt.NDArray[np.float64]:
        return self._spend(amount, shares)


@pytest.mark.parametrize("classes", [2, 3, 10, 40])
@pytest.mark.parametrize("form", ["merged", "class-wise"])
@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.__name__)
def test_the_bounds_of_a_statement_spend_its_budget_exactly(statement: Statement, form: str, classes: int) -> None:
    votes = np.random.default_rng(0).multinomial(1000, np.full(classes, 1 / classes), size=5)
    problem = from_counts(Counts(votes // 2, votes), choose(votes // 2, votes))
    spending = Spending(problem)
    statement(problem, spending, form)  # type: ignore[arg-type]
    assert spending.spent == pytest.approx(1.0, rel=1e-12)


class OneForAll(Spending):
    """A bounder where one upper bound covers every amount that is bounded from above: it is that of the largest."""

    def __init__(self, problem: Outcomes) -> None:
        super().__init__(problem)
        self.lowers: dict[float, int] = {}
        self.uppers: set[int] = set()

    def lower(self, amount: npt.ArrayLike, *, shares: int) -> npt.NDArray[np.float64]:
        self.lowers[float(np.sum(amount))] = shares
        return np.asarray(amount, dtype=np.float64) / 1000

    def upper(self, amount: npt.ArrayLike, *, shares: int) -> npt.NDArray[np.float64]:
        self.uppers.add(shares)
        return np.asarray(amount, dtype=np.float64) / 1000


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize(
    ("statement", "bounds"),
    [
        (keeps_majority, 1), (no_majority, 1), (keeps_plurality, 2), (no_wrong_plurality, 4), (rejection_wins, 2),
        (beats_rivals, 2),
    ],
    ids=lambda one: getattr(one, "__name__", str(one)),
)  # fmt: skip
def test_with_one_bound_for_all_competitors_as_many_are_paid_for_as_are_used(
    statement: Statement, bounds: int, classes: int
) -> None:
    votes = np.random.default_rng(0).multinomial(1000, np.full(classes, 1 / classes), size=5)
    problem = from_counts(Counts(votes // 2, votes), choose(votes // 2, votes), one_bound=True)
    assert problem.groups == 1
    spending = OneForAll(problem)
    statement(problem, spending, "class-wise")
    assert len(spending.lowers) + len(spending.uppers) == bounds
    assert {*spending.lowers.values(), *spending.uppers} == {bounds}


def test_ncl_under_majority_takes_the_larger_of_two_forms_of_one_bound() -> None:
    """The merged bound is not paid for: its count is at least the strongest competitor's, so it never is the larger."""
    n = 1000
    for strongest in (1, 10, 400):
        for wrong in range(strongest, n + 1, 7):
            lower = clopper_pearson_lower(n - wrong, n, 0.01)
            assert clopper_pearson_upper(strongest, n, 0.01) <= 1.0 - lower + 1e-12


def test_standard_statement_by_form() -> None:
    assert standard_statement("merged") is keeps_majority
    assert standard_statement("class-wise") is beats_rivals


# Simulated coverage. A certificate fails when a radius is larger than the exact one of the true masses, or a decision
# is stated with proof that the true masses contradict. No failure may be more frequent than alpha.

CERTIFICATES, N0, N = 20_000, 100, 1_000
# Failures at the worst mass come at rate alpha itself, so a test at 5 % would reject sound code now and then.
REJECT = 1e-6
NEXT = 1e-9


class World(NamedTuple):
    """True masses of one input by class, certain and uncertain."""

    certain: npt.NDArray[np.float64]
    uncertain: npt.NDArray[np.float64]

    @property
    def joint(self) -> npt.NDArray[np.float64]:
        return np.append(self.certain, self.uncertain.sum())

    @property
    def votes(self) -> npt.NDArray[np.float64]:
        return np.append(self.certain + self.uncertain, 0.0)


def world(certain: list[float], uncertain: list[float]) -> World:
    total = sum(certain) + sum(uncertain)
    return World(np.array(certain) / total, np.array(uncertain) / total)


def worlds(alpha: float) -> dict[str, World]:
    # A mass just below the bound that k votes would give: k or more votes, a failure, come with probability alpha.
    lower = {k: float(clopper_pearson_lower(k, N, alpha)) * (1 - NEXT) for k in (800, 970)}
    upper = float(clopper_pearson_upper(300, N, alpha)) * (1 + NEXT)
    many = [0.04] * 11
    return {
        "worst mass of the class": world([lower[800], 0.0, 0.0], [0.0, 1 - lower[800], 0.0]),
        "worst mass of class or rejection": world([0.6, 1 - lower[970], 0.0], [lower[970] - 0.6, 0.0, 0.0]),
        "worst mass of the largest class": world([upper, 0.0, 0.0], [0.0, 1 - upper, 0.0]),
        "exactly half": world([0.5, 0.1, 0.0], [0.2, 0.2, 0.0]),
        "two halves": world([0.5, 0.5], [0.0, 0.0]),
        "all outcomes tied": world([1 / 3, 1 / 3], [1 / 3, 0.0]),
        "class and rejection tied": world([0.48, 0.04, 0.0], [0.4, 0.08, 0.0]),
        "class and rival tied": world([0.3, 0.3, 0.05], [0.2, 0.1, 0.05]),
        "rejection just twice": world([0.3, 0.2, 0.0], [0.1, 0.1, 0.3]),
        "one clear class": world([0.8, 0.03, 0.02], [0.1, 0.03, 0.02]),
        "wrong mass spread over many": world([0.3, *many], [0.26, *[0.0] * 11]),
        "tied with many": world([0.08] * 12, [0.04, *[0.0] * 11]),
    }


def sample(truth_: World, seed: int, *, size: int = CERTIFICATES) -> tuple[Counts, Counts]:
    rng = np.random.default_rng(seed)
    classes = len(truth_.certain)
    masses = np.concatenate([truth_.certain, truth_.uncertain])
    drawn = [rng.multinomial(n, masses / masses.sum(), size=size) for n in (N0, N)]
    selection, estimation = (Counts(d[:, :classes], d[:, :classes] + d[:, classes:]) for d in drawn)
    return selection, estimation


def failures(found: Certificates, masses: World, rule: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Returns which certificates are wrong, for each thing that a certificate states."""
    joint = masses.votes if rule == "standard" else masses.joint
    kind = "filtered" if rule == "standard" else rule
    baseline = "majority" if rule == "majority" else "filtered"
    classes = range(len(masses.certain))

    def exact(of: npt.NDArray[np.int64], radius: Callable[[int], float]) -> npt.NDArray[np.float64]:
        return np.array([radius(c) for c in classes])[of] * (1 + 1e-12)

    wrong = {
        "standard": found.radius_standard
        > exact(found.standard_class, lambda c: truth.exact_radius(baseline, "cc", masses.votes, c)),
        "cc": found.radius_cc > exact(found.class_index, lambda c: truth.exact_radius(kind, "cc", joint, c)),
        # Nothing is known of it, and nothing claimed, where it was not asked for.
        "explicit": found.radius_explicit
        > exact(found.standard_class, lambda c: truth.exact_radius("filtered", "cc", masses.votes, c)),
        "ncl": found.radius_ncl > exact(found.class_index, lambda c: truth.exact_radius(kind, "ncl", joint, c)),
        "certain": (found.decision == CERTAIN)
        & ~np.array([answers(rule, joint, c) for c in classes])[found.class_index],
    }
    if rule in ("majority", "plurality"):
        wrong["uncertain"] = found.radius_uncertain > truth.exact_radius(rule, "uncertain", joint, 0) * (1 + 1e-12)
        rejects = max(joint[:-1]) <= 0.5 if rule == "majority" else joint[-1] >= max(joint[:-1])
        wrong["decided uncertain"] = (found.decision == UNCERTAIN) & (not rejects)
    return wrong


def answers(rule: str, joint: npt.NDArray[np.float64], c: int) -> bool:
    if rule == "majority":
        return bool(joint[c] > 0.5)
    others = np.delete(joint if rule == "plurality" else joint[:-1], c)
    return bool(joint[c] > others.max())


def too_many(wrong: npt.NDArray[np.bool_], alpha: float) -> bool:
    return bool(binomtest(int(wrong.sum()), len(wrong), alpha, alternative="greater").pvalue < REJECT)


@pytest.mark.parametrize("alpha", [0.05, pytest.param(0.001, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("competitors", "bounds"),
    [
        ("merged", 2), ("class-wise", 2), ("auto", 2),
        *(pytest.param(form, 1, marks=pytest.mark.slow) for form in ("class-wise", "auto")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rule", ["majority", "plurality", "filtered", "standard"])
def test_no_guarantee_fails_more_often_than_alpha(rule: str, competitors: str, bounds: int, alpha: float) -> None:
    method = Method(1.0, alpha, rule, competitors, bounds=bounds)  # type: ignore[arg-type]
    for seed, (name, masses) in enumerate(worlds(alpha).items()):
        found = certify(*sample(masses, seed), method)
        for statement, wrong in failures(found, masses, rule).items():
            assert not too_many(wrong, alpha), f"{statement} fails {wrong.mean():.4f} of the time: {name}"


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("worst mass of the class", "cc"),
        ("worst mass of the class", "standard"),
        ("worst mass of class or rejection", "ncl"),
        ("worst mass of the largest class", "uncertain"),
    ],
)
def test_the_simulation_reaches_alpha_and_would_notice_more(name: str, statement: str) -> None:
    alpha = 0.05
    masses = worlds(alpha)[name]
    samples = sample(masses, 0)
    wrong = failures(certify(*samples, Method(1.0, alpha)), masses, "majority")[statement]
    assert wrong.mean() == pytest.approx(alpha, abs=0.006)  # four standard deviations
    loose = failures(certify(*samples, Method(1.0, 1.5 * alpha)), masses, "majority")[statement]
    assert too_many(loose, alpha)


def test_choosing_the_class_on_the_estimation_samples_would_be_unsound() -> None:
    alpha, masses = 0.05, worlds(0.05)["two halves"]
    _, estimation = sample(masses, 0)
    wrong = failures(certify(estimation, estimation, Method(1.0, alpha)), masses, "majority")
    assert too_many(wrong["cc"], alpha)
