"""A contradiction is what the smoothed decision itself says: against a decision rule written out once more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from rsuq_cli.auditing.judge import excess
from rsuq_cli.auditing.statement import GUARANTEES, UNCERTAIN, Guarantee, Masses, Statement
from rsuq_cli.certificates.guarantees import RULES, Rule

REJECTED = -7
Shares = npt.NDArray[np.float64]


def decision(rule: Rule, certain: Shares, votes: Shares) -> int:
    """Returns the class that the smoothed classifier states, or REJECTED."""
    if rule == "standard":
        return int(votes.argmax())
    if rule == "filtered":
        return int(certain.argmax())
    best = int(certain.argmax())
    if rule == "majority":
        return best if certain[best] > 0.5 else REJECTED
    return best if certain[best] > 1 - certain.sum() else REJECTED


def kept(guarantee: Guarantee, rule: Rule, own: int, certain: Shares, votes: Shares) -> bool:
    if guarantee == "standard":
        return int(votes.argmax()) == own
    stated = decision(rule, certain, votes)
    if guarantee == "uncertain":
        return stated == REJECTED
    return stated == own or (guarantee == "ncl" and stated == REJECTED)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_the_contests_are_won_exactly_where_the_decision_breaks_the_guarantee(rule: Rule, guarantee: Guarantee) -> None:
    if guarantee == "uncertain" and rule in ("filtered", "standard"):
        pytest.skip("these rules are never uncertain")
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(2000):
        joint = random.dirichlet(np.full(8, random.choice([0.2, 1.0]))).reshape(2, 4)
        certain, votes = joint[0], joint.sum(axis=0)
        masses = Masses(certain, votes, 1 - certain.sum(), 1.0)
        own = int(random.integers(4))
        statement = Statement(guarantee, rule, own)
        broken = excess(statement.contests(masses, statement.rival(masses))) > 0
        assert broken != kept(guarantee, rule, own, certain, votes)
        seen.add(broken)
    assert seen == {True, False}


def test_rejection_is_a_rival_only_where_it_can_win_the_vote() -> None:
    masses = Masses(np.array([30, 20, 10]), np.array([50, 40, 10]), 40, 100)
    assert Statement("cc", "plurality", 0).rival(masses) == UNCERTAIN
    assert Statement("ncl", "plurality", 0).rival(masses) == 1
    assert Statement("cc", "majority", 1).rival(masses) == 0
    assert Statement("standard", "majority", 0).rival(masses) == 1


def test_the_mass_that_a_guarantee_keeps() -> None:
    masses = Masses(np.array([50, 12, 8]), np.array([60, 25, 15]), 30, 100)
    expected = {
        ("cc", "majority", False): 0.50,
        ("ncl", "majority", False): 0.80,
        ("ncl", "majority", True): 0.88,
        ("ncl", "plurality", True): 0.80,
        ("ncl", "filtered", False): 0.50,
        ("standard", "majority", False): 0.60,
        ("cc", "standard", False): 0.60,
    }
    for (guarantee, rule, class_wise), share in expected.items():
        statement = Statement(guarantee, rule, 0)  # type: ignore[arg-type]
        assert statement.kept_mass(masses, 1, class_wise=class_wise) == pytest.approx(share), (guarantee, rule)


def test_a_sample_without_an_answer_is_against_every_class_where_nothing_is_rejected() -> None:
    masses = Masses(np.array([40, 30]), np.array([45, 35]), 30, 100, 20)
    (contest,) = Statement("standard", "majority", 0).contests(masses, 1)
    assert (contest.wins, contest.trials) == (55, 100)
    (contest,) = Statement("ncl", "majority", 0).contests(masses, 1)
    assert (contest.wins, contest.trials) == (30, 100)
