"""Writing is safe to repeat, adds only what is missing, and stores what it was given."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from rsuq_cli.errors import DatabaseError
from rsuq_cli.results.database import Database
from rsuq_cli.results.runs import list_runs, run_row
from rsuq_cli.results.writer import (
    NewCheckpoint,
    StoredEdges,
    add_scoring,
    add_warnings,
    checkpoints_of_data,
    evidence_without_samples,
    find_runs,
    finish_run,
    load_edges,
    load_evidence,
    record_checkpoint,
    start_run,
    store_inputs,
    store_samples,
)

CHECKPOINT = NewCheckpoint("cnn", "digits", 0.25, "gaussian", "a.safetensors", "a" * 64, 0.99, None, {"epochs": 20})


def counted(db: Database, table: str) -> int:
    with db.read() as connection:
        return int(connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one())


# Checkpoints


def test_a_checkpoint_is_recorded_once_for_its_bytes(db: Database) -> None:
    first = record_checkpoint(db, CHECKPOINT)
    assert record_checkpoint(db, dataclasses.replace(CHECKPOINT, file="moved.safetensors")) == first
    found = checkpoints_of_data(db, "digits", 0.25)[0]
    assert found is not None
    assert (found.id, found.file, found.configuration, found.accuracy_noisy) == (
        first,
        "moved.safetensors",
        {"epochs": 20},
        None,
    )
    assert found.created_at.endswith("+00:00")


def test_checkpoints_of_data_and_sigma_come_the_newest_first(db: Database) -> None:
    assert checkpoints_of_data(db, "digits", 0.25) == []
    record_checkpoint(db, CHECKPOINT)
    newer = record_checkpoint(db, dataclasses.replace(CHECKPOINT, sha256="b" * 64))
    record_checkpoint(db, dataclasses.replace(CHECKPOINT, sha256="c" * 64, sigma=0.5))
    other = record_checkpoint(db, dataclasses.replace(CHECKPOINT, sha256="d" * 64, model="mlp"))
    assert [row.id for row in checkpoints_of_data(db, "digits", 0.25)] == [other, newer, 1]
    assert checkpoints_of_data(db, "cifar10", 0.25) == []


# Runs


def test_the_same_run_again_is_the_same_row(db: Database, made: Any) -> None:
    first = start_run(db, made.run())
    assert (first.created, first.attempt, first.status, first.finished) == (True, 1, "running", frozenset())
    store_inputs(db, first.id, [made.evidence(3), made.evidence(0)])
    again = start_run(db, made.run())
    assert (again.id, again.created, again.finished) == (first.id, False, frozenset({0, 3}))
    assert counted(db, "run") == 1


def test_fresh_makes_a_new_attempt_and_keeps_the_old_one(db: Database, made: Any) -> None:
    old = start_run(db, made.run())
    store_inputs(db, old.id, [made.evidence(0)])
    new = start_run(db, made.run(), fresh=True)
    assert (new.attempt, new.created, new.finished) == (2, True, frozenset())
    assert start_run(db, made.run()).id == new.id  # the newest attempt goes on
    assert len(list(load_evidence(db, old.id))) == 1


@pytest.mark.parametrize(
    "edges",
    [
        {"entropy": StoredEdges(np.array([0.1, 0.2, np.nextafter(0.7, 1)]), np.array([0.5, 0.9, 1.0]))},
        {"entropy": StoredEdges(np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.9, 0.99]))},
        {"margin": StoredEdges(np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.9, 1.0]))},
    ],
    ids=["an edge", "a coverage", "the measure"],
)
def test_other_edges_are_another_run_of_the_same_configuration(db: Database, made: Any, edges: Any) -> None:
    first, second = start_run(db, made.run()), start_run(db, made.run(edges=edges))
    assert first.id != second.id
    found = find_runs(db, "c" * 64)
    assert [handle.id for handle in found] == [second.id, first.id]
    assert found[0].edges.keys() == edges.keys()
    assert find_runs(db, "other") == []


def test_a_run_is_interrupted_resumed_and_completed(db: Database, made: Any) -> None:
    run_id = start_run(db, made.run()).id
    finish_run(db, run_id, "interrupted", 1.5, ["batch halved"])
    assert start_run(db, made.run()).status == "interrupted"  # as it was found
    assert run_row(db, run_id).status == "running"  # and what it is now
    finish_run(db, run_id, "complete", 2.0, ["batch halved", "slow disk"])
    row = run_row(db, run_id)
    assert (row.status, row.seconds, row.warnings) == ("complete", 3.5, ["batch halved", "slow disk"])
    assert start_run(db, made.run()).status == "complete"
    assert run_row(db, run_id).status == "complete"


def test_a_warning_is_stored_when_it_is_known_and_once(db: Database, made: Any) -> None:
    run_id = start_run(db, made.run()).id
    add_warnings(db, run_id, [])
    assert run_row(db, run_id).warnings is None
    add_warnings(db, run_id, ["probabilities", "near chance", "probabilities"])
    add_warnings(db, run_id, ["batch halved"])
    row = run_row(db, run_id)
    assert (row.status, row.warnings) == ("running", ["probabilities", "near chance", "batch halved"])
    finish_run(db, run_id, "complete", 1.0, ["near chance", "slow disk"])
    assert run_row(db, run_id).warnings == ["probabilities", "near chance", "batch halved", "slow disk"]


def test_a_run_keeps_its_settings(db: Database, made: Any) -> None:
    checkpoint = record_checkpoint(db, CHECKPOINT)
    new = made.run(checkpoint_id=checkpoint, seed=2**63 - 1, class_names=["zero", "one"], subset_limit=7, source="log")
    start_run(db, new)
    (row,) = list_runs(db)
    for field in dataclasses.fields(new):
        if field.name != "edges":
            assert getattr(row, field.name) == getattr(new, field.name), field.name


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40, unique=True))
@settings(max_examples=25, deadline=None)
def test_edges_come_back_bit_for_bit(tmp_path_factory: Any, made: Any, values: list[float]) -> None:
    from rsuq_cli.results.database import open_for_writing

    edges = np.unique(np.array(values))
    coverages = np.linspace(0, 1, len(edges))
    with open_for_writing(tmp_path_factory.getbasetemp() / "edges.db") as db:
        run_id = start_run(db, made.run(edges={"energy": StoredEdges(edges, coverages)}), fresh=True).id
        stored = load_edges(db, run_id)["energy"]
    assert stored.edges.tobytes() == edges.tobytes()
    assert stored.coverages.tobytes() == coverages.tobytes()


@pytest.mark.parametrize(
    ("edges", "coverages"),
    [([0.1, math.nan], [0.5, 1]), ([0.1, math.inf], [0.5, 1]), ([0.2, 0.1], [0.5, 1]), ([0.1, 0.1], [0.5, 1]),
     ([0.1, 0.2], [0.5]), ([[0.1]], [[0.5]]), ([0.1], [math.nan])],
)  # fmt: skip
def test_edges_that_are_no_bins_are_refused(db: Database, made: Any, edges: Any, coverages: Any) -> None:
    with pytest.raises(ValueError, match="entropy must"):
        start_run(db, made.run(edges={"entropy": StoredEdges(np.array(edges), np.array(coverages))}))
    assert counted(db, "run") == 0


# Scorings


def test_a_scoring_is_added_once_with_or_without_threshold(db: Database, made: Any) -> None:
    run_id = start_run(db, made.run()).id
    variants = [
        made.scoring(run_id),
        made.scoring(run_id, threshold=None),
        made.scoring(run_id, threshold=0.0),
        made.scoring(run_id, rule="plurality"),
        made.scoring(run_id, competitors="auto"),
        made.scoring(run_id, alpha=0.01),
        made.scoring(run_id, family_size=4),
        made.scoring(run_id, measure="margin"),
    ]
    ids = [add_scoring(db, scoring) for scoring in variants]
    assert len(set(ids)) == len(variants)
    assert [add_scoring(db, scoring) for scoring in variants] == ids
    assert add_scoring(db, made.scoring(run_id, coverage=None)) == ids[0]


# Evidence and certificates


def test_what_is_stored_comes_back_and_stays_when_stored_again(scored: Any, made: Any) -> None:
    db, run_id, scoring_id = scored
    first = [made.evidence(np.int64(2)), made.evidence(0, counts=bytes(range(256)))]
    store_inputs(db, run_id, first, [made.sample(scoring_id, 2)])
    store_inputs(db, run_id, [made.evidence(2, label=9)], [made.sample(scoring_id, 2, n=2000)])
    assert list(load_evidence(db, run_id)) == [first[1], first[0]]
    with db.read() as connection:
        assert connection.execute(text("SELECT n, label, correct FROM certified_sample")).all() == [(1000, 1, 1)]


def test_only_what_has_no_certificate_is_left_to_score_even_while_storing(
    scored: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, run_id, scoring_id = scored
    monkeypatch.setattr("rsuq_cli.results.evidence.PAGE", 3)
    store_inputs(db, run_id, [made.evidence(i) for i in range(10)], [made.sample(scoring_id, i) for i in (0, 4, 9)])
    seen = []
    for row in evidence_without_samples(db, run_id, scoring_id):
        seen.append(row.input_index)
        store_samples(db, [made.sample(scoring_id, row.input_index)])
    assert seen == [1, 2, 3, 5, 6, 7, 8]
    assert list(evidence_without_samples(db, run_id, scoring_id)) == []
    other = add_scoring(db, made.scoring(run_id, alpha=0.01))
    assert len(list(evidence_without_samples(db, run_id, other))) == 10
    assert [row.input_index for row in load_evidence(db, run_id)] == list(range(10))


def test_evidence_and_certificates_enter_together_or_not_at_all(scored: Any, made: Any) -> None:
    db, run_id, scoring_id = scored
    with pytest.raises(ValueError, match="radius_ncl must be finite"):
        store_inputs(db, run_id, [made.evidence(0)], [made.sample(scoring_id, 0, radius_ncl=math.inf)])
    # INSERT OR IGNORE would drop this row without a word.
    with pytest.raises(IntegrityError, match="certified_sample_order"):
        store_inputs(db, run_id, [made.evidence(0)], [made.sample(scoring_id, 0, radius_cc=0.31)])
    with pytest.raises(DatabaseError, match=r"was deleted from .* meanwhile"):
        store_inputs(db, run_id, [made.evidence(0)], [made.sample(scoring_id + 1, 0)])
    assert (counted(db, "evidence"), counted(db, "certified_sample")) == (0, 0)


def test_nothing_to_store_is_fine(scored: Any) -> None:
    store_inputs(scored.db, scored.run_id, [], [])
    store_samples(scored.db, [])
    assert counted(scored.db, "evidence") == 0
