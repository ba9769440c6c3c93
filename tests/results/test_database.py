"""Opening, upgrading and protecting a database: what goes wrong leaves every file as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from rsuq_cli.errors import DatabaseError
from rsuq_cli.results import schema
from rsuq_cli.results.database import Database, check, open_for_lookup, open_for_reading, open_for_writing, upgrade
from rsuq_cli.results.figures import figures
from rsuq_cli.results.runs import list_runs
from rsuq_cli.results.schema import SCHEMA_HEAD
from rsuq_cli.results.writer import load_evidence, start_run, store_inputs

FROZEN = Path(__file__).parent / "frozen"
# The revision after this program's.
NEXT = f"{int(SCHEMA_HEAD) + 1:04d}"
ADD_A_COLUMN = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "NEXT", "HEAD", None, None
def upgrade():
    with op.batch_alter_table("run", recreate="always") as batch:
        batch.add_column(sa.Column("note", sa.String, server_default="none"))
"""


@pytest.fixture
def stored(db: Database, made: Any) -> Path:
    """A closed database with two inputs of evidence."""
    run_id = start_run(db, made.run()).id
    store_inputs(db, run_id, [made.evidence(0), made.evidence(1)])
    db.close()
    assert db.path is not None
    return db.path


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes this program one revision newer, with the given migration."""

    def install(migration: str) -> None:
        folder = tmp_path / "next"
        shutil.copytree(schema.migrations_directory(), folder, ignore=shutil.ignore_patterns("__pycache__"))
        text = migration.replace("NEXT", NEXT).replace("HEAD", SCHEMA_HEAD)
        (folder / "versions" / f"{NEXT}_next.py").write_text(text)
        monkeypatch.setattr(schema, "migrations_directory", lambda: folder)
        monkeypatch.setattr(schema, "SCHEMA_HEAD", NEXT)

    return install


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A folder of one's own, and no right to write where permissions forbid it, even where the tests run as root."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        if not readable(schema.migrations_directory() / "env.py"):
            os.seteuid(0)
            pytest.skip("the package lies where an ordinary user cannot read it")
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)


def readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except PermissionError:
        return False
    return True


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    connection.close()
    return int(count)


def stamp(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE rsuq_version SET version_num = ?", (revision,))
    connection.close()


# Opening


def test_writing_makes_the_folder_and_the_file_and_needs_nothing_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "results.db"
    assert upgrade(path) == (None, SCHEMA_HEAD, None)
    assert upgrade(path) == (SCHEMA_HEAD, SCHEMA_HEAD, None)
    assert [found.name for found in path.parent.iterdir()] == ["results.db"]


def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    open_for_writing(tmp_path / "a.db").close()
    assert check(tmp_path / "a.db").standing == "current"


def test_a_file_name_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=ro#ü%20.db"
    open_for_writing(path).close()
    assert files(tmp_path).keys() == {path.name}


def test_writers_use_the_log_and_hold_to_foreign_keys(db: Database) -> None:
    with db.read() as connection:
        settings = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    assert settings == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1, "busy_timeout": 10_000}


def test_a_reader_cannot_write(stored: Path) -> None:
    with open_for_reading(stored) as reader:
        with pytest.raises(DatabaseError, match="read-only"), reader.transaction() as connection:
            connection.execute(text("DELETE FROM run"))
        with pytest.raises(DatabaseError, match="read-only"), reader.read() as connection:
            connection.execute(text("DELETE FROM run"))
    assert rows(stored, "run") == 1


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no database at") as caught:
        open_for_reading(tmp_path / "none.db")
    assert "rsuq quickstart" in caught.value.hint
    with pytest.raises(DatabaseError, match="there is no database at"):
        check(tmp_path / "none.db")
    assert files(tmp_path) == {}
    (tmp_path / "empty.db").touch()
    with pytest.raises(DatabaseError, match="there is no database at"):
        open_for_reading(tmp_path / "empty.db")


def test_a_reader_sees_one_state_while_a_writer_goes_on(db: Database, made: Any) -> None:
    run_id = start_run(db, made.run()).id
    count = text("SELECT COUNT(*) FROM evidence")
    assert db.path is not None
    with open_for_reading(db.path) as reader, reader.read() as connection:
        assert connection.execute(count).scalar() == 0
        store_inputs(db, run_id, [made.evidence(0)])
        assert connection.execute(count).scalar() == 0
    assert len(list(load_evidence(db, run_id))) == 1


def test_what_raises_inside_a_transaction_undoes_it(db: Database, made: Any) -> None:
    start_run(db, made.run())

    def delete_and_stop() -> None:
        with db.transaction() as connection:
            connection.execute(text("DELETE FROM run"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        delete_and_stop()
    assert db.path is not None
    assert rows(db.path, "run") == 1


# Files that are not ours to change


@pytest.mark.parametrize("opening", [open_for_writing, open_for_reading, check, upgrade])
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, opening: Callable[[Path], object]) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, and they are longer than a header of one hundred bytes would be. " * 3)
    before = files(tmp_path)
    with pytest.raises(DatabaseError, match=r"notes\.txt is not a database"):
        opening(path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("opening", [open_for_writing, open_for_reading, check, upgrade])
def test_another_programs_database_is_left_alone(tmp_path: Path, opening: Callable[[Path], object]) -> None:
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE run (id)")
    connection.close()
    before = files(tmp_path)
    with pytest.raises(DatabaseError, match="belongs to another program"):
        opening(path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("opening", [open_for_writing, open_for_reading, upgrade])
def test_a_newer_database_is_refused_and_left_alone(stored: Path, opening: Callable[[Path], object]) -> None:
    stamp(stored, "0999")
    before = stored.read_bytes()
    with pytest.raises(DatabaseError, match=r"newer than this rsuq \(schema 0999") as caught:
        opening(stored)
    assert "upgrade" in caught.value.hint
    assert stored.read_bytes() == before


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    for opening in (open_for_writing, open_for_reading):
        with pytest.raises(DatabaseError, match="is a folder"):
            opening(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="cannot use"):
        open_for_writing(tmp_path / "file" / "a.db")


# Permissions


def test_a_folder_without_permission_is_one_line(db: Database, ordinary_user: Path) -> None:
    ordinary_user.chmod(0o500)
    for path in (ordinary_user / "a.db", ordinary_user / "deeper" / "a.db"):
        with pytest.raises(DatabaseError, match=r"cannot (open|use)"):
            open_for_writing(path)
    assert list(ordinary_user.iterdir()) == []


def test_a_read_only_file_can_be_read_but_is_refused_for_writing_at_once(db: Database, ordinary_user: Path) -> None:
    path = ordinary_user / "a.db"
    open_for_writing(path).close()
    path.chmod(0o400)
    with pytest.raises(DatabaseError, match="read-only"):
        open_for_writing(path)
    with open_for_reading(path) as reader:
        assert figures(reader) == []


def test_read_only_media_can_be_read(db: Database, ordinary_user: Path) -> None:
    path = ordinary_user / "a.db"
    open_for_writing(path).close()
    path.chmod(0o400)
    ordinary_user.chmod(0o500)
    with open_for_reading(path) as reader:
        assert figures(reader) == []
    assert [found.name for found in ordinary_user.iterdir()] == ["a.db"]


# Upgrades


def test_an_older_database_is_copied_and_then_upgraded_with_every_row(
    stored: Path, next_version: Callable[[str], None]
) -> None:
    next_version(ADD_A_COLUMN)
    with pytest.raises(DatabaseError, match="older rsuq") as caught:
        open_for_reading(stored)
    assert "rsuq db upgrade" in caught.value.hint
    result = upgrade(stored)
    assert (result.before, result.after) == (SCHEMA_HEAD, NEXT)
    assert result.backup is not None
    assert result.backup.name.startswith(f"results.backup-{SCHEMA_HEAD}-")
    assert (rows(stored, "run"), rows(stored, "evidence")) == (1, 2)  # recreating run must not delete its evidence
    assert (rows(result.backup, "run"), rows(result.backup, "evidence")) == (1, 2)
    connection = sqlite3.connect(stored)
    assert connection.execute("SELECT note FROM run").fetchall() == [("none",)]
    connection.close()
    assert check(stored)[:3] == (NEXT, "current", ())


def test_opening_for_writing_upgrades_too_and_an_empty_database_needs_no_copy(
    db: Database, next_version: Callable[[str], None]
) -> None:
    db.close()
    assert db.path is not None
    next_version(ADD_A_COLUMN)
    open_for_writing(db.path).close()
    assert check(db.path).revision == NEXT
    assert not list(db.path.parent.glob("*backup*"))


@pytest.mark.parametrize(
    "failing",
    [
        ADD_A_COLUMN + "    raise ArithmeticError('half-way')",
        ADD_A_COLUMN + "    op.execute('PRAGMA defer_foreign_keys = ON'); op.execute('DELETE FROM run')",
    ],
    ids=["raises half-way", "leaves rows without their run"],
)
def test_a_migration_that_fails_leaves_the_file_as_it_was(
    stored: Path, next_version: Callable[[str], None], failing: str
) -> None:
    before = files(stored.parent)
    next_version(failing)
    with pytest.raises((ArithmeticError, RuntimeError)):
        open_for_writing(stored)
    assert files(stored.parent) == before


def test_a_copy_that_fails_leaves_the_file_as_it_was(
    stored: Path, next_version: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(stored.parent)
    next_version(ADD_A_COLUMN)

    def no_space(path: Path, revision: str | None) -> Path:
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise full

    monkeypatch.setattr(schema, "back_up", no_space)
    with pytest.raises(DatabaseError, match="no space left"):
        upgrade(stored)
    assert files(stored.parent) == before


def test_a_copy_that_breaks_off_is_removed(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class BreaksOff(sqlite3.Connection):
        def backup(self, target: sqlite3.Connection, **_: Any) -> None:
            target.execute("CREATE TABLE first_half (id INTEGER)")
            raise sqlite3.OperationalError("disk I/O error")

    before = files(stored.parent)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=BreaksOff))
    with pytest.raises(sqlite3.OperationalError):
        schema.back_up(stored, "0001")
    assert files(stored.parent) == before


def test_there_is_a_frozen_database_of_every_schema() -> None:
    versions = {path.name[:4] for path in (schema.migrations_directory() / "versions").glob("*.py")}
    assert {path.stem for path in FROZEN.glob("*.sql")} == versions


@pytest.mark.parametrize("dump", sorted(FROZEN.glob("*.sql")), ids=lambda dump: dump.stem)
def test_a_database_of_every_released_schema_is_upgraded_and_used(dump: Path, tmp_path: Path, made: Any) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(dump.read_text())
    connection.close()
    with open_for_writing(path) as database:
        (found,) = figures(database, radii=[0.25])
        assert (found.inputs, found.accuracy, found.certified_ncl[0].value) == (2, 0.5, 0.5)
        assert found.acr_ncl == pytest.approx(0.375 / 2)
        assert (found.bounds_version, found.acr_explicit) == (1, None)
        handle = start_run(database, made.run())
        assert (handle.created, handle.finished) == (False, frozenset({0, 1}))
        store_inputs(database, handle.id, [made.evidence(2)])
    assert check(path)[:3] == (SCHEMA_HEAD, "current", ())
    assert check(path).counts["evidence"] == 3


# Several programs at once


CHILD = """
import sys
from sqlalchemy import text
from rsuq_cli.results.database import open_for_writing
with open_for_writing(sys.argv[1]) as db:
    for _ in range(100):
        with db.transaction() as connection:  # reads, then writes: deferred transactions lose some of these
            seconds = connection.execute(text("SELECT seconds FROM run WHERE id = 1")).scalar_one_or_none()
            if seconds is not None:
                connection.execute(text("UPDATE run SET seconds = :s WHERE id = 1"), {"s": seconds + 1})
"""


def children(path: Path, count: int) -> list[str]:
    started = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [child.communicate(timeout=120)[1] for child in started]


def test_two_programs_that_read_and_then_write_lose_nothing(stored: Path) -> None:
    assert children(stored, 2) == ["", ""]
    connection = sqlite3.connect(stored)
    assert connection.execute("SELECT seconds FROM run").fetchone() == (200.0,)
    connection.close()


def test_programs_that_make_the_same_database_at_once_all_succeed(tmp_path: Path) -> None:
    assert children(tmp_path / "new.db", 3) == ["", "", ""]
    assert check(tmp_path / "new.db")[:3] == (SCHEMA_HEAD, "current", ())


WRITES_UNTIL_KILLED = """
import sys
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.writer import EvidenceRow, SampleRow, store_inputs
scoring_id, run_id = int(sys.argv[2]), int(sys.argv[3])
with open_for_writing(sys.argv[1]) as db:
    for first in range(0, 10**6, 5):
        inputs = range(first, first + 5)
        store_inputs(
            db, run_id, [EvidenceRow(i, 1, 1, 1, bytes(2000), 0.0) for i in inputs],
            [SampleRow(scoring_id, i, 1, 1, 1, "certain", True, False, 1, 1, 0, 1, .1, .1, .1, .0, "majority", "merged")
             for i in inputs],
        )
        print(first + 5, flush=True)
"""


@pytest.mark.parametrize("after", [1, 40])
def test_a_kill_loses_nothing_committed_and_keeps_no_half(scored: Any, after: int) -> None:
    path = scored.db.path
    scored.db.close()
    arguments = [sys.executable, "-c", WRITES_UNTIL_KILLED, str(path), str(scored.scoring_id), str(scored.run_id)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        committed = [int(child.stdout.readline()) for _ in range(after)][-1]
        child.kill()
        committed = max([committed, *(int(line) for line in child.stdout.read().split())])
    counts = check(path).counts
    assert counts["evidence"] >= committed
    assert counts["evidence"] % 5 == 0
    assert counts["certified_sample"] == counts["evidence"]
    assert check(path).problems == ()


def test_a_locked_database_is_waited_for_and_then_named(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSUQ_BUSY_TIMEOUT", "0.2")
    other = sqlite3.connect(stored, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match=r"locked by another program \(waited 0.2 s\)") as caught:
        open_for_writing(stored)
    assert "RSUQ_BUSY_TIMEOUT" in caught.value.hint
    other.close()
    open_for_writing(stored).close()


def test_a_lock_that_ends_in_time_is_no_error(stored: Path) -> None:
    other = sqlite3.connect(stored, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, other.close)
    release.start()
    open_for_writing(stored).close()
    release.join()


# Out of space


def test_a_full_disk_is_one_line_and_what_is_stored_is_safe(db: Database, made: Any) -> None:
    run_id = start_run(db, made.run()).id
    store_inputs(db, run_id, [made.evidence(0)])
    with db.read() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
    db.engine.dispose()
    event.listen(db.engine, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(DatabaseError, match="no space left") as caught:
        store_inputs(db, run_id, [made.evidence(i, counts=bytes(100_000)) for i in range(1, 9)])
    assert "safe" in caught.value.hint
    assert [row.input_index for row in load_evidence(db, run_id)] == [0]


def test_a_new_database_that_does_not_fit_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(connection: Any) -> None:
        connection.execute(text("CREATE TABLE half_made (id INTEGER)"))
        connection.execute(text("PRAGMA max_page_count = 1"))
        connection.execute(text("CREATE TABLE too_much (id INTEGER)"))

    monkeypatch.setattr(schema, "migrate", no_space)
    with pytest.raises(DatabaseError, match="no space left"):
        open_for_writing(tmp_path / "a.db")
    assert files(tmp_path) == {}


# Checking


def test_check_counts_rows_and_finds_rows_without_their_run(stored: Path) -> None:
    sound = check(stored)
    assert sound.problems == ()
    assert (sound.counts["run"], sound.counts["evidence"], sound.counts["certified_sample"]) == (1, 2, 0)
    connection = sqlite3.connect(stored)
    with connection:
        connection.execute("DELETE FROM run")  # foreign keys are off unless asked for
    connection.close()
    assert len(check(stored).problems) == 3  # two inputs of evidence and one measure's bins
    assert "run" in check(stored).problems[0]


def test_damage_is_found(stored: Path) -> None:
    size = stored.stat().st_size
    with stored.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 2))
    with pytest.raises(DatabaseError, match="is damaged"):
        check(stored)


def test_a_lookup_makes_and_changes_nothing(tmp_path: Path) -> None:
    with open_for_lookup(tmp_path / "missing.db") as nothing:
        assert nothing is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    with open_for_lookup(tmp_path / "empty.db") as nothing:
        assert nothing is None
    older = tmp_path / "older.db"
    with closing(sqlite3.connect(older)) as connection:
        connection.executescript((FROZEN / "0002.sql").read_text(encoding="utf-8"))
    before = older.read_bytes()
    with open_for_lookup(older) as database:
        assert database is not None
        assert list_runs(database)
        with pytest.raises(DatabaseError, match="read-only"), database.read() as reading:
            reading.execute(text("DELETE FROM run"))
    assert older.read_bytes() == before
    with closing(sqlite3.connect(older)) as connection, connection:
        connection.execute("UPDATE rsuq_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="newer than this rsuq"), open_for_lookup(older):
        pass
