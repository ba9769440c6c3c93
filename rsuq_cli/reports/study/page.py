"""A study as a page: which source to use, what it buys and costs, and on what that rests.

Invariant: as the page of scorings, one file that refers to nothing outside of itself; texts are escaped, and the
figures are those of the tables of `rsuq report --study`. What a chart has no room for is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsuq_cli.readings.study import SourceFound
from rsuq_cli.readings.tradeoff import Line
from rsuq_cli.reports.comparison import beside_the_mean
from rsuq_cli.reports.markup import Html, element, joined, listing, report_table
from rsuq_cli.reports.page.template import page_of
from rsuq_cli.reports.study.advice import (
    advice,
    judged,
    overall,
    place_text,
    places_of,
    reference_coverage,
    source_text,
)
from rsuq_cli.reports.study.tables import certified_table, network_table, property_table, ranking_table, source_table

# More lines in one chart cannot be told apart.
MOST_LINES = 7


def study_html(name: str, found: Sequence[SourceFound], lines: Sequence[Line]) -> str:
    """Returns the page of a study, of what was found and the trade-offs of its sources."""
    runs = {one.figures.run_id for one in found}
    return page_of(
        "study.html",
        ("charts", "numbers", "study"),
        study_data(found, lines),
        title=f"rsuq study {name}",
        settings=_settings(found),
        advice=listing([overall(found), *advice(found), *beside_the_mean([one.figures for one in found])], "plain"),
        ranking=_ranking_html(found),
        networks=joined([report_table(network_table(name, found)), report_table(certified_table(name, found))]),
        sources=report_table(source_table(name, found)),
        properties=report_table(property_table(name, found)),
        made_of=f"networks: {len(places_of(found))}, runs: {len(runs)}",
    )


def study_data(found: Sequence[SourceFound], lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Returns what the charts of every network show, the sources that gain most first, and the oracles."""
    places, coverage = places_of(found), reference_coverage(found)
    told = []
    for place in places:
        order = [(one.predictor, one.figures.measure) for one in judged(found, place, coverage)]
        own = [line for line in lines if line.place == place and (line.predictor, line.measure) in order]
        own.sort(key=lambda line: order.index((line.predictor, line.measure)))
        names = {(one.predictor, one.figures.measure): source_text(one) for one in found}
        told.append(
            {
                "name": place_text(place, places), "reference": coverage, "left_out": max(0, len(own) - MOST_LINES),
                "lines": [_line(names[line.predictor, line.measure], line) for line in own[:MOST_LINES]],
                "oracles": oracles(found, place),
            }
        )  # fmt: skip
    return told


def oracles(found: Sequence[SourceFound], place: Any) -> list[dict[str, float]]:
    """Returns, at every coverage of a network, what the oracles gain with the rejections of its best source there."""
    told = []
    for coverage in sorted({one.coverage for one in found if one.place == place}, reverse=True):
        for one in judged(found, place, coverage)[:1]:
            random, easiest = one.properties.oracle_random, one.properties.oracle_easiest
            if random is not None and easiest is not None:
                told.append({"calibrated": coverage, "coverage": one.figures.sample_coverage, "random": random,
                             "easiest": easiest})  # fmt: skip
    return told


def _line(name: str, line: Line) -> dict[str, Any]:
    points = zip(line.coverage, line.cost, line.gain, line.stored, strict=True)
    return {
        "name": name,
        "points": [[*(round(float(value), 6) for value in values), bool(stored)] for *values, stored in points],
    }


def _settings(found: Sequence[SourceFound]) -> str:
    every = {"data set": {one.figures.dataset for one in found}, "inputs": {f"{one.figures.inputs:,}" for one in found},
             "n": {f"{one.figures.n:,}" for one in found}, "σ": {f"{one.figures.sigma:g}" for one in found},
             "α": {f"{one.figures.alpha:g}" for one in found}}  # fmt: skip
    return " · ".join(f"{name} {', '.join(sorted(values))}" for name, values in every.items())


def _ranking_html(found: Sequence[SourceFound]) -> Html:
    table = ranking_table(found)
    bars = [
        element(
            "li", element("span", f"{record['measure']}, {record['predictor']}"),
            element("meter", min="0", max="1", value=f"{record['best']:.4f}",
                    aria_label=f"best in {100 * record['best']:.0f} %"),
            element("span", f"{100 * record['best']:.0f} %"),
        )
        for record in table.records
    ]  # fmt: skip
    return joined([element("ul", *bars, class_="bars-list"), report_table(table)])
