"""Selective classification by hand and against averages over all orders of ties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from rsuq_cli.certificates.certificate import certify
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.method import Method
from rsuq_cli.ood.selective import COVERAGES, certified_risk, selective


def test_figures_by_hand() -> None:
    # Risks 0, 1/2, 1/3, 1/2; a perfect order would have 0, 0, 1/3, 1/2.
    found = selective([0.1, 0.2, 0.3, 0.4], [False, True, False, True])
    assert found.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert found.e_aurc == pytest.approx((1 / 2) / 4)
    assert found.augrc == pytest.approx((0 + 1 + 1 + 2) / 16)
    assert found.risk[COVERAGES.index(0.75)] == pytest.approx(1 / 3)
    assert found.risk[COVERAGES.index(0.5)] == pytest.approx(1 / 2)
    assert found.risk[-1] == pytest.approx(1 / 2)


def test_ties_are_averaged_over_all_orders() -> None:
    wrong = np.array([True, False, False, True])
    orders = [selective([0.0, *(0.1 + 0.01 * np.array(order))], wrong) for order in permutations(range(3))]
    tied = selective([0.0, 0.1, 0.1, 0.1], wrong)
    for name in ("aurc", "augrc"):
        assert getattr(tied, name) == pytest.approx(np.mean([getattr(one, name) for one in orders]))


def test_a_perfect_order_has_no_excess() -> None:
    wrong = np.array([False, False, True, True])
    assert selective([1, 2, 3, 4], wrong).e_aurc == 0.0
    assert selective([4, 3, 2, 1], wrong).e_aurc > 0.0


def test_certified_risk_counts_the_worst() -> None:
    """Three inputs: CC holds to some radius; only NCL holds; nothing does (its class is wrong)."""
    certain = np.array([[1000, 0], [300, 0], [0, 1000]])
    votes = np.array([[1000, 0], [1000, 0], [0, 1000]])
    certificates = certify(Counts(certain, votes), Counts(certain, votes), Method(sigma=1.0))
    labels = np.array([0, 0, 0])
    assert certificates.radius_ncl[1] > 1 > certificates.radius_cc[1] == 0
    # The second can be rejected at worst, so two are answered, and one of them wrongly.
    assert certified_risk(labels, certificates, [0.0, 1.0]).tolist() == [0.5, 0.5]
    # Beyond every radius all may be answered wrongly.
    assert certified_risk(labels, certificates, [9.0]).tolist() == [1.0]
    nobody_answers = certificates[1:2]
    assert certified_risk(labels[1:2], nobody_answers, [0.5]).tolist() == [0.0]
