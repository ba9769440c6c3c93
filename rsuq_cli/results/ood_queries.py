"""Out-of-distribution runs, read back: what each set and score reached, and what is guaranteed of it.

Invariant: nothing here writes, and every figure is one that was stored when the run was evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection, text

from rsuq_cli.results.database import Database
from rsuq_cli.results.ood_writer import DIFFERENCE
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.runs import list_runs
from rsuq_cli.results.selection import Selection, chosen_scorings

AVERAGE = "average:"


class Estimate(NamedTuple):
    """A stored figure; the ends of its 95 % interval are None where it has none."""

    value: float
    low: float | None
    high: float | None


class Key(NamedTuple):
    """What a figure is about; `ood_set` None is in distribution, `radius` (pixel units) None without an attacker."""

    name: str
    ood_set: str | None
    score: str | None
    radius: float | None


class Settings(NamedTuple):
    """What a guarantee rests on: each bound has an error of at most alpha / family_size."""

    measure: str
    threshold: float | None
    coverage: float | None
    alpha: float
    family_size: int


class Difference(NamedTuple):
    """AUROC of the best smoothed score minus that of the best clean score, on a set or an average over sets."""

    ood_set: str
    smoothed: str
    clean: str
    estimate: Estimate


@dataclass(frozen=True)
class OodRun:
    """A run that was evaluated: its sets in the order of the request, its scores, and every figure by key.

    `inputs` counts those of each set, the in-distribution one (`run.dataset`) included; `near` are the near sets.
    """

    run: RunRow
    sets: tuple[str, ...]
    scores: tuple[str, ...]
    inputs: Mapping[str, int]
    near: frozenset[str]
    settings: Mapping[str, Settings]  # by score, where something is guaranteed of it
    figures: Mapping[Key, Estimate]
    differences: tuple[Difference, ...]

    def figure(self, name: str, ood_set: str | None, score: str | None, radius: float | None = None) -> Estimate | None:
        """Returns a figure, None where there is none."""
        return self.figures.get(Key(name, ood_set, score, radius))

    def group(self, ood_set: str) -> str:
        """Returns "near" or "far"."""
        return "near" if ood_set in self.near else "far"

    def radii(self, score: str) -> list[float]:
        """Returns the radii at which something is guaranteed of a score, ascending."""
        return sorted({key.radius for key in self.figures if key.score == score and key.radius is not None})


def selected_ood_runs(db: Database, selection: Selection) -> list[int]:
    """Returns the out-of-distribution runs that are selected and were evaluated, the oldest first."""
    with db.read() as connection:
        rows = chosen_scorings(connection, replace(selection, kinds=("ood",)))
    evaluated = {run.run.id for run in ood_runs(db)}
    return sorted({int(row["run_id"]) for row in rows} & evaluated)


def ood_runs(
    db: Database,
    *,
    runs: Sequence[int] = (),
    dataset: str | None = None,
    model: str | None = None,
    sigma: float | None = None,
) -> list[OodRun]:
    """Returns the evaluated out-of-distribution runs that match, the oldest first; None, or no runs, matches all."""
    wanted = [
        run
        for run in list_runs(db)
        if run.kind == "ood"
        and (not runs or run.id in runs)
        and all(asked in (None, has) for asked, has in ((dataset, run.dataset), (model, run.model), (sigma, run.sigma)))
    ]
    with db.read() as connection:
        found = [_read(connection, run) for run in wanted]
    return [one for one in found if one.figures]


_METRICS = text("""
SELECT metric.name, metric.ood_set, metric.score, metric.radius, metric.value, metric.low, metric.high,
       scoring.measure, scoring.threshold, scoring.coverage, scoring.alpha, scoring.family_size
FROM metric LEFT JOIN scoring ON scoring.id = metric.scoring_id
WHERE metric.run_id = :run_id ORDER BY metric.id
""")


def _read(connection: Connection, run: RunRow) -> OodRun:
    figures: dict[Key, Estimate] = {}
    settings: dict[str, Settings] = {}
    differences = []
    for row in connection.execute(_METRICS, {"run_id": run.id}):
        estimate = Estimate(row.value, row.low, row.high)
        if row.name == DIFFERENCE:
            smoothed, _, clean = row.score.partition(" - ")
            differences.append(Difference(row.ood_set, smoothed, clean, estimate))
            continue
        figures[Key(row.name, row.ood_set, row.score, row.radius)] = estimate
        if row.alpha is not None:
            settings[row.score] = Settings(row.measure, row.threshold, row.coverage, row.alpha, row.family_size)
    described = {key.ood_set: int(one.value) for key, one in figures.items() if key.name == "inputs" and key.ood_set}
    near = {key.ood_set for key, one in figures.items() if key.name == "near" and one.value and key.ood_set}
    return OodRun(
        run=run,
        sets=tuple(name for name in described if name != run.dataset),
        scores=_ordered(key.score for key in figures if key.name == "auroc"),
        inputs=described,
        near=frozenset(near),
        settings=settings,
        figures=figures,
        differences=tuple(differences),
    )


def _ordered(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))
