"""Runs of one network are known by the hashes of its weights and source, and by its noise."""

from __future__ import annotations

from typing import Any

import pytest
from made_up import made_up_run
from made_up_trials import made_up_checkpoint, made_up_detection

from rsuq_cli.results.database import Database
from rsuq_cli.results.networks import runs_with_scores
from rsuq_cli.results.queries import run_row

WEIGHTS = {"weights_sha256": "a" * 64, "source_sha256": "", "noise": "gaussian"}


def test_runs_that_scored_the_same_weights_are_found_the_oldest_first(db: Database) -> None:
    run = run_row(db, made_up_run(db, inputs=range(2), **WEIGHTS))
    found = [made_up_detection(db, number=number, **WEIGHTS) for number in (0, 1)]
    assert runs_with_scores(db, run) == found
    assert runs_with_scores(db, run_row(db, found[0])) == found


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
    assert runs_with_scores(db, run) == []


def test_the_checkpoint_decides_where_no_hash_is_recorded(db: Database) -> None:
    first, second = made_up_checkpoint(db), made_up_checkpoint(db, sha256="c" * 64)
    run = run_row(db, made_up_run(db, inputs=range(2), checkpoint_id=first))
    assert runs_with_scores(db, run) == []
    made_up_detection(db, number=1, checkpoint_id=second)
    same = made_up_detection(db, number=2, checkpoint_id=first)
    assert runs_with_scores(db, run) == [same]


def test_weights_that_were_named_are_those_of_the_checkpoint_with_their_hash(db: Database) -> None:
    run = run_row(db, made_up_run(db, inputs=range(2), checkpoint_id=made_up_checkpoint(db), **WEIGHTS))
    assert runs_with_scores(db, run) == []
    same = made_up_detection(db, **WEIGHTS)  # with --weights FILE: no checkpoint of ours
    assert runs_with_scores(db, run) == [same]
