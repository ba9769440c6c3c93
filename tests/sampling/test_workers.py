"""Several workers give the evidence of one engine, and none outlives its run."""

import multiprocessing
import os
import signal
from collections.abc import Mapping
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.errors import BadInput, RunIncomplete
from rsuq_cli.sampling.device import resolve_devices
from rsuq_cli.sampling.engine import Engine, Indices
from rsuq_cli.sampling.handing_out import MOST_IN_FLIGHT, HandingOut, chunks_of
from rsuq_cli.sampling.workers import Crew, Sampler, Solo, chunk_size
from rsuq_cli.uncertainty.thresholds import calibrated_edges

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
        if self.failing == "killed" and len(x) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits


def make_engine(device: str, failing: str = "") -> Engine:
    return Engine(
        Network(failing), shape=SHAPE, num_classes=3, sigma=0.3, seed=7, device=torch.device(device), batch_size=64
    )


@pytest.fixture
def images() -> torch.Tensor:
    return (torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(0)) * 255).byte()


def found(
    sampler: Sampler, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n: int
) -> dict[int, bytes]:
    """Returns the evidence of every input by its position, as the bytes that would be stored."""
    every = [one for done in sampler.sample(images, indices, edges, n0=20, n=n) for one in done]
    assert len({one.position for one in every}) == len(every)
    for one in every:
        assert one.draws == n
        assert one.read({"entropy"})["entropy"].estimation.sum() == n
    return {one.position: one.counts for one in every}


@pytest.mark.slow
def test_two_workers_give_the_evidence_of_one_engine(images: torch.Tensor) -> None:
    indices = np.arange(9) * 3
    engine = make_engine("cpu")
    edges = calibrated_edges(engine.uncertainties(images[:3], indices[:3], draws=40), thresholds={}, coverages=[0.9])
    with Crew(make_engine, ["cpu", "cpu"], batch_size=64) as crew:
        # The workers stay for one sampling after another.
        for chosen, n in (([0, 1, 2, 3, 4, 5, 6, 7, 8], 150), ([8, 2], 70), ([], 10)):
            together = found(crew, images[chosen], indices[chosen], edges, n=n)
            assert together == found(Solo(engine), images[chosen], indices[chosen], edges, n=n)
            assert together.keys() == set(range(len(chosen)))
        assert len(multiprocessing.active_children()) == 2
    assert crew.meter.samples == 9 * 170 + 2 * 90
    assert crew.meter.rate > 0
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_float_images_reach_the_workers_as_they_are(images: torch.Tensor) -> None:
    floats, edges = images[:4].float() / 255 + 1e-3, calibrated_edges({}, thresholds={}, coverages=[])
    with Crew(make_engine, ["cpu"], batch_size=64) as crew:
        assert found(crew, floats, range(4), edges, n=90) == found(
            Solo(make_engine("cpu")), floats, range(4), edges, n=90
        )


@pytest.mark.slow
@pytest.mark.parametrize(("failing", "expected"), [("user", BadInput), ("bug", RuntimeError)])
def test_what_a_worker_raises_ends_the_run(images: torch.Tensor, failing: str, expected: type[Exception]) -> None:
    edges = calibrated_edges({}, thresholds={}, coverages=[])
    crew = Crew(partial(make_engine, failing=failing), ["cpu"], batch_size=64)
    with pytest.raises(expected, match=r"no|ZeroDivisionError"), crew:
        list(crew.sample(images, range(9), edges, n0=10, n=10))
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_what_a_killed_worker_had_is_sampled_elsewhere(images: torch.Tensor) -> None:
    edges = calibrated_edges({}, thresholds={}, coverages=[])
    with Crew(make_engine, ["cpu", "cpu"], batch_size=64) as crew:
        seen: dict[int, bytes] = {}
        for part in crew.sample(images, range(9), edges, n0=10, n=90_000):
            if not seen and part:
                multiprocessing.active_children()[0].kill()
            assert not seen.keys() & {one.position for one in part}
            seen |= {one.position: one.counts for one in part}
        assert len(multiprocessing.active_children()) == 2
    alone = Solo(make_engine("cpu")).sample(images, range(9), edges, n0=10, n=90_000)
    assert seen == {one.position: one.counts for part in alone for one in part}


@pytest.mark.slow
def test_inputs_that_kill_every_worker_are_named(images: torch.Tensor) -> None:
    edges = calibrated_edges({}, thresholds={}, coverages=[])
    crew = Crew(partial(make_engine, failing="killed"), ["cpu"], batch_size=64)
    with pytest.raises(RunIncomplete, match="killed 3 times at inputs 11, 12, 13"), crew:
        list(crew.sample(images, range(11, 20), edges, n0=10, n=10))
    assert not multiprocessing.active_children()


def test_images_are_read_when_their_chunk_is_handed_out() -> None:
    """A thousand inputs wait where they are, not in a queue."""
    loads: list[tuple[int, ...]] = []
    size = chunk_size(64, 160)
    handing = HandingOut(chunks_of(1000, size, 2))
    for worker in (0, 1):
        handing.join(worker)
    loads += [order.chunk.positions for order in handing.orders()]
    assert [position for chunk in loads for position in chunk] == list(range(2 * MOST_IN_FLIGHT * size))


def test_devices_of_workers() -> None:
    assert [str(device) for device in resolve_devices("cpu", 3)] == ["cpu"] * 3
    with pytest.raises(BadInput, match="--workers is 0"):
        resolve_devices("cpu", 0)
    with pytest.raises(BadInput, match="3 workers on 2 devices"):
        resolve_devices("cpu,cpu", 3)
