"""The checkpoint that a training made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rsuq_cli.console import Column, Table, number_text, percent_text

if TYPE_CHECKING:
    from rsuq_cli.jobs.training.request import TrainOutcome


def checkpoint_table(outcomes: Sequence[TrainOutcome]) -> Table:
    """Returns the checkpoints of a training as a table, of one row but for an ensemble."""
    columns = [
        Column("checkpoint", lambda r: str(r["checkpoint_id"])),
        Column("model", lambda r: r["model"], "left"),
        Column("data set", lambda r: r["dataset"], "left"),
        Column("σ", lambda r: number_text(r["sigma"])),
        Column("epochs", lambda r: str(r["epochs"])),
        Column("accuracy\nclean %", lambda r: percent_text(r["accuracy_clean"])),
        Column("accuracy\nunder noise %", lambda r: percent_text(r["accuracy_noisy"])),
        Column("seconds", lambda r: "-" if r["seconds"] is None else f"{r['seconds']:.0f}"),
    ]
    numbers = ",".join(str(one.checkpoint_id) for one in outcomes)
    notes = [
        *(f"weights: {one.file}" for one in outcomes),
        "accuracies on held-out calibration data",
        *(
            [f"as one ensemble: rsuq certify --members {numbers}, with the data set and sigma"]
            if "," in numbers
            else []
        ),
    ]
    return Table("trained", [asdict(one) for one in outcomes], columns, tuple(notes))
