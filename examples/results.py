"""Writes the page of results of a study, words and figures, from the database that the study left.

    rsuq study examples/study_cifar10_cpu.toml --db study.db
    python examples/results.py study.db cifar10-cpu --output docs/results.md

Invariant: every figure comes from the database, and every verdict from figures and their intervals; nothing is written
by hand. The same database gives the same files. `--short` prints the three lines that a README shows.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from rsuq_cli.certificates.differences import difference_of_means
from rsuq_cli.console import number_text
from rsuq_cli.readings.study import Place, SourceFound, study_found
from rsuq_cli.readings.tradeoff import Line, tradeoffs
from rsuq_cli.reports.comparison import beside_the_mean
from rsuq_cli.reports.names import short_name
from rsuq_cli.reports.plots import save_figure
from rsuq_cli.reports.study.advice import (
    advice,
    interval_text,
    judged,
    overall,
    place_text,
    places_of,
    reference_coverage,
    source_text,
)
from rsuq_cli.reports.study.plots import study_picture
from rsuq_cli.reports.study.tables import tables_of
from rsuq_cli.results.database import Database, open_for_reading
from rsuq_cli.results.input_radii import input_radii
from rsuq_cli.results.ood_queries import AVERAGE, ood_runs
from rsuq_cli.results.studies import study_named

# The largest gain that Däubener et al. 2024 report on CIFAR-10.
PUBLISHED = 0.2093
_LEVEL = 0.05


class Claim(NamedTuple):
    """What the paper says, what this study says of it, and on what that rests."""

    title: str
    verdict: str
    reason: str


class Results(NamedTuple):
    """Everything that is written: what was found, the trade-off of every source, and the claims."""

    name: str
    found: Sequence[SourceFound]
    lines: Sequence[Line]
    claims: Sequence[Claim]

    @property
    def places(self) -> list[Place]:
        """The networks."""
        return places_of(self.found)

    def title(self, place: Place) -> str:
        """Returns what a network is called."""
        return place_text(place, self.places)


def gathered(db: Database, name: str) -> Results:
    """Returns the results of a study; raises SystemExit where nothing of it is certified."""
    found = study_found(db, study_named(db, name))
    if not found:
        raise SystemExit(f"nothing of the study {name!r} is certified yet")
    lines = tradeoffs(db, found)
    claims = [_larger_radius(found, lines), _measures(found), _architectures(db, found), _properties(found)]
    return Results(name, found, lines, [*claims, _detection(db, name)])


def decided(low: float, high: float, least: float) -> str:
    """Returns whether a figure with this interval is at least `least`."""
    return "holds" if low >= least else "does not hold" if high < least else "cannot be decided"


def needed(inputs: int, value: float, low: float, high: float, least: float) -> str:
    """Returns how many inputs would decide it, if value and spread stayed: intervals shrink with the root of them."""
    reach, away = (value - low if value > least else high - value), abs(value - least)
    if away < 1e-9 or not math.isfinite(reach):
        return "no number of inputs that can be told from these"
    return f"about {math.ceil(inputs * max(1.0, (reach / away) ** 2) - 1e-6):,} inputs"


def _larger_radius(found: Sequence[SourceFound], lines: Sequence[Line]) -> Claim:
    coverage, places = reference_coverage(found), places_of(found)
    sources = [one for place in places for one in judged(found, place, coverage)]
    ever = [line for line in lines if line.reaching(PUBLISHED)]
    reached = f"With fewer answers it is reached by {len(ever)} of {len(lines)} sources (table below)."
    title = f"Rejection widens the NCL radius by up to {100 * PUBLISHED:.2f} %"
    ranked = [(one, one.ranked.gain) for one in sources if one.ranked]
    if not ranked:
        return Claim(title, "cannot be decided", f"No network has a radius at coverage {coverage:g}. {reached}")
    best, gain = max(ranked, key=lambda pair: pair[1].value)
    low, high = max(one.low for _, one in ranked), max(one.high for _, one in ranked)
    verdict = decided(low, high, PUBLISHED)
    told = (
        f"At coverage {number_text(coverage)} the largest gain is {interval_text(gain)} %, of {source_text(best)} on "
        f"{place_text(best.place, places)} (the largest of {len(ranked)}, so a little flattered)."
    )
    if verdict == "cannot be decided":
        told += f" It would take {needed(best.figures.inputs, *gain, PUBLISHED)}."
    return Claim(f"{title}, at coverage {number_text(coverage)}", verdict, f"{told} {reached}")


def _measures(found: Sequence[SourceFound]) -> Claim:
    coverage, places = reference_coverage(found), places_of(found)
    order = {place: judged(found, place, coverage) for place in places}
    order = {place: sources for place, sources in order.items() if len(sources) > 1}
    title = "The measure of uncertainty matters: one gains more than all others"
    apart, closest = [], []
    for place, sources in order.items():
        second = min((one for one in sources[1:] if one.ranked), key=lambda one: one.ranked.behind.low)  # type: ignore[union-attr]
        assert second.ranked
        behind = second.ranked.behind
        if behind.low > 0:
            apart.append(place)
        else:
            count = needed(second.figures.inputs, *behind, 0.0)
            closest.append(f"{place_text(place, places)}: {source_text(sources[0])} before {source_text(second)} by "
                           f"{interval_text(behind)} points, {count}")  # fmt: skip
    leaders = sorted({source_text(sources[0]) for sources in order.values()})
    verdict = "holds" if order and len(apart) == len(order) else "cannot be decided"
    told = f"On {len(apart)} of {len(order)} networks the first is ahead of every other beyond its interval."
    told += f" Firsts: {', '.join(leaders)}." if leaders else ""
    return Claim(title, verdict, told + (f" Open, and what would decide it: {'; '.join(closest)}." if closest else ""))


def _architectures(db: Database, found: Sequence[SourceFound]) -> Claim:
    """Compares the best two networks of every objective and noise by ACR without rejection, paired over the inputs."""
    title, told, verdicts = "The architecture matters: networks differ in certified radius", [], []
    places = places_of(found)
    first = {one.place: one for one in reversed(found)}
    for objective, sigma, seed in dict.fromkeys((p.objective, p.sigma, p.seed) for p in places):
        here = [first[place] for place in places if place[1:] == (objective, sigma, seed)]
        if len(here) < 2:
            continue
        best, worst = (pick(here, key=lambda one: one.figures.acr_standard) for pick in (max, min))
        one, other = (input_radii(db, at.figures.scoring_id) for at in (best, worst))
        _, rows, columns = np.intersect1d(one.input_index, other.input_index, return_indices=True)
        gaps = one.standard[rows] - other.standard[columns]
        if not len(gaps):
            continue
        gap = difference_of_means(len(gaps), float(gaps.sum()), float((gaps**2).sum()))
        verdict = "holds" if gap.low > 0 else "cannot be decided"
        verdicts.append(verdict)
        line = (
            f"{objective}, σ = {number_text(sigma)}: {best.place.network} before {worst.place.network} by "
            f"{gap.value:.4f} [{gap.low:.4f}, {gap.high:.4f}] of ACR"
        )
        more = "" if verdict == "holds" else f", it would take {needed(len(gaps), *gap[:3], 0.0)}"
        told.append(f"{line}{more}")
    verdict = "holds" if verdicts and set(verdicts) == {"holds"} else "cannot be decided"
    return Claim(title, verdict, f"{'; '.join(told) or 'There is one network alone'}.")


def _properties(found: Sequence[SourceFound]) -> Claim:
    coverage, places = reference_coverage(found), places_of(found)
    title = "A desired property tells good measures: those that set dissenting samples apart gain more"
    ranks = []
    for place in places:
        known = [(one.properties.separation_within, one.figures.gain) for one in judged(found, place, coverage)]
        pairs = [(apart, gain) for apart, gain in known if apart is not None and gain is not None]
        if len(pairs) > 2 and all(len(set(column)) > 1 for column in zip(*pairs, strict=True)):
            ranks.append(float(stats.spearmanr([apart for apart, _ in pairs], [gain for _, gain in pairs]).statistic))
    above = sum(rank > 0 for rank in ranks)
    told = f"The rank correlation of separation within inputs and gain is positive on {above} of {len(ranks)} networks"
    told += f" (mean {np.mean(ranks):.2f})" if ranks else ""
    chance = stats.binomtest(above, len(ranks), alternative="greater").pvalue if ranks else 1.0
    against = stats.binomtest(above, len(ranks), alternative="less").pvalue if ranks else 1.0
    verdict = "holds" if chance < _LEVEL else "does not hold" if against < _LEVEL else "cannot be decided"
    least = math.ceil(math.log(_LEVEL, 0.5))
    more = f" A sign test needs at least {least} networks that agree." if verdict == "cannot be decided" else ""
    return Claim(title, verdict, f"{told}; sign test over networks: p = {chance:.3g}.{more}")


def _detection(db: Database, name: str) -> Claim:
    title = "Smoothed uncertainty helps to detect inputs from elsewhere"
    members = {member.run_id: member for member in study_named(db, name).members}
    runs = ood_runs(db, runs=tuple(members)) if members else []
    found = []
    for run in runs:
        averages = [one for one in run.differences if one.ood_set.startswith(AVERAGE)]
        for one in averages or run.differences:
            member = members[run.run.id]
            found.append((f"{member.network}, {member.objective}, {member.predictor}", run, one))
    held = [one for _, _, one in found if one.estimate.low is not None and one.estimate.low > 0]
    lost = [one for _, _, one in found if one.estimate.high is not None and one.estimate.high < 0]
    if not found:
        return Claim(title, "cannot be decided", "The study has no out-of-distribution run.")
    verdict = (
        "holds" if len(held) == len(found) else "does not hold" if len(lost) == len(found) else "cannot be decided"
    )
    shown = "; ".join(
        f"{network}, σ = {number_text(run.run.sigma)}, {short_name(one.ood_set)}: {100 * one.estimate.value:+.1f}"
        + ("" if one.estimate.low is None or one.estimate.high is None
           else f" [{100 * one.estimate.low:.1f}, {100 * one.estimate.high:.1f}]")
        for network, run, one in found
    )  # fmt: skip
    counts = [
        needed(run.run.inputs, one.estimate.value, one.estimate.low, one.estimate.high, 0.0)
        for _, run, one in found
        if one not in held and one not in lost and one.estimate.low is not None and one.estimate.high is not None
    ]
    more = f" What is open would take, of each set: {'; '.join(counts)}." if counts else ""
    return Claim(
        title, verdict,
        f"AUROC of the best smoothed score minus that of the best clean one, in points: {shown}. Above zero beyond the "
        f"interval in {len(held)} of {len(found)}, below in {len(lost)}.{more}",
    )  # fmt: skip


def reaching_table(results: Results) -> str:
    """Returns, as Markdown, the largest coverage at which every source reaches the published gain, and its cost."""
    names = {(one.predictor, one.figures.measure): source_text(one) for one in results.found}
    rows = [f"| network | source | coverage at {100 * PUBLISHED:.2f} % | CC cost % |", "|:--|:--|--:|--:|"]
    for line in results.lines:
        reached = line.reaching(PUBLISHED)
        at = "never | -" if reached is None else f"{reached[0]:.3f} | {100 * reached[1]:.1f}"
        rows.append(f"| {results.title(line.place)} | {names[line.predictor, line.measure]} | {at} |")
    return "\n".join(rows)


def short(results: Results) -> list[str]:
    """Returns the three lines that a README shows."""
    first, *_, last = results.claims
    return [
        f"- {overall(results.found)}",
        *(f"- {one.title}: **{one.verdict}**. {one.reason}" for one in (first, last)),
    ]


def page(results: Results, picture: str) -> str:
    """Returns the page as Markdown; `picture` is the name of the file with the trade-offs."""
    one = results.found[0].figures
    sigmas = ", ".join(sorted({number_text(at.figures.sigma) for at in results.found}))
    told = [
        f"# Results: the study {results.name}",
        "Made by `examples/results.py` from the database of the study; no figure is written by hand. "
        f"{short_name(one.dataset)}, {one.inputs:,} inputs, n0 = {one.n0:,}, n = {one.n:,}, σ = {sigmas}, "
        f"α = {one.alpha:g}, the {one.rule} rule. […] are 95 % intervals.",
        "## Which source to use, what it buys, what it costs",
        "\n".join(f"- {line}" for line in (overall(results.found), *advice(results.found))),
        "\n".join(f"- {line}" for line in beside_the_mean([at.figures for at in results.found])),
        f"![gain of NCL over cost of CC, one line a source]({picture})",
        "## The paper's claims",
        *(f"**{at.title}: {at.verdict}.** {at.reason}" for at in results.claims),
        f"## Where a gain of {100 * PUBLISHED:.2f} % is reached",
        "The largest share of noise samples that may be answered while the gain is reached, never below a half, and "
        "the cost there.",
        reaching_table(results),
    ]
    for table in tables_of(results.name, results.found):
        told += [
            f"## {table.title[0].upper()}{table.title[1:]}",
            table.markdown().strip(),
            "\n".join(f"- {n}" for n in table.notes),
        ]
    return "\n\n".join(part for part in told if part) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line and writes the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("study", help="the name of the study")
    parser.add_argument("--output", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--short", action="store_true", help="print the three lines of a README, and write nothing")
    options = parser.parse_args(arguments)
    with open_for_reading(options.database) as db:
        results = gathered(db, options.study)
    if options.short:
        print("\n".join(short(results)))
        return
    picture = options.output.with_suffix(".svg")
    save_figure(picture, lambda: study_picture(results.name, results.found, results.lines))
    options.output.write_text(page(results, picture.name), encoding="utf-8")


if __name__ == "__main__":
    main()
