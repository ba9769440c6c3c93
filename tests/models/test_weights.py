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
from rsuq_cli.models.checkpoints import sha256_of
from rsuq_cli.models.parts import weights_sha256
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


@pytest.mark.parametrize(
    "key", ["state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "model_state"]
)
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
        assert torch.equal(target.state_dict()["1.weight"], source.state_dict()["1.weight"])


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
    with pytest.raises(BadInput, match="numpy") as caught:
        read_weights(tmp_path / "w.pt")
    assert 'torch.save(torch.load(FILE, weights_only=False)["state_dict"], ...)' in caught.value.hint


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "script.pt")
    with pytest.raises(BadInput, match="TorchScript") as caught:
        read_weights(tmp_path / "script.pt")
    assert "torch.save(torch.jit.load(FILE).state_dict(), ...)" in caught.value.hint


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
        network = build(name, shape=(3, 8, 8), num_classes=4).network
        assert isinstance(network, nn.Module)
        tensors = network.state_dict()
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


@pytest.mark.parametrize(
    "prefix",
    [
        "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "model._orig_mod.1.", "model.module.",
        "classifier.backbone.", "module.model.1.module.", "network._orig_mod.", "_forward_module.model.",
    ],
)  # fmt: skip
def test_whatever_stands_before_the_names_is_found_out(prefix: str) -> None:
    model = resnet20()
    fit = load_into(model, StateDict(published(prefix), None, {}), Path("file"))
    assert fit == (False, ())
    for name, value in published("").items():
        assert torch.equal(model.state_dict()[f"network.{name}"], value)


def test_wrappers_in_the_middle_of_names_are_found_out() -> None:
    """A compiled or parallel part of a network; AlexNet's published file has `features.module.0.weight`."""
    wrapped = {
        name.replace("layer1.", "layer1.module.").replace("layer2.", "layer2._orig_mod."): value
        for name, value in published("1.").items()
    }
    model = resnet20()
    load_into(model, StateDict(wrapped, None, {}), Path("file"))
    assert torch.equal(model.state_dict()["network.layer2.0.conv1.weight"], published("")["layer2.0.conv1.weight"])


def test_a_model_that_is_wrapped_itself_takes_plain_weights() -> None:
    torch.manual_seed(0)
    source = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    target = nn.Sequential()
    target.add_module("module", nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    for tensors in (source.state_dict(), {f"model.{name}": value for name, value in source.state_dict().items()}):
        load_into(target, StateDict(dict(tensors), None, {}), Path("file"))
        assert torch.equal(target.state_dict()["module.1.weight"], source.state_dict()["1.weight"])


def test_the_counter_of_an_averaged_model_is_no_weight() -> None:
    averaged = published("module.") | {"n_averaged": torch.tensor(3)}
    assert load_into(resnet20(), StateDict(averaged, None, {}), Path("file")).notes == ()
    # Anything else beside the network is refused, whatever its size.
    for name in ("temperature", "head.weight", "module.extra"):
        state = StateDict(published("module.") | {name: torch.tensor(3.0)}, None, {})
        assert f"1 unexpected ({name})" in message(lambda state=state: load_into(resnet20(), state, Path("file")))  # type: ignore[misc]


def test_losses_and_metrics_beside_a_network_are_left_out_and_told() -> None:
    beside = {"criterion.weight": torch.ones(10), "loss_fn.pos_weight": torch.ones(10), "train_acc.tp": torch.zeros(10)}
    (note,) = load_into(resnet20(), StateDict(published("model.") | beside, None, {}), Path("file")).notes
    assert "left out" in note
    assert "criterion.weight, loss_fn.pos_weight, train_acc.tp" in note


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (("0.mean", "0.std"), "1."), (("normalize.mean", "normalize.std"), "model."), (("mu", "sigma"), ""),
        (("model.0.means", "model.0.sds"), "model.1."), (("norm_layer.mean", "norm_layer.std"), "net."),
        (("mean", "std"), "model."),
    ],
)  # fmt: skip
def test_normalisation_beside_the_network_is_used_under_its_usual_names(names: tuple[str, str], prefix: str) -> None:
    values = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, 3.0])
    model = resnet20()
    fit = load_into(model, StateDict(published(prefix) | dict(zip(names, values, strict=True)), None, {}), Path("file"))
    assert fit.normalised
    assert model.state_dict()["normalise.std"].flatten().tolist() == [1.0, 2.0, 3.0]
    assert model.state_dict()["normalise.mean"].flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_half_of_a_normalisation_is_refused() -> None:
    state = StateDict(published("1.") | {"0.mean": torch.zeros(3)}, None, {})
    assert "1 unexpected (0.mean)" in message(lambda: load_into(resnet20(), state, Path("file")))


def averaged(prefix: str = "") -> dict[str, torch.Tensor]:
    return {name: value + 1 if value.is_floating_point() else value for name, value in published(prefix).items()}


def first_weight(path: Path, part: str = "") -> tuple[float, tuple[str, ...]]:
    """Returns the first weight that a file gives a model, less that of the plain weights, and what was said."""
    named = Path(f"{path}#{part}") if part else path
    model = resnet20()
    notes = load_into(model, read_weights(named), named).notes
    difference = model.state_dict()["network.conv1.weight"] - published("")["conv1.weight"]
    return round(float(difference.flatten()[0]), 3), notes


@pytest.mark.parametrize(
    ("plain", "other", "part"),
    [
        ("state_dict", "state_dict_ema", "state_dict_ema"), ("model", "model_ema", "model_ema"),
        ("model_state_dict", "ema_model_state_dict", "ema_model_state_dict"), ("params", "params_ema", "params_ema"),
        ("student", "teacher", "teacher"), ("net", "ema", "ema"),
    ],
)  # fmt: skip
def test_averaged_weights_beside_plain_ones_are_told_and_can_be_chosen(
    tmp_path: Path, plain: str, other: str, part: str
) -> None:
    path = tmp_path / "both.pth"
    # The averaged ones first: it is not the order in the file that decides.
    torch.save({"epoch": 3, other: averaged(), plain: published("module."), "rng": {"cpu": torch.zeros(9)}}, path)
    difference, (note,) = first_weight(path)
    assert difference == 0
    assert f"averaged weights too ({other}): taking {plain}" in note
    assert f"--weights {path}#{part}" in note
    assert first_weight(path, part) == (1, ())


def test_nested_averaged_weights(tmp_path: Path) -> None:
    path = tmp_path / "nested.pth"
    torch.save({"model": published(""), "ema": {"decay": 0.99, "state_dict": averaged("module.")}}, path)
    difference, (note,) = first_weight(path)
    assert difference == 0
    assert "(ema.state_dict): taking model" in note
    assert first_weight(path, "ema.state_dict") == (1, ())


def test_averaged_weights_under_names_of_the_same_state_dict(tmp_path: Path) -> None:
    """Lightning with an average: `model.*` and `model_ema.module.*` in one state dict."""
    path = tmp_path / "lightning.ckpt"
    torch.save({"state_dict": averaged("model_ema.module.") | published("model.")}, path)
    difference, (note,) = first_weight(path)
    assert difference == 0
    assert "averaged weights too (model_ema): taking model;" in note
    assert first_weight(path, "model_ema") == (1, ())


def test_averages_that_are_no_state_dict_are_told(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    averages = {"decay": 0.99, "shadow_params": [torch.zeros(3)]}
    torch.save({"state_dict": published(""), "ema": averages, "ema_decay": 0.99, "swa": None, "avg_loss": []}, path)
    assert first_weight(path) == (0, (f"{path} holds ema too, which is no state dict and is not read",))


def test_a_part_of_a_part_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "lightning.ckpt"
    both = published("model.") | averaged("model_ema.")
    torch.save({"state_dict": both, "optimizer": {"state": {}, "param_groups": []}}, path)
    difference, (note,) = first_weight(path, "state_dict")
    assert difference == 0
    assert f"--weights {path}#model_ema takes" in note


def test_averaged_weights_alone_are_taken_and_told(tmp_path: Path) -> None:
    torch.save({"state_dict_ema": averaged(), "epoch": 1}, tmp_path / "alone.pth")
    torch.save({"ema_model." + name: value for name, value in averaged().items()}, tmp_path / "prefixed.pth")
    for name in ("alone.pth", "prefixed.pth"):
        difference, (note,) = first_weight(tmp_path / name)
        assert difference == 1
        assert "averaged weights" in note


def test_two_networks_that_fit_alike_are_not_guessed_between(tmp_path: Path) -> None:
    torch.save({"a": published(""), "b": averaged()}, tmp_path / "parts.pth")
    assert "several sets of weights: a, b" in message(lambda: read_weights(tmp_path / "parts.pth"))
    assert first_weight(tmp_path / "parts.pth", "b") == (1, ())
    path = tmp_path / "prefixes.pth"
    torch.save(published("net1.") | averaged("net2."), path)
    assert "fit alike: net1, net2" in message(lambda: load_into(resnet20(), read_weights(path), path))
    assert first_weight(path, "net2") == (1, ())


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": published("")}, tmp_path / "w.pth")
    assert "no weights under 'ema'" in message(lambda: read_weights(tmp_path / "w.pth#ema"))
    safetensors.torch.save_file(published("model."), tmp_path / "w.safetensors")
    with pytest.raises(BadInput, match="under 'modle'") as caught:
        read_weights(tmp_path / "w.safetensors#modle")
    assert caught.value.hint == "did you mean model?"
    # A file whose own name has the sign is that file.
    torch.save(published(""), tmp_path / "run#3.pth")
    assert read_weights(tmp_path / "run#3.pth").part == ""


def test_parts_of_a_file_are_other_weights(tmp_path: Path) -> None:
    torch.save({"state_dict": published(""), "ema": averaged()}, tmp_path / "w.pth")
    whole = weights_sha256(tmp_path / "w.pth")
    assert whole == sha256_of(tmp_path / "w.pth")
    assert len({whole, weights_sha256(tmp_path / "w.pth#ema"), weights_sha256(tmp_path / "w.pth#state_dict")}) == 3


def test_what_a_checkpoint_says_of_its_training_is_read(tmp_path: Path) -> None:
    torch.save({"args": {"noise_sd": 0.5, "gpus": [0]}, "epoch": 9, "state_dict": published("")}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").metadata == {"noise_sd": 0.5, "epoch": 9}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (torch.ones(3, 4, dtype=torch.int8), "holds int8 numbers for 1.weight, which is float32 in the network"),
        (torch.ones(3, 4, dtype=torch.complex64), "holds complex64 numbers for 1.weight"),
        (torch.ones(3, 4, dtype=torch.bool), "holds bool numbers for 1.weight"),
        (torch.eye(3, 4).to_sparse(), "holds sparse numbers for 1.weight"),
        (torch.ones(3, 4, device="meta"), "holds names and shapes without values: 1.weight"),
    ],
)
def test_numbers_that_would_become_others_are_refused(changed: torch.Tensor, words: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    state = StateDict({"1.weight": changed, "1.bias": torch.zeros(3)}, None, {})
    assert words in message(lambda: load_into(model, state, Path("w.pt")))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_kinds_are_loaded(kind: torch.dtype) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    load_into(model, StateDict({"1.weight": torch.eye(3, 4).to(kind), "1.bias": torch.zeros(3)}, None, {}), Path("w"))
    assert model.state_dict()["1.weight"].equal(torch.eye(3, 4))
