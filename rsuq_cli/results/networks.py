"""Which runs are about the same smoothed network, whatever else they sampled it for.

Invariant: a network is known by what runs record of it, the hashes of its weights and source before its name: two files
of weights of one architecture are two networks. Nothing here writes.
"""

from __future__ import annotations

from sqlalchemy import text

from rsuq_cli.results.database import Database
from rsuq_cli.results.queries import list_runs
from rsuq_cli.results.rows import RunRow

# Parts of a run's configuration that say which function was sampled, and what its noise is.
_WEIGHTS = "weights_sha256"
_SAYING = (_WEIGHTS, "source_sha256", "noise")


def is_same_network(one: RunRow, other: RunRow) -> bool:
    """Returns whether two runs smoothed the same network with the same noise, as far as they are recorded."""
    if (one.model, one.sigma) != (other.model, other.sigma):
        return False
    mine, theirs = one.configuration, other.configuration
    if any(mine[name] != theirs[name] for name in _SAYING if name in mine and name in theirs):
        return False
    return (_WEIGHTS in mine and _WEIGHTS in theirs) or one.checkpoint_id == other.checkpoint_id


def runs_with_scores(db: Database, run: RunRow) -> list[int]:
    """Returns the runs that scored the same network on the same data set, `run` itself included, the oldest first."""
    with db.read() as connection:
        scored = set(connection.execute(text("SELECT DISTINCT run_id FROM ood_score")).scalars())
    return [
        other.id
        for other in list_runs(db)
        if other.id in scored and other.dataset == run.dataset and is_same_network(run, other)
    ]
