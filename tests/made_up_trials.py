"""What is tried against a made-up run: audits, runs with inputs from elsewhere; and the checkpoint it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from rsuq_cli.results.database import Database
from rsuq_cli.results.ood_writer import DIFFERENCE, MetricRow, replace_metrics, store_scores
from rsuq_cli.results.rows import AuditBallRow, NewAudit, NewCheckpoint, NewRun, NewScoring
from rsuq_cli.results.writer import add_scoring, finish_run, record_checkpoint, start_audit, start_run, store_balls

CLEAN, SMOOTHED = "clean:energy", "uncertain_mass:entropy@0.9"
WEIGHTS = "ab" * 32


def epochs(count: int) -> list[dict[str, float]]:
    """Returns a history of a training that went well."""
    return [
        {"epoch": at, "loss": 2.0 / at, "accuracy_clean": 1 - 0.5 / at, "accuracy_noisy": 1 - 0.75 / at, "seconds": 1.0}
        for at in range(1, count + 1)
    ]


def made_up_checkpoint(
    db: Database, history: Sequence[Mapping[str, Any]] | None = None, *, sha256: str = WEIGHTS, **changes: Any
) -> int:
    """Records a checkpoint of `cnn` for the digits and returns its id."""
    columns: dict[str, Any] = {
        "model": "cnn", "dataset": "digits", "sigma": 0.25, "objective": "gaussian", "file": "/weights/cnn.safetensors",
        "accuracy_clean": 0.9875, "accuracy_noisy": 0.925, "configuration": {"epochs": 6, "seed": 3, "momentum": 0.9},
    }  # fmt: skip
    return record_checkpoint(db, NewCheckpoint(sha256=sha256, history=history, **(columns | changes)))


def made_up_audit(
    db: Database, scoring_id: int, excesses: Mapping[str, Sequence[float]], *, radius_scale: float = 1.0, seed: int = 0,
    attack: Literal["pgd", "random", "both"] = "both",
) -> int:  # fmt: skip
    """Stores an audit whose balls have these excesses, each with a lower bound 0.05 below it, and returns its id."""
    audit = start_audit(db, NewAudit(scoring_id, attack, 7, radius_scale, 10, 500, 0.001, seed, "cpu"))
    store_balls(db, audit.id, [
        AuditBallRow(index, guarantee, 1, 0.3, 0.29, "pgd", 500, 0.7, 0.52, excess, excess - 0.05, 0.1)  # type: ignore[arg-type]
        for guarantee, found in excesses.items() for index, excess in enumerate(found)
    ])  # fmt: skip
    return audit.id


def made_up_detection(
    db: Database, *, sets: Sequence[str] = ("noise:smooth", "photo-patches"), model: str = "cnn",
    dataset: str = "digits", sigma: float = 0.25, number: int = 0, name: str | None = None,
    warnings: Sequence[str] | None = None, checkpoint_id: int | None = None, **configuration: object,
) -> int:  # fmt: skip
    """Stores an evaluated out-of-distribution run over these sets, and returns its id."""
    new = NewRun(
        "ood", model, dataset, "test", 1, 3, 3 * (1 + len(sets)), "5" * 64, sigma, 20, 200, number, "cpu", "fp32",
        {"torch": "2"}, configuration, f"ood-{model}-{number}-{configuration}", {}, checkpoint_id=checkpoint_id,
        warnings=warnings, name=name,
    )  # fmt: skip
    run_id = start_run(db, new).id
    scoring = add_scoring(db, NewScoring(run_id, "entropy", 0.2, 0.9, "majority", "merged", 0.001))
    rows = [MetricRow("inputs", 3, dataset)]
    for at, ood_set in enumerate(sets):
        rows += [
            MetricRow("inputs", 3, ood_set), MetricRow("near", 0, ood_set),
            MetricRow("auroc", 0.875, ood_set, CLEAN, None, 0.75, 0.9375), MetricRow("fpr95", 0.5, ood_set, CLEAN),
            MetricRow("auroc", 1.0, ood_set, SMOOTHED, None, 0.9, 1.0),
            MetricRow("fpr95", 0.25, ood_set, SMOOTHED, None, 0.125, 0.375),
            MetricRow(DIFFERENCE, 0.125, ood_set, f"{SMOOTHED} - {CLEAN}", None, 0.0625, 0.1875),
        ]  # fmt: skip
        for radius, value in ((0.0, 0.79999), (0.25, 0.57 - at / 8), (0.5, 0.0)):
            rows += [
                MetricRow("guaranteed_auroc", value, ood_set, SMOOTHED, radius, scoring_id=scoring),
                MetricRow("guaranteed_auroc_two_sided", value / 2, ood_set, SMOOTHED, radius, scoring_id=scoring),
            ]
    replace_metrics(db, run_id, rows)
    scores = {CLEAN: np.array([0.0, 0.1, 0.9]), SMOOTHED: np.array([0.0, 0.0, 0.1])}
    for at, ood_set in enumerate((dataset, *sets)):
        moved = {score: values + at / 2 for score, values in scores.items()}
        store_scores(db, run_id, ood_set, np.arange(3), moved)
    finish_run(db, run_id, "complete", 1.0)
    return run_id
