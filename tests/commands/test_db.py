"""`rsuq db`: where the results are, whether they are sound, and what is in them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from commandline import refused, rsuq, snapshot
from samples import Sample

if TYPE_CHECKING:
    from conftest import Place


def test_path_is_the_flag_else_the_variable_else_the_users_folder(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rsuq("db", "path", "--db", "mine.db").stdout == f"{place.work / 'mine.db'}\n"
    assert rsuq("db", "path", "--db", "sqlite:////tmp/mine.db").stdout == "/tmp/mine.db\n"
    assert rsuq("db", "path").stdout == f"{place.database}\n"
    monkeypatch.delenv("RSUQ_DB")
    assert rsuq("db", "path").stdout == f"{place.root / 'home' / 'data' / 'rsuq' / 'rsuq.db'}\n"
    # Asking where does not make it.
    assert snapshot(place.root) == {}


def test_a_password_is_not_shown() -> None:
    result = rsuq("db", "path", "--db", "postgresql://me:secret@host/results")
    assert result.exit_code == 0
    assert "host/results" in result.stdout
    assert "secret" not in result.stdout + result.stderr


def test_upgrade_makes_the_tables_once(place: Place) -> None:
    first = rsuq("db", "upgrade")
    assert first.exit_code == 0
    assert "was empty" in first.stdout
    before = snapshot(place.root)
    again = rsuq("db", "upgrade")
    assert again.stdout.startswith("schema ")
    assert "was" not in again.stdout
    assert snapshot(place.root) == before


def test_check_counts_the_rows_of_a_sound_database(blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, "--n", 100)
    counts = {row["table"]: row["rows"] for row in rsuq("db", "check", "--format", "json").json}
    assert (counts["run"], counts["evidence"], counts["certified_sample"], counts["bin_edges"]) == (1, 12, 12, 6)
    table = rsuq("db", "check")
    assert table.exit_code == 0
    assert "sound" in table.stdout
    assert "NOT" not in table.stdout


def test_check_finds_orphans(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, "--n", 100)
    with closing(sqlite3.connect(place.database)) as connection:
        connection.execute("DELETE FROM run")  # foreign keys are off in a connection that does not ask for them
        connection.commit()
    result = rsuq("db", "check")
    assert result.exit_code == 4
    assert "NOT SOUND" in result.stdout
    assert "refers to a missing run" in result.stderr
    assert result.stderr.startswith("error: ")


def test_check_finds_damage(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, "--n", 100)
    with closing(sqlite3.connect(place.database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    content = bytearray(place.database.read_bytes())
    for page in range(8 * 4096, len(content), 4096):
        content[page : page + 64] = b"\xff" * 64
    place.database.write_bytes(content)
    result = rsuq("db", "check")
    assert result.exit_code == 4
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_runs_lists_them_with_how_far_they_are(place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    rsuq("certify", *blobs.flags, "--n", 100, "--uncertainty", "entropy", "--uncertainty", "gen")
    monkeypatch.setenv("INTERRUPT_AT", "100")
    rsuq("certify", *blobs.flags, "--n", 300, "--sigma", 0.5, "--batch-size", 64)
    first, second = rsuq("db", "runs", "--format", "json").json
    assert (first["id"], first["status"], first["finished"], first["inputs"], first["scorings"]) == (
        1, "complete", 12, 12, 2,
    )  # fmt: skip
    assert (second["id"], second["status"], second["sigma"]) == (2, "interrupted", 0.5)
    assert 0 < second["finished"] < 12
    table = rsuq("db", "runs").stdout
    assert "12/12" in table
    assert "interrupted" in table


def test_runs_of_an_empty_database() -> None:
    rsuq("db", "upgrade")
    assert rsuq("db", "runs", "--format", "json").json == []
    assert rsuq("db", "runs").exit_code == 0


def test_no_database_to_read() -> None:
    assert "there is no database" in refused(rsuq("db", "runs"), 4)


def test_a_file_cut_short_is_damaged_and_the_check_says_what_to_do(place: Place) -> None:
    rsuq("db", "upgrade")
    content = place.database.read_bytes()
    place.database.write_bytes(content[: 2 * 4096])
    assert "is damaged; `rsuq db check` says how" in refused(rsuq("report"), 4)
    assert "is damaged, so far that it cannot be checked; restore a backup" in refused(rsuq("db", "check"), 4)
