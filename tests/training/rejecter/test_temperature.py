"""Temperatures beside what made the labels, and beside the condition that the likeliest one meets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import softmax

from rsuq_cli.training.rejecter.temperature import fitted_temperatures, temperatures, tempered_margin
from rsuq_cli.training.rejecter.worth import Draws, Integers, outcome


def made(rows: int, factors: list[float], seed: int = 0) -> tuple[npt.NDArray[np.float32], Integers]:
    """Returns logits `[S, T, K]` and labels; each pass is as sure as it should be, times a factor."""
    random = np.random.default_rng(seed)
    honest = random.normal(0, 2, (rows, 4))
    labels = (softmax(honest, axis=1).cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
    return np.stack([factor * honest for factor in factors], axis=1).astype(np.float32), labels.astype(np.int64)


def test_it_finds_by_what_a_pass_is_too_sure() -> None:
    logits, labels = made(20_000, [1.0, 3.0, 0.25])
    # The standard error of 20,000 draws is about 0.01 of the temperature.
    np.testing.assert_allclose(temperatures(logits, labels), [1.0, 3.0, 0.25], rtol=0.05)


def test_at_the_likeliest_temperature_the_average_logit_is_the_label_s() -> None:
    logits, labels = made(300, [2.5], seed=1)
    (found,) = temperatures(logits, labels)
    expected = (softmax(logits[:, 0] / found, axis=1) * logits[:, 0]).sum(axis=1)
    assert expected.mean() == pytest.approx(logits[np.arange(300), 0, labels].mean(), rel=1e-3)


def test_one_temperature_leaves_the_order_of_two_classes_and_what_is_expected_is_that_of_the_whole() -> None:
    logits, labels = made(4000, [2.0])
    logits = logits[:, :, :2]
    labels = np.minimum(labels, 1)
    classes = logits[:, 0].argmax(axis=1)
    plain = tempered_margin(logits, classes, np.array([1.0]))
    other = tempered_margin(logits, classes, np.array([2.0]))
    assert (np.argsort(plain, kind="stable") == np.argsort(other, kind="stable")).mean() > 0.99
    draws = Draws(np.zeros((4000, 1)), classes, labels, np.repeat(np.arange(100), 40), np.full(4000, 0.7))
    fit = fitted_temperatures(draws, logits, coverage=0.9, max_cost=0.0)
    found = tempered_margin(logits, classes, fit.linear.coefficients)
    whole = outcome(draws, found, 0.9)
    assert fit.expected.gain == pytest.approx(whole.gain, abs=0.02)
    assert fit.affordable == (fit.expected.cost <= 0.0)
