"""A command line that is the same on every machine: no colour, no width of a screen, and a home of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from browser import ABSENT
from commandline import rsuq
from migrated import made_once
from samples import Sample, write_blobs

from rsuq_cli.results import schema
from rsuq_cli.results.database import Database, open_for_writing

# Before torch is imported: threads cost more than they give on networks this small, and processes that a test starts
# must sum in the same order as the test itself, or their weights differ in the last bit.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a property test tries in the fast suite; `.ci/run` gives all of them the full number, by
# `-m hypothesis --hypothesis-profile=thorough`. A test that states its own number keeps it.
# No deadline: other jobs on a machine decide how long an example takes.
hypothesis.settings.register_profile("quick", max_examples=25, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=100, deadline=None)
hypothesis.settings.load_profile("quick")

# Each worker imports torch, so many of them cost more memory than they save time.
MOST_WORKERS = 8


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Shares a plain `pytest` out to the cores; tests that are named run in this process, which starts sooner.

    `-n` says otherwise, and without pytest-xdist all is as it would be without this. `--cov` has to be told by `-n`.
    """
    option = config.option
    if hasattr(config, "workerinput") or not hasattr(option, "numprocesses"):
        return
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    alone = named or cores == 1 or option.usepdb or option.collectonly or getattr(option, "cov_source", None)
    if option.numprocesses is None and not alone:
        option.numprocesses = min(cores, MOST_WORKERS)
    if option.numprocesses and option.dist == "no":
        # In order and stealing from the end, so that what a module shares is made once or twice.
        option.dist = "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    """Gives matplotlib one cache for all homes that tests make: without one it looks at every font anew."""
    if cache := getattr(config, "cache", None):
        os.environ.setdefault("MPLCONFIGDIR", str(cache.mkdir("matplotlib")))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says in the last lines how much of the page was not tested, which a skip among hundreds of dots does not."""
    skipped = [one for one in terminalreporter.stats.get("skipped", ()) if ABSENT in str(one.longrepr)]
    if skipped:
        line = f"NOT TESTED: {len(skipped)} tests of the page ({ABSENT}; on Debian: apt-get install chromium)"
        terminalreporter.write_line(line, red=True, bold=True)


@dataclass(frozen=True)
class Place:
    """Where a test's commands run: everything they may touch lies below `root`."""

    root: Path
    work: Path
    database: Path


def isolated(monkeypatch: pytest.MonkeyPatch, root: Path) -> Place:
    """Puts a home, a working directory and a database below `root` in force, and returns them."""
    for name in list(os.environ):
        if name.startswith(("RSUQ_", "XDG_")) or name in ("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "CLICOLOR_FORCE"):
            monkeypatch.delenv(name)
    home, work = root / "home", root / "work"
    work.mkdir(parents=True)
    fixed = {"NO_COLOR": "1", "TERM": "dumb", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    folders = {"HOME": home, "XDG_DATA_HOME": home / "data", "XDG_CONFIG_HOME": home / "config"}
    for name, value in {**fixed, **folders, "XDG_CACHE_HOME": home / "cache", "RSUQ_DB": work / "rsuq.db"}.items():
        monkeypatch.setenv(name, str(value))
    # A test changes a file within a second of its import, which Python's compiled code does not notice.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(work)
    return Place(root, work, work / "rsuq.db")


@pytest.fixture(scope="session", autouse=True)
def _migrated_once() -> Iterator[None]:
    """Hundreds of tests begin with a new database, and the migrations take longer than most of what they test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(schema, "migrate", made_once(schema.migrate))
        yield


@pytest.fixture(autouse=True)
def _no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has no width: a test that wants one says so. Those who run tests side by side give theirs one."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """A home, a working directory and a database of the test's own, in force."""
    return isolated(monkeypatch, tmp_path)


@pytest.fixture
def blobs(place: Place) -> Sample:
    """Three classes and a network that needs no training, written into the working directory."""
    return write_blobs(place.work)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own."""
    with open_for_writing(tmp_path / "results.db") as database:
        yield database


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a checkpoint of `mlp` for the digits at sigma 0.25, trained for two epochs. Copy it to write."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        place = isolated(monkeypatch, tmp_path_factory.mktemp("trained"))
        assert rsuq("train", "--model", "mlp", "--epochs", 2).exit_code == 0
    return place.database
