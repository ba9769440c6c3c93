"""Sampling that stops: the same samples as sampling them all, whatever is sampled beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from rsuq_cli.certificates.evidence import Histogram, encode
from rsuq_cli.sampling.engine import Counted, Engine
from rsuq_cli.sampling.packing import samples_in
from rsuq_cli.sampling.tally import Tally
from rsuq_cli.sampling.until import sample_until
from rsuq_cli.uncertainty.thresholds import calibrated_edges

LOOKS = (100, 150, 400, 700)
N0, INPUTS, CLASSES = 30, 40, 3
EDGES = calibrated_edges({}, thresholds=dict.fromkeys(("energy", "max_logit"), (0.0,)), coverages=())


class Linear(nn.Module):
    """Three classes on 2×2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, CLASSES)
        nn.init.normal_(self.linear.weight, std=3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(x.flatten(1))
        return logits


@dataclass
class Leading:
    """Stops an input once its leading class has this share of the estimation votes; keeps what it was asked."""

    share: float
    looks: tuple[int, ...] = LOOKS

    def decided(self, histograms: Sequence[Mapping[str, Histogram]]) -> npt.NDArray[np.bool_]:
        votes = np.stack([one["entropy"].estimation.sum(axis=1) for one in histograms])
        assert set(votes.sum(axis=1).tolist()) <= set(self.looks)
        assert all(one["entropy"].selection.sum() == N0 for one in histograms)
        return votes.max(axis=1) >= self.share * votes.sum(axis=1)


def images() -> torch.Tensor:
    return torch.rand(INPUTS, 1, 2, 2, generator=torch.Generator().manual_seed(1))


def engine(batch_size: int) -> Engine:
    return Engine(
        Linear(), shape=(1, 2, 2), num_classes=CLASSES, sigma=0.4, seed=3, device=torch.device("cpu"),
        batch_size=batch_size,
    )  # fmt: skip


def stopped(batch_size: int = 256, share: float = 0.8, positions: Sequence[int] = range(INPUTS)) -> dict[int, Counted]:
    """Returns what was counted of every input, by its number."""
    chosen = list(positions)
    batches = sample_until(
        engine(batch_size), images()[chosen], np.array(chosen), EDGES, n0=N0, decider=Leading(share)
    )  # fmt: skip
    found = [one for batch in batches for one in batch]
    assert len(found) == len({one.position for one in found}) == len(chosen)
    return {chosen[one.position]: one for one in found}


def blob(counted: Counted) -> bytes:
    return encode(counted.histograms, counted.sums)


def draws(counted: Counted) -> int:
    return int(counted.histograms["margin"].estimation.sum())


def test_inputs_stop_at_different_looks() -> None:
    assert {draws(one) for one in stopped().values()} == set(LOOKS)


def test_what_was_counted_is_what_sampling_that_many_counts() -> None:
    found = stopped()
    for look in LOOKS:
        whole = engine(256)
        every = {
            one.position: one for batch in whole.sample(images(), range(INPUTS), EDGES, n0=N0, n=look) for one in batch
        }
        for position, one in found.items():
            if draws(one) == look:
                assert blob(one) == blob(every[position])


@pytest.mark.parametrize("batch_size", [32, 64, 1000])
def test_evidence_does_not_depend_on_the_batches(batch_size: int) -> None:
    expected, found = stopped(), stopped(batch_size)
    assert {number: blob(one) for number, one in found.items()} == {n: blob(one) for n, one in expected.items()}


def test_evidence_does_not_depend_on_the_other_inputs_or_their_order() -> None:
    expected = stopped()
    for positions in ([7], [30, 2, 11, 3], list(reversed(range(INPUTS)))):
        for number, one in stopped(positions=positions).items():
            assert blob(one) == blob(expected[number])


@pytest.mark.parametrize(("share", "look"), [(0.0, LOOKS[0]), (1.1, LOOKS[-1])])
def test_none_stops_before_the_first_look_or_goes_on_after_the_last(share: float, look: int) -> None:
    assert {draws(one) for one in stopped(share=share).values()} == {look}


def test_batches_stay_full_while_inputs_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    count = Tally.add

    def add(self: Tally, batch: Any, *rest: Any) -> None:
        used.append(samples_in(batch))
        count(self, batch, *rest)

    monkeypatch.setattr(Tally, "add", add)
    found = stopped(64)
    assert sum(used) == sum(draws(one) + N0 for one in found.values())
    # Only at the end do the last few inputs wait for their own results.
    short = [rows for rows in used if rows < 64]
    assert len(short) <= 3 * len(LOOKS)
    assert set(used[: len(used) * 3 // 4]) == {64}


def test_no_inputs_are_no_work() -> None:
    nothing = torch.empty(0, 1, 2, 2)
    assert list(sample_until(engine(32), nothing, [], EDGES, n0=N0, decider=Leading(0.5))) == []
