"""Two databases become one: everything comes once, numbers change, and nothing that was here does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from rsuq_cli.certificates.evidence import Histogram, encode
from rsuq_cli.errors import BadInput, DatabaseError
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.merging import Merged, merge
from rsuq_cli.results.writer import NewCheckpoint, add_scoring, finish_run, record_checkpoint, start_run, store_inputs

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, made: Any) -> Make:
    """Makes a database of runs, each with a checkpoint, two scorings, a metric and `inputs` inputs."""

    def build(name: str, runs: dict[str, range], **sample: Any) -> Path:
        path = tmp_path / name
        with open_for_writing(path) as db:
            for run, inputs in runs.items():
                _fill(db, made, run, inputs, sample)
        return path

    return build


def _fill(db: Database, made: Any, name: str, inputs: range, sample: dict[str, Any]) -> None:
    new = NewCheckpoint("cnn", "digits", 0.25, "gaussian", f"{name}.pt", f"sha {name}", 1.0, 1.0, {})
    checkpoint = record_checkpoint(db, new)
    run_id = start_run(db, made.run(configuration_hash=name, model=name, checkpoint_id=checkpoint, inputs=4)).id
    scorings = [add_scoring(db, made.scoring(run_id, measure=measure)) for measure in ("entropy", "margin")]
    rows = [made.sample(scoring, i, **sample) for scoring in scorings for i in inputs]
    store_inputs(db, run_id, [made.evidence(i) for i in inputs], rows)
    with db.transaction() as connection:
        for scoring in (scorings[0], None):
            statement = "INSERT INTO metric (run_id, scoring_id, name, value) VALUES (:run, :scoring, 'auroc', 0.9)"
            connection.execute(text(statement), {"run": run_id, "scoring": scoring})
        statement = "INSERT INTO ood_score VALUES (:run, 'noise', 0, 'entropy', 0.5)"
        connection.execute(text(statement), {"run": run_id})
    if len(inputs) == 4:
        finish_run(db, run_id, "complete", 2.0)


def outcomes(merged: list[Merged]) -> list[tuple[str, str]]:
    return [(one.model, one.outcome) for one in merged]


def content(path: Path) -> dict[str, list[Any]]:
    """Returns every row without its own number, with the names of runs and measures of scorings for references."""
    run = "(SELECT configuration_hash FROM run WHERE run.id = run_id)"
    scoring = "(SELECT measure || configuration_hash FROM scoring JOIN run ON run.id = run_id WHERE scoring.id = {})"
    queries = {
        "run": "SELECT configuration_hash, status, attempt, file FROM run JOIN checkpoint AS c ON c.id = checkpoint_id",
        "scoring": f"SELECT {run}, measure, threshold, alpha FROM scoring",
        "evidence": f"SELECT {run}, input_index, counts FROM evidence",
        "bin_edges": f"SELECT {run}, measure, edges FROM bin_edges",
        "certified_sample": f"SELECT {scoring.format('scoring_id')}, input_index, radius_cc FROM certified_sample",
        "metric": f"SELECT {run}, {scoring.format('scoring_id')}, name, value FROM metric",
        "ood_score": f"SELECT {run}, input_index, value FROM ood_score",
    }
    with closing(sqlite3.connect(path)) as connection:
        return {name: sorted(connection.execute(query), key=repr) for name, query in queries.items()}


def test_everything_comes_and_keeps_its_relations(make: Make) -> None:
    ours, theirs = make("a.db", {"one": range(4)}), make("b.db", {"two": range(4), "three": range(2)})
    merged = merge(ours, theirs)
    assert outcomes(merged) == [("two", "added"), ("three", "added")]
    assert [one.run_id for one in merged] == [2, 3]
    both = content(make("c.db", {"one": range(4), "two": range(4), "three": range(2)}))
    # A run that nobody works on here is not running here.
    both["run"] = [(name, "interrupted" if name == "three" else status, *rest) for name, status, *rest in both["run"]]
    assert content(ours) == {name: sorted(map(tuple, rows), key=repr) for name, rows in both.items()}


def test_merging_again_adds_nothing(make: Make) -> None:
    ours, theirs = make("a.db", {"one": range(4)}), make("b.db", {"one": range(4), "two": range(3)})
    merge(ours, theirs)
    before = content(ours)
    again = merge(ours, theirs)
    assert [(one.outcome, one.rows) for one in again] == [("same", 0), ("same", 0)]
    assert content(ours) == before


def test_a_run_is_completed_by_what_the_other_has(make: Make) -> None:
    ours, theirs = make("a.db", {"one": range(2)}), make("b.db", {"one": range(4)})
    (one,) = merge(ours, theirs)
    # Two inputs: their evidence, and a certificate under each of two scorings.
    assert (one.outcome, one.rows) == ("completed", 6)
    assert content(ours) == content(make("c.db", {"one": range(4)}))


def test_a_conflict_is_named_and_changes_nothing(make: Make) -> None:
    ours = make("a.db", {"one": range(4)})
    theirs = make("b.db", {"one": range(4), "two": range(4)}, radius_cc=0.1)
    before = content(ours)
    conflict, added = merge(ours, theirs)
    assert (conflict.outcome, added.outcome) == ("conflict", "added")
    assert conflict.conflict == "radius_cc of certified_sample (input_index 0) differs"
    after = content(ours)
    assert {name: [row for row in rows if "one" in str(row[0])] for name, rows in after.items()} == before


def test_other_evidence_of_the_same_input_is_a_conflict(make: Make) -> None:
    ours, theirs = make("a.db", {"one": range(4)}), make("b.db", {"one": range(4)})
    with closing(sqlite3.connect(theirs)) as connection, connection:
        connection.execute("UPDATE evidence SET counts = x'00' WHERE input_index = 2")
    assert merge(ours, theirs)[0].conflict == "counts of evidence (input_index 2) differs"


def test_the_same_counts_in_another_packing_are_the_same(make: Make) -> None:
    import zlib

    counts = np.array([[5, 0], [1, 4]])
    blob = encode({"entropy": Histogram(counts, counts)})
    start = next(at for at in range(1, 16) if blob[at : at + 1] == b"\x78")
    repacked = blob[:start] + zlib.compress(zlib.decompress(blob[start:]), 0)
    assert repacked != blob
    ours, theirs = make("a.db", {"one": range(4)}), make("b.db", {"one": range(4)})
    for path, packed in ((ours, blob), (theirs, repacked)):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE evidence SET counts = ?", (packed,))
    assert merge(ours, theirs)[0].outcome == "same"


def test_rounding_of_another_scipy_is_no_conflict(make: Make) -> None:
    ours, theirs = make("a.db", {"one": range(4)}), make("b.db", {"one": range(4)}, radius_cc=0.25 * (1 + 1e-13))
    assert merge(ours, theirs)[0].outcome == "same"


def test_a_database_that_is_not_there_yet_is_made(make: Make, tmp_path: Path) -> None:
    merge(tmp_path / "new.db", make("b.db", {"one": range(4)}))
    assert content(tmp_path / "new.db") == content(tmp_path / "b.db")


def test_a_database_is_not_merged_with_itself_or_with_a_newer_one(make: Make) -> None:
    ours, theirs = make("a.db", {"one": range(4)}), make("b.db", {"two": range(4)})
    with pytest.raises(BadInput, match="is the database itself"):
        merge(ours, ours.parent / "." / "a.db")
    with closing(sqlite3.connect(theirs)) as connection, connection:
        connection.execute("UPDATE rsuq_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="newer than this rsuq"):
        merge(ours, theirs)
    with pytest.raises(DatabaseError, match="there is no database"):
        merge(ours, theirs.with_name("missing.db"))


def test_labels_come_where_there_are_none_and_never_conflict(make: Make) -> None:
    ours, theirs = make("a.db", {"one": range(4), "two": range(4)}), make("b.db", {"one": range(4), "two": range(4)})
    here = ("UPDATE run SET name = 'mine' WHERE id = 1", "INSERT INTO run_tag VALUES (1, 'both')",
            "INSERT INTO run_tag VALUES (1, 'here')")  # fmt: skip
    there = (
        "UPDATE run SET name = 'theirs', note = 'seen'", "UPDATE checkpoint SET history = '[]', name = 'net'",
        "INSERT INTO run_tag VALUES (1, 'both')", "INSERT INTO run_tag VALUES (1, 'there')",
        "INSERT INTO checkpoint_tag VALUES (2, 'good')",
    )  # fmt: skip
    for path, statements in ((ours, here), (theirs, there)):
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)
    for _ in range(2):
        assert [(one.outcome, one.rows) for one in merge(ours, theirs)] == [("same", 0), ("same", 0)]
        with closing(sqlite3.connect(ours)) as connection:
            assert connection.execute("SELECT name, note FROM run ORDER BY id").fetchall() == [
                ("mine", "seen"), ("theirs", "seen"),
            ]  # fmt: skip
            assert connection.execute("SELECT tag FROM run_tag").fetchall() == [("both",), ("here",), ("there",)]
            assert connection.execute("SELECT name, history FROM checkpoint").fetchall() == [("net", "[]")] * 2
            assert connection.execute("SELECT * FROM checkpoint_tag").fetchall() == [(2, "good")]


def test_the_labels_of_a_new_run_come_with_it(make: Make) -> None:
    theirs = make("b.db", {"one": range(4)})
    with closing(sqlite3.connect(theirs)) as connection, connection:
        connection.execute("UPDATE run SET name = 'theirs'")
        connection.execute("INSERT INTO run_tag VALUES (1, 'paper')")
    ours = make("a.db", {"two": range(4)})
    merge(ours, theirs)
    with closing(sqlite3.connect(ours)) as connection:
        assert connection.execute("SELECT name FROM run WHERE id = 2").fetchall() == [("theirs",)]
        assert connection.execute("SELECT * FROM run_tag").fetchall() == [(2, "paper")]
