"""`--dry-run`: the plan and what it costs, with nothing sampled and nothing written."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import Result, query, refused, rsuq, snapshot
from samples import Sample

if TYPE_CHECKING:
    from conftest import Place

FROZEN = Path(__file__).parents[1] / "results" / "frozen"


def planned(sample: Sample, *flags: object) -> dict[str, Any]:
    result = rsuq("certify", *sample.flags, "--dry-run", "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    plan: dict[str, Any] = result.json
    return plan


def certified(sample: Sample, *flags: object) -> Result:
    result = rsuq("certify", *sample.flags, *flags)
    assert result.exit_code == 0, result.stderr
    return result


def test_a_new_run_is_planned_and_nothing_is_made(place: Place, blobs: Sample) -> None:
    before = snapshot(place.root)
    plan = planned(blobs, "--n", 900, "--skip", 2, "--uncertainty", "margin", "--rule", "plurality")
    assert (plan["inputs"], plan["samples"], plan["run_id"], plan["finished"]) == (6, 6 * 1000, None, 0)
    assert (plan["measures"], plan["coverages"], plan["thresholds"]) == (["margin"], [0.9], {})
    assert plan["calibration_samples"] >= 5000
    assert (plan["rule"], plan["competitors"], plan["checkpoint_id"]) == ("plurality", "class-wise", None)
    assert plan["seconds"] > 0
    assert 6 * 200 < plan["bytes"] < 6 * 20_000
    assert snapshot(place.root) == before
    assert not place.database.exists()


def test_people_read_what_it_would_do(blobs: Sample) -> None:
    shown = rsuq("certify", *blobs.flags, "--dry-run", "--n", 400, "--threshold", 0.5, "--limit", 5).stdout
    for text in (
        "nothing is sampled or written", "entropy ≤ 0.5", "5 inputs × 500 samples = 2,500 samples", "a new one",
        "no radius can exceed 0.5", "at most 5", "about 1 s", "in the database",
    ):  # fmt: skip
        assert text in shown, text


def test_the_run_that_would_go_on_is_named_with_what_it_has(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as interrupting:
        interrupting.setenv("INTERRUPT_AT", "110")
        assert rsuq("certify", *blobs.flags, "--n", 300, "--batch-size", 64).exit_code == 130
    ((finished,),) = query(place.database, "SELECT COUNT(*) FROM evidence")
    assert 0 < finished < 12
    before = snapshot(place.root)
    plan = planned(blobs, "--n", 300)
    assert (plan["run_id"], plan["finished"], plan["samples"]) == (1, finished, (12 - finished) * 400)
    assert plan["calibration_samples"] == 0
    assert list(plan["thresholds"]) == ["entropy"]
    # Another coverage needs other bins, other settings another run, and --fresh starts anew.
    assert planned(blobs, "--n", 300, "--coverage", 0.777)["run_id"] in (None, 1)
    assert planned(blobs, "--n", 301)["run_id"] is None
    assert planned(blobs, "--n", 300, "--fresh")["run_id"] is None
    assert snapshot(place.root) == before
    certified(blobs, "--n", 300)
    plan = planned(blobs, "--n", 300)
    assert (plan["run_id"], plan["samples"], plan["bytes"]) == (1, 0, 0)
    shown = rsuq("certify", *blobs.flags, "--n", 300, "--dry-run").stdout
    assert "nothing: every input is sampled" in shown
    assert re.search(r"run 1, which has 12 of 12 inputs", shown)


def test_what_it_says_of_the_size_is_near_what_the_run_takes(place: Place, blobs: Sample) -> None:
    plan = planned(blobs, "--n", 2000)
    certified(blobs, "--n", 2000)
    ((taken,),) = query(place.database, "SELECT SUM(LENGTH(counts)) + 12 * 130 FROM evidence")
    assert taken / 2 < plan["bytes"] < taken * 2


def test_an_older_database_is_read_as_it_is(place: Place, blobs: Sample) -> None:
    with closing(sqlite3.connect(place.database)) as connection:
        connection.executescript((FROZEN / "0001.sql").read_text(encoding="utf-8"))
    before = snapshot(place.root)
    assert planned(blobs, "--n", 300)["run_id"] is None
    assert snapshot(place.root) == before


def test_what_certify_refuses_is_refused_in_the_same_words(place: Place, blobs: Sample) -> None:
    before = snapshot(place.root)
    for flags in (
        ("--sigma", 0), ("--n", 3), ("--model", "nosuch"), ("--dataset", "npz:nosuch.npz"), ("--model", "cnn"),
        ("--split", "train", "--limit", 0), ("--noise", "grid"),
    ):  # fmt: skip
        asked = ("certify", *blobs.flags, *flags)
        planned_line = refused(rsuq(*asked, "--dry-run"))
        assert snapshot(place.root) == before
        assert planned_line == refused(rsuq(*asked))


def test_ood_plans_what_is_left_of_every_set(place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("ood", *blobs.flags, "--ood", "noise:uniform", "--ood", "constant", "--n", 100, "--limit", 6)
    plan = rsuq(*flags, "--dry-run", "--format", "json").json
    name = blobs.dataset
    assert (plan["run_id"], plan["samples"]) == (None, 18 * 200)
    assert plan["inputs"] == {name: 6, "noise:uniform": 6, "constant": 6}
    assert not place.database.exists()
    rsuq("certify", *blobs.flags, "--n", 100)
    before = snapshot(place.root)
    reused = rsuq(*flags, "--run", 1, "--dry-run", "--format", "json").json
    assert (reused["reused"], reused["samples"], reused["finished"][name]) == (1, 12 * 200, 6)
    assert snapshot(place.root) == before
    assert rsuq(*flags).exit_code == 0
    plan = rsuq(*flags, "--dry-run", "--format", "json").json
    assert (plan["run_id"], plan["samples"], set(plan["finished"].values())) == (2, 0, {6})
    shown = rsuq(*flags, "--dry-run").stdout
    assert "noise:uniform: 6 inputs, 6 finished" in shown
    assert "nothing: every input is sampled" in shown
    refusal = refused(rsuq("ood", *blobs.flags, "--ood", "nosuch", "--dry-run"))
    assert refusal == refused(rsuq("ood", *blobs.flags, "--ood", "nosuch"))


def test_train_plans_and_says_what_there_is(place: Place) -> None:
    flags = ("train", "--model", "mlp", "--epochs", 2, "--batch-size", 32)
    before = snapshot(place.root)
    plan = rsuq(*flags, "--dry-run", "--format", "json").json
    assert (plan["model"], plan["settings"]["epochs"], plan["settings"]["batch_size"]) == ("mlp", 2, 32)
    assert (plan["finished_epochs"], plan["seconds"], plan["checkpoints"]) == (0, None, [])
    assert snapshot(place.root) == before
    assert "a new training" in rsuq(*flags, "--dry-run").stdout
    assert refused(rsuq("train", "--model", "nosuch", "--dry-run")) == refused(rsuq("train", "--model", "nosuch"))


def test_what_a_step_costs_is_said_beforehand() -> None:
    flags = ("train", "--model", "mlp", "--sigma", 0.5, "--objective", "reject", "--set", "base=smoothadv", "--dry-run")
    # Four noises of its own, and eight under each of ten steps of the attack and one of training.
    assert rsuq(*flags, "--format", "json").json["plain_steps"] == 4 + 88
    assert "about 92 plain ones" in rsuq(*flags).stdout
    assert "plain ones" not in rsuq("train", "--model", "mlp", "--dry-run").stdout
    assert "there is no objective 'smoothad'" in refused(rsuq(*flags[:-2], "base=smoothad", "--dry-run"))


def test_train_says_how_far_an_interrupted_one_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("train", "--model", "mlp", "--epochs", 3)
    with monkeypatch.context() as interrupting:
        interrupting.setattr("rsuq_cli.jobs.training.run.save_checkpoint", _interrupt)
        assert rsuq(*flags).exit_code == 130
    before = snapshot(place.root)
    plan = rsuq(*flags, "--dry-run", "--format", "json").json
    assert (plan["finished_epochs"], plan["seconds"]) == (3, 0.0)
    assert "goes on after epoch 3" in rsuq(*flags, "--dry-run").stdout
    assert rsuq(*flags, "--dry-run", "--fresh", "--format", "json").json["finished_epochs"] == 0
    assert snapshot(place.root) == before
    assert rsuq(*flags).exit_code == 0
    assert rsuq(*flags, "--dry-run", "--format", "json").json["checkpoints"] == [1]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
