"""Evidence: what sampling leaves behind for one input, as integer counts.

Invariant: counts at a bin edge are exact. Bin j of a measure holds the samples with edges[j-1] < u <= edges[j] (the
last bin everything above the last edge), so the samples that are certain at the threshold edges[j] are bins 0 to j.
Edges are float32 values, the precision in which the measures are computed. A sample whose logits are not all finite
votes for no class and lies in no bin; it is counted by itself, and belongs to the total.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Counts2D = npt.NDArray[np.int64]
_MAGIC = b"RSUQ1"


class Counts(NamedTuple):
    """Votes at one threshold: `certain` and `votes` (certain or not), each `[..., K]`.

    `unanswered` `[...]` samples gave no answer (logits that are not all finite): uncertain, and nobody's votes.
    """

    certain: npt.NDArray[np.int64]
    votes: npt.NDArray[np.int64]
    unanswered: npt.NDArray[np.int64] | int = 0

    @property
    def total(self) -> npt.NDArray[np.int64]:
        """All samples `[...]`, the denominator of every share."""
        total: npt.NDArray[np.int64] = self.votes.sum(axis=-1) + self.unanswered
        return total


class Unanswered(NamedTuple):
    """How many of an input's selection and estimation samples had logits that were not all finite."""

    selection: int = 0
    estimation: int = 0


class Histogram(NamedTuple):
    """Samples by class and bin of one measure, `[K, bins]`, for the selection and for the estimation samples.

    `unanswered` samples are in no bin.
    """

    selection: Counts2D
    estimation: Counts2D
    unanswered: Unanswered = Unanswered()

    @property
    def draws(self) -> int:
        """How many estimation samples the input had."""
        return int(self.estimation.sum()) + self.unanswered.estimation

    def votes(self, stream: int, position: int) -> Counts:
        """Returns the votes `[K]` of selection (0) or estimation (1) when `u <= edges[position]` is certain."""
        return counts_at((self.selection, self.estimation)[stream], position, self.unanswered[stream])


class Sums(NamedTuple):
    """Sums over the selection and the estimation samples, exact and so independent of their order.

    `measures` has each measure's two sums, `probabilities` `[2, K]` those of the softmax; both count in units of
    `SUM_UNIT`, each sample rounded to it and held within ±2^16.
    """

    measures: dict[str, tuple[int, int]]
    probabilities: Counts2D


SUM_UNIT = 2.0**-24


@dataclass(frozen=True)
class MeasureEdges:
    """The bin edges of a measure, ascending, and the calibrated coverage of each (share of samples with u <= edge)."""

    edges: npt.NDArray[np.float64]
    coverages: npt.NDArray[np.float64]

    def position(self, threshold: float) -> int:
        """Returns which edge is the threshold; raises `UnknownThreshold` where none is."""
        wanted = float32_floor(threshold)
        at = int(np.searchsorted(self.edges, wanted))
        if at < len(self.edges) and self.edges[at] == wanted:
            return at
        raise UnknownThreshold(threshold, tuple(float(e) for e in self.edges[max(0, at - 1) : at + 1]))

    def has(self, threshold: float) -> bool:
        """Returns whether counts at this threshold are exact."""
        return bool(np.isin(float32_floor(threshold), self.edges))

    def threshold_for(self, coverage: float) -> float:
        """Returns the smallest edge whose calibrated coverage reaches `coverage`."""
        at = int(np.searchsorted(self.coverages, coverage - 1e-12))
        return float(self.edges[min(at, len(self.edges) - 1)])


class UnknownThreshold(ValueError):  # noqa: N818
    """The threshold is no bin edge, so its counts are not known; `nearest` are the edges around it."""

    def __init__(self, threshold: float, nearest: tuple[float, ...]) -> None:
        super().__init__(f"threshold {threshold:g} is no bin edge (nearest: {', '.join(f'{e:.6g}' for e in nearest)})")
        self.threshold = threshold
        self.nearest = nearest


def float32_floor(value: float) -> float:
    """Returns the largest float32 at or below `value`: comparing a float32 with either gives the same answer."""
    rounded = np.float32(value)
    return float(np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > value else rounded)


def build_edges(
    calibration: npt.NDArray[np.float32],
    *,
    lowest: float | None,
    highest: float | None,
    thresholds: Sequence[float] = (),
    coverages: Sequence[float] = (),
) -> MeasureEdges:
    """Returns bin edges: calibrated quantiles and an even grid of 101, joined with what was asked for.

    `calibration` are values of the measure on noisy calibration inputs, `[S]` (may be empty); `lowest` and `highest`
    bound the grid (the observed range where None). A quantile is an observed value, the smallest at which the share
    of values at or below it reaches the coverage.
    """
    values = np.sort(calibration[np.isfinite(calibration)].astype(np.float64))
    samples = max(len(calibration), 1)
    levels = np.concatenate([[0.001, 0.005], np.arange(1, 100) / 100, [0.995, 0.999, 1.0], np.asarray(coverages)])
    chosen = [float32_floor(t) for t in thresholds]
    if len(values):
        # By hand, since numpy's quantiles take the next value where level * samples is rounded up (0.07 of 100).
        at = np.ceil(levels * samples - 1e-9).astype(np.int64) - 1
        chosen += values[np.clip(at, 0, len(values) - 1)].tolist()
    start = lowest if lowest is not None else (values[0] if len(values) else None)
    end = highest if highest is not None else (values[-1] if len(values) else None)
    if start is not None and end is not None:
        chosen += [float32_floor(e) for e in np.linspace(start, end, 101)]
    edges = np.unique(np.asarray(chosen, dtype=np.float64))
    below = np.searchsorted(values, edges, side="right")
    return MeasureEdges(edges, below / samples)


def counts_at(histogram: Counts2D, position: int, unanswered: Counts2D | int = 0) -> Counts:
    """Returns the votes of `[..., K, bins]` histograms when `u <= edges[position]` is certain; `unanswered` `[...]`."""
    return Counts(histogram[..., : position + 1].sum(axis=-1), histogram.sum(axis=-1), unanswered)


def counts_at_all(histogram: Counts2D, unanswered: Counts2D | int = 0) -> Counts:
    """Returns the votes at every edge, `[..., edges, K]`, from histograms `[..., K, bins]` and `unanswered` `[...]`."""
    return counts_at_some(histogram, slice(None, -1), unanswered)


def counts_at_some(
    histogram: Counts2D, positions: npt.NDArray[np.int64] | slice, unanswered: Counts2D | int = 0
) -> Counts:
    """Returns the votes at the edges at `positions`, `[..., T, K]`, as `counts_at_all` does at every edge."""
    cumulative = np.moveaxis(np.cumsum(histogram, axis=-1), -1, -2)
    certain = cumulative[..., positions, :]
    votes = np.broadcast_to(cumulative[..., -1:, :], certain.shape)
    return Counts(certain, votes, np.asarray(unanswered)[..., None])


def stacked(counts: Sequence[Counts]) -> Counts:
    """Returns the votes of several inputs `[K]` each as one `[N, K]`."""
    return Counts(*(np.stack(parts) for parts in zip(*counts, strict=True)))


def encode(histograms: Mapping[str, Histogram], sums: Sums | None = None) -> bytes:
    """Returns the evidence of one input as a compressed, self-describing blob (few of the cells are not zero)."""
    described, cells, amounts = [], [], []
    for measure, histogram in sorted(histograms.items()):
        nonzero = []
        for counts in (histogram.selection, histogram.estimation):
            flat = counts.ravel()
            at = np.flatnonzero(flat)
            nonzero.append(len(at))
            cells.append(at.astype("<u4"))
            amounts.append(flat[at].astype("<u4"))
        classes, bins = histogram.estimation.shape
        described.append([measure, classes, bins, *nonzero])
    kept = None if sums is None else {"measures": sums.measures, "probabilities": sums.probabilities.tolist()}
    said: dict[str, Any] = {"histograms": described, "sums": kept}
    if any(unanswered := next((one.unanswered for one in histograms.values()), ())):
        said["unanswered"] = unanswered
    header = json.dumps(said, separators=(",", ":")).encode()
    body = b"".join([struct.pack("<I", len(header)), header, *(a.tobytes() for a in (*cells, *amounts))])
    return _MAGIC + zlib.compress(body, 6)


def decode(blob: bytes, measures: Collection[str] | None = None) -> dict[str, Histogram]:
    """Returns the histograms that `encode` was given, or those of `measures`; raises ValueError for a damaged blob."""
    with _explained(blob) as (header, body):
        packed = _unpack(header["histograms"], body, measures)
        return {name: one.histogram(_unanswered(header)) for name, one in packed.items()}


class Hit(NamedTuple):
    """Histograms with rows for some classes only, those in `classes` `[H]`, ascending; all others have no sample.

    A class without a sample is among them where there is one, so that the strongest competitor is, too.
    """

    classes: npt.NDArray[np.int64]
    histograms: dict[str, Histogram]


def decode_hit(blob: bytes, measures: Collection[str]) -> Hit:
    """Returns what `decode` does without the classes that no sample names; raises ValueError for a damaged blob."""
    with _explained(blob) as (header, body):
        packed = _unpack(header["histograms"], body, measures)
        named = [one.rows() for one in packed.values()]
        hit = np.unique(np.concatenate(named)) if named else np.empty(0, np.int64)
        most = max((one.classes for one in packed.values()), default=0)
        if len(hit) < most:
            idle = np.setdiff1d(np.arange(min(most, len(hit) + 2)), hit)
            hit = np.union1d(hit, idle[: 1 if len(hit) else 2])
        return Hit(hit, {name: one.histogram(_unanswered(header), hit) for name, one in packed.items()})


def _unanswered(header: Mapping[str, Any]) -> Unanswered:
    return Unanswered(*(int(count) for count in header.get("unanswered", ())))


def decode_sums(blob: bytes) -> Sums | None:
    """Returns the sums that `encode` was given, None where there were none; raises ValueError for a damaged blob."""
    with _explained(blob) as (header, _):
        kept = header["sums"]
        if kept is None:
            return None
        measures = {str(name): (int(first), int(second)) for name, (first, second) in kept["measures"].items()}
        return Sums(measures, np.asarray(kept["probabilities"], dtype=np.int64))


@contextmanager
def _explained(blob: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yields header and body of a blob; whatever is wrong with it becomes one ValueError."""
    if not blob.startswith(_MAGIC):
        raise ValueError("this is no evidence blob of a known version")
    try:
        body = zlib.decompress(blob[len(_MAGIC) :])
        (length,) = struct.unpack_from("<I", body)
        yield json.loads(body[4 : 4 + length]), body[4 + length :]
    except (zlib.error, struct.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the evidence blob is damaged: {error}") from error


class _Packed(NamedTuple):
    """The cells of a measure that are not zero, of both streams: where they lie, class by class, and their counts."""

    classes: int
    bins: int
    cells: tuple[npt.NDArray[Any], npt.NDArray[Any]]
    amounts: tuple[npt.NDArray[Any], npt.NDArray[Any]]

    def rows(self) -> npt.NDArray[np.int64]:
        """Returns the classes that have a sample, of either stream; raises ValueError for a cell that is not there."""
        named = np.unique(np.concatenate(self.cells) // self.bins).astype(np.int64)
        if len(named) and named[-1] >= self.classes:
            raise ValueError("a cell lies outside its histogram")
        return named

    def histogram(self, unanswered: Unanswered, classes: npt.NDArray[np.int64] | None = None) -> Histogram:
        """Returns the counts of all classes, or of `classes` `[H]`, ascending, all that have a sample among them."""
        rows = self.classes if classes is None else len(classes)
        parts = []
        for cells, amounts in zip(self.cells, self.amounts, strict=True):
            at = cells
            if classes is not None:
                at = np.searchsorted(classes, cells // self.bins) * self.bins + cells % self.bins
            counts = np.zeros(rows * self.bins, dtype=np.int64)
            counts[at] = amounts
            parts.append(counts.reshape(rows, self.bins))
        first, second = parts
        return Histogram(first, second, unanswered)


def _unpack(described: list[Any], body: bytes, measures: Collection[str] | None) -> dict[str, _Packed]:
    numbers = np.frombuffer(body, dtype="<u4")
    if len(numbers) != 2 * sum(count for _, _, _, *nonzero in described for count in nonzero):
        raise ValueError("its cells are not those that its header describes")
    cells, amounts = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    found: dict[str, _Packed] = {}
    start = 0
    for measure, classes, bins, *nonzero in described:
        if measures is not None and measure not in measures:
            start += sum(nonzero)
            continue
        middle, end = start + nonzero[0], start + sum(nonzero)
        found[measure] = _Packed(
            classes, bins,
            (cells[start:middle], cells[middle:end]),
            (amounts[start:middle], amounts[middle:end]),
        )  # fmt: skip
        start = end
    return found
