"""What the evidence says does not depend on the pages that it is read in."""

from __future__ import annotations

import numpy as np
import pytest

from rsuq_cli.certificates.certificate import certify
from rsuq_cli.certificates.evidence import Histogram, MeasureEdges, Unanswered, encode
from rsuq_cli.certificates.method import Method
from rsuq_cli.readings.pages import Plan, certificates, pages
from rsuq_cli.results.rows import EvidenceRow

EDGES = MeasureEdges(np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.6, 0.9]))
GENERATOR = np.random.default_rng(0)


def made_up(at: int) -> Histogram:
    selection, estimation = GENERATOR.poisson(30, (2, 3, 4)) * [[[1], [5], [9]]]
    return Histogram(selection, estimation, Unanswered(at, 2 * at))


HISTOGRAMS = [made_up(at) for at in range(7)]
ROWS = [EvidenceRow(10 + at, at % 3, 1, 1, encode({"entropy": one}), 0.0) for at, one in enumerate(HISTOGRAMS)]


@pytest.mark.parametrize("cells", [1, 36, 10**6], ids=["one by one", "three at a time", "all"])
@pytest.mark.parametrize("positions", [[1], [0, 1, 2]])
def test_every_input_has_the_certificate_of_its_own_votes(
    monkeypatch: pytest.MonkeyPatch, cells: int, positions: list[int]
) -> None:
    monkeypatch.setattr("rsuq_cli.readings.pages._CELLS", cells)
    plans = [
        Plan("entropy", EDGES, np.array(positions), Method(0.25, 0.01, rule)) for rule in ("majority", "plurality")
    ]  # fmt: skip
    inputs, labels, radii = [], [], [[], []]  # type: ignore[var-annotated]
    for page in pages(iter(ROWS), {"entropy"}):
        inputs += page.inputs.tolist()
        labels += page.labels.tolist()
        for place, found in certificates(page, plans):
            radii[place] += found.radius_ncl.tolist()
    assert inputs == list(range(10, 17))
    assert labels == [at % 3 for at in range(7)]
    for plan, of_plan in zip(plans, radii, strict=True):
        assert of_plan == [
            [certify(one.votes(0, at), one.votes(1, at), plan.method).radius_ncl.item() for at in positions]
            for one in HISTOGRAMS
        ]
    assert max(max(row) for row in radii[0]) > 0


def test_a_part_of_a_page_is_of_these_inputs() -> None:
    (_, page) = pages(ROWS, {"entropy"})  # the first page measures how large the others may be
    part = page.where(np.array([True, False, False, True, False, False]))
    assert part.inputs.tolist() == [11, 14]
    selection, estimation = part.counts("entropy", np.array([2]))
    assert selection.certain[:, 0].tolist() == [HISTOGRAMS[at].votes(0, 2).certain.tolist() for at in (1, 4)]
    assert estimation.total[:, 0].tolist() == [HISTOGRAMS[at].votes(1, 2).total.item() for at in (1, 4)]
