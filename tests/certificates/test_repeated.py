"""How likely a certain answer is given again, against simulation and at the extremes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from rsuq_cli.certificates.certificate import CERTAIN, certify
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.method import Method
from rsuq_cli.certificates.repeated import certain_again


@pytest.mark.parametrize("mass", [0.52, 0.58, 0.65, 0.9])
@pytest.mark.parametrize(("n0", "n"), [(1, 300), (20, 300), (100, 2000)])
def test_it_is_what_sampling_anew_does(mass: float, n0: int, n: int) -> None:
    method, trials = Method(1.0, 0.01), 20_000
    random = np.random.default_rng(0)
    # Two classes and nothing uncertain: half of the selection samples decides.
    votes = [np.stack([hits, m - hits], axis=1) for m in (n0, n) for hits in [random.binomial(m, mass, trials)]]
    found = certify(Counts(votes[0], votes[0]), Counts(votes[1], votes[1]), method)
    share = float(((found.decision == CERTAIN) & (found.class_index == 0)).mean())
    least = certain_again(method, n0, n, mass)
    assert least is not None
    # An even split of the selection goes to the class here, and is not counted on.
    assert least - 0.02 <= share <= least + binom.pmf(n0 / 2, n0, mass) + 0.02


def test_at_one_half_it_is_hardly_ever_certain() -> None:
    least = certain_again(Method(1.0, 0.001), 100, 10_000, 0.5)
    assert least is not None
    assert 0 < least <= 0.001
    assert certain_again(Method(1.0, 0.001), 100, 9, 1.0) == 0.0  # no nine samples prove anything
    assert certain_again(Method(1.0, 0.001), 100, 10, 1.0) == 1.0


def test_where_something_else_decides_it_is_not_known() -> None:
    assert certain_again(Method(1.0, rule="plurality"), 100, 1000, 0.9) is None
    assert certain_again(Method(1.0, last_look=1000), 100, 1000, 0.9) is None
