"""A new row of the table of figures is a column of every report, a name in JSON and a tile of the page, by itself."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import drive
from made_up import made_up_run

from rsuq_cli.results.database import open_for_writing

# As on a branch that adds a term and a figure to the table, and nothing else.
BRANCH = """
import sys
import rsuq_cli.certificates.definitions as definitions
from rsuq_cli.certificates.definitions import Figure, Term
definitions.TERMS["confidently_wrong"] = Term(
    "confidently_wrong", "decision = 'certain' AND class_index <> label", lambda at: at.answered & ~at.named
)
definitions.FIGURES += (
    Figure("wrong_share", "confidently_wrong", title="wrongly", tile="confidently wrong %", better="less"),
    Figure("wrong_of_answered", "confidently_wrong", "answered", title="of answered"),
)
import json
from rsuq_cli.app import app
from typer.testing import CliRunner
outcomes = [CliRunner().invoke(app, words, catch_exceptions=False) for words in json.loads(sys.argv[1])]
print(json.dumps([[outcome.exit_code, outcome.stdout] for outcome in outcomes]))
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("branch") / "a.db"
    with open_for_writing(path) as db:
        made_up_run(db, coverages=(0.8,), measures=("margin",))
    return path


@dataclass(frozen=True)
class Printed:
    """What the commands of the branch print, and the page that one of them writes."""

    report: str
    table: str
    sweep: str
    sheet: str
    page: Path


@pytest.fixture(scope="module")
def printed(database: Path) -> Printed:
    page = database.with_name("page.html")
    commands = (
        ("report", "--format", "json"), ("report",),
        ("rescore", "1", "--uncertainty", "margin", "--sweep", "--format", "csv"),
        ("runs", "show", "1", "--format", "json"), ("report", "--html", str(page)),
    )  # fmt: skip
    asked = json.dumps([[*words, "--db", str(database)] for words in commands])
    done = subprocess.run([sys.executable, "-c", BRANCH, asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert [code for code, _ in outcomes] == [0] * len(commands)
    report, table, sweep, sheet, _ = (text for _, text in outcomes)
    return Printed(report, table, sweep, sheet, page)


def wrong(database: Path) -> tuple[int, int, int]:
    with open_for_writing(database) as db, db.read() as connection:
        confidently, answered, inputs = connection.exec_driver_sql(
            "SELECT SUM(decision = 'certain' AND class_index <> label), SUM(decision = 'certain'), COUNT(*) "
            "FROM certified_sample"
        ).one()
    return confidently, answered, inputs


def test_it_is_in_every_report(database: Path, printed: Printed) -> None:
    confidently, answered, inputs = wrong(database)
    assert 0 < confidently < answered < inputs
    (record,) = json.loads(printed.report)
    assert record["wrong_share"] == confidently / inputs
    assert record["wrong_of_answered"] == confidently / answered
    assert record["intervals"]["wrong_share"]["value"] == confidently / inputs
    assert "wrongly" in printed.table
    assert f"{100 * confidently / inputs:.2f}" in printed.table
    thresholds = list(csv.DictReader(io.StringIO(printed.sweep)))
    assert thresholds
    assert all(0 <= float(row["wrong_share"]) <= 1 for row in thresholds)
    sheet = json.loads(printed.sheet)
    assert sheet["figures"][0]["wrong_share"] == confidently / inputs


def test_it_is_on_the_page(database: Path, printed: Printed, tmp_path: Path) -> None:
    confidently, answered, inputs = wrong(database)
    tiles = drive(
        tmp_path, printed.page.read_text(encoding="utf-8"),
        """
        return Object.fromEntries([...document.querySelectorAll("#tiles dd")].map(
          (tile) => [tile.dataset.figure, [tile.previousSibling.textContent, JSON.parse(tile.dataset.value)]]));
        """,
    )  # fmt: skip
    assert tiles["wrong_share"] == ["confidently wrong %", pytest.approx(confidently / inputs)]
    assert tiles["wrong_of_answered"] == ["of answered", pytest.approx(confidently / answered)]
