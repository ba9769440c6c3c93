"""The certificate of one input, as `rsuq radius` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rsuq_cli.console import Column, Table, number_text, radius_text


@dataclass(frozen=True)
class SingleTable(Table):
    """A table of one record, whose JSON is that record."""

    def json(self) -> str:
        """Returns the record as an object."""
        return json.dumps(dict(self.records[0]), indent=2, allow_nan=False)


def single_table(certificate: Mapping[str, Any]) -> Table:
    """Returns the certificate of one input as a table; its JSON is one object."""
    columns = [
        Column("class", lambda r: str(r["class"])),
        Column("decision", lambda r: r["decision"], "left"),
        Column("rule", lambda r: r["rule"], "left"),
        Column("σ", lambda r: number_text(r["sigma"])),
        Column("α", lambda r: number_text(r["alpha"])),
        Column("n", lambda r: "exact" if r["n"] is None else f"{r['n']:,}"),
        Column("radius\nstandard", lambda r: radius_text(r["radius_standard"], 4)),
        Column("radius\nCC", lambda r: radius_text(r["radius_cc"], 4)),
        Column("radius\nNCL", lambda r: radius_text(r["radius_ncl"], 4)),
        Column("ceiling", lambda r: "-" if r["ceiling"] is None else radius_text(r["ceiling"], 4)),
    ]
    notes = [
        "CC, consistent and confident: inside this radius the smoothed classifier keeps this class, certain",
        "NCL, no confident label change: inside this radius it states no other class with confidence",
    ]
    if certificate["unlisted"]:
        rest = number_text(certificate["unlisted"])
        notes.append(f"mass {rest} is not listed: each guarantee takes it for the rival that hurts it most")
    if certificate["n"] is not None and not certificate["class_given"]:
        notes.append("the class was read off these very counts; for 1 - alpha, name it beforehand with --class")
    return SingleTable("certificate", [certificate], columns, notes)
