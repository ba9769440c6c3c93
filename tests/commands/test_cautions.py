"""Notes that cost nothing: said on stderr before sampling, and kept among the warnings of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import Result, query, rsuq
from conftest import Place
from samples import blob_arrays, level_arrays, write_levels_weights, write_npz
from torch import nn

import rsuq_cli
from rsuq_cli.models.statistics import KNOWN

NETWORKS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.last = last
    def forward(self, x):
        return self.last(8 * x.flatten(1)[:, :3])

def trainable(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
def logits(): return Net(nn.Identity())
def softmax(): return Net(nn.Softmax(dim=1))
def log_softmax(): return Net(nn.LogSoftmax(dim=1))
def sigmoid(): return Net(nn.Sigmoid())
def blind(): return Net(lambda z: torch.eye(3)[torch.zeros(len(z), dtype=torch.long)] * 4 + 0 * z)
"""


@pytest.fixture
def dataset(place: Place) -> str:
    """Three classes that the brightest of three pixels tells, enough of them to judge an accuracy."""
    (place.work / "nets.py").write_text(NETWORKS)
    return write_npz(place.work / "blobs.npz", **blob_arrays(train=600))


def certify(dataset: str, name: str, *flags: object) -> Result:
    settings = ("--sigma", 0.25, "--n", 100, "--n0", 10, "--limit", 3, "--format", "json")
    return rsuq("certify", "--model", f"nets.py:{name}", "--dataset", dataset, *settings, *flags)


def warnings(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    (found,) = result.json
    for one in found["warnings"]:
        assert f"warning: {one}" in result.stderr.splitlines()
    return list(found["warnings"])


def test_outputs_that_look_like_probabilities(dataset: str) -> None:
    (only,) = warnings(certify(dataset, "softmax"))
    assert "look like probabilities" in only
    assert "drop the softmax" in only
    # It is a property of the run, not of the call.
    assert warnings_of_report() == [only]


@pytest.mark.parametrize("command", [["certify"], ["ood", "--ood", "noise:smooth"]], ids=["certify", "ood"])
def test_a_run_that_is_killed_has_its_warnings(
    dataset: str, place: Place, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def killed(*_: object, **__: object) -> None:
        """What comes after the last commit of a killed process: nothing."""

    monkeypatch.setattr("rsuq_cli.run.under_way.finish_run", killed)
    settings = ("--sigma", 0.25, "--n", 100, "--n0", 10, "--limit", 3, "--format", "json")
    result = rsuq(*command, "--model", "nets.py:softmax", "--dataset", dataset, *settings)
    assert result.exit_code == 0, result.stderr
    ((status, stored),) = query(place.database, "SELECT status, warnings FROM run")
    assert status == "running"
    assert [line for line in json.loads(stored) if "look like probabilities" in line] == json.loads(stored)


def warnings_of_report() -> list[str]:
    (record,) = rsuq("report", "--format", "json").json
    return list(record["warnings"])


@pytest.mark.parametrize("name", ["logits", "log_softmax", "sigmoid"])
def test_logits_are_nothing_to_speak_of(dataset: str, name: str) -> None:
    """Log-probabilities are logits, and their softmax is the right one."""
    assert warnings(certify(dataset, name)) == []


def test_accuracy_near_chance_is_said_before_sampling(dataset: str) -> None:
    result = certify(dataset, "blind")
    (only,) = warnings(result)
    assert "the accuracy under noise of sigma 0.25 is near chance (3" in only
    assert f"rsuq train --model nets.py:blind --dataset {dataset} --sigma 0.25" in only
    lines = result.stderr.splitlines()
    assert lines.index(f"warning: {only}") < next(at for at, line in enumerate(lines) if line.startswith("run 1: 3 "))


def test_a_network_near_chance_is_not_sampled_at_a_terminal(
    dataset: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a script it goes on; whoever sits at a terminal is told first, and says --anyway."""
    monkeypatch.setattr("rsuq_cli.commands.certify.sys", Terminal())
    refused = certify(dataset, "blind")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "near chance" in refused.stderr
    assert "--anyway" in refused.stderr
    assert query(place.database, "SELECT COUNT(*) FROM run") == [(0,)]
    (only,) = warnings(certify(dataset, "blind", "--anyway"))
    assert "near chance" in only
    assert warnings(certify(dataset, "logits")) == []


class Terminal:
    """Stands in for `sys`, with somebody at the keyboard."""

    @property
    def stdin(self) -> Terminal:
        return self

    def isatty(self) -> bool:
        return True


def test_the_ways_out_are_commands(dataset: str, place: Place) -> None:
    assert rsuq("train", "--model", "nets.py:trainable", "--dataset", dataset, "--epochs", 1).exit_code == 0
    (weights,) = (place.work / "checkpoints").glob("*.safetensors")
    flags = ("certify", "--model", "nets.py:trainable", "--dataset", dataset, "--weights", weights)
    result = rsuq(*flags, "--sigma", 80, "--n", 60, "--n0", 10, "--limit", 2, "--format", "json")
    chance = [one for one in result.json[0]["warnings"] if "near chance" in one]
    train = f"rsuq train --model nets.py:trainable --dataset {dataset} --sigma 80"
    assert f"fine-tune these weights: {train} --init {weights}; or name weights" in chance[0]
    assert rsuq(*train.split()[1:], "--init", weights, "--epochs", 1).exit_code == 0


def test_an_ood_run_has_the_same_notes(dataset: str) -> None:
    flags = ("--model", "nets.py:softmax", "--dataset", dataset, "--n", 200, "--limit", 4, "--ood", "noise:uniform")
    result = rsuq("ood", *flags, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert "warning: the outputs look like probabilities" in result.stderr
    assert any(
        "run 1: the outputs look like" in " ".join(line.split()) for line in rsuq("ood", *flags).stdout.splitlines()
    )


def test_evidence_that_is_used_again_brings_its_notes_along(dataset: str) -> None:
    (only,) = warnings(certify(dataset, "softmax", "--n", 200))
    result = rsuq("ood", "--run", 1, "--ood", "noise:uniform", "--format", "json")
    assert result.exit_code == 0, result.stderr
    ((stored,),) = query(Path("rsuq.db").resolve(), "SELECT warnings FROM run WHERE id = 2")
    assert json.loads(stored) == [only]


def test_weights_that_say_another_sigma(place: Place) -> None:
    levels = write_npz(place.work / "levels.npz", **level_arrays())
    file = write_levels_weights(Path("w.pth"), *KNOWN["half"], args={"noise_sd": 0.5})
    flags = ("certify", "--model", "mlp", "--dataset", levels, "--weights", file, "--n", 100, "--limit", 2)
    (only,) = warnings(rsuq(*flags, "--sigma", 0.05, "--format", "json"))
    assert "trained at sigma 0.5, and are certified at sigma 0.05" in only


def test_a_checkpoint_of_ours_named_for_another_sigma(place: Place, trained: Path) -> None:
    (own,) = (trained.parent / "checkpoints").glob("*.safetensors")
    flags = ("certify", "--model", "mlp", "--weights", own, "--limit", 2, "--n", 100, "--format", "json")
    assert warnings(rsuq(*flags, "--sigma", 0.25)) == []
    (only,) = warnings(rsuq(*flags, "--sigma", 0.2))
    assert "trained at sigma 0.25, and are certified at sigma 0.2;" in only


def test_python_is_warned_of_probabilities() -> None:
    network, images = nn.Sequential(nn.Flatten(), nn.Softmax(dim=1)), torch.rand(3, 1, 2, 2)
    settings: dict[str, Any] = {"sigma": 0.25, "n": 200, "threshold": 0.4}
    with pytest.warns(UserWarning, match="look like probabilities"):
        rsuq_cli.certify(network, images, **settings)
