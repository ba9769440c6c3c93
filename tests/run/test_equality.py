"""Runs of one network are known by the hashes of its weights and source, and by its noise."""

from __future__ import annotations

from typing import Any

import pytest
from made_up import made_up_run
from made_up_trials import made_up_checkpoint, made_up_detection

from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.runs import run_row
from rsuq_cli.run.network.equality import is_known_by_files, of_same_network, runs_with_scores

WEIGHTS: dict[str, Any] = {"weights_sha256": "a" * 64, "source_sha256": "", "noise": "gaussian"}


def found_for(db: Database, run: RunRow) -> list[int]:
    return of_same_network(run, runs_with_scores(db))


def test_runs_that_scored_the_same_weights_are_found_the_oldest_first(db: Database) -> None:
    run = run_row(db, made_up_run(db, inputs=range(2), **WEIGHTS))
    found = [made_up_detection(db, number=number, **WEIGHTS) for number in (0, 1)]
    assert found_for(db, run) == found
    assert found_for(db, run_row(db, found[0])) == found


def test_what_a_network_computes_decides_where_it_is_recorded(db: Database) -> None:
    answers = [[1.0, -2.0], [0.5, None]]
    run = run_row(db, made_up_run(db, inputs=range(2), model="./net.py:make", **WEIGHTS, fingerprint=answers))
    edited = [[1.0, -1.5], [0.5, None]]
    made_up_detection(db, number=1, model="net.py:make", **WEIGHTS, fingerprint=edited)
    rounded = [[1.00001, -2.0], [0.5, None]]
    same = made_up_detection(db, number=2, model="net.py:make", **WEIGHTS, fingerprint=rounded)
    assert found_for(db, run) == [same]


def test_a_network_from_before_that_is_known_by_its_files(db: Database) -> None:
    own = WEIGHTS | {"source_sha256": "d" * 64}
    run = run_row(db, made_up_run(db, inputs=range(2), **own, fingerprint=[[1.0]]))
    same = run_row(db, made_up_detection(db, **own))
    assert found_for(db, run) == [same.id]
    assert [is_known_by_files(one) for one in (run, same)] == [False, True]


@pytest.mark.parametrize(
    "other",
    [
        {"weights_sha256": "b" * 64},
        {"source_sha256": "c" * 64},
        {"noise": "grid"},
        {"model": "mlp"},
        {"sigma": 0.5},
        {"dataset": "digits-without-1"},
    ],
)
def test_another_network_noise_or_data_set_is_not_it(db: Database, other: dict[str, Any]) -> None:
    run = run_row(db, made_up_run(db, inputs=range(2), **WEIGHTS))
    made_up_detection(db, **(WEIGHTS | other))
    assert found_for(db, run) == []


def test_the_checkpoint_decides_where_no_hash_is_recorded(db: Database) -> None:
    first, second = made_up_checkpoint(db), made_up_checkpoint(db, sha256="c" * 64)
    run = run_row(db, made_up_run(db, inputs=range(2), checkpoint_id=first))
    assert found_for(db, run) == []
    made_up_detection(db, number=1, checkpoint_id=second)
    same = made_up_detection(db, number=2, checkpoint_id=first)
    assert found_for(db, run) == [same]


def test_weights_that_were_named_are_those_of_the_checkpoint_with_their_hash(db: Database) -> None:
    run = run_row(db, made_up_run(db, inputs=range(2), checkpoint_id=made_up_checkpoint(db), **WEIGHTS))
    assert found_for(db, run) == []
    same = made_up_detection(db, **WEIGHTS)  # with --weights FILE: no checkpoint of ours
    assert found_for(db, run) == [same]
