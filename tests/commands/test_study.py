"""`rsuq study`: a grid run to its end, gone on with, and told; what the report says of it."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commandline import Result, query, refused, rsuq, snapshot, start, stop_when
from conftest import Place, isolated
from scipy.stats import norm

PLAN = """
name = "small"
sigma = 0.25
coverage = [0.9, 0.8]
network = ["mlp", "cnn"]
source = ["entropy", "margin"]
train = { epochs = 1 }
certify = { n0 = 20, n = 100, limit = 6 }
"""
OOD = 'ood = { sets = ["noise:smooth"], limit = 6 }\n'


def plan(place: Place, text: str = PLAN) -> Path:
    path = place.work / "plan.toml"
    path.write_text(text)
    return path


@dataclass(frozen=True)
class Studied:
    """A plan, the database of its study that ran to the end, and what that printed."""

    text: str
    database: Path
    printed: Result

    def begin(self, place: Place) -> Result:
        """Makes the finished study that of the place, and returns what it printed."""
        plan(place, self.text)
        shutil.copy(self.database, place.database)
        return self.printed


def _studied(text: str, folder: Path) -> Studied:
    with pytest.MonkeyPatch.context() as monkeypatch:
        place = isolated(monkeypatch, folder)
        printed = rsuq("study", plan(place, text))
    assert printed.exit_code == 0, printed.stderr
    return Studied(text, place.database, printed)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    return _studied(PLAN, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def small_with_ood(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    return _studied(PLAN + OOD, tmp_path_factory.mktemp("ood"))


def cells(place: Place) -> list[Any]:
    return query(
        place.database,
        "SELECT run.kind, network, objective, study_run.sigma, study_run.seed, run.model FROM study_run "
        "JOIN run ON run.id = run_id ORDER BY run_id",
    )


def test_it_trains_certifies_and_compares_every_cell(place: Place, small_with_ood: Studied) -> None:
    result = small_with_ood.begin(place)
    assert cells(place) == [
        (kind, network, "gaussian", 0.25, 0, network) for network in ("mlp", "cnn") for kind in ("certify", "ood")
    ]
    for title in ("study small: networks", "study small: sources of uncertainty", "ranking"):
        assert title in result.stdout
    again = rsuq("report", "--study", "small")
    assert again.stdout == result.stdout


def test_it_is_shown_as_a_page_and_a_picture(place: Place, small: Studied) -> None:
    small.begin(place)
    shown = rsuq("report", "--study", "small", "--html", "a.html", "--plot", "a.svg")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout == rsuq("report", "--study", "small").stdout
    page = (place.work / "a.html").read_text()
    assert "Which source to use, what it buys, what it costs" in page
    assert "gains most at coverage 0.9" in page
    assert (place.work / "a.svg").read_text().startswith("<?xml")
    assert "exists" in refused(rsuq("report", "--study", "small", "--html", "a.html"))
    assert "no --panels" in refused(rsuq("report", "--study", "small", "--plot", "b.svg", "--panels", "risk"))
    assert not (place.work / "b.svg").exists()
    # Another view of the same runs is the page of these runs.
    assert rsuq("report", "--study", "small", "--masses", "--html", "b.html").exit_code == 0
    assert "Masses: what the average radius does not show" in (place.work / "b.html").read_text()


def test_again_it_samples_nothing_and_says_the_same(place: Place, small: Studied) -> None:
    first = small.begin(place)
    before = query(place.database, "SELECT run_id, input_index, counts FROM evidence ORDER BY 1, 2")
    again = rsuq("study", plan(place))
    assert again.stdout == first.stdout
    assert again.stderr.count("nothing to do") == 2
    assert query(place.database, "SELECT run_id, input_index, counts FROM evidence ORDER BY 1, 2") == before


def test_the_same_runs_are_found_by_the_commands(place: Place, small: Studied) -> None:
    small.begin(place)
    train = rsuq("train", "--model", "mlp", "--epochs", "1")
    assert "trained already: checkpoint 1" in train.stderr
    flags = ("--uncertainty", "entropy", "--coverage", "0.9", "--coverage", "0.8", "--n0", 20, "--n", 100, "--limit", 6)
    certify = rsuq("certify", "--model", "mlp", *flags, "--uncertainty", "margin")
    assert "run 1: all 6 inputs are sampled already" in certify.stderr


def test_a_cell_that_fails_is_told_and_skipped(place: Place) -> None:
    (place.work / "broken.py").write_text("def make(num_classes):\n    raise ValueError('no such layer')\n")
    text = PLAN.replace('["mlp", "cnn"]', '["broken.py:make", "mlp"]')
    result = rsuq("study", plan(place, text))
    assert result.exit_code == 3
    assert "failed: train broken.py:make, gaussian, σ 0.25, seed 0" in result.stderr
    assert "no such layer" in result.stderr
    assert "failed: certify broken.py:make, gaussian, σ 0.25, seed 0, one pass: there is no network" in result.stderr
    assert "2 jobs of the study failed" in result.stderr.splitlines()[-1]
    assert [row[1] for row in cells(place)] == ["mlp"]
    assert "study small: sources" in result.stdout


def test_a_network_that_the_failed_one_would_have_begun_is_skipped_too(place: Place) -> None:
    tuned = '[[objective]]\nobjective = "gaussian"\n[[objective]]\nobjective = "gaussian"\nlabel = "tuned"\n'
    text = PLAN.replace('["mlp", "cnn"]', '"mlp"') + tuned + 'init = "gaussian"\n'
    result = rsuq("study", plan(place, text))
    assert result.exit_code == 0, result.stderr
    assert [row[2] for row in cells(place)] == ["gaussian", "tuned"]
    ((kept,),) = query(place.database, "SELECT configuration FROM checkpoint WHERE id = 2")
    assert '"checkpoint": 1' in kept


def test_a_plan_that_shrinks_leaves_the_other_runs_outside(place: Place, small: Studied) -> None:
    small.begin(place)
    result = rsuq("study", plan(place, PLAN.replace('["mlp", "cnn"]', '"mlp"')))
    assert "1 runs are no longer part of the plan" in result.stderr
    assert [row[1] for row in cells(place)] == ["mlp"]
    assert query(place.database, "SELECT COUNT(*) FROM run") == [(2,)]


def test_a_dry_run_says_what_is_finished_and_what_the_rest_costs(place: Place, small_with_ood: Studied) -> None:
    path = plan(place, PLAN + OOD)
    before = snapshot(place.work)
    first = rsuq("study", path, "--dry-run", "--format", "json").json
    assert snapshot(place.work) == before
    assert [(step["job"], step["network"], step["finished"], step["samples"]) for step in first] == [
        (job, network, 0, samples)
        for network in ("mlp", "cnn")
        for job, samples in (("train", 0), ("certify", 720), ("ood", 720))
    ]
    assert all(step["seconds"] > 0 for step in first)
    assert all(step["bytes"] > 0 for step in first if step["job"] == "certify")
    # All of n = 100 votes for one class: alpha^(1/n) is the lower bound of its mass.
    ceiling = 0.25 * norm.ppf(0.001 ** (1 / 100))
    assert [step["ceiling"] for step in first if step["job"] == "certify"] == [pytest.approx(ceiling)] * 2
    small_with_ood.begin(place)
    left = rsuq("study", path, "--dry-run", "--format", "json").json
    assert [(step["finished"], step["samples"], step["seconds"]) for step in left] == [
        (total, 0, 0.0) for _ in range(2) for total in (1, 6, 12)
    ]
    assert "none" in rsuq("study", path, "--dry-run").stdout


def test_a_plan_to_begin_with_is_written_once(place: Place) -> None:
    assert rsuq("study", "--init", "plan.toml").exit_code == 0
    assert "plan.toml exists" in refused(rsuq("study", "--init", "plan.toml"))
    table = rsuq("study", "plan.toml", "--dry-run").stdout
    assert "0 of 100 inputs" in table


def test_what_cannot_be_asked_is_one_line(place: Place, small: Studied) -> None:
    assert "no plan is named" in refused(rsuq("study"))
    assert "cannot read nowhere.toml" in refused(rsuq("study", "nowhere.toml"))
    assert "both a plan and --init" in refused(rsuq("study", "a.toml", "--init", "b.toml"))
    assert "did you mean certify?" in refused(rsuq("study", plan(place, PLAN + "certfy = 1\n")))
    assert not place.database.exists()
    small.begin(place)
    assert "did you mean small?" in refused(rsuq("report", "--study", "smal"))


def test_machines_get_every_source_with_its_intervals(place: Place, small_with_ood: Studied) -> None:
    small_with_ood.begin(place)
    records = rsuq("report", "--study", "small", "--format", "json").json
    assert len(records) == 2 * 2 * 2
    assert {record["predictor"] for record in records} == {"one pass"}
    for record in records:
        assert record["gain_interval"]["low"] <= record["gain"] <= record["gain_interval"]["high"]
        assert 0 <= record["best"] <= 1
        assert 0 <= record["auroc_smoothed"] <= 1
    figures = rsuq("report", "--format", "json").json
    assert [record["acr_ncl"] for record in records if record["network"] == "mlp"] == [
        one["acr_ncl"] for _ in [0] for one in sorted(
            (one for one in figures if one["model"] == "mlp"),
            key=lambda one: (-one["threshold_coverage"], one["scoring_id"]),
        )
    ]  # fmt: skip


@pytest.mark.slow
def test_killed_four_times_it_ends_as_if_nothing_had_happened(place: Place) -> None:
    text = PLAN.replace("n = 100, limit = 6", "n = 4000, limit = 40").replace("epochs = 1", "epochs = 30")
    tuned = '[[objective]]\nobjective = "gaussian"\n[[objective]]\nobjective = "gaussian"\nlabel = "tuned"\n'
    path = plan(place, text + tuned + 'init = "gaussian"\n')
    whole = place.work / "whole.db"
    expected = rsuq("study", path, "--db", whole, "--checkpoint-dir", place.work, "--format", "json")
    assert expected.exit_code == 0, expected.stderr

    def reached(number: int) -> bool:
        made = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'evidence'"
        if not (place.database.exists() and query(place.database, made)[0][0]):
            return False
        trained, inputs = (
            query(place.database, f"SELECT COUNT(*) FROM {table}")[0][0] for table in ("checkpoint", "evidence")
        )
        return bool(trained + inputs >= number)

    for number in (1, 20, 60, 110):
        process = start("study", path)
        killed = stop_when(process, partial(reached, number), signal.SIGKILL)
        assert killed.exit_code == -signal.SIGKILL
    completed = rsuq("study", path, "--format", "json")
    assert completed.exit_code == 0, completed.stderr
    evidence = (
        "SELECT network, objective, input_index, counts FROM evidence JOIN study_run USING (run_id) ORDER BY 1, 2, 3"
    )
    assert query(place.database, evidence) == query(whole, evidence)
    incidental = ("created_at", "run_id", "scoring_id", "checkpoint_id", "source", "warnings")
    kept = [
        [{k: v for k, v in record.items() if k not in incidental} for record in result.json]
        for result in (expected, completed)
    ]
    assert kept[0] == kept[1]


ASKED = """
name = "asked"
sigma = 0.25
seed = [0, 1]
coverage = 0.9
network = "mlp"
source = [
    { uncertainty = ["margin", "own_margin"], members = true },
    { uncertainty = "mutual_information", mc_dropout = 0.2, passes = 2 },
]
train = { epochs = 1 }
certify = { n0 = 20, n = 100, limit = 6 }
"""


def test_ensembles_and_dropout_are_sources_and_the_same_runs_as_of_the_commands(place: Place) -> None:
    ahead = rsuq("study", plan(place, ASKED + OOD), "--dry-run", "--format", "json")
    assert ahead.exit_code == 0, ahead.stderr
    assert {(one["predictor"], one["seed"]) for one in ahead.json if one["job"] == "certify"} == {
        ("mean of 2 networks", 1), ("mean of 2 dropout masks", 0), ("mean of 2 dropout masks", 1),
    }  # fmt: skip
    result = rsuq("study", plan(place, ASKED + OOD))
    assert result.exit_code == 0, result.stderr
    assert "mean of 2 networks" in result.stdout
    after = rsuq("study", plan(place, ASKED + OOD), "--dry-run", "--format", "json")
    assert [one["samples"] for one in after.json if one["job"] != "train"] == [0] * 6
    flags = ("--model", "mlp", "--checkpoint", 2, "--n0", 20, "--n", 100, "--limit", 6)
    for asked in (
        ("--members", 1, "--uncertainty", "margin", "--uncertainty", "own_margin"),
        ("--mc-dropout", 0.2, "--passes", 2, "--uncertainty", "mutual_information"),
    ):
        assert "nothing to do" in rsuq("certify", *flags, *asked).stderr


def test_an_ensemble_of_which_a_network_is_missing_is_told_and_skipped(place: Place) -> None:
    broken = ASKED + "[[override]]\nseed = 0\ntrain = { batch_size = 0 }\n"
    result = rsuq("study", plan(place, broken))
    assert result.exit_code != 0
    assert "mean of 2 networks: there is no network of mlp, gaussian, σ 0.25, seed 0" in result.stderr
    assert query(place.database, "SELECT COUNT(*) FROM run") == [(1,)]


def test_a_network_that_is_there_for_the_ensemble_only_is_trained_and_told(place: Place) -> None:
    written = ASKED.replace('    { uncertainty = "mutual_information", mc_dropout = 0.2, passes = 2 },\n', "")
    ahead = rsuq("study", plan(place, written), "--dry-run", "--format", "json")
    assert [(one["job"], one["seed"]) for one in ahead.json] == [("train", 0), ("train", 1), ("certify", 1)]
    result = rsuq("study", plan(place, written))
    assert result.exit_code == 0, result.stderr
    assert query(place.database, "SELECT COUNT(*) FROM checkpoint") == [(2,)]
    assert query(place.database, "SELECT COUNT(*) FROM run") == [(1,)]
