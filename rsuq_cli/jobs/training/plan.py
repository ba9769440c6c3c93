"""What a training would do and go on with, without doing it. Invariant: nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsuq_cli.jobs.training.already import Trained, trained_already
from rsuq_cli.jobs.training.ready import prepared
from rsuq_cli.jobs.training.request import TrainRequest
from rsuq_cli.results.checkpoints import list_checkpoints
from rsuq_cli.results.database import open_for_lookup
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.training.objectives.registry import objective_named
from rsuq_cli.training.resume import load_state


@dataclass(frozen=True)
class TrainPlan:
    """A training as it would be, on so many `inputs`; `settings` are those of the loop.

    `finished_epochs` are kept of an interrupted one, which goes on after them where network and data are what they
    were; `seconds` is what the rest takes by them, None where there are none. `checkpoints` are those that there are
    for the same model, data and sigma, `trained` the one that this very training made: it would be shown. Of an
    ensemble, `members` are those of its networks, None where one is not trained, and all else is of its first. A step
    costs `plain_steps` of those of the Gaussian objective.
    """

    model: str
    dataset: str
    inputs: int
    settings: dict[str, Any]
    device: str
    folder: str
    finished_epochs: int
    seconds: float | None
    checkpoints: tuple[int, ...]
    trained: int | None
    members: tuple[int | None, ...]
    plain_steps: float


def train_plan(requests: Sequence[TrainRequest], database: str | Path | None, watcher: Watcher) -> TrainPlan:
    """Returns what training would do with one request, or with those of an ensemble; raises what it would raise before
    its first epoch.
    """
    plans = [_plan(request, database, watcher) for request in requests]
    return replace(plans[0], members=tuple(plan.trained for plan in plans) if len(plans) > 1 else ())


def _plan(request: TrainRequest, database: str | Path | None, watcher: Watcher) -> TrainPlan:
    ready = prepared(request, database, watcher)
    state = load_state(ready.resume_file) if ready.resume_file.exists() and not request.fresh else None
    history = state.history if state else ()
    settings = ready.training.settings
    objective = objective_named(settings.objective, settings.parameters, sigma=settings.sigma)
    mean = sum(one.seconds for one in history) / len(history) if history else None
    with open_for_lookup(database) as db:
        known = [] if db is None else list_checkpoints(db)
        trained = Trained(None) if db is None or request.fresh else trained_already(db, ready.training)
    if trained.reason:
        watcher.say(f"training anew: {trained.reason}")
    model = request.sources.model
    same = [c.id for c in known if (c.model, c.dataset, c.sigma) == (model, ready.training.name, request.sigma)]
    return TrainPlan(
        model=model,
        dataset=ready.training.name,
        inputs=len(ready.training.dataset.indices("train")),
        settings=settings.recorded(),
        device=str(ready.device),
        folder=str(ready.folder),
        finished_epochs=len(history),
        seconds=None if mean is None or trained.checkpoint else mean * (settings.epochs - len(history)),
        checkpoints=tuple(same),
        trained=trained.checkpoint.id if trained.checkpoint else None,
        members=(),
        plain_steps=objective.passes(settings.sigma),
    )
