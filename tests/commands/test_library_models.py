"""Models of other libraries by name, end to end: trained or published weights, the data's classes, where noise is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import query, rsuq
from conftest import Place
from PIL import Image
from torch import nn

from rsuq_cli.models.loading import open_model

timm = pytest.importorskip("timm")
MODEL = "timm:test_resnet@16"
QUICK = ("--sigma", 0.25, "--n", 60, "--n0", 10, "--format", "json")


def write_folder(root: Path, *classes: str, test: int = 4, train: int = 40) -> str:
    """Writes a folder of small pictures, each class of its own brightness."""
    draws = np.random.default_rng(0)
    for at, name in enumerate(classes):
        for split, count in (("train", train), ("test", test)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 40, size=(12, 12, 3)) + 200 * at // max(1, len(classes) - 1)
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{number}.png")
    return f"folder:{root}"


@pytest.fixture
def published(place: Place, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """What timm "downloads" for the tiny network: weights that this test drew."""
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", num_classes=1000)
    real = timm.create_model

    def created(name: str, pretrained: bool = False, **options: object) -> nn.Module:
        made = real(name, pretrained=False, **options)
        if pretrained:
            made.load_state_dict(network.state_dict())
        return made

    monkeypatch.setattr(timm, "create_model", created)
    return network


@pytest.mark.slow
def test_trained_on_a_folder_certified_and_audited(place: Place) -> None:
    data = write_folder(place.work / "pets", "cat", "dog")
    trained = rsuq("train", "--model", MODEL, "--dataset", data, "--epochs", 1, "--batch-size", 16)
    assert trained.exit_code == 0, trained.stderr
    certified = rsuq("certify", "--model", MODEL, "--dataset", data, *QUICK)
    assert certified.exit_code == 0, certified.stderr
    assert "noise is added at 12×12 pixels, the data's size; the network sees 16×16 of it" in certified.stderr
    shown = rsuq("runs", "show", 1)
    assert "noise is added at 12×12" in shown.stdout
    (row,) = query(place.database, "SELECT configuration FROM run")
    assert json.loads(row[0])["preprocessing"]["seen_at"] == [3, 16, 16]
    audited = rsuq("audit", 1, "--inputs", 2, "--steps", 2, "--n", 50, "--format", "json")
    assert audited.exit_code == 0, audited.stderr
    assert "noise is added at 12×12" in audited.stderr
    assert "run 1: noise is added at 12×12" in " ".join(rsuq("report").stdout.split())
    exported = rsuq("models", "export", 1, "--output", "out")
    assert exported.exit_code == 0
    if torch.__version__ < "2.7":  # which cannot follow a resize for batches of any size
        assert "no network.pt2 is written: torch.export cannot follow" in exported.stderr
        return
    program = torch.export.load(str(place.work / "out" / "network.pt2")).module()
    (weights,) = (place.work / "checkpoints").glob("*.safetensors")
    images = torch.rand(5, 3, 12, 12)
    network = open_model(MODEL, shape=(3, 12, 12), num_classes=2, weights=weights).module
    assert torch.allclose(program(images), network(images), atol=1e-4)
    assert "noise is added at 12×12 pixels" in (place.work / "out" / "README.md").read_text(encoding="utf-8")
    again = rsuq("certify", "--model", MODEL, "--dataset", data, *QUICK)
    assert "nothing to do" in again.stderr


def test_noise_at_the_size_that_the_network_sees(place: Place, published: nn.Module) -> None:
    data = write_folder(place.work / "fish", "tench", "goldfish", train=20)
    flags = ("--model", MODEL, "--pretrained", "--dataset", data, "--threshold", 0.5, *QUICK)
    at_data, at_model = rsuq("certify", *flags), rsuq("certify", *flags, "--noise-at", "model")
    assert "noise is added at 12×12 pixels, the data's size" in at_data.stderr
    assert "noise is added at 16×16 pixels, the size that the network sees" in at_model.stderr
    assert [one.json[0]["dataset"][-3:] for one in (at_data, at_model)] == ["ish", "@16"]
    refused = rsuq("certify", *flags, "--noise-at", "model", "--image-size", 20)
    assert refused.exit_code == 2
    assert len(refused.stderr.strip().splitlines()) <= 2


def test_classes_that_the_data_have_not_stay_rivals(place: Place, published: nn.Module) -> None:
    """The network always says class 1; goldfish are right, and what is tench is wrong, though two classes are there."""
    with torch.no_grad():
        head = published.get_submodule("fc")
        assert isinstance(head, nn.Linear)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        head.bias[1] = 9.0
    data = write_folder(place.work / "fish", "n01440764", "goldfish", train=30)
    found = rsuq("certify", "--model", MODEL, "--pretrained", "--dataset", data, "--threshold", 0.5, *QUICK)
    assert found.exit_code == 0, found.stderr
    assert "998 classes that" in found.stderr
    assert found.json[0]["accuracy"] == 0.5
    (names,) = query(place.database, "SELECT class_names FROM run")[0]
    assert json.loads(names)[:3] == ["n01440764", "goldfish", "great white shark, white shark, man-eater, "
                                     "man-eating shark, Carcharodon carcharias"]  # fmt: skip
    audited = rsuq("audit", 1, "--inputs", 1, "--steps", 2, "--n", 50)
    assert audited.exit_code == 0, audited.stderr
    assert any(one.startswith("0.0% of the votes of noisy") for one in found.json[0]["warnings"])


def test_a_vote_for_a_class_that_the_data_have_not_is_wrong(place: Place, published: nn.Module) -> None:
    with torch.no_grad():
        head = published.get_submodule("fc")
        assert isinstance(head, nn.Linear)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        head.bias[700] = 9.0
    data = write_folder(place.work / "fish", "tench", "goldfish", train=30)
    found = rsuq("certify", "--model", MODEL, "--pretrained", "--dataset", data, "--threshold", 0.5, *QUICK)
    assert found.json[0]["accuracy"] == 0.0
    assert found.json[0]["acr_cc"] == 0.0
    assert any(one.startswith("100.0% of the votes") for one in found.json[0]["warnings"])


def test_classes_that_the_network_does_not_know_are_one_line(place: Place, published: nn.Module) -> None:
    for classes, what in ((("tench", "dragon"), "dragon"), (("tench", "crane"), "WordNet")):
        data = write_folder(place.work / classes[1], *classes, train=20)
        refused = rsuq("certify", "--model", MODEL, "--pretrained", "--dataset", data, "--threshold", 0.5, *QUICK)
        assert refused.exit_code == 2
        assert what in refused.stderr


def test_published_weights_are_fine_tuned(place: Place, published: nn.Module) -> None:
    data = write_folder(place.work / "pets", "cat", "dog")
    flags = ("--model", MODEL, "--dataset", data)
    tuned = rsuq("train", *flags, "--pretrained", "--epochs", 1, "--batch-size", 16)
    assert tuned.exit_code == 0, tuned.stderr
    assert "drawn anew: network.fc.weight, network.fc.bias" in tuned.stderr
    assert "before," in tuned.stderr
    assert rsuq("certify", *flags, *QUICK).exit_code == 0


def test_a_study_has_them_too(place: Place) -> None:
    data = write_folder(place.work / "pets", "cat", "dog")
    plan = f'name = "pets"\ndataset = "{data}"\nsigma = [0.25]\nnetwork = ["{MODEL}"]\nsource = ["entropy"]\n'
    (place.work / "plan.toml").write_text(plan)
    told = rsuq("study", "plan.toml", "--dry-run")
    assert told.exit_code == 0, told.stderr
    assert MODEL in told.stdout


def test_pretrained_is_for_libraries(place: Place) -> None:
    for flag in ("--pretrained", "--noise-at=model"):
        refused = rsuq("certify", "--model", "cnn", flag)
        assert refused.exit_code == 2
        assert "of a library, and cnn is none" in refused.stderr
