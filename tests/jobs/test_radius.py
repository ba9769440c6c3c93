"""The certificate of typed-in votes, against the numbers of the theory and scipy's closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm

from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.radius import MOST_CLASSES, MOST_VOTES, RadiusRequest, parse_votes, single_certificate


def certificate(
    certain: dict[int, float], uncertain: dict[int, float] | None = None, *, sigma: float = 1.0, **more: Any
) -> dict[str, Any]:
    return single_certificate(RadiusRequest(sigma, certain, uncertain or {}, **more))


def lower(count: int, n: int, alpha: float) -> float:
    return float(beta.ppf(alpha, count, n - count + 1)) if count else 0.0


def upper(count: int, n: int, alpha: float) -> float:
    return float(beta.ppf(1 - alpha, count + 1, n - count)) if count < n else 1.0


# Masses


@pytest.mark.parametrize(
    ("q_a", "q_uncertain", "q_b", "radius_ncl"),
    [
        (0.80, 0.10, 0.02, 1.4477),
        (0.50, 0.40, 0.05, 1.0872),
        (0.45, 0.35, 0.10, 0.6957),
        (0.60, 0.05, 0.30, 0.3889),
        (0.30, 0.50, 0.15, 0.5390),
    ],
)
def test_plurality_has_the_radii_of_the_linear_programme(
    q_a: float, q_uncertain: float, q_b: float, radius_ncl: float
) -> None:
    # The rest is spread over classes that are weaker than b.
    rest = (1 - q_a - q_uncertain - q_b) / 4
    masses = {0: q_a, 1: q_b, 2: rest, 3: rest, 4: rest, 5: rest}
    found = certificate(masses, {0: q_uncertain}, rule="plurality", masses=True, class_index=0)
    assert found["radius_ncl"] == pytest.approx(radius_ncl, abs=5e-5)
    assert found["unlisted"] == 0


def test_rejected_votes_stay_in_the_denominator() -> None:
    # Certain when |x| > 1, class by sign, centre -0.1: the decision flips at distance 0.1. The shares among the
    # certain (0.575680 and 0.424320) would claim 0.190855.
    negative, positive = norm.cdf(-0.9), norm.sf(1.1)
    assert (negative, positive) == pytest.approx((0.184060, 0.135666), abs=5e-7)
    unsound = 0.5 * (norm.ppf(negative / (negative + positive)) - norm.ppf(positive / (negative + positive)))
    assert unsound == pytest.approx(0.190855, abs=5e-7)
    found = certificate(
        {0: negative, 1: positive}, {0: 0.5 - negative, 1: 0.5 - positive}, rule="filtered", masses=True
    )
    assert found["radius_cc"] == found["radius_ncl"] == pytest.approx(0.1, abs=1e-12)


def test_majority_has_the_three_distances_of_a_half_space() -> None:
    m, t, sigma = 0.7, 0.2, 0.5
    certain, class_mass = norm.cdf((m - t) / sigma), norm.cdf(m / sigma)
    wrong = norm.sf((m + t) / sigma)
    found = certificate(
        {0: certain, 1: wrong}, {0: class_mass - certain, 1: 1 - class_mass - wrong}, sigma=sigma, masses=True
    )
    assert found["radius_cc"] == pytest.approx(m - t)
    assert found["radius_standard"] == pytest.approx(m)
    assert found["radius_ncl"] == pytest.approx(m + t)
    assert found["decision"] == "certain"
    assert (found["n"], found["alpha"], found["ceiling"]) == (None, None, None)


def test_mass_that_is_not_listed_is_held_against_the_class() -> None:
    found = certificate({0: 0.6}, masses=True)
    assert found["radius_ncl"] == pytest.approx(norm.ppf(0.6))
    assert found["unlisted"] == pytest.approx(0.4)
    assert certificate({0: 900, 1: 100})["unlisted"] is None


@pytest.mark.parametrize(
    ("name", "rule", "competitors", "masses", "rival"),
    [
        ("radius_cc", "plurality", None, {0: 0.6}, 0.4),
        ("radius_standard", "standard", "class-wise", {0: 0.6}, 0.4),
        ("radius_ncl", "majority", "class-wise", {0: 0.6}, 0.4),
        ("radius_ncl", "filtered", None, {0: 0.6}, 0.4),
        # Of a listed rival's class, too.
        ("radius_cc", "plurality", None, {0: 0.51, 1: 0.01}, 0.49),
        ("radius_ncl", "majority", "class-wise", {0: 0.51, 1: 0.01}, 0.49),
    ],
)
def test_mass_that_is_not_listed_is_one_rival(
    name: str, rule: str, competitors: str | None, masses: dict[int, float], rival: float
) -> None:
    found = certificate(masses, rule=rule, competitors=competitors, masses=True)
    assert found[name] == pytest.approx(-norm.ppf(rival), abs=1e-9)


def test_a_mass_of_one_has_no_finite_radius() -> None:
    found = certificate({0: 1.0}, masses=True)
    assert (found["radius_cc"], found["radius_standard"], found["radius_ncl"]) == (None, None, None)


# Counts


@given(
    votes=st.tuples(*[st.integers(0, 5000)] * 4).filter(lambda v: sum(v) > 0),
    alpha=st.sampled_from([0.001, 0.05]),
    sigma=st.sampled_from([0.12, 1.0]),
)
def test_majority_is_scipys_clopper_pearson(votes: tuple[int, int, int, int], alpha: float, sigma: float) -> None:
    a, b, uncertain_a, uncertain_b = votes
    n = sum(votes)
    found = certificate({0: a, 1: b}, {0: uncertain_a, 1: uncertain_b}, sigma=sigma, alpha=alpha, class_index=0)

    def radius(count: int) -> float:
        return max(0.0, sigma * norm.ppf(lower(count, n, alpha)))

    assert found["radius_cc"] == pytest.approx(radius(a), abs=1e-8)
    assert found["radius_standard"] == pytest.approx(radius(a + uncertain_a), abs=1e-8)
    assert found["radius_ncl"] == pytest.approx(radius(n - b), abs=1e-8)
    assert found["radius_cc"] <= found["radius_standard"] <= found["radius_ncl"]
    assert found["n"] == n
    assert found["ceiling"] == pytest.approx(max(0.0, sigma * norm.ppf(alpha ** (1 / n))), abs=1e-8)


def test_class_wise_competitors_share_alpha() -> None:
    found = certificate({0: 600, 1: 100, 2: 90, 3: 80}, {0: 130}, competitors="class-wise")
    assert found["radius_ncl"] == pytest.approx(-norm.ppf(upper(100, 1000, 0.001 / 3)), abs=1e-9)
    assert found["competitors"] == "class-wise"


def test_family_wise_splits_alpha_over_the_four_guarantees() -> None:
    found = certificate({0: 900, 1: 20}, {0: 80}, family_wise=True)
    assert found["family_size"] == 4
    assert found["radius_cc"] == pytest.approx(norm.ppf(lower(900, 1000, 0.001 / 4)), abs=1e-9)
    assert found["ceiling"] == pytest.approx(norm.ppf((0.001 / 4) ** (1 / 1000)), abs=1e-9)
    assert found["bounds"]["cc"]["lower"] == pytest.approx(lower(900, 1000, 0.001 / 4), abs=1e-12)


@pytest.mark.parametrize(
    ("certain", "uncertain", "decision"),
    [
        ({0: 900}, {0: 100}, "certain"),
        ({0: 100}, {0: 900}, "uncertain"),
        ({0: 505}, {0: 495}, "undecided"),
        ({0: 4}, {}, "undecided"),
    ],
)
def test_a_decision_needs_proof(certain: dict[int, float], uncertain: dict[int, float], decision: str) -> None:
    found = certificate(certain, uncertain)
    assert found["decision"] == decision
    assert (found["radius_cc"] > 0) == (decision == "certain")
    assert (found["radius_uncertain"] > 0) == (decision == "uncertain")


def test_the_class_is_the_one_with_the_most_certain_votes_unless_given() -> None:
    votes: tuple[dict[int, float], dict[int, float]] = ({0: 300, 1: 200}, {1: 400, 2: 100})
    chosen = certificate(*votes)
    assert (chosen["class"], chosen["standard_class"]) == (0, 1)
    given_class = certificate(*votes, class_index=2)
    assert (given_class["class"], given_class["standard_class"]) == (2, 2)
    assert certificate({}, {3: 10, 1: 5})["class"] == 3


@pytest.mark.parametrize("masses", [False, True])
def test_a_class_without_a_vote_can_be_asked_about(masses: bool) -> None:
    found = certificate({0: 0.9 if masses else 900}, masses=masses, class_index=5)
    assert found["class"] == 5
    assert found["radius_cc"] == 0
    assert found["decision"] != "certain"


def test_with_many_classes_the_grouping_does_not_look_at_the_counts() -> None:
    """With --class given nothing is chosen on the counts, and one bound covers all others; else each group has one."""
    strongest_is_far = {0: 800.0, 15: 60.0, 16: 50.0} | dict.fromkeys(range(1, 10), 1.0)
    found = certificate(strongest_is_far, {0: 81}, competitors="class-wise", class_index=0)
    n = 800 + 110 + 9 + 81
    assert found["radius_ncl"] == pytest.approx(-norm.ppf(upper(60, n, 0.001)), abs=1e-9)
    assert found["bounds_version"] == 2
    found = certificate(strongest_is_far, {0: 81}, competitors="class-wise")
    assert found["radius_ncl"] == pytest.approx(-norm.ppf(upper(110, n, 0.001 / 10)), abs=1e-9)
    assert found["bounds_version"] == 1
    strongest_is_near = {0: 800.0, 5: 60.0, 6: 50.0} | dict.fromkeys([1, 2, 3, 4, 7, 8, 9, 10, 15], 1.0)
    found = certificate(strongest_is_near, {0: 81}, competitors="class-wise")
    assert found["radius_ncl"] == pytest.approx(-norm.ppf(upper(60, n, 0.001 / 10)), abs=1e-9)


@given(
    counts=st.dictionaries(st.integers(0, 40), st.integers(1, 500), min_size=1, max_size=15),
    rule=st.sampled_from(["majority", "plurality", "filtered", "standard"]),
    competitors=st.sampled_from(["merged", "class-wise", "auto", None]),
)
def test_any_votes_give_finite_radii_below_the_ceiling(
    counts: dict[int, int], rule: str, competitors: str | None
) -> None:
    found = certificate(dict(counts), rule=rule, competitors=competitors)
    limits = {"radius_cc": found["ceiling"], "radius_standard": found["ceiling"]}
    for name in ("radius_cc", "radius_standard", "radius_ncl", "radius_uncertain"):
        assert found[name] is not None
        assert 0 <= found[name] <= limits.get(name, math.inf) + 1e-9
    assert found["rule"] == rule


def test_the_most_votes_there_may_be_are_counted_exactly() -> None:
    found = certificate({0: MOST_VOTES // 2 - 1, 1: MOST_VOTES // 2 + 1})
    assert (found["class"], found["n"]) == (1, MOST_VOTES)


# What is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "sigma is 0"),
        ({"alpha": 1.0}, "alpha is 1"),
        ({"rule": "vote"}, "unknown rule 'vote'"),
        ({"competitors": "none"}, "unknown competitors 'none'"),
        ({"certain": {}, "uncertain": {}}, "there are no votes"),
        ({"certain": {0: 0}, "uncertain": {1: 0}}, "all votes are 0"),
        ({"certain": {0: 0.7, 1: 0.4}, "masses": True}, "the masses sum to 1.1, more than 1"),
        ({"certain": {0: MOST_VOTES, 1: 1}}, "there are 1,000,000,001 votes"),
        ({"class_index": -1}, "--class is -1"),
        ({"class_index": MOST_CLASSES + 1}, "--class is 1000001"),
    ],
)
def test_votes_that_cannot_be_are_refused_with_a_hint(changes: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"sigma": 1.0, "certain": {0: 1}, "uncertain": {}}
    with pytest.raises(BadInput, match=message) as caught:
        RadiusRequest(**(usual | changes))
    assert caught.value.hint


def test_votes_are_read_by_class() -> None:
    assert parse_votes(["0:9000", "12:5"], "--certain", masses=False) == {0: 9000, 12: 5}
    assert parse_votes(["0:0.5", "1:1e-3"], "--certain", masses=True) == {0: 0.5, 1: 0.001}
    assert parse_votes([], "--uncertain", masses=False) == {}


@pytest.mark.parametrize(
    ("text", "masses", "message", "hint"),
    [
        ("9000", False, "is not CLASS:COUNT", "masses need --masses"),
        ("0:0.9", False, "is not CLASS:COUNT", "masses need --masses"),
        ("a:5", False, "is not CLASS:COUNT", ""),
        ("0:", False, "is not CLASS:COUNT", ""),
        ("0:1:2", False, "is not CLASS:COUNT", ""),
        ("0:x", True, "is not CLASS:MASS", ""),
        ("0:" + "9" * 400, False, "is not CLASS:COUNT", ""),
        ("-1:5", False, "negative or names a class twice", ""),
        ("0:-5", False, "negative or names a class twice", ""),
        ("0:nan", True, "negative or names a class twice", ""),
        ("0:inf", True, "negative or names a class twice", ""),
        (f"{MOST_CLASSES + 1}:5", False, "names class 1000001", ""),
    ],
)
def test_texts_that_are_no_votes_are_refused(text: str, masses: bool, message: str, hint: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_votes([text], "--certain", masses=masses)
    assert caught.value.message.startswith("--certain ")
    assert hint in caught.value.hint


def test_a_class_is_named_once() -> None:
    with pytest.raises(BadInput, match=r"--uncertain 0:6 .* twice"):
        parse_votes(["0:5", "0:6"], "--uncertain", masses=False)
