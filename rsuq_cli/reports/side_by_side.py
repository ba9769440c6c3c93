"""Two scorings side by side on their common inputs.

Invariant: differences are second minus first, with the interval of the pairs, never of two separate samples.
"""

from __future__ import annotations

import math
from typing import Any

from rsuq_cli.certificates.definitions import TITLES
from rsuq_cli.certificates.differences import Difference
from rsuq_cli.console import Column, Table, number_text, percent_text
from rsuq_cli.formats import Record
from rsuq_cli.reports.figures import acr_text
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.pairing import Paired, PairedGuarantee


def paired_table(found: Paired) -> Table:
    """Returns the comparison: for each guarantee a row for the ACR and one for certified accuracy at each radius."""
    records = [row for guarantee in found.guarantees for row in _records(found, guarantee)]
    columns = [
        Column("guarantee", lambda r: TITLES[r["guarantee"]], "left", "guarantee"),
        Column("figure", _figure, "left", "figure"),
        Column("first", lambda r: _value(r, r["first"]), name="first"),
        Column("second", lambda r: _value(r, r["second"]), name="second"),
        Column("difference", _difference, name="difference"),
        Column("only first", lambda r: _count(r["only_first"]), name="only_first"),
        Column("only second", lambda r: _count(r["only_second"]), name="only_second"),
        Column("p", lambda r: "<0.0001" if r["p_value"] < 1e-4 else f"{r['p_value']:.4f}", name="p_value"),
    ]
    notes = [
        f"first: {_described(found.first)}",
        f"second: {_described(found.second)}",
        f"{found.pairs:,} common inputs; difference = second - first, with its paired 95 % interval",
        "p: of no difference; McNemar's exact test for shares (on inputs that only one of them certifies), t for ACR",
    ]
    if found.unpaired:
        notes.append(f"{found.unpaired:,} inputs that only one of the two has are left out")
    return Table(f"scoring {found.first.scoring_id} against {found.second.scoring_id}", records, columns, notes, keys=2)


def _records(found: Paired, guarantee: PairedGuarantee) -> list[dict[str, Any]]:
    common = {
        "first_scoring_id": found.first.scoring_id, "second_scoring_id": found.second.scoring_id,
        "pairs": found.pairs, "guarantee": guarantee.guarantee,
    }  # fmt: skip
    acr = {
        "figure": "acr", "radius": None, "first": guarantee.acr_first, "second": guarantee.acr_second,
        **_numbers(guarantee.acr_difference), "only_first": None, "only_second": None,
    }  # fmt: skip
    certified = [
        {
            "figure": "certified", "radius": share.radius, "first": share.first, "second": share.second,
            **_numbers(share.difference), "only_first": share.only_first, "only_second": share.only_second,
        }
        for share in guarantee.certified
    ]  # fmt: skip
    return [common | row for row in (acr, *certified)]


def _numbers(difference: Difference) -> dict[str, float | None]:
    """Returns the difference by names; an interval without ends (one pair) is null, since JSON has no infinity."""
    names = {"value": "difference", "low": "difference_low", "high": "difference_high", "p_value": "p_value"}
    values = difference._asdict()
    return {new: values[old] if math.isfinite(values[old]) else None for old, new in names.items()}


def _figure(record: Record) -> str:
    return "ACR" if record["figure"] == "acr" else f"certified % at {number_text(record['radius'])}"


def _value(record: Record, value: float) -> str:
    return acr_text(value) if record["figure"] == "acr" else percent_text(value, 2)


def _difference(record: Record) -> str:
    value, low, high = (record[name] for name in ("difference", "difference_low", "difference_high"))
    if low is None or high is None:
        return _signed(record, value)
    return f"{_signed(record, value)} [{_signed(record, low)}, {_signed(record, high)}]"


def _signed(record: Record, value: float) -> str:
    return f"{value:+.4f}" if record["figure"] == "acr" else f"{100 * value:+.2f}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _described(one: Figures) -> str:
    threshold = "" if one.threshold is None else f", θ = {one.threshold:.4g}"
    source = f" ({one.source})" if one.kind == "import" else ""
    return f"run {one.run_id}, {one.model}{source}, σ = {one.sigma:g}, {one.measure}{threshold}, {one.rule} rule"
