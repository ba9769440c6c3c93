"""kill -9 at any moment loses nothing committed, and the same command completes the run with the same evidence."""

from __future__ import annotations

import signal
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest
from commandline import committed, evidence, figures, query, rsuq, start, stop_when
from samples import Sample

if TYPE_CHECKING:
    from conftest import Place

# Small batches and a slow network, so that there is time between one commit and the next.
COMMAND = ("--n", 300, "--batch-size", 64, "--uncertainty", "entropy", "--uncertainty", "margin", "--format", "json")


def run_slowly(blobs: Sample) -> subprocess.Popen[str]:
    return start("certify", *blobs.flags, *COMMAND, SLOW_FORWARD="0.006")


def _has(place: Place, inputs: int) -> bool:
    return committed(place.database) >= inputs


def assert_completes_as_if_nothing_happened(place: Place, blobs: Sample) -> None:
    """Runs the same command to its end here, and the whole of it in another database, and compares."""
    whole = place.work / "whole.db"
    expected = rsuq("certify", *blobs.flags, *COMMAND, "--db", whole)
    completed = rsuq("certify", *blobs.flags, *COMMAND)
    assert completed.exit_code == 0, completed.stderr
    assert evidence(place.database) == evidence(whole)
    assert len(evidence(place.database)) == 12
    assert figures(completed) == figures(expected)
    samples = "SELECT * FROM certified_sample ORDER BY scoring_id, input_index"
    assert query(place.database, samples) == query(whole, samples)
    assert query(place.database, "SELECT id, status FROM run") == [(1, "complete")]
    check = rsuq("db", "check")
    assert check.exit_code == 0, check.stderr


@pytest.mark.slow
def test_killed_again_and_again_while_it_samples(place: Place, blobs: Sample) -> None:
    for inputs in (1, 5, 9):
        process = run_slowly(blobs)
        killed = stop_when(process, partial(_has, place, inputs), signal.SIGKILL)
        assert killed.exit_code == -signal.SIGKILL
        kept = evidence(place.database)
        assert inputs <= len(kept) < 12
        # Evidence and certificates entered together.
        assert query(place.database, "SELECT COUNT(*) FROM certified_sample") == [(2 * len(kept),)]
        assert query(place.database, "SELECT id, status FROM run") == [(1, "running")]
        assert rsuq("db", "check").exit_code == 0
    assert_completes_as_if_nothing_happened(place, blobs)


def test_killed_while_it_calibrates(place: Place, blobs: Sample) -> None:
    process = run_slowly(blobs)
    assert process.stderr is not None
    while "calibrating" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert query(place.database, "SELECT COUNT(*) FROM run") == [(0,)]
    assert_completes_as_if_nothing_happened(place, blobs)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [0, 2, 3, 7, 11])
def test_killed_once(place: Place, blobs: Sample, inputs: int) -> None:
    def reached() -> bool:
        if inputs == 0:  # the run's row is there, and nothing else
            return place.database.exists() and rsuq("db", "runs", "--format", "json").stdout.count('"id"') == 1
        return _has(place, inputs)

    stop_when(run_slowly(blobs), reached, signal.SIGKILL)
    assert_completes_as_if_nothing_happened(place, blobs)


@pytest.mark.slow
def test_ctrl_c_ends_a_run_in_order(place: Place, blobs: Sample) -> None:
    interrupted = stop_when(run_slowly(blobs), partial(_has, place, 2), signal.SIGINT)
    assert interrupted.exit_code == 130
    assert interrupted.stdout == ""
    assert interrupted.stderr.splitlines()[-1].startswith("error: interrupted; what is finished is safe")
    assert "Traceback" not in interrupted.stderr
    assert query(place.database, "SELECT id, status FROM run") == [(1, "interrupted")]
    assert_completes_as_if_nothing_happened(place, blobs)
