"""Tables come from the migrations alone, agree with the classes, and refuse what no certificate can be."""

from __future__ import annotations

import re
import shutil
import sqlite3
from inspect import unwrap
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from migrated import made_once
from sqlalchemy import create_engine, inspect, text
from sqlmodel import SQLModel

from rsuq_cli.errors import DatabaseError
from rsuq_cli.results import schema, tables
from rsuq_cli.results.database import Database
from rsuq_cli.results.schema import SCHEMA_HEAD, VERSION_TABLE, migrations_directory, standing

OURS = {name.__table__.name for name in vars(tables).values() if isinstance(name, type) and hasattr(name, "__table__")}

# One violation of every CHECK constraint: the table, the columns that differ from a valid row, and the constraint.
VIOLATIONS: list[tuple[str, dict[str, Any], str]] = [
    ("checkpoint", {"sigma": -0.1}, "checkpoint_sigma"),
    ("checkpoint", {"accuracy_clean": 1.5}, "checkpoint_accuracy"),
    ("run", {"status": "done"}, "run_status"),
    ("run", {"sigma": 0.0}, "run_sigma"),
    ("run", {"n": -1}, "run_samples"),
    ("run", {"skip": 0}, "run_subset"),
    ("run", {"attempt": 0}, "run_attempt"),
    ("run", {"seconds": -1.0}, "run_seconds"),
    ("bin_edges", {"edges": b"12345678"}, "bin_edges_lengths"),
    ("evidence", {"input_index": -1}, "evidence_input_index"),
    ("evidence", {"n0": -1}, "evidence_samples"),
    ("evidence", {"seconds": -1.0}, "evidence_seconds"),
    ("evidence", {"unanswered": 1101}, "evidence_unanswered"),
    ("run_tag", {"tag": ""}, "run_tag_not_empty"),
    ("checkpoint_tag", {"tag": ""}, "checkpoint_tag_not_empty"),
    ("scoring", {"coverage": 1.1}, "scoring_coverage"),
    ("scoring", {"rule": "best"}, "scoring_rule"),
    ("scoring", {"competitors": "none"}, "scoring_competitors"),
    ("scoring", {"alpha": 1.0}, "scoring_alpha"),
    ("scoring", {"family_size": 0}, "scoring_family_size"),
    ("scoring", {"bounds_version": 3}, "scoring_bounds_version"),
    ("certified_sample", {"input_index": -1}, "certified_sample_input_index"),
    (
        "certified_sample",
        {"decision": "sure", "correct": 0, "is_uncertain": 1, "radius_cc": 0.0},
        "certified_sample_decision",
    ),
    ("certified_sample", {"correct": 0}, "certified_sample_correct"),
    ("certified_sample", {"class_index": 2}, "certified_sample_correct"),
    ("certified_sample", {"is_uncertain": 1}, "certified_sample_is_uncertain"),
    ("certified_sample", {"at_ceiling": 2}, "certified_sample_flags"),
    ("certified_sample", {"n": 0, "certain_count": 0, "uncertain_count": 0, "vote_count": 0}, "certified_sample_n"),
    ("certified_sample", {"uncertain_count": 101}, "certified_sample_counts"),
    ("certified_sample", {"vote_count": 1001}, "certified_sample_counts"),
    ("certified_sample", {"certain_count": -1}, "certified_sample_counts"),
    ("certified_sample", {"radius_uncertain": -0.1}, "certified_sample_radii"),
    (
        "certified_sample",
        {"decision": "undecided", "correct": 0, "is_uncertain": 1},
        "certified_sample_no_radius_without_proof",
    ),
    ("certified_sample", {"rule": "best"}, "certified_sample_rule"),
    ("certified_sample", {"competitors": "auto"}, "certified_sample_competitors"),
    ("certified_sample", {"radius_explicit": -0.1}, "certified_sample_radius_explicit"),
    ("certified_sample", {"bounds_version": 3}, "certified_sample_bounds_version"),
    ("certified_sample", {"radius_cc": 0.31}, "certified_sample_order"),
    (
        "certified_sample",
        {"radius_ncl": 0.29, "competitors": "class-wise", "bounds_version": 2},
        "certified_sample_order_of_every_form",
    ),
    ("certified_sample", {"radius_ncl": 0.29}, "certified_sample_order"),
    ("metric", {"radius": -0.5}, "metric_radius"),
    ("audit", {"attack": "none"}, "audit_attack"),
    ("audit", {"steps": 0}, "audit_counts"),
    ("audit", {"radius_scale": 0.0}, "audit_radius_scale"),
    ("audit", {"alpha": 0.0}, "audit_alpha"),
    ("audit_ball", {"input_index": -1}, "audit_ball_input_index"),
    ("audit_ball", {"guarantee": "all"}, "audit_ball_guarantee"),
    ("audit_ball", {"attack": "both"}, "audit_ball_attack"),
    ("audit_ball", {"distance": 0.31}, "audit_ball_inside"),
    ("audit_ball", {"n": 0}, "audit_ball_n"),
    ("audit_ball", {"mass": 1.1}, "audit_ball_masses"),
    ("audit_ball", {"excess": -0.3}, "audit_ball_excess"),
    ("audit_ball", {"broken": 1}, "audit_ball_broken"),
    ("audit_ball", {"seconds": -1.0}, "audit_ball_seconds"),
    ("study", {"name": ""}, "study_name_not_empty"),
]


def valid_rows(made: Any) -> dict[str, dict[str, Any]]:
    moment = "2024-01-01T00:00:00+00:00"
    run = {
        "id": 1, "kind": "certify", "status": "running", "checkpoint_id": 1, "model": "cnn", "dataset": "digits",
        "split": "test", "skip": 1, "inputs": 4, "subset_sha256": "5", "sigma": 0.25, "n0": 100, "n": 1000, "seed": 0,
        "device": "cpu", "precision": "fp32", "versions": "{}", "configuration": "{}", "configuration_hash": "c",
        "edges_hash": "e", "attempt": 1, "created_at": moment, "updated_at": moment, "seconds": 0.0,
    }  # fmt: skip
    checkpoint = {
        "id": 1, "model": "cnn", "dataset": "digits", "sigma": 0.25, "objective": "gaussian", "file": "a",
        "sha256": "0", "accuracy_clean": 0.9, "accuracy_noisy": None, "configuration": "{}", "created_at": moment,
    }  # fmt: skip
    scoring = {
        "id": 1, "run_id": 1, "measure": "entropy", "threshold": 0.2, "coverage": 0.9, "rule": "majority",
        "competitors": "merged", "alpha": 0.001, "family_size": 1, "created_at": moment,
    }  # fmt: skip
    return {
        "checkpoint": checkpoint,
        "checkpoint_tag": {"checkpoint_id": 1, "tag": "baseline"},
        "run": run,
        "run_tag": {"run_id": 1, "tag": "paper"},
        "bin_edges": {"run_id": 1, "measure": "entropy", "edges": b"", "coverages": b""},
        "evidence": {"run_id": 1, **vars(made.evidence(0))},
        "scoring": scoring,
        "certified_sample": dict(vars(made.sample(1, 0))),
        "ood_score": {"run_id": 1, "ood_set": "digits", "input_index": 0, "score": "entropy", "value": 0.5},
        "metric": {"id": 1, "run_id": 1, "scoring_id": 1, "name": "auroc", "radius": None, "value": 0.5},
        "audit": {
            "id": 1, "scoring_id": 1, "attack": "both", "steps": 20, "radius_scale": 1.0, "inputs": 10, "n": 1000,
            "alpha": 0.001, "seed": 0, "device": "cpu", "created_at": moment,
        },
        "audit_ball": {
            "audit_id": 1, "input_index": 0, "guarantee": "cc", "class_index": 1, "radius": 0.3, "distance": 0.29,
            "attack": "pgd", "n": 1000, "mass": 0.7, "bound": 0.52, "excess": -0.2, "excess_lower": -0.25, "broken": 0,
            "seconds": 0.5,
        },
        "study": {"id": 1, "name": "digits", "plan": "", "created_at": moment, "updated_at": moment},
        "study_run": {
            "study_id": 1, "run_id": 1, "network": "cnn", "objective": "gaussian", "sigma": 0.25, "seed": 0,
            "predictor": "one pass",
        },
    }  # fmt: skip


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def plain(db: Database) -> sqlite3.Connection:
    assert db.path is not None
    connection = sqlite3.connect(db.path)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@pytest.fixture
def filled(db: Database, made: Any) -> sqlite3.Connection:
    """A plain connection to a database with one valid row in every table."""
    connection = plain(db)
    for table, row in valid_rows(made).items():
        insert(connection, table, row)
    connection.commit()
    return connection


def test_the_head_is_the_one_newest_migration_and_the_line_has_no_branch() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [SCHEMA_HEAD]
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert all(re.fullmatch(r"\d{4}", revision) for revision in revisions)
    assert revisions == sorted(revisions, reverse=True)


def test_migrations_import_nothing_of_the_application() -> None:
    for script in migrations_directory().rglob("*.py"):
        assert not re.search(r"^\s*(from|import) (rsuq_cli|sqlmodel)", script.read_text(), re.MULTILINE)


@pytest.mark.parametrize("place", ["rsuq_cli/migrations", "migrations"])
def test_migrations_are_found_in_a_wheel_and_in_a_checkout(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "rsuq_cli"
    package.mkdir()
    monkeypatch.setattr(schema, "PACKAGE", package)
    with pytest.raises(FileNotFoundError, match="incomplete"):
        migrations_directory()
    (tmp_path / place).mkdir()
    (tmp_path / place / "env.py").touch()
    assert migrations_directory() == tmp_path / place


def test_the_migrations_of_a_wheel_work_where_the_path_has_a_percent_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsuq_cli.results.database import open_for_writing

    package = tmp_path / "100%s" / "rsuq_cli"
    shutil.copytree(migrations_directory(), package / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "PACKAGE", package)
    with open_for_writing(tmp_path / "a.db") as database, database.read() as connection:
        assert set(inspect(connection).get_table_names()) == OURS | {VERSION_TABLE}


def test_what_tests_begin_with_is_what_the_migrations_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rsuq_cli.results.database import open_for_writing

    monkeypatch.setattr(schema, "migrate", made_once(unwrap(schema.migrate)))
    contents = []
    for name in ("first", "again"):
        with open_for_writing(tmp_path / f"{name}.db") as database:
            connection = plain(database)
            contents.append(list(connection.iterdump()))
            connection.close()
    assert contents[0] == contents[1]


def test_revisions_stand_older_current_or_newer() -> None:
    assert standing(None) == "older"
    assert standing("0000") == "older"
    assert standing(SCHEMA_HEAD) == "current"
    assert standing("9999") == "newer"


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")  # the expression index of scoring
def test_classes_and_migrated_tables_agree(db: Database) -> None:
    declared = create_engine("sqlite://")
    SQLModel.metadata.create_all(declared, tables=[t for n, t in SQLModel.metadata.tables.items() if n in OURS])
    with db.read() as migrated, declared.connect() as classes:
        have, want = inspect(migrated), inspect(classes)
        assert set(have.get_table_names()) == OURS | {VERSION_TABLE}
        for table in OURS:
            assert described(have, table) == described(want, table), table
    declared.dispose()


def described(inspector: Any, table: str) -> dict[str, Any]:
    columns = [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)]
    foreign = {
        (*f["constrained_columns"], f["referred_table"], *f["referred_columns"], f["options"].get("ondelete"))
        for f in inspector.get_foreign_keys(table)
    }
    unique = {tuple(u["column_names"]) for u in inspector.get_unique_constraints(table)}
    primary = inspector.get_pk_constraint(table)["constrained_columns"]
    return {"columns": columns, "primary": primary, "foreign": foreign, "unique": unique}


def test_a_valid_row_of_every_table_is_accepted(filled: sqlite3.Connection) -> None:
    for table in OURS:
        assert filled.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (1,)
    filled.close()


@pytest.mark.parametrize(("table", "changes", "constraint"), VIOLATIONS)
def test_every_check_constraint_refuses(
    db: Database, made: Any, table: str, changes: dict[str, Any], constraint: str
) -> None:
    connection = plain(db)
    connection.execute("PRAGMA foreign_keys = OFF")
    with pytest.raises(sqlite3.IntegrityError, match=rf"CHECK constraint failed: {constraint}$"):
        insert(connection, table, valid_rows(made)[table] | changes)
    connection.close()


def test_no_check_constraint_is_left_untested(db: Database) -> None:
    with db.read() as connection:
        inspector = inspect(connection)
        named = {str(c["name"]) for table in OURS for c in inspector.get_check_constraints(table)}
    assert named == {constraint for _, _, constraint in VIOLATIONS}


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "plurality", "radius_ncl": 0.1},
        {"competitors": "class-wise", "radius_ncl": 0.1},
        {"standard_class": 2, "radius_ncl": 0.1},
        {"rule": "plurality", "radius_ncl": 0.1, "bounds_version": 2},
        {"competitors": "class-wise", "standard_class": 2, "radius_ncl": 0.1, "bounds_version": 2},
    ],
)
def test_the_order_of_radii_is_asked_only_where_it_is_proved(db: Database, made: Any, changes: dict[str, Any]) -> None:
    connection = plain(db)
    connection.execute("PRAGMA foreign_keys = OFF")
    insert(connection, "certified_sample", valid_rows(made)["certified_sample"] | changes)
    connection.close()


def test_deleting_a_run_deletes_what_came_of_it_and_nothing_else(filled: sqlite3.Connection) -> None:
    filled.execute("DELETE FROM run")
    left = {table for table in OURS if filled.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]}
    assert left == {"checkpoint", "checkpoint_tag", "study"}
    filled.close()


def test_deleting_a_checkpoint_keeps_its_runs(filled: sqlite3.Connection) -> None:
    filled.execute("DELETE FROM checkpoint")
    assert filled.execute("SELECT checkpoint_id FROM run").fetchall() == [(None,)]
    filled.close()


def test_a_row_without_its_run_is_refused(db: Database) -> None:
    with pytest.raises(DatabaseError, match=r"was deleted from .* meanwhile"), db.transaction() as connection:
        connection.execute(text("INSERT INTO evidence VALUES (99, 0, 1, 10, 10, x'00', 0.5, 0)"))


def test_a_scoring_without_threshold_is_stored_once(filled: sqlite3.Connection, made: Any) -> None:
    row = valid_rows(made)["scoring"] | {"id": 2, "threshold": None}
    insert(filled, "scoring", row)
    insert(filled, "scoring", row | {"id": 3, "threshold": 0.0})  # no threshold is not a threshold of 0
    with pytest.raises(sqlite3.IntegrityError, match="scoring_key"):
        insert(filled, "scoring", row | {"id": 4})
    filled.close()


def test_the_views_read_like_the_tables_they_join(filled: sqlite3.Connection) -> None:
    filled.row_factory = sqlite3.Row
    sample = filled.execute("SELECT * FROM certified").fetchone()
    assert (sample["model"], sample["measure"], sample["decision"], sample["radius_ncl"]) == (
        "cnn",
        "entropy",
        "certain",
        0.375,
    )
    summary = filled.execute("SELECT * FROM run_summary").fetchone()
    assert summary["inputs"] == 1
    assert (summary["acr_standard"], summary["acr_cc"], summary["acr_ncl"]) == (0.3, 0.25, 0.375)
    assert summary["gain"] == pytest.approx(0.25)
    assert summary["cc_cost"] == pytest.approx(1 / 6)
    filled.close()
