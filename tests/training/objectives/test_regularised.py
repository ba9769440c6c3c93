"""Stability, consistency and MACER: their formulas against numpy, and where they must be something else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch.nn import functional as F

from rsuq_cli.training.objectives.base import draw, repeated
from rsuq_cli.training.objectives.consistency import Consistency
from rsuq_cli.training.objectives.gaussian import Gaussian
from rsuq_cli.training.objectives.macer import Macer
from rsuq_cli.training.objectives.stability import Stability
from training.objectives.made import Fixed, batch, generator, loss_of, network


def noisy_logits(model: torch.nn.Module, noises: int) -> np.ndarray:
    """Returns what the network says of the noise that an objective draws for `batch()`, `[N, m, K]`."""
    of = batch()
    noise = draw(of.images, noises, 0.5, generator())
    logits = model(repeated(of.images, noises) + noise).view(6, noises, -1)
    found: np.ndarray = logits.detach().double().numpy()
    return found


def test_stability_is_cross_entropy_of_the_clean_prediction_to_the_noisy_one() -> None:
    model, of = network(), batch()
    clean = special.softmax(model(of.images).detach().double().numpy(), axis=1)
    noisy = special.log_softmax(noisy_logits(model, 2), axis=2)
    expected = -np.log(clean[range(6), of.labels]).mean() - 3 * (clean[:, None] * noisy).sum(2).mean()
    assert Stability(noises=2, weight=3.0)(model, of).item() == pytest.approx(expected, rel=1e-5)


def test_stability_without_noise_or_weight() -> None:
    model, of = network(), batch()
    clean = model(of.images)
    entropy = stats.entropy(clean.softmax(1).detach().double().numpy(), axis=1).mean()
    without = F.cross_entropy(clean, of.labels).item()
    assert loss_of(Stability(weight=2.0), model, sigma=1e-9).item() == pytest.approx(without + 2 * entropy, rel=1e-5)
    assert Stability(weight=0.0)(model, of).item() == pytest.approx(without, rel=1e-6)


def test_stability_has_gradients_through_the_clean_prediction() -> None:
    logits = torch.randn(12, 3, generator=generator(5))
    model = Fixed(logits)
    weighted = Stability(weight=1.0)(model, batch())
    (gradient,) = torch.autograd.grad(weighted - Stability(weight=0.0)(model, batch()), model.logits)
    assert gradient[:6].abs().sum() > 1e-3


def test_consistency_is_its_formula() -> None:
    model, of = network(), batch()
    log_p = special.log_softmax(noisy_logits(model, 3), axis=2)
    mean = np.exp(log_p).mean(1)
    cross = -log_p[range(6), :, of.labels].mean()
    spread = (mean[:, None] * (np.log(mean)[:, None] - log_p)).sum(2).mean()
    expected = cross + 4 * spread + 0.7 * stats.entropy(mean, axis=1).mean()
    found = Consistency(noises=3, weight=4.0, entropy_weight=0.7)(model, of).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_consistency_of_equal_predictions_is_cross_entropy_and_entropy() -> None:
    one = torch.randn(6, 3, generator=generator(1))
    same = Fixed(repeated(one, 4))
    cross = F.cross_entropy(one, batch().labels).item()
    entropy = stats.entropy(one.softmax(1).double().numpy(), axis=1).mean()
    found = Consistency(noises=4, weight=50.0, entropy_weight=0.5)(same, batch()).item()
    assert found == pytest.approx(cross + 0.5 * entropy, rel=1e-5)
    single = Consistency(noises=1, weight=50.0, entropy_weight=0.0)
    assert single.regularisation(torch.randn(6, 3)).item() == pytest.approx(0, abs=1e-5)


def test_consistency_does_not_depend_on_the_order_of_the_noises_and_is_no_other_divergence() -> None:
    objective = Consistency(noises=3, weight=1.0, entropy_weight=0.0)
    logits = torch.randn(6, 3, 4, generator=generator(2))
    straight = objective.regularisation(logits.flatten(0, 1))
    assert objective.regularisation(logits[:, [2, 0, 1]].flatten(0, 1)).item() == pytest.approx(straight.item())
    log_p = special.log_softmax(logits.double().numpy(), axis=2)
    mean = np.exp(log_p).mean(1)[:, None]
    turned = (np.exp(log_p) * (log_p - np.log(mean))).sum(2).mean()
    assert straight.item() != pytest.approx(turned, rel=1e-2)


def test_consistency_is_at_rest_where_all_are_equal_and_certain() -> None:
    certain = Fixed(repeated(200 * F.one_hot(batch().labels, 3).float(), 2))
    (gradient,) = torch.autograd.grad(Consistency()(certain, batch()), certain.logits)
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("noises", [1, 4])
def test_macer_without_weight_is_the_logarithm_of_the_mean(noises: int) -> None:
    model, of = network(), batch()
    mean = special.softmax(noisy_logits(model, noises), axis=2).mean(1)
    found = Macer(noises=noises, weight=0.0)(model, of).item()
    assert found == pytest.approx(-np.log(mean[range(6), of.labels]).mean(), rel=1e-5)
    cross = Gaussian(noises)(model, batch()).item()
    assert found == pytest.approx(cross, rel=1e-5) if noises == 1 else found < cross  # Jensen


def test_macer_adds_what_the_radius_falls_short_of() -> None:
    model, of = network(scale=0.1), batch()
    objective = Macer(noises=4, weight=3.0, sharpness=2.0, margin=5.0)
    sharp = special.softmax(2 * noisy_logits(model, 4), axis=2).mean(1)
    top = np.sort(sharp, axis=1)[:, ::-1]
    gap = stats.norm.ppf(top[:, 0]) - stats.norm.ppf(top[:, 1])
    active = (sharp.argmax(1) == of.labels.numpy()) & (gap <= 5)
    assert active.any()
    assert not active.all()
    extra = (3.0 * 0.5 / 2 * np.where(active, 5 - gap, 0)).mean()
    plain = Macer(noises=4, weight=0.0)(model, batch()).item()
    assert objective(model, of).item() - plain == pytest.approx(extra, rel=1e-4)


def test_macers_hinge_rests_where_it_must() -> None:
    objective, labels = Macer(noises=1, margin=2.0), torch.tensor([0, 0, 0, 0])
    p = torch.tensor([[0.999, 0.001, 0.0], [0.3, 0.6, 0.1], [1.0, 0.0, 0.0], [0.6, 0.3, 0.1]], dtype=torch.float64)
    log_p = p.clamp_min(1e-30).log().float().requires_grad_()
    short = objective.shortfall(log_p, labels)
    # Enough, wrong, and one in float32: nothing; and what is short is short by so much.
    gap = stats.norm.ppf(0.6) - stats.norm.ppf(0.3)
    np.testing.assert_allclose(short.detach().numpy(), [0, 0, 0, 2 - gap], atol=1e-5)
    (gradient,) = torch.autograd.grad(short.sum(), log_p)
    assert bool(gradient.isfinite().all())
    assert not gradient[:3].any()
    assert gradient[3].any()


def test_macer_is_deferred_for_its_share_of_the_epochs() -> None:
    model = network(scale=0.1)
    deferred, never = Macer(deferred=0.5), Macer(weight=0.0)
    early, late = (loss_of(deferred, model, progress=progress).item() for progress in (0.5, 0.6))
    assert early == loss_of(never, model).item()
    assert late > early
