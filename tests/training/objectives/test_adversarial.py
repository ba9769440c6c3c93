"""SmoothAdv, SmoothMix, CAT-RS and training for ACR: their attacks, and where they are something simpler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.training.objectives.acr import MEASURED, WEIGHTS, Acr
from rsuq_cli.training.objectives.attack import attacked, frozen, mean_loss
from rsuq_cli.training.objectives.base import IMAGES, Data, draw, repeated
from rsuq_cli.training.objectives.catrs import TARGETS, CatRs
from rsuq_cli.training.objectives.gaussian import Gaussian
from rsuq_cli.training.objectives.smoothadv import SmoothAdv
from rsuq_cli.training.objectives.smoothmix import SmoothMix
from training.objectives.made import Fixed, batch, generator, loss_of, network


def linear() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("noises", [1, 2, 5])
def test_smoothadv_without_a_ball_is_gaussian_bit_for_bit(noises: int) -> None:
    model = network(norm=True)
    assert torch.equal(loss_of(SmoothAdv(noises, epsilon=0.0), model), loss_of(Gaussian(noises), model))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
def test_the_attack_stays_in_the_ball_and_in_the_box_and_climbs(epsilon: float) -> None:
    model, of = linear(), batch()
    noise = draw(of.images, 4, 0.5, generator())
    climbs = mean_loss(of.labels, 4)
    before = climbs(model(repeated(of.images, 4) + noise))
    points = list(attacked(model, of.images, noise, climbs, steps=10, length=2 * epsilon / 10, epsilon=epsilon))
    assert len(points) == 10
    for point in points:
        assert (point - of.images).flatten(1).norm(dim=1).max() <= epsilon * (1 + 1e-6)
        assert point.min() >= 0
        assert point.max() <= 1
        assert not point.requires_grad
    after = climbs(model(repeated(points[-1], 4) + noise))
    assert (after >= before).all()
    assert after.mean() > before.mean() + 0.01 * epsilon


def test_the_attack_leaves_statistics_gradients_and_modes_as_they_were() -> None:
    model, of = network(norm=True), batch()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    list(attacked(model, of.images, draw(of.images, 2, 0.5, generator()), mean_loss(of.labels, 2), steps=3,
                  length=0.1, epsilon=1.0))  # fmt: skip
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(part.training for part in model.modules())


def test_the_mean_of_the_probabilities_is_attacked_and_not_the_mean_loss() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
    found = mean_loss(torch.tensor([0]), 2)(logits)
    assert found.item() == pytest.approx(-np.log(0.5), rel=1e-5)
    assert F.cross_entropy(logits, torch.tensor([0, 0])).item() > 2


def test_smoothadv_warms_up() -> None:
    model = network()
    weak, strong = (loss_of(SmoothAdv(2, warm_up=0.5), model, progress=progress).item() for progress in (0.1, 1.0))
    assert loss_of(Gaussian(2), model).item() < weak < strong
    assert strong == loss_of(SmoothAdv(2, warm_up=0.0), model).item()


def test_smoothmix_at_the_beginning_of_its_warm_up_is_nearly_gaussian() -> None:
    model = network()
    plain = loss_of(Gaussian(2), model).item()
    assert loss_of(SmoothMix(one_step=False, warm_up=1.0), model, progress=1e-9).item() == pytest.approx(
        plain, rel=1e-6
    )
    assert loss_of(SmoothMix(weight=0.0, one_step=False), model).item() == pytest.approx(plain, rel=1e-6)


def test_smoothmix_without_steps_draws_predictions_to_a_softened_mean() -> None:
    torch.manual_seed(0)
    objective = SmoothMix(noises=2, weight=1.0, steps=0, one_step=False)
    clean, share, labels = torch.randn(6, 2, 3), torch.full((6,), 0.3), torch.tensor([0, 1, 2, 0, 1, 2])
    mean = clean.softmax(2).mean(1)
    target = (0.7 * mean + 0.1)[:, None]
    apart = (target * (target.log() - clean.log_softmax(2))).sum(2).mean(1)
    expected = torch.where(mean.argmax(1) == labels, apart, 0.0).mean()
    found = objective.disagreement(clean.flatten(0, 1), clean.flatten(0, 1), share, labels)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_wrong_image_contributes_cross_entropy_only() -> None:
    wrong = (batch().labels + 1) % 3
    model = Fixed(5 * F.one_hot(repeated(torch.cat([wrong, wrong]), 2), 3).float())
    objective = SmoothMix(steps=0, one_step=False)
    assert objective(model, batch()).item() == pytest.approx(
        F.cross_entropy(model.logits[:12], repeated(batch().labels, 2)).item()
    )


def test_catrs_takes_all_noises_of_an_image_that_is_right_under_all() -> None:
    objective = CatRs(noises=4)
    losses = torch.tensor([[4.0, 1.0, 3.0, 2.0], [8.0, 5.0, 7.0, 6.0]])
    always, never = (objective.taken(torch.tensor([share, share]), generator()) for share in (1.0, 0.0))
    assert always.tolist() == [4, 4]
    assert never.tolist() == [1, 1]
    assert objective.easiest(losses, always).item() == pytest.approx(losses.mean().item())
    # The smallest alone, divided by all.
    assert objective.easiest(losses, never).item() == pytest.approx((1 / 4 + 5 / 4) / 2)
    drawn = torch.stack([objective.taken(torch.full((500,), 0.5), generator(seed)) for seed in range(4)]).float()
    assert drawn.mean().item() == pytest.approx(2 + 1 / 16, abs=0.08)


def test_catrs_of_certain_images_without_a_ball_is_gaussian() -> None:
    labels = batch().labels
    model = Fixed(6 * F.one_hot(repeated(labels, 4), 3).float())
    assert loss_of(CatRs(weight=0.0, epsilon=0.0), model).item() == pytest.approx(loss_of(Gaussian(4), model).item())
    of = batch()
    CatRs()(model, of)
    kept = of.memory[TARGETS]
    assert kept.shape == (6, 3)
    assert torch.equal(kept.argmax(1), labels)


def test_catrs_remembers_each_image_by_its_own_row() -> None:
    model = network()
    first, second = batch(), batch()._replace(rows=torch.tensor([5, 4, 3, 2, 1, 0]))
    for one in (first, second):
        CatRs(weight=0.0)(model, one)
    torch.testing.assert_close(first.memory[TARGETS], second.memory[TARGETS].flip(0))


def test_catrs_moves_noise_no_farther_than_its_ball_nearly_and_keeps_its_law() -> None:
    model, of = network(), batch()
    noise = draw(of.images, 4, 0.5, generator())
    target = torch.full((6, 3), 1 / 3)
    moved = CatRs(noises=4, epsilon=0.5)._moved(model, of.images, noise, target)
    torch.testing.assert_close(moved.flatten(1).std(1), noise.flatten(1).std(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved.flatten(1).mean(1), noise.flatten(1).mean(1), rtol=1e-4, atol=1e-5)
    assert (moved - noise).flatten(1).norm(dim=1).max() < 0.5 * 1.5
    assert torch.equal(CatRs(noises=4, epsilon=0.0)._moved(model, of.images, noise, target), noise)


def test_acr_moves_noise_on_its_sphere_until_the_network_errs() -> None:
    model, of = linear(), batch()
    noise, labels = draw(of.images, 2, 0.5, generator()), repeated(of.labels, 2)
    images = repeated(of.images, 2)
    moved = Acr(noises=2, steps=5).moved(model, images, noise, labels)
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), noise.flatten(1).norm(dim=1))
    wrong = model(images + noise).argmax(1) != labels
    assert bool(wrong.any())
    assert torch.equal(moved[wrong], noise[wrong])
    loss = F.cross_entropy(model(images + moved), labels, reduction="none")
    assert (loss >= F.cross_entropy(model(images + noise), labels, reduction="none") - 1e-5).all()
    assert torch.equal(Acr(noises=2, steps=0).moved(model, images, noise, labels), noise)
    assert loss_of(Acr(2, steps=0), model).item() == loss_of(Gaussian(2), model).item()


def data(model_right: torch.Tensor, before: float, memory: dict[str, torch.Tensor]) -> Data:
    count = len(model_right)
    return Data(torch.zeros(count, 1, 4, 4), model_right, 0.25, generator(7), before, memory)


class Bounded(nn.Module):
    """Says class 0 or 1 by whether one noisy pixel is above a bar: right by chance, and how often is known."""

    def __init__(self, bar: float) -> None:
        super().__init__()
        self.bar = nn.Parameter(torch.tensor(bar))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixel = images[:, 0, 0, 0]
        return torch.stack([pixel - self.bar, self.bar - pixel], dim=1)


def test_acr_takes_easy_images_often_and_hard_ones_never() -> None:
    memory = {IMAGES: torch.tensor(300)}
    # Class 0 is right for 84 % of the noise and class 1 for 16 %: those of class 1 are dropped.
    labels = torch.tensor([0, 1, 0] * 100)
    model, objective = Bounded(-0.25), Acr(easy_from=0.4, refresh=0.1)
    early = objective.order(model, data(labels, 0.3, memory))
    assert sorted(early.tolist()) == list(range(300))
    assert WEIGHTS not in memory
    later = objective.order(model, data(labels, 0.4, memory))
    assert len(later) == 300
    assert set(labels[later].tolist()) == {0}
    assert len(set(later.tolist())) < 200
    kept = memory[WEIGHTS].clone()
    least = float(torch.special.ndtri(torch.tensor(0.75)))
    most = float(torch.special.ndtri(torch.tensor(clopper_pearson_lower(16, 16, 0.1))))
    positive = kept[kept > 0]
    assert positive.min().item() == pytest.approx(least, rel=1e-5)
    assert positive.max().item() <= most + 1e-5
    objective.order(model, data(labels, 0.45, memory))
    assert torch.equal(memory[WEIGHTS], kept)
    objective.order(Bounded(-5.0), data(labels, 0.5, memory))
    assert float(memory[MEASURED]) == 0.5
    assert torch.equal(memory[WEIGHTS] > 0, kept > 0)  # what was dropped stays so
    assert memory[WEIGHTS][0].item() == pytest.approx(most, rel=1e-5)


def test_frozen_gives_back_even_where_its_body_fails() -> None:
    model = network(norm=True)
    with pytest.raises(ZeroDivisionError), frozen(model):
        1 / int(model.training)
    assert all(part.training for part in model.modules())
