"""Which scorings a report is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.selection import SETTING_COLUMNS, Selection, chosen_scorings, moment, sigmas, where_settings
from rsuq_cli.results.writer import add_scoring, start_run


@pytest.fixture
def several(db: Database, made: Any) -> Database:
    """Runs 1 to 4, each a day later than the one before, with a scoring of entropy and one of margin each."""
    differences: list[dict[str, Any]] = [{}, {"model": "mlp", "sigma": 0.5}, {"seed": 1}, {"kind": "ood"}]
    for number, changes in enumerate(differences, start=1):
        run_id = start_run(db, made.run(configuration_hash=str(number), **changes)).id
        for measure in ("entropy", "margin"):
            add_scoring(db, made.scoring(run_id, measure=measure))
        with db.transaction() as connection:
            created = f"2026-01-0{number}T12:00:00.000+00:00"
            connection.execute(text("UPDATE run SET created_at = :at WHERE id = :id"), {"at": created, "id": run_id})
    return db


def chosen(db: Database, **conditions: Any) -> list[int]:
    with db.read() as connection:
        return [row["run_id"] for row in chosen_scorings(connection, Selection(**conditions))]


@pytest.mark.parametrize(
    ("conditions", "runs"),
    [
        ({}, [1, 1, 2, 2, 3, 3]),
        ({"kinds": None}, [1, 1, 2, 2, 3, 3, 4, 4]),
        ({"scorings": [2, 5]}, [1, 3]),
        ({"since": "2026-01-02T12:00:00.000+00:00"}, [2, 2, 3, 3]),
        ({"latest": True}, [2, 2, 3, 3]),
        ({"latest": True, "where": where_settings("seed = 0")}, [1, 1, 2, 2]),
        ({"where": where_settings('uncertainty = "margin" and sigma < 0.3'), "runs": [3, 2]}, [3]),
    ],
)
def test_conditions_join(several: Database, conditions: dict[str, Any], runs: list[int]) -> None:
    assert chosen(several, **conditions) == runs


def test_every_setting_may_stand_in_a_condition(several: Database) -> None:
    for name in SETTING_COLUMNS:
        assert len(chosen(several, where=where_settings(f"{name} is null or {name} is not null"))) == 6


def test_a_figure_is_no_setting() -> None:
    with pytest.raises(BadInput, match="there is no column 'gain'"):
        where_settings("gain > 0.1")


def test_noise_levels_are_those_of_the_selection(several: Database) -> None:
    assert sigmas(several, Selection()) == [0.25, 0.5]
    assert sigmas(several, Selection(model="mlp")) == [0.5]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("7d", "2026-02-21T08:30:00.000+00:00"),
        ("12h", "2026-02-27T20:30:00.000+00:00"),
        ("2 w", "2026-02-14T08:30:00.000+00:00"),
        ("90m", "2026-02-28T07:00:00.000+00:00"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00.000+00:00"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000+00:00"),
    ],
)
def test_a_moment_is_written_as_the_database_writes_it(written: str, expected: str) -> None:
    assert moment(written, now=datetime(2026, 2, 28, 8, 30, tzinfo=UTC)) == expected


def test_a_date_without_zone_is_the_users_own() -> None:
    assert datetime.fromisoformat(moment("2026-01-31")) == datetime(2026, 1, 31).astimezone()


@pytest.mark.parametrize("written", ["yesterday", "7", "d", "2026-13-01", ""])
def test_what_is_no_moment_is_refused(written: str) -> None:
    with pytest.raises(BadInput, match="is no date"):
        moment(written)
