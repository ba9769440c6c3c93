"""`rsuq quickstart`, small: what it prints, and that it does nothing twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from commandline import Result, query, rsuq
from conftest import isolated

COMMAND = ("quickstart", "--n", 200, "--limit", 20)


@dataclass(frozen=True)
class Started:
    """A database that the command has filled, and what it said."""

    database: Path
    result: Result


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Started:
    with pytest.MonkeyPatch.context() as monkeypatch:
        place = isolated(monkeypatch, tmp_path_factory.mktemp("quickstart"))
        monkeypatch.setattr("rsuq_cli.jobs.training.ready.default_epochs", lambda model, dataset: 4)
        return Started(place.database, rsuq(*COMMAND))


@pytest.fixture
def started(first: Started, monkeypatch: pytest.MonkeyPatch) -> Result:
    """What the command said at first, with its database in force."""
    monkeypatch.setenv("RSUQ_DB", str(first.database))
    monkeypatch.setattr("rsuq_cli.jobs.training.ready.default_epochs", lambda model, dataset: 4)
    return first.result


def test_it_trains_certifies_and_says_what_it_means(first: Started, started: Result) -> None:
    result = started
    assert result.exit_code == 0, result.stderr
    assert "training on 1,077 inputs" in result.stderr
    for words in ("quickstart", "entropy", "margin", "certified accuracy", "What this says", "Go on with:"):
        assert words in result.stdout
    (record, _) = rsuq("report", "--format", "json").json
    assert f"is right on {100 * record['clean_accuracy']:.1f} % of 20 digits" in result.stdout
    assert f"it answers {100 * record['coverage']:.1f} %" in result.stdout
    for figure in ("acr_standard", "acr_cc", "acr_ncl"):  # the same digits in the table and in words
        assert result.stdout.count(f"{record[figure]:.4f}") >= 2
    assert record["status"] == "complete"
    assert query(first.database, "SELECT dataset FROM checkpoint") == [("digits",), ("digits-without-8,9",)]
    for words in ("held-out (near)", "noise:smooth (far)", "photo-patches (far)", "Inputs from elsewhere"):
        assert words in result.stdout


def test_again_it_shows_what_is_there_with_its_words_broken_between_words(
    first: Started, started: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsuq_cli.jobs.training.run.train", None)
    monkeypatch.setattr("rsuq_cli.sampling.engine.Engine.sample", None)
    again = rsuq(*COMMAND)
    assert again.stdout == started.stdout
    assert "nothing to do" in again.stderr
    assert "all are sampled already" in again.stderr
    assert query(first.database, "SELECT kind FROM run") == [("certify",), ("ood",)]
    monkeypatch.setenv("COLUMNS", "80")
    shown = rsuq(*COMMAND).stdout
    assert max(map(len, shown.splitlines())) <= 80
    for words in ("smoothing", "network", "abstaining"):
        assert words in shown.partition("Inputs from elsewhere")[2]
    advice = shown.partition("Go on with:")[2].splitlines()
    assert "  rsuq report --format json" in advice
    assert all(line.startswith(("  # ", "  rsuq ")) for line in advice if line)
