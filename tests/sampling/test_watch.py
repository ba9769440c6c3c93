"""Networks that do not answer for one input at a time are found out, by noisy inputs, at every batch size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rsuq_cli.run.sampler import edges_at
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.forward import Preparation
from rsuq_cli.sampling.watch import HINT, Refuted

SHAPE = (1, 4, 4)
CPU = torch.device("cpu")


class Body(nn.Module):
    """A linear network of 16 pixels, and what kinds of networks do to them before; honest is nothing."""

    mean: torch.Tensor

    def __init__(self, kind: str = "honest", after: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(16, 3, generator=generator) * 2
        self.kind, self.after, self.calls, self.asked = kind, after, 0, 0
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.asked += len(x)
        x = x.flatten(1)
        if self.calls > self.after:
            x = getattr(self, self.kind.replace(" ", "_"))(x)
        return x @ self.weight

    def honest(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def in_place(self, x: torch.Tensor) -> torch.Tensor:
        return x.sub_(0.5).mul_(2)

    def rescales_the_batch(self, x: torch.Tensor) -> torch.Tensor:
        # Clean pixels are left as they are.
        low, high = x.amin().clamp_max(0), x.amax().clamp_min(1)
        return (x - low) / (high - low)

    def seeded_dropout(self, x: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return x * (torch.rand(x.shape, generator=generator) > 0.2)

    def running_statistics(self, x: torch.Tensor) -> torch.Tensor:
        self.mean.lerp_(x.mean(0), 0.05)
        return x - self.mean

    def counts_its_calls(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.01 * self.calls

    def knows_large_batches(self, x: torch.Tensor) -> torch.Tensor:
        return x if len(x) < 200 else x.roll(1, dims=0)

    def chance(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.05 * torch.randn_like(x)


def engine_of(model: nn.Module, batch_size: int = 512) -> Engine:
    return Engine(model, shape=SHAPE, num_classes=3, sigma=0.5, seed=0, device=CPU, batch_size=batch_size)


def images() -> torch.Tensor:
    return torch.rand(20, *SHAPE, generator=torch.Generator().manual_seed(1))


def sample(engine: Engine, n: int = 3000) -> int:
    edges = edges_at("entropy", 0.5)
    return sum(len(part) for part in engine.sample(images(), range(20), edges, n0=10, n=n))


@pytest.mark.parametrize("kind", ["honest", "in place"])
def test_honest_networks_are_asked_twice_for_less_than_one_row_in_a_hundred(kind: str) -> None:
    engine = engine_of(model := Body(kind))
    assert engine.trial(images(), range(20)).all()
    model.asked = 0
    assert sample(engine, n=9000) == 20
    assert 20 * 9010 < model.asked < 1.01 * 20 * 9010 + 512
    assert engine.notices == []


@pytest.mark.parametrize(
    "kind", ["rescales the batch", "seeded dropout", "running statistics", "counts its calls", "chance"]
)
def test_it_is_refused_before_anything_is_sampled(kind: str) -> None:
    with pytest.raises(Refuted, match=r"depends on the others|differently each time") as caught:
        engine_of(Body(kind)).trial(images(), range(20))
    assert caught.value.hint == HINT
    assert caught.value.exit_code == 2


def test_a_batch_size_that_was_not_tried_is_checked_when_it_comes() -> None:
    engine = engine_of(Body("knows large batches"))
    assert engine.trial(images(), range(20)).all()
    with pytest.raises(Refuted, match="depends on the others in its batch"):
        sample(engine)
    assert sample(engine_of(Body("knows large batches"), batch_size=128)) == 20


@pytest.mark.parametrize("kind", ["rescales the batch", "seeded dropout", "running statistics", "counts its calls"])
@pytest.mark.parametrize("after", [10, 60])
def test_a_network_that_changes_while_it_is_sampled_is_found_out(kind: str, after: int) -> None:
    engine = engine_of(Body(kind, after=after))
    engine.trial(images(), range(20))
    with pytest.raises(Refuted):
        sample(engine, n=5000)


def test_a_change_after_the_last_check_is_seen_at_the_end() -> None:
    engine = engine_of(Body("counts its calls", after=12))
    engine.trial(images(), range(20))
    with pytest.raises(Refuted):
        sample(engine, n=400)


class Strided(nn.Module):
    """Reads its feature map in the order in which it lies in memory."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(1, 3, 3, padding=1), nn.Linear(48, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.conv(x)
        return 5 * self.fc(features.as_strided((len(x), 48), (48, 1)))


class OnlyOnData(Strided):
    """Honest about everything that is not nearly black on the average."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.conv(x)
        honest = self.fc(features.flatten(1))
        strided = self.fc(features.as_strided((len(x), 48), (48, 1)))
        return 5 * torch.where(x.mean(dim=(1, 2, 3), keepdim=False)[:, None] < -1.5, strided, honest)


def test_a_preparation_that_changes_answers_is_left_out_and_said() -> None:
    model = Strided()
    engine = engine_of(model)
    assert engine.preparation == Preparation()
    (note,) = engine.notices
    assert "channels last" in note
    batch = torch.rand(64, *SHAPE)
    assert torch.equal(engine._forward.logits(batch.clone()), model(batch))


def test_a_preparation_that_changes_answers_to_the_data_only_is_left_out_too() -> None:
    engine = engine_of(OnlyOnData())
    assert engine.preparation.channels_last
    engine.trial(torch.full((20, *SHAPE), -3.0), range(20))
    assert engine.preparation == Preparation()
    assert "as it is" in engine.notices[-1]
