"""Weights in every published layout, and refusals: damaged, malicious, of another architecture or other data."""

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.weights import StateDict, load_into, read_weights
from rsuq_cli.models.zoo import build


def resnet20(shape: tuple[int, int, int] = (3, 32, 32), num_classes: int = 10) -> nn.Module:
    return build("resnet20", shape=shape, num_classes=num_classes, mean=(0.5,) * shape[0], std=(0.25,) * shape[0])


def published(prefix: str) -> dict[str, torch.Tensor]:
    """Returns a resnet20's weights, named as the wrapper of some training script names them."""
    torch.manual_seed(3)
    network = resnet20().network
    assert isinstance(network, nn.Module)
    return OrderedDict((prefix + name, value) for name, value in network.state_dict().items())


def message(action: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        action()
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    "prefix", ["", "module.", "1.", "1.module.", "module.1.", "module.1.module.", "module.module.", "network."]
)
def test_every_wrapper_of_a_published_checkpoint_loads(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    tensors = published(prefix)
    torch.save({"epoch": 90, "arch": "cifar_resnet20", "state_dict": tensors, "optimizer": optimizer}, path)
    state = read_weights(path)
    assert state.arch == "cifar_resnet20"
    assert state.metadata == {"epoch": 90, "arch": "cifar_resnet20"}
    model = resnet20()
    load_into(model, state, path)
    for name, value in published("").items():
        assert torch.equal(model.state_dict()[f"network.{name}"], value)
    assert model.state_dict()["normalise.mean"].flatten().tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("names", [("mean", "std"), ("means", "sds")])
def test_normalisation_inside_a_published_file_is_used(prefix: str, names: tuple[str, str]) -> None:
    tensors = published(f"{prefix}1.")
    tensors[f"{prefix}0.{names[0]}"] = torch.tensor([0.1, 0.2, 0.3])
    tensors[f"{prefix}0.{names[1]}"] = torch.tensor([[[1.0]], [[2.0]], [[3.0]]])
    model = resnet20()
    load_into(model, StateDict(tensors, None, {}), Path("file"))
    assert model.state_dict()["normalise.mean"].flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert model.state_dict()["normalise.std"].flatten().tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_other_names_for_the_state_dict(tmp_path: Path, key: str) -> None:
    torch.save({key: published("")}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt").tensors.keys() == published("").keys()


def test_old_torch_files_and_files_without_counters_load(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    tensors = {name: value for name, value in published("1.").items() if "num_batches_tracked" not in name}
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    load_into(resnet20(), read_weights(path), path)


def test_safetensors_of_others_load_under_any_file_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    safetensors.torch.save_file(published(""), path, metadata={"format": "pt"})
    state = read_weights(path)
    assert state.metadata == {"format": "pt"}
    load_into(resnet20(), state, path)


def test_a_users_own_sequential_keeps_its_names() -> None:
    torch.manual_seed(0)
    source, target = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2)) for _ in range(2))
    wrapped = {f"module.{name}": value for name, value in source.state_dict().items()}
    for tensors in (source.state_dict(), wrapped):
        load_into(target, StateDict(dict(tensors), None, {}), Path("file"))
        assert torch.equal(target[1].weight, source[1].weight)


class Malicious:
    """Unpickling it would run a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, new_format: bool) -> None:
    path, witness = tmp_path / "evil.pt", tmp_path / "ran"
    torch.save(
        {"state_dict": published(""), "x": Malicious(f"touch {witness}")},
        path,
        _use_new_zipfile_serialization=new_format,
    )
    text = message(lambda: read_weights(path))
    assert "refused" in text
    assert "system" in text
    assert not witness.exists()


def test_a_whole_pickled_model_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    assert "torch.nn.modules.linear.Linear" in message(lambda: read_weights(tmp_path / "model.pt"))


def test_numpy_scalars_are_refused_with_the_reason(tmp_path: Path) -> None:
    torch.save({"state_dict": published(""), "best": np.float64(0.9)}, tmp_path / "w.pt")
    assert "numpy" in message(lambda: read_weights(tmp_path / "w.pt"))


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "script.pt")  # type: ignore[no-untyped-call]
    assert "TorchScript" in message(lambda: read_weights(tmp_path / "script.pt"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (3, "holds a int"),
        ({}, "empty"),
        ({"a": torch.zeros(1), "b": 3}, "'b' is no tensor"),
        ({"state_dict": {}}, "empty"),
    ],
)
def test_a_torch_file_without_a_state_dict(tmp_path: Path, content: object, words: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    assert words in message(lambda: read_weights(tmp_path / "w.pt"))


@pytest.mark.parametrize("kind", ["torch", "old torch", "safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 9, 100, 0.5, 0.99])
def test_a_file_cut_short_is_refused(tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / "cut"
    if kind == "safetensors":
        safetensors.torch.save_file(published(""), path)
    else:
        torch.save(published(""), path, _use_new_zipfile_serialization=kind == "torch")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    assert str(path) in message(lambda: read_weights(path))


def test_garbage_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    assert str(path) in message(lambda: read_weights(path))
    assert "there is no weights file" in message(lambda: read_weights(tmp_path / "absent"))
    assert "there is no weights file" in message(lambda: read_weights(tmp_path))


def test_another_class_count_names_both_numbers() -> None:
    state = StateDict(published("1."), "cifar_resnet20", {})
    text = message(lambda: load_into(resnet20(num_classes=7), state, Path("file")))
    assert "10 classes" in text
    assert "have 7" in text
    assert "cifar_resnet20" in text


def test_another_input_shape_names_both_numbers() -> None:
    for name, theirs, ours in (("cnn", "3 channels", "have 1"), ("mlp", "192 input values", "have 64")):
        tensors = build(name, shape=(3, 8, 8), num_classes=4).network.state_dict()  # type: ignore[operator]
        model = build(name, shape=(1, 8, 8), num_classes=4)
        text = message(lambda t=tensors, m=model: load_into(m, StateDict(t, None, {}), Path("file")))  # type: ignore[misc]
        assert theirs in text
        assert ours in text


def test_normalisation_of_other_channels_is_another_input_shape() -> None:
    state = StateDict(dict(resnet20((3, 32, 32)).state_dict()), None, {})
    text = message(lambda: load_into(resnet20((1, 32, 32)), state, Path("file")))
    assert "3 channels" in text


def test_another_architecture_lists_missing_and_unexpected() -> None:
    state = StateDict(published("module."), "cifar_resnet20", {})
    model = build("resnet32", shape=(3, 32, 32), num_classes=10)
    text = message(lambda: load_into(model, state, Path("file")))
    # Six blocks of two convolutions and two batch norms; their counters may be missing.
    assert "60 missing (network.layer1.3.conv1.weight" in text
    assert "unexpected" not in text
    cnn = build("cnn", shape=(3, 32, 32), num_classes=10)
    assert "unexpected" in message(lambda: load_into(cnn, state, Path("file")))


def test_a_refused_state_dict_leaves_the_model_as_it_was() -> None:
    model = resnet20()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    spoiled = published("")
    spoiled["layer1.0.conv1.weight"] = torch.full((16, 16, 3, 3), float("nan"))
    assert "not finite" in message(lambda: load_into(model, StateDict(spoiled, None, {}), Path("file")))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
