"""The Wilson interval against scipy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from rsuq_cli.certificates.intervals import wilson_interval


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 50), (1, 50), (25, 50), (49, 50), (50, 50), (9_990, 10_000)])
def test_equals_scipy(k: int, n: int, confidence: float) -> None:
    expected = binomtest(k, n).proportion_ci(confidence_level=confidence, method="wilson")
    found = wilson_interval(k, n, confidence)
    assert float(found.low) == pytest.approx(expected.low, abs=1e-12)
    assert float(found.high) == pytest.approx(expected.high, abs=1e-12)


@given(st.integers(1, 10**6), st.data())
@settings(deadline=None)
def test_contains_the_share_and_stays_in_the_unit_interval(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson_interval(k, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert low < high


def test_nothing_observed_is_the_whole_interval() -> None:
    low, high = wilson_interval([0, 5], [0, 10])
    assert (low[0], high[0]) == (0.0, 1.0)
    assert low[1] > 0.2


def test_arrays_broadcast() -> None:
    low, high = wilson_interval(np.arange(4)[:, None], np.array([10, 20]))
    assert low.shape == high.shape == (4, 2)
    assert low[3, 1] == wilson_interval(3, 20).low
