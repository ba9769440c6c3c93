"""Figures over a data set against a plain loop, and the risk-coverage curve against all orders of its ties."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from rsuq_cli.certificates.certificate import CERTAIN, UNCERTAIN, UNDECIDED, Certificates, certify
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.figures import Curve, figures, risk_coverage
from rsuq_cli.certificates.method import Method

Row = dict[str, Any]


def row(class_index: int, decision: int, standard: float, cc: float, ncl: float, **more: Any) -> Row:
    """Returns one input's certificate: without rejection about the same class unless said otherwise."""
    return {
        "class_index": class_index, "standard_class": class_index, "decision": decision,
        "standard_decided": standard > 0, "at_ceiling": False, "certain_count": 70, "uncertain_count": 20,
        "radius_standard": standard, "radius_cc": cc, "radius_ncl": ncl, **more,
    }  # fmt: skip


def certificates(rows: list[Row]) -> Certificates:
    columns = {name: np.array([r[name] for r in rows]) for name in rows[0]}
    nothing = np.zeros(len(rows))
    return Certificates(
        **columns, n=np.full(len(rows), 100), vote_count=nothing, radius_uncertain=nothing,
        radius_explicit=nothing * np.nan,
        class_wise=nothing.astype(bool), bounds={},
    )  # fmt: skip


# All labels are 0: right and certain; right but rejected; certain and wrong; undecided, another class by all votes.
EXAMPLE = [
    row(0, CERTAIN, 1.0, 0.5, 1.5, at_ceiling=True, certain_count=90, uncertain_count=10),
    row(0, UNCERTAIN, 0.25, 0.0, 0.75, certain_count=40, uncertain_count=60),
    row(1, CERTAIN, 0.5, 0.25, 1.0, certain_count=80, uncertain_count=10),
    row(0, UNDECIDED, 0.75, 0.0, 0.0, standard_class=2, certain_count=50, uncertain_count=40),
]


def test_worked_example() -> None:
    found = figures([0, 0, 0, 0], certificates(EXAMPLE), radii=[0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0])
    assert found.inputs == 4
    assert (found.accuracy, found.clean_accuracy) == (0.25, 0.5)
    assert (found.coverage, found.abstention, found.undecided) == (0.5, 0.5, 0.25)
    assert found.accuracy_answered == 0.5
    assert found.at_ceiling == 0.25
    assert found.sample_coverage == pytest.approx(1 - (0.1 + 0.6 + 0.1 + 0.4) / 4)
    assert found.acr_standard == (1.0 + 0.25) / 4
    assert found.acr_cc == 0.5 / 4
    assert found.acr_ncl == (1.5 + 0.75) / 4
    assert found.gain == pytest.approx(2.25 / 1.25 - 1)
    assert found.cc_cost == pytest.approx(1 - 0.5 / 1.25)
    assert found.certified_standard.value.tolist() == [0.5, 0.5, 0.25, 0.25, 0.25, 0.0, 0.0]
    assert found.certified_cc.value.tolist() == [0.25, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0]
    assert found.certified_ncl.value.tolist() == [0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.0]
    # By certain votes the inputs come in the order right, wrong, right, right.
    assert found.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[list[int], list[Row]]:
    radius = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 3)
    rows, labels = [], draw(st.lists(st.integers(0, 2), min_size=1, max_size=12))
    for _ in labels:
        decision = draw(st.sampled_from([CERTAIN, UNCERTAIN, UNDECIDED]))
        certain_count = draw(st.integers(0, 100))
        rows.append(
            row(
                draw(st.integers(0, 2)), decision, draw(radius), draw(radius) if decision == CERTAIN else 0.0,
                draw(radius), standard_class=draw(st.integers(0, 2)), standard_decided=draw(st.booleans()),
                at_ceiling=draw(st.booleans()), certain_count=certain_count,
                uncertain_count=draw(st.integers(0, 100 - certain_count)),
            )
        )  # fmt: skip
    return labels, rows


@given(labelled(), st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 4), max_size=5))
@settings(deadline=None)
def test_figures_equal_a_plain_loop(drawn: tuple[list[int], list[Row]], radii: list[float]) -> None:
    labels, rows = drawn
    found = figures(labels, certificates(rows), radii=radii)
    pairs = list(zip(labels, rows, strict=True))

    def mean(values: list[float]) -> float:
        return math.fsum(values) / len(pairs)

    correct = [r["decision"] == CERTAIN and r["class_index"] == y for y, r in pairs]
    standard = [r["standard_decided"] and r["standard_class"] == y for y, r in pairs]
    answered = [r["decision"] == CERTAIN for r in rows]
    assert found.accuracy == pytest.approx(mean(correct))
    assert found.clean_accuracy == pytest.approx(mean(standard))
    assert found.coverage == pytest.approx(mean(answered))
    assert found.coverage + found.abstention == pytest.approx(1.0)
    assert found.undecided == pytest.approx(mean([r["decision"] == UNDECIDED for r in rows]))
    assert found.at_ceiling == pytest.approx(mean([r["at_ceiling"] for r in rows]))
    assert found.sample_coverage == pytest.approx(mean([1 - r["uncertain_count"] / 100 for r in rows]))
    if any(answered):
        assert found.accuracy_answered == pytest.approx(sum(correct) / sum(answered))
    else:
        assert found.accuracy_answered is None
    acr = [
        mean([r["radius_standard"] * (r["standard_class"] == y) for y, r in pairs]),
        mean([r["radius_cc"] * c for c, r in zip(correct, rows, strict=True)]),
        mean([r["radius_ncl"] * (r["class_index"] == y) for y, r in pairs]),
    ]
    assert [found.acr_standard, found.acr_cc, found.acr_ncl] == pytest.approx(acr)
    assert (found.gain is None) == (found.cc_cost is None) == (found.acr_standard == 0)
    if found.gain is not None and found.cc_cost is not None:
        assert found.gain == pytest.approx(acr[2] / acr[0] - 1, rel=1e-9)
        assert found.cc_cost == pytest.approx(1 - acr[1] / acr[0], rel=1e-9)
    for i, r0 in enumerate(radii):
        reached = [
            sum(s and r["radius_standard"] >= r0 for s, r in zip(standard, rows, strict=True)),
            sum(c and r["radius_cc"] >= r0 for c, r in zip(correct, rows, strict=True)),
            sum(r["class_index"] == y and r["radius_ncl"] >= r0 and r["radius_ncl"] > 0 for y, r in pairs),
        ]
        curves = (found.certified_standard, found.certified_cc, found.certified_ncl)
        for curve, count in zip(curves, reached, strict=True):
            assert curve.value[i] == count / len(pairs)
            interval = binomtest(count, len(pairs)).proportion_ci(0.95, "wilson")
            assert curve.low[i] == pytest.approx(interval.low, abs=1e-12)
            assert curve.high[i] == pytest.approx(interval.high, abs=1e-12)


def test_every_share_has_its_interval_over_its_own_inputs() -> None:
    found = figures([0, 0, 0, 0], certificates(EXAMPLE), confidence=0.9)
    for name, share in found.intervals.items():
        total = 2 if name == "accuracy_answered" else 4
        assert share.value == getattr(found, name)
        interval = binomtest(round(share.value * total), total).proportion_ci(0.9, "wilson")
        assert share[1:] == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert len(found.intervals) == 7


def test_curves_fall_with_the_radius() -> None:
    rng = np.random.default_rng(0)
    votes = [rng.multinomial(n, [0.7, 0.2, 0.1], size=300) for n in (100, 1000)]
    selection, estimation = (Counts(rng.binomial(v, 0.9), v) for v in votes)
    found = figures(rng.integers(0, 2, 300), certify(selection, estimation, Method(0.5)), radii=np.linspace(0, 1, 50))
    for curve in (found.certified_standard, found.certified_cc, found.certified_ncl):
        assert isinstance(curve, Curve)
        assert (np.diff(curve.value) <= 0).all()
        assert curve.value[0] > curve.value[-1]
        assert ((curve.low <= curve.value) & (curve.value <= curve.high)).all()
    assert (found.certified_cc.value <= found.certified_standard.value).all()
    assert (found.certified_standard.value <= found.certified_ncl.value).all()


def test_nothing_answered_and_nothing_certified() -> None:
    found = figures([0, 0], certificates([row(0, UNDECIDED, 0.0, 0.0, 0.0)] * 2), radii=[0.0])
    assert found.accuracy_answered is None
    assert (found.gain, found.cc_cost) == (None, None)
    assert "accuracy_answered" not in found.intervals
    assert found.certified_ncl.value.tolist() == [0.0]  # a radius of 0 proves nothing


def test_infinite_radii_of_known_masses_have_no_gain() -> None:
    found = figures([0], certificates([row(0, CERTAIN, math.inf, math.inf, math.inf)]), radii=[5.0])
    assert (found.gain, found.cc_cost) == (None, None)
    assert found.certified_ncl.value.tolist() == [1.0]


@pytest.mark.parametrize(
    ("labels", "radii", "message"),
    [
        ([0, 0, 0], [0.0], "must both be"),
        ([[0, 0, 0, 0]], [0.0], "must both be"),
        ([0, 0, 0, 0], [-0.1], "radii"),
        ([0, 0, 0, 0], [math.nan], "radii"),
        ([0, 0, 0, 0], [math.inf], "radii"),
        ([0, 0, 0, 0], [[0.1]], "radii"),
    ],
)
def test_wrong_arguments_are_refused(labels: Any, radii: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures(labels, certificates(EXAMPLE), radii=radii)


def test_no_inputs_have_no_figures() -> None:
    with pytest.raises(ValueError, match="N >= 1"):
        figures([], certificates(EXAMPLE)[:0])


def test_one_threshold_of_a_sweep() -> None:
    votes = np.array([[[900, 100], [500, 100]], [[800, 100], [400, 300]]])
    found = certify(Counts(votes, votes + 5), Counts(votes, votes + 5), Method(1.0))
    with pytest.raises(ValueError, match="must both be"):
        figures([0, 0], found)
    assert figures([0, 0], found[:, 1]).inputs == 2


# Risk and coverage


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
@settings(deadline=None)
def test_ties_are_averaged_over_all_their_orders(inputs: list[tuple[int, bool]]) -> None:
    curves = []
    for order in itertools.permutations(inputs):
        if all(a[0] <= b[0] for a, b in itertools.pairwise(order)):
            errors = np.cumsum([wrong for _, wrong in order])
            curves.append(errors / np.arange(1, len(order) + 1))
    found = risk_coverage([u for u, _ in inputs], [wrong for _, wrong in inputs])
    assert found.risk == pytest.approx(np.mean(curves, axis=0))
    assert found.aurc == pytest.approx(np.mean(curves))
    assert found.coverage == pytest.approx(np.arange(1, len(inputs) + 1) / len(inputs))


def test_a_perfect_ranking_a_useless_one_and_the_worst() -> None:
    wrong = np.array([False] * 8 + [True] * 2)
    perfect, useless, worst = (risk_coverage(u, wrong) for u in (np.arange(10), np.zeros(10), -np.arange(10)))
    assert perfect.aurc == pytest.approx((1 / 9 + 2 / 10) / 10)
    assert useless.risk == pytest.approx(np.full(10, 0.2))
    assert perfect.aurc < useless.aurc < worst.aurc
    assert perfect.risk[-1] == useless.risk[-1] == worst.risk[-1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("uncertainty", "wrong", "message"),
    [([], [], "N >= 1"), ([0.1], [True, False], "must be"), ([0.1, math.nan], [True, False], "NaN")],
)
def test_a_ranking_needs_numbers(uncertainty: list[float], wrong: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        risk_coverage(uncertainty, wrong)


def test_infinite_uncertainty_ranks_last() -> None:
    assert risk_coverage([math.inf, 0.0], [True, False]).risk.tolist() == [0.0, 0.5]
