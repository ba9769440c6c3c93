"""Packing loses nothing, doubles nothing, and fills every batch but the last."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.sampling.noise import Stream
from rsuq_cli.sampling.packing import Piece, Stretch, Task, cut, pack, samples_in

Sample = tuple[int, int, Stream, int]  # task, position, stream, number


@st.composite
def jobs(draw: st.DrawFn) -> list[Task]:
    """Two stretches for each of some inputs, as the engine asks for them; one of the two may be empty."""
    sizes = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 90)), max_size=8))
    start = draw(st.integers(0, 300))
    return [
        Task(position, (Stretch(Stream.SELECTION, 0, first), Stretch(Stream.ESTIMATION, start, second)))
        for position, (first, second) in enumerate(sizes)
    ]


def asked(tasks: list[Task]) -> list[Sample]:
    return [
        (number, task.position, stretch.stream, stretch.start + row)
        for number, task in enumerate(tasks)
        for stretch in task.stretches
        for row in range(stretch.size)
    ]


def got(batches: list[list[Piece]]) -> list[Sample]:
    return [(p.task, p.position, p.stream, p.start + row) for batch in batches for p in batch for row in range(p.size)]


@given(tasks=jobs(), rows=st.integers(1, 64))
def test_every_sample_lands_in_one_batch_in_order(tasks: list[Task], rows: int) -> None:
    assert got(list(pack(tasks, rows))) == asked(tasks)


@given(tasks=jobs(), rows=st.integers(1, 64))
def test_no_batch_but_the_last_is_short(tasks: list[Task], rows: int) -> None:
    sizes = [samples_in(batch) for batch in pack(tasks, rows)]
    assert all(size == rows for size in sizes[:-1])
    assert all(0 < size <= rows for size in sizes[-1:])


@given(tasks=jobs(), rows=st.integers(1, 64))
def test_a_task_is_done_with_its_final_piece_and_not_before(tasks: list[Task], rows: int) -> None:
    pieces = [piece for batch in pack(tasks, rows) for piece in batch]
    assert [piece.task for piece in pieces if piece.last] == list(range(len(tasks)))
    for piece, following in zip(pieces, [*pieces[1:], None], strict=False):
        assert piece.last == (following is None or following.task != piece.task)


@given(tasks=jobs(), rows=st.integers(1, 64), fewer=st.integers(1, 64))
def test_a_batch_cut_again_into_smaller_ones_is_still_all_there(tasks: list[Task], rows: int, fewer: int) -> None:
    again = [small for batch in pack(tasks, rows) for small in cut(batch, fewer)]
    assert got(again) == asked(tasks)
    assert [p.task for batch in again for p in batch if p.last] == list(range(len(tasks)))


@given(before=jobs(), after=jobs(), rows=st.integers(1, 64))
def test_a_flush_ends_the_batch_and_loses_nothing(before: list[Task], after: list[Task], rows: int) -> None:
    batches = list(pack([*before, None, None, *after], rows))
    first = list(pack(before, rows))
    assert [samples_in(batch) for batch in batches[: len(first)]] == [samples_in(batch) for batch in first]
    positions = [sample[1:] for sample in got(batches)]
    assert positions == [sample[1:] for sample in asked(before) + asked(after)]
    assert all(samples_in(batch) == rows for batch in batches[len(first) : -1])


def test_nothing_asked_for_is_no_batch() -> None:
    assert list(pack([], 8)) == []
    assert list(pack([None], 8)) == []


def test_tasks_are_taken_as_there_is_room_for_them() -> None:
    """A run of a million inputs is not laid out in memory first, and the next task may depend on the last report."""
    taken = []

    def endless() -> Iterator[Task]:
        for position in range(1_000_000):
            taken.append(position)
            yield Task(position, (Stretch(Stream.SELECTION, 0, 10),))

    batches = pack(endless(), 25)
    assert [piece.size for piece in next(batches)] == [10, 10, 5]
    assert taken == [0, 1, 2]
    assert [piece.size for piece in next(batches)] == [5, 10, 10]
    assert taken == [0, 1, 2, 3, 4]
