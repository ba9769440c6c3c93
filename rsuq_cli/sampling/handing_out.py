"""Which inputs which worker samples: chunks are handed out, come back from workers that are lost, and go elsewhere.

Invariant: whatever finishes, fails or dies in whatever order, every position is taken exactly once, and no worker has
more than a few chunks at a time. Nothing here knows what a worker is; nothing waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

# One that is being sampled and one that waits, so that no worker waits for its next one.
MOST_IN_FLIGHT = 2
# Chance loses a worker once or twice; a chunk that is lost this often kills whoever takes it.
MOST_LOSSES = 3


class Chunk(NamedTuple):
    """Positions of inputs for one worker, ascending, and how often they were lost with one."""

    number: int
    positions: tuple[int, ...]
    losses: int = 0


class Order(NamedTuple):
    """A chunk that a worker is to be given now."""

    worker: Hashable
    chunk: Chunk


def chunks_of(inputs: int, size: int, workers: int) -> list[list[int]]:
    """Returns positions in runs of at most `size`, and short enough to keep every worker busy to the end."""
    fair = max(1, min(size, -(-inputs // (4 * max(1, workers)))))
    return [list(range(start, min(start + fair, inputs))) for start in range(0, inputs, fair)]


class HandingOut:
    """The chunks of one sampling: those that wait, those that are with a worker, and the positions still open.

    After anything that happened, `orders` says what to give to whom.
    """

    def __init__(self, chunks: Sequence[Sequence[int]], *, most_in_flight: int = MOST_IN_FLIGHT) -> None:
        self._waiting = deque(Chunk(number, tuple(chunk)) for number, chunk in enumerate(chunks) if chunk)
        self._with: dict[Hashable, dict[int, Chunk]] = {}
        self._open = {position for chunk in chunks for position in chunk}
        self._most = most_in_flight

    @property
    def open(self) -> bool:
        """Whether any position is still to be taken."""
        return bool(self._open)

    @property
    def workers(self) -> frozenset[Hashable]:
        """Who takes part now."""
        return frozenset(self._with)

    def join(self, worker: Hashable) -> None:
        """Lets a worker take part; one that does already keeps its chunks."""
        self._with.setdefault(worker, {})

    def orders(self) -> Iterator[Order]:
        """Yields what to give to whom, the least busy first, until nothing waits or everybody is busy."""
        while self._waiting and self._with:
            worker, chunks = min(self._with.items(), key=lambda one: len(one[1]))
            if len(chunks) >= self._most:
                return
            chunk = self._waiting.popleft()
            left = tuple(position for position in chunk.positions if position in self._open)
            if left:
                chunks[chunk.number] = chunk = chunk._replace(positions=left)
                yield Order(worker, chunk)

    def take(self, position: int) -> bool:
        """Returns whether the position is wanted, and counts it as taken: one that is lost may have given it before."""
        if position not in self._open:
            return False
        self._open.remove(position)
        return True

    def done(self, worker: Hashable, number: int) -> None:
        """Notes that a worker is through with a chunk; what it has not given of it comes again."""
        chunk = self._with.get(worker, {}).pop(number, None)
        if chunk is not None and any(position in self._open for position in chunk.positions):
            self._waiting.appendleft(chunk._replace(losses=chunk.losses + 1))

    def lost(self, worker: Hashable) -> Chunk | None:
        """Takes back what a worker had, to be given to others first; returns the chunk that is lost once too often.

        It was at the oldest of its chunks: only that one may have been the cause.
        """
        chunks = list(self._with.pop(worker, {}).values())
        blamed = [chunk._replace(losses=chunk.losses + (at == 0)) for at, chunk in enumerate(chunks)]
        self._waiting.extendleft(reversed(blamed))
        return next((chunk for chunk in blamed[:1] if chunk.losses >= MOST_LOSSES and self._left(chunk)), None)

    def _left(self, chunk: Chunk) -> bool:
        return any(position in self._open for position in chunk.positions)
