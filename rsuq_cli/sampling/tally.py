"""Counts on the device: class by bin for every measure of a run, and exact sums.

Invariant: what is added up are integers, so the result does not depend on the order or the grouping of samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from rsuq_cli.certificates.evidence import SUM_UNIT, Histogram, MeasureEdges, Sums, Unanswered
from rsuq_cli.sampling.device import sent
from rsuq_cli.sampling.landing import Landing
from rsuq_cli.sampling.noise import Stream
from rsuq_cli.sampling.packing import Piece
from rsuq_cli.uncertainty.measures import in_order
from rsuq_cli.uncertainty.scores import Scores

STREAMS = (Stream.SELECTION, Stream.ESTIMATION)
_LARGEST = 2.0**16


class Counted(NamedTuple):
    """A task that has all its samples: the input's position, histograms of every measure counted, and sums."""

    position: int
    histograms: dict[str, Histogram]
    sums: Sums

    @property
    def draws(self) -> int:
        """How many estimation samples there are."""
        return next(iter(self.histograms.values())).draws

    @property
    def unanswered(self) -> int:
        """How many selection and estimation samples had no answer."""
        return sum(next(iter(self.histograms.values())).unanswered)


class Bins:
    """The bin edges of a run's measures on a device, `[M, E]`, each row ending in at least one infinity.

    The edges say what is counted, in any order: `measures` are theirs in the order of the registry, which is that of
    the rows, of `Scores` too, and of what is stored. A value above the last edge, infinity too, falls at the first
    infinity: the measure's last bin.
    """

    def __init__(self, edges: Mapping[str, MeasureEdges], num_classes: int, device: torch.device) -> None:
        self.measures = in_order(edges)
        self.num_classes = num_classes
        self.sizes = {name: len(edges[name].edges) + 1 for name in self.measures}
        table = np.full((len(edges), max(self.sizes.values())), np.inf, dtype=np.float32)
        for row, name in enumerate(self.measures):
            table[row, : len(edges[name].edges)] = edges[name].edges
        self.table = torch.from_numpy(table).to(device)
        self.measure = torch.arange(len(edges), device=device)[:, None]


class Tally:
    """Counts of the tasks in one batch; the first may go on from the batch before."""

    def __init__(self, batch: Sequence[Piece], bins: Bins, before: Tally | None) -> None:
        ends = {piece.task: piece.last for piece in batch}
        self.positions = list({piece.task: piece.position for piece in batch}.values())
        self.finished = list(ends.values())
        self.slots = {task: slot for slot, task in enumerate(ends)}
        self.bins = bins
        self._landing: Landing | None = None
        # One slot more than there are tasks takes the padding of a batch that is not full.
        slots, streams, device = len(ends) + 1, len(STREAMS), bins.table.device
        measures, width = bins.table.shape
        self.counts = torch.zeros((slots, streams, measures, bins.num_classes, width), dtype=torch.int32, device=device)
        self.sums = torch.zeros((slots, streams, measures + bins.num_classes), dtype=torch.int64, device=device)
        self.unanswered = torch.zeros((slots, streams), dtype=torch.int64, device=device)
        if before and not before.finished[-1]:
            open_task = list(before.slots)[-1]
            if open_task in self.slots:
                self.counts[self.slots[open_task]] = before.counts[before.slots[open_task]]
                self.sums[self.slots[open_task]] = before.sums[before.slots[open_task]]
                self.unanswered[self.slots[open_task]] = before.unanswered[before.slots[open_task]]

    def add(self, batch: Sequence[Piece], scores: Scores) -> None:
        """Counts the samples of a batch, given the scores of its rows; rows after the pieces are padding."""
        everyone = self._slot_of_rows(batch, len(scores.classes))
        self.unanswered.view(-1).index_add_(0, everyone, (~scores.answered).to(torch.int64))
        # A sample without an answer is in no bin of any class, and in no sum: it goes where the padding goes.
        slot = torch.where(scores.answered, everyone, len(self.slots) * len(STREAMS))
        measures, width = self.bins.table.shape
        cell = torch.searchsorted(self.bins.table, scores.values)
        flat = (
            (slot[None] * measures + self.bins.measure) * self.bins.num_classes + scores.classes[None]
        ) * width + cell
        ones = torch.ones((), dtype=torch.int32, device=flat.device).expand(flat.numel())
        self.counts.view(-1).scatter_add_(0, flat.view(-1), ones)
        exact = torch.cat([scores.values.t(), scores.probabilities], dim=1)
        # The unit is a power of two, so that float32 is exact here; a GPU of Apple's has no float64.
        units = (exact.clamp(-_LARGEST, _LARGEST) / SUM_UNIT).round().to(torch.int64)
        self.sums.view(-1, self.sums.shape[-1]).index_add_(0, slot, units)

    def settle(self) -> None:
        """Starts to copy the finished tasks to the host, all samples of the batch being counted.

        On CUDA it does not wait; elsewhere a copy does, so it is `report` that copies.
        """
        if self.counts.device.type == "cuda":
            self._land()

    def _land(self) -> Landing | None:
        slots = [slot for slot, done in enumerate(self.finished) if done]
        if slots and self._landing is None:
            at = sent(torch.tensor(slots), self.counts.device)
            self._landing = Landing([part.index_select(0, at) for part in (self.counts, self.sums, self.unanswered)])
        return self._landing

    def report(self) -> list[Counted]:
        """Returns the finished tasks."""
        landing = self._land()
        if landing is None:
            return []
        slots = [slot for slot, done in enumerate(self.finished) if done]
        counts, sums, silent = landing.arrays()
        unanswered = [Unanswered(*both) for both in silent.tolist()]
        measures, sizes = self.bins.measures, self.bins.sizes
        return [
            Counted(
                self.positions[slot],
                {
                    name: Histogram(
                        counts[at, Stream.SELECTION, row, :, : sizes[name]],
                        counts[at, Stream.ESTIMATION, row, :, : sizes[name]],
                        unanswered[at],
                    )
                    for row, name in enumerate(measures)
                },
                Sums(
                    {name: (int(sums[at, 0, row]), int(sums[at, 1, row])) for row, name in enumerate(measures)},
                    sums[at, :, len(measures) :],
                ),
            )
            for at, slot in enumerate(slots)
        ]

    def _slot_of_rows(self, batch: Sequence[Piece], rows: int) -> torch.Tensor:
        """Returns `[rows]` with the slot of each row's task and stream; padding goes to the slot that nobody reads."""
        out = np.full(rows, len(self.slots) * len(STREAMS), dtype=np.int64)
        values = [self.slots[piece.task] * len(STREAMS) + piece.stream for piece in batch]
        used = np.repeat(np.asarray(values, dtype=np.int64), [piece.size for piece in batch])
        out[: len(used)] = used
        return sent(torch.from_numpy(out), self.counts.device)
