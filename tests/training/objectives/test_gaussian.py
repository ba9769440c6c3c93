"""Training under Gaussian noise: it has the right law, is fresh, and comes from the generator alone."""

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.base import add_noise
from rsuq_cli.training.objectives.gaussian import Gaussian


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_noise_is_gaussian_of_the_given_sigma_and_not_clipped() -> None:
    images = torch.rand(50, 3, 8, 8)
    noise = (add_noise(images, 0.7, generator()) - images).flatten().double().numpy()
    assert stats.kstest(noise, "norm", args=(0, 0.7)).pvalue > 0.01
    assert (images + torch.from_numpy(noise).view(images.shape)).min() < -0.5


def test_noise_leaves_its_input_as_it_was() -> None:
    images = torch.rand(2, 1, 4, 4)
    before = images.clone()
    add_noise(images, 1.0, generator())
    assert torch.equal(images, before)


def test_gaussian_is_cross_entropy_on_noisy_inputs() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    images, labels = torch.rand(5, 1, 4, 4), torch.tensor([0, 1, 2, 1, 0])
    loss = Gaussian()(model, images, labels, sigma=0.5, generator=generator())
    log_shares = model(add_noise(images, 0.5, generator())).log_softmax(1)
    assert loss.item() == pytest.approx(-log_shares[range(5), labels].mean().item(), rel=1e-5)
    loss.backward()
    assert model[1].weight.grad is not None


def test_every_call_draws_fresh_noise() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    images, labels, source = torch.rand(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64), generator()
    losses = {Gaussian()(model, images, labels, sigma=0.5, generator=source).item() for _ in range(4)}
    assert len(losses) == 4
    clean = F.cross_entropy(model(images), labels).item()
    assert Gaussian()(model, images, labels, sigma=1e-9, generator=source).item() == pytest.approx(clean)
