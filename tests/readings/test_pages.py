"""What the evidence says does not depend on the pages that it is read in."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from rsuq_cli.certificates.certificate import Certificates, certify
from rsuq_cli.certificates.evidence import Histogram, MeasureEdges, Unanswered, encode
from rsuq_cli.certificates.guarantees import RULES
from rsuq_cli.certificates.method import COMPETITORS, Competitors, Method
from rsuq_cli.readings.pages import Page, Plan, certificates, pages, pages_for
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
    (page,) = pages(ROWS, {"entropy"})
    part = page.where(np.array([False, True, False, False, True, False, False]))
    assert part.inputs.tolist() == [11, 14]
    selection, estimation = part.counts("entropy", np.array([2]))
    assert selection.certain[:, 0].tolist() == [HISTOGRAMS[at].votes(0, 2).certain.tolist() for at in (1, 4)]
    assert estimation.total[:, 0].tolist() == [HISTOGRAMS[at].votes(1, 2).total.item() for at in (1, 4)]


# Many classes, few of which any sample names.

CLASSES = 40


def of_few_classes(rng: np.random.Generator, at: int) -> Histogram:
    """Returns the counts of an input that names up to a dozen classes; one is named by nobody, another by everybody."""
    counts = np.zeros((2, CLASSES, 4), dtype=np.int64)
    if at % 7:
        hit = rng.choice(CLASSES, rng.integers(1, 13), replace=False)
        counts[:, hit] = rng.poisson(rng.choice([1.0, 40.0], len(hit))[:, None], (2, len(hit), 4))
    elif at:
        counts[:] = rng.poisson(3, counts.shape)
    return Histogram(counts[0], counts[1], Unanswered(at % 3, 1 + at % 2))


@pytest.mark.parametrize("cells", [1, pytest.param(300, marks=pytest.mark.slow), 10**6])
@pytest.mark.parametrize("competitors", COMPETITORS)
def test_classes_that_nobody_names_change_nothing(
    monkeypatch: pytest.MonkeyPatch, cells: int, competitors: Competitors
) -> None:
    monkeypatch.setattr("rsuq_cli.readings.pages._CELLS", cells)
    rng = np.random.default_rng(1)
    rows = [
        EvidenceRow(at, 0, 1, 1, encode({"entropy": of_few_classes(rng, at)}), 0.0) for at in range(30)
    ]  # fmt: skip
    plans = [Plan("entropy", EDGES, np.array([0, 2]), Method(1.0, 0.01, rule, competitors)) for rule in RULES]
    for place, plan in enumerate(plans):
        every, few = (
            [found for page in pages(rows, {"entropy"}, hit_only=hit_only) for found in of_plan(page, plans, place)]
            for hit_only in (False, True)
        )
        for field in fields(Certificates):
            if field.name != "bounds":
                whole, part = (
                    np.concatenate([np.asarray(getattr(one, field.name)) for one in side]) for side in (every, few)
                )
                assert np.array_equal(whole, part, equal_nan=True), (plan.method.rule, field.name)
    assert max(page.counts("entropy", np.array([0]))[0].votes.shape[-1] for page in pages_for(rows, plans)) == CLASSES
    assert min(page.counts("entropy", np.array([0]))[0].votes.shape[-1] for page in pages_for(rows[:1], plans)) == 2


def of_plan(page: Page, plans: list[Plan], place: int) -> list[Certificates]:
    return [found for at, found in certificates(page, plans) if at == place]


def test_older_bounds_rank_the_classes_that_nobody_names() -> None:
    old = Plan("entropy", EDGES, np.array([0]), Method(1.0, competitors="class-wise", bounds=1))
    blob = np.zeros((CLASSES, 4), dtype=np.int64)
    blob[7] = 5
    row = EvidenceRow(0, 0, 1, 1, encode({"entropy": Histogram(blob, blob)}), 0.0)
    assert [page.classes for page in pages_for([row], [old])] == [None]
    (page,) = pages_for([row], [Plan("entropy", EDGES, old.positions, Method(1.0))])
    assert page.classes is not None
    assert page.classes.tolist() == [[0, 7]]
