"""What a study would do, as `rsuq study --dry-run` prints it. Invariant: what cannot be told is "-", and not 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rsuq_cli.console import Column, Table, number_text, radius_text
from rsuq_cli.formats import Record
from rsuq_cli.reports.runs import bytes_text
from rsuq_cli.run.durations import duration_text

if TYPE_CHECKING:
    from rsuq_cli.jobs.study.forecast import StepForecast


def forecast_table(steps: Sequence[StepForecast]) -> Table:
    """Returns one row for each job of a study, with what is left of all below."""
    records = [asdict(step) for step in steps]
    columns = [
        Column("job", lambda r: r["job"], "left", "job"),
        Column("network", lambda r: r["network"], "left", "network"),
        Column("objective", lambda r: r["objective"], "left", "objective"),
        Column("σ", lambda r: number_text(r["sigma"]), name="sigma"),
        Column("seed", lambda r: str(r["seed"]), name="seed"),
        Column("predictor", lambda r: r["predictor"] or "-", "left", "predictor"),
        Column("finished", _finished, name="finished"),
        Column("samples left", lambda r: f"{r['samples']:,}" if r["job"] != "train" else "-", name="samples"),
        Column("time left", _time, name="seconds"),
        Column("ceiling", lambda r: radius_text(r["ceiling"]), name="ceiling"),
    ]
    return Table("dry run: nothing is trained, sampled or written", records, columns, _notes(steps), keys=3)


def _finished(record: Record) -> str:
    if record["problem"]:
        return "cannot be told"
    unit = "epochs" if record["job"] == "train" else "inputs"
    return f"{record['finished']:,} of {record['total']:,} {unit}" if record["total"] else "-"


def _time(record: Record) -> str:
    if record["seconds"] is None:
        return "-"
    return duration_text(record["seconds"]) if record["seconds"] else "none"


def _notes(steps: Sequence[StepForecast]) -> list[str]:
    known = sum(step.seconds for step in steps if step.seconds is not None)
    unknown = sum(step.seconds is None for step in steps)
    left = sum(step.samples for step in steps)
    size = sum(step.bytes for step in steps)
    notes = [
        f"left: {left:,} samples, about {duration_text(known)} by measured rates, about {bytes_text(size)} in the "
        "database" + (f"; without {unknown} jobs whose time cannot be told yet" if unknown else ""),
        "ceiling: the largest radius that n samples can certify at alpha, in pixel units",
    ]
    problems = dict.fromkeys(f"{step.network}, {step.predictor}: {step.problem}" for step in steps if step.problem)
    return [*notes, *problems]
