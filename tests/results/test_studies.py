"""Studies in the database: the plan as it was given last, and the runs that belong to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_up import made_up_run

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.deletion import delete_runs
from rsuq_cli.results.merging import merge
from rsuq_cli.results.studies import Member, add_member, keep_only, keep_study, list_studies, study_named


def member(run: int, network: str = "cnn") -> Member:
    return Member(run, network, "gaussian", 0.25, 0, "one pass")


def filled(db: Database) -> int:
    for seed in range(3):
        made_up_run(db, inputs=range(3), seed=seed)
    number = keep_study(db, "digits", "sigma = 0.25")
    for run in (1, 2):
        add_member(db, number, member(run))
    return number


def test_a_study_keeps_its_last_plan_and_its_runs(db: Database) -> None:
    number = filled(db)
    assert keep_study(db, "digits", "sigma = 0.5") == number
    study = study_named(db, "digits")
    assert (study.plan, study.members) == ("sigma = 0.5", (member(1), member(2)))
    assert study.updated_at >= study.created_at


def test_a_run_stands_in_one_place_of_the_grid(db: Database) -> None:
    number = filled(db)
    add_member(db, number, member(1, "mlp"))
    assert {one.run_id: one.network for one in study_named(db, "digits").members} == {1: "mlp", 2: "cnn"}


def test_what_the_plan_drops_leaves_the_study_and_stays_in_the_database(db: Database) -> None:
    number = filled(db)
    other = keep_study(db, "other", "")
    add_member(db, other, member(1))
    assert keep_only(db, number, [2]) == 1
    assert [one.run_id for one in study_named(db, "digits").members] == [2]
    assert [one.run_id for one in study_named(db, "other").members] == [1]


def test_a_deleted_run_leaves_its_study(db: Database) -> None:
    filled(db)
    delete_runs(db, [1])
    assert [one.run_id for one in study_named(db, "digits").members] == [2]


def test_an_unknown_study_is_refused_with_the_nearest(db: Database) -> None:
    with pytest.raises(BadInput) as caught:
        study_named(db, "digits")
    assert "makes one" in caught.value.hint
    filled(db)
    with pytest.raises(BadInput) as caught:
        study_named(db, "digit")
    assert "did you mean digits?" in caught.value.hint


def test_two_halves_of_a_study_are_merged(db: Database, tmp_path: Path) -> None:
    with open_for_writing(tmp_path / "other.db") as other:
        made_up_run(other, inputs=range(3), seed=7)  # run 1 there, another one here
        filled_there = keep_study(other, "digits", "from elsewhere")
        add_member(other, filled_there, member(1, "mlp"))
        add_member(other, keep_study(other, "theirs", "of theirs"), member(1))
    filled(db)
    assert db.path is not None
    for _ in range(2):
        merge(db.path, tmp_path / "other.db")
        studies = {one.name: one for one in list_studies(db)}
        assert studies["digits"].plan == "sigma = 0.25"
        assert studies["digits"].members == (member(1), member(2), member(4, "mlp"))
        assert studies["theirs"].members == (replace(member(1), run_id=4),)
