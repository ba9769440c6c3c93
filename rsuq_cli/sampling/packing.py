"""Batches packed across inputs, so that many small jobs run as few full batches.

Invariant: every requested sample lands in exactly one batch, in the order of the requests; no batch is smaller than
asked for but the last, and those cut short by an explicit flush.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rsuq_cli.sampling.noise import Stream


class Stretch(NamedTuple):
    """Consecutive noise samples of one stream of an input."""

    stream: Stream
    start: int
    size: int


class Task(NamedTuple):
    """Samples of the input at `position` that are counted together and reported once all are done."""

    position: int
    stretches: tuple[Stretch, ...]


class Piece(NamedTuple):
    """A part of a stretch that fits into one batch; `task` numbers the tasks, `last` ends one."""

    task: int
    position: int
    stream: Stream
    start: int
    size: int
    last: bool


def pack(tasks: Iterable[Task | None], rows: int) -> Iterator[list[Piece]]:
    """Returns batches of `rows` samples, cutting stretches where a batch is full.

    Tasks are taken one at a time, when there is room: an iterable may make the next from what was reported of earlier
    ones. None in their place flushes what has gathered, as a short batch.
    """
    return cut(_pieces(tasks), rows)


def cut(pieces: Iterable[Piece | None], rows: int) -> Iterator[list[Piece]]:
    """Returns the same pieces in order as batches of `rows` samples; None flushes what has gathered."""
    batch: list[Piece] = []
    free = rows
    for whole in pieces:
        if whole is None:
            if batch:
                yield batch
            batch, free = [], rows
            continue
        rest = whole
        while rest.size:
            size = min(free, rest.size)
            batch.append(rest._replace(size=size, last=rest.last and size == rest.size))
            rest = rest._replace(start=rest.start + size, size=rest.size - size)
            free -= size
            if not free:
                yield batch
                batch, free = [], rows
    if batch:
        yield batch


def _pieces(tasks: Iterable[Task | None]) -> Iterator[Piece | None]:
    for number, task in enumerate(tasks):
        if task is None:
            yield None
            continue
        wanted = [stretch for stretch in task.stretches if stretch.size]
        for stretch in wanted:
            yield Piece(number, task.position, *stretch, last=stretch is wanted[-1])


def samples_in(batch: Iterable[Piece]) -> int:
    """Returns how many samples the pieces have together."""
    return sum(piece.size for piece in batch)
