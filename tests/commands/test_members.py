"""`--members` and `--ensemble`: several networks asked about the same noise, on record and the same everywhere."""

from __future__ import annotations

import importlib
import json
import shlex
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commandline import committed, evidence, figures, query, refused, rsuq, start, stop_when
from safetensors.torch import save_file
from samples import Sample, blob_arrays

import rsuq_cli as api
from rsuq_cli.certificates.evidence import decode
from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.predictor import PLAIN

if TYPE_CHECKING:
    from conftest import Place

N = ("--n", 300, "--format", "json")
MEASURES = ("--uncertainty", "own_margin", "--uncertainty", "margin")


def weights(place: Place, name: str, seed: int | None = None) -> Path:
    """Writes the sample's own weights, or moved ones, in a file that no other is equal to."""
    own = 6 * torch.eye(3, 4)
    if seed is not None:
        own += torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
    file = place.work / f"{name}.safetensors"
    save_file({"fc.weight": own}, file, metadata={"called": name})
    return file


@pytest.fixture
def three(place: Place) -> str:
    """The list of a network and two further ones."""
    return ",".join(str(weights(place, name, seed)) for name, seed in (("a", None), ("b", 1), ("c", 2)))


def configuration(place: Place, run: int) -> dict[str, Any]:
    ((text,),) = query(place.database, f"SELECT configuration FROM run WHERE id = {run}")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def edges_and_counts(place: Place, run: int, measure: str) -> tuple[list[Any], list[Any]]:
    edges = query(place.database, f"SELECT edges FROM bin_edges WHERE run_id = {run} AND measure = '{measure}'")
    return edges, [decode(row[-1])[measure].estimation.tolist() for row in evidence(place.database, run)]


def test_members_that_reject_leave_the_classifier_as_it_is(place: Place, blobs: Sample, three: str) -> None:
    plain = rsuq("certify", *blobs.flags, *N, "--uncertainty", "margin", "--weights", three.split(",")[0]).json
    result = rsuq("certify", *blobs.flags, *N, *MEASURES, "--members", three, "--decide", "single")
    assert result.exit_code == 0, result.stderr
    assert "3 passes for every sample" in result.stderr
    by_measure = {record["measure"]: record for record in result.json}
    for name in ("acr_standard", "acr_cc", "acr_ncl", "gain", "threshold"):
        assert by_measure["margin"][name] == plain[0][name]
    for measure in PLAIN.measures:
        assert edges_and_counts(place, 1, measure) == edges_and_counts(place, 2, measure)


def test_their_mean_decides_unless_it_is_said_otherwise(place: Place, blobs: Sample, three: str) -> None:
    rsuq("certify", *blobs.flags, *N, *MEASURES, "--members", three)
    recorded = configuration(place, 1)
    assert (recorded["predictor"]["decide"], recorded["predictor"]["views"]) == ("mean", 1)
    assert len(recorded["predictor"]["members"]) == 2
    assert [one["file"] for one in recorded["members"]] == three.split(",")[1:]
    again = rsuq("certify", *blobs.flags, *N, *MEASURES, "--members", three, "--decide", "mean")
    assert "nothing to do" in again.stderr
    assert "mean of 3 networks" in rsuq("report").stdout


def test_copies_of_one_network_agree_about_everything(place: Place, blobs: Sample) -> None:
    copies = ",".join(str(weights(place, name)) for name in "abc")
    flags = ("--uncertainty", "mutual_information", "--uncertainty", "variation_ratio", "--uncertainty", "margin")
    found = rsuq("certify", *blobs.flags, *N, *flags, "--members", copies).json
    plain = rsuq("certify", *blobs.flags, *N, "--uncertainty", "margin").json
    by_measure = {record["measure"]: record for record in found}
    assert by_measure["mutual_information"]["threshold"] == pytest.approx(0, abs=1e-6)
    assert by_measure["variation_ratio"]["threshold"] == 0
    assert by_measure["margin"]["acr_standard"] == plain[0]["acr_standard"]


def test_the_order_of_the_further_ones_does_not_matter_to_figures(place: Place, blobs: Sample, three: str) -> None:
    first, second, third = three.split(",")
    one = rsuq("certify", *blobs.flags, *N, "--members", three, "--uncertainty", "own_margin").json[0]
    other = rsuq("certify", *blobs.flags, *N, "--members", f"{first},{third},{second}",
                 "--uncertainty", "own_margin").json[0]  # fmt: skip
    assert other["run_id"] == 2
    for name in ("acr_standard", "acr_cc", "acr_ncl"):
        assert one[name] == pytest.approx(other[name], rel=1e-3)


def test_views_and_members_multiply(place: Place, blobs: Sample, three: str) -> None:
    result = rsuq("certify", *blobs.flags, "--n", 300, "--members", three, "--views", 2, "--uncertainty", "own_margin")
    assert "6 passes for every sample" in result.stderr
    assert "mean of 3 networks × 2 views" in result.stdout


@pytest.mark.parametrize("decide", [pytest.param("single", marks=pytest.mark.slow), "mean"])
def test_it_is_audited_predicted_and_compared_as_it_was_certified(
    place: Place, blobs: Sample, three: str, decide: str
) -> None:
    rsuq("certify", *blobs.flags, *N, *MEASURES, "--members", three, "--decide", decide)
    audit = rsuq("audit", 1, "--inputs", 4, "--steps", 3, "--format", "json")
    assert audit.exit_code == 0, audit.stderr
    assert query(place.database, "SELECT COUNT(*), SUM(broken) FROM audit_ball")[0][1] == 0
    image = place.work / "image.npy"
    np.save(image, blob_arrays()["x_test"][0])
    ((class_index, decision, ncl),) = query(
        place.database,
        "SELECT class_index, decision, radius_ncl FROM certified_sample WHERE scoring_id = 1 AND input_index = 0",
    )
    (answer,) = rsuq("predict", image, "--run", 1, "--format", "json").json
    assert (answer["class"], answer["decision"], answer["radius_ncl"]) == (class_index, decision, ncl)
    named = ("--members", three, "--decide", decide, "--uncertainty", "own_margin", "--n", 300, "--format", "json")
    (answer,) = rsuq("predict", image, *blobs.flags, *named).json
    assert (answer["class"], answer["decision"], answer["radius_ncl"]) == (class_index, decision, ncl)
    compared = rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--uncertainty", "own_margin", "--limit", 6)
    assert compared.exit_code == 0, compared.stderr
    assert configuration(place, 2)["predictor"] == configuration(place, 1)["predictor"]


@pytest.mark.slow
def test_the_evidence_is_the_same_in_every_batch_and_by_every_worker(place: Place, blobs: Sample, three: str) -> None:
    rsuq("certify", *blobs.flags, *N, *MEASURES, "--members", three, "--batch-size", 64)
    for flags in (("--batch-size", 1000), ("--workers", 2)):
        other = place.work / f"{flags[0]}.db"
        result = rsuq("certify", *blobs.flags, *N, *MEASURES, "--members", three, *flags, "--db", other)
        assert result.exit_code == 0, result.stderr
        assert evidence(other) == evidence(place.database)


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_evidence(place: Place, blobs: Sample, three: str) -> None:
    flags = (*MEASURES, "--members", three)
    command = ("certify", *blobs.flags, *flags, "--n", 300, "--batch-size", 64, "--format", "json")
    process = start(*command, SLOW_FORWARD="0.006")
    killed = stop_when(process, lambda: committed(place.database) >= 3, signal.SIGKILL)
    assert killed.exit_code == -signal.SIGKILL
    whole = place.work / "whole.db"
    expected = rsuq(*command, "--db", whole)
    completed = rsuq(*command)
    assert 3 <= len(evidence(place.database)) == 12
    assert evidence(place.database) == evidence(whole)
    assert figures(completed) == figures(expected)


def test_another_member_is_another_run_and_a_changed_one_is_refused(place: Place, blobs: Sample, three: str) -> None:
    command = ("certify", *blobs.flags, *N, "--members")
    rsuq(*command, three)
    first, second, _ = three.split(",")
    assert rsuq(*command, f"{first},{second}").json[0]["run_id"] == 2
    weights(place, "c", 3)
    assert rsuq(*command, three).json[0]["run_id"] == 3
    assert "the weights of a member are not those that they were" in refused(rsuq("audit", 1, "--inputs", 1))
    (place.work / "c.safetensors").unlink()
    assert "the weights of a member are not there" in refused(rsuq("audit", 1, "--inputs", 1))


def test_the_line_to_make_it_again_makes_it_again(place: Place, blobs: Sample, three: str) -> None:
    rsuq("certify", *blobs.flags, *N, "--members", three, "--views", 2, "--uncertainty", "own_margin")
    lines = rsuq("runs", "show", 1).stdout.splitlines()
    (again,) = [line.removeprefix("again").strip() for line in lines if line.startswith("again")]
    # What was named by file is to be named again, as the page says.
    result = rsuq(*shlex.split(again)[1:], "--weights", three.split(",")[0])
    assert "nothing to do" in result.stderr


def test_python_has_them_too() -> None:
    class Bright(torch.nn.Module):
        def __init__(self, weight: float) -> None:
            super().__init__()
            self.weight = weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bright = self.weight * (x.mean(dim=(1, 2, 3)) - 0.5)
            return torch.stack([bright, -bright], dim=1)

    images = torch.full((1, 1, 2, 4), 0.9)
    certified = partial(api.certify, Bright(1.0), images, sigma=0.1, n=300, uncertainty="own_margin", threshold=0.9)
    # The further network says the contrary, and louder.
    contrary = Bright(-4.0)
    assert certified(members=[contrary]).class_index.tolist() == [1]
    single = certified(members=[contrary], decide="single")
    assert (single.class_index.tolist(), single.decision.tolist()) == ([0], ["uncertain"])
    with pytest.raises(BadInput, match="members holds the model itself"):
        api.certify(contrary, images, sigma=0.1, members=[contrary], uncertainty="own_margin", threshold=0.5)


def test_an_ensemble_is_trained_network_by_network_and_certified(place: Place) -> None:
    train = ("train", "--model", "mlp", "--epochs", 1, "--ensemble", 2, "--name", "pair")
    first = rsuq(*train)
    assert "network 2 of 2, seed 1" in first.stderr
    assert "rsuq certify --members 1,2" in first.stdout
    assert query(place.database, "SELECT id, name FROM checkpoint") == [(1, "pair-1"), (2, "pair-2")]
    again = rsuq(*train, "--format", "json")
    assert [one["checkpoint_id"] for one in again.json] == [1, 2]
    plan = rsuq("train", "--model", "mlp", "--epochs", 1, "--ensemble", 3, "--dry-run", "--format", "json").json
    assert plan["members"] == [1, 2, None]
    result = rsuq("certify", "--members", "pair-1,2", "--limit", 4, "--n", 200, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert result.json[0]["model"] == "mlp"
    assert [(one["id"], one["runs"]) for one in rsuq("models", "list", "--format", "json").json] == [(1, [1]), (2, [1])]


def test_what_cannot_be_asked_is_one_line(place: Place, blobs: Sample, three: str) -> None:
    command = ("certify", *blobs.flags, *N, "--members")
    first, second, _ = three.split(",")
    assert "is one network; name two or more" in refused(rsuq(*command, first))
    assert "has an empty place" in refused(rsuq(*command, f"{first},,{second}"))
    assert "there is no checkpoint 7" in refused(rsuq(*command, f"{first},7"))
    assert "is the first network itself" in refused(rsuq(*command, f"{first},{first}"))
    assert "names a network twice" in refused(rsuq(*command, f"{first},{second},{second}"))
    other = place.work / "other.safetensors"
    save_file({"fc.weight": torch.zeros(2, 4)}, other)
    assert rsuq(*command, f"{first},{other}").exit_code == 2
    assert "--ensemble is 1" in refused(rsuq("train", "--ensemble", 1))
    rsuq(*command, three)
    assert "both --run and --members are given" in refused(
        rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--members", three)
    )


# What a member imports decides what it computes; its own file and weights stay as they are.
MEMBER = """
import sys
sys.path.insert(0, {folder!r})
from torch import nn
import imported

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3, bias=False)
        self.drop = nn.Dropout(imported.RATE)

    def forward(self, x):
        return imported.FACTOR * self.fc(self.drop(x.flatten(1)))

def make():
    return Net()
"""


@pytest.fixture
def imported(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes what the member imports, and lets it be imported anew."""
    (place.work / "member.py").write_text(MEMBER.format(folder=str(place.work)))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text: str) -> None:
        (place.work / "imported.py").write_text(text)
        sys.modules.pop("imported", None)
        importlib.invalidate_caches()

    write("FACTOR, RATE = 1.0, 0.2")
    return write


def test_a_member_that_computes_something_else_is_another_one(
    place: Place, blobs: Sample, imported: Callable[[str], None]
) -> None:
    """With the same file and weights: its answers are on record, as those of the first network are."""
    own = ("--model", f"{place.work / 'member.py'}:make", "--dataset", blobs.dataset)
    trained = rsuq("train", *own, "--epochs", 1)
    assert trained.exit_code == 0, trained.stderr
    command = ("certify", *blobs.flags, *N, "--weights", weights(place, "a"), "--members", 1)
    first = rsuq(*command)
    assert "do not both name their classes" in first.stderr
    assert "nothing to do" in rsuq(*command).stderr
    imported("FACTOR, RATE = -3.0, 0.2")
    other = rsuq(*command)
    assert other.json[0]["run_id"] == 2, other.stderr
    assert "computes something else than in run 1" in refused(rsuq("audit", 1, "--inputs", 1))
    (place.work / "member.py").write_text((place.work / "member.py").read_text() + "# changed")
    assert rsuq(*command).json[0]["run_id"] == 3
    assert "the file of a member is not that of run 2" in refused(rsuq("audit", 2, "--inputs", 1))


def test_other_rates_of_its_own_dropout_are_another_network(
    place: Place, blobs: Sample, imported: Callable[[str], None]
) -> None:
    """Without masks, which is how networks are looked at, nothing shows them."""
    own = ("--model", f"{place.work / 'member.py'}:make", "--dataset", blobs.dataset)
    command = ("certify", *own, *N, "--weights", weights(place, "a"), "--mc-dropout", 0.5)
    assert "the network's own dropout layers, at rates of 0.2" in rsuq(*command).stderr
    imported("FACTOR, RATE = 1.0, 0.9")
    other = rsuq(*command)
    assert other.json[0]["run_id"] == 2, other.stderr
    assert "has other dropout layers than in run 1" in refused(rsuq("audit", 1, "--inputs", 1))
