"""A dossier is about one network, and has what was tried against it and nothing that was tried against others."""

from __future__ import annotations

import pytest
from made_up import imported_run, made_up_run
from made_up_trials import WEIGHTS, epochs, made_up_audit, made_up_checkpoint, made_up_detection
from sqlalchemy import text

from rsuq_cli.readings.dossier import dossiers
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import figures
from rsuq_cli.results.runs import AnswerCount


def test_everything_that_is_recorded_of_a_run_is_there(db: Database) -> None:
    checkpoint = made_up_checkpoint(db, epochs(3))
    run_id = made_up_run(db, inputs=range(5), checkpoint_id=checkpoint, weights_sha256=WEIGHTS)
    detection = made_up_detection(db, weights_sha256=WEIGHTS)
    made_up_detection(db, number=1, weights_sha256="e" * 64)
    audit = made_up_audit(db, 1, {"cc": [-0.2, -0.1], "ncl": [-0.3]})
    with db.transaction() as connection:
        connection.execute(text("UPDATE run SET name = 'first', note = 'a note' WHERE id = 1"))
        connection.execute(text("INSERT INTO run_tag VALUES (1, 'b'), (1, 'a')"))
        connection.execute(text(f"INSERT INTO checkpoint_tag VALUES ({checkpoint}, 'c')"))
        connection.execute(text("UPDATE evidence SET unanswered = 2 WHERE run_id = 1 AND input_index < 2"))
    (one,) = dossiers(db, figures(db, radii=(0.0,)))
    assert (one.run.id, one.run.name, one.run.note, one.run.tags) == (
        run_id, "first", "a note", ("a", "b")
    )  # fmt: skip
    assert one.checkpoint is not None
    assert one.checkpoint.history == epochs(3)
    assert one.checkpoint.tags == ("c",)
    assert one.answers == AnswerCount(4, 5 * 220, 2, 5)
    assert [found.run.id for found in one.detections] == [detection]
    assert [(found.audit_id, found.guarantee, found.attacked) for found in one.audits] == [
        (audit, "cc", 2),
        (audit, "ncl", 1),
    ]
    assert (one.figures.scoring_id, one.others, one.reach.scoring_id, one.ceiling.scoring_id) == (1, 3, 1, 1)


def test_a_run_of_named_weights_has_the_checkpoint_with_their_hash_or_none(db: Database) -> None:
    made_up_run(db, inputs=range(2), weights_sha256=WEIGHTS)
    made_up_run(db, inputs=range(2), seed=1, weights_sha256="e" * 64)
    made_up_run(db, inputs=range(2), seed=2)
    checkpoint = made_up_checkpoint(db)
    found = [one.checkpoint for one in dossiers(db, figures(db))]
    assert [one and one.id for one in found] == [checkpoint, None, None]


def test_nothing_tried_is_nothing_and_only_chosen_scorings_count(db: Database) -> None:
    made_up_run(db, inputs=range(2))
    imported_run(db)
    made_up_audit(db, 2, {"cc": [-0.2]})
    chosen = [one for one in figures(db) if one.scoring_id != 2]
    first, second = dossiers(db, chosen)
    assert (first.others, first.audits, first.detections) == (2, (), ())
    assert (second.checkpoint, second.answers) == (None, AnswerCount(0, 0, 0, 0))
    assert second.detections == ()
    assert [one.audit_id for one in dossiers(db, figures(db))[0].audits] == [1]


@pytest.mark.parametrize("guarantee", ["standard", "cc", "ncl"])
def test_the_worst_ball_of_an_audit_is_the_one_nearest_to_a_contradiction(db: Database, guarantee: str) -> None:
    made_up_run(db, inputs=range(4))
    made_up_audit(db, 1, {guarantee: [-0.2, 0.125, 0.0625]})
    (one,) = dossiers(db, figures(db))[0].audits
    assert (one.guarantee, one.broken, one.worst_input, one.worst_excess) == (guarantee, 2, 1, 0.125)
    assert one.worst_excess_lower == pytest.approx(0.075)
