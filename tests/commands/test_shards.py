"""Shards of a job array make one run, on one database or merged, with the evidence of one command."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from commandline import evidence, figures, finished, query, refused, rsuq, start
from samples import Sample

from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.writer import add_warnings, finish_run, store_inputs

if TYPE_CHECKING:
    from conftest import Place

SETTINGS = ("--n0", 20, "--n", 100, "--batch-size", 64, "--format", "json")
SAMPLES = "SELECT * FROM certified_sample ORDER BY scoring_id, input_index"


def certify(blobs: Sample, *flags: object) -> tuple[object, ...]:
    return ("certify", *blobs.flags, *SETTINGS, *flags)


def test_together_they_are_one_run_that_is_complete_when_the_last_is(place: Place, blobs: Sample) -> None:
    whole = place.work / "whole.db"
    expected = rsuq(*certify(blobs, "--db", whole))
    for done, number in enumerate((3, 1, 2), start=1):
        answer = rsuq(*certify(blobs, "--shard", f"{number}/3"))
        assert answer.exit_code == 0, answer.stderr
        assert f"run 1: shard {number}/3 is done, {4 * done} of 12 inputs are" in answer.stderr
        status = "complete" if done == 3 else "interrupted"
        assert query(place.database, "SELECT id, status, inputs FROM run") == [(1, status, 12)]
        assert len(evidence(place.database)) == 4 * done
    assert evidence(place.database) == evidence(whole)
    assert query(place.database, SAMPLES) == query(whole, SAMPLES)
    assert figures(answer) == figures(expected)
    again = rsuq(*certify(blobs, "--shard", "2/3"))
    assert "all 4 inputs of shard 2/3 are sampled already" in again.stderr


def test_one_that_was_interrupted_does_not_say_so_of_the_others(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> list[str]:
        raise KeyboardInterrupt

    status = "SELECT status FROM run"
    with monkeypatch.context() as context:
        context.setattr("rsuq_cli.run.under_way.unanswered_warnings", cut_off)
        assert rsuq(*certify(blobs, "--shard", "1/3")).exit_code == 130
    assert query(place.database, status) == [("interrupted",)]
    seen = []

    def storing(db: Database, run_id: int, *rows: Any) -> None:
        finish_run(db, run_id, "interrupted", 0.0)  # by another shard, while this one goes on
        store_inputs(db, run_id, *rows)
        seen.extend(query(place.database, status))

    with monkeypatch.context() as context:
        context.setattr("rsuq_cli.jobs.certify.store_inputs", storing)
        assert rsuq(*certify(blobs, "--shard", "2/3")).exit_code == 0
    assert set(seen) == {("running",)}
    assert query(place.database, status) == [("interrupted",)]
    assert rsuq(*certify(blobs, "--shard", "3/3")).exit_code == 0
    assert query(place.database, status) == [("complete",)]


@pytest.mark.slow
def test_four_at_once(place: Place, blobs: Sample) -> None:
    whole = place.work / "whole.db"
    rsuq(*certify(blobs, "--db", whole))
    processes = [start(*certify(blobs, "--shard", f"{number}/4"), SLOW_FORWARD="0.01") for number in (1, 2, 3, 4)]
    ended = [finished(process) for process in processes]
    assert [one.exit_code for one in ended] == [0] * 4, ended
    assert query(place.database, "SELECT id, status, attempt FROM run") == [(1, "complete", 1)]
    assert evidence(place.database) == evidence(whole)
    assert query(place.database, SAMPLES) == query(whole, SAMPLES)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_complementary_halves_merge_to_a_complete_run(place: Place, blobs: Sample, order: tuple[int, int]) -> None:
    whole, *halves = (place.work / f"{name}.db" for name in ("whole", "1", "2"))
    rsuq(*certify(blobs, "--db", whole))
    for number, half in enumerate(halves, start=1):
        rsuq(*certify(blobs, "--db", half, "--shard", f"{number}/2"))
    # The second one knows something that has to be known of the whole.
    _warn(halves[1], "half of it was strange")
    seconds = sum(query(half, "SELECT SUM(seconds) FROM evidence")[0][0] for half in halves)
    for number in (*order, order[0]):
        merged = rsuq("db", "merge", halves[number - 1])
        assert merged.exit_code == 0, merged.stderr
    assert query(place.database, "SELECT id, status FROM run") == [(1, "complete")]
    assert evidence(place.database) == evidence(whole)
    assert query(place.database, SAMPLES) == query(whole, SAMPLES)
    ((took, warnings),) = query(place.database, "SELECT seconds, warnings FROM run")
    assert took >= seconds * (1 - 1e-9)
    assert "half of it was strange" in json.loads(warnings)


def _warn(database: object, line: str) -> None:
    with open_for_writing(str(database)) as db:
        add_warnings(db, 1, [line])


def test_bins_are_those_of_whoever_began(place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another processor may calibrate other bins at the same moment: the run is still one, with the first one's."""
    first = place.work / "first.db"
    rsuq(*certify(blobs, "--db", first, "--shard", "1/2"))
    shutil.copy(first, place.database)
    calibrated = query(first, "SELECT edges FROM bin_edges ORDER BY measure")
    # As if it had begun before the first one was there, and calibrated for itself.
    monkeypatch.setattr("rsuq_cli.run.under_way.find_runs", lambda *_: [])
    draws = "rsuq_cli.run.edges.draws_for"
    monkeypatch.setattr(draws, lambda *_: 7)
    answer = rsuq(*certify(blobs, "--shard", "2/2"))
    assert answer.exit_code == 0, answer.stderr
    assert query(place.database, "SELECT id, status FROM run") == [(1, "complete")]
    assert query(place.database, "SELECT edges FROM bin_edges ORDER BY measure") == calibrated
    assert len({row[0] for row in query(place.database, "SELECT scoring_id FROM certified_sample")}) == 1
    assert query(place.database, "SELECT COUNT(*) FROM certified_sample") == [(12,)]


def test_a_plan_counts_the_inputs_of_its_shard(place: Place, blobs: Sample) -> None:
    rsuq(*certify(blobs, "--shard", "1/3"))
    for flags, left in (((), 8), (("--shard", "1/3"), 0), (("--shard", "2/3"), 4)):
        plan = rsuq(*certify(blobs, "--dry-run", *flags)).json
        assert (plan["inputs"], plan["finished"], plan["samples"]) == (12, 4, left * 120)


def test_out_of_distribution_is_compared_once_all_are_there(place: Place, blobs: Sample) -> None:
    command = ("ood", *blobs.flags, "--ood", "noise:uniform", *SETTINGS)
    whole = place.work / "whole.db"
    expected = rsuq(*command, "--db", whole)
    first = rsuq(*command, "--shard", "1/2")
    assert (first.exit_code, first.json) == (0, []), first.stderr
    assert query(place.database, "SELECT status, (SELECT COUNT(*) FROM metric) FROM run") == [("interrupted", 0)]
    last = rsuq(*command, "--shard", "2/2")
    assert last.exit_code == 0, last.stderr
    assert query(place.database, "SELECT id, status FROM run") == [(1, "complete")]
    assert evidence(place.database) == evidence(whole)
    assert figures(last) == figures(expected)


def test_what_cannot_be_is_refused(place: Place, blobs: Sample) -> None:
    assert "there is no shard 5/4" in refused(rsuq(*certify(blobs, "--shard", "5/4")))
    assert "--shard is 'half'" in refused(rsuq(*certify(blobs, "--shard", "half")))
    assert "--fresh and --shard" in refused(rsuq(*certify(blobs, "--shard", "1/4", "--fresh")))
