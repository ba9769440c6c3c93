"""A user's module becomes images in, logits out, or is refused in one line that says what it returned."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.loading import check_output, open_model
from rsuq_cli.models.network import Network, as_network, precision_of

SHAPE = (1, 2, 2)


class Output(NamedTuple):
    logits: torch.Tensor
    hidden: torch.Tensor


class Returns(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.fc = kind, nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> Any:
        z = self.fc(x.flatten(1))
        return {
            "tensor": z, "dict": {"logits": z, "hidden": x}, "named tuple": Output(z, x), "tuple": (z, x),
            "object": SimpleNamespace(logits=z), "one": [z], "odd": {"a": z}, "none": None, "three": (z, x, None),
        }[self.kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["tensor", "dict", "named tuple", "object", "one"])
def test_logits_are_found(kind: str) -> None:
    module, images = Returns(kind), torch.rand(5, *SHAPE)
    network = as_network(module, "mine", SHAPE)
    assert torch.equal(network(images), module.fc(images.flatten(1)))
    check_output(network.eval(), "mine", SHAPE, 3)
    assert list(network.state_dict()) == ["fc.weight", "fc.bias"]
    network.load_state_dict({"fc.weight": torch.ones(3, 4), "fc.bias": torch.zeros(3)})
    assert module.fc.weight.eq(1).all()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("tuple", r"a tuple of \[2, 3\], \[2, 1, 2, 2\]"),
        ("three", r"a tuple of \[2, 3\], \[2, 1, 2, 2\], NoneType"),
        ("odd", "a dict of a"),
        ("none", "a NoneType"),
    ],
)
def test_what_has_no_logits_is_refused_by_what_it_returned(kind: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"^mine: the output is {said}, not a tensor of logits$"):
        check_output(as_network(Returns(kind), "mine", SHAPE), "mine", SHAPE, 3)


def test_lazy_layers_are_filled_in_and_can_be_trained() -> None:
    lazy = nn.Sequential(nn.LazyConv2d(4, 1), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(3))
    network = as_network(lazy, "mine", SHAPE)
    assert network.training
    assert not network.state_dict()["1.num_batches_tracked"]
    network(torch.rand(8, *SHAPE)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_lazy_layers_that_the_data_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match=r"a forward pass on .* raised RuntimeError"):
        as_network(nn.Sequential(nn.Flatten(), nn.Linear(9, 3), nn.LazyLinear(3)), "mine", SHAPE)


class Fails(nn.Module):
    """Raises from its third pass on, or where a batch has other than two rows."""

    def __init__(self, error: Exception, *, rows: bool) -> None:
        super().__init__()
        self.fc, self.passes, self.error, self.rows = nn.Linear(4, 3), 0, error, rows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if len(x) != 2 if self.rows else self.passes > 2:
            raise self.error
        return self.fc(x.flatten(1))


def test_what_a_network_raises_is_one_line_whenever_it_does() -> None:
    network = as_network(Fails(ValueError("too\n  late"), rows=False), "mine", SHAPE)
    for _ in range(2):
        network(torch.rand(2, *SHAPE))
    with pytest.raises(BadInput, match=r"^mine: a forward pass on \[5, 1, 2, 2\] raised ValueError: too late$"):
        network(torch.rand(5, *SHAPE))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_a_full_memory_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)):
        as_network(Fails(error, rows=True), "mine", SHAPE)(torch.rand(3, *SHAPE))


def test_an_exported_network_keeps_its_mode() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    rows = {"input": {0: torch.export.Dim("rows")}}
    exported = torch.export.export(plain, (torch.zeros(2, *SHAPE),), dynamic_shapes=rows).module()
    network, images = as_network(exported, "mine", SHAPE), torch.rand(5, *SHAPE)
    assert torch.equal(network.eval()(images), plain(images))
    check_output(network, "mine", SHAPE, 3)


def test_weights_without_values_are_refused() -> None:
    with pytest.raises(BadInput, match=r"^mine: 1.weight lies on torch's meta device and has no values$"):
        as_network(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).to("meta"), "mine", SHAPE)
    idle = Returns("tensor")
    idle.idle = nn.LazyLinear(3)
    with pytest.raises(BadInput, match=r"^mine: the lazy idle.weight has no shape, since no forward pass uses it$"):
        as_network(idle, "mine", SHAPE)


def test_dynamic_quantisation_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        quantised = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear})
    with pytest.raises(BadInput, match="depends on the others in its batch"):
        as_network(quantised, "mine", SHAPE)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_named(kind: torch.dtype) -> None:
    network = as_network(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).to(kind), "mine", SHAPE)
    assert precision_of(network) == str(kind).removeprefix("torch.")
    with pytest.raises(BadInput, match="raised RuntimeError") as caught:
        check_output(network, "mine", SHAPE, 3)
    assert f"its weights are {str(kind).removeprefix('torch.')}" in caught.value.hint
    assert precision_of(nn.Linear(4, 3)) is None


SCRIPTED = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__(); self.conv = nn.Conv2d(1, 4, 1); self.norm = nn.BatchNorm2d(4); self.fc = nn.Linear(16, 3)
    def forward(self, x):
        return {"logits": self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))}
def script():
    torch.manual_seed(0); return torch.jit.script(Net())
def load():
    return torch.jit.load("net.pt")
"""


@pytest.mark.parametrize("factory", ["script", "load"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_networks_run_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(SCRIPTED)
    made: dict[str, Any] = {}
    module = open_model("nets.py:script", shape=SHAPE, num_classes=3).module
    assert isinstance(module, Network)
    torch.jit.save(module.module, "net.pt")
    made = {name: open_model(f"nets.py:{name}", shape=SHAPE, num_classes=3) for name in ("script", factory)}
    images = torch.rand(4, *SHAPE)
    assert torch.equal(made["script"].module(images), made[factory].module(images))
    assert made[factory].weights_sha256
    assert not any(parameter.requires_grad for parameter in made[factory].module.parameters())


@pytest.mark.filterwarnings("ignore")
def test_static_quantisation_is_a_function_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(QUANTISED)
    opened = {name: open_model(f"nets.py:{name}", shape=SHAPE, num_classes=3) for name in ("make", "same", "other")}
    assert opened["make"].module(torch.rand(4, *SHAPE)).shape == (4, 3)
    hashes = {name: one.weights_sha256 for name, one in opened.items()}
    assert hashes["make"] == hashes["same"] != hashes["other"]


QUANTISED = """
import torch
from torch import nn
from torch.ao import quantization
def make(seed=0):
    torch.manual_seed(seed)
    plain = nn.Sequential(quantization.QuantStub(), nn.Flatten(), nn.Linear(4, 3), quantization.DeQuantStub()).eval()
    plain.qconfig = quantization.get_default_qconfig("fbgemm")
    prepared = quantization.prepare(plain)
    prepared(torch.rand(16, 1, 2, 2))
    return quantization.convert(prepared)
def same(): return make()
def other(): return make(1)
"""
