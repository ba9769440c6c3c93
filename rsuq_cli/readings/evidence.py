"""Readings: a run's evidence under one measure, rule and error budget, at many thresholds.

Invariant: a reading over many thresholds is shown only where it gives, at every stored one, the figures that the
database gives. Where it does not, or there is no evidence (an imported log), the reading has the stored thresholds
alone, from the stored certificates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rsuq_cli.certificates.evidence import MeasureEdges, UnknownThreshold
from rsuq_cli.certificates.method import Method
from rsuq_cli.readings.pages import Plan, certificates, pages_for
from rsuq_cli.readings.scoring import stored_certificates
from rsuq_cli.readings.totals import Array, Counter, Integers, Totals
from rsuq_cli.results.database import Database
from rsuq_cli.results.exhibits import certificate_columns, largest_radius
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.runs import run_row
from rsuq_cli.results.writer import load_edges, load_evidence


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
    bounds_version: int


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
        key = Key(
            one.run_id, one.measure, one.rule, one.competitors, one.alpha, one.family_size,
            one.bounds_version,
        )  # fmt: skip
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
    sweeps = [
        _Sweep(
            key,
            Plan(key.measure, edges[key.measure], at, _method(run, key)),
            _counter(run, radii[key], run.finished, detail),
        )
        for key, at in chosen.items()
        if len(at)
    ]
    if run.finished and sweeps:
        _sweep(db, run, sweeps, advance)
        for key, plan, counter in sweeps:
            reading = _over_edges(run, key, plan, counter.totals(), groups[key])
            if reading:
                yield key, reading
                radii.pop(key)
    for key, left in radii.items():
        yield key, _over_rows(db, run, key, groups[key], left, detail)


class _Sweep(NamedTuple):
    """A reading under way."""

    key: Key
    plan: Plan
    counter: Counter


def _method(run: RunRow, key: Key) -> Method:
    return Method.of_scoring(run.sigma, key._asdict(), run.configuration)


def _sweep(db: Database, run: RunRow, sweeps: Sequence[_Sweep], advance: Callable[[int], None]) -> None:
    """Counts the certificates of all inputs, for every reading in one pass over the evidence."""
    plans = [sweep.plan for sweep in sweeps]
    for page in pages_for(load_evidence(db, run.id), plans):
        for place, found in certificates(page, plans):
            sweeps[place].counter.add(page.inputs, page.labels, found)
        advance(len(page.evidence))


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


def _over_edges(run: RunRow, key: Key, plan: Plan, totals: Totals, stored: Sequence[Figures]) -> Reading | None:
    edges = plan.edges
    by_edge = {edges.position(one.threshold): one for one in stored if one.threshold is not None}
    positions = tuple(
        Position(float(edges.edges[edge]), float(edges.coverages[edge]), by_edge.get(int(edge)))
        for edge in plan.positions
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
