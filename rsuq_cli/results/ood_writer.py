"""Scores and metrics of out-of-distribution runs, written.

Invariant: a score that is stored stays as it is, so storing again adds only what is missing; the metrics of a score are
replaced together, in one transaction, so that they always come from one evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import delete, or_, select

from rsuq_cli.results.columns import finite
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.results.tables import Metric, OodScore, table_of
from rsuq_cli.results.writer import CHECKPOINT, _insert_missing, checkpoint_row

OOD_SCORE, METRIC = table_of(OodScore), table_of(Metric)
DIFFERENCE = "auroc_difference"
_PAGE = 4096


@dataclass(frozen=True)
class MetricRow:
    """A figure of an out-of-distribution run, with its interval if it has one.

    `ood_set` None is about in-distribution inputs alone, `radius` (pixel units) None about no attacker; `scoring_id`
    says which threshold and alpha a guarantee rests on.
    """

    name: str
    value: float
    ood_set: str | None = None
    score: str | None = None
    radius: float | None = None
    low: float | None = None
    high: float | None = None
    scoring_id: int | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "radius"):
            if getattr(self, name) is not None:
                finite(f"{name} of {self.name}", getattr(self, name))


def store_scores(
    db: Database,
    run_id: int,
    ood_set: str,
    input_indices: npt.NDArray[np.int64],
    scores: Mapping[str, npt.NDArray[np.float64]],
) -> None:
    """Stores the scores `[N]` of the inputs of one set, by name; raises ValueError for one that is not finite."""
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} of {ood_set} is not finite")
    rows = [
        {"run_id": run_id, "ood_set": ood_set, "input_index": index, "score": name, "value": value}
        for name, values in scores.items()
        for index, value in zip(input_indices.tolist(), values.tolist(), strict=True)
    ]
    # In pages, so that a reader or another writer never waits long.
    for start in range(0, len(rows), _PAGE):
        with db.transaction() as connection:
            _insert_missing(connection, OOD_SCORE, rows[start : start + _PAGE])


def replace_metrics(db: Database, run_id: int, rows: Sequence[MetricRow]) -> None:
    """Stores the metrics of a run in place of earlier ones of the same scores."""
    scores = {row.score for row in rows if row.score is not None}
    same = or_(METRIC.c.score.in_(scores), METRIC.c.score.is_(None), METRIC.c.name == DIFFERENCE)
    with db.transaction() as connection:
        connection.execute(delete(METRIC).where(METRIC.c.run_id == run_id, same))
        connection.execute(METRIC.insert(), [{"run_id": run_id} | vars(row) for row in rows])


def newest_held_out_checkpoint(
    db: Database, is_of_model: Callable[[CheckpointRow], bool], prefix: str, suffix: str, sigma: float
) -> CheckpointRow | None:
    """Returns the checkpoint of a model recorded last for sigma and any data set whose name begins and ends like that.

    `is_of_model` tells whether a checkpoint is of the model.
    """
    c = CHECKPOINT.c
    wanted = select(CHECKPOINT).where(c.sigma == finite("sigma", sigma))
    with db.read() as connection:
        rows = connection.execute(wanted.order_by(c.created_at.desc(), c.id.desc())).mappings().all()
    for row in map(checkpoint_row, rows):
        name = row.dataset
        fits = name.startswith(prefix) and name.endswith(suffix) and (suffix or "@" not in name[len(prefix) :])
        if fits and is_of_model(row):
            return row
    return None
