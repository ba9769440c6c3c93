"""`--mc-dropout`: masks of every sample's own, on record and the same everywhere."""

from __future__ import annotations

import json
import shlex
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commandline import committed, evidence, figures, query, refused, rsuq, start, stop_when
from samples import Sample, blob_arrays
from torch import nn

import rsuq_cli as api
from rsuq_cli.certificates.evidence import decode
from rsuq_cli.uncertainty.predictor import PLAIN

if TYPE_CHECKING:
    from conftest import Place

N = ("--n", 300, "--format", "json")
MASKS = ("--mc-dropout", 0.3, "--passes", 4, "--uncertainty", "own_margin", "--uncertainty", "margin")


def configuration(place: Place, run: int) -> dict[str, Any]:
    ((text,),) = query(place.database, f"SELECT configuration FROM run WHERE id = {run}")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_masks_that_reject_leave_the_classifier_as_it_is(place: Place, blobs: Sample) -> None:
    plain = rsuq("certify", *blobs.flags, *N, "--uncertainty", "margin").json
    result = rsuq("certify", *blobs.flags, *N, *MASKS, "--decide", "single")
    assert result.exit_code == 0, result.stderr
    assert "5 passes for every sample" in result.stderr
    by_measure = {record["measure"]: record for record in result.json}
    for name in ("acr_standard", "acr_cc", "acr_ncl", "gain", "threshold"):
        assert by_measure["margin"][name] == plain[0][name]
    for ours, theirs in zip(evidence(place.database, 1), evidence(place.database, 2), strict=True):
        for name in PLAIN.measures:
            assert (decode(ours[-1])[name].estimation == decode(theirs[-1])[name].estimation).all()


def test_their_mean_decides_and_seed_rate_and_passes_are_part_of_the_run(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, *N, *MASKS)
    assert configuration(place, 1)["predictor"] == {"views": 1, "decide": "mean", "mc_dropout": 0.3, "mc_passes": 4}
    assert "mean of 4 dropout masks" in rsuq("report").stdout
    assert "nothing to do" in rsuq("certify", *blobs.flags, *N, *MASKS, "--decide", "mean").stderr
    for number, changed in enumerate((("--mc-dropout", 0.4), ("--passes", 5), ("--seed", 1)), start=2):
        assert rsuq("certify", *blobs.flags, *N, *MASKS, *changed).json[0]["run_id"] == number
    assert evidence(place.database, 1) != evidence(place.database, 4)


@pytest.mark.parametrize("decide", [pytest.param("single", marks=pytest.mark.slow), "mean"])
def test_it_is_audited_predicted_and_compared_as_it_was_certified(place: Place, blobs: Sample, decide: str) -> None:
    rsuq("certify", *blobs.flags, *N, *MASKS, "--decide", decide)
    audit = rsuq("audit", 1, "--inputs", 4, "--steps", 3, "--format", "json")
    assert audit.exit_code == 0, audit.stderr
    assert query(place.database, "SELECT COUNT(*), SUM(broken) FROM audit_ball")[0][1] == 0
    image = place.work / "image.npy"
    np.save(image, blob_arrays()["x_test"][0])
    ((class_index, decision, ncl),) = query(
        place.database,
        "SELECT class_index, decision, radius_ncl FROM certified_sample WHERE scoring_id = 1 AND input_index = 0",
    )
    for settings in (("--run", 1), (*blobs.flags, *MASKS[:6], "--decide", decide, "--n", 300)):
        (answer,) = rsuq("predict", image, *settings, "--format", "json").json
        assert (answer["class"], answer["decision"], answer["radius_ncl"]) == (class_index, decision, ncl)
    compared = rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--uncertainty", "own_margin", "--limit", 6)
    assert compared.exit_code == 0, compared.stderr
    assert configuration(place, 2)["predictor"] == configuration(place, 1)["predictor"]


@pytest.mark.slow
def test_the_evidence_is_the_same_in_every_batch_and_by_every_worker(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, *N, *MASKS, "--batch-size", 64)
    for flags in (("--batch-size", 1000), ("--workers", 2)):
        other = place.work / f"{flags[0]}.db"
        result = rsuq("certify", *blobs.flags, *N, *MASKS, *flags, "--db", other)
        assert result.exit_code == 0, result.stderr
        assert evidence(other) == evidence(place.database)


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_evidence(place: Place, blobs: Sample) -> None:
    command = ("certify", *blobs.flags, *MASKS, "--n", 300, "--batch-size", 64, "--format", "json")
    process = start(*command, SLOW_FORWARD="0.012")
    killed = stop_when(process, lambda: committed(place.database) >= 3, signal.SIGKILL)
    assert killed.exit_code == -signal.SIGKILL
    whole = place.work / "whole.db"
    expected = rsuq(*command, "--db", whole)
    completed = rsuq(*command)
    assert 3 <= len(evidence(place.database)) == 12
    assert evidence(place.database) == evidence(whole)
    assert figures(completed) == figures(expected)


@pytest.mark.slow
def test_two_hundred_balls_of_a_trained_network_survive_an_attack(place: Place) -> None:
    rsuq("train", "--epochs", 6)
    flags = ("--mc-dropout", 0.3, "--uncertainty", "own_margin", "--coverage", 0.8)
    certified = rsuq("certify", *flags, "--n", 1000, "--limit", 80, "--format", "json")
    assert certified.exit_code == 0, certified.stderr
    audit = rsuq("audit", 1, "--inputs", 80, "--steps", 4)
    assert audit.exit_code == 0, audit.stderr
    ((balls, broken),) = query(place.database, "SELECT COUNT(*), SUM(broken) FROM audit_ball")
    assert balls >= 200
    assert broken == 0


def test_the_line_to_make_it_again_makes_it_again(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, *N, *MASKS[:6])
    lines = rsuq("runs", "show", 1).stdout.splitlines()
    (again,) = [line.removeprefix("again").strip() for line in lines if line.startswith("again")]
    assert "nothing to do" in rsuq(*shlex.split(again)[1:]).stderr


def test_python_has_it_too() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    settings: dict[str, Any] = {"sigma": 0.1, "n": 300, "threshold": 0.9}
    plain = api.certify(network, images, uncertainty="margin", **settings)
    single = api.certify(network, images, uncertainty="margin", mc_dropout=0.3, decide="single", **settings)
    assert single.radius_ncl.tolist() == plain.radius_ncl.tolist()
    masked = api.certify(network, images, uncertainty="own_margin", mc_dropout=0.3, passes=4, **settings)
    assert masked.radius_ncl.tolist() != plain.radius_ncl.tolist()


def test_what_cannot_be_asked_is_one_line(place: Place, blobs: Sample) -> None:
    command = ("certify", *blobs.flags, *N)
    assert "--mc-dropout is 1; give the share" in refused(rsuq(*command, "--mc-dropout", 1))
    assert "--passes is 4; give 1 or more of them, and --mc-dropout with it" in refused(rsuq(*command, "--passes", 4))
    assert "--passes is 0" in refused(rsuq(*command, "--mc-dropout", 0.1, "--passes", 0))
    (place.work / "behind.py").write_text(
        "from torch import nn\ndef make():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(dim=1))\n"
    )
    line = refused(
        rsuq("certify", "--model", "behind.py:make", "--dataset", blobs.dataset, "--untrained", *N, "--mc-dropout", 0.1)
    )
    assert "does not end with one linear layer" in line
    rsuq(*command, *MASKS)
    assert "both --run and --mc-dropout are given" in refused(
        rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--mc-dropout", 0.3)
    )
