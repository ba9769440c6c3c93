"""Denoisers and what stands behind them: shapes, the composition, and what may not be a part of a certificate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.errors import BadInput
from rsuq_cli.models.checkpoints import sha256_of
from rsuq_cli.models.denoised import Denoised, check_denoiser, open_denoiser
from rsuq_cli.models.denoiser import DENOISERS, Denoiser
from rsuq_cli.models.denoising import build_denoiser
from rsuq_cli.models.partly_trained import FrozenBody

SHAPES = [(1, 8, 8), (3, 32, 32), (3, 7, 5), (2, 2, 2), (1, 1, 1)]


def moved(name: str, channels: int) -> nn.Module:
    """Returns a denoiser with weights that do something."""
    torch.manual_seed(0)
    module = build_denoiser(name, channels)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1)
    return module.eval()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DENOISERS)
def test_it_keeps_the_shape_and_every_image_to_itself(name: str, shape: tuple[int, int, int]) -> None:
    module, images = moved(name, shape[0]), torch.rand(3, *shape)
    found = module(images)
    assert found.shape == images.shape
    assert not torch.allclose(found, images)
    torch.testing.assert_close(module(images[1:2])[0], found[1])
    check_denoiser(module, name, shape)


@pytest.mark.parametrize("name", DENOISERS)
def test_untrained_it_leaves_everything_as_it_is(name: str) -> None:
    images = torch.rand(4, 3, 9, 6)
    assert torch.equal(build_denoiser(name, 3)(images), images)


def test_an_unknown_denoiser_shows_the_nearest() -> None:
    with pytest.raises(BadInput) as caught:
        build_denoiser("dncn", 3)
    assert "dncnn" in caught.value.hint


def test_the_composition_is_the_network_of_the_denoised() -> None:
    front, network = moved("unet", 1), nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    images = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(Denoised(front, network)(images), network(front(images)))


class InPlace(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.sub_(0.3)


def test_a_denoiser_that_writes_into_its_input_leaves_the_images_as_they_are() -> None:
    images = torch.rand(3, 1, 2, 2)
    before = images.clone().requires_grad_()
    check_denoiser(InPlace(), "front", (1, 2, 2))
    found = Denoised(InPlace(), nn.Flatten())(before)
    torch.testing.assert_close(found, (images - 0.3).flatten(1))
    assert torch.equal(before, images)
    (gradient,) = torch.autograd.grad(found.sum(), before)
    assert torch.equal(gradient, torch.ones_like(images))


def test_in_training_the_network_stays_as_it_is() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))
    model = Denoised(build_denoiser("dncnn", 1), network).train()
    assert model.denoiser.training
    assert not any(part.training for part in network.modules())
    assert model.kept is model.denoiser
    assert not model.eval().denoiser.training


def test_of_a_frozen_body_the_last_layer_alone_learns_and_nothing_counts() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    model = FrozenBody(network, (1, 8, 8), "net").train()
    assert [name for name, one in model.named_parameters() if one.requires_grad] == [
        "network.3.weight", "network.3.bias"
    ]  # fmt: skip
    assert not any(part.training for part in network.modules())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.1)
    model(torch.rand(6, 1, 8, 8)).square().sum().backward()
    optimizer.step()
    changed = {name for name, value in model.kept.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"3.weight", "3.bias"}


def test_a_network_without_a_linear_end_has_no_body_to_freeze() -> None:
    with pytest.raises(BadInput, match="does not end with one linear layer"):
        FrozenBody(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh()).eval(), (1, 2, 2), "net")


class Noisy(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + 0.1 * torch.randn_like(images)


class Halved(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(images, 2)


class Centred(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images - images.mean()


class Logarithm(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.log()


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Noisy(), "answers differently each time"),
        (Halved(), r"makes of \[2, 1, 8, 8\] a tensor of \[2, 1, 4, 4\]"),
        (Centred(), "depends on the others in its batch"),
        (Logarithm(), "no finite numbers"),
        (nn.Conv2d(3, 1, 1), "raised RuntimeError"),
    ],
)
def test_what_is_no_fixed_function_of_one_image_is_refused(module: nn.Module, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check_denoiser(module, "front", (1, 8, 8))


FACTORIES = """
import torch
from torch import nn

def smoother():
    return nn.AvgPool2d(3, stride=1, padding=1)

def drawn():
    return nn.Conv2d(1, 1, 3, padding=1)

def kept(shape):
    module = nn.Conv2d(shape[0], shape[0], 3, padding=1)
    module.load_state_dict(torch.load("{weights}"))
    return module
"""


@pytest.fixture
def factories(tmp_path: Path) -> Path:
    torch.save(nn.Conv2d(1, 1, 3, padding=1).state_dict(), tmp_path / "w.pt")
    file = tmp_path / "front.py"
    file.write_text(FACTORIES.format(weights=(tmp_path / "w.pt").as_posix()))
    return file


def of_factory(file: Path, name: str) -> Denoiser:
    return Denoiser(f"{file}:{name}", sha256_of(file), factory_file=file)


def test_a_factory_is_known_by_its_source_and_by_what_it_makes(factories: Path, tmp_path: Path) -> None:
    assert open_denoiser(of_factory(factories, "smoother"), (1, 8, 8)).denoiser.file is None
    before = open_denoiser(of_factory(factories, "kept"), (1, 8, 8)).content_sha256
    torch.save(nn.Conv2d(1, 1, 3, padding=1).state_dict(), tmp_path / "w.pt")
    assert open_denoiser(of_factory(factories, "kept"), (1, 8, 8)).content_sha256 != before
    known = of_factory(factories, "smoother")
    factories.write_text(factories.read_text() + "\n# changed\n")
    with pytest.raises(BadInput, match="is not what it was"):
        open_denoiser(known, (1, 8, 8))


def test_a_factory_that_draws_its_weights_is_no_denoiser(factories: Path) -> None:
    with pytest.raises(BadInput, match="other weights under every seed"):
        open_denoiser(of_factory(factories, "drawn"), (1, 8, 8))
