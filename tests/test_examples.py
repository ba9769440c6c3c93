"""Every example runs, at a small size."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import PATIENCE, Result, evidence, query, rsuq
from samples import Sample, blob_arrays, write_npz

from rsuq_cli.jobs.study.grid import Surroundings, cells_of
from rsuq_cli.jobs.study.plan import read_plan
from rsuq_cli.run.request import ANY_MACHINE

if TYPE_CHECKING:
    from conftest import Place

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {"EPOCHS": "1", "N": "200", "LIMIT": "5", "OMP_NUM_THREADS": "1"}
BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="bash is not installed")


def run(place: Place, name: str, *arguments: object, **environment: str) -> Result:
    """Runs an example in the test's own place and returns its result; `rsuq` is the program under test."""
    folder = place.root / "bin"
    folder.mkdir(exist_ok=True)
    launcher = folder / "rsuq"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rsuq_cli "$@"\n')
    launcher.chmod(0o755)
    program = sys.executable if name.endswith(".py") else str(BASH)
    paths = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]),
    }
    found = subprocess.run(
        [program, str(EXAMPLES / name), *map(str, arguments)], env=os.environ | SMALL | paths | environment,
        capture_output=True, text=True, timeout=3 * PATIENCE,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return Result(found.returncode, found.stdout, found.stderr)


@pytest.mark.slow
@needs_bash
def test_sigma_sweep(place: Place) -> None:
    shown = run(place, "sigma_sweep.sh", MODEL="mlp", SIGMAS="0.25 0.5").stdout
    assert "certified accuracy" in shown
    assert "acr_cc by uncertainty and sigma" in shown
    trained = query(place.database, "SELECT sigma FROM checkpoint ORDER BY id")
    assert trained == [(0.25,), (0.5,)]
    run(place, "sigma_sweep.sh", MODEL="mlp", SIGMAS="0.25 0.5")
    assert query(place.database, "SELECT sigma FROM checkpoint ORDER BY id") == trained
    assert query(place.database, "SELECT COUNT(*) FROM evidence") == [(10,)]


@pytest.mark.slow
@needs_bash
def test_architectures_and_measures(place: Place) -> None:
    shown = run(
        place, "architectures_and_measures.sh", MODELS="mlp cnn", MEASURES="entropy margin", COVERAGES="0.9 0.7"
    ).stdout
    assert shown.count("gain by model and uncertainty") == 2
    assert query(place.database, "SELECT COUNT(*) FROM evidence") == [(10,)]
    assert query(place.database, "SELECT COUNT(*) FROM scoring") == [(8,)]


@pytest.mark.slow
@needs_bash
@pytest.mark.slow
@needs_bash
def test_objectives(place: Place) -> None:
    small = {"MODEL": "mlp", "EPOCHS": "2", "TUNED": "1", "N": "200", "LIMIT": "5"}
    result = run(place, "objectives.sh", **small, RSUQ_DB=str(place.database))
    assert result.exit_code == 0, result.stderr
    assert query(place.database, "SELECT name FROM run ORDER BY id") == [
        ("gaussian",), ("consistency",), ("smoothadv",), ("macer",)
    ]  # fmt: skip
    assert "scoring 1 against 4" in result.stdout


@pytest.mark.slow
def test_cluster_resume(place: Place, blobs: Sample) -> None:
    # Ctrl-C comes after 200 forward passes: during the first job's sampling, and never in the second, which needs no
    # calibration any more.
    flags = (*blobs.flags, "--n", 300, "--limit", 6, "--batch-size", 32)
    found = run(place, "cluster_resume.sh", *flags, JOB_SECONDS="600", INTERRUPT_AT="200")
    assert found.stderr.count("error: interrupted") == 1
    assert "6 inputs" in found.stdout
    assert query(place.database, "SELECT status, inputs FROM run") == [("complete", 6)]
    assert query(place.database, "SELECT COUNT(*) FROM evidence") == [(6,)]


@pytest.mark.slow
@needs_bash
def test_slurm_array(place: Place, blobs: Sample) -> None:
    """The tasks of an array, side by side on this machine, make the run of one command; again, they do nothing."""
    flags = (*blobs.flags, "--n", 100, "--batch-size", 64)
    whole = place.work / "whole.db"
    assert rsuq("certify", *flags, "--db", whole).exit_code == 0
    for _ in range(2):
        found = run(place, "slurm_array.sh", *flags, TASKS="3")
        assert "12 inputs" in found.stdout
        assert query(place.database, "SELECT id, status FROM run") == [(1, "complete")]
        assert evidence(place.database) == evidence(whole)


@pytest.mark.slow
@needs_bash
@pytest.mark.parametrize("step", ["begin", "3", "collect"])
def test_slurm_array_in_a_queue(place: Place, blobs: Sample, step: str) -> None:
    """What a job of the array does where Slurm has started it."""
    flags = (*blobs.flags, "--n", 100, "--batch-size", 64)
    jobs = [{"STEP": "begin"}, *({"SLURM_ARRAY_TASK_ID": number} for number in "23"), {"STEP": "collect"}]
    for job in jobs[: {"begin": 1, "3": 3, "collect": 4}[step]]:
        run(place, "slurm_array.sh", *flags, TASKS="3", SLURM_JOB_ID="7", **job)
    finished = [len(evidence(place.work / "shards" / f"{number}.db")) for number in (1, 2, 3)]
    assert finished == ([4, 4, 4] if step == "begin" else [4, 8, 8])
    if step == "collect":
        assert query(place.database, "SELECT id, status FROM run") == [(1, "complete")]


@pytest.mark.slow
def test_custom_model(place: Place) -> None:
    shown = run(place, "custom_model.py", INPUTS="3").stdout
    assert re.search(r"ACR: standard 0\.\d+, CC 0\.\d+, NCL 0\.\d+", shown)


@pytest.mark.slow
def test_custom_model_on_the_command_line(place: Place) -> None:
    flags = ("--model", f"{EXAMPLES / 'custom_model.py'}:make", "--sigma", 0.25)
    assert rsuq("train", *flags, "--epochs", 1).exit_code == 0
    assert rsuq("certify", *flags, "--n", 200, "--limit", 3).exit_code == 0


@pytest.mark.slow
def test_custom_data(place: Place) -> None:
    shown = run(place, "custom_data.py", TRAIN="60", TEST="6").stdout
    assert "by class" in shown
    assert (place.work / "bars.npz").exists()


def test_queries(place: Place, blobs: Sample) -> None:
    flags = ("--n", 300, "--uncertainty", "entropy", "--uncertainty", "margin")
    assert rsuq("certify", *blobs.flags, *flags).exit_code == 0
    statements = re.sub(r"--.*", "", (EXAMPLES / "queries.sql").read_text()).split(";")
    answers = []
    with closing(sqlite3.connect(f"{place.database.as_uri()}?mode=ro", uri=True)) as connection:
        for statement in filter(str.strip, statements):
            assert sqlite3.complete_statement(f"{statement};")
            answers.append(connection.execute(statement).fetchall())
    assert len(answers) == 7
    assert all(answers[at] for at in (0, 1, 2, 5, 6))
    report = rsuq("report", "--format", "json", "--sort", "-acr_cc", "--radii", "0.25").json
    assert [row[1] for row in answers[0]] == [one["scoring_id"] for one in report]
    assert sorted(row[3] for row in answers[1]) == pytest.approx(
        sorted(100 * one["certified_cc"][0]["value"] for one in report)
    )


def test_every_example_has_a_test() -> None:
    text = Path(__file__).read_text()
    others = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".sh", ".sql"):
            assert f'"{path.name}"' in text or path.stem in others, path.name


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.toml")))
def test_every_plan_is_one_that_a_study_can_run(name: str) -> None:
    plan, _ = read_plan(EXAMPLES / name)
    cells = cells_of(plan, Surroundings(ANY_MACHINE), name)
    networks = len(plan.network) * len(plan.sigma) * len(plan.seed)
    # Of the one network that is fine-tuned for three objectives, at one noise level.
    assert len({cell.place for cell in cells}) == networks + (3 if plan.exclude else 0)


@pytest.mark.slow
def test_strided_resnet(place: Place) -> None:
    arrays = blob_arrays(train=20, test=4)
    for part in ("x_train", "x_test"):
        arrays[part] = arrays[part].repeat(3, axis=1).repeat(8, axis=2).repeat(8, axis=3)
    data = write_npz(place.work / "large.npz", **arrays)
    model = f"{EXAMPLES / 'strided_resnet.py'}:resnet14"
    assert rsuq("train", "--model", model, "--dataset", data, "--epochs", "1").exit_code == 0
    result = rsuq("certify", "--model", model, "--dataset", data, "--n", 100, "--limit", 2)
    assert result.exit_code == 0, result.stderr
