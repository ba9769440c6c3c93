"""What the page's script is given: counts at every threshold, as small as they can be said.

Invariant: counts are exact and averages unrounded, so the figures on the page are those of the database; the radii of
single inputs are whole multiples of a unit, rounded down. Tables over thresholds are differences from one threshold to
the next, most of them 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.definitions import FIGURES, TITLES, Figure
from rsuq_cli.readings.evidence import Detail, Reading
from rsuq_cli.readings.images import Images
from rsuq_cli.readings.totals import Totals
from rsuq_cli.reports.names import short_name
from rsuq_cli.reports.page.detection import MOST_DETECTIONS
from rsuq_cli.reports.roc import roc
from rsuq_cli.results.exhibits import Exhibit, Scores
from rsuq_cli.results.rows import RunRow

# From fine to coarse; the first with which all readings together stay below BYTES is taken.
DETAILS = (
    Detail(thresholds=401, radii=61, points=300, coverages=50),
    Detail(thresholds=101, radii=51, points=200, coverages=40),
    Detail(thresholds=51, radii=41, points=120, coverages=25),
    Detail(thresholds=26, radii=31, points=80, coverages=20),
    Detail(thresholds=13, radii=21, points=40, coverages=20),
)
BYTES = 7_000_000
# Images in all; each gallery of each scoring gets its share of them, within these bounds.
IMAGES = 600
MOST_EXHIBITS, FEWEST_EXHIBITS = 12, 2
_ROC_POINTS = 101
Galleries = Mapping[int, Mapping[str, Sequence[Exhibit]]]


def detail_for(readings: int) -> Detail:
    """Returns how finely so many readings can be shown on a page that opens at once."""
    fitting = (detail for detail in DETAILS if readings * _bytes(detail) <= BYTES)
    return next(fitting, DETAILS[-1])


def _bytes(detail: Detail) -> float:
    # Measured: a difference of a count takes about 2.3 characters, one of a radius 3.4.
    return detail.thresholds * (2.3 * 2 * detail.radii + 3.4 * 2 * detail.points + 3 * detail.coverages + 150)


def exhibits_for(scorings: int) -> int:
    """Returns how many inputs a gallery of each of so many scorings shows."""
    return max(FEWEST_EXHIBITS, min(MOST_EXHIBITS, IMAGES // (2 * max(scorings, 1))))


def page_data(
    readings: Sequence[tuple[str, Reading]], foreign: Sequence[Scores], galleries: Galleries,
    images: Mapping[int, Images], asked: Sequence[float],
) -> dict[str, Any]:  # fmt: skip
    """Returns the data of the page; `galleries` by scoring, `images` by run, `asked` are the radii of the tables."""
    runs = {reading.run.id: reading.run for _, reading in readings}
    return {
        "figures": [_definition(one) for one in FIGURES],
        "readings": [
            _reading(name, reading, at, asked) for name, reading in readings for at in range(len(reading.parts))
        ],
        "runs": {
            run.id: {"class_names": run.class_names, "subset": subset(run), "images": images[run.id].note}
            for run in runs.values()
        },
        "scores": [_foreign(one) for one in _newest(foreign)],
        "most_exhibits": exhibits_for(len(galleries)),
        "galleries": {
            scoring: {kind: [asdict(one) for one in shown] for kind, shown in kinds.items()}
            for scoring, kinds in galleries.items()
        },
        "images": {
            f"{subset(runs[run_id])}#{index}": uri
            for run_id, found in images.items()
            for index, uri in found.uris.items()
        },
    }


def _definition(figure: Figure) -> dict[str, Any]:
    """Returns what the script needs to compute a figure and to show it; it has no formula of its own."""
    return {
        "name": figure.name, "part": figure.part, "whole": figure.whole, "times": figure.times, "plus": figure.plus,
        "of_rejection": figure.of_rejection, "is_radius": figure.unit == "radius",
        "tile": (figure.tile or figure.title) if "page" in figure.views else None, "place": figure.place,
        "where_known": figure.said == "class-wise",
        "counts": figure.counts and figure.whole == "inputs",
    }  # fmt: skip


def _newest(foreign: Sequence[Scores]) -> list[Scores]:
    """Returns the scores of the newest runs, as many as the page has tables of."""
    kept = sorted({one.run_id for one in foreign})[-MOST_DETECTIONS:]
    return [one for one in foreign if one.run_id in kept]


def subset(run: RunRow) -> str:
    """Returns what an input's number counts in: runs over the same data share their images."""
    return f"{run.dataset}#{run.split}"


def _reading(name: str, reading: Reading, number: int, asked: Sequence[float]) -> dict[str, Any]:
    """Returns one part of a reading: all of its thresholds, or the one stored threshold without evidence."""
    totals = reading.parts[number]
    whole = reading.from_evidence
    positions = reading.positions if whole else reading.positions[number : number + 1]
    guarantees = tuple(TITLES) if reading.rejects else ("standard",)
    radii = totals.radii.tolist()
    return {
        "name": name if whole or len(reading.positions) == 1 else f"{name}, θ = {positions[0].threshold:.4g}",
        "run": reading.run.id, "dataset": reading.run.dataset, "sigma": reading.run.sigma, "inputs": totals.inputs,
        "rejects": reading.rejects,
        "thresholds": [position.threshold for position in positions],
        "calibrated": [position.calibrated for position in positions],
        "stored": [
            {"position": at, "scoring": position.figures.scoring_id}
            for at, position in enumerate(positions) if position.figures
        ],
        "sums": {name: values.tolist() for name, values in totals.sums.items() if name != "inputs"},
        "aurc": [float(f"{value:.9g}") for value in totals.aurc],
        "radii": radii,
        "asked": [radii.index(radius) for radius in dict.fromkeys(asked) if radius in radii],
        "reached": {guarantee: _differences(totals.reached[guarantee]) for guarantee in guarantees},
        "coverages": totals.coverages.tolist(),
        # In tenths: errors among tied inputs come in fractions.
        "errors": _differences(np.rint(10 * totals.errors).astype(np.int64)),
        "points": _points(totals),
    }  # fmt: skip


def _points(totals: Totals) -> dict[str, Any]:
    points = totals.points
    largest = max(float(totals.radii[-1]), 1e-9)
    unit = 10.0 ** math.floor(math.log10(largest / 1000))
    cc, ncl = (_whole(radii.T, unit) for radii in (points.radius_cc, points.radius_ncl))
    return {
        "index": points.input_index.tolist(),
        "label": points.label.tolist(),
        "unit": unit,
        "cc": _differences(cc),
        # A wrong class is −1 − radius: its sign says it without a table of its own.
        "ncl": _differences(np.where(points.right.T, ncl, -1 - ncl)),
    }


def _whole(radii: npt.NDArray[np.float64], unit: float) -> npt.NDArray[np.int64]:
    whole = np.floor(radii / unit).astype(np.int64)
    return whole - (whole * unit > radii)  # the division may have rounded up


def _differences(table: npt.NDArray[np.int64]) -> list[int]:
    """Returns `[T, W]` as differences along T; one row where all are equal."""
    if len(table) > 1 and (table == table[0]).all():
        return [int(value) for value in table[0]]
    return [int(value) for value in np.diff(table, axis=0, prepend=np.zeros_like(table[:1])).ravel()]


def _foreign(scores: Scores) -> dict[str, Any]:
    every = np.concatenate([scores.inside, *scores.outside.values()])
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1, 31)
    return {
        "name": f"run {scores.run_id}, {scores.score}",
        "dataset": short_name(scores.dataset),
        "edges": edges.tolist(),
        "inside": _shares(scores.inside, edges),
        "outside": [
            {"name": short_name(name), "shares": _shares(values, edges), **_curve(scores.inside, values)}
            for name, values in scores.outside.items()
        ],
    }


def _shares(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(share), 5) for share in np.histogram(values, edges)[0] / len(values)]


def _curve(inside: npt.NDArray[np.float64], outside: npt.NDArray[np.float64]) -> dict[str, Any]:
    drawn = roc(inside, outside)
    some = np.unique(np.linspace(0, len(drawn.found) - 1, _ROC_POINTS).round().astype(np.int64))
    points = zip(drawn.false_alarms[some].tolist(), drawn.found[some].tolist(), strict=True)
    return {"auroc": drawn.auroc, "roc": [[round(x, 5), round(y, 5)] for x, y in points]}
