"""Every cell that people read is that of the record that machines get: no figure stands under another's title.

Each view is asked for as Markdown and as JSON, and every cell is computed again here from the record, by a table of
titles. A column that this table does not have fails too, so whoever adds one says here what it shows.
"""

from __future__ import annotations

import math
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import query, rsuq
from made_up import imported_run, made_up_run
from samples import write_blobs

from rsuq_cli.reports.audit import audit_table
from rsuq_cli.results.audits import AuditSummary
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.rows import NewCheckpoint
from rsuq_cli.results.writer import record_checkpoint

if TYPE_CHECKING:
    from conftest import Place

Record = dict[str, Any]
Cell = Callable[[Record], str]
NOTHING = "-"


def percent(name: str, digits: int = 2) -> Cell:
    """A share in percent."""
    return lambda r: NOTHING if r[name] is None else f"{100 * r[name]:.{digits}f}"


def fixed(name: str) -> Cell:
    """A number in four decimals."""
    return lambda r: NOTHING if r[name] is None else f"{r[name]:.4f}"


def with_ends(name: str) -> Cell:
    """A share in percent with its interval, where the record has all three as one."""
    return lambda r: "{value:.2f} [{low:.1f}, {high:.1f}]".format_map({k: 100 * v for k, v in r[name].items()})


def down(name: str) -> Cell:
    """A radius in four decimals, never more than it is."""
    return lambda r: f"{math.floor(r[name] * 1e4 + 1e-9) / 1e4:.4f}"


def short(name: str) -> Cell:
    return lambda r: NOTHING if r[name] is None else f"{r[name]:.4g}"


def plain(name: str) -> Cell:
    return lambda r: NOTHING if r[name] is None else str(r[name])


def count(name: str) -> Cell:
    return lambda r: NOTHING if r[name] is None else f"{r[name]:,}"


def spread(name: str, shown: Cell) -> Cell:
    """A share with its interval beside it."""

    def cell(record: Record) -> str:
        share = record["intervals"][name]
        return f"{shown(record)} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"

    return cell


COMPARISON: dict[str, Cell] = {
    "scoring": plain("scoring_id"),
    "run": plain("run_id"),
    "model": plain("model"),
    "data set": plain("dataset"),
    "σ": plain("sigma"),
    "inputs": count("inputs"),
    "n0 + n": lambda r: f"{r['n0']:,} + {r['n']:,}",
    "α": plain("alpha"),
    "rule": plain("rule"),
    "source": lambda r: r["source"] if r["kind"] == "import" else "",
    "uncertainty": plain("measure"),
    "θ": short("threshold"),
    "coverage %": percent("coverage"),
    "accuracy %": percent("clean_accuracy"),
    "abstain %": percent("abstention"),
    "ACR standard": fixed("acr_standard"),
    "ACR CC": fixed("acr_cc"),
    "ACR NCL": fixed("acr_ncl"),
    "gain %": percent("gain"),
    "CC cost %": percent("cc_cost"),
    "ceiling %": percent("at_ceiling"),
}
SHARES = {
    "coverage %": "coverage",
    "accuracy %": "clean_accuracy",
    "abstain %": "abstention",
    "ceiling %": "at_ceiling",
}
OF_ALL = "scoring", "coverage %", "accuracy %", "ACR standard", "ACR CC", "ACR NCL", "gain %", "CC cost %", "ceiling %"
CLASSES: dict[str, Cell] = {
    "scoring": plain("scoring_id"),
    "model": plain("model"),
    "uncertainty": plain("measure"),
    "class": plain("label"),
    "inputs": count("inputs"),
    "accuracy %": with_ends("clean_accuracy"),
    "coverage %": with_ends("coverage"),
    "confidently wrong %": with_ends("wrong_with_confidence"),
    "ACR standard": fixed("acr_standard"),
    "ACR CC": fixed("acr_cc"),
    "ACR NCL": fixed("acr_ncl"),
}
CEILING: dict[str, Cell] = {
    "scoring": plain("scoring_id"),
    "model": plain("model"),
    "uncertainty": plain("measure"),
    "σ": plain("sigma"),
    "n": count("n"),
    "ceiling": down("ceiling"),
    "at ceiling %": with_ends("at_ceiling"),
    "of right %": percent("of_right"),
    "of ACR %": percent("of_acr"),
}
INPUTS: dict[str, Cell] = {
    "scoring": plain("scoring_id"),
    "input": plain("input_index"),
    "label": plain("label"),
    "class": plain("class_index"),
    "decision": plain("decision"),
    "radius standard": down("radius_standard"),
    "radius CC": down("radius_cc"),
    "radius NCL": down("radius_ncl"),
    "ceiling": lambda r: "yes" if r["at_ceiling"] else "",
}
GUARANTEES = {"standard": "standard", "cc": "CC", "ncl": "NCL"}


def _paired(name: str) -> Cell:
    return lambda r: f"{r[name]:.4f}" if r["figure"] == "acr" else f"{100 * r[name]:.2f}"


def _difference(record: Record) -> str:
    digits, scale = (4, 1) if record["figure"] == "acr" else (2, 100)
    value, low, high = (f"{scale * record[f'difference{end}']:+.{digits}f}" for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


PAIRED: dict[str, Cell] = {
    "guarantee": lambda r: GUARANTEES[r["guarantee"]],
    "figure": lambda r: "ACR" if r["figure"] == "acr" else f"certified % at {r['radius']:g}",
    "first": _paired("first"),
    "second": _paired("second"),
    "difference": _difference,
    "only first": count("only_first"),
    "only second": count("only_second"),
    "p": lambda r: "<0.0001" if r["p_value"] < 1e-4 else f"{r['p_value']:.4f}",
}
AUDIT: dict[str, Cell] = {
    "scoring": plain("scoring_id"),
    "uncertainty": plain("measure"),
    "θ": short("threshold"),
    "guarantee": lambda r: GUARANTEES[r["guarantee"]],
    "attacked": count("attacked"),
    "broken": count("broken"),
    "nearest: input": plain("nearest_input"),
    "distance": fixed("nearest_distance"),
    "mass found": fixed("nearest_mass"),
    "mass allowed": fixed("nearest_bound"),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sampled runs that differ in every setting that a column can show, and an imported log."""
    path = tmp_path_factory.mktemp("cells") / "rsuq.db"
    with open_for_writing(path) as db:
        same = [at * 7 % 10 for at in range(60)]
        made_up_run(db, labels=same)
        made_up_run(db, model="mlp", dataset="pets", sigma=0.5, seed=1, n0=30, n=300, measures=("confidence",),
                    coverages=(0.8,), rule="plurality", inputs=range(50))  # fmt: skip
        made_up_run(db, labels=same, seed=2, measures=("entropy",), coverages=(0.9,))
        imported_run(db)
    return path


@pytest.fixture(autouse=True)
def _in_force(database: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSUQ_DB", str(database))


def tables(text: str) -> list[Record]:
    """Returns the rows of the Markdown tables in a text, by title."""
    rows: list[Record] = []
    titles: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            titles = []
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not titles:
            titles = cells
        elif not re.fullmatch(r"[\s|:-]+", line):
            rows.append(dict(zip(titles, cells, strict=True)))
    return rows


def check(expected: dict[str, Cell], *flags: object, command: str = "report") -> list[Record]:
    """Compares every cell of a view with the record; returns the cells."""
    shown, records = (rsuq(*command.split(), *flags, "--format", style) for style in ("markdown", "json"))
    assert (shown.exit_code, records.exit_code) == (0, 0), shown.stderr
    rows = tables(shown.stdout)
    assert len(rows) == len(records.json) > 0
    for row, record in zip(rows, records.json, strict=True):
        assert row == {title: expected[title](record) for title in row}
    return rows


def distinct(rows: list[Record], titles: tuple[str, ...]) -> None:
    """Sees that no two of these columns are the same: otherwise one in the other's place would not be noticed."""
    columns = {title: tuple(row[title] for row in rows if title in row) for title in titles}
    assert all(columns.values())
    assert len(set(columns.values())) == len(columns), columns


@pytest.mark.parametrize("flags", [(), (1,), (1, 2), (2,), (1, 3)], ids=str)
def test_every_cell_is_that_of_the_record(flags: tuple[int, ...]) -> None:
    rows = check(COMPARISON, *flags)
    if not flags:
        distinct(rows, OF_ALL)


def test_shares_have_their_own_intervals() -> None:
    wide = {title: spread(SHARES[title], cell) if title in SHARES else cell for title, cell in COMPARISON.items()}
    distinct(check(wide, "--intervals"), OF_ALL)


def test_figures_by_class() -> None:
    distinct(check(CLASSES, 1, "--per-class"), tuple(CLASSES)[4:])


def test_figures_at_the_ceiling() -> None:
    check(CEILING, "--at-ceiling")


def test_single_inputs() -> None:
    distinct(check(INPUTS, 1, "--inputs", "--limit", 240), tuple(INPUTS)[1:])


def test_pairs() -> None:
    distinct(check(PAIRED, "--paired", 1, 6, "--radii", "0,0.1,0.25"), tuple(PAIRED)[2:])


def test_masses() -> None:
    shown, records = (
        rsuq("report", 1, 2, "--masses", "--radii", "0,0.1", "--format", style) for style in ("markdown", "json")
    )
    every = tables(shown.stdout)
    gains, masses = ([row for row in every if title in row] for title in ("median NCL", "mass"))
    by_scoring = {str(record["scoring_id"]): record for record in records.json}
    assert len(gains) == len(by_scoring) > 1
    for row in gains:
        record = by_scoring[row["scoring"]]
        for place, radius in enumerate((0, 0.1)):
            assert row[f"gain r = {radius:g}"] == f"{100 * record['gain_at'][place]['value']:+.2f}"
        for title, cell in (
            ("median standard", fixed("median_standard")), ("median NCL", fixed("median_ncl")),
            ("gain in median %", percent("gain_in_median")), ("hardest ¼ %", percent("hardest_right")),
        ):  # fmt: skip
            assert row[title] == cell(record)
    names = {"p: votes": "p_own", "q: certain votes": "q_own", "1 - q of others": "q_not_wrong"}
    assert len(masses) == 3 * len(gains)
    for row in masses:
        quantiles = by_scoring[row["scoring"]][names[row["mass"]]]
        assert [row[f"{100 * float(share):g} %"] for share in quantiles] == [f"{q:.4f}" for q in quantiles.values()]
    distinct(masses, ("10 %", "25 %", "50 %", "75 %", "90 %"))


SWEPT: dict[str, Cell] = {title: COMPARISON[title] for title in COMPARISON if title not in ("scoring", "abstain %")} | {
    "run": plain("run_id"),
    "inputs": count("inputs"),
    "answered %": percent("sample_coverage"),
    "candidates": count("candidates"),
    "on the half that chose": lambda r: (
        f"{100 * r['value_there']:.2f} %" if r["best"] == "gain" else f"{r['value_there']:.4f}"
    ),
}
CERTIFIED = ("ACR standard", "ACR CC", "ACR NCL", "gain %", "CC cost %")


@pytest.mark.parametrize("best", ["gain", "acr_ncl", "acr_cc"])
def test_the_best_thresholds(best: str) -> None:
    rows = check(SWEPT, 1, "--best", best, "--uncertainty", "margin", "--uncertainty", "entropy", command="rescore")
    if best != "acr_cc":  # which is largest where nothing is rejected, and all radii are the same
        distinct(rows, CERTIFIED)


def test_thresholds_that_are_stored_anew() -> None:
    distinct(check(COMPARISON, 1, "--uncertainty", "margin", "--coverage", 0.8, command="rescore"), CERTIFIED)


def test_every_threshold_of_a_sweep() -> None:
    distinct(check(SWEPT, 1, "--sweep", command="rescore"), (*CERTIFIED, "coverage %", "answered %"))


RUNS: dict[str, Cell] = {
    "run": plain("id"),
    "name": lambda r: r["name"] or "",
    "tags": lambda r: ", ".join(r["tags"]),
    "kind": plain("kind"),
    "model": plain("model"),
    "data": plain("dataset"),
    "σ": plain("sigma"),
    "n": count("n"),
    "inputs": lambda r: f"{r['finished']:,}/{r['inputs']:,}",
    "status": lambda r: "running, or killed" if r["status"] == "running" else r["status"],
    "ago": lambda r: "0 s",
}
MODELS: dict[str, Cell] = {
    "id": plain("id"),
    "name": lambda r: r["name"] or "",
    "tags": lambda r: ", ".join(r["tags"]),
    "model": plain("model"),
    "data": plain("dataset"),
    "σ": plain("sigma"),
    "objective": plain("objective"),
    "clean %": percent("accuracy_clean", 1),
    "noisy %": percent("accuracy_noisy", 1),
    "runs": lambda r: str(len(r["runs"])),
    "ago": lambda r: "0 s",
}


@pytest.fixture
def _just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the tests took, what they made is new."""
    for module in ("runs", "models"):
        monkeypatch.setattr(f"rsuq_cli.reports.{module}.age_text", lambda written, moment: "0 s")


@pytest.mark.usefixtures("_just_now")
def test_the_list_of_runs(database: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shutil.copy(database, place.work / "runs.db")
    with closing(sqlite3.connect(path)) as connection, connection:  # one that is not complete
        connection.execute("DELETE FROM evidence WHERE run_id = 2 AND input_index > 20")
    monkeypatch.setenv("RSUQ_DB", str(path))
    rsuq("runs", "name", 1, "first")
    distinct(check(RUNS, command="runs"), ("run", "kind", "model", "data", "σ", "n", "inputs"))


@pytest.mark.usefixtures("_just_now")
def test_the_list_of_checkpoints(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.work / "models.db"
    with open_for_writing(path) as db:
        for at, (model, sigma) in enumerate((("cnn", 0.25), ("mlp", 0.5))):
            number = record_checkpoint(
                db,
                NewCheckpoint(model, "digits", sigma, "gaussian", f"{at}.pt", f"{at:064d}", 0.9 - at / 10, 0.7, {}),
            )
            for seed in range(2 * at + 1):
                made_up_run(db, model=model, inputs=range(3), seed=seed, checkpoint_id=number)
    monkeypatch.setenv("RSUQ_DB", str(path))
    distinct(check(MODELS, command="models"), ("id", "model", "σ", "clean %", "noisy %", "runs"))


def test_scores_of_detection_stand_under_their_sets(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the database, not a record made of them, are what the tables are held to."""
    sample = write_blobs(place.work)
    monkeypatch.setenv("RSUQ_DB", str(place.work / "ood.db"))
    sets = ("noise:smooth", "constant")
    made = rsuq("ood", *sample.flags, *(part for one in sets for part in ("--ood", one)), "--n", 60, "--limit", 6)
    assert made.exit_code == 0, made.stderr
    statement = "SELECT name, ood_set, score, value FROM metric WHERE radius IS NULL"
    metrics = {tuple(key): value for *key, value in query(place.work / "ood.db", statement)}
    text = rsuq("report", "--ood", "--details", "--format", "markdown").stdout
    (head,) = [line for line in text.splitlines() if line.startswith("| score | noise:smooth")]
    titles = [cell.strip() for cell in head.strip("|").split("|")]
    compared = 0
    for line in text[text.index(head) :].splitlines()[2:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for title, cell, following in zip(titles[1:], cells[1:], [*cells[2:], ""], strict=True):
            name = title.partition(" ")[0]
            if name in sets:
                assert cell.startswith(f"{100 * metrics['auroc', name, cells[0]]:.1f}")
                assert following == f"{100 * metrics['fpr95', name, cells[0]]:.1f}"
                compared += 1
    assert compared >= 2 * 12
    assert len({value for (name, *_), value in metrics.items() if name == "auroc"}) > 3


def test_audits() -> None:
    fields = AuditSummary.__dataclass_fields__
    numbers: Record = {name: 10 + at for at, name in enumerate(fields)}
    record: Record = numbers | {
        "measure": "margin", "threshold": 0.1234567, "guarantee": "ncl", "nearest_distance": 0.25, "nearest_mass": 0.5,
        "nearest_bound": 0.75, "attack": "pgd", "broken_inputs": (7,), "alpha": 0.001, "radius_scale": 1.5,
    }  # fmt: skip
    table = audit_table([AuditSummary(**record)])
    (row,) = table.records
    cells = {column.title.replace("\n", " "): column.cell(row) for column in table.columns}
    assert cells == {title: cell(record) for title, cell in AUDIT.items()}
    assert "balls at 1.5 times their radius" in table.title
    assert f"judged with n = {record['n']:,}, α = 0.001 over all balls" in table.title
