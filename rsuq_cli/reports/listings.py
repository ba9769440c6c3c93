"""What is in the database: its runs, and whether it is sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rsuq_cli.console import Column, Table, number_text

if TYPE_CHECKING:
    from rsuq_cli.readings.mending import Wrong
    from rsuq_cli.results.database import CheckResult
    from rsuq_cli.results.merging import Merged


def check_table(result: CheckResult, wrong: Sequence[Wrong] = ()) -> Table:
    """Returns the rows of every table, with the schema's version, any problem found and what is wrong."""
    records = [{"table": name, "rows": count} for name, count in sorted(result.counts.items())]
    problems = [*result.problems, *(str(one) for one in wrong)]
    sound = "sound" if not problems else "NOT SOUND"
    title = f"database: {sound}, schema {result.revision or 'none'} ({result.standing})"
    columns = [Column("table", lambda r: r["table"], "left"), Column("rows", lambda r: f"{r['rows']:,}")]
    return Table(title, records, columns, problems)


def merged_table(merged: Sequence[Merged]) -> Table:
    """Returns what became of each run of the other database."""
    columns = [
        Column("run there", lambda r: str(r["other_run_id"])),
        Column("run here", lambda r: str(r["run_id"]) if r["run_id"] else "-"),
        Column("model", lambda r: r["model"], "left"),
        Column("data set", lambda r: r["dataset"], "left"),
        Column("σ", lambda r: number_text(r["sigma"])),
        Column("outcome", lambda r: r["outcome"], "left"),
        Column("rows", lambda r: f"{r['rows']:,}"),
    ]
    notes = [f"run {one.other_run_id}: {one.conflict}" for one in merged if one.conflict]
    return Table("merged", [asdict(one) for one in merged], columns, notes)
