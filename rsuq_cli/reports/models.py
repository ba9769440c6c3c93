"""The checkpoints in the database: a list that fits a screen, and one of them with everything about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rsuq_cli.console import Column, Table, number_text, percent_text
from rsuq_cli.reports.names import short_name
from rsuq_cli.reports.runs import age_text, counted, fitting, label_columns, model_name, moment_text, shortened
from rsuq_cli.reports.sheet import Sheet, configuration_lines, sheet
from rsuq_cli.results.rows import CheckpointRow

# Of a long training only some epochs are shown: the first, the last, and those evenly between.
_EPOCHS = 12


def models_table(
    checkpoints: Sequence[CheckpointRow], runs: Mapping[int, Sequence[int]], *, now: datetime | None = None
) -> Table:
    """Returns the checkpoints, in their order, with how many runs were made with each (`runs` by checkpoint)."""
    moment = now or datetime.now(UTC)
    records = [_record(one, runs.get(one.id, ())) for one in checkpoints]

    def columns(most: int) -> list[Column]:
        return [
            Column("id", lambda r: str(r["id"])),
            *label_columns(records, most),
            Column("model", lambda r: shortened(model_name(r["model"]), most), "left"),
            Column("data", lambda r: shortened(short_name(r["dataset"]), most), "left"),
            Column("σ", lambda r: number_text(r["sigma"])),
            Column("objective", lambda r: shortened(r["objective"], most), "left"),
            Column("clean %", lambda r: percent_text(r["accuracy_clean"])),
            Column("noisy %", lambda r: percent_text(r["accuracy_noisy"])),
            Column("runs", lambda r: str(len(r["runs"]))),
            Column("ago", lambda r: age_text(r["created_at"], moment)),
        ]

    notes = ("clean, noisy: accuracy on held-out calibration data, without and with noise of σ",) if records else ()
    return Table("checkpoints", records, fitting(columns, records), notes)


def model_sheet(checkpoint: CheckpointRow, runs: Sequence[int], *, there: bool) -> Sheet:
    """Returns everything about one checkpoint; `there` says whether its file is."""
    record = _record(checkpoint, runs) | {"file_exists": there}
    lines = [
        ("name", checkpoint.name), ("tags", ", ".join(checkpoint.tags)), ("note", checkpoint.note),
        ("model", checkpoint.model), ("data set", checkpoint.dataset), ("σ", f"{checkpoint.sigma:g}"),
        ("objective", checkpoint.objective),
        ("accuracy", None if checkpoint.accuracy_clean is None else
                     f"{percent_text(checkpoint.accuracy_clean)} % clean, {percent_text(checkpoint.accuracy_noisy)} % "
                     "under noise, on held-out calibration data"),
        ("file", checkpoint.file + ("" if there else " (not there)")), ("sha256", checkpoint.sha256),
        ("recorded", moment_text(checkpoint.created_at)), ("training", history_lines(checkpoint.history)),
        ("runs", ", ".join(map(str, runs)) or "none"),
        ("configuration", configuration_lines(checkpoint.configuration)),
    ]  # fmt: skip
    return sheet(f"checkpoint {checkpoint.id}", record, lines)


def history_lines(history: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Returns a line for each epoch of a training, of a long one for some of them; nothing where it is not known."""
    epochs = list(history or ())
    step = max(1, -(-(len(epochs) - 1) // (_EPOCHS - 1))) if epochs else 1
    chosen = [one for at, one in enumerate(epochs) if at % step == 0 or at == len(epochs) - 1]
    return [
        f"epoch {one['epoch']}: loss {one['loss']:.4f}, {percent_text(one['accuracy_clean'])} % clean, "
        f"{percent_text(one['accuracy_noisy'])} % under noise, "
        + (f"soft ACR {one['soft_acr']:.4f}, " if one.get("soft_acr") is not None else "")
        + f"{one['seconds']:.1f} s"
        for one in chosen
    ]


def deletion_line(checkpoint: CheckpointRow, runs: Sequence[int], *, keep_file: bool) -> str:
    """Returns what is to be deleted with a checkpoint, and what stays."""
    named = f" ({checkpoint.name})" if checkpoint.name else ""
    file = "its file stays" if keep_file else f"its file {checkpoint.file}, which no backup holds"
    stay = f"; {counted(len(runs), 'run')} made with it keep their evidence" if runs else ""
    return (
        f"checkpoint {checkpoint.id}{named}, {model_name(checkpoint.model)} for {short_name(checkpoint.dataset)} at "
        f"σ = {checkpoint.sigma:g}: {file}{stay}"
    )


def _record(checkpoint: CheckpointRow, runs: Sequence[int]) -> dict[str, Any]:
    return asdict(checkpoint) | {"tags": list(checkpoint.tags), "runs": list(runs)}
