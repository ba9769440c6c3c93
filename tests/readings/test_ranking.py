"""Rankings against brute force: gain and cost by their definition, resamples counted one by one."""

from __future__ import annotations

import numpy as np
import pytest

from rsuq_cli.readings.ranking import ranked
from rsuq_cli.results.input_radii import InputRadii


def made(seed: int, inputs: int = 60, lift: float = 0.2) -> InputRadii:
    shared = np.random.default_rng(1)
    own = np.random.default_rng(seed)
    standard = shared.random(inputs) * (shared.random(inputs) < 0.8)
    ncl = standard * (1 + lift * own.random(inputs))
    return InputRadii(np.arange(inputs), standard, standard * (1 - 0.1 * own.random(inputs)), ncl)


def test_gain_and_cost_are_what_they_are_defined_as() -> None:
    sources = [made(2), made(3, lift=0.5)]
    found = ranked(sources)
    assert found is not None
    for one, radii in zip(found, sources, strict=True):
        assert one.gain.value == pytest.approx(radii.ncl.mean() / radii.standard.mean() - 1)
        assert one.cost.value == pytest.approx(1 - radii.cc.mean() / radii.standard.mean())
        assert one.gain.low < one.gain.value < one.gain.high
        assert one.cost.low < one.cost.value < one.cost.high
    assert found[1].behind.value == 0
    assert found[0].behind.value == pytest.approx(found[1].gain.value - found[0].gain.value)


def test_the_intervals_are_those_of_a_resampling_written_out() -> None:
    sources = [made(2, lift=0.30), made(3, lift=0.31)]
    found = ranked(sources, resamples=4000)
    assert found is not None
    random = np.random.default_rng(99)
    gains = np.empty((4000, 2))
    for draw in range(4000):
        chosen = random.integers(0, 60, 60)
        gains[draw] = [radii.ncl[chosen].sum() / radii.standard[chosen].sum() - 1 for radii in sources]
    for at, one in enumerate(found):
        np.testing.assert_allclose(one.gain[1:], np.percentile(gains[:, at], (2.5, 97.5)), atol=0.004)
        assert one.best == pytest.approx((gains.argmax(axis=1) == at).mean(), abs=0.03)
    assert sum(one.best for one in found) == pytest.approx(1)


def test_twins_share_the_first_place() -> None:
    found = ranked([made(2), made(2)])
    assert found is not None
    assert [one.best for one in found] == [0.5, 0.5]
    assert found[0].behind == found[1].behind == (0.0, 0.0, 0.0)


def test_only_inputs_that_all_have_are_compared() -> None:
    whole = made(2)
    half = InputRadii(whole.input_index[::2], whole.standard[::2], whole.cc[::2], whole.ncl[::2])
    found = ranked([whole, half])
    assert found is not None
    assert found[0] == found[1]


def test_it_is_the_same_each_time() -> None:
    assert ranked([made(2), made(3)]) == ranked([made(2), made(3)])


def test_without_a_radius_there_is_no_ranking() -> None:
    nothing = InputRadii(np.arange(3), np.zeros(3), np.zeros(3), np.zeros(3))
    assert ranked([nothing]) is None
    assert ranked([made(2), InputRadii(np.arange(100, 103), np.ones(3), np.ones(3), np.ones(3))]) is None
