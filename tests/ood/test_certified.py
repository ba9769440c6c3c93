"""Bounds of scores inside a ball: against exact half-spaces, random searches, and simulated samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import binomtest, norm

from rsuq_cli.ood.certified import Bounds, guaranteed, mean_bounds, no_class_bounds, rejected_bounds
from rsuq_cli.ood.metrics import metrics

# A linear model in D dimensions under noise of sigma: margin w.x with |w| = 1, two classes by its sign, and an
# uncertainty u = exp(-|w.x|) in [0, 1] that rejects where |w.x| < THETA.
# The searches look at hundreds of bounds: at this alpha not one of them should fail.
D, SIGMA, THETA, ALPHA = 6, 0.5, 0.4, 1e-6
EDGES = np.exp(-np.linspace(3.0, 0.0, 61))


def uncertain_mass(margin: np.ndarray) -> np.ndarray:
    return ndtr((THETA - margin) / SIGMA) - ndtr((-THETA - margin) / SIGMA)


def no_class(margin: np.ndarray) -> np.ndarray:
    return 1 - np.maximum(ndtr((margin - THETA) / SIGMA), ndtr((-margin - THETA) / SIGMA))


def mean_uncertainty(margin: float) -> float:
    def density(t: float) -> float:
        return float(np.exp(-abs(t) - 0.5 * ((t - margin) / SIGMA) ** 2) / (SIGMA * np.sqrt(2 * np.pi)))

    return float(quad(density, margin - 10 * SIGMA, margin + 10 * SIGMA, points=[0.0, margin], limit=200)[0])


def sampled(margin: np.ndarray, n: int, seed: int) -> np.ndarray:
    return margin[:, None] + SIGMA * np.random.default_rng(seed).standard_normal((len(margin), n))


def certain_votes(samples: np.ndarray) -> np.ndarray:
    return np.stack([(samples > THETA).sum(axis=1), (samples < -THETA).sum(axis=1)], axis=1)


def binned(samples: np.ndarray) -> np.ndarray:
    cells = np.searchsorted(EDGES, np.exp(-np.abs(samples)))
    return np.stack([np.bincount(row, minlength=len(EDGES) + 1) for row in cells])


def test_random_search_inside_the_balls_finds_no_score_outside_the_bounds() -> None:
    random = np.random.default_rng(0)
    margins = np.array([-0.6, -0.2, 0.0, 0.1, 0.3, 0.5, 0.9, 1.5])
    radii = np.array([0.0, 0.1, 0.3, 0.6])
    n = np.full(len(margins), 4000)
    selection, estimation = sampled(margins, 100, 1), sampled(margins, 4000, 2)
    votes = certain_votes(selection), certain_votes(estimation)
    shift = radii / SIGMA
    bounds: dict[Callable[[Any], Any], Bounds] = {
        uncertain_mass: rejected_bounds(n - votes[1].sum(axis=1), n, ALPHA, shift),
        no_class: no_class_bounds(*votes, n, ALPHA, shift),
        np.vectorize(mean_uncertainty): mean_bounds(binned(estimation), n, EDGES, ALPHA, shift),
    }
    weight = np.eye(D)[0]
    for score, (lower, upper) in bounds.items():
        for at, radius in enumerate(radii):
            steps = random.standard_normal((40, D))
            # Random directions, and the two that matter most.
            steps = np.concatenate([steps / np.linalg.norm(steps, axis=1, keepdims=True), [weight, -weight]])
            steps *= radius * random.uniform(0, 1, (len(steps), 1)) ** (1 / D)
            steps[-2:] = radius * np.array([weight, -weight])
            moved = score(margins[None] + (steps @ weight)[:, None])
            assert (moved >= lower[at] - 1e-9).all(), score
            assert (moved <= upper[at] + 1e-9).all(), score


def test_the_bounds_are_not_idle() -> None:
    """A half-space that is rejected attains the bound: with many samples it is nearly exact."""
    n, r = np.array([1_000_000]), 0.3
    lower, upper = rejected_bounds(np.array([700_000]), n, ALPHA, np.array([r / SIGMA]))
    assert lower[0, 0] == pytest.approx(ndtr(0.524401 - r / SIGMA), abs=0.003)
    assert upper[0, 0] == pytest.approx(ndtr(0.524401 + r / SIGMA), abs=0.003)


def test_bounds_at_the_worst_mass_fail_as_rarely_as_alpha_says() -> None:
    trials, n, alpha = 20_000, 200, 0.05
    random = np.random.default_rng(7)
    totals = np.full(trials, n)
    for mass in (0.02, 0.5, 0.9):
        counts = random.binomial(n, mass, trials)
        lower, upper = rejected_bounds(counts, totals, alpha, np.zeros(1))
        for failures in (int((lower[0] > mass).sum()), int((upper[0] < mass).sum())):
            assert binomtest(failures, trials, alpha, alternative="greater").pvalue > 1e-4
    # The largest of several equal classes: choosing it on the samples themselves would fail too often.
    masses = np.array([0.3, 0.3, 0.3, 0.1])
    selection, estimation = random.multinomial(20, masses, trials), random.multinomial(n, masses, trials)
    lower, upper = no_class_bounds(selection, estimation, totals, alpha, np.zeros(1))
    for failures in (int((lower[0] > 0.7).sum()), int((upper[0] < 0.7).sum())):
        assert binomtest(failures, trials, alpha, alternative="greater").pvalue > 1e-4
    # The mean of a uniform measure.
    edges = np.linspace(0.05, 1, 20)
    counts = np.pad(random.multinomial(n, np.full(20, 0.05), 4000), ((0, 0), (0, 1)))
    lower, upper = mean_bounds(counts, totals[:4000], edges, alpha, np.zeros(1))
    assert (lower[0] > 0.5).mean() <= alpha
    assert (upper[0] < 0.5).mean() <= alpha


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_exact_bounds_at_some_edges_are_nearer_than_the_band_and_fail_as_rarely(shift: float) -> None:
    """A measure that is nearly always small: in its tail the band knows little."""
    trials, n, alpha, random = 4_000, 500, 0.05, np.random.default_rng(5)
    edges, masses = np.linspace(0.02, 1, 50), np.exp(-np.arange(50) / 3.0)
    masses /= masses.sum()
    counts = np.pad(random.multinomial(n, masses, trials), ((0, 0), (0, 1)))
    totals = np.full(trials, n)
    found = mean_bounds(counts, totals, edges, alpha, np.array([shift]))
    # The band alone, at all of alpha.
    share = np.cumsum(counts[:, :-1], axis=1) / n
    width = np.sqrt(np.log(1 / alpha) / (2 * n))
    banded = np.concatenate([np.zeros((trials, 1)), np.maximum(share - width, 0)], axis=1)
    alone = np.minimum((ndtr(norm.ppf(1 - banded) + shift) * 0.02).sum(axis=1), 1.0)
    assert found.upper[0].mean() < alone.mean() - (0.05 if shift else 0.01)
    truth = np.concatenate([[0.0], np.cumsum(masses)])
    exact = float((ndtr(norm.ppf(np.clip(1 - truth[:-1], 0, 1)) + shift) * 0.02).sum())
    assert (found.upper[0] < exact - 1e-9).mean() <= alpha
    least = float((ndtr(norm.ppf(np.clip(1 - truth[1:], 0, 1)) - shift) * 0.02).sum())
    assert (found.lower[0] > least + 1e-9).mean() <= alpha


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=6, max_size=6), st.floats(0, 2), st.floats(0.01, 2))
def test_bounds_are_ordered_within_the_scale_and_open_with_the_radius(
    counts: list[int], shift: float, more: float
) -> None:
    table = np.array([counts])
    n = table.sum(axis=1)
    if not n[0]:
        return
    edges = np.linspace(0.2, 1.0, 5)
    found = mean_bounds(table, n, edges, 0.01, np.array([shift, shift + more]))
    observed = (table[:, :-1] @ np.linspace(0.1, 0.9, 5) + table[:, -1]) / n
    assert (found.lower >= 0).all()
    assert (found.upper <= 1).all()
    assert found.lower[1] <= found.lower[0] <= observed + 0.1
    assert found.upper[1] >= found.upper[0] >= observed - 0.1
    rejected = rejected_bounds(table[:, 0], n, 0.01, np.array([shift, shift + more]))
    assert 0 <= rejected.lower[1, 0] <= rejected.lower[0, 0] <= rejected.upper[0, 0] <= rejected.upper[1, 0] <= 1


def test_a_mean_without_a_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        mean_bounds(np.ones((1, 3), np.int64), np.array([3]), np.array([0.5, 2.0]), 0.01, np.zeros(1))


def test_ties_and_inputs_without_a_certificate_count_as_failures() -> None:
    found = guaranteed(np.array([[0.2, 0.5]]), np.array([[0.5, 0.0, 0.9]]))
    # Strictly apart: 0.5 > 0.2, 0.9 > both; 0.5 = 0.5 does not count, 0 beats nobody.
    assert found.auroc[0] == pytest.approx(3 / 6)
    assert found.fpr95_ood_positive[0] == 1.0  # the threshold must go down to 0
    assert found.fpr95_id_positive[0] == pytest.approx(2 / 3)
    nothing_known = guaranteed(np.ones((1, 4)), np.zeros((1, 4)))
    assert [values.item() for values in nothing_known] == [0.0, 1.0, 1.0]


def test_without_ties_and_bounds_the_guarantee_is_the_metric() -> None:
    random = np.random.default_rng(9)
    inside, outside = random.uniform(0, 1, 57), random.uniform(0.3, 1, 43)
    found, plain = guaranteed(inside[None], outside[None]), metrics(inside, outside)
    assert found.auroc[0] == pytest.approx(plain.auroc[0])
    assert found.fpr95_ood_positive[0] == pytest.approx(plain.fpr95_ood_positive[0])
    assert found.fpr95_id_positive[0] == pytest.approx(plain.fpr95_id_positive[0])


def test_no_attack_within_the_radius_makes_detection_worse_than_guaranteed() -> None:
    inside, outside = np.linspace(0.8, 1.8, 12), np.linspace(-0.3, 0.4, 10)
    radius = 0.2
    shift = np.array([radius / SIGMA])

    def bounds(margins: np.ndarray, seed: int) -> Bounds:
        n = np.full(len(margins), 5000)
        rejected = n - certain_votes(sampled(margins, 5000, seed)).sum(axis=1)
        return rejected_bounds(rejected, n, ALPHA, shift)

    own, other = bounds(inside, 1), bounds(outside, 2)
    promised = guaranteed(own.upper, other.lower)
    random = np.random.default_rng(3)
    for _ in range(200):
        attacked = [uncertain_mass(side + radius * random.uniform(-1, 1, len(side))) for side in (inside, outside)]
        found = metrics(*attacked)
        assert found.auroc[0] >= promised.auroc[0]
        assert found.fpr95_ood_positive[0] <= promised.fpr95_ood_positive[0]
        assert found.fpr95_id_positive[0] <= promised.fpr95_id_positive[0]
    assert promised.auroc[0] > 0.8
