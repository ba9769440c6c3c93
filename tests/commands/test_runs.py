"""`rsuq runs`: what was certified is listed, shown, labelled, and deleted with what hangs on it."""

from __future__ import annotations

import io
import shlex
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import query, refused, rsuq, snapshot
from rich.console import Console
from samples import Sample, write_blobs
from typer.testing import CliRunner

from rsuq_cli.app import app
from rsuq_cli.reports.runs import age_text, bytes_text, runs_table
from rsuq_cli.results.database import open_for_reading
from rsuq_cli.results.runs import list_runs

if TYPE_CHECKING:
    from conftest import Place


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the runs 1 (two scorings, two audits), 2 (out of distribution) and 3 (interrupted)."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("filled")
        monkeypatch.setenv("RSUQ_DB", str(folder / "rsuq.db"))
        blobs = write_blobs(folder)
        rsuq("certify", *blobs.flags, "--n", 100, "--uncertainty", "entropy", "--uncertainty", "gen")
        rsuq("audit", 1, "--inputs", 1, "--steps", 2)
        rsuq("ood", *blobs.flags, "--ood", "noise:uniform", "--n", 40, "--limit", 4)
        monkeypatch.setenv("INTERRUPT_AT", "300")
        rsuq("certify", *blobs.flags, "--n", 3000, "--sigma", 0.5, "--batch-size", 64)
    return folder / "rsuq.db"


@pytest.fixture
def three(place: Place, filled: Path) -> Place:
    """A copy of it, for the test alone."""
    shutil.copy(filled, place.database)
    return place


def listed(*flags: object) -> list[int]:
    result = rsuq("runs", *flags, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return [run["id"] for run in result.json]


def test_the_list_is_what_runs_alone_does_and_fits_a_screen(three: Place) -> None:
    rsuq("runs", "name", 1, "a name that is too long for a list")
    rsuq("runs", "tag", 1, "paper", "first")
    lines = rsuq("runs").stdout.splitlines()
    assert rsuq("runs", "list").stdout.splitlines()[0] == lines[0]
    text = "\n".join(lines)
    for shown in ("a name t", "…", "12/12", "interrupted", "complete", "ood", "blobs.py:m"):
        assert shown in text, shown
    assert max(map(len, lines)) <= 100  # and in a pipe nothing is folded
    first = rsuq("runs", "--format", "json").json[0]
    assert (first["name"], first["tags"], first["scorings"]) == (
        "a name that is too long for a list", ["first", "paper"], 2,
    )  # fmt: skip
    assert [run["id"] for run in rsuq("db", "runs", "--format", "json").json] == [1, 2, 3]


def test_the_longest_list_fits_a_screen_of_100_columns(three: Place) -> None:
    with open_for_reading(three.database) as results:
        runs = list_runs(results)
    long = replace(
        runs[0], id=123, name="n" * 60, tags=("t" * 60,), model="/a/b/network.py:make_a_resnet", sigma=0.125,
        dataset="folder:/data/photographs-of-pets", n=100_000, inputs=10_000, finished=9_999, status="interrupted",
    )  # fmt: skip
    console = Console(width=100, file=io.StringIO())
    with console.capture() as capture:
        runs_table([*runs, long]).print_rich(console)
    lines = capture.get().splitlines()
    assert len(lines) == 3 + 4  # a title, the head and its rule, a row for each: nothing is folded
    assert max(map(len, lines)) <= 100
    assert "9,999/10,000  interrupted" in capture.get()


def test_the_list_is_filtered_by_labels_and_by_settings(three: Place) -> None:
    rsuq("runs", "tag", 1, "paper")
    rsuq("runs", "tag", 3, "paper", "wide")
    rsuq("runs", "name", 2, "elsewhere")
    assert listed("--tag", "paper") == [1, 3]
    assert listed("--tag", "paper", "--tag", "wide") == [3]
    assert listed("--name", "elsewhere") == [2]
    assert listed("--where", 'status = "interrupted" and sigma > 0.3') == [3]
    assert listed("list", "--where", "scorings = 2") == [1]
    assert listed("--name", "nobody") == []
    assert "there is no column 'sigmaa'" in refused(rsuq("runs", "--where", "sigmaa = 1"))


def test_one_run_is_shown_with_everything_about_it(three: Place) -> None:
    rsuq("runs", "name", 1, "baseline")
    rsuq("runs", "note", 1, "seen twice")
    result = rsuq("runs", "show", "baseline")
    assert result.exit_code == 0
    for shown in (
        "run 1", "seen twice", "12 of 12 inputs", "evidence of 12 inputs", "2 scorings with 24 certificates",
        "2 audits of", "rsuq certify --model", "weights_sha256 = ", "torch", "broken 0 of 1 standard balls",
    ):  # fmt: skip
        assert shown in result.stdout, shown
    record = rsuq("runs", "show", 1, "--format", "json").json
    assert record["configuration"]["n"] == 100
    assert [one["measure"] for one in record["figures"]] == ["entropy", "gen"]
    assert record["hanging"]["certificates"] == 24
    assert {one["guarantee"] for one in record["audits"]} <= {"standard", "cc", "ncl"}


def test_an_interrupted_run_shows_the_command_that_goes_on(three: Place) -> None:
    shown = rsuq("runs", "show", 3).stdout
    assert "interrupted: " in shown
    (command,) = rsuq("runs", "show", 3, "--format", "json").json["commands"]
    assert command in shown
    before = query(three.database, "SELECT COUNT(*) FROM run")[0][0]
    assert rsuq(*shlex.split(command)[1:]).exit_code == 0
    assert query(three.database, "SELECT COUNT(*) FROM run")[0][0] == before
    assert rsuq("runs", "show", 3, "--format", "json").json["status"] == "complete"


def test_the_command_of_an_ood_run_finds_the_same_run(three: Place) -> None:
    (command,) = rsuq("runs", "show", 2, "--format", "json").json["commands"]
    assert "--ood noise:uniform" in command
    assert rsuq(*shlex.split(command)[1:]).exit_code == 0
    assert listed() == [1, 2, 3]


def test_labels_are_given_and_taken_away(three: Place) -> None:
    assert "run 1 is named baseline" in rsuq("runs", "name", 1, "baseline").stderr
    assert "run 1 has the tags: a, b" in rsuq("runs", "tag", "baseline", "b", "a").stderr
    assert "run 1 has the tags: b, c" in rsuq("runs", "tag", 1, "c", "--remove", "a").stderr
    assert "run 1 has no name now" in rsuq("runs", "name", 1, "--clear").stderr
    assert rsuq("runs", "note", 1, "a note").exit_code == 0
    assert "run 1 has no note now" in rsuq("runs", "note", 1, "--clear").stderr
    run = rsuq("runs", "show", 1, "--format", "json").json
    assert (run["name"], run["note"], run["tags"]) == (None, None, ["b", "c"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("name", 1), "give either a name or --clear"),
        (("name", 1, "x", "--clear"), "give either a name or --clear"),
        (("name", 1, "12"), "would be taken for a number"),
        (("name", 9, "x"), "there is no run 9"),
        (("note", 1, " "), "the note is empty"),
        (("tag", 1), "no tag is named"),
        (("tag", 1, "two words"), "is no tag"),
        (("tag", 1, "--remove", "x"), "run 1 has no tag 'x'"),
        (("show", "nobody"), "there is no run 'nobody'"),
        (("delete", 1, 9, "--yes"), "there is no run 9"),
        (("delete", 1), "there is no terminal to ask at"),
    ],
)
def test_what_is_refused_changes_nothing(three: Place, arguments: tuple[object, ...], says: str) -> None:
    before = snapshot(three.root)
    assert says in refused(rsuq("runs", *arguments))
    assert snapshot(three.root).keys() == before.keys()
    assert listed() == [1, 2, 3]


def test_nothing_is_made_where_there_is_no_database(place: Place) -> None:
    for command in (("list",), ("show", 1), ("name", 1, "x"), ("delete", 1, "--yes")):
        assert "there is no database" in refused(rsuq("runs", *command), 4)
    assert snapshot(place.root) == {}


def test_deleting_says_what_goes_and_makes_a_backup_first(three: Place) -> None:
    result = rsuq("runs", "delete", 1, 2, 1, "--yes")
    assert result.exit_code == 0
    assert "2 scorings with 24 certificates, 2 audits" in result.stderr
    assert "out-of-distribution scores" in result.stderr
    assert "deleted 2 runs" in result.stderr
    assert listed() == [3]
    (backup,) = three.work.glob("rsuq.backup-*.db")
    assert str(backup) in result.stderr
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM run").fetchone() == (3,)
    for table in ("evidence", "bin_edges", "scoring", "ood_score", "metric"):
        assert query(three.database, f"SELECT COUNT(*) FROM {table} WHERE run_id < 3") == [(0,)]
    assert query(three.database, "SELECT COUNT(*) FROM audit") == [(0,)]
    assert rsuq("db", "check").exit_code == 0
    assert rsuq("runs", "delete", 3, "--yes", "--no-backup").exit_code == 0
    assert len(list(three.work.glob("rsuq.backup-*.db"))) == 1


def test_at_a_terminal_it_asks_and_no_is_no(three: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsuq_cli.commands.asking.sys", _Terminal())
    no = CliRunner().invoke(app, ["runs", "delete", "1"], input="n\n")
    assert no.exit_code == 0
    assert "Delete 1 run? [y/N]" in no.stderr
    assert "nothing is deleted" in no.stderr
    assert "nothing is deleted" in CliRunner().invoke(app, ["runs", "delete", "1"], input="").stderr
    assert listed() == [1, 2, 3]
    assert CliRunner().invoke(app, ["runs", "delete", "1"], input="y\n").exit_code == 0
    assert listed() == [2, 3]


class _Terminal:
    class stdin:  # noqa: N801
        @staticmethod
        def isatty() -> bool:
            return True


def test_a_run_that_is_being_written_is_kept_unless_forced(three: Place) -> None:
    with closing(sqlite3.connect(three.database)) as connection, connection:
        connection.execute("UPDATE run SET status = 'running' WHERE id = 3")
    assert "run 3 is being written" in refused(rsuq("runs", "delete", 3, "--yes"))
    assert rsuq("runs", "delete", 3, "--yes", "--force").exit_code == 0
    assert listed() == [1, 2]


def test_the_number_of_a_deleted_run_stands_for_nothing_else(three: Place, blobs: Sample) -> None:
    rsuq("runs", "delete", 3, "--yes")
    assert rsuq("certify", *blobs.flags, "--n", 100, "--sigma", 0.7).exit_code == 0
    assert 3 not in listed()
    assert "there is no run 3" in refused(rsuq("rescore", 3))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-5, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7300, "2 h"),
     (200_000, "2 d")],
)  # fmt: skip
def test_how_long_ago(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert age_text((now - timedelta(seconds=seconds)).isoformat(), now) == text


def test_sizes() -> None:
    assert [bytes_text(size) for size in (0, 999, 1000, 2_500_000, 3e9)] == [
        "0 bytes", "999 bytes", "1.0 kB", "2.5 MB", "3.0 GB",
    ]  # fmt: skip


# Labels that are given with the command that makes a run


def test_a_run_is_labelled_as_it_is_made_and_found_whatever_its_name(place: Place, blobs: Sample) -> None:
    flags = ("certify", *blobs.flags, "--n", 100)
    first = rsuq(*flags, "--name", "one", "--tag", "paper", "--tag", "first", "--format", "json")
    assert (first.json[0]["name"], first.json[0]["tags"]) == ("one", ["first", "paper"])
    again = rsuq(*flags, "--name", "uno", "--tag", "second", "--format", "json")
    assert (again.json[0]["run_id"], again.json[0]["name"]) == (1, "uno")
    assert "run 1 is named uno now, no longer one" in again.stderr
    assert "nothing to do" in again.stderr
    kept = rsuq(*flags, "--format", "json")
    assert (kept.json[0]["name"], kept.json[0]["tags"]) == ("uno", ["first", "paper", "second"])
    assert "is named" not in kept.stderr


def test_reports_are_filtered_by_labels(place: Place, blobs: Sample) -> None:
    for sigma, labels in ((0.2, ("--name", "low", "--tag", "a")), (0.3, ("--tag", "a", "--tag", "b")), (0.4, ())):
        rsuq("certify", *blobs.flags, "--n", 100, "--sigma", sigma, *labels)
    rsuq("ood", *blobs.flags, "--ood", "noise:uniform", "--n", 40, "--limit", 4, "--tag", "b")

    def reported(*flags: object) -> list[float]:
        return [one["sigma"] for one in rsuq("report", *flags, "--format", "json").json]

    assert reported("--tag", "a") == [0.2, 0.3]
    assert reported("--tag", "a", "--tag", "b") == [0.3]
    assert reported("--name", "low") == [0.2]
    assert reported("--where", "name = 'low' or sigma > 0.35") == [0.2, 0.4]
    assert "no certified inputs match" in refused(rsuq("report", "--name", "nobody"))
    assert rsuq("report", "--ood", "--tag", "b").exit_code == 0
    assert "no out-of-distribution runs match" in refused(rsuq("report", "--ood", "--tag", "a"))


@pytest.mark.parametrize("command", ["certify", "ood", "train"])
def test_a_bad_label_is_refused_before_anything_is_done(place: Place, command: str) -> None:
    more = ("--ood", "constant") if command == "ood" else ()
    assert "would be taken for a number" in refused(rsuq(command, *more, "--name", "7"))
    assert "is no tag" in refused(rsuq(command, *more, "--tag", "a b"))
    assert snapshot(place.root) == {}
