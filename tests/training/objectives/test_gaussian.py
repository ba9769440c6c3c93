"""Training under Gaussian noise: it has the right law, is fresh, and comes from the generator alone."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from rsuq_cli.training.objectives.base import add_noise, draw, repeated
from rsuq_cli.training.objectives.gaussian import Gaussian
from training.objectives.made import batch, generator, loss_of, network


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
    model, of = network(), batch()
    loss = Gaussian()(model, of)
    log_shares = model(add_noise(of.images, 0.5, generator())).log_softmax(1)
    assert loss.item() == pytest.approx(-log_shares[range(6), of.labels].mean().item(), rel=1e-5)
    loss.backward()
    assert model[0].weight.grad is not None


def test_every_call_draws_fresh_noise() -> None:
    model, of = network(), batch()
    assert len({Gaussian()(model, of).item() for _ in range(4)}) == 4
    clean = F.cross_entropy(model(of.images), of.labels).item()
    assert loss_of(Gaussian(), model, sigma=1e-9).item() == pytest.approx(clean)


def test_several_noises_of_an_image_stand_together() -> None:
    model, of = network(), batch()
    noise = draw(of.images, 3, 0.5, generator())
    each = [
        F.cross_entropy(model((image + noise[3 * at + j])[None]), of.labels[at : at + 1])
        for at, image in enumerate(of.images)
        for j in range(3)
    ]
    assert Gaussian(noises=3)(model, of).item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)
    assert repeated(torch.tensor([1, 2]), 3).tolist() == [1, 1, 1, 2, 2, 2]


def test_more_noises_give_the_same_gradient_in_expectation() -> None:
    model = network()

    def gradient(noises: int, seed: int) -> torch.Tensor:
        (found,) = torch.autograd.grad(loss_of(Gaussian(noises), model, seed=seed), [*model.parameters()][-1:])
        return found

    one = torch.stack([gradient(1, seed) for seed in range(400)])
    many = torch.stack([gradient(8, 1000 + seed) for seed in range(100)])
    spread = (one.var(0) / 400 + many.var(0) / 100).sqrt()
    assert ((one.mean(0) - many.mean(0)).abs() < 4 * spread).all()
    assert (many.std(0) < one.std(0)).all()
