"""Readings: a run's evidence under one measure, rule and error budget, at many thresholds.

Invariant: a reading over many thresholds is shown only where it gives, at every stored one, the figures that the
database gives. Where it does not, or there is no evidence (an imported log), the reading has the stored thresholds
alone, from the stored certificates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from rsuq_cli.certificates.certificate import Method, certify
from rsuq_cli.certificates.evidence import Histogram, MeasureEdges, UnknownThreshold, counts_at_some, decode
from rsuq_cli.readings.scoring import stored_certificates
from rsuq_cli.readings.totals import Array, Counter, Integers, Totals
from rsuq_cli.results.database import Database
from rsuq_cli.results.exhibits import certificate_columns, largest_radius
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.runs import run_row
from rsuq_cli.results.writer import load_edges, load_evidence

# Cells of histograms that are decoded at a time: bounds the memory, for a thousand classes too.
_CELLS = 4_000_000


class Detail(NamedTuple):
    """How finely a reading is taken: how many thresholds, radii, inputs as points, and coverages (at most)."""

    thresholds: int = 101
    radii: int = 101
    points: int = 2000
    coverages: int = 101


class Key(NamedTuple):
    """What makes a reading one, whatever the threshold."""

    run_id: int
    measure: str
    rule: str
    competitors: str
    alpha: float
    family_size: int


@dataclass(frozen=True)
class Position:
    """One threshold of a reading, and the coverage it was calibrated for; `figures` where it is stored as a scoring."""

    threshold: float | None
    calibrated: float | None
    figures: Figures | None


@dataclass(frozen=True)
class Reading:
    """A run read in one way, at the thresholds of `positions`, ascending."""

    run: RunRow
    key: Key
    positions: tuple[Position, ...]
    parts: tuple[Totals, ...]  # one over all positions, or without evidence one for each
    from_evidence: bool

    @property
    def rejects(self) -> bool:
        """Whether there is rejection at all: without it CC and NCL are the standard guarantee again."""
        return self.key.rule != "standard"

    def at(self, position: int) -> tuple[Totals, int]:
        """Returns the totals that hold a position, and where in them."""
        return (self.parts[0], position) if self.from_evidence else (self.parts[position], 0)

    @property
    def stored(self) -> tuple[int, ...]:
        """The positions that the database has a scoring for."""
        return tuple(i for i, position in enumerate(self.positions) if position.figures)

    def column(self, name: str) -> Array:
        """Returns a figure at every position, `[T]`."""
        return np.concatenate([totals.values[name] for totals in self.parts])


def reading_keys(figures: Sequence[Figures]) -> dict[Key, list[Figures]]:
    """Returns the scorings that are points of one reading together, in the order of the figures."""
    groups: dict[Key, list[Figures]] = {}
    for one in figures:
        key = Key(one.run_id, one.measure, one.rule, one.competitors, one.alpha, one.family_size)
        groups.setdefault(key, []).append(one)
    return groups


def readings(
    db: Database, figures: Sequence[Figures], detail: Detail, advance: Callable[[int], None] = lambda inputs: None
) -> list[Reading]:
    """Returns the readings that these figures are points of, in the order of the figures.

    `advance` is told how many inputs of a run have been read, as it goes on.
    """
    groups = reading_keys(figures)
    by_run: dict[int, dict[Key, list[Figures]]] = {}
    for key, stored in groups.items():
        by_run.setdefault(key.run_id, {})[key] = stored
    found: dict[Key, Reading] = {}
    for run_id, part in by_run.items():
        found |= _of_run(db, run_id, part, detail, advance)
    return [found[key] for key in groups]


def _of_run(
    db: Database, run_id: int, groups: Mapping[Key, Sequence[Figures]], detail: Detail, advance: Callable[[int], None]
) -> Iterator[tuple[Key, Reading]]:
    run = run_row(db, run_id)
    radii = {key: _radii(db, run, key, stored, detail.radii) for key, stored in groups.items()}
    edges = {measure: MeasureEdges(*stored) for measure, stored in load_edges(db, run_id).items()}
    chosen = {key: _chosen(edges.get(key.measure), stored, detail) for key, stored in groups.items()}
    sweeps = [_Sweep(key, at, _counter(run, radii[key], run.finished, detail)) for key, at in chosen.items() if len(at)]
    if run.finished and sweeps:
        for sweep, totals in _swept(db, run, sweeps, advance):
            reading = _over_edges(run, sweep.key, edges[sweep.key.measure], sweep.positions, totals, groups[sweep.key])
            if reading:
                yield sweep.key, reading
                radii.pop(sweep.key)
    for key, left in radii.items():
        yield key, _over_rows(db, run, key, groups[key], left, detail)


@dataclass(frozen=True)
class _Sweep:
    """A reading under way: which edges of its measure are taken."""

    key: Key
    positions: Integers
    counter: Counter

    def add(self, run: RunRow, index: Integers, label: Integers, histograms: Sequence[Mapping[str, Histogram]]) -> None:
        own = [one[self.key.measure] for one in histograms]
        selection, estimation = (
            counts_at_some(
                np.stack([one[stream] for one in own]), self.positions, np.array([o.unanswered[stream] for o in own])
            )
            for stream in (0, 1)
        )
        method = _method(run, self.key)
        self.counter.add(index, label, certify(selection, estimation, method))


def _method(run: RunRow, key: Key) -> Method:
    method = Method(run.sigma, key.alpha, key.rule, key.competitors, key.family_size)  # type: ignore[arg-type]
    return method.of_run(run.configuration)


def _swept(
    db: Database, run: RunRow, sweeps: Sequence[_Sweep], advance: Callable[[int], None]
) -> list[tuple[_Sweep, Totals]]:
    measures = {sweep.key.measure for sweep in sweeps}
    evidence = load_evidence(db, run.id)
    page = 1
    while rows := list(islice(evidence, page)):
        histograms = [decode(row.counts, measures) for row in rows]
        index = np.array([row.input_index for row in rows])
        label = np.array([row.label for row in rows])
        for sweep in sweeps:
            sweep.add(run, index, label, histograms)
        advance(len(rows))
        largest = max((one.estimation.size for one in histograms[0].values()), default=1)
        page = max(1, min(256, _CELLS // largest))
    return [(sweep, sweep.counter.totals()) for sweep in sweeps]


def _chosen(edges: MeasureEdges | None, stored: Sequence[Figures], detail: Detail) -> Integers:
    """Returns the edges to show: those of the stored thresholds, and others spread evenly; none if one is unknown."""
    nothing = np.empty(0, dtype=np.int64)
    if edges is None:
        return nothing
    try:
        must = [edges.position(one.threshold) for one in stored if one.threshold is not None]
    except UnknownThreshold:
        return nothing
    if len(must) < len(stored):
        return nothing
    spread = np.linspace(0, len(edges.edges) - 1, min(detail.thresholds, len(edges.edges)))
    return np.union1d(must, spread.round().astype(np.int64))


def _over_edges(
    run: RunRow, key: Key, edges: MeasureEdges, at: Integers, totals: Totals, stored: Sequence[Figures]
) -> Reading | None:
    by_edge = {edges.position(one.threshold): one for one in stored if one.threshold is not None}
    positions = tuple(
        Position(float(edges.edges[edge]), float(edges.coverages[edge]), by_edge.get(int(edge))) for edge in at
    )
    if all(_agrees(totals, i, position.figures) for i, position in enumerate(positions) if position.figures):
        return Reading(run, key, positions, (totals,), from_evidence=True)
    return None


def _agrees(totals: Totals, at: int, figures: Figures) -> bool:
    here = {name: float(values[at]) for name, values in totals.values.items()}
    return totals.inputs == figures.inputs and all(
        math.isnan(here[name]) if value is None else math.isclose(here[name], value, rel_tol=1e-9, abs_tol=1e-12)
        for name, value in figures.values.items()
    )


def _over_rows(db: Database, run: RunRow, key: Key, stored: Sequence[Figures], radii: Array, detail: Detail) -> Reading:
    ordered = sorted(stored, key=lambda one: -math.inf if one.threshold is None else one.threshold)
    parts = []
    for one in ordered:
        columns = certificate_columns(db, one.scoring_id)
        counter = _counter(run, radii, one.inputs, detail)
        counter.add(
            columns["input_index"],
            columns["label"],
            stored_certificates({name: values[:, None] for name, values in columns.items()}),
        )
        parts.append(counter.totals())
    positions = tuple(Position(one.threshold, one.threshold_coverage, one) for one in ordered)
    return Reading(run, key, positions, tuple(parts), from_evidence=False)


def _counter(run: RunRow, radii: Array, inputs: int, detail: Detail) -> Counter:
    shown = np.unique(np.linspace(0, max(inputs - 1, 0), min(detail.points, max(inputs, 1))).round().astype(np.int64))
    coverages = np.arange(1, detail.coverages + 1) / detail.coverages
    return Counter(radii, coverages, shown, by_votes=run.kind != "import")


def _radii(db: Database, run: RunRow, key: Key, stored: Sequence[Figures], count: int) -> Array:
    """Returns an even grid up to the largest radius there can be, joined with the radii that were asked for."""
    ceiling = _method(run, key).ceiling(run.n) if run.n else 0.0
    largest = max(ceiling, *(largest_radius(db, one.scoring_id) for one in stored)) or run.sigma
    asked = [point.radius for one in stored for point in one.certified_cc]
    return np.union1d(np.linspace(0, largest, count), [radius for radius in asked if radius <= largest])
