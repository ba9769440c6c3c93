"""Counts and sums on the device: integers, so order and grouping do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rsuq_cli.certificates.evidence import SUM_UNIT, MeasureEdges
from rsuq_cli.sampling.noise import Stream
from rsuq_cli.sampling.packing import Piece
from rsuq_cli.sampling.tally import Bins, Counted, Tally
from rsuq_cli.uncertainty.predictor import PLAIN
from rsuq_cli.uncertainty.scores import Scores, scores
from rsuq_cli.uncertainty.thresholds import calibrated_edges

CPU = torch.device("cpu")
CLASSES = 3


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    return torch.randn(64, CLASSES, generator=torch.Generator().manual_seed(0)) * 3


@pytest.fixture(scope="module")
def edges(logits: torch.Tensor) -> dict[str, MeasureEdges]:
    values = scores(logits).values.numpy()
    return calibrated_edges(dict(zip(PLAIN.measures, values, strict=True)), thresholds={}, coverages=())


def piece(task: int, size: int, *, stream: Stream = Stream.ESTIMATION, last: bool = True) -> Piece:
    return Piece(task, position=10 + task, stream=stream, start=0, size=size, last=last)


def counted(
    edges: dict[str, MeasureEdges], batches: list[tuple[list[Piece], torch.Tensor]], parts: int = 1
) -> list[Counted]:
    """Returns what is reported of batches of pieces and their logits (padding included)."""
    bins = Bins(edges, CLASSES, CPU)
    tally, found = None, []
    for pieces, logits in batches:
        tally = Tally(pieces, bins, tally)
        start = 0
        for some in np.array_split(np.arange(len(pieces)), parts):
            chosen = [pieces[at] for at in some]
            rows = sum(one.size for one in chosen) if parts > 1 else len(logits)
            part = logits[start : start + rows]
            tally.add(chosen, scores(part))
            start += rows
        found += tally.report()
    return found


def test_padding_is_counted_for_nobody(edges: dict[str, MeasureEdges], logits: torch.Tensor) -> None:
    (one,) = counted(edges, [([piece(0, 40)], logits)])
    (same,) = counted(edges, [([piece(0, 40)], logits[:40])])
    assert one.position == 10
    assert one.histograms["gen"].estimation.sum() == 40
    assert one.histograms["gen"].selection.sum() == 0
    for name in PLAIN.measures:
        np.testing.assert_array_equal(one.histograms[name].estimation, same.histograms[name].estimation)
    assert one.sums.measures == same.sums.measures


def test_a_task_goes_on_in_the_next_batch_and_others_do_not_mix(
    edges: dict[str, MeasureEdges], logits: torch.Tensor
) -> None:
    first = [piece(0, 20), piece(1, 12, last=False)]
    second = [piece(1, 18), piece(2, 14)]
    found = counted(edges, [(first, logits[:32]), (second, logits[32:])])
    alone = [counted(edges, [([piece(0, size)], logits[start : start + size])])[0]
             for start, size in ((0, 20), (20, 30), (50, 14))]  # fmt: skip
    assert [one.position for one in found] == [10, 11, 12]
    for one, expected in zip(found, alone, strict=True):
        for name in PLAIN.measures:
            np.testing.assert_array_equal(one.histograms[name].estimation, expected.histograms[name].estimation)
        assert one.sums.measures == expected.sums.measures
        np.testing.assert_array_equal(one.sums.probabilities, expected.sums.probabilities)


def test_an_unfinished_task_is_not_reported(edges: dict[str, MeasureEdges], logits: torch.Tensor) -> None:
    assert counted(edges, [([piece(0, 32, last=False)], logits[:32])]) == []


def test_sums_are_exact_whatever_the_order_and_the_parts(edges: dict[str, MeasureEdges], logits: torch.Tensor) -> None:
    pieces = [piece(0, 32, last=False), piece(0, 32)]
    (whole,) = counted(edges, [(pieces, logits)])
    (parted,) = counted(edges, [(pieces, logits)], parts=2)
    (turned,) = counted(edges, [(pieces, logits.flip(0))])
    assert whole.sums.measures == parted.sums.measures == turned.sums.measures
    np.testing.assert_array_equal(whole.sums.probabilities, turned.sums.probabilities)
    expected = scores(logits)
    for row, name in enumerate(PLAIN.measures):
        selection, estimation = whole.sums.measures[name]
        assert selection == 0
        assert estimation * SUM_UNIT == pytest.approx(float(expected.values[row].double().sum()), abs=64 * SUM_UNIT)
    softmax = expected.probabilities.double().sum(dim=0).numpy()
    np.testing.assert_allclose(whole.sums.probabilities[1] * SUM_UNIT, softmax, atol=64 * SUM_UNIT)


def test_a_value_on_an_edge_is_certain_there_and_one_above_the_last_is_in_the_last_bin(
    edges: dict[str, MeasureEdges],
) -> None:
    on_edge, row = edges["energy"].edges[5], list(PLAIN.measures).index("energy")
    values = torch.zeros(len(PLAIN.measures), 4)
    values[row] = torch.tensor([on_edge, np.nextafter(np.float32(on_edge), np.float32(np.inf)), torch.inf, -torch.inf])
    bins = Bins(edges, CLASSES, CPU)
    tally = Tally([piece(0, 4)], bins, None)
    found = Scores(values, torch.zeros(4, CLASSES), torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.int64))
    tally.add([piece(0, 4)], found)
    (one,) = tally.report()
    counts = one.histograms["energy"].estimation[0]
    assert [int(at) for at in np.flatnonzero(counts)] == [0, 5, 6, len(edges["energy"].edges)]


def test_a_sample_without_an_answer_is_in_no_bin_and_in_no_sum(
    edges: dict[str, MeasureEdges], logits: torch.Tensor
) -> None:
    broken = logits[:40].clone()
    broken[3, 1], broken[7, 2], broken[30], broken[36, 0] = torch.nan, torch.inf, torch.nan, -torch.inf
    pieces = [piece(0, 10, stream=Stream.SELECTION, last=False), piece(0, 10, last=False)]
    (one,) = counted(edges, [(pieces, broken[:20]), ([piece(0, 20)], broken[20:])])
    kept = [at for at in range(40) if at not in (3, 7, 30, 36)]
    pieces = [piece(0, 8, stream=Stream.SELECTION, last=False), piece(0, 28)]
    (same,) = counted(edges, [(pieces, logits[kept])])
    assert (one.draws, one.unanswered) == (30, 4)
    for name in PLAIN.measures:
        assert one.histograms[name].unanswered == (2, 2)
        np.testing.assert_array_equal(one.histograms[name].selection, same.histograms[name].selection)
        np.testing.assert_array_equal(one.histograms[name].estimation, same.histograms[name].estimation)
    assert one.sums.measures == same.sums.measures
    np.testing.assert_array_equal(one.sums.probabilities, same.sums.probabilities)
