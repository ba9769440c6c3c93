"""Trade-off lines against the figures of the database and a search by hand."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import imported_run
from made_up_study import made_up_study

from rsuq_cli.readings.study import study_found
from rsuq_cli.readings.tradeoff import LEAST_COVERAGE, Line, tradeoffs
from rsuq_cli.results.database import Database
from rsuq_cli.results.studies import Member, add_member, study_named


@pytest.fixture
def lines(db: Database) -> list[Line]:
    return tradeoffs(db, study_found(db, made_up_study(db)))


def test_every_source_has_a_line_through_its_stored_figures(db: Database, lines: list[Line]) -> None:
    assert [(line.place.network, line.measure) for line in lines] == [
        (network, measure) for network in ("cnn", "mlp") for measure in ("entropy", "margin", "confidence")
    ]
    found = study_found(db, study_named(db, "made up"))
    for line in lines:
        assert len(line.gain) > 10
        assert (np.diff(line.coverage) <= 0).all()
        assert line.coverage.min() >= LEAST_COVERAGE
        own = [one.figures for one in found if (one.place, one.figures.measure) == (line.place, line.measure)]
        expected = sorted(((one.sample_coverage, one.gain, one.cc_cost) for one in own if one.sample_coverage >= 0.5),
                          reverse=True)  # fmt: skip
        marked = zip(*(values[line.stored] for values in (line.coverage, line.gain, line.cost)), strict=True)
        for here, wanted in zip(marked, expected, strict=True):
            assert here == pytest.approx(wanted)


def test_a_gain_is_reached_at_the_largest_coverage_that_has_it(lines: list[Line]) -> None:
    line = lines[1]
    wanted = float(np.median(line.gain))
    reached = line.reaching(wanted)
    assert reached is not None
    best = max((coverage, -cost) for coverage, gain, cost in zip(line.coverage, line.gain, line.cost, strict=True)
               if gain >= wanted)  # fmt: skip
    assert reached[0] == best[0]
    assert line.reaching(float(line.gain.max()) + 0.01) is None


def test_what_rejects_nothing_has_no_line(db: Database) -> None:
    study = made_up_study(db, networks=("cnn",))
    add_member(db, study.id, Member(imported_run(db), "resnet110", "gaussian", 0.25, 0, "one pass"))
    assert {line.place.network for line in tradeoffs(db, study_found(db, study_named(db, "made up")))} == {"cnn"}
