"""Wrong certificates of an earlier release: `rsuq db check` finds them, `rsuq rescore` puts the right ones in place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import query, refused, rsuq, snapshot
from made_up import imported_run, made_up_run
from scipy.special import betainc, betaincinv, ndtri

from rsuq_cli.certificates import bounds
from rsuq_cli.certificates.evidence import Histogram, MeasureEdges, encode
from rsuq_cli.certificates.method import Method
from rsuq_cli.readings.mending import wrong_certificates
from rsuq_cli.readings.pages import LabelledEvidence
from rsuq_cli.readings.scoring import Scored, sample_rows
from rsuq_cli.results.database import Database, open_for_reading, open_for_writing
from rsuq_cli.results.rows import EvidenceRow, NewRun, NewScoring
from rsuq_cli.results.writer import add_scoring, finish_run, start_run, store_inputs

if TYPE_CHECKING:
    from conftest import Place

N = 10_100
EDGES = {"entropy": MeasureEdges(np.array([0.5, 1.0]), np.array([0.9, 1.0]))}
# Samples by class and bin (certain at 0.5, at 1.0 only): what the bounds are put on is round in some, in one way each.
INPUTS = {
    "certain": [[N - 999, 0], [500, 499]],
    "certain or uncertain": [[N - 1500, 501], [999, 0]],
    "votes": [[N - 1700, 701], [0, 999]],
    "sound": [[N - 700, 100], [300, 300]],
    "sound, nearly round": [[N - 998, 0], [998, 0]],
}


def wrong_inverse(factor: float) -> Any:
    """An inverse that is wrong where its second parameter is 1000, as scipy's is for many totals."""

    def inverse(a: Any, b: Any, p: float) -> Any:
        found = np.array(betaincinv(a, b, p))
        for at in zip(*np.nonzero(np.asarray(b) == 1000), strict=True):
            found[at] = factor * lower(int(np.asarray(a)[at]))
        return found

    return inverse


@pytest.fixture(params=[1.003, 0.8], ids=["too far", "too near"])
def touched(request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """A database with certificates made by a release that trusted the inverse; gives the factor it is wrong by."""
    with monkeypatch.context() as patch, open_for_writing(place.database) as db:
        patch.setattr(bounds, "_believable", lambda tail, alpha, *, margin: np.ones(np.shape(tail), dtype=bool))
        patch.setattr(bounds, "betaincinv", wrong_inverse(request.param))
        bounds._table.cache_clear()
        store_run(db, "merged")
        bounds._table.cache_clear()
    with open_for_writing(place.database) as db:
        made_up_run(db, n=1200, inputs=range(40), model="another", labels=[0] * 40)
        imported_run(db)
    yield request.param
    bounds._table.cache_clear()


def store_run(db: Database, competitors: Any) -> None:
    new = NewRun(
        "certify", "cnn", "digits", "test", 1, None, len(INPUTS), "5" * 64, 1.0, 100, N, 0, "cpu", "fp32", {}, {},
        f"touched-{competitors}", EDGES, class_names=("0", "1"),
    )  # fmt: skip
    run_id = start_run(db, new).id
    scored = [
        Scored(add_scoring(db, NewScoring(run_id, "entropy", threshold, None, "majority", competitors, 0.001)),
               "entropy", threshold, Method(1.0, competitors=competitors))
        for threshold in (0.5, 1.0)
    ]  # fmt: skip
    selection = np.array([[100, 0, 0], [0, 0, 0]])
    evidence = [
        LabelledEvidence(i, 0, {"entropy": Histogram(selection, np.array([[*row, 0] for row in rows]))})
        for i, rows in enumerate(INPUTS.values())
    ]
    rows = [EvidenceRow(one.input_index, 0, 100, N, encode(one.histograms), 0.0) for one in evidence]
    samples = sample_rows(evidence, scored, EDGES)
    # What breaks the order of the radii an earlier release could not store.
    kept = [one for one in samples if one.radius_cc <= one.radius_standard <= one.radius_ncl]
    assert len(kept) >= len(samples) - 4
    store_inputs(db, run_id, rows, kept)
    finish_run(db, run_id, "complete", 1.0)


def certificates(place: Place, *, scoring: int | None = None) -> list[Any]:
    where = "" if scoring is None else f" WHERE scoring_id = {scoring}"
    return query(place.database, f"SELECT * FROM certified_sample{where} ORDER BY scoring_id, input_index")


def lower(count: int) -> float:
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if betainc(count, N - count + 1, middle) < 0.001 else (low, middle)
    return low


def test_wrong_certificates_are_found_and_mended_and_others_stay(place: Place, touched: float) -> None:
    before = certificates(place)
    files = snapshot(place.work)
    found = rsuq("db", "check")
    assert found.exit_code == 4
    assert "NOT SOUND" in found.stdout
    assert "rsuq rescore 1 mends them" in found.stderr
    assert "run 1, scoring 1 (entropy at 0.5, majority)" in found.stderr
    assert ("0 claiming more" in found.stderr) == (touched < 1)
    assert snapshot(place.work) == files
    with open_for_reading(place.database) as db:
        wrong = wrong_certificates(db)
    keys = {(row.scoring_id, row.input_index) for one in wrong for row in one.right}
    assert {one.run_id for one in wrong} == {1}
    assert {index for _, index in keys} <= {0, 1, 2}

    mended = rsuq("rescore", 1, "--format", "json")
    assert mended.exit_code == 0, mended.stderr
    assert "wrong certificates mended: " in mended.stderr
    assert {one["scoring_id"] for one in mended.json} == {one.scoring_id for one in wrong}
    after = certificates(place)
    assert [row[:2] for row in after] == [row[:2] for row in before]
    assert {row[:2] for row, was in zip(after, before, strict=True) if row != was} == keys
    assert rsuq("db", "check").exit_code == 0
    ((radius,),) = query(
        place.database, "SELECT radius_cc FROM certified_sample WHERE input_index = 0 AND scoring_id = 1"
    )
    assert radius == pytest.approx(ndtri(lower(N - 999)), abs=1e-9)
    (copy,) = place.work.glob("*.backup-*.db")
    assert query(copy, "SELECT * FROM certified_sample ORDER BY scoring_id, input_index") == before
    # And nothing is left to do.
    again = rsuq("rescore", 1, "--threshold", 0.5)
    assert "mended" not in again.stderr
    assert set(after) <= set(certificates(place))  # and those that could not be stored are there now
    assert len(list(place.work.glob("*.backup-*.db"))) == 1


def test_a_rescoring_mends_first_and_then_does_as_it_is_asked(place: Place, touched: float) -> None:
    found = rsuq("rescore", 1, "--threshold", 0.5, "--rule", "plurality", "--format", "json")
    assert found.exit_code == 0, found.stderr
    assert "wrong certificates mended: " in found.stderr
    assert [one["rule"] for one in found.json] == ["plurality"]
    assert rsuq("db", "check").exit_code == 0


def test_a_sweep_writes_nothing(place: Place, touched: float) -> None:
    before = place.database.read_bytes()
    assert rsuq("rescore", 1, "--sweep").exit_code == 0
    assert place.database.read_bytes() == before


def test_damaged_evidence_is_one_line(place: Place, touched: float) -> None:
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE evidence SET counts = x'00' WHERE run_id = 1")
    assert "the evidence of run 1 is damaged" in refused(rsuq("db", "check"), 4)


@pytest.mark.parametrize("competitors", ["class-wise", "auto"])
def test_counts_that_are_not_stored_are_looked_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, competitors: str
) -> None:
    with open_for_writing(place.database) as db:
        store_run(db, competitors)
    assert rsuq("db", "check").exit_code == 0
    with open_for_writing(place.database) as db, db.transaction() as connection:
        # The strongest rival of input 1 has 999 certain votes at 0.5.
        connection.exec_driver_sql(
            "UPDATE certified_sample SET radius_ncl = radius_ncl + 0.1 WHERE scoring_id = 1 AND input_index = 1"
        )
    assert "1 certificate is wrong, 1 claiming more" in rsuq("db", "check").stderr
    assert rsuq("rescore", 1).exit_code == 0
    assert rsuq("db", "check").exit_code == 0
