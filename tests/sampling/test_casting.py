"""Weights cast once give the bits that autocast gives, or are left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.casting import cast_once
from rsuq_cli.sampling.device import inference

CPU = torch.device("cpu")


def dtypes(module: nn.Module) -> set[torch.dtype]:
    return {one.dtype for one in module.parameters()}


@pytest.mark.parametrize(("name", "shape"), [("mlp", (1, 8, 8)), ("cnn", (1, 8, 8)), ("resnet20", (3, 16, 16))])
def test_the_bits_are_those_of_autocast(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    model = build(name, shape=shape, num_classes=10).eval()
    before = [one.clone() for one in model.parameters()]
    changed = cast_once(model, torch.rand(8, *shape))
    assert torch.bfloat16 in dtypes(changed)
    fresh = torch.rand(32, *shape)
    with inference(CPU, "bf16"):
        assert torch.equal(changed(fresh), model(fresh))
    assert all(torch.equal(one, old) for one, old in zip(model.parameters(), before, strict=True))


class Tied(nn.Module):
    """Uses the weight of a layer a second time, by itself, where autocast does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        answers: torch.Tensor = self.layer(flat).float() * self.layer.weight.float().square().sum()
        return answers


class Shared(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.two(self.one(images.flatten(1)))
        return answers


class Typed(nn.Module):
    """Fails with weights of another type."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.layer.weight.dtype != torch.float32:
            raise TypeError("float32 only")
        answers: torch.Tensor = self.layer(images.flatten(1))
        return answers


def hooked() -> nn.Module:
    return nn.utils.spectral_norm(nn.Sequential(nn.Flatten(), nn.Linear(4, 4))[1])


@pytest.mark.parametrize("model", [Tied(), Shared(), Typed(), nn.Sequential(nn.Flatten(), hooked()), nn.Flatten()])
def test_what_would_be_another_function_is_left_as_it_is(model: nn.Module) -> None:
    torch.manual_seed(0)
    assert cast_once(model.eval(), torch.rand(8, 1, 2, 2)) is model
    assert dtypes(model) <= {torch.float32}


def test_without_memory_for_two_of_them_it_is_left_as_it_is() -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def __deepcopy__(self, memo: object) -> nn.Module:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model = Large()
    assert cast_once(model, torch.rand(8, 1, 2, 2)) is model
