"""Evidence: exact counts at bin edges, blobs that come back as they went in, edges that mean their coverage."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsuq_cli.certificates.evidence import (
    Histogram,
    MeasureEdges,
    Unanswered,
    UnknownThreshold,
    build_edges,
    counts_at,
    counts_at_all,
    decode,
    encode,
    float32_floor,
)

FLOAT32 = np.finfo(np.float32)
float32_values = st.floats(width=32, allow_nan=False, allow_infinity=False)


def histogram_of(classes: np.ndarray, u: np.ndarray, edges: np.ndarray, count: int) -> np.ndarray:
    """Returns `[K, bins]` counted one sample at a time, by the definition: edges[j-1] < u <= edges[j]."""
    bins = np.zeros((count, len(edges) + 1), dtype=np.int64)
    for c, value in zip(classes, u, strict=True):
        j = 0
        while j < len(edges) and float(value) > edges[j]:
            j += 1
        bins[c, j] += 1
    return bins


@st.composite
def histograms(draw: st.DrawFn) -> dict[str, Histogram]:
    classes = draw(st.integers(1, 5))
    found = {}
    for measure in draw(st.lists(st.sampled_from(["entropy", "margin", "energy", "gen"]), unique=True)):
        shape = (classes, draw(st.integers(1, 40)))
        counts = hnp.arrays(np.int64, shape, elements=st.integers(0, 2**32 - 1) | st.just(0))
        found[measure] = Histogram(draw(counts), draw(counts))
    return found


@given(histograms(), st.data())
@settings(deadline=None)
def test_blobs_come_back_as_they_went_in(given_histograms: dict[str, Histogram], data: st.DataObject) -> None:
    blob = encode(given_histograms)
    wanted = data.draw(st.sets(st.sampled_from([*given_histograms, "absent"])))
    for found, names in [(decode(blob), set(given_histograms)), (decode(blob, wanted), wanted & set(given_histograms))]:
        assert set(found) == names
        for name in names:
            assert np.array_equal(found[name].selection, given_histograms[name].selection)
            assert np.array_equal(found[name].estimation, given_histograms[name].estimation)
            assert found[name].estimation.dtype == np.int64


def test_equal_evidence_gives_equal_blobs_whatever_the_order_of_measures() -> None:
    square, ones = np.eye(3, dtype=np.int64), np.ones((2, 2), np.int64)
    one, two = Histogram(square, square), Histogram(ones, ones)
    assert encode({"a": one, "b": two}) == encode({"b": two, "a": one})


def test_every_damaged_byte_and_every_truncation_is_noticed() -> None:
    counts = np.arange(60, dtype=np.int64).reshape(3, 20)
    blob = encode({"entropy": Histogram(counts, counts * 1000)})
    for at in range(len(blob)):
        with pytest.raises(ValueError, match="blob"):
            decode(blob[:at])
        damaged = bytearray(blob)
        damaged[at] ^= 0x10
        try:
            found = decode(bytes(damaged))
        except ValueError:
            continue
        # A few bits of the compressed stream carry nothing (its header's level).
        assert np.array_equal(found["entropy"].estimation, counts * 1000)


def body_of(header: str, *numbers: int, tail: bytes = b"") -> bytes:
    return struct.pack("<I", len(header)) + header.encode() + struct.pack(f"<{len(numbers)}I", *numbers) + tail


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(body_of('[["u",2,2,'), id="header cut"),
        pytest.param(body_of("17"), id="header of another kind"),
        pytest.param(body_of("[]", tail=b"odd"), id="odd length"),
        pytest.param(body_of("[]", 0, 0), id="left over"),
        pytest.param(body_of('[["u",2,2,1,0]]', 99, 1), id="cell outside"),
        pytest.param(body_of('[["u",2,2,1,0]]'), id="cells missing"),
    ],
)
def test_a_whole_stream_with_foreign_contents_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        decode(b"RSUQ1" + zlib.compress(body))


@given(
    hnp.arrays(np.float32, st.integers(1, 60), elements=float32_values),
    hnp.arrays(np.float32, st.integers(0, 30), elements=float32_values),
    st.lists(st.floats(-1e30, 1e30), max_size=4),
    st.data(),
)
@settings(deadline=None)
def test_counts_at_an_edge_are_exact(
    u: np.ndarray, calibration: np.ndarray, thresholds: list[float], data: st.DataObject
) -> None:
    # Edges from values that occur, so that many samples lie exactly on an edge.
    spec = build_edges(np.append(calibration, u[::2]), lowest=None, highest=None, thresholds=thresholds)
    classes = data.draw(hnp.arrays(np.int64, len(u), elements=st.integers(0, 2)))
    histogram = histogram_of(classes, u, spec.edges, 3)
    everywhere = counts_at_all(histogram)
    votes = np.bincount(classes, minlength=3)
    for j, edge in enumerate(spec.edges):
        certain = np.bincount(classes[u.astype(np.float64) <= edge], minlength=3)
        at = counts_at(histogram, j)
        assert np.array_equal(at.certain, certain)
        assert np.array_equal(at.votes, votes)
        assert np.array_equal(everywhere.certain[j], certain)
        assert np.array_equal(everywhere.votes[j], votes)
    for threshold in thresholds:
        expected = np.bincount(classes[u.astype(np.float64) <= threshold], minlength=3)
        assert np.array_equal(counts_at(histogram, spec.position(threshold)).certain, expected)


def test_counts_at_the_extremes_of_float32() -> None:
    u = np.array([FLOAT32.min, -0.0, FLOAT32.smallest_subnormal, 1.0, FLOAT32.max, np.inf], dtype=np.float32)
    edges = np.array([float(FLOAT32.min), 0.0, 1.0, float(FLOAT32.max)])
    histogram = histogram_of(np.zeros(len(u), int), u, edges, 1)
    assert counts_at_all(histogram).certain[:, 0].tolist() == [1, 2, 4, 5]


@given(st.floats(allow_nan=False, allow_infinity=False), float32_values)
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:overflow")
def test_float32_floor_compares_like_the_threshold_itself(threshold: float, u: float) -> None:
    floor = float32_floor(threshold)
    assert floor == float(np.float32(floor))
    assert floor <= threshold
    assert (u <= threshold) == (u <= floor)
    for near in (floor, float(np.nextafter(np.float32(floor), np.float32(np.inf)))):
        assert (near <= threshold) == (near <= floor)


@given(hnp.arrays(np.float32, st.integers(1, 250), elements=st.floats(0, 1, width=32)), st.integers(1, 100))
@settings(deadline=None)
def test_an_asked_coverage_is_reached_by_the_smallest_value_that_can(values: np.ndarray, percent: int) -> None:
    spec = build_edges(values, lowest=0.0, highest=1.0, coverages=[percent / 100])
    at_or_below = {float(v): int((values <= v).sum()) for v in values}
    smallest = min(v for v, count in at_or_below.items() if 100 * count >= percent * len(values))
    assert spec.threshold_for(percent / 100) == smallest


def test_a_coverage_that_is_met_exactly_needs_no_further_value() -> None:
    # In floating point 0.07 * 100 is above 7, so is 0.55 * 100 above 55.
    spec = build_edges(np.arange(1, 101, dtype=np.float32), lowest=None, highest=None)
    assert [spec.threshold_for(percent / 100) for percent in range(1, 101)] == list(range(1, 101))


@given(hnp.arrays(np.float32, st.integers(1, 100), elements=float32_values), st.lists(st.floats(-10, 10), max_size=5))
@settings(deadline=None)
def test_edges_are_distinct_ascending_float32_values_with_their_coverage(
    calibration: np.ndarray, thresholds: list[float]
) -> None:
    spec = build_edges(calibration, lowest=-1.0, highest=1.0, thresholds=thresholds, coverages=[0.123])
    assert (np.diff(spec.edges) > 0).all()
    assert np.array_equal(spec.edges, spec.edges.astype(np.float32).astype(np.float64))
    for edge, coverage in zip(spec.edges, spec.coverages, strict=True):
        assert coverage == (calibration <= edge).mean()
    for threshold in thresholds:
        assert spec.has(threshold)
        assert spec.edges[spec.position(threshold)] == float32_floor(threshold)
    assert {-1.0, 1.0} <= set(spec.edges.tolist())
    assert len(spec.edges) >= 101


def test_no_calibration_leaves_the_grid_and_the_thresholds() -> None:
    nothing = np.zeros(0, dtype=np.float32)
    spec = build_edges(nothing, lowest=0.0, highest=1.0, thresholds=[0.123])
    assert len(spec.edges) == 102
    assert spec.has(0.123)
    assert not spec.coverages.any()
    assert build_edges(nothing, lowest=None, highest=None, thresholds=[2.5]).edges.tolist() == [2.5]
    assert len(build_edges(nothing, lowest=None, highest=None).edges) == 0


def test_values_that_are_no_numbers_count_as_never_certain() -> None:
    values = np.array([0.1, 0.2, np.nan, np.inf], dtype=np.float32)
    spec = build_edges(values, lowest=None, highest=None, coverages=[0.5])
    assert spec.threshold_for(0.5) == float(np.float32(0.2))
    assert spec.coverages[-1] == 0.5


def test_an_unknown_threshold_names_its_neighbours() -> None:
    spec = MeasureEdges(np.array([0.25, 0.5, 0.75]), np.array([0.1, 0.6, 1.0]))
    assert not spec.has(0.6)
    with pytest.raises(UnknownThreshold, match="no bin edge") as caught:
        spec.position(0.6)
    assert caught.value.nearest == (0.5, 0.75)
    for outside, nearest in [(0.0, (0.25,)), (9.0, (0.75,))]:
        with pytest.raises(UnknownThreshold) as caught:
            spec.position(outside)
        assert caught.value.nearest == nearest


def test_threshold_for_a_coverage() -> None:
    spec = MeasureEdges(np.array([0.25, 0.5, 0.75]), np.array([0.1, 0.6, 1.0]))
    assert [spec.threshold_for(c) for c in (0.05, 0.1, 0.11, 0.6, 1.0)] == [0.25, 0.25, 0.5, 0.5, 0.75]


def test_samples_without_an_answer_come_back_and_change_nothing_where_there_are_none() -> None:
    counts = np.arange(12, dtype=np.int64).reshape(3, 4)
    plain = encode({"entropy": Histogram(counts, counts)})
    assert encode({"entropy": Histogram(counts, counts, Unanswered(0, 0))}) == plain
    found = decode(encode({"entropy": Histogram(counts, counts, Unanswered(2, 31))}))["entropy"]
    assert found.unanswered == Unanswered(2, 31)
    assert found.draws == counts.sum() + 31
    votes = found.votes(1, 2)
    assert (votes.votes.tolist(), votes.unanswered, votes.total) == (counts.sum(axis=1).tolist(), 31, counts.sum() + 31)
    assert decode(plain)["entropy"].unanswered == Unanswered()


def test_a_blob_written_before_answers_were_counted_reads_as_ever() -> None:
    header = '{"histograms":[["u",2,2,1,1]],"sums":null}'
    blob = b"RSUQ1" + zlib.compress(body_of(header, 0, 3, 5, 7))
    found = decode(blob)["u"]
    assert (found.selection.tolist(), found.estimation.tolist()) == ([[5, 0], [0, 0]], [[0, 0], [0, 7]])
    assert found.votes(1, 0).total == 7
