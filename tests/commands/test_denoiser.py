"""`--denoiser`: what is certified is the network behind it, on record, found again, and the same everywhere."""

from __future__ import annotations

import json
import shlex
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commandline import Result, committed, evidence, query, refused, rsuq, start, stop_when
from safetensors.torch import load_file
from samples import Sample, blob_arrays, write_npz

from rsuq_cli.certificates.evidence import decode
from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.models.checkpoints import read_metadata

if TYPE_CHECKING:
    from conftest import Place

N = ("--n", 300, "--format", "json")
FRONT = """
import torch
from torch import nn

class Shrunk(nn.Module):
    def forward(self, x):
        return 0.2 + 0.7 * (x - 0.2)

def make():
    return Shrunk()
"""
BEHIND = """
import torch
from torch import nn

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(6 * torch.eye(3, 4))

    def forward(self, x):
        return self.fc((0.2 + 0.7 * (x - 0.2)).flatten(1))

def make():
    return Both()
"""


@pytest.fixture
def front(place: Place) -> str:
    """A denoiser of one's own that changes every answer a little."""
    (place.work / "front.py").write_text(FRONT)
    return f"{place.work / 'front.py'}:make"


def train(sample: Sample, *flags: object) -> Result:
    result = rsuq(
        "train", "--denoiser", "unet", "--for", sample.model, "--dataset", sample.dataset, "--sigma", 0.25,
        "--epochs", 2, "--format", "json", *flags,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return result


def certify(sample: Sample, *flags: object) -> Result:
    result = rsuq("certify", *sample.flags, *N, *flags)
    assert result.exit_code == 0, result.stderr
    return result


def configuration(place: Place, table: str, number: int) -> dict[str, Any]:
    ((text,),) = query(place.database, f"SELECT configuration FROM {table} WHERE id = {number}")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def counts(place: Place, run: int) -> list[Any]:
    return [decode(row[-1])["entropy"].estimation.tolist() for row in evidence(place.database, run)]


def test_the_evidence_is_that_of_both_as_one_network(place: Place, blobs: Sample, front: str) -> None:
    (place.work / "both.py").write_text(BEHIND)
    given = ("--threshold", 0.5)
    certify(blobs, "--denoiser", front, *given)
    certify(Sample(f"{place.work / 'both.py'}:make", blobs.dataset), *given)
    certify(blobs, *given)
    assert counts(place, 1) == counts(place, 2)
    assert counts(place, 1) != counts(place, 3)


def test_it_is_another_run_found_again_and_named_in_reports(place: Place, blobs: Sample, front: str) -> None:
    (plain,), (behind,) = certify(blobs).json, certify(blobs, "--denoiser", front).json
    assert (plain["run_id"], behind["run_id"]) == (1, 2)
    assert certify(blobs, "--denoiser", front).json[0]["run_id"] == 2
    sha256 = configuration(place, "run", 2)["predictor"]["denoiser"]
    assert "predictor" not in configuration(place, "run", 1)
    told = rsuq("report").stdout
    assert f"behind denoiser {sha256[:8]}" in told
    assert "rejects by more passes" not in told


def test_trained_it_is_a_checkpoint_of_its_own_and_the_network_is_untouched(place: Place, blobs: Sample) -> None:
    trained = train(blobs)
    assert "right under noise" in trained.stderr
    (record,) = trained.json
    assert record["model"] == "unet"
    names = set(load_file(record["file"]))
    assert names
    assert not any(name.startswith(("network", "denoiser", "fc")) for name in names)
    assert "trained already: checkpoint 1" in train(blobs).stderr
    stability = train(blobs, "--objective", "denoise-stability", "--init", 1)
    assert stability.json[0]["checkpoint_id"] == 2
    assert configuration(place, "checkpoint", 2)["began_with"]["objective"] == "denoise-mse"
    (record,) = certify(blobs, "--denoiser", 2).json
    assert rsuq("models", "--format", "json").json[1]["runs"] == [record["run_id"]]


def test_every_command_opens_it_again(place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    train(blobs)
    certify(blobs, "--denoiser", 1)
    elsewhere = place.root / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    audit = rsuq("audit", 1, "--inputs", 4, "--steps", 3, "--format", "json")
    assert audit.exit_code == 0, audit.stderr
    assert all(record["broken"] == 0 for record in audit.json)
    images = np.load(blobs.dataset.removeprefix("npz:"))["x_test"]
    np.save(elsewhere / "image.npy", images[3])
    answer = rsuq("predict", elsewhere / "image.npy", "--run", 1, "--format", "json").json[0]
    ((radius,),) = query(place.database, "SELECT radius_cc FROM certified_sample WHERE input_index = 3")
    assert answer["radius_cc"] == radius
    ood = rsuq("ood", "--run", 1, "--ood", "noise:uniform", "--limit", 6, "--format", "json")
    assert ood.exit_code == 0, ood.stderr
    page = elsewhere / "page.html"
    assert rsuq("report", "--html", page).exit_code == 0
    assert "--denoiser" in page.read_text()
    assert "Asked for every noise sample: one pass, behind denoiser " in page.read_text()
    assert shlex.quote(rsuq("models", "--format", "json").json[0]["file"]) in page.read_text()


def test_an_interrupted_run_goes_on_with_the_same_evidence_in_other_batches(
    place: Place, blobs: Sample, front: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("certify", *blobs.flags, "--denoiser", front, "--n", 300, "--batch-size")
    whole = place.work / "whole.db"
    assert rsuq(*flags, 1000, "--db", whole).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setenv("INTERRUPT_AT", "140")
        assert rsuq(*flags, 64).exit_code == 130
    assert 0 < committed(place.database) < 12
    assert rsuq(*flags, 64).exit_code == 0
    assert evidence(place.database) == evidence(whole)


@pytest.mark.slow
def test_workers_and_a_killed_run_have_the_same_evidence(place: Place, blobs: Sample) -> None:
    train(blobs)
    flags = ("certify", *blobs.flags, "--denoiser", 1, "--n", 4000, "--batch-size", 256)
    process = start(*flags, SLOW_FORWARD="0.05")
    assert stop_when(process, partial(_begun, place), signal.SIGKILL).exit_code < 0
    assert 0 < committed(place.database) < 12
    assert rsuq(*flags).exit_code == 0
    once = evidence(place.database)
    assert rsuq(*flags, "--fresh", "--workers", 2).exit_code == 0
    assert evidence(place.database, 2) == once


def _begun(place: Place) -> bool:
    return place.database.exists() and committed(place.database) > 0


def test_another_file_in_its_place_is_refused(place: Place, blobs: Sample, front: str) -> None:
    certify(blobs, "--denoiser", front)
    (place.work / "front.py").write_text(FRONT.replace("0.7", "0.6"))
    assert "is not what it was" in refused(rsuq("audit", 1, "--inputs", 2))
    assert certify(blobs, "--denoiser", front).json[0]["run_id"] == 2


WEIGHED = """
import torch
from torch import nn

def make(shape):
    front = nn.Conv2d(shape[0], shape[0], 1)
    front.load_state_dict(torch.load("{weights}"))
    return front
"""


def test_other_weights_of_a_factory_are_refused_everywhere(place: Place, blobs: Sample) -> None:
    weights = place.work / "front.pt"
    (place.work / "front.py").write_text(WEIGHED.format(weights=weights))

    def save(bias: float) -> None:
        torch.save({"weight": torch.ones(1, 1, 1, 1), "bias": torch.tensor([bias])}, weights)

    save(0.0)
    certify(blobs, "--denoiser", f"{place.work / 'front.py'}:make")
    against = ("ood", "--run", 1, "--ood", "noise:uniform", "--limit", 6)
    assert rsuq(*against).exit_code == 0
    save(1e-9)  # what it computes is the same within rounding
    again = rsuq(*against)
    assert again.exit_code == 2
    assert "was made with another denoiser_content_sha256" in again.stderr
    assert "has other weights than in run 1" in refused(rsuq("audit", 1, "--inputs", 2))


@pytest.mark.parametrize("spec", ["front.py:make", "fronts.first:make"])
def test_a_relative_factory_is_found_from_another_folder(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    (place.work / "fronts").mkdir()
    for file in ("front.py", "fronts/__init__.py", "fronts/first.py"):
        (place.work / file).write_text(FRONT)
    certify(blobs, "--denoiser", spec)
    elsewhere = place.root / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    np.save("image.npy", blob_arrays()["x_test"][3])
    for command in (
        ("audit", 1, "--inputs", 2, "--steps", 2),
        ("predict", "image.npy", "--run", 1),
        ("ood", "--run", 1, "--ood", "noise:uniform", "--limit", 6),
    ):  # fmt: skip
        result = rsuq(*command)
        assert result.exit_code == 0, (command, result.stderr)
    page = rsuq("report", "--html", "page.html")
    assert page.exit_code == 0, page.stderr


def grown(file: Path, more: int) -> str:
    """Writes the data with images before the others, so that the division into parts falls elsewhere."""
    arrays, before = blob_arrays(train=200), blob_arrays(train=more, seed=1)
    joined: dict[str, Any] = {key: np.concatenate([before[key], arrays[key]]) for key in ("x_train", "y_train")}
    return write_npz(file, **arrays | joined)


def seen_by(result: Result) -> SeenImages:
    metadata = read_metadata(Path(result.json[0]["file"]))
    assert metadata is not None
    seen = SeenImages.unpacked(metadata.trained_on)
    assert seen is not None
    return seen


def test_images_that_a_denoiser_saw_calibrate_nothing_when_a_run_is_opened_again(place: Place, blobs: Sample) -> None:
    data = Sample(blobs.model, grown(place.work / "more.npz", 0))
    train(data)
    grown(place.work / "more.npz", 60)
    (record,) = certify(data, "--denoiser", 1, "--split", "calibration", "--limit", 4).json
    assert "are among those that unet-" in record["warnings"][0]
    audit = rsuq("audit", record["run_id"], "--inputs", 1, "--steps", 1)
    assert audit.exit_code == 0, audit.stderr


def test_a_denoiser_and_what_begins_with_weights_know_what_the_earlier_network_saw(place: Place) -> None:
    dataset = grown(place.work / "more.npz", 0)
    first = rsuq("train", "--model", "mlp", "--dataset", dataset, "--epochs", 1, "--format", "json")
    before = open_dataset(dataset).load("train").images
    assert seen_by(first).among(before).all()
    grown(place.work / "more.npz", 60)
    now = open_dataset(dataset)
    both = torch.cat([before, now.load("train").images])
    assert not seen_by(first).among(both).all()
    assert seen_by(first).among(now.load("calibration").images).any()
    tuned = rsuq("train", "--model", "mlp", "--dataset", dataset, "--init", 1, "--epochs", 1, "--format", "json")
    assert seen_by(tuned).among(both).all()
    assert seen_by(train(Sample("1", dataset))).among(before).all()


def test_under_dropout_and_in_an_ensemble_it_stands_before_every_network(blobs: Sample, front: str) -> None:
    (record,) = certify(blobs, "--denoiser", front, "--mc-dropout", 0.2, "--passes", 3, "--views", 2).json
    assert "denoiser" in record["predictor"]
    assert rsuq("audit", record["run_id"], "--inputs", 3, "--steps", 2).exit_code == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--denoiser", "unet"), "--denoiser is given without --for"),
        (("--for", "cnn"), "--for is given without --denoiser"),
        (("--denoiser", "unett", "--for", "cnn"), "did you mean unet?"),
        (("--denoiser", "unet", "--for", "cnn", "--model", "cnn"), "leave --model out"),
        (("--denoiser", "unet", "--for", "nothing"), "no checkpoint nothing, and no file nothing"),
        (("--objective", "denoise-mse"), "trains a denoiser"),
        (("--frozen-body",), "--frozen-body without --init or --pretrained"),
    ],
)
@pytest.mark.usefixtures("place")
def test_what_cannot_be_trained_is_one_line(flags: tuple[str, ...], words: str) -> None:
    assert words in refused(rsuq("train", *flags))


def test_a_denoiser_is_no_network_and_a_network_no_denoiser(place: Place, blobs: Sample) -> None:
    train(blobs)
    assert "is a denoiser" in refused(rsuq("certify", *blobs.flags, "--checkpoint", 1))
    assert "is a denoiser" in refused(rsuq("models", "export", 1))
    assert "is a denoiser" in refused(rsuq("train", "--denoiser", "unet", "--for", 1, "--dataset", blobs.dataset))
    other = place.work / "w.pt"
    torch.save({"weight": torch.zeros(2)}, other)
    assert "is no denoiser" in refused(rsuq("certify", *blobs.flags, "--denoiser", other))


def test_a_frozen_body_trains_its_last_layer_alone(place: Place) -> None:
    base = ("train", "--model", "mlp", "--epochs", 1, "--format", "json")
    first = rsuq(*base, "--sigma", 0.25).json[0]["file"]
    tuned = rsuq(*base, "--sigma", 0.5, "--init", 1, "--frozen-body")
    before, after = load_file(first), load_file(tuned.json[0]["file"])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"network.fc.weight", "network.fc.bias"}
    assert configuration(place, "checkpoint", 2)["frozen_body"] is True
    assert "before" in tuned.stderr.splitlines()[-1]
