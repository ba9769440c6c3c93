"""Deleting takes everything along, nothing else, and no number is given again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import inspect, text

from rsuq_cli.errors import BadInput, DatabaseError
from rsuq_cli.results.database import Database, check
from rsuq_cli.results.deletion import Hanging, check_deletable, delete_checkpoint, delete_runs, hanging_on
from rsuq_cli.results.labels import label
from rsuq_cli.results.names import Labels
from rsuq_cli.results.rows import AuditBallRow, NewAudit, NewCheckpoint
from rsuq_cli.results.runs import list_runs, run_row
from rsuq_cli.results.upkeep import vacuum
from rsuq_cli.results.writer import (
    add_scoring,
    finish_run,
    record_checkpoint,
    start_audit,
    start_run,
    store_balls,
    store_inputs,
)

Fill = Callable[[str], int]


@pytest.fixture
def fill(db: Database, made: Any) -> Fill:
    """Makes a finished run with a checkpoint, two scorings, an audit, labels, a score and a metric."""

    def build(name: str) -> int:
        checkpoint = record_checkpoint(db, NewCheckpoint("cnn", "digits", 0.25, "gaussian", name, name, 1.0, 1.0, {}))
        run_id = start_run(db, made.run(configuration_hash=name, checkpoint_id=checkpoint)).id
        scorings = [add_scoring(db, made.scoring(run_id, measure=measure)) for measure in ("entropy", "margin")]
        store_inputs(db, run_id, [made.evidence(i) for i in range(4)],
                     [made.sample(scoring, i) for scoring in scorings for i in range(4)])  # fmt: skip
        audit = start_audit(db, NewAudit(scorings[0], "pgd", 10, 1.0, 4, 1000, 0.001, 0, "cpu")).id
        store_balls(db, audit, [AuditBallRow(0, "cc", 1, 0.2, 0.2, "pgd", 100, 0.9, 0.5, -0.4, -0.5, 1.0)])
        label(db, "run", run_id, Labels(name, ("tagged",)))
        with db.transaction() as connection:
            connection.execute(text(f"INSERT INTO metric (run_id, name, value) VALUES ({run_id}, 'auroc', 0.9)"))
            connection.execute(text(f"INSERT INTO ood_score VALUES ({run_id}, 'noise', 0, 'entropy', 0.5)"))
        finish_run(db, run_id, "complete", 1.0)
        return run_id

    return build


def rows(db: Database) -> dict[str, int]:
    with db.read() as connection:
        tables = set(inspect(connection).get_table_names()) - {"rsuq_version"}
        return {name: connection.execute(text(f"SELECT COUNT(*) FROM {name}")).scalar_one() for name in sorted(tables)}


def test_what_hangs_on_a_run_is_counted_and_goes_with_it(db: Database, fill: Fill) -> None:
    first = fill("first")
    before = rows(db)
    second = fill("second")
    assert hanging_on(db, [second]) == Hanging(
        inputs=4, bytes=28, scorings=2, certificates=8, audits=1, balls=1, ood_scores=1, metrics=1
    )
    assert hanging_on(db, [first, second]).certificates == 16
    delete_runs(db, [second])
    # The checkpoint is no part of the run: it stays.
    assert rows(db) == before | {"checkpoint": 2}
    assert run_row(db, first).tags == ("tagged",)
    assert check(db.path).problems == ()


def test_a_deleted_number_is_never_given_again(db: Database, made: Any, fill: Fill) -> None:
    fill("first")
    second = fill("second")
    delete_runs(db, [second])
    assert db.path is not None
    vacuum(db.path)  # the file is written anew, and keeps what was given
    third = fill("third")
    assert third > second
    with db.read() as connection:
        scorings = connection.execute(text(f"SELECT MIN(id) FROM scoring WHERE run_id = {third}")).scalar_one()
        audits = connection.execute(text("SELECT MAX(id) FROM audit")).scalar_one()
    assert scorings > 4
    assert audits > 2
    # One number after the other again.
    assert fill("fourth") == third + 1


def test_a_number_from_the_middle_moves_nothing(db: Database, fill: Fill) -> None:
    first, second = fill("first"), fill("second")
    delete_runs(db, [first])
    assert fill("third") == second + 1


def test_runs_survive_their_checkpoint(db: Database, fill: Fill) -> None:
    run_id = fill("first")
    label(db, "checkpoint", 1, Labels("mine", ("good",)))
    before = rows(db)
    delete_checkpoint(db, 1)
    assert rows(db) == before | {"checkpoint": 0, "checkpoint_tag": 0}
    assert run_row(db, run_id).checkpoint_id is None
    assert record_checkpoint(db, NewCheckpoint("cnn", "digits", 0.25, "gaussian", "f", "s", 1.0, 1.0, {})) > 1


def test_a_run_that_is_being_written_is_refused(db: Database, made: Any, fill: Fill) -> None:
    done = fill("done")
    run_id = start_run(db, made.run(configuration_hash="under way")).id
    with pytest.raises(BadInput, match=f"run {run_id} is being written"):
        delete_runs(db, [done, run_id])
    assert [run.id for run in list_runs(db)] == [done, run_id]
    check_deletable(db, [done])
    with pytest.raises(BadInput, match="there is no run 99"):
        check_deletable(db, [done, 99])


def test_a_writer_whose_run_is_gone_ends_with_one_line(db: Database, made: Any) -> None:
    run_id = start_run(db, made.run()).id
    delete_runs(db, [run_id], force=True)
    with pytest.raises(DatabaseError, match=r"was deleted from .* meanwhile"):
        store_inputs(db, run_id, [made.evidence(0)])
    finish_run(db, run_id, "interrupted", 1.0)  # as every writer does at its end
    assert list_runs(db) == []
