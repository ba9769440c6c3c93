"""The judge says "broken" of a guarantee that holds no more often than alpha, and of one that does not, when it can."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rsuq_cli.auditing.judge import claimed_mass, is_hopeless, judge, least_mass, masses_of
from rsuq_cli.auditing.statement import UNCERTAIN, Guarantee, Statement
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.guarantees import Rule

ALPHA = 0.01
# (guarantee, rule, rival, masses certain 0, certain 1, uncertain): the guarantee about class 0 holds with nothing to
# spare.
WORST: list[tuple[Guarantee, Rule, int, tuple[float, float, float]]] = [
    ("cc", "majority", 1, (0.5, 0.3, 0.2)),
    ("ncl", "majority", 1, (0.1, 0.5, 0.4)),
    ("standard", "majority", 1, (0.4, 0.4, 0.2)),
    ("cc", "plurality", 1, (0.45, 0.45, 0.1)),
    ("cc", "plurality", UNCERTAIN, (0.4, 0.2, 0.4)),
    ("ncl", "plurality", 1, (0.45, 0.45, 0.1)),
    ("ncl", "plurality", 1, (0.1, 0.45, 0.45)),
    ("cc", "filtered", 1, (0.1, 0.1, 0.8)),
]


def counts(certain_0: int, certain_1: int, uncertain: int) -> Counts:
    """Returns votes of two classes; the uncertain ones are shared out evenly, as far as they go."""
    certain = np.array([certain_0, certain_1])
    return Counts(certain, certain + np.array([uncertain // 2, uncertain - uncertain // 2]))


@pytest.mark.parametrize(("guarantee", "rule", "rival", "masses"), WORST)
def test_a_guarantee_that_holds_is_called_broken_at_most_at_rate_alpha(
    guarantee: Guarantee, rule: Rule, rival: int, masses: tuple[float, float, float]
) -> None:
    statement = Statement(guarantee, rule, 0)
    draws = np.random.default_rng(1).multinomial(400, masses, size=3000)
    broken = sum(
        judge(statement, masses_of(counts(*map(int, row))), rival, ALPHA, class_wise=False).broken for row in draws
    )
    assert stats.binomtest(int(broken), len(draws), ALPHA, alternative="greater").pvalue > 1e-4


@pytest.mark.parametrize(("guarantee", "rule", "rival", "masses"), WORST)
def test_a_guarantee_that_fails_clearly_is_called_broken(
    guarantee: Guarantee, rule: Rule, rival: int, masses: tuple[float, float, float]
) -> None:
    towards = {1: np.array([-0.1, 0.1, 0.0]), UNCERTAIN: np.array([-0.1, 0.0, 0.1])}[rival]
    if (guarantee, rule) == ("ncl", "majority") or masses == (0.1, 0.45, 0.45):
        towards = np.array([0.0, 0.1, -0.1])
    if rule == "filtered":
        towards = towards * 0.8
    votes = np.round(4000 * (np.asarray(masses) + towards)).astype(int)
    verdict = judge(Statement(guarantee, rule, 0), masses_of(counts(*map(int, votes))), rival, ALPHA, class_wise=False)
    assert verdict.broken
    assert 0 < verdict.excess_lower < verdict.excess
    assert verdict.n == votes.sum()


def test_a_contest_without_a_trial_proves_nothing() -> None:
    verdict = judge(Statement("cc", "filtered", 0), masses_of(counts(0, 0, 100)), 1, ALPHA, class_wise=False)
    assert not verdict.broken
    assert verdict.excess == -0.5


def test_a_point_is_left_alone_only_where_more_samples_would_not_help() -> None:
    statement = Statement("cc", "majority", 0)

    def hopeless(certain: int) -> bool:
        return is_hopeless(statement.contests(masses_of(counts(certain, 1000 - certain, 0)), 1))

    assert hopeless(1000)
    assert hopeless(600)
    assert not hopeless(550)
    assert not hopeless(100)


def test_the_least_mass_is_cohens_bound() -> None:
    lower = claimed_mass(0.5, 0.25)
    assert lower == pytest.approx(stats.norm.cdf(2.0))
    assert least_mass(lower, 0.5, 0.25) == pytest.approx(0.5)
    assert least_mass(lower, 0.0, 0.25) == pytest.approx(lower)
    assert least_mass(lower, 0.75, 0.25) == pytest.approx(stats.norm.cdf(-1.0))
    assert least_mass(0.0, 0.1, 0.25) == 0.0
