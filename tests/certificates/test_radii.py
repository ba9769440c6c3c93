"""Radii against closed forms, and against linear programmes over all classifiers with the given masses."""

import numpy as np
import pytest
import truth
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from rsuq_cli.certificates.certificate import certify_masses
from rsuq_cli.certificates.method import Method
from rsuq_cli.certificates.radii import (
    plurality_not_wrong,
    stays_above_half,
    stays_ahead,
    stays_below_half,
    union_stays_ahead,
)

# q_A, q_rejected, q_b, and the three terms of guarantee NCL under plurality with their largest (theory, sigma = 1).
PLURALITY = [
    (0.80, 0.10, 0.02, 1.4477, 0.3861, 1.3413, 1.4477),
    (0.50, 0.40, 0.05, 0.8224, 0.6958, 1.0872, 1.0872),
    (0.45, 0.35, 0.10, 0.5779, 0.4481, 0.6957, 0.6957),
    (0.60, 0.05, 0.30, 0.3889, 0.0000, 0.0464, 0.3889),
    (0.30, 0.50, 0.15, 0.2560, 0.5182, 0.5390, 0.5390),
]
masses_in_unit_interval = st.floats(0.0, 1.0)


@pytest.mark.parametrize(("own", "rejected", "rival", "by_class", "by_rejection", "by_union", "radius"), PLURALITY)
def test_table_of_plurality(
    own: float, rejected: float, rival: float, by_class: float, by_rejection: float, by_union: float, radius: float
) -> None:
    assert float(stays_ahead(own, rival)) == pytest.approx(by_class, abs=5.1e-5)
    assert float(stays_ahead(rejected, rival)) == pytest.approx(by_rejection, abs=5.1e-5)
    assert float(union_stays_ahead(own + rejected, rival)) == pytest.approx(by_union, abs=5.1e-5)
    assert float(plurality_not_wrong(own, rejected, own + rejected, rival)) == pytest.approx(radius, abs=5.1e-5)


@pytest.mark.parametrize("mass", [1e-9, 0.2, 0.5, 0.7, 0.999, 1 - 1e-9])
def test_halves_are_normal_quantiles(mass: float) -> None:
    assert float(stays_above_half(mass)) == pytest.approx(max(0.0, norm.ppf(mass)), rel=1e-9)
    assert float(stays_below_half(mass)) == pytest.approx(max(0.0, norm.isf(mass)), rel=1e-9)


def test_small_masses_keep_their_digits() -> None:
    # 1 - 1e-20 is 1, and its quantile infinite; the quantile of 1e-20 is not.
    assert float(stays_below_half(1e-20)) == pytest.approx(norm.isf(1e-20), rel=1e-12)


@given(masses_in_unit_interval, masses_in_unit_interval)
@settings(deadline=None)
def test_union_root_solves_its_equation(union: float, rival: float) -> None:
    root = float(union_stays_ahead(union, rival))
    if union <= 2 * rival:
        assert root == 0.0
    elif rival == 0.0:
        # The probability of a quantile underflows for the smallest of floats: then nothing is claimed.
        assert root == np.inf or (union < 1e-300 and root == 0.0)
    else:
        assert np.isfinite(root)
        left, right = norm.cdf(norm.ppf(union) - root), 2 * norm.cdf(norm.ppf(rival) + root)
        assert left == pytest.approx(right, rel=1e-6, abs=1e-12)
        assert left >= right * (1 - 1e-12)


@example(own=0.0, rejected=0.0, union=0.9112120930019441, rival=0.125, less=1e-13)
@given(*[masses_in_unit_interval] * 5)
@settings(deadline=None)
def test_radii_are_never_negative_or_nan_and_fall_on_the_safe_side(
    own: float, rejected: float, union: float, rival: float, less: float
) -> None:
    for radius, weaker in [
        (stays_above_half(own), stays_above_half(own * less)),
        (stays_below_half(rival), stays_below_half(rival + (1 - rival) * less)),
        (stays_ahead(own, rival), stays_ahead(own * less, rival)),
        (stays_ahead(own, rival), stays_ahead(own, rival + (1 - rival) * less)),
        (union_stays_ahead(union, rival), union_stays_ahead(union * less, rival)),
        (union_stays_ahead(union, rival), union_stays_ahead(union, rival + (1 - rival) * less)),
        (
            plurality_not_wrong(own, rejected, union, rival),
            plurality_not_wrong(own * less, rejected * less, union * less, rival),
        ),
    ]:
        assert 0.0 <= float(weaker) <= float(radius) + 1e-12


@pytest.mark.parametrize(("margin", "threshold", "sigma", "norm_w"), [(1.0, 0.4, 0.5, 2.0), (0.3, 0.29, 0.25, 0.7)])
def test_half_space_is_exact_under_majority(margin: float, threshold: float, sigma: float, norm_w: float) -> None:
    # Two classes, logit w.x + b = margin at the input, certain when |logit| > threshold.
    scale = sigma * norm_w
    own_certain, own = norm.cdf((margin - threshold) / scale), norm.cdf(margin / scale)
    rival_certain = norm.cdf((-margin - threshold) / scale)
    found = certify_masses(
        np.array([[own_certain, rival_certain]]),
        np.array([[own - own_certain, 1.0 - own - rival_certain]]),
        Method(sigma),
    )
    assert found.radius_cc[0] == pytest.approx((margin - threshold) / norm_w, rel=1e-9)
    assert found.radius_standard[0] == pytest.approx(margin / norm_w, rel=1e-9)
    assert found.radius_ncl[0] == pytest.approx((margin + threshold) / norm_w, rel=1e-9)


def test_shares_among_survivors_would_overclaim() -> None:
    # One dimension, sigma 1, certain when |x| > 1, class by sign, centre -0.1: the decision flips at distance 0.1.
    negative, positive = norm.cdf(-1.0 + 0.1), norm.sf(1.0 + 0.1)
    assert negative == pytest.approx(0.184060, abs=5e-7)
    assert positive == pytest.approx(0.135666, abs=5e-7)
    certain = np.array([[negative, positive]])
    uncertain = np.array([[norm.cdf(0.1) - negative, norm.sf(0.1) - positive]])
    method = Method(1.0, rule="filtered", competitors="class-wise")
    assert certify_masses(certain, uncertain, method).radius_cc[0] == pytest.approx(0.1, abs=1e-12)
    shares = certain / certain.sum()
    assert shares[0] == pytest.approx([0.575680, 0.424320], abs=5e-7)
    assert certify_masses(shares, 0 * shares, method).radius_cc[0] == pytest.approx(0.190855, abs=5e-7)


# Certain masses of three classes and the rejected mass; class 0 is certified, or rejection where that is asked.
EXAMPLES = [
    np.array([0.80, 0.02, 0.08, 0.10]),
    np.array([0.50, 0.05, 0.05, 0.40]),
    np.array([0.45, 0.10, 0.10, 0.35]),
    np.array([0.60, 0.30, 0.05, 0.05]),
    np.array([0.30, 0.15, 0.05, 0.50]),
]
STATEMENTS = [
    ("majority", "cc"), ("majority", "ncl"), ("majority", "uncertain"),
    ("plurality", "cc"), ("plurality", "ncl"), ("plurality", "uncertain"), ("filtered", "cc"),
]  # fmt: skip


@pytest.mark.parametrize("masses", EXAMPLES, ids=str)
@pytest.mark.parametrize(("rule", "guarantee"), STATEMENTS)
def test_no_classifier_breaks_a_radius_and_some_classifier_breaks_a_larger_one(
    rule: str, guarantee: str, masses: np.ndarray
) -> None:
    method = Method(1.0, rule=rule, competitors="class-wise")  # type: ignore[arg-type]
    certain, rejected = masses[None, :3], np.array([[masses[3], 0.0, 0.0]])
    radius = getattr(certify_masses(certain, rejected, method), f"radius_{guarantee}")[0]
    assert radius == pytest.approx(truth.exact_radius(rule, guarantee, masses, 0), abs=1e-9)
    assert radius == 0 or not truth.can_break(rule, guarantee, masses, 0, radius * (1 - 1e-5))
    assert truth.can_break(rule, guarantee, masses, 0, radius * 1.01 + 1e-5)


@pytest.mark.parametrize("masses", EXAMPLES, ids=str)
@pytest.mark.parametrize("competitors", ["merged", "class-wise", "auto"])
def test_standard_radius_without_rejection(masses: np.ndarray, competitors: str) -> None:
    votes = np.append(masses[:3] + np.array([masses[3], 0.0, 0.0]), 0.0)
    method = Method(1.0, rule="standard", competitors=competitors)  # type: ignore[arg-type]
    radius = certify_masses(masses[None, :3], np.array([[masses[3], 0.0, 0.0]]), method).radius_standard[0]
    assert radius == 0 or not truth.can_break("filtered", "cc", votes, 0, radius * (1 - 1e-5))
    if competitors != "merged":
        assert truth.can_break("filtered", "cc", votes, 0, radius * 1.01 + 1e-5)
    else:
        assert truth.can_break("majority", "cc", votes, 0, radius * 1.01 + 1e-5)


@pytest.mark.parametrize("masses", EXAMPLES, ids=str)
@pytest.mark.parametrize("rule", ["majority", "plurality", "filtered"])
def test_merged_competitors_never_claim_more_than_the_exact_radius(rule: str, masses: np.ndarray) -> None:
    method = Method(1.0, rule=rule, competitors="merged")  # type: ignore[arg-type]
    found = certify_masses(masses[None, :3], np.array([[masses[3], 0.0, 0.0]]), method)
    assert found.radius_cc[0] <= truth.exact_radius(rule, "cc", masses, 0) + 1e-12
    assert found.radius_ncl[0] <= truth.exact_radius(rule, "ncl", masses, 0) + 1e-12


def test_merging_class_and_rejection_is_unsound_under_plurality() -> None:
    own, rejected, rival = 0.45, 0.35, 0.10
    merged = float(stays_ahead(own + rejected, rival))
    inside = 0.9 * merged
    # The rival holds the upper tail along the shift, class and rejection the lower one, which then splits evenly.
    rival_there = norm.cdf(norm.ppf(rival) + inside)
    half_there = norm.cdf(norm.ppf(own + rejected) - inside) / 2
    assert half_there < rival_there < 2 * half_there  # the rival wins the vote, though the union still outweighs it
    masses = np.array([own, rival, 0.10, rejected])
    assert truth.can_break("plurality", "ncl", masses, 0, inside)
    assert float(plurality_not_wrong(own, rejected, own + rejected, rival)) < inside


# What is listed of three classes, certain and uncertain; the rest could be anyone's.
PARTLY_LISTED = [
    ([0.60, 0.00, 0.00], [0.00, 0.00, 0.00]),
    ([0.51, 0.01, 0.00], [0.00, 0.00, 0.00]),
    ([0.50, 0.05, 0.10], [0.20, 0.00, 0.05]),
    ([0.45, 0.02, 0.02], [0.30, 0.10, 0.05]),
    ([0.20, 0.05, 0.00], [0.30, 0.20, 0.10]),
    ([0.05, 0.02, 0.00], [0.00, 0.60, 0.00]),
    ([0.30, 0.10, 0.10], [0.10, 0.00, 0.00]),
]


def completions(certain: np.ndarray, uncertain: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every way in which the rest may go to one listed class or to one that is not listed, certain or uncertain."""
    own, other = np.append(certain, 0.0), np.append(uncertain, 0.0)
    rest = 1 - certain.sum() - uncertain.sum()
    unit = np.eye(len(own))
    return [(own + rest * unit[c], other) for c in range(len(own))] + [
        (own, other + rest * unit[c]) for c in range(len(own))
    ]


@pytest.mark.parametrize(("listed_certain", "listed_uncertain"), PARTLY_LISTED, ids=str)
@pytest.mark.parametrize(("rule", "guarantee"), [*STATEMENTS, ("standard", "cc")])
def test_mass_that_is_not_listed_is_the_worst_rival(
    rule: str, guarantee: str, listed_certain: list[float], listed_uncertain: list[float]
) -> None:
    certain, uncertain = np.array(listed_certain), np.array(listed_uncertain)
    exact = [
        truth.exact_radius("filtered", "cc", np.append(a + b, 0.0), int(np.argmax(certain + uncertain)))
        if rule == "standard"
        else truth.exact_radius(rule, guarantee, np.append(a, b.sum()), int(np.argmax(certain)))
        for a, b in completions(certain, uncertain)
    ]
    for competitors in ("class-wise", "merged", "auto"):
        method = Method(1.0, rule=rule, competitors=competitors)  # type: ignore[arg-type]
        radius = getattr(certify_masses(certain[None], uncertain[None], method), f"radius_{guarantee}")[0]
        if competitors == "class-wise":
            assert radius == pytest.approx(min(exact), abs=1e-9)
        assert radius <= min(exact) + 1e-9


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 40))])
@pytest.mark.parametrize("rule", ["majority", "plurality", "filtered"])
def test_no_spread_of_what_is_not_listed_breaks_a_radius(rule: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(7, 0.7))
    certain, uncertain = shares[:3], shares[3:6]
    method = Method(1.0, rule=rule, competitors=random.choice(["class-wise", "merged", "auto"]))  # type: ignore[arg-type]
    found = certify_masses(certain[None], uncertain[None], method)
    for spread in random.dirichlet(np.full(8, 0.3), size=200) * shares[6]:
        joint = np.append(np.append(certain, 0.0) + spread[:4], uncertain.sum() + spread[4:].sum())
        for guarantee in ("cc", "ncl", "uncertain") if rule != "filtered" else ("cc",):
            radius = getattr(found, f"radius_{guarantee}")[0]
            assert radius <= truth.exact_radius(rule, guarantee, joint, int(np.argmax(certain))) + 1e-9
