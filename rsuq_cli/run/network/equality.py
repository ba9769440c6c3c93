"""Which runs are about the same smoothed network, whatever else they sampled it for.

Invariant: a network is known by what runs record of it: the hashes of its weights and source, and what it computes.
Two files of weights of one architecture are two networks, and so is code that was edited elsewhere than in its file.
Nothing here is written, and PyTorch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterable

from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.results.database import Database
from rsuq_cli.results.exhibits import scored_runs
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.runs import list_runs

_WEIGHTS, _COMPUTES = "weights_sha256", "fingerprint"
# Other parts of a run's configuration that say which function was sampled, and what its noise is.
_SAYING = (_WEIGHTS, "source_sha256", "noise")


def is_same_network(one: RunRow, other: RunRow) -> bool:
    """Returns whether two runs smoothed the same network with the same noise, as far as they are recorded."""
    mine, theirs = one.configuration, other.configuration
    if one.sigma != other.sigma or any(
        mine[name] != theirs[name] for name in _SAYING if name in mine and name in theirs
    ):
        return False
    hashed = _WEIGHTS in mine and _WEIGHTS in theirs
    if hashed and _COMPUTES in mine and _COMPUTES in theirs:
        # However the file of a network of the user's own was spelled.
        return Fingerprint.of_json(mine[_COMPUTES]).agrees(Fingerprint.of_json(theirs[_COMPUTES]))
    return one.model == other.model and (hashed or one.checkpoint_id == other.checkpoint_id)


def is_known_by_files(run: RunRow) -> bool:
    """Returns whether a network of the user's own is on record by its files alone, not by what it computes."""
    return bool(run.configuration.get("source_sha256")) and _COMPUTES not in run.configuration


def runs_with_scores(db: Database) -> list[RunRow]:
    """Returns every run that has out-of-distribution scores, the oldest first."""
    scored = scored_runs(db)
    return [run for run in list_runs(db) if run.id in scored] if scored else []


def of_same_network(run: RunRow, runs: Iterable[RunRow]) -> list[int]:
    """Returns those of `runs` that are about the network and the data set of `run`, itself included."""
    return [other.id for other in runs if other.dataset == run.dataset and is_same_network(run, other)]
