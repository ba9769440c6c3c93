"""Training with rejection: the soft radii, what is worth rejecting, and the threshold that follows the coverage."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from rsuq_cli.errors import BadInput
from rsuq_cli.training.objectives.acr import MEASURED, WEIGHTS
from rsuq_cli.training.objectives.base import Data, log_softmaxes
from rsuq_cli.training.objectives.consistency import Consistency
from rsuq_cli.training.objectives.reject import THRESHOLD, Reject
from training.objectives.made import batch, generator, loss_of, network


def test_without_rejection_both_radii_are_the_soft_radius_of_the_own_class() -> None:
    p = torch.tensor([[[0.8, 0.1, 0.1], [0.6, 0.3, 0.1]], [[0.2, 0.7, 0.1], [0.1, 0.8, 0.1]]])
    found = Reject(price=1.0).radii(p, torch.ones(2, 2), torch.tensor([0, 0]))
    own = stats.norm.ppf(0.7)
    assert found[0].item() == pytest.approx(2 * own, rel=1e-5)
    assert found[1].item() == 0  # its class is wrong: rejecting there is worth nothing


def test_rejecting_wrong_samples_widens_the_one_radius_and_leaves_the_other() -> None:
    p = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    label, all_of, some = torch.tensor([0]), torch.ones(1, 4), torch.tensor([[1.0, 1.0, 1.0, 0.2]])
    for price, moves in ((0.0, True), (1.0, True)):
        before, after = (Reject(price=price).radii(p, s, label).item() for s in (all_of, some))
        assert (after > before) == moves
    gained = [
        Reject(price=price).radii(p, some, label) - Reject(price=price).radii(p, all_of, label) for price in (0.0, 5.0)
    ]
    assert gained[0].item() == pytest.approx(gained[1].item(), rel=1e-4)


def test_what_a_sample_is_worth_at_one_half_is_the_root_of_two_pi() -> None:
    certain = torch.ones(1, 2, requires_grad=True)
    p = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    (gradient,) = torch.autograd.grad(Reject(price=0.0).radii(p, certain, torch.tensor([0])).sum(), certain)
    # Of two samples, each is half of the mass.
    assert -2 * gradient[0, 1].item() == pytest.approx(math.sqrt(2 * math.pi), rel=1e-4)


def test_the_threshold_follows_the_quantile_and_is_remembered() -> None:
    model, of = network(), batch()
    objective = Reject(coverage=0.75)
    objective(model, of)
    first = of.memory[THRESHOLD].item()
    objective(model, of)
    assert of.memory[THRESHOLD].item() != first
    logits = torch.randn(200, 3)
    log_p = log_softmaxes(logits, 4)
    memory: dict[str, torch.Tensor] = {}
    certain = objective.certainty(log_p, memory)
    assert (certain >= 0.5).float().mean().item() == pytest.approx(0.75, abs=0.02)


def test_without_weights_it_is_the_other_objective() -> None:
    model = network()
    alone = loss_of(Consistency(), model).item()
    beside = loss_of(Reject(base="consistency", weight=0.0, coverage_weight=0.0), model, sigma=0.5).item()
    assert beside == pytest.approx(alone, rel=1e-6)
    with pytest.raises(BadInput, match="base is reject"):
        Reject(base="reject")
    with pytest.raises(BadInput, match="there is no objective"):
        Reject(base="gausian")


def test_it_costs_what_the_other_objective_does_at_this_sigma_and_its_own_noises() -> None:
    objective = Reject(noises=3, base="smoothadv")
    assert [objective.passes(sigma) for sigma in (0.25, 0.5, 1.0)] == [3 + 44, 3 + 88, 3 + 22]


def test_it_takes_the_images_in_the_order_of_the_other_objective() -> None:
    def order(base: str) -> list[int]:
        weights = torch.tensor([0.0, 1.0, 0.0, 1.0])
        memory = {WEIGHTS: weights, MEASURED: torch.tensor(0.95, dtype=torch.float64)}
        of = Data(torch.zeros(4, 1, 4, 4), torch.zeros(4, dtype=torch.int64), 0.5, generator(), 0.95, memory)
        taken: list[int] = Reject(base=base).order(network(), of).tolist()
        return taken

    assert set(order("acr")) <= {1, 3}  # the others were dropped
    assert sorted(order("gaussian")) == [0, 1, 2, 3]
