"""What a study found: every source of uncertainty on every network, at equal coverage.

Invariant: figures are those of the database; what is computed here is only which of them stand side by side, and how
sure their order is. Sources are compared on one network, by what they gain on the same inputs; networks by absolute
figures, since a weak network has the larger gain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rsuq_cli.readings.masses import Masses, masses_of
from rsuq_cli.readings.properties import Calibration, Properties, calibration_of, properties_of
from rsuq_cli.readings.ranking import Ranked, ranked
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import Figures, selected_figures
from rsuq_cli.results.input_radii import input_radii
from rsuq_cli.results.ood_queries import OodRun, ood_runs
from rsuq_cli.results.selection import Selection
from rsuq_cli.results.studies import Member, StudyRow

# Where certified accuracies of different networks are compared, in pixel units.
RADII = (0.0, 0.25, 0.5, 0.75, 1.0)


class Place(NamedTuple):
    """Where a network stands in the grid."""

    network: str
    objective: str
    sigma: float
    seed: int


@dataclass(frozen=True)
class SourceFound:
    """A source of uncertainty on a network at a coverage: its figures, and how it ranks among the others there.

    `auroc_clean` and `auroc_smoothed` are its means over the OOD sets, None where there is no OOD run, or no such
    score. `ranked` is None where the network has no radius on common inputs. `masses` are those behind its radii.
    """

    place: Place
    coverage: float
    predictor: str
    figures: Figures
    ranked: Ranked | None
    auroc_clean: float | None
    auroc_smoothed: float | None
    properties: Properties
    calibration: Calibration
    masses: Masses


def study_found(db: Database, study: StudyRow, radii: Sequence[float] = RADII) -> list[SourceFound]:
    """Returns every source on every network of the study, in the order of the grid, coverages descending.

    Certified accuracies are at `radii` (pixel units).
    """
    members = {member.run_id: member for member in study.members}
    if not members:
        return []
    figures = selected_figures(db, Selection(runs=tuple(members)), radii)
    detection = {_at(members[one.run.id]): one for one in ood_runs(db, runs=tuple(members))}
    found: list[SourceFound] = []
    calibrations: dict[int, Calibration] = {}
    masses = dict(zip((one.scoring_id for one in figures), masses_of(db, figures), strict=True))
    for place, coverage in _grid(members.values(), figures):
        here = [one for one in figures if _place(members[one.run_id]) == place and one.threshold_coverage == coverage]
        order = ranked([input_radii(db, one.scoring_id) for one in here])
        for at, one in enumerate(here):
            member = members[one.run_id]
            clean, smoothed = _auroc(detection.get(_at(member)), one.measure)
            ranks = order[at] if order else None
            if one.run_id not in calibrations:
                calibrations[one.run_id] = calibration_of(db, one)
            found.append(
                SourceFound(
                    place,
                    coverage,
                    member.predictor,
                    one,
                    ranks,
                    clean,
                    smoothed,
                    properties_of(db, one),
                    calibrations[one.run_id],
                    masses[one.scoring_id],
                )
            )
    return found


def _place(member: Member) -> Place:
    return Place(member.network, member.objective, member.sigma, member.seed)


def _at(member: Member) -> tuple[Place, str]:
    return _place(member), member.predictor


def _grid(members: Iterable[Member], figures: Sequence[Figures]) -> list[tuple[Place, float]]:
    """Returns what is compared: every network at every coverage that it has scorings for."""
    places = list(dict.fromkeys(map(_place, members)))
    by_run = {member.run_id: _place(member) for member in members}
    return [
        (place, coverage)
        for place in places
        for coverage in sorted(
            {
                one.threshold_coverage
                for one in figures
                if one.threshold_coverage is not None and by_run[one.run_id] == place
            },
            reverse=True,
        )
    ]


def _auroc(run: OodRun | None, measure: str) -> tuple[float | None, float | None]:
    """Returns the mean AUROC over the sets of an OOD run: of the measure without noise, and of its mean in noise."""
    if run is None:
        return None, None
    means = []
    for family in ("clean", "mean"):
        values = [run.figure("auroc", name, f"{family}:{measure}") for name in run.sets]
        known = [one.value for one in values if one is not None]
        means.append(sum(known) / len(known) if known else None)
    return means[0], means[1]
