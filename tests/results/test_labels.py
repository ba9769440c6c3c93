"""Names, notes and tags: given, changed, taken away, found again; and never part of what makes a run itself."""

from __future__ import annotations

from typing import Any

import pytest

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.labels import annotate, change_tags, label, number_named, rename
from rsuq_cli.results.names import Labels
from rsuq_cli.results.runs import list_runs, run_row, where_runs
from rsuq_cli.results.writer import start_run


@pytest.fixture
def three(db: Database, made: Any) -> Database:
    """A database of the runs 1, 2 and 3."""
    for sigma in (0.12, 0.25, 0.5):
        start_run(db, made.run(sigma=sigma, configuration_hash=f"{sigma}"))
    return db


def test_a_run_is_labelled_and_found_by_its_labels(three: Database) -> None:
    assert label(three, "run", 2, Labels("baseline", ("paper", "first"))) is None
    assert label(three, "run", 3, Labels(tags=("paper",))) is None
    assert (run_row(three, 2).name, run_row(three, 2).tags) == ("baseline", ("first", "paper"))
    assert [run.id for run in list_runs(three, tags=["paper"])] == [2, 3]
    assert [run.id for run in list_runs(three, tags=["paper", "first"])] == [2]
    assert [run.id for run in list_runs(three, name="baseline")] == [2]
    assert [run.id for run in list_runs(three, where=where_runs("sigma > 0.2 and status = 'running'"))] == [2, 3]
    assert number_named(three, "run", "baseline") == 2
    assert number_named(three, "run", "3") == 3


def test_another_name_takes_the_place_of_the_first_and_tags_gather(three: Database) -> None:
    label(three, "run", 1, Labels("one", ("a",)))
    assert label(three, "run", 1, Labels("uno", ("b", "a"))) == "one"
    assert label(three, "run", 1, Labels("uno")) is None
    assert label(three, "run", 1, Labels()) is None
    assert (run_row(three, 1).name, run_row(three, 1).tags) == ("uno", ("a", "b"))


def test_labels_are_taken_away(three: Database) -> None:
    label(three, "run", 1, Labels("one", ("a", "b")))
    annotate(three, "run", 1, "with the old\nnormalisation")
    assert run_row(three, 1).note == "with the old\nnormalisation"
    rename(three, "run", 1, None)
    annotate(three, "run", 1, None)
    assert change_tags(three, "run", 1, add=["c"], remove=["a"]) == ("b", "c")
    assert (run_row(three, 1).name, run_row(three, 1).note) == (None, None)
    with pytest.raises(BadInput, match="run 1 has no tag 'a'") as caught:
        change_tags(three, "run", 1, add=["d"], remove=["b", "a"])
    assert caught.value.hint == "its tags are: b, c"
    assert run_row(three, 1).tags == ("b", "c")


def test_a_shared_name_is_ambiguous(three: Database) -> None:
    for number in (1, 3):
        label(three, "run", number, Labels("same"))
    with pytest.raises(BadInput, match="2 runs are named 'same': 1, 3"):
        number_named(three, "run", "same")


@pytest.mark.parametrize("named", ["9", "nobody", "1" * 30])
def test_nobody_has_that_name(three: Database, named: str) -> None:
    with pytest.raises(BadInput, match="there is no run"):
        number_named(three, "run", named)
    with pytest.raises(BadInput, match="there is no run 9"):
        label(three, "run", 9, Labels("x"))


@pytest.mark.parametrize("name", ["", "  ", "7", "two\nlines", "x" * 61, "bell\a"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(BadInput, match=r"is no name|taken for a number"):
        Labels(name)


@pytest.mark.parametrize("tag", ["", "two words", "a,b", "x" * 61])
def test_what_is_no_tag(tag: str) -> None:
    with pytest.raises(BadInput, match="is no tag"):
        Labels(tags=(tag,))


def test_labels_change_no_key(three: Database, made: Any) -> None:
    label(three, "run", 2, Labels("named", ("tagged",)))
    handle = start_run(three, made.run(sigma=0.25, configuration_hash="0.25"))
    assert (handle.id, handle.created) == (2, False)
