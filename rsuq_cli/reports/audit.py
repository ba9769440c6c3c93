"""What an audit found: one row for each scoring and guarantee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rsuq_cli.console import Column, Table, number_text
from rsuq_cli.formats import Record
from rsuq_cli.results.audits import AuditSummary

NAMES = {"standard": "standard", "cc": "CC", "ncl": "NCL", "uncertain": "uncertain"}


def audit_table(summaries: Sequence[AuditSummary]) -> Table:
    """Returns the audited guarantees, with the ball of each that came nearest to breaking."""
    columns = [
        Column("scoring", lambda r: str(r["scoring_id"])),
        Column("uncertainty", lambda r: r["measure"], "left"),
        Column("θ", lambda r: "-" if r["threshold"] is None else f"{r['threshold']:.4g}"),
        Column("guarantee", lambda r: NAMES[r["guarantee"]], "left"),
        Column("attacked", lambda r: f"{r['attacked']:,}"),
        Column("broken", lambda r: f"{r['broken']:,}"),
        Column("nearest:\ninput", lambda r: number_text(r["nearest_input"])),
        Column("distance", lambda r: _digits(r["nearest_distance"])),
        Column("mass\nfound", lambda r: _digits(r["nearest_mass"])),
        Column("mass\nallowed", lambda r: _digits(r["nearest_bound"])),
    ]
    title = "audit"
    if summaries:
        one = summaries[0]
        scale = f" · balls at {one.radius_scale:g} times their radius" if one.radius_scale != 1 else ""
        title += f" · run {one.run_id} · {one.attack}, {one.steps} steps{scale} · judged with n = {one.n:,}, "
        title += f"α = {one.alpha:g} over all balls"
    records = [asdict(one) for one in summaries]
    notes = (
        "broken: at the worst point found, fresh noise contradicts the guarantee with confidence (expected: none)",
        "mass found: of the votes that the guarantee keeps, at that point; allowed: the least that theory allows there",
        *_verdicts(records),
    )
    return Table(title, records, columns, notes, keys=4)


def _verdicts(records: Sequence[Record]) -> list[str]:
    broken = [
        f"scoring {r['scoring_id']}, {NAMES[r['guarantee']]}: input {', '.join(map(str, r['broken_inputs']))}"
        for r in records
        if r["broken"]
    ]
    return [f"BROKEN: {'; '.join(broken)}"] if broken else []


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
