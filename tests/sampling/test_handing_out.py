"""Whatever finishes, fails or dies in whatever order, every position comes exactly once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.sampling.handing_out import MOST_IN_FLIGHT, MOST_LOSSES, Chunk, HandingOut, chunks_of


@given(inputs=st.integers(0, 200), size=st.integers(1, 50), workers=st.integers(1, 9))
def test_chunks_are_every_position_once(inputs: int, size: int, workers: int) -> None:
    chunks = chunks_of(inputs, size, workers)
    assert [position for chunk in chunks for position in chunk] == list(range(inputs))
    assert all(0 < len(chunk) <= size for chunk in chunks)
    # Enough of them that nobody is idle for long at the end.
    assert inputs < 4 * workers or len(chunks) >= 2 * workers


@given(st.data())
def test_every_position_comes_once_whatever_happens(data: st.DataObject) -> None:
    inputs = data.draw(st.integers(0, 30))
    handing = HandingOut(chunks_of(inputs, data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))))
    held: dict[int, list[Chunk]] = {}
    taken: Counter[int] = Counter()
    fresh, losses = 0, data.draw(st.integers(0, 12))
    for _ in range(400):
        if not held:
            handing.join(fresh)
            held[fresh] = []
            fresh += 1
        for worker, chunk in handing.orders():
            held[worker].append(chunk)  # type: ignore[index]
        assert all(len(chunks) <= MOST_IN_FLIGHT for chunks in held.values())
        if not handing.open:
            break
        assert any(held.values())  # somebody has something to do, however all the others stand
        worker = data.draw(st.sampled_from(sorted(held)))
        kind = data.draw(st.sampled_from(["finish", "finish", "part", "lose", "join"]))
        if kind == "join":
            handing.join(fresh)
            held[fresh] = []
            fresh += 1
        elif kind == "lose" and losses:
            losses -= 1
            had, speaks = held.pop(worker), data.draw(st.booleans())
            handing.lost(worker)
            if had and speaks:  # what it said before it was lost arrives afterwards
                taken.update(p for p in had[0].positions if handing.take(p))
        elif held[worker]:
            chunk = held[worker][0]
            positions = chunk.positions if kind != "part" else chunk.positions[: len(chunk.positions) // 2]
            taken.update(p for p in positions if handing.take(p))
            if kind != "part":
                held[worker].pop(0)
                handing.done(worker, chunk.number)
    while handing.open:  # whoever is left goes on to the end
        for worker, chunk in handing.orders():
            held[worker].append(chunk)  # type: ignore[index]
        worker = next(one for one, chunks in held.items() if chunks)
        chunk = held[worker].pop(0)
        taken.update(p for p in chunk.positions if handing.take(p))
        handing.done(worker, chunk.number)
    assert taken == Counter(range(inputs))


def test_what_comes_back_while_all_others_are_idle_is_taken() -> None:
    handing = HandingOut([[0], [1]])
    handing.join("a")
    handing.join("b")
    given_out = {order.worker: order.chunk for order in handing.orders()}
    assert given_out == {"a": Chunk(0, (0,)), "b": Chunk(1, (1,))}
    assert handing.take(0)
    handing.done("a", 0)
    assert list(handing.orders()) == []
    assert handing.lost("b") is None
    assert [(order.worker, order.chunk.positions) for order in handing.orders()] == [("a", (1,))]


def test_only_the_chunk_that_was_being_sampled_is_to_blame() -> None:
    handing = HandingOut([[0, 1], [2]])
    for loss in range(1, MOST_LOSSES + 1):
        handing.join(loss)
        assert [order.chunk for order in handing.orders()] == [Chunk(0, (0, 1), loss - 1), Chunk(1, (2,))]
        expected = Chunk(0, (0, 1), MOST_LOSSES) if loss == MOST_LOSSES else None
        assert handing.lost(loss) == expected


def test_a_part_that_was_given_before_the_loss_is_not_asked_for_again() -> None:
    handing = HandingOut([[0, 1, 2]])
    handing.join("a")
    list(handing.orders())
    assert handing.take(1)
    handing.lost("a")
    handing.join("b")
    assert [order.chunk.positions for order in handing.orders()] == [(0, 2)]
    assert not handing.take(1)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_least_busy_is_given_the_next(workers: int) -> None:
    handing = HandingOut([[position] for position in range(20)])
    for worker in range(workers):
        handing.join(worker)
    assert [order.worker for order in handing.orders()] == [*range(workers), *range(workers)]
