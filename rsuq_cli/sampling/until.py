"""Sampling that stops an input as soon as it is decided, and keeps the batches full of those that are not.

Invariant: an input is looked at after fixed numbers of its own samples, and whether it goes on depends on its own
counts alone; so its evidence does not depend on the batch size, on the other inputs or on their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.certificates.evidence import Histogram, MeasureEdges, Sums, Unanswered
from rsuq_cli.sampling.engine import Counted, Engine, Indices
from rsuq_cli.sampling.noise import Stream
from rsuq_cli.sampling.packing import Stretch, Task


class Decider(Protocol):
    """Says which inputs need no more samples."""

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of estimation samples after which to ask, ascending; the last one ends every input."""
        ...

    def decided(self, histograms: Sequence[Mapping[str, Histogram]]) -> npt.NDArray[np.bool_]:
        """Returns which inputs are decided by their histograms so far, by measure."""
        ...


def sample_until(
    engine: Engine, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n0: int,
    decider: Decider,
) -> Iterator[list[Counted]]:  # fmt: skip
    """Yields inputs as they finish, as `Engine.sample` does, each with as many estimation samples as it needed."""
    paths = _Paths(len(images), n0, decider)
    # An engine's counting ends when there is nothing to ask for until it has reported what it holds.
    while paths.open:
        for counted in engine.count(images, indices, edges, paths.tasks()):
            yield paths.take(counted)


class _Paths:
    """Where every input is on its way: asked for, waiting for its next look, or finished."""

    def __init__(self, inputs: int, n0: int, decider: Decider) -> None:
        self.open = inputs
        self._n0, self._decider = n0, decider
        self._fresh = iter(range(inputs))
        self._waiting: deque[int] = deque()
        self._so_far: dict[int, Counted] = {}
        self._looks: dict[int, int] = {}

    def tasks(self) -> Iterator[Task]:
        """Yields what to sample next, inputs under way before new ones, until all that is left is being sampled."""
        while True:
            if self._waiting:
                position = self._waiting.popleft()
                look = self._looks[position]
                start, end = self._decider.looks[look - 1], self._decider.looks[look]
                yield Task(position, (Stretch(Stream.ESTIMATION, start, end - start),))
            elif (new := next(self._fresh, None)) is not None:
                self._looks[new] = 0
                first = Stretch(Stream.ESTIMATION, 0, self._decider.looks[0])
                yield Task(new, (Stretch(Stream.SELECTION, 0, self._n0), first))
            else:
                return

    def take(self, counted: Sequence[Counted]) -> list[Counted]:
        """Adds counts, and returns the inputs that are finished with them."""
        if not counted:
            return []
        whole = [_added(self._so_far.get(one.position), one) for one in counted]
        decided = self._decider.decided([one.histograms for one in whole])
        finished = []
        for one, done in zip(whole, decided, strict=True):
            self._looks[one.position] += 1
            if done or self._looks[one.position] == len(self._decider.looks):
                self._so_far.pop(one.position, None)
                del self._looks[one.position]
                self.open -= 1
                finished.append(one)
            else:
                self._so_far[one.position] = one
                self._waiting.append(one.position)
        return finished


def _added(before: Counted | None, new: Counted) -> Counted:
    if before is None:
        return new
    histograms = {name: _both(before.histograms[name], histogram) for name, histogram in new.histograms.items()}
    measures = {
        name: (first + before.sums.measures[name][0], second + before.sums.measures[name][1])
        for name, (first, second) in new.sums.measures.items()
    }
    return Counted(new.position, histograms, Sums(measures, before.sums.probabilities + new.sums.probabilities))


def _both(one: Histogram, other: Histogram) -> Histogram:
    unanswered = Unanswered(*(a + b for a, b in zip(one.unanswered, other.unanswered, strict=True)))
    return Histogram(one.selection + other.selection, one.estimation + other.estimation, unanswered)
