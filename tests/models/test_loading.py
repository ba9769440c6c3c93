"""Opening a model: ready to certify, identified by its weights, and checked against the data."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.checkpoints import CheckpointMetadata, save_checkpoint
from rsuq_cli.models.loading import content_sha256, open_model
from rsuq_cli.models.zoo import build

SOURCE = """
import torch
from torch import nn

class Half(nn.Module):
    '''The half-space classifier: no weights in its state dict at all.'''
    def forward(self, x):
        m = x.flatten(1).sum(1) - 1.0
        return torch.stack([m, -m], 1)

class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)
    def forward(self, x):
        # Never twice the same: masks of four pixels would be, now and then.
        return self.linear(x.flatten(1) + torch.rand(len(x), 4))

class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value
    def forward(self, x):
        return self.value

class OnePlace(nn.Module):
    '''Writes what another network says into the same memory, call after call.'''
    def __init__(self, inner):
        super().__init__()
        self.inner, self.place = inner, torch.zeros(2, 2)
    def forward(self, x):
        return self.place.copy_(self.inner(x)) if len(x) == 2 else self.inner(x)

def half(): return Half()
def three(): return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
def wide(): return nn.Sequential(nn.Flatten(), nn.Linear(5, 2))
def flat(): return nn.Flatten(0)
def pair(): return Constant((1, 2))
def nan(): return Constant(torch.full((2, 2), float('nan')))
def whole(): return Constant(torch.zeros(2, 2, dtype=torch.int64))
def crowd(): return nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(4, 2))
def moody(): return Moody()
def moody_in_one_place(): return OnePlace(moody())
def crowd_in_one_place(): return OnePlace(crowd())
def drop(): return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 2))
"""
SHAPE = (1, 2, 2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = build("cnn", shape=(1, 8, 8), num_classes=3, mean=(0.3,), std=(0.4,))
    meta = CheckpointMetadata("cnn", "digits", (1, 8, 8), ("a", "b", "c"), 0.25, "gaussian", 1, 0, 0.9, 0.8)
    return save_checkpoint(tmp_path, model, meta).path


def refusal(spec: str, weights: Path | None = None, *, shape: tuple[int, int, int] = SHAPE, classes: int = 2) -> str:
    with pytest.raises(BadInput) as caught:
        open_model(spec, shape=shape, num_classes=classes, weights=weights)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_checkpoint_opens_ready_to_certify(checkpoint: Path) -> None:
    model = open_model("cnn", shape=(1, 8, 8), num_classes=3, weights=checkpoint)
    assert model.weights_sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert model.source == str(checkpoint)
    assert model.source_sha256 == ""
    assert model.metadata["sigma"] == 0.25
    assert not any(module.training for module in model.module.modules())
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert model.module.state_dict()["normalise.mean"].item() == pytest.approx(0.3)


def test_published_weights_get_the_normalisation_of_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    network = build("resnet20", shape=(3, 8, 8), num_classes=3).network
    assert isinstance(network, nn.Module)
    torch.save({"arch": "cifar_resnet20", "state_dict": nn.Sequential(nn.Identity(), network).state_dict()}, path)
    model = open_model("resnet20", shape=(3, 8, 8), num_classes=3, weights=path, mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
    assert model.module.state_dict()["normalise.mean"].flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_a_checkpoint_of_other_data_is_refused_with_both_numbers(checkpoint: Path) -> None:
    text = refusal("cnn", checkpoint, shape=(1, 8, 8), classes=5)
    assert "3 classes" in text
    assert "have 5" in text
    # The network itself would take this size; only the metadata tell.
    text = refusal("cnn", checkpoint, shape=(1, 16, 16), classes=3)
    assert "1×8×8" in text
    assert "1×16×16" in text


def test_a_checkpoint_of_another_model_names_it(checkpoint: Path) -> None:
    assert "names itself cnn" in refusal("mlp", checkpoint, shape=(1, 8, 8), classes=3)


def test_a_named_model_needs_weights() -> None:
    assert "cnn has no weights" in refusal("cnn", shape=(1, 8, 8))


def test_a_factory_with_its_own_weights_is_identified_by_weights_and_source(file: Path) -> None:
    def opened() -> str:
        return open_model(f"{file}:half", shape=SHAPE, num_classes=2).weights_sha256

    first = opened()
    assert opened() == first
    file.write_text(SOURCE.replace("- 1.0", "- 2.0"))  # another function with the same, empty, state dict
    assert opened() != first


def test_a_factory_with_a_weights_file(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).state_dict(), path)
    model = open_model(f"{file}:three", shape=SHAPE, num_classes=3, weights=path)
    assert torch.equal(model.module.state_dict()["1.bias"], torch.load(path, weights_only=True)["1.bias"])
    assert model.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.source_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("three", "answers with 3 classes, and the data have 2"),
        ("wide", "RuntimeError"),
        ("flat", "[8], not [2, 2]"),
        ("pair", "tuple"),
        ("nan", "not finite"),
        ("whole", "not finite floating-point"),
        ("crowd", "depends on the others in its batch"),
        ("moody", "answers differently each time"),
        ("moody_in_one_place", "answers differently each time"),
        ("crowd_in_one_place", "depends on the others in its batch"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused(file: Path, factory: str, words: str) -> None:
    assert words in refusal(f"{file}:{factory}")


def test_dropout_is_off(file: Path) -> None:
    model = open_model(f"{file}:drop", shape=SHAPE, num_classes=2).module
    assert torch.equal(model(torch.ones(4, *SHAPE)), model(torch.ones(4, *SHAPE)))


def test_the_content_hash_sees_values_names_types_and_salt() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(2, 2)
    hashes = {content_sha256(layer), content_sha256(layer, salt="x"), content_sha256(nn.Sequential(layer))}
    hashes.add(content_sha256(nn.Linear(2, 2).to(torch.bfloat16)))
    with torch.no_grad():
        layer.bias[0] += 1
    hashes.add(content_sha256(layer))
    assert len(hashes) == 5
