"""A prepared forward pass is the same function, and says what was done to it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.device import inference
from rsuq_cli.sampling.forward import Forward, Preparation
from rsuq_cli.uncertainty.scores import scores

CPU = torch.device("cpu")
CIFAR = (3, 32, 32)


def with_statistics(model: nn.Module) -> nn.Module:
    """Gives batch norms something to fold: statistics that are not those of a new layer."""
    torch.manual_seed(1)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.2)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model.eval()


def forward_of(model: nn.Module, shape: tuple[int, int, int], *, compiled: bool = False) -> Forward:
    return Forward(model, shape, CPU, "fp32", compiled=compiled)


def expected_logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with inference(CPU, "fp32"):
        logits: torch.Tensor = model(images)
        return logits


@pytest.mark.parametrize(
    ("name", "shape", "preparation"),
    [
        ("mlp", (1, 8, 8), Preparation()),
        ("cnn", (1, 8, 8), None),
        ("resnet20", CIFAR, Preparation(folded=True, channels_last=True)),
    ],
)
def test_preparation_changes_nothing_but_rounding(
    name: str, shape: tuple[int, int, int], preparation: Preparation | None
) -> None:
    model = with_statistics(build(name, shape=shape, num_classes=10))
    images = torch.rand(32, *shape)
    forward = forward_of(model, shape)
    found = forward(images)
    logits = expected_logits(model, images)
    prepared = forward.logits(images)
    torch.testing.assert_close(prepared, logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.values, scores(logits).values, rtol=1e-3, atol=1e-4)
    # A vote may differ only where the two largest logits are as near to each other as rounding moves them.
    top, moved = logits.topk(2, dim=1).values, (prepared - logits).abs().amax(dim=1)
    assert ((found.classes == logits.argmax(dim=1)) | (top[:, 0] - top[:, 1] <= 2 * moved)).all()
    assert preparation is None or forward.preparation == preparation
    assert forward.notes == []


def test_the_callers_model_stays_as_it_is() -> None:
    model = with_statistics(build("resnet20", shape=CIFAR, num_classes=10))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = [type(part) for part in model.modules()]
    forward_of(model, CIFAR)(torch.rand(32, *CIFAR))
    assert [type(part) for part in model.modules()] == kinds
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.is_contiguous()


class Branching(nn.Module):
    """Cannot be traced: what it does depends on the values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.norm(self.conv(x)).mean(dim=(2, 3))
        return z if float(x.sum()) > 0 else -z


class ForTraining(nn.Module):
    """Traces well, and answers otherwise once it is traced: a fold would certify another function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.norm(self.conv(x)).mean(dim=(2, 3))
        return z if isinstance(x, torch.Tensor) else z + 1


@pytest.mark.parametrize("kind", [Branching, ForTraining])
def test_a_model_that_cannot_be_folded_runs_as_it_is(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = with_statistics(kind())
    images = torch.rand(32, 1, 4, 4)
    forward = forward_of(model, (1, 4, 4))
    assert not forward.preparation.folded
    with inference(CPU, "fp32"):
        torch.testing.assert_close(forward.logits(images), model(images), rtol=1e-5, atol=1e-6)


def test_a_compiler_that_fails_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: nn.Module, device: torch.device) -> object:
        def run(x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C++ compiler\nwas found")

        return run

    monkeypatch.setattr("rsuq_cli.sampling.forward.constant", broken)
    model = build("mlp", shape=(1, 8, 8), num_classes=10).eval()
    forward = forward_of(model, (1, 8, 8), compiled=True)
    images = torch.rand(32, 1, 8, 8)
    torch.testing.assert_close(forward.logits(images), expected_logits(model, images))
    assert forward.preparation == Preparation()
    assert forward.notes == ["torch.compile failed, going on without it (RuntimeError: no C++ compiler was found)"]


def test_a_full_memory_is_no_failure_of_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("rsuq_cli.sampling.forward.constant", lambda module, device: full)
    forward = forward_of(build("mlp", shape=(1, 8, 8), num_classes=10), (1, 8, 8), compiled=True)
    with pytest.raises(torch.OutOfMemoryError):
        forward(torch.rand(32, 1, 8, 8))
    assert forward.preparation.compiled
