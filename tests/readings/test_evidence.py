"""Readings give the database's figures at stored thresholds, and re-scored figures at all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from made_up import imported_run, made_up_run
from sqlalchemy import text

from rsuq_cli.certificates.certificate import certify
from rsuq_cli.certificates.evidence import Counts, counts_at, decode
from rsuq_cli.certificates.figures import figures as figures_of
from rsuq_cli.certificates.method import Method
from rsuq_cli.readings.evidence import Detail, Reading, reading_keys, readings
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.figures import figures
from rsuq_cli.results.writer import load_evidence

RADII = (0.0, 0.1, 0.25, 0.4)
FIGURES = ("acr_standard", "acr_cc", "acr_ncl", "coverage", "gain", "cc_cost", "sample_coverage")
FINE = Detail(thresholds=1000, radii=11, points=7, coverages=10)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Runs 1 and 2 with evidence, run 3 imported; the tests only read it."""
    with open_for_writing(tmp_path_factory.mktemp("readings") / "results.db") as database:
        made_up_run(database, model="cnn", seed=0)
        made_up_run(database, model="mlp", seed=1, measures=("entropy",))
        imported_run(database)
        yield database


def read(db: Database, detail: Detail = FINE, **selection: Any) -> list[Reading]:
    return readings(db, figures(db, radii=RADII, **selection), detail)


def test_scorings_of_one_measure_are_one_reading(results: Database) -> None:
    found = read(results)
    assert [(one.key.run_id, one.key.measure, len(one.stored), one.from_evidence) for one in found] == [
        (1, "entropy", 2, True), (1, "margin", 2, True), (2, "entropy", 2, True), (3, "none", 1, False),
    ]  # fmt: skip
    assert [len(one.positions) for one in found] == [21, 21, 21, 1]
    assert len(reading_keys(figures(results))) == 4


def test_stored_thresholds_have_the_figures_of_the_database(results: Database) -> None:
    seen = 0
    for reading in read(results):
        for position in reading.stored:
            totals, at = reading.at(position)
            expected = reading.positions[position].figures
            assert expected is not None
            assert reading.positions[position].threshold == expected.threshold
            for name in FIGURES:
                assert totals.values[name][at] == pytest.approx(getattr(expected, name), rel=1e-9), name
            for point in expected.certified_ncl:
                here = totals.reached["ncl"][at][totals.radii.tolist().index(point.radius)]
                assert here == round(point.value * expected.inputs)
            seen += 1
    assert seen == 7


def test_other_thresholds_have_the_figures_of_scoring_anew(results: Database) -> None:
    (reading,) = read(results, runs=[2])
    evidence = list(load_evidence(results, 2))
    labels = np.array([row.label for row in evidence])
    for at in (0, 6, 20):
        votes = [[counts_at(decode(row.counts)["entropy"][:2][stream], at) for row in evidence] for stream in (0, 1)]
        first, second = (Counts(*(np.stack(parts) for parts in zip(*one, strict=True))) for one in votes)
        expected = figures_of(labels, certify(first, second, Method(0.25, 0.001)), radii=reading.parts[0].radii)
        totals, place = reading.at(at)
        assert place == at
        for name in FIGURES:
            value = getattr(expected, name)
            assert totals.values[name][at] == pytest.approx(value, abs=1e-12), name
        np.testing.assert_array_equal(totals.reached["cc"][at], np.rint(expected.certified_cc.value * len(labels)))
        assert totals.aurc[at] == pytest.approx(expected.aurc)


def test_stored_thresholds_are_kept_when_few_are_shown(results: Database) -> None:
    coarse = read(results, Detail(thresholds=3, radii=5, points=2, coverages=4), runs=[2])[0]
    thresholds = [position.threshold for position in coarse.positions if position.threshold is not None]
    assert len(thresholds) == len(coarse.positions) == 5
    assert thresholds == sorted(thresholds)
    fine = read(results, runs=[2])[0]
    np.testing.assert_allclose(coarse.column("gain")[list(coarse.stored)], fine.column("gain")[list(fine.stored)])
    assert len(coarse.parts[0].points.label) == 2


def test_an_import_has_its_stored_figures_alone(results: Database) -> None:
    (reading,) = read(results, runs=[3])
    assert not reading.rejects
    assert [position.threshold for position in reading.positions] == [None]
    assert reading.column("acr_standard")[0] == pytest.approx(figures(results, runs=[3])[0].acr_standard)


def test_evidence_that_does_not_give_the_stored_figures_is_not_shown(db: Database) -> None:
    made_up_run(db, measures=("entropy",))
    # As if an older program had made the certificates in another way.
    with db.transaction() as connection:
        connection.execute(text("UPDATE certified_sample SET radius_cc = radius_cc * 0.9"))
    (reading,) = read(db)
    assert not reading.from_evidence
    assert len(reading.positions) == 2
    for position in reading.stored:
        totals, at = reading.at(position)
        expected = reading.positions[position].figures
        assert expected is not None
        assert totals.values["acr_cc"][at] == pytest.approx(expected.acr_cc)


def test_a_run_under_way_is_shown_from_what_it_has(db: Database) -> None:
    made_up_run(db, measures=("entropy",), coverages=(0.9,), inputs=range(30))
    with db.transaction() as connection:
        connection.execute(text("DELETE FROM evidence WHERE input_index >= 20"))
        connection.execute(text("DELETE FROM certified_sample WHERE input_index >= 20"))
    (reading,) = read(db)
    assert reading.from_evidence
    assert reading.parts[0].inputs == 20
