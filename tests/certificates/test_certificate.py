"""Certificates as a whole: order, symmetry, the error budget, edge cases, and size."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import beta, binomtest, norm

from rsuq_cli.certificates.certificate import (
    CERTAIN,
    NOBODY,
    UNCERTAIN,
    UNDECIDED,
    Certificates,
    certify,
    certify_masses,
)
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.guarantees import RULES, Rule
from rsuq_cli.certificates.method import BOUNDS_VERSIONS, COMPETITORS, STATEMENTS, Method, default_competitors

RADII = ("radius_standard", "radius_cc", "radius_ncl", "radius_uncertain")
METHODS = [
    Method(0.5, 0.001, rule, competitors, bounds=bounds)
    for bounds in BOUNDS_VERSIONS for rule in RULES for competitors in COMPETITORS
]  # fmt: skip
method_names = [f"{m.rule}-{m.competitors}-{m.bounds}" for m in METHODS]


def counts(certain: npt.ArrayLike, uncertain: npt.ArrayLike) -> Counts:
    return Counts(np.array(certain), np.array(certain) + np.array(uncertain))


@st.composite
def votes(draw: st.DrawFn, most: int = 2000, classes: int | None = None) -> tuple[Counts, Counts]:
    """Selection and estimation votes of a few inputs, each with at least one vote; some samples have no answer."""
    shape = (draw(st.integers(1, 4)), classes or draw(st.integers(1, 14)))
    found = []
    for limit in (30, most):
        cells = hnp.arrays(np.int64, shape, elements=st.integers(0, limit) | st.just(0))
        certain, uncertain = draw(cells), draw(cells)
        uncertain[:, -1] += (certain + uncertain).sum(axis=-1) == 0
        unanswered = draw(hnp.arrays(np.int64, shape[:1], elements=st.just(0) | st.integers(0, limit)))
        found.append(Counts(certain, certain + uncertain, unanswered))
    return found[0], found[1]


@given(votes(), st.floats(0.01, 2.0), st.sampled_from([1e-6, 0.001, 0.1]))
@settings(deadline=None)
def test_majority_radii_are_ordered_where_the_classes_agree(
    samples: tuple[Counts, Counts], sigma: float, alpha: float
) -> None:
    found = certify(*samples, Method(sigma, alpha))
    agree = found.class_index == found.standard_class
    assert (found.radius_cc <= found.radius_standard)[agree].all()
    assert (found.radius_standard <= found.radius_ncl)[agree].all()
    assert (found.radius_cc <= found.radius_ncl).all()


@given(votes(), st.sampled_from(METHODS))
@settings(deadline=None, max_examples=200)
def test_radii_are_finite_never_negative_and_need_a_decision(samples: tuple[Counts, Counts], method: Method) -> None:
    found = certify(*samples, method)
    inputs = len(samples[1].votes)
    for field in dataclasses.fields(Certificates):
        if field.name != "bounds":
            assert getattr(found, field.name).shape == (inputs,)
    for name in RADII:
        radius = getattr(found, name)
        assert np.isfinite(radius).all()
        assert (radius >= 0).all()
    for bound in found.bounds.values():
        assert ((bound.lower >= 0) & (bound.lower <= 1) & (bound.upper >= 0) & (bound.upper <= 1)).all()
    assert not found.radius_cc[found.decision != CERTAIN].any()
    assert not found.radius_uncertain[found.decision != UNCERTAIN].any()
    assert np.array_equal(found.n, samples[1].votes.sum(axis=-1) + samples[1].unanswered)
    assert (found.certain_count + found.uncertain_count <= found.n).all()
    assert (found.vote_count <= found.n).all()
    ceilings = np.array([method._replace(last_look=None).ceiling(int(n)) for n in found.n])
    if method.competitors == "merged":
        assert (found.radius_ncl <= ceilings).all()


@given(st.integers(1, 14), st.sampled_from(METHODS), st.data())
@settings(deadline=None, max_examples=200)
def test_renaming_the_classes_renames_the_certificate(classes: int, method: Method, data: st.DataObject) -> None:
    _, estimation = data.draw(votes(most=300, classes=classes))
    # Distinct numbers of votes, since ties are broken by id.
    shape = estimation.votes.shape
    all_votes = np.array([data.draw(st.permutations(range(1, classes + 1))) for _ in range(shape[0])])
    selection = Counts(
        np.minimum(all_votes, data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 9)))), all_votes
    )
    order = np.array(data.draw(st.permutations(range(classes))))
    found = certify(selection, estimation, method)
    first, second = (Counts(c.certain[:, order], c.votes[:, order], c.unanswered) for c in (selection, estimation))
    renamed = certify(first, second, method)
    assert np.array_equal(order[renamed.class_index], found.class_index)
    assert np.array_equal(order[renamed.standard_class], found.standard_class)
    assert np.array_equal(renamed.decision, found.decision)
    for name in RADII:
        assert np.array_equal(getattr(renamed, name), getattr(found, name))


@pytest.mark.parametrize("method", METHODS, ids=method_names)
def test_family_wise_splits_alpha_over_the_guarantees(method: Method) -> None:
    selection, estimation = counts([[60, 10, 5]], [[15, 5, 5]]), counts([[6200, 900, 300]], [[1800, 500, 300]])
    family = certify(selection, estimation, method._replace(family_size=STATEMENTS))
    each = certify(selection, estimation, method._replace(alpha=method.alpha / STATEMENTS))
    plain = certify(selection, estimation, method)
    for name in RADII:
        assert getattr(family, name) == getattr(each, name)
        assert getattr(family, name) <= getattr(plain, name)
    assert family.radius_standard < plain.radius_standard


@pytest.mark.parametrize(("n", "ceiling"), [(10**3, 2.463), (10**4, 3.199), (10**5, 3.811), (10**6, 4.347)])
def test_full_votes_reach_the_ceiling(n: int, ceiling: float) -> None:
    found = certify(counts([[100, 0]], [[0, 0]]), counts([[n, 0]], [[0, 0]]), Method(0.5))
    for name in ("radius_standard", "radius_cc", "radius_ncl"):
        assert getattr(found, name)[0] == pytest.approx(0.5 * ceiling, abs=5e-4)
        assert getattr(found, name)[0] == Method(0.5, 0.001).ceiling(n)
    assert found.at_ceiling.all()
    assert not certify(counts([[100, 0]], [[0, 0]]), counts([[n - 1, 1]], [[0, 0]]), Method(0.5)).at_ceiling.any()


def test_majority_radii_from_the_quantiles_of_the_beta_distribution() -> None:
    found = certify(counts([[70, 10]], [[15, 5]]), counts([[7000, 900]], [[1500, 600]]), Method(0.25))

    def radius(k: int) -> float:
        return 0.25 * float(norm.ppf(beta.ppf(0.001, k, 10_000 - k + 1)))

    assert found.decision[0] == CERTAIN
    assert found.radius_cc[0] == pytest.approx(radius(7000), rel=1e-9)
    assert found.radius_standard[0] == pytest.approx(radius(8500), rel=1e-9)
    assert found.radius_ncl[0] == pytest.approx(radius(9100), rel=1e-9)
    assert (found.certain_count[0], found.uncertain_count[0], found.vote_count[0]) == (7000, 2100, 8500)


@pytest.mark.parametrize(
    ("certain", "uncertain", "decision"),
    [
        ([900, 50], [25, 25], CERTAIN),
        ([100, 50], [600, 250], UNCERTAIN),
        ([510, 200], [200, 90], UNDECIDED),  # above one half, but not with proof
        ([490, 200], [200, 110], UNDECIDED),
        ([100, 800], [50, 50], UNDECIDED),  # the other class than the selected one has the majority
    ],
)
def test_majority_decides_only_with_proof(certain: list[int], uncertain: list[int], decision: int) -> None:
    found = certify(counts([[50, 10]], [[30, 10]]), counts([certain], [uncertain]), Method(1.0))
    assert found.class_index[0] == 0
    assert found.decision[0] == decision
    assert (found.radius_cc[0] > 0) == (decision == CERTAIN)
    assert (found.radius_uncertain[0] > 0) == (decision == UNCERTAIN)


def test_certain_votes_spread_over_many_classes_are_uncertain_however_they_are_grouped() -> None:
    certain, uncertain = np.full((1, 100), 60), np.zeros((1, 100), dtype=np.int64)
    uncertain[0, 0] = 1000  # the 100 classes have 6,000 of 7,000 votes together, and none more than 1 %
    found = certify(counts(certain, uncertain), counts(certain, uncertain), Method(1.0))
    assert found.decision[0] == UNCERTAIN
    assert found.bounds["uncertain"].upper[0] == pytest.approx(beta.isf(0.001, 61, 6940), rel=1e-9)


@pytest.mark.parametrize("rule", ["filtered", "standard"])
def test_rules_without_rejection_never_decide_uncertain(rule: str) -> None:
    samples = counts([[10, 5]], [[50, 35]]), counts([[100, 50]], [[500, 350]])
    found = certify(*samples, Method(1.0, rule=rule))  # type: ignore[arg-type]
    assert found.decision[0] in (CERTAIN, UNDECIDED)
    assert np.array_equal(found.radius_cc, found.radius_ncl)
    assert not found.radius_uncertain.any()


def test_plurality_can_be_certain_without_a_majority_and_uncertain_by_rejection() -> None:
    method = Method(1.0, rule="plurality", competitors="class-wise")
    selection = counts([[45, 20, 5], [20, 5, 5]], [[20, 5, 5], [50, 10, 10]])
    estimation = counts([[4500, 2000, 500], [2000, 500, 500]], [[2000, 500, 500], [5000, 1000, 1000]])
    found = certify(selection, estimation, method)
    assert found.decision.tolist() == [CERTAIN, UNCERTAIN]
    assert found.radius_cc[0] > 0
    assert found.radius_uncertain[1] > 0
    assert not certify(selection, estimation, Method(1.0)).radius_cc.any()


def test_selection_without_a_certain_vote_is_about_the_class_with_most_votes() -> None:
    found = certify(counts([[0, 0, 0]], [[30, 50, 20]]), counts([[0, 30, 0]], [[300, 500, 170]]), Method(1.0))
    assert found.class_index.tolist() == found.standard_class.tolist() == [1]
    assert found.decision[0] == UNCERTAIN
    assert found.radius_cc[0] == 0
    assert found.radius_ncl[0] == Method(1.0, 0.001).ceiling(1000)


def test_the_standard_class_is_that_of_all_votes() -> None:
    found = certify(counts([[40, 10]], [[0, 50]]), counts([[4000, 1000]], [[0, 5000]]), Method(1.0))
    assert (found.class_index[0], found.standard_class[0]) == (0, 1)
    assert (found.certain_count[0], found.vote_count[0]) == (4000, 6000)
    assert found.standard_decided[0]
    assert found.radius_standard[0] > 0 == found.radius_cc[0]


@pytest.mark.parametrize("method", METHODS, ids=method_names)
def test_two_classes(method: Method) -> None:
    found = certify(counts([[80, 5]], [[10, 5]]), counts([[8000, 500]], [[1000, 500]]), method)
    assert found.decision[0] == CERTAIN
    assert 0 < found.radius_cc[0] <= found.radius_ncl[0] * 1.02  # the budget of NCL may be split once more
    if method.rule == "majority":
        merged = certify(counts([[80, 5]], [[10, 5]]), counts([[8000, 500]], [[1000, 500]]), Method(0.5))
        assert found.radius_ncl[0] == pytest.approx(merged.radius_ncl[0], rel=1e-12)  # one competitor, one bound


@pytest.mark.parametrize("method", METHODS, ids=method_names)
def test_a_single_class_has_finite_radii(method: Method) -> None:
    found = certify(counts([[90]], [[10]]), counts([[900]], [[100]]), method)
    for name in ("radius_standard", "radius_cc", "radius_ncl"):
        assert 0 < getattr(found, name)[0] <= Method(0.5, 0.001).ceiling(1000)
    assert not found.class_wise.any()


def test_class_wise_is_larger_where_the_wrong_mass_is_spread_and_auto_follows() -> None:
    # Four wrong classes of 0.05 each, known exactly: 0.84 sigma merged, 1.64 sigma class-wise.
    certain, uncertain = np.array([[0.6, 0.05, 0.05, 0.05, 0.05]]), np.array([[0.2, 0.0, 0.0, 0.0, 0.0]])
    exact = [certify_masses(certain, uncertain, Method(1.0, competitors=c)).radius_ncl[0] for c in COMPETITORS]
    assert exact == pytest.approx([0.8416, 1.6449, 1.6449], abs=5e-5)
    spread = counts([[60, 5, 5, 5, 5]], [[20, 0, 0, 0, 0]]), counts([[6000, 500, 500, 500, 500]], [[2000, 0, 0, 0, 0]])
    one = counts([[60, 20, 0, 0, 0]], [[20, 0, 0, 0, 0]]), counts([[6000, 2000, 0, 0, 0]], [[2000, 0, 0, 0, 0]])
    for samples, better in [(spread, "class-wise"), (one, "merged")]:
        found = {c: certify(*samples, Method(1.0, competitors=c, bounds=1)) for c in COMPETITORS}
        assert max(COMPETITORS[:2], key=lambda c: found[c].radius_ncl[0]) == better
        assert found["auto"].radius_ncl == found[better].radius_ncl
        assert found["auto"].class_wise[0] == (better == "class-wise")
        found = {c: certify(*samples, Method(1.0, competitors=c)) for c in COMPETITORS}
        assert found["auto"].radius_ncl == found["class-wise"].radius_ncl >= found["merged"].radius_ncl
        assert found["auto"].class_wise[0]


@given(votes(), st.sampled_from(RULES), st.sampled_from([0.05, 1e-3, 1e-9]))
@settings(deadline=None, max_examples=300)
def test_one_bound_for_all_is_never_below_a_bound_for_each(
    samples: tuple[Counts, Counts], rule: Rule, alpha: float
) -> None:
    one, each = (certify(*samples, Method(1.0, alpha, rule, "class-wise", bounds=bounds)) for bounds in (2, 1))
    for name in RADII:
        assert (getattr(one, name) >= getattr(each, name) * (1 - 1e-9)).all(), name
    if rule == "majority":
        merged = certify(*samples, Method(1.0, alpha, rule, "merged"))
        assert (one.radius_ncl >= merged.radius_ncl).all()
        assert np.array_equal(one.radius_cc, merged.radius_cc)
        same = one.class_index == one.standard_class
        # No rounding may break what the database holds.
        assert (one.radius_cc <= one.radius_standard)[same].all()
        assert (one.radius_standard <= one.radius_ncl)[same].all()
        assert np.isnan(each.radius_explicit).all()
        explicit = certify(*samples, Method(1.0, alpha, "standard", "class-wise")).radius_standard
        assert np.array_equal(one.radius_explicit, explicit)


def test_a_thousand_classes_cost_no_radius() -> None:
    """The wrong mass of 1,000 classes is as far from a majority as its largest part is, however many the others are."""
    rng, n, classes = np.random.default_rng(0), 100_000, 1000
    masses = np.full(classes, 0.4 / (classes - 1))
    masses[0] = 0.6
    drawn = [rng.multinomial(size, masses)[None, :] for size in (100, n)]
    samples = counts(drawn[0], 0 * drawn[0]), counts(drawn[1], 0 * drawn[1])
    old, new = (certify(*samples, Method(1.0, competitors="class-wise", bounds=bounds)) for bounds in (1, 2))
    largest = drawn[1][0, 1:].max()
    assert new.radius_ncl[0] == pytest.approx(norm.isf(beta.isf(0.001, largest + 1, n - largest)), rel=1e-6)
    assert new.radius_ncl[0] > 3.0 > 0.5 > old.radius_ncl[0]


def test_auto_chooses_on_the_selection_samples_even_where_the_others_disagree() -> None:
    spread, one = [[60, 7, 7, 6]], [[60, 20, 0, 0]]
    method = Method(1.0, competitors="auto", bounds=1)
    estimation = counts([[6000, 700, 700, 600]], [[2000, 0, 0, 0]])
    assert certify(counts(spread, [[20, 0, 0, 0]]), estimation, method).class_wise[0]
    assert not certify(counts(one, [[20, 0, 0, 0]]), estimation, method).class_wise[0]


def test_auto_names_the_form_of_the_standard_rule_too() -> None:
    samples = counts([[40, 20, 20, 20]], [[0, 0, 0, 0]]), counts([[4000, 2000, 2000, 2000]], [[0, 0, 0, 0]])
    found = certify(*samples, Method(1.0, rule="standard", competitors="auto"))
    assert found.radius_standard[0] > 0  # no majority: only class by class can this be proved
    assert found.class_wise[0]


def test_known_masses_never_merge_competitors() -> None:
    # 99 wrong classes of 0.005 each: together one half, but each on its own far from it.
    certain = np.full((1, 100), 0.005)
    certain[0, 0] = 0.4
    uncertain = np.zeros((1, 100))
    uncertain[0, 0] = 1.0 - certain.sum()
    found = certify_masses(certain, uncertain, Method(1.0, competitors="class-wise"))
    assert found.radius_ncl[0] == pytest.approx(norm.isf(0.005), rel=1e-9)


def test_known_masses_that_do_not_add_up_by_rounding_give_no_nan() -> None:
    tenth = np.array([[1.0 - 0.1, 0.1 + 2e-16]])
    for method in METHODS:
        found = certify_masses(tenth, np.array([[0.0, 1e-16]]), method)
        assert not any(np.isnan(getattr(found, name)).any() for name in RADII)


def test_known_masses_of_one_listed_class_leave_the_rest_to_others() -> None:
    found = certify_masses(np.array([[0.8]]), np.array([[0.1]]), Method(1.0, competitors="class-wise"))
    assert found.radius_ncl[0] == pytest.approx(norm.ppf(0.9), rel=1e-12)


def test_known_masses_about_a_given_class() -> None:
    certain, uncertain = np.array([[0.5, 0.3, 0.1], [0.1, 0.2, 0.6]]), np.array([[0.1, 0.0, 0.0]] * 2)
    found = certify_masses(certain, uncertain, Method(1.0, rule="filtered"), class_index=np.array([1, 2]))
    assert found.class_index.tolist() == found.standard_class.tolist() == [1, 2]
    assert found.radius_cc[0] == 0
    assert found.radius_cc[1] > 0


def test_known_masses_are_the_limit_of_many_votes() -> None:
    certain, uncertain = np.array([[0.6, 0.1, 0.05]]), np.array([[0.1, 0.1, 0.05]])
    many = 10**9
    votes_ = counts((certain * many).astype(np.int64), (uncertain * many).astype(np.int64))
    for method in METHODS:
        exact, sampled = certify_masses(certain, uncertain, method), certify(votes_, votes_, method)
        for name in ("radius_standard", "radius_cc", "radius_ncl"):
            assert getattr(sampled, name)[0] == pytest.approx(getattr(exact, name)[0], abs=2e-4)
            assert getattr(sampled, name)[0] <= getattr(exact, name)[0]


def test_one_certificate_of_many() -> None:
    selection, estimation = (
        counts([[60, 10], [10, 60]], [[20, 10]] * 2),
        counts([[600, 100], [100, 600]], [[200, 100]] * 2),
    )
    found = certify(selection, estimation, Method(1.0))
    assert found[1].class_index == 1
    assert found[1].bounds["cc"].lower == found.bounds["cc"].lower[1]
    assert found[:1].radius_ncl.tolist() == found.radius_ncl[:1].tolist()


@pytest.mark.parametrize("wrong", [{"rule": "magic"}, {"competitors": "some"}])
def test_unknown_names_are_refused(wrong: dict[str, str]) -> None:
    samples = counts([[5, 1]], [[0, 0]])
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        certify(samples, samples, Method(1.0, **wrong))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        certify_masses(np.array([[0.5]]), np.array([[0.5]]), Method(1.0, **wrong))  # type: ignore[arg-type]


def test_rules_that_compare_classes_bound_them_one_by_one_by_default() -> None:
    chosen = {rule: default_competitors(rule) for rule in RULES}
    assert chosen == {"majority": "merged", "standard": "merged", "plurality": "class-wise", "filtered": "class-wise"}


@pytest.mark.parametrize("method", METHODS, ids=method_names)
def test_a_sweep_equals_its_certificates_one_by_one(method: Method) -> None:
    inputs, thresholds, classes, rng = 2_000, 200, 10, np.random.default_rng(0)
    if method.rule != "majority":
        inputs = 200  # one sweep at full size for the default rule is enough
    samples = []
    for n in (100, 10_000):
        all_votes = rng.multinomial(n, rng.dirichlet(np.full(classes, 0.3), size=inputs))
        share = np.linspace(0, 1, thresholds)[None, :, None]
        certain = np.floor(all_votes[:, None, :] * share).astype(np.int64)
        samples.append(Counts(certain, np.broadcast_to(all_votes[:, None, :], certain.shape)))
    found = certify(samples[0], samples[1], method)
    assert found.radius_ncl.shape == (inputs, thresholds)
    for i, j in [(0, 0), (3, 199), (7, 120), (inputs - 1, 60)]:
        first, second = (Counts(c.certain[i, j], c.votes[i, j]) for c in samples)
        alone = certify(first, second, method)
        for field in dataclasses.fields(Certificates):
            if field.name != "bounds":
                assert np.array_equal(getattr(found, field.name)[i, j], getattr(alone, field.name), equal_nan=True), (
                    field.name
                )


@pytest.mark.parametrize(("n", "alpha"), [(144_681, 1e-3), (146_900, 1e-4)])
def test_certificates_with_999_samples_against_are_wrong_no_more_often_than_alpha(n: int, alpha: float) -> None:
    mass, trials = 1 - 999 / n, 100_000
    hits = np.random.default_rng(0).binomial(n, mass, trials)
    votes = np.stack([hits, n - hits], axis=1)
    chosen = np.tile([100, 0], (trials, 1))
    found = certify(Counts(chosen, chosen), Counts(votes, votes), Method(1.0, alpha))
    wrong = int((found.radius_cc > norm.ppf(mass)).sum())
    assert binomtest(wrong, trials, alpha, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize("n", [10_100, 21_200, 87_500, 144_681, 146_900])
@pytest.mark.parametrize("alpha", [1e-3, 1e-4, 2.5e-4])
def test_the_three_radii_keep_their_order_around_999_samples_against(n: int, alpha: float) -> None:
    against = np.arange(990, 1010)
    certain = np.stack([n - against - 6, np.full_like(against, 5)], axis=1)
    votes = np.stack([n - against, against], axis=1)
    chosen = np.tile([100, 0], (len(against), 1))
    found = certify(Counts(chosen, chosen), Counts(certain, votes), Method(1.0, alpha))
    assert (found.radius_cc <= found.radius_standard).all()
    assert (found.radius_standard <= found.radius_ncl).all()
    assert (np.diff(found.radius_standard) < 0).all()


@given(votes(), st.sampled_from(METHODS), st.data())
@settings(deadline=None)
def test_a_sample_without_an_answer_is_uncertain_and_against_every_class(
    samples: tuple[Counts, Counts], method: Method, data: st.DataObject
) -> None:
    selection, estimation = samples
    found = certify(selection, estimation, method)
    rows = np.arange(len(estimation.votes))
    # The same samples as uncertain votes for some class: with rejection that is the same, without it no better.
    given_to = data.draw(hnp.arrays(np.int64, rows.shape, elements=st.integers(0, estimation.votes.shape[1] - 1)))
    spread = estimation.votes.copy()
    spread[rows, given_to] += estimation.unanswered
    other = certify(selection, Counts(estimation.certain, spread), method)
    if method.rule != "standard":
        for name in ("radius_cc", "radius_ncl", "radius_uncertain"):
            assert np.array_equal(getattr(found, name), getattr(other, name)), name
        assert np.array_equal(found.decision, other.decision)
    assert (found.radius_standard <= other.radius_standard).all()
    dropped = certify(selection, Counts(estimation.certain, estimation.votes), method)
    heard = dropped.n > 0
    assert (found.radius_standard <= dropped.radius_standard + 1e-12)[heard].all()


def test_where_the_selection_has_no_answer_nothing_is_certified() -> None:
    silent = Counts(np.zeros((2, 3), dtype=np.int64), np.array([[0, 0, 0], [9, 0, 0]]), np.array([10, 1]))
    heard = Counts(np.array([[900, 0, 0]] * 2), np.array([[950, 0, 0]] * 2), np.array([50, 50]))
    for method in METHODS:
        found = certify(silent, heard, method)
        assert (found.class_index[0], found.standard_class[0]) == (NOBODY, NOBODY)
        assert found.class_index[1] == 0
        assert not any(getattr(found, name)[0] for name in RADII if name != "radius_uncertain")
        assert found.decision[0] != CERTAIN
        assert found.n.tolist() == [1000, 1000]


@pytest.mark.parametrize(("n", "radius"), [(10**3, 2.463), (10**4, 3.199), (10**5, 3.811), (10**6, 4.347)])
def test_ceiling(n: int, radius: float) -> None:
    assert Method(1.0, 0.001).ceiling(n) == pytest.approx(radius, abs=6e-4)
    assert Method(0.25, 0.001).ceiling(n) <= 0.25 * norm.ppf(0.001 ** (1 / n))


def test_too_few_samples_certify_nothing() -> None:
    assert Method(1.0, 0.001).ceiling(9) == 0.0  # 0.001^(1/9) = 0.464
    assert Method(1.0, 0.001).ceiling(10) > 0.0  # 0.001^(1/10) = 0.501
