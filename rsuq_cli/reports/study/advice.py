"""What a study says in words: which source to use, what it buys, what it costs, and how sure that is.

Invariant: every sentence is computed from the figures of the study, and where its inputs cannot tell two sources apart,
it says so rather than naming one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rsuq_cli.console import number_text, percent_text
from rsuq_cli.readings.ranking import Interval
from rsuq_cli.readings.study import Place, SourceFound
from rsuq_cli.reports.figures import acr_text

# Where sources are judged, unless the study has no such coverage: then at the nearest.
REFERENCE = 0.9


def place_text(place: Place, places: Sequence[Place]) -> str:
    """Returns the name of a network among these: its settings where they differ."""
    told = {
        "network": place.network, "objective": place.objective, "sigma": f"σ = {number_text(place.sigma)}",
        "seed": f"seed {place.seed}",
    }  # fmt: skip
    return ", ".join(
        text for name, text in told.items() if name == "network" or len({getattr(one, name) for one in places}) > 1
    )


def source_text(one: SourceFound) -> str:
    """Returns the name of a source: its measure, and what is asked of the network where that is more than one pass."""
    return one.figures.measure if one.predictor == "one pass" else f"{one.figures.measure}, {one.predictor}"


def reference_coverage(found: Sequence[SourceFound]) -> float:
    """Returns the coverage of the study at which its sources are judged in words."""
    return min((one.coverage for one in found), key=lambda coverage: abs(coverage - REFERENCE))


def places_of(found: Sequence[SourceFound]) -> list[Place]:
    """Returns the networks of a study, in its order."""
    return list(dict.fromkeys(one.place for one in found))


def judged(found: Sequence[SourceFound], place: Place, coverage: float) -> list[SourceFound]:
    """Returns the sources on a network at a coverage, those that gain most first, where they can be ranked."""
    here = [one for one in found if (one.place, one.coverage) == (place, coverage) and one.ranked]
    return sorted(here, key=lambda one: -one.ranked.gain.value if one.ranked else 0.0)


def advice(found: Sequence[SourceFound]) -> list[str]:
    """Returns a sentence for each network, at the coverage that sources are judged at."""
    coverage, places = reference_coverage(found), places_of(found)
    return [_of_network(judged(found, place, coverage), place_text(place, places), coverage) for place in places]


def overall(found: Sequence[SourceFound]) -> str:
    """Returns a sentence on the source that is best most often over the networks, at the coverage judged at.

    Only sources that every network with a radius has are compared: a mean over other networks is another mean.
    """
    coverage = reference_coverage(found)
    networks = [sources for place in places_of(found) if (sources := judged(found, place, coverage))]
    groups: dict[str, list[SourceFound]] = {}
    for one in (one for sources in networks for one in sources):
        groups.setdefault(source_text(one), []).append(one)
    common = {name: group for name, group in groups.items() if len(group) == len(networks)}
    if not common:
        return "No source is on every network, so none is named for all of them."
    means = {
        name: [sum(values) / len(group) for values in zip(*(_best_gain_cost(one) for one in group), strict=True)]
        for name, group in common.items()
    }
    first = max(means, key=lambda name: means[name][0])
    best, gain, cost = (percent_text(value, 1) for value in means[first])
    return (
        f"For a network of your own, begin with {first}: at coverage {number_text(coverage)} it gains {gain} % of NCL "
        f"radius for {cost} % of CC radius, the mean over {len(networks)} networks, and gains most of {len(common)} "
        f"sources in {best} % of the resamples."
    )


def _best_gain_cost(one: SourceFound) -> tuple[float, float, float]:
    return (one.ranked.best, one.ranked.gain.value, one.ranked.cost.value) if one.ranked else (0.0, 0.0, 0.0)


def _of_network(sources: Sequence[SourceFound], name: str, coverage: float) -> str:
    if not sources or (ranked := sources[0].ranked) is None:
        return f"{name}: no radius at coverage {number_text(coverage)}, so nothing can be compared."
    first, figures = sources[0], sources[0].figures
    told = (
        f"{name}: {source_text(first)} gains most at coverage {number_text(coverage)}: {interval_text(ranked.gain)} % "
        f"of NCL radius for {interval_text(ranked.cost)} % of CC radius (ACR {acr_text(figures.acr_standard)} without "
        f"rejection, NCL {acr_text(figures.acr_ncl)}, CC {acr_text(figures.acr_cc)})"
    )
    if len(sources) == 1:
        return f"{told}. It has nothing beside it."
    told += f", and in {percent_text(ranked.best, 0)} % of the resamples of the inputs"
    level = [source_text(one) for one in sources[1:] if one.ranked and one.ranked.behind.low <= 0]
    if not level:
        return f"{told}. Every other source is behind it, beyond what these inputs leave open."
    return f"{told}. These {figures.inputs:,} inputs do not tell it apart from {'; '.join(level)}."


def interval_text(interval: Interval) -> str:
    """Returns a share in percent with its interval."""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
