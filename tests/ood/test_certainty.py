"""Intervals of detection metrics: DeLong by its definition, coverage by simulation, and the ends of the scale."""

from __future__ import annotations

import numpy as np
import pytest

from rsuq_cli.ood.certainty import delong, percentile, rate, resample_weights
from rsuq_cli.ood.metrics import weighted_metrics


def _pairwise(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float]:
    """AUROC and DeLong's variance from the table of all pairs."""
    wins = (outside[None] > inside[:, None]) + 0.5 * (outside[None] == inside[:, None])
    variance = wins.mean(axis=1).var(ddof=1) / len(inside) + wins.mean(axis=0).var(ddof=1) / len(outside)
    return float(wins.mean()), float(variance)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_is_that_of_all_pairs(ties: bool) -> None:
    random = np.random.default_rng(3)
    inside, outside = random.normal(0, 1, 60), random.normal(1, 2, 45)
    if ties:
        inside, outside = inside.round(), outside.round()
    value, variance = _pairwise(inside, outside)
    found = delong(inside, outside)
    assert found.value == pytest.approx(value)
    half = 1.959963984540054 * np.sqrt(variance) / (value * (1 - value))
    logits = np.log(value / (1 - value)) + np.array([-half, half])
    assert (found.low, found.high) == pytest.approx(tuple(1 / (1 + np.exp(-logits))))


def test_delong_covers_the_truth() -> None:
    """X ~ N(0, 1), Y ~ N(1, 1): the area is Phi(1 / sqrt 2) = 0.76025."""
    random = np.random.default_rng(4)
    trials = [delong(random.normal(0, 1, 80), random.normal(1, 1, 60)) for _ in range(600)]
    covered = np.mean([one.low <= 0.76025 <= one.high for one in trials])
    assert 0.93 <= covered <= 0.975


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_score_is_not_certain(sign: int) -> None:
    inside, outside = sign * np.arange(20.0), sign * np.arange(100.0, 130.0)
    found = delong(inside, outside)
    assert found.value == (1.0 if sign > 0 else 0.0)
    width = found.high - found.low
    assert 0.02 < width < 0.2
    wider = delong(inside[:5], outside[:5])
    assert wider.high - wider.low > width


def test_constant_scores_have_an_interval_around_one_half() -> None:
    found = delong(np.ones(30), np.ones(30))
    assert found.value == 0.5
    assert 0.2 < found.low < 0.5 < found.high < 0.8


def test_resamples_keep_the_number_of_inputs_and_begin_with_the_data() -> None:
    weights = resample_weights(25, (0, 7), 50)
    assert weights.shape == (51, 25)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 25).all()
    assert (weights == resample_weights(25, (0, 7), 50)).all()
    assert (weights != resample_weights(25, (0, 8), 50)).any()


def test_the_bootstrap_agrees_with_delong() -> None:
    random = np.random.default_rng(5)
    inside, outside = random.normal(0, 1, 200), random.normal(1, 1, 150)
    weights = resample_weights(200, (1,), 1000), resample_weights(150, (2,), 1000)
    found, expected = percentile(weighted_metrics(inside, outside, *weights).auroc), delong(inside, outside)
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.015)


def test_a_rate_of_zero_gets_wilsons_interval() -> None:
    found = rate(np.zeros(20), 50)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.0713, abs=1e-3)
    assert rate(np.array([0.5, 0.4, 0.6]), 50).high <= 0.6


def test_an_interval_needs_resamples() -> None:
    with pytest.raises(ValueError, match="resample"):
        percentile(np.array([0.5]))
    with pytest.raises(ValueError, match="two inputs"):
        delong([1.0], [1.0, 2.0])
