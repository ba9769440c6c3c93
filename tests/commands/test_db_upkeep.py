"""`rsuq db merge`, `backup` and `vacuum`."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from commandline import query, refused, rsuq
from samples import Sample

if TYPE_CHECKING:
    from conftest import Place


@pytest.fixture
def two(place: Place, blobs: Sample) -> Any:
    """Two databases with a run each, of other seeds."""
    for name, seed in (("a.db", 0), ("b.db", 1)):
        flags = ("--n", 200, "--limit", 5, "--seed", seed, "--db", place.work / name)
        assert rsuq("certify", *blobs.flags, *flags).exit_code == 0
    return place.work / "a.db", place.work / "b.db"


def test_merging_brings_runs_in_once(two: Any) -> None:
    ours, theirs = two
    (added,) = rsuq("db", "merge", theirs, "--db", ours, "--format", "json").json
    assert (added["run_id"], added["outcome"]) == (2, "added")
    (again,) = rsuq("db", "merge", theirs, "--db", ours, "--format", "json").json
    assert (again["run_id"], again["outcome"], again["rows"]) == (2, "same", 0)
    found, alone = (rsuq("report", "--format", "json", "--db", path).json for path in two)
    assert [one["run_id"] for one in found] == [1, 2]
    figures = ("acr_cc", "acr_ncl", "coverage", "certified_cc", "seed", "inputs")
    assert [found[1][name] for name in figures] == [alone[0][name] for name in figures]


def test_a_conflict_is_named_with_its_run(two: Any, place: Place) -> None:
    ours, _ = two
    other = place.work / "c.db"
    shutil.copy(ours, other)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("UPDATE certified_sample SET label = label + 1, correct = 0, class_index = label")
    result = rsuq("db", "merge", other, "--db", ours)
    assert result.exit_code == 4
    assert "conflict" in result.stdout
    assert "label of certified_sample (input_index 0) differs" in result.stderr


def test_a_newer_database_and_the_same_one_are_refused(two: Any) -> None:
    ours, theirs = two
    assert "is the database itself" in refused(rsuq("db", "merge", ours, "--db", ours))
    with closing(sqlite3.connect(theirs)) as connection, connection:
        connection.execute("UPDATE rsuq_version SET version_num = '9999'")
    assert "newer than this rsuq" in refused(rsuq("db", "merge", theirs, "--db", ours), exit_code=4)


def test_a_backup_is_a_database_of_its_own(two: Any, place: Place) -> None:
    ours, _ = two
    copy = place.work / "copy.db"
    assert rsuq("db", "backup", copy, "--db", ours).stdout.strip() == str(copy)
    assert (
        rsuq("report", "--format", "json", "--db", copy).json == rsuq("report", "--format", "json", "--db", ours).json
    )
    assert "--force replaces it" in refused(rsuq("db", "backup", copy, "--db", ours))
    assert rsuq("db", "backup", copy, "--db", ours, "--force").exit_code == 0
    assert "there is no database" in refused(rsuq("db", "backup", "--db", "missing.db"), exit_code=4)


def test_vacuum_says_what_it_gave_back(two: Any) -> None:
    ours, _ = two
    rows = query(ours, "SELECT * FROM certified_sample")
    said = rsuq("db", "vacuum", "--db", ours).stdout
    assert "bytes before" in said
    assert query(ours, "SELECT * FROM certified_sample") == rows
    assert "there is no database" in refused(rsuq("db", "vacuum", "--db", "missing.db"), exit_code=4)
