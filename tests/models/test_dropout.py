"""Dropout that stays on: what a network says under masks, by hand, and that nothing but the input decides it."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.errors import BadInput
from rsuq_cli.models.dropout import with_dropout
from rsuq_cli.models.masks import dropped, keys_of
from rsuq_cli.models.monte_carlo import MonteCarlo

SHAPE = (1, 2, 2)


class Own(nn.Module):
    """A network with dropout of its own, of elements and of channels, and batch norm between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4)
        self.channels, self.elements, self.last = nn.Dropout2d(0.5), nn.Dropout(0.3), nn.Linear(16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.channels(self.norm(self.first(images)))
        return cast("torch.Tensor", self.last(self.elements(features.flatten(1))))


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def own() -> Own:
    torch.manual_seed(0)
    return Own().eval()


@pytest.fixture(params=[plain, own], ids=["before the last layer", "layers of its own"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    return cast("nn.Module", request.param())


def images(rows: int = 64) -> torch.Tensor:
    return torch.rand(rows, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_the_last_layer_is_asked_once_for_every_mask() -> None:
    network = plain()
    found = with_dropout(network, MonteCarlo(0.4, 3, 7, plain=False), SHAPE, "net")(images())
    features, keys = network[:3](images()), keys_of(images(), 7)
    for turn in range(3):
        expected = network[3](dropped(features, keys, 0.4, turn=turn, layer=0))
        torch.testing.assert_close(found[:, turn], expected)


def test_own_layers_drop_at_their_own_rates() -> None:
    network = own()
    found = with_dropout(network, MonteCarlo(0.4, 2, 7, plain=False), SHAPE, "net")(images())
    keys = keys_of(images(), 7)
    for turn in range(2):
        features = network.norm(network.first(images()))
        features = dropped(features, keys, 0.5, turn=turn, layer=0, by_channel=True)
        features = dropped(features.flatten(1), keys, 0.3, turn=turn, layer=1)
        torch.testing.assert_close(found[:, turn], network.last(features))


def test_only_the_input_decides_what_is_said(network: nn.Module) -> None:
    asked = with_dropout(network, MonteCarlo(0.3, 4, 0, plain=False), SHAPE, "net")
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
    whole = asked(images())
    assert whole.shape == (64, 4, 3)
    torch.testing.assert_close(asked(images()[order]), whole[order])
    torch.testing.assert_close(asked(images()[5:6]), whole[5:6])
    assert (with_dropout(network, MonteCarlo(0.3, 4, 1, plain=False), SHAPE, "net")(images()) != whole).any()
    assert len({tuple(one.flatten().tolist()) for one in whole.transpose(0, 1)}) == 4


def test_the_plain_pass_is_the_network_itself(network: nn.Module) -> None:
    asked = with_dropout(network, MonteCarlo(0.3, 2, 0, plain=True), SHAPE, "net")
    assert (asked(images())[:, 0] == network(images())).all()
    assert not asked.training
    assert with_dropout(network, None, SHAPE, "net") is network


def test_gradients_pass_through_the_network(network: nn.Module) -> None:
    given = images(4).requires_grad_()
    with_dropout(network, MonteCarlo(0.3, 2, 0, plain=False), SHAPE, "net")(given).sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0


def test_what_masks_cannot_be_put_into_is_refused() -> None:
    settings = MonteCarlo(0.3, 2, 0, plain=False)
    behind = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(dim=1)).eval()
    with pytest.raises(BadInput, match="does not end with one linear layer"):
        with_dropout(behind, settings, SHAPE, "net")
    with pytest.raises(BadInput, match="alpha dropout"):
        with_dropout(nn.Sequential(nn.Flatten(), nn.AlphaDropout(), nn.Linear(4, 3)), settings, SHAPE, "net")


# A network that names class 0 where the sum of what it keeps of the two passes is above 0.1: with pixels of noise and
# masks both at random, its mass is a mixture over masks that can be summed exactly.
ALPHA, N, CERTIFICATES, SIGMA = 0.05, 100, 20_000, 0.5
IMAGE = torch.tensor([0.3, 0.1, -0.2, 0.2])


def exact_mass() -> float:
    """The mass of class 0 at the image: each pixel counts 0, 1 or 2 times 2 (a rate of a half scales by two)."""
    mass: float = 0.0
    for weights in np.ndindex(3, 3, 3, 3):
        chance = np.prod([(0.25, 0.5, 0.25)[weight] for weight in weights])
        factors = 2.0 * np.array(weights)
        mean, spread = float(factors @ IMAGE.double().numpy()) - 0.2, SIGMA * np.linalg.norm(factors)
        mass += float(chance) * (stats.norm.cdf(mean / spread) if spread else float(mean > 0))
    return float(mass)


def votes(rows: int, generator: torch.Generator) -> torch.Tensor:
    """Which of so many noisy inputs the masked network names class 0: the mean of two passes, two classes."""
    last = nn.Linear(4, 2)
    with torch.no_grad():
        last.weight.copy_(torch.tensor([[0.5] * 4, [-0.5] * 4]))
        last.bias.copy_(torch.tensor([-0.05, 0.05]))
    network = nn.Sequential(nn.Flatten(), last).eval()
    asked = with_dropout(network, MonteCarlo(0.5, 2, 0, plain=False), SHAPE, "net")
    noisy = IMAGE.view(1, *SHAPE) + SIGMA * torch.randn(rows, *SHAPE, generator=generator)
    with torch.inference_mode():
        return asked(noisy).softmax(dim=2).mean(dim=1).argmax(dim=1) == 0


@pytest.mark.slow
def test_twenty_thousand_bounds_of_a_random_predictor_fail_no_more_often_than_alpha() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.cat([votes(N * 1000, generator).view(-1, N).sum(dim=1) for _ in range(CERTIFICATES // 1000)])
    truth = exact_mass()
    share = float(counts.double().mean()) / N
    assert share == pytest.approx(truth, abs=5 * (truth * (1 - truth) / (N * CERTIFICATES)) ** 0.5)
    failures = int((clopper_pearson_lower(counts.numpy(), N, ALPHA) > truth).sum())
    assert stats.binomtest(failures, CERTIFICATES, ALPHA, alternative="greater").pvalue > 1e-3
    # The spread of the counts is that of independent samples.
    assert float(counts.double().var()) == pytest.approx(N * truth * (1 - truth), rel=0.05)


@pytest.mark.slow
def test_a_mask_that_a_block_of_samples_shared_would_break_them() -> None:
    """What the masks of `torch.nn.Dropout` would do if one call's were kept: why they are the input's own here."""
    random = np.random.default_rng(0)
    weights = random.binomial(2, 0.5, (CERTIFICATES, 4))
    noisy = IMAGE.numpy() + SIGMA * random.standard_normal((CERTIFICATES, N, 4))
    counts = (np.einsum("cnp,cp->cn", noisy, 2.0 * weights) > 0.2).sum(axis=1)
    failures = int((clopper_pearson_lower(counts, N, ALPHA) > exact_mass()).sum())
    assert failures > 2 * ALPHA * CERTIFICATES
