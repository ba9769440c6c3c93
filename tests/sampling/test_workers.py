"""Several workers give the evidence of one engine, and none outlives its run."""

import multiprocessing
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from rsuq_cli.calibration import calibrated_edges
from rsuq_cli.errors import BadInput
from rsuq_cli.sampling.device import resolve_devices
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.workers import Crew

SHAPE = (1, 4, 4)


class Network(nn.Module):
    """Fixed weights; it can be told to fail."""

    def __init__(self, failing: str = "") -> None:
        super().__init__()
        self.layer = nn.Linear(16, 3)
        nn.init.constant_(self.layer.bias, 0.0)
        with torch.no_grad():
            self.layer.weight.copy_(torch.linspace(-1, 1, 48).reshape(3, 16).sin() * 3)
        self.failing = failing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.failing == "user":
            raise BadInput("the worker says no")
        if self.failing == "bug":
            raise ZeroDivisionError("a bug in a worker")
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits


def make_engine(device: str, failing: str = "") -> Engine:
    return Engine(
        Network(failing), shape=SHAPE, num_classes=3, sigma=0.3, seed=7, device=torch.device(device), batch_size=64
    )


@pytest.fixture
def images() -> torch.Tensor:
    return (torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(0)) * 255).byte()


@pytest.mark.slow
def test_two_workers_give_the_evidence_of_one_engine(images: torch.Tensor) -> None:
    indices = np.arange(9) * 3
    engine = make_engine("cpu")
    edges = calibrated_edges(engine.uncertainties(images[:3], indices[:3], draws=40), thresholds={}, coverages=[0.9])
    alone = {one.position: one for done in engine.sample(images, indices, edges, n0=20, n=150) for one in done}
    crew = Crew(make_engine, ["cpu", "cpu"], batch_size=64)
    together = {one.position: one for done in crew.sample(images, indices, edges, n0=20, n=150) for one in done}
    assert alone.keys() == together.keys() == set(range(9))
    for position, one in alone.items():
        for measure, histogram in one.histograms.items():
            for ours, theirs in zip(histogram, together[position].histograms[measure], strict=True):
                np.testing.assert_array_equal(ours, theirs)
        assert one.sums.measures == together[position].sums.measures
    assert crew.meter.samples == 9 * 170
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.parametrize(("failing", "expected"), [("user", BadInput), ("bug", RuntimeError)])
def test_what_a_worker_raises_ends_the_run(images: torch.Tensor, failing: str, expected: type[Exception]) -> None:
    edges = calibrated_edges({}, thresholds={}, coverages=[])
    crew = Crew(partial(make_engine, failing=failing), ["cpu"], batch_size=64)
    with pytest.raises(expected, match=r"no|ZeroDivisionError"):
        list(crew.sample(images, range(9), edges, n0=10, n=10))
    assert not multiprocessing.active_children()


def test_devices_of_workers() -> None:
    assert [str(device) for device in resolve_devices("cpu", 3)] == ["cpu"] * 3
    with pytest.raises(BadInput, match="--workers is 0"):
        resolve_devices("cpu", 0)
    with pytest.raises(BadInput, match="3 workers on 2 devices"):
        resolve_devices("cpu,cpu", 3)
