"""Rows of certificates: from evidence and scoring alone, each the certificate of its own counts."""

from __future__ import annotations

import numpy as np
import pytest

from rsuq_cli.certificates.certificate import DECISIONS, certify
from rsuq_cli.certificates.evidence import Counts, Histogram, MeasureEdges, UnknownThreshold, decode, encode
from rsuq_cli.certificates.method import Method
from rsuq_cli.readings.pages import LabelledEvidence
from rsuq_cli.readings.scoring import Scored, sample_rows
from rsuq_cli.results.rows import SampleRow

CLASSES = 4
N0, N = 100, 2000
EDGES = {
    name: MeasureEdges(np.asarray(edges), np.linspace(0.2, 1.0, len(edges)))
    for name, edges in {"entropy": [0.125, 0.25, 0.5, 1.0], "energy": [-8.0, -4.5, 0.0]}.items()
}


def random_evidence(inputs: int, seed: int = 0) -> list[LabelledEvidence]:
    """Returns inputs most of whose votes are for one class; measures agree on the classes, as in one forward pass."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(inputs):
        shares = rng.dirichlet([0.3] * CLASSES)
        streams = {name: [] for name in EDGES}  # type: dict[str, list[np.ndarray]]
        for samples in (N0, N):
            votes = rng.multinomial(samples, shares)
            for name, edges in EDGES.items():
                bins = rng.dirichlet([1.0] * (len(edges.edges) + 1))
                streams[name].append(np.stack([rng.multinomial(count, bins) for count in votes]))
        histograms = {name: Histogram(first, second) for name, (first, second) in streams.items()}
        found.append(LabelledEvidence(input_index=20 * index, label=index % CLASSES, histograms=histograms))
    return found


def scored(measure: str = "entropy", threshold: float = 0.25, scoring_id: int = 1, **method: object) -> Scored:
    return Scored(scoring_id, measure, threshold, Method(0.25, **method))  # type: ignore[arg-type]


def counts(histogram: np.ndarray, edges: np.ndarray, threshold: float) -> Counts:
    """Returns votes by the definition: bins up to the edge that is the threshold are certain."""
    return Counts(histogram[:, : int((edges <= threshold).sum())].sum(axis=1), histogram.sum(axis=1))


@pytest.mark.parametrize("rule", ["majority", "plurality", "filtered", "standard"])
@pytest.mark.parametrize(("measure", "threshold"), [("entropy", 0.125), ("entropy", 1.0), ("energy", -4.5)])
def test_a_row_is_the_certificate_of_the_counts_at_the_threshold(rule: str, measure: str, threshold: float) -> None:
    evidence, one = random_evidence(20), scored(measure, threshold, rule=rule)
    rows = sample_rows(evidence, [one], EDGES)
    assert [(row.input_index, row.label) for row in rows] == [(20 * i, i % CLASSES) for i in range(20)]
    for row, given in zip(rows, evidence, strict=True):
        selection, estimation = (counts(h, EDGES[measure].edges, threshold) for h in given.histograms[measure][:2])
        expected = certify(selection, estimation, one.method)
        assert row.class_index == expected.class_index
        assert row.standard_class == expected.standard_class
        assert row.decision == DECISIONS[int(expected.decision)]
        for name in ("radius_standard", "radius_cc", "radius_ncl", "radius_uncertain"):
            assert getattr(row, name) == pytest.approx(float(getattr(expected, name)), abs=1e-12)
        assert (row.n, row.rule, row.scoring_id) == (N, rule, 1)


def test_the_counts_behind_a_row_are_those_of_the_estimation_samples() -> None:
    evidence = random_evidence(30)
    for row, given in zip(sample_rows(evidence, [scored()], EDGES), evidence, strict=True):
        estimation = given.histograms["entropy"].estimation
        certain = estimation[:, :2].sum(axis=1)
        assert row.certain_count == certain[row.class_index]
        assert row.uncertain_count == N - certain.sum()
        assert row.vote_count == estimation[row.standard_class].sum()
        # The class was chosen on the selection samples.
        assert row.class_index == np.argmax(given.histograms["entropy"].selection[:, :2].sum(axis=1))


def test_every_scoring_has_a_row_for_every_input() -> None:
    several = [scored(), scored(threshold=0.5, scoring_id=2), scored("energy", -4.5, scoring_id=3)]
    rows = sample_rows(random_evidence(5), several, EDGES)
    assert [row.scoring_id for row in rows] == [1] * 5 + [2] * 5 + [3] * 5
    assert all(type(row.certain_count) is int and type(row.radius_cc) is float for row in rows)


def test_rows_do_not_depend_on_which_inputs_are_scored_together_or_on_storage() -> None:
    evidence, one = random_evidence(20), scored(competitors="auto")
    together = sample_rows(evidence, [one], EDGES)
    alone = [row for given in evidence for row in sample_rows([given], [one], EDGES)]
    assert alone == together
    stored = [given._replace(histograms=decode(encode(given.histograms), {"entropy"})) for given in evidence]
    assert sample_rows(stored, [one], EDGES) == together


def test_the_form_that_auto_took_is_on_each_row() -> None:
    rows = sample_rows(random_evidence(50), [scored(competitors="auto", bounds=1)], EDGES)
    assert {row.competitors for row in rows} == {"merged", "class-wise"}
    assert {row.bounds_version for row in rows} == {1}
    assert {row.radius_explicit for row in rows} == {None}
    rows = sample_rows(random_evidence(50), [scored(competitors="auto")], EDGES)
    assert {row.competitors for row in rows} == {"class-wise"}
    assert {row.bounds_version for row in rows} == {2}
    assert all(row.radius_explicit is not None and row.radius_explicit >= 0 for row in rows)
    merged = sample_rows(random_evidence(50), [scored(competitors="merged")], EDGES)
    assert {row.competitors for row in merged} == {"merged"}


def test_radii_are_ordered_under_majority() -> None:
    rows = sample_rows(random_evidence(200), [scored()], EDGES)
    agreeing = [row for row in rows if row.class_index == row.standard_class]
    assert len(agreeing) > 100
    assert all(0 <= row.radius_cc <= row.radius_standard <= row.radius_ncl for row in agreeing)


def test_no_inputs_are_no_rows() -> None:
    assert sample_rows([], [scored()], EDGES) == []
    assert sample_rows(random_evidence(2), [], EDGES) == []


def test_a_threshold_between_the_edges_is_refused() -> None:
    with pytest.raises(UnknownThreshold, match=r"0\.3 is no bin edge \(nearest: 0\.25, 0\.5\)"):
        sample_rows(random_evidence(1), [scored(threshold=0.3)], EDGES)


def test_rows_are_what_the_database_takes() -> None:
    assert all(isinstance(row, SampleRow) for row in sample_rows(random_evidence(2), [scored()], EDGES))
