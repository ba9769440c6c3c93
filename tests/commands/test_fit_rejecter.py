"""`rsuq fit-rejecter`, and `--rejecter` wherever a run is sampled or opened again."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import committed, evidence, figures, query, refused, rsuq, start, stop_when
from samples import BLOBS_MODEL, Sample, blob_arrays, write_npz

from rsuq_cli.certificates.evidence import decode
from rsuq_cli.jobs.rejecter import run
from rsuq_cli.training.rejecter import fit

if TYPE_CHECKING:
    from conftest import Place

N = ("--n", 300, "--format", "json")
MEASURES = ("--uncertainty", "rejecter", "--uncertainty", "margin")


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit takes as long as it has draws and prices, and none of these tests is about how good it is."""
    monkeypatch.setattr(run, "SAMPLES", 2000)
    monkeypatch.setattr(fit, "PRICES", (0.0, 1.0))
    monkeypatch.setattr(fit, "TOLLS", (1.0,))


@pytest.fixture
def many(place: Place) -> Sample:
    """The blobs with enough images to fit on some and to calibrate on others: 40 of 400 are held out."""
    (place.work / "blobs.py").write_text(BLOBS_MODEL)
    arrays = blob_arrays(train=400, test=12)
    return Sample(f"{place.work / 'blobs.py'}:make", write_npz(place.work / "many.npz", **arrays))


def fitted(many: Sample, *flags: object) -> list[dict[str, Any]]:
    result = rsuq("fit-rejecter", *many.flags, *flags, "--format", "json")
    assert result.exit_code == 0, result.stderr
    rows: list[dict[str, Any]] = result.json
    return rows


def configuration(place: Place, run: int) -> dict[str, Any]:
    ((text,),) = query(place.database, f"SELECT configuration FROM run WHERE id = {run}")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def edges_and_counts(place: Place, run: int, measure: str) -> list[Any]:
    return [decode(row[-1])[measure].estimation.tolist() for row in evidence(place.database, run)]


def test_it_is_kept_among_the_checkpoints_and_found_again(place: Place, many: Sample) -> None:
    first = fitted(many, "--name", "head")
    assert [row["measure"] for row in first] == ["rejecter", "margin"]
    file = Path(first[0]["file"])
    assert query(place.database, "SELECT id, objective, file, name FROM checkpoint") == [
        (1, "rejecter", str(file), "head")
    ]
    content = json.loads(file.read_text())
    assert (content["classes"], content["coverage"], content["gain"]) == (3, 0.9, first[0]["gain"])
    assert fitted(many) == first
    assert query(place.database, "SELECT COUNT(*) FROM checkpoint") == [(1,)]


def test_the_classifier_is_what_it_was_and_the_threshold_is_of_other_images(place: Place, many: Sample) -> None:
    fitted(many)
    result = rsuq("certify", *many.flags, *N, *MEASURES, "--rejecter", 1)
    assert result.exit_code == 0, result.stderr
    assert "fitted on 20 of the 40 calibration images: thresholds are calibrated on the other 20" in result.stderr
    assert "calibrating thresholds on 20 held-out inputs" in result.stderr
    assert "rejecter: the threshold for a coverage of 0.9 answers" in result.stderr
    plain = rsuq("certify", *many.flags, *N, "--uncertainty", "margin").json[0]
    by_measure = {record["measure"]: record for record in result.json}
    assert by_measure["rejecter"]["acr_standard"] == by_measure["margin"]["acr_standard"] == plain["acr_standard"]
    assert edges_and_counts(place, 1, "rejecter") != edges_and_counts(place, 1, "margin")
    recorded = configuration(place, 1)
    assert recorded["predictor"] == {"views": 1, "decide": "single", "rejecter": recorded["predictor"]["rejecter"]}
    assert recorded["rejecter_file"] == query(place.database, "SELECT file FROM checkpoint")[0][0]
    assert "predictor" not in configuration(place, 2)
    assert "rejecter_file" not in configuration(place, 2)
    assert rsuq("models", "list", "--format", "json").json[0]["runs"] == [1]
    assert "belongs the same command with --decide mean" not in rsuq("report").stderr + rsuq("report").stdout


@pytest.mark.parametrize(
    "asked",
    [
        (), pytest.param(("--views", 2), marks=pytest.mark.slow), ("--views", 2, "--decide", "mean"),
        ("--mc-dropout", 0.3, "--passes", 2),
    ],
)  # fmt: skip
def test_it_is_audited_predicted_and_compared_as_it_was_certified(
    place: Place, many: Sample, asked: tuple[object, ...]
) -> None:
    fitted(many, *asked)
    named = ("--rejecter", 1, *asked)
    assert rsuq("certify", *many.flags, *N, "--uncertainty", "rejecter", *named).exit_code == 0
    audit = rsuq("audit", 1, "--inputs", 3, "--steps", 3, "--format", "json")
    assert audit.exit_code == 0, audit.stderr
    assert query(place.database, "SELECT SUM(broken) FROM audit_ball") == [(0,)]
    image = place.work / "image.npy"
    np.save(image, blob_arrays(train=400)["x_test"][0])
    ((class_index, decision, ncl),) = query(
        place.database,
        "SELECT class_index, decision, radius_ncl FROM certified_sample WHERE scoring_id = 1 AND input_index = 0",
    )
    for flags in (("--run", 1), (*many.flags, *named, "--uncertainty", "rejecter", "--n", 300)):
        (answer,) = rsuq("predict", image, *flags, "--format", "json").json
        assert (answer["class"], answer["decision"], answer["radius_ncl"]) == (class_index, decision, ncl)
    compared = rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--uncertainty", "rejecter", "--limit", 6)
    assert compared.exit_code == 0, compared.stderr
    assert configuration(place, 2)["predictor"] == configuration(place, 1)["predictor"]


def test_the_evidence_is_the_same_in_every_batch(place: Place, many: Sample) -> None:
    fitted(many, "--views", 2)
    command = ("certify", *many.flags, *N, *MEASURES, "--rejecter", 1, "--views", 2)
    rsuq(*command, "--batch-size", 64)
    rsuq(*command, "--batch-size", 1000, "--fresh")
    assert evidence(place.database, 2) == evidence(place.database, 1) != []


@pytest.mark.slow
def test_workers_and_a_killed_run_come_to_the_same_evidence(place: Place, many: Sample) -> None:
    fitted(many)
    command = ("certify", *many.flags, *MEASURES, "--rejecter", 1, "--n", 300, "--batch-size", 64, "--format", "json")
    process = start(*command, SLOW_FORWARD="0.006")
    killed = stop_when(process, lambda: committed(place.database) >= 3, signal.SIGKILL)
    assert killed.exit_code == -signal.SIGKILL
    completed = rsuq(*command)
    assert len(evidence(place.database)) == 12
    fresh = rsuq(*command, "--fresh")
    workers = rsuq(*command, "--fresh", "--workers", 2)
    assert evidence(place.database) == evidence(place.database, 2) == evidence(place.database, 3)
    assert figures(completed) == figures(fresh) == figures(workers)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rejecter", "temperature", "ensemble"])
def test_two_hundred_balls_are_attacked_and_none_breaks(place: Place, kind: str) -> None:
    rsuq("train", "--model", "mlp", "--epochs", 2, "--ensemble", 2)
    flags: tuple[object, ...] = ("--model", "mlp", "--limit", 120, "--n", 1000)
    if kind == "rejecter":
        assert rsuq("fit-rejecter", "--model", "mlp", "--checkpoint", 1).exit_code == 0
        flags += ("--checkpoint", 1, "--rejecter", 3, "--uncertainty", "rejecter")
    elif kind == "temperature":
        both = ("--members", "1,2")
        assert rsuq("fit-rejecter", "--model", "mlp", *both, "--kind", "temperature").exit_code == 0
        flags += (*both, "--rejecter", 3, "--uncertainty", "rejecter")
    else:
        flags += ("--members", "1,2", "--uncertainty", "own_margin")
    result = rsuq("certify", *flags)
    assert result.exit_code == 0, result.stderr
    audit = rsuq("audit", 1, "--inputs", 100, "--steps", 10)
    assert audit.exit_code == 0, audit.stderr
    ((balls, broken),) = query(place.database, "SELECT COUNT(*), SUM(broken) FROM audit_ball")
    assert balls >= 200
    assert broken == 0


SHRUNK = """
from torch import nn


class Shrunk(nn.Module):
    def forward(self, x):
        return 0.2 + 0.7 * (x - 0.2)


def make():
    return Shrunk()
"""


def test_behind_a_denoiser_it_is_fitted_to_what_is_said_there_and_opened_again(place: Place, many: Sample) -> None:
    (place.work / "front.py").write_text(SHRUNK)
    behind = ("--denoiser", f"{place.work / 'front.py'}:make")
    plain, rows = fitted(many), fitted(many, *behind)
    assert [row[0]["rejecter_id"] for row in (plain, rows)] == [1, 2]
    command = ("certify", *many.flags, *N, "--uncertainty", "rejecter")
    assert "the rejecter was fitted for" in refused(rsuq(*command, *behind, "--rejecter", 1))
    assert "the rejecter was fitted for" in refused(rsuq(*command, "--rejecter", 2))
    assert rsuq(*command, *behind, "--rejecter", 2).exit_code == 0
    predictor = configuration(place, 1)["predictor"]
    assert {"denoiser", "rejecter"} <= set(predictor)
    audit = rsuq("audit", 1, "--inputs", 3, "--steps", 3, "--format", "json")
    assert audit.exit_code == 0, audit.stderr
    assert query(place.database, "SELECT COUNT(*) > 0, SUM(broken) FROM audit_ball") == [(1, 0)]
    image = place.work / "image.npy"
    np.save(image, blob_arrays(train=400)["x_test"][0])
    ((class_index, ncl),) = query(
        place.database, "SELECT class_index, radius_ncl FROM certified_sample WHERE scoring_id = 1 AND input_index = 0"
    )
    (answer,) = rsuq("predict", image, "--run", 1, "--format", "json").json
    assert (answer["class"], answer["radius_ncl"]) == (class_index, ncl)


def test_temperatures_are_fitted_for_every_pass_and_certified(place: Place, many: Sample) -> None:
    asked = ("--views", 2)
    rows = fitted(many, "--kind", "temperature", *asked)
    assert [row["kind"] for row in rows] == ["temperature"] * 3
    content = json.loads(Path(rows[0]["file"]).read_text())
    assert content["kind"] == "temperature"
    assert len(content["coefficients"]) == 2
    assert all(temperature > 0 for temperature in content["coefficients"])
    command = ("certify", *many.flags, *N, "--uncertainty", "rejecter", "--rejecter", 1, *asked)
    assert rsuq(*command).exit_code == 0
    audit = rsuq("audit", 1, "--inputs", 3, "--steps", 3, "--format", "json")
    assert audit.exit_code == 0, audit.stderr
    assert query(place.database, "SELECT SUM(broken) FROM audit_ball") == [(0,)]
    assert "unknown kind 'cold'" in refused(rsuq("fit-rejecter", *many.flags, "--kind", "cold"))


def test_the_line_to_make_it_again_makes_it_again(place: Place, many: Sample) -> None:
    fitted(many, "--views", 2)
    rsuq("certify", *many.flags, *N, "--views", 2, "--rejecter", 1, "--uncertainty", "rejecter")
    lines = rsuq("runs", "show", 1).stdout.splitlines()
    (again,) = [line.removeprefix("again").strip() for line in lines if line.startswith("again")]
    assert "nothing to do" in rsuq(*shlex.split(again)[1:]).stderr


def test_another_rejecter_is_another_run_and_a_changed_one_is_refused(place: Place, many: Sample) -> None:
    file = Path(fitted(many)[0]["file"])
    assert fitted(many, "--coverage", 0.7)[0]["rejecter_id"] == 2
    command = ("certify", *many.flags, *N, "--uncertainty", "rejecter", "--rejecter")
    assert rsuq(*command, 1).json[0]["run_id"] == 1
    assert rsuq(*command, 2).json[0]["run_id"] == 2
    moved = place.work / "moved.json"
    moved.write_bytes(file.read_bytes())
    assert "nothing to do" in rsuq(*command, moved).stderr
    file.write_text(file.read_text() + " ")
    assert "is not the file that it was" in refused(rsuq(*command, 1))
    assert "is not the file that it was" in refused(rsuq("audit", 1, "--inputs", 1))
    file.unlink()
    assert "cannot be read" in refused(rsuq("audit", 1, "--inputs", 1))


def test_a_threshold_is_not_calibrated_on_images_that_it_was_fitted_on(place: Place, many: Sample) -> None:
    file = Path(fitted(many)[0]["file"])
    from rsuq_cli.datasets.catalogue import open_dataset
    from rsuq_cli.datasets.contents import SeenImages

    everything = SeenImages.of(open_dataset(many.dataset).load("calibration").images).packed()
    greedy = place.work / "greedy.json"
    greedy.write_text(json.dumps(json.loads(file.read_text()) | {"seen": everything}))
    command = ("certify", *many.flags, *N, "--uncertainty", "rejecter", "--rejecter", greedy)
    refusal = rsuq(*command)
    assert refusal.exit_code == 2
    assert "too few others are left to calibrate with" in refusal.stderr
    assert "give --threshold" in refusal.stderr
    assert rsuq(*command, "--threshold", 0.5).exit_code == 0
    tested = SeenImages.of(open_dataset(many.dataset).load("test").images[:2]).packed()
    greedy.write_text(json.dumps(json.loads(file.read_text()) | {"seen": tested}))
    warned = rsuq(*command, "--threshold", 0.5)
    assert "2 of the 12 inputs are among those that the rejecter was fitted on" in warned.stderr


def test_what_cannot_be_is_one_line(place: Place, many: Sample, blobs: Sample) -> None:
    fitted(many)
    rsuq("train", "--model", "mlp", *many.flags[2:], "--epochs", 1)
    command = ("certify", *many.flags, *N, "--uncertainty", "rejecter")
    assert "none is given; `rsuq fit-rejecter` fits one" in refused(rsuq(*command))
    assert "there is no checkpoint 7" in refused(rsuq(*command, "--rejecter", 7))
    assert "is a network and no rejecter" in refused(rsuq(*command, "--rejecter", 2))
    assert "and asked for is 2 views reject" in refused(rsuq(*command, "--rejecter", 1, "--views", 2))
    assert "fitted for other weights" in rsuq(
        "certify", "--model", "mlp", *many.flags[2:], "--rejecter", 1, "--uncertainty", "rejecter"
    ).stderr  # fmt: skip
    for flags in (("certify", "--checkpoint", 1), ("certify", "--members", "1,2"), ("train", "--init", 1)):
        line = refused(rsuq(*flags))
        assert "checkpoint 1 is a rejecter and no network" in line
        assert line.endswith("give it as --rejecter 1")
    assert "is a rejecter and no network" in refused(rsuq("models", "export", 1, "--output", place.work / "out"))
    assert "coverage 1 is not between" in refused(rsuq("fit-rejecter", *many.flags, "--coverage", 1))
    assert "--max-cc-cost is 7" in refused(rsuq("fit-rejecter", *many.flags, "--max-cc-cost", 7))
    assert "too few for a rejecter and a threshold" in rsuq("fit-rejecter", *blobs.flags).stderr
    rsuq(*command, "--rejecter", 1)
    assert "both --run and --rejecter are given" in refused(
        rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--rejecter", 1)
    )
