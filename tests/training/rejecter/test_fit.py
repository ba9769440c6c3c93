"""The fit beside an independent one in numpy, and beside the best there is on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from rsuq_cli.errors import BadInput
from rsuq_cli.training.rejecter.fit import fitted, logistic
from rsuq_cli.training.rejecter.worth import Draws, Flags, Floats, outcome


def newton(features: Floats, positive: Flags, weight: Floats) -> Floats:
    """Returns coefficients and bias of a weighted logistic regression by Newton's method, with a ridge of 1 on
    standardised features and none on the bias.
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    inputs = np.hstack([(features - centre) / scale, np.ones((len(features), 1))])
    ridge = np.eye(inputs.shape[1])
    ridge[-1, -1] = 0
    found = np.zeros(inputs.shape[1])
    for _ in range(50):
        chance = expit(inputs @ found)
        gradient = inputs.T @ (weight * (chance - positive)) + ridge @ found
        hessian = (inputs * (weight * chance * (1 - chance))[:, None]).T @ inputs + ridge
        found = found - np.linalg.solve(hessian, gradient)
    coefficients = found[:-1] / scale
    return np.append(coefficients, found[-1] - coefficients @ centre)


def test_it_is_the_fit_that_numpy_makes() -> None:
    random = np.random.default_rng(0)
    features = random.normal([3, -1, 0], [1, 20, 0.1], (400, 3))
    positive = random.random(400) < expit(features @ [1.0, 0.05, 4.0] - 3)
    weight = random.uniform(0.1, 3, 400)
    found = logistic(features, positive, weight)
    truth = newton(features, positive, weight)
    np.testing.assert_allclose(np.append(found.coefficients, found.bias), truth, rtol=1e-3, atol=1e-4)


def test_what_weighs_nothing_changes_nothing_and_one_side_alone_is_refused() -> None:
    random = np.random.default_rng(1)
    features, positive = random.normal(0, 1, (100, 2)), random.random(100) < 0.5
    weight = np.where(np.arange(100) < 60, 1.0, 0.0)
    found, fewer = logistic(features, positive, weight), logistic(features[:60], positive[:60], weight[:60])
    assert found.coefficients == pytest.approx(fewer.coefficients)
    with pytest.raises(BadInput, match="on one side"):
        logistic(features, np.ones(100, dtype=np.bool_), np.ones(100))


def gaussian_draws(images: int = 120, size: int = 40, seed: int = 0) -> Draws:
    """Returns draws whose chance of being wrong is Phi(t - 1.6), t the first of two features and the other idle."""
    random = np.random.default_rng(seed)
    features = random.normal(0, 1, (images * size, 2))
    wrong = random.random(images * size) < norm.cdf(features[:, 0] - 1.6)
    labels = np.zeros(images * size, dtype=np.int64)
    return Draws(
        features, wrong.astype(np.int64), labels, np.repeat(np.arange(images), size), 1 - np.where(wrong, 0.2, 0.0)
    )


def test_it_finds_what_tells_wrong_draws_and_answers_the_share_that_is_asked_for() -> None:
    draws = gaussian_draws()
    fit = fitted(draws, coverage=0.9, max_cost=1.0)
    first, second = fit.linear.coefficients
    assert first > 0
    assert abs(second) < 0.1 * first
    fresh = gaussian_draws(seed=7)
    threshold = np.quantile(fit.linear.of(draws.features), 0.9)
    # 4,800 fresh draws: a standard error of 0.0043, and as much of the threshold.
    assert np.mean(fit.linear.of(fresh.features) <= threshold) == pytest.approx(0.9, abs=4 * 0.0061)
    best = outcome(fresh, fresh.features[:, 0], 0.9)
    found = outcome(fresh, fit.linear.of(fresh.features), 0.9)
    assert found.gain == pytest.approx(best.gain, rel=0.05)


def test_what_is_expected_is_what_fresh_images_show() -> None:
    fit = fitted(gaussian_draws(), coverage=0.9, max_cost=1.0)
    fresh = gaussian_draws(images=600, seed=3)
    found = outcome(fresh, fit.linear.of(fresh.features), 0.9)
    assert fit.expected.gain == pytest.approx(found.gain, abs=0.04)
    assert fit.expected.cost == pytest.approx(found.cost, abs=0.02)


def priced_draws(seed: int = 0) -> Draws:
    """Returns draws where rejecting by the first feature is cheap, and by the second gains more and costs more."""
    random = np.random.default_rng(seed)
    images, size = 100, 40
    easy = np.repeat(np.arange(images) % 2 == 0, size)
    features = random.normal(0, 1, (images * size, 2))
    chance = np.where(easy, norm.cdf(2 * features[:, 0] - 4), norm.cdf(0.7 * features[:, 1] - 0.7))
    wrong = random.random(images * size) < chance
    labels = np.zeros(images * size, dtype=np.int64)
    return Draws(
        features, wrong.astype(np.int64), labels, np.repeat(np.arange(images), size), 1 - np.where(wrong, 0.3, 0.0)
    )


def test_a_bound_on_the_cost_is_kept_where_a_price_keeps_it() -> None:
    draws = priced_draws()
    free = fitted(draws, coverage=0.8, max_cost=1.0)
    bound = free.expected.cost - 0.005
    kept = fitted(draws, coverage=0.8, max_cost=bound)
    assert free.affordable
    assert kept.affordable
    assert kept.expected.cost <= bound
    assert kept.expected.gain <= free.expected.gain
    impossible = fitted(draws, coverage=0.8, max_cost=0.0)
    assert not impossible.affordable


def test_a_network_that_is_never_wrong_is_refused() -> None:
    draws = gaussian_draws()
    perfect = Draws(draws.features, draws.labels, draws.labels, draws.images, draws.right)
    with pytest.raises(BadInput, match="never wrong"):
        fitted(perfect, coverage=0.9, max_cost=0.1)
