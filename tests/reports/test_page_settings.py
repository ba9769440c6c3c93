"""The commands that the page gives are those of the run, quoted for a shell."""

from __future__ import annotations

import dataclasses
import shlex

from rsuq_cli.console import Column, Table
from rsuq_cli.reports.page.settings import certify_commands, runs_html, table_html
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import figures
from rsuq_cli.results.runs import run_row


def test_flags_say_what_is_special_about_a_run(results: Database) -> None:
    run, (one, *_) = run_row(results, 1), figures(results, runs=[1])
    special = dataclasses.replace(
        run, dataset="folder:/my data@32", subset_limit=7, configuration={"noise": "grid", "sampling_error": 1e-9}
    )
    given = dataclasses.replace(one, threshold_coverage=None, family_size=4)
    (command,) = certify_commands(special, [given])
    words = shlex.split(command)
    assert words[:2] == ["rsuq", "certify"]
    for flag, value in {
        "--dataset": "folder:/my data", "--image-size": "32", "--limit": "7", "--noise": "grid",
        "--threshold": repr(one.threshold),
    }.items():  # fmt: skip
        assert words[words.index(flag) + 1] == value
    assert "--family-wise" in words
    assert "--coverage" not in words


def test_an_import_cannot_be_certified_again(results: Database) -> None:
    assert certify_commands(run_row(results, 3), figures(results, runs=[3])) == []


def test_table_cells_titles_and_notes_are_escaped() -> None:
    table = Table("t", [{"scoring_id": 1}], [Column("<b>\n%", lambda r: "<i>&", "left", "x")], ("<u>",))
    page = table_html(table)
    assert "&lt;b&gt;<br>%" in page
    assert "&lt;i&gt;&amp;" in page
    assert "&lt;u&gt;" in page
    assert page.count('data-scoring="1"') == 2


def test_what_the_network_computed_is_not_spelled_out(results: Database) -> None:
    run = dataclasses.replace(run_row(results, 1), configuration={"fingerprint": [[0.123456]] * 12, "sigma": 0.25})
    page = runs_html([run], [])
    assert "answers to 12 fixed inputs" in page
    assert "0.123456" not in page


def test_labels_of_a_run_are_among_its_settings(results: Database) -> None:
    run = dataclasses.replace(run_row(results, 1), name="<first>", note="a & b", tags=("thesis", "cpu"))
    page = runs_html([run], [])
    for said in ("&lt;first&gt;", "a &amp; b", "thesis, cpu"):
        assert f'<td class="left">{said}</td>' in page
