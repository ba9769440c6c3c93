"""Totals agree with the figures that are computed from whole arrays, however the inputs are cut up."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuq_cli.certificates.certificate import Certificates, certify
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.figures import figures, risk_coverage
from rsuq_cli.certificates.method import Method
from rsuq_cli.readings.totals import Counter, Totals

RADII = np.array([0.0, 0.1, 0.2, 0.35, 0.6])
COVERAGES = np.array([0.1, 0.5, 1.0])
NAMES = ("standard", "cc", "ncl")


def votes(rng: np.random.Generator, inputs: int, total: int) -> Counts:
    """Returns votes `[N, T, K]` of three classes at two thresholds, the second less strict."""
    cells = rng.multinomial(total, rng.dirichlet([0.3] * 9, inputs)).reshape(inputs, 3, 3)
    certain = np.stack([cells[:, :, 0], cells[:, :, 0] + cells[:, :, 1]], axis=1)
    return Counts(certain, np.broadcast_to(cells.sum(axis=-1)[:, None, :], certain.shape))


def made(seed: int, inputs: int, rule: str = "majority") -> tuple[np.ndarray, Certificates]:
    rng = np.random.default_rng(seed)
    method = Method(0.25, 0.01, rule)  # type: ignore[arg-type]
    return rng.integers(0, 3, inputs), certify(votes(rng, inputs, 20), votes(rng, inputs, 100), method)


def totalled(labels: np.ndarray, certificates: Certificates, cuts: list[int], shown: list[int]) -> Totals:
    counter = Counter(RADII, COVERAGES, np.array(shown))
    edges = sorted({0, *cuts, len(labels)})
    for start, end in itertools.pairwise(edges):
        counter.add(np.arange(start, end), labels[start:end], certificates[start:end])
    return counter.totals()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(1, 40), st.sampled_from(["majority", "plurality", "filtered"]),
    st.lists(st.integers(0, 40), max_size=4),
)  # fmt: skip
def test_tally_is_the_figures_of_every_threshold(seed: int, inputs: int, rule: str, cuts: list[int]) -> None:
    labels, certificates = made(seed, inputs, rule)
    totals = totalled(labels, certificates, [cut for cut in cuts if cut < inputs], [0])
    for at in range(2):
        expected = figures(labels, certificates[:, at], radii=RADII)
        for name, value in expected.values.items():
            known = np.nan if value is None else value
            assert totals.values[name][at] == pytest.approx(known, rel=1e-12, abs=1e-12, nan_ok=True), name
        assert totals.aurc[at] == pytest.approx(expected.aurc, rel=1e-12)
        for name in NAMES:
            curve = getattr(expected, f"certified_{name}")
            np.testing.assert_array_equal(totals.reached[name][at], np.rint(curve.value * inputs))


def test_errors_are_those_among_the_most_certain() -> None:
    labels, certificates = made(3, 40)
    totals = totalled(labels, certificates, [], [0])
    for at in range(2):
        c = certificates[:, at]
        curve = risk_coverage(1 - c.certain_count / c.n, c.class_index != labels)
        first = np.array([4, 20, 40])
        np.testing.assert_allclose(totals.errors[at], curve.risk[first - 1] * first)
    assert totals.errors[0][-1] == (certificates[:, 0].class_index != labels).sum()


def test_points_are_the_inputs_asked_for_wherever_the_cuts_are() -> None:
    labels, certificates = made(5, 20)
    whole, cut = (totalled(labels, certificates, cuts, [2, 7, 19]) for cuts in ([], [3, 7, 8]))
    for field in dataclasses.fields(whole.points):
        np.testing.assert_array_equal(getattr(whole.points, field.name), getattr(cut.points, field.name))
    np.testing.assert_array_equal(whole.points.input_index, [2, 7, 19])
    np.testing.assert_array_equal(whole.points.radius_ncl, certificates.radius_ncl[[2, 7, 19]])
    np.testing.assert_array_equal(whole.points.right[:, 0], (certificates.class_index[:, 0] == labels)[[2, 7, 19]])


def test_no_votes_are_ranked_by_the_standard_radius() -> None:
    labels, certificates = made(9, 30)
    voteless = dataclasses.replace(certificates, certain_count=np.zeros_like(certificates.certain_count))
    counter = Counter(RADII, COVERAGES, np.array([0]), by_votes=False)
    counter.add(np.arange(30), labels, voteless)
    wrong = certificates.class_index[:, 0] != labels
    expected = risk_coverage(-certificates.radius_standard[:, 0], wrong).aurc
    assert counter.totals().aurc[0] == pytest.approx(expected)
    assert expected != pytest.approx(risk_coverage(np.zeros(30), wrong).aurc)


def test_nothing_added_is_refused() -> None:
    with pytest.raises(ValueError, match="no input"):
        Counter(RADII, COVERAGES, np.array([0])).totals()
