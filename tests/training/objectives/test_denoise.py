"""The objectives of denoisers: what they are by hand, and that the network behind is asked and never changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from rsuq_cli.models.denoised import Denoised
from rsuq_cli.training.objectives.denoise_mse import DenoiseMSE
from rsuq_cli.training.objectives.denoise_stability import DenoiseStability
from rsuq_cli.training.objectives.registry import objective_named
from training.objectives.made import batch, generator, network

NAMES = ("denoise-mse", "denoise-stability")


def front() -> nn.Module:
    torch.manual_seed(1)
    return nn.Conv2d(1, 1, 3, padding=1)


def model() -> Denoised:
    return Denoised(front(), network(norm=True).requires_grad_(False)).train()


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_what_leaves_everything_has_the_variance_of_the_noise(sigma: float) -> None:
    of = batch(images=600, sigma=sigma)
    loss = DenoiseMSE(noises=4)(Denoised(nn.Identity(), network()), of).item()
    values = 4 * of.images.numel()
    # A mean of squares of so many normal values: its standard deviation is σ² √(2 / values).
    assert abs(loss - sigma**2) < 4 * sigma**2 * math.sqrt(2 / values)


def test_what_gives_the_clean_image_has_no_loss() -> None:
    of = batch()

    class Oracle(nn.Module):
        def forward(self, noisy: torch.Tensor) -> torch.Tensor:
            return of.images

    assert DenoiseMSE()(Denoised(Oracle(), network()), of).item() == 0.0


def test_stability_is_the_cross_entropy_with_the_networks_own_clean_answers() -> None:
    of, tried = batch(sigma=0.5, seed=7), model()
    loss = DenoiseStability(noises=2)(tried, of).item()
    noise = 0.5 * torch.randn((12, *of.images.shape[1:]), generator=generator(7))
    with torch.no_grad():
        wanted = tried.network(of.images).argmax(1).repeat_interleave(2).numpy()
        logits = tried.network(tried.denoiser(of.images.repeat_interleave(2, 0) + noise)).double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert loss == pytest.approx(-log_p[np.arange(12), wanted].mean(), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_true_labels_are_not_used(name: str) -> None:
    of, tried = batch(), model()
    first = objective_named(name)(tried, of).item()
    other = of._replace(labels=(of.labels + 1) % 3, generator=generator(0))
    assert objective_named(name)(tried, other).item() == first


@pytest.mark.parametrize("name", NAMES)
def test_the_denoiser_learns_and_the_network_does_not(name: str) -> None:
    tried, of = model(), batch()
    before = {key: value.clone() for key, value in tried.network.state_dict().items()}
    images = of.images.clone()
    objective_named(name)(tried, of).backward()
    assert all(one.grad is not None and bool(one.grad.any()) for one in tried.denoiser.parameters())
    assert all(one.grad is None for one in tried.network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in tried.network.state_dict().items())
    assert torch.equal(of.images, images)


@pytest.mark.parametrize("name", NAMES)
def test_all_randomness_is_the_generators(name: str) -> None:
    tried = model()
    first = objective_named(name)(tried, batch(seed=3)).item()
    torch.manual_seed(99)
    assert objective_named(name)(tried, batch(seed=3)).item() == first
    assert objective_named(name)(tried, batch(seed=4)).item() != first
