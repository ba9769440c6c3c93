"""The runs in the database: a list that fits a screen, and one of them with everything about it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rsuq_cli.certificates.definitions import shown
from rsuq_cli.console import Column, Table, number_text
from rsuq_cli.formats import Record
from rsuq_cli.reports.audit import NAMES
from rsuq_cli.reports.comparison import figure_record
from rsuq_cli.reports.figures import figure_words
from rsuq_cli.reports.names import short_name
from rsuq_cli.reports.page.settings import certify_commands, network_flags
from rsuq_cli.reports.sheet import Sheet, configuration_lines, sheet
from rsuq_cli.results.audits import AuditSummary
from rsuq_cli.results.deletion import Hanging
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.rows import RunRow
from rsuq_cli.run.data import data_of
from rsuq_cli.run.network.preprocessing import noise_text

SCREEN = 100
# Of a name in a list: the characters that it may have where there is room, and those that it has in any case.
_LONGEST, _SHORTEST = 40, 6
_RULES = 2  # between two columns


# A command that was killed could not say so.
_STANDING = {"running": "running, or killed"}


@dataclass(frozen=True)
class RunDetails:
    """A run with what hangs on it: the figures of its scorings, its audits, and how many rows there are."""

    run: RunRow
    figures: Sequence[Figures]
    audits: Sequence[AuditSummary]
    hanging: Hanging


def runs_table(runs: Sequence[RunRow], *, now: datetime | None = None) -> Table:
    """Returns the runs, in their order."""
    moment = now or datetime.now(UTC)
    records = [asdict(run) | {"tags": list(run.tags)} for run in runs]

    def columns(most: int) -> list[Column]:
        return [
            Column("run", lambda r: str(r["id"])),
            *label_columns(records, most),
            Column("kind", lambda r: r["kind"], "left"),
            Column("model", lambda r: shortened(model_name(r["model"]), most), "left"),
            Column("data", lambda r: shortened(short_name(r["dataset"]), most), "left"),
            Column("σ", lambda r: number_text(r["sigma"])),
            Column("n", lambda r: f"{r['n']:,}"),
            Column("inputs", lambda r: f"{r['finished']:,}/{r['inputs']:,}"),
            Column("status", lambda r: r["status"], "left"),
            Column("ago", lambda r: age_text(r["updated_at"], moment)),
        ]

    return Table("runs", records, fitting(columns, records))


def run_sheet(details: RunDetails) -> Sheet:
    """Returns everything about one run; its JSON has the figures of every scoring and of every audit."""
    run, hanging = details.run, details.hanging
    commands = again(run, details.figures)
    record = asdict(run) | {
        "tags": list(run.tags), "figures": [figure_record(one) for one in details.figures],
        "audits": [asdict(one) for one in details.audits], "hanging": asdict(hanging), "commands": commands,
    }  # fmt: skip
    every = "every input" if run.skip == 1 else f"every {run.skip}th input"
    limit = f", at most {run.subset_limit:,}" if run.subset_limit else ""
    lines = [
        ("name", run.name), ("tags", ", ".join(run.tags)), ("note", run.note), ("kind", run.kind),
        ("status", f"{_STANDING.get(run.status, run.status)}: {run.finished:,} of {run.inputs:,} inputs"),
        ("model", run.model), ("checkpoint", run.checkpoint_id), ("weights from", run.source),
        ("data set", f"{run.dataset}, {run.split}: {every}{limit}"), ("subset sha256", run.subset_sha256),
        ("σ", f"{run.sigma:g}"), ("noise", noise_text(run.configuration)),
        ("samples", f"n0 = {run.n0:,}, n = {run.n:,}, seed {run.seed}"),
        ("device", f"{run.device}, {run.precision}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items()))),
        ("begun", moment_text(run.created_at)), ("last change", moment_text(run.updated_at)),
        ("took", f"{run.seconds:.1f} s" if run.seconds else None),
        ("attempt", run.attempt if run.attempt > 1 else None), ("warnings", list(run.warnings or ())),
        ("holds", hanging_text(hanging)), ("scorings", [_scoring(one) for one in details.figures]),
        ("audits", _audits(details.audits)),
        ("continue" if run.status != "complete" else "again", commands),
        ("configuration", configuration_lines(run.configuration)),
    ]  # fmt: skip
    return sheet(f"run {run.id}", record, lines)


def label_columns(records: Sequence[Record], most: int) -> list[Column]:
    """Returns a column of names and tags where any of the records has some."""
    if not any(record["name"] or record["tags"] for record in records):
        return []
    return [Column("name", lambda r: shortened(_labels(r), most), "left")]


def _labels(record: Record) -> str:
    return " ".join([*([record["name"]] if record["name"] else []), *(f"#{tag}" for tag in record["tags"])])


def fitting(columns: Callable[[int], list[Column]], records: Sequence[Record]) -> list[Column]:
    """Returns the columns with names cut at as many characters as a screen of 100 columns has room for."""
    for most in range(_LONGEST, _SHORTEST, -1):
        chosen = columns(most)
        if sum(max(len(c.title), *(len(c.cell(r)) for r in records), 0) + _RULES for c in chosen) <= SCREEN + _RULES:
            return chosen
    return columns(_SHORTEST)


def shortened(text: str, most: int) -> str:
    """Returns a text of at most so many characters; what is cut away shows as an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def model_name(model: str) -> str:
    """Returns the name of a model without the folders of its file."""
    file, colon, factory = model.rpartition(":")
    return f"{Path(file).name}{colon}{factory}"


def age_text(moment: str, now: datetime) -> str:
    """Returns how long ago a moment of the database is, in its largest unit."""
    seconds = max(0.0, (now - datetime.fromisoformat(moment)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def bytes_text(size: float) -> str:
    """Returns a size in its largest decimal unit."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def hanging_text(hanging: Hanging) -> str:
    """Returns in words what hangs on a run, "nothing" where nothing does."""
    parts = [
        (hanging.inputs, f"evidence of {hanging.inputs:,} inputs ({bytes_text(hanging.bytes)})"),
        (hanging.scorings, f"{counted(hanging.scorings, 'scoring')} with {hanging.certificates:,} certificates"),
        (hanging.audits, f"{counted(hanging.audits, 'audit')} of {hanging.balls:,} balls"),
        (hanging.ood_scores, f"{hanging.ood_scores:,} out-of-distribution scores"),
        (hanging.metrics, f"{hanging.metrics:,} metrics"),
    ]
    return ", ".join(text for number, text in parts if number) or "nothing"


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun in the right form."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def again(run: RunRow, figures: Sequence[Figures]) -> list[str]:
    """Returns the commands that go on with a run or make it again; none for a run that was imported."""
    if run.kind != "ood":
        return certify_commands(run, figures)
    sets = [str(one["name"]) for one in run.configuration.get("sets", [])]
    dataset, image_size = data_of(run)
    flags = {
        "--model": run.model, "--dataset": dataset, "--image-size": image_size, "--sigma": repr(run.sigma),
        "--n0": run.n0, "--n": run.n, "--split": run.split, "--limit": run.subset_limit, "--seed": run.seed,
        "--device": run.device, "--precision": run.precision,
    }  # fmt: skip
    words = [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
    words += [word for name in sets if name != run.dataset for word in ("--ood", name)]
    return [shlex.join(["rsuq", "ood", *words, *network_flags(run)])]


def _scoring(one: Figures) -> str:
    threshold = "no threshold" if one.threshold is None else f"θ = {one.threshold:.4g}"
    figures = [figure for figure in shown("run") if not (figure.of_rejection and one.rule == "standard")]
    return f"{one.scoring_id}: {one.measure}, {threshold}, {one.rule}, α = {one.alpha:g}: " + ", ".join(
        figure_words(figure, one.values[figure.name]) for figure in figures
    )


def _audits(summaries: Sequence[AuditSummary]) -> list[str]:
    """Returns one line for each audit: how many balls of each guarantee it attacked, and how many it broke."""
    found: dict[str, list[str]] = {}
    for one in summaries:
        scale = "" if one.radius_scale == 1 else f" at {one.radius_scale:g} times the radius"
        audit = f"{one.audit_id}: scoring {one.scoring_id}, {one.attack}, {one.steps} steps{scale}: broken "
        found.setdefault(audit, []).append(f"{one.broken:,} of {one.attacked:,} {NAMES[one.guarantee]} balls")
    return [audit + ", ".join(parts) for audit, parts in found.items()]


def moment_text(written: str) -> str:
    """Returns a moment of the database as people read it."""
    return f"{written[:19].replace('T', ' ')} UTC"


def deletion_lines(runs: Sequence[RunRow], hanging: Sequence[Hanging]) -> list[str]:
    """Returns one line for each run that is to be deleted: what it is, and what goes with it."""
    return [
        f"run {run.id}{f' ({run.name})' if run.name else ''}, {run.kind} of {model_name(run.model)} on "
        f"{short_name(run.dataset)} at σ = {run.sigma:g}: {hanging_text(one)}"
        for run, one in zip(runs, hanging, strict=True)
    ]
