"""What a rejected sample is worth: beside derivatives of the radius, and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from rsuq_cli.training.rejecter.worth import Draws, outcome, weights


def draws_of(classes: list[list[int]], labels: list[int], right: float = 0.5) -> Draws:
    """Returns draws of images, one list of named classes for each."""
    named = np.array(classes, dtype=np.int64)
    images, size = named.shape
    return Draws(
        np.zeros((named.size, 1)), named.ravel(), np.repeat(np.array(labels, dtype=np.int64), size),
        np.repeat(np.arange(images), size), np.full(named.size, right),
    )  # fmt: skip


def every(draws: Draws) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(draws), dtype=np.bool_)


def test_an_image_is_answered_right_where_its_label_has_most_votes_and_no_tie() -> None:
    draws = draws_of([[0, 0, 1], [0, 1, 1], [0, 1, 2], [2, 2, 2]], [0, 0, 0, 1])
    assert draws.answered_right.tolist() == [True, False, False, False]


def test_masses_are_counts_with_sixteen_draws_of_the_network_s_own_probability() -> None:
    draws = draws_of([[0, 0, 0, 1]], [0], right=0.75)
    wrong, right = draws.masses(every(draws))
    assert wrong[0] == pytest.approx((1 + 16 * 0.25) / 20)
    assert right[0] == pytest.approx((3 + 16 * 0.75) / 20)
    certain = np.array([True, True, False, False])
    wrong, right = draws.masses(certain)
    assert wrong[0] == pytest.approx((0 + 16 * 0.25 / 2) / 20)
    assert right[0] == pytest.approx((2 + 16 * 0.75 / 2) / 20)


def test_the_weight_of_a_sample_is_the_slope_of_its_radius() -> None:
    draws = draws_of([[0] * 9 + [1], [0] * 6 + [1] * 4], [0, 0], right=0.8)
    found = weights(draws, every(draws))
    wrong, right = draws.masses(every(draws))
    step = 1e-6
    for image in (0, 1):
        own = draws.images == image
        narrower = (norm.ppf(1 - wrong[image] + step) - norm.ppf(1 - wrong[image])) / step
        lost = (norm.ppf(right[image]) - norm.ppf(right[image] - step)) / step
        assert found.worth[own & draws.wrong] == pytest.approx(narrower, rel=1e-4)
        assert found.cost[own & ~draws.wrong] == pytest.approx(lost, rel=1e-4)
    assert not found.worth[~draws.wrong].any()
    assert not found.cost[draws.wrong].any()


def test_at_a_half_a_sample_is_worth_the_root_of_two_pi() -> None:
    draws = draws_of([[0, 0, 0, 1, 1]], [0], right=0.4875)
    wrong, _ = draws.masses(every(draws))
    assert wrong[0] == pytest.approx((2 + 16 * 0.5125) / 21)
    assert weights(draws, every(draws)).worth.max() == pytest.approx(1 / norm.pdf(norm.ppf(wrong[0])))
    assert 1 / norm.pdf(norm.ppf(0.5)) == pytest.approx(np.sqrt(2 * np.pi))


def test_images_that_are_answered_wrong_are_worth_and_cost_nothing() -> None:
    draws = draws_of([[1, 1, 1, 0]], [0])
    found = weights(draws, every(draws))
    assert not found.worth.any()
    assert not found.cost.any()
    assert not draws.counts


def test_gain_and_cost_are_those_of_the_average_radii() -> None:
    draws = draws_of([[0] * 8 + [1, 1], [1] * 10], [0, 0], right=0.8)
    scores = np.zeros(20)
    scores[[8, 9]] = 1.0  # the wrong draws of the first image
    found = outcome(draws, scores, 0.9)
    wrong, right = draws.masses(every(draws))
    certain_wrong, certain_right = draws.masses(scores == 0)
    standard = norm.ppf(right[0])
    assert found.gain == pytest.approx(norm.ppf(1 - certain_wrong[0]) / standard - 1)
    assert found.cost == pytest.approx(1 - norm.ppf(certain_right[0]) / standard)
    assert wrong[0] + right[0] == pytest.approx(1)
    assert found.gain > 0
