"""A study run to its end: cell by cell, through the same jobs as the commands.

Invariant: nothing is kept of a study but its plan and which runs belong to it, so whatever was finished, by this
command or by any other, is found again and not done again. A cell that fails is told and skipped; the others run.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import DatabaseError, RsuqError
from rsuq_cli.jobs.certify import certify_run
from rsuq_cli.jobs.ensemble import members_trained
from rsuq_cli.jobs.ood.run import ood_run
from rsuq_cli.jobs.study.grid import Cell, Place, Sampling
from rsuq_cli.jobs.study.plan import Plan
from rsuq_cli.jobs.study.progress import Progress
from rsuq_cli.jobs.training.run import train_run
from rsuq_cli.models.member import Member
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.studies import Member as RunOfStudy
from rsuq_cli.results.studies import add_member, keep_only, keep_study
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.training.settings import default_epochs

# How many forward passes a step of training costs for one image, forward and backward.
_TRAINING_PASSES = 3


@dataclass
class StudyOutcome:
    """The study, what its cells made, and those that failed, by what was being done."""

    study_id: int
    runs: list[int] = field(default_factory=list)
    sampled: int = 0
    failed: list[str] = field(default_factory=list)


class Step(NamedTuple):
    """One job of a study: what it is called, and its work in forward passes."""

    what: str
    work: int


def _steps(cell: Cell, dataset: Dataset) -> list[Step]:
    """Returns the jobs of a cell, with the work of each."""
    epochs = cell.training.epochs or default_epochs(cell.training.sources.model, dataset)
    steps = [Step(f"train {cell.place}", _TRAINING_PASSES * len(dataset.indices("train")) * epochs)]
    for one in cell.samplings:
        request = one.certify
        taken = -(-len(dataset.indices(request.split)) // request.skip)  # type: ignore[arg-type]
        taken = taken if request.limit is None else min(taken, request.limit)
        passes = request.predictor.passes
        steps.append(Step(f"certify {cell.place}, {one.predictor}", passes * taken * (request.n0 + request.n)))
        if one.ood:
            other = one.ood.certify
            sets = len(one.ood.sets) + (other.n != request.n)
            steps.append(
                Step(
                    f"ood {cell.place}, {one.predictor}", passes * sets * (other.limit or taken) * (other.n0 + other.n)
                )
            )
    return steps


@dataclass
class _Study:
    """A study under way: the networks that it has so far, by their place."""

    number: int
    database: str | Path | None
    progress: Progress
    outcome: StudyOutcome
    checkpoints: dict[Place, int] = field(default_factory=dict)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Does its body, which is one job; what goes wrong in it is told and kept."""
        self.progress.step(what)
        try:
            yield
        except DatabaseError:
            raise  # nothing that follows could be kept either
        except RsuqError as error:
            self._fails(what, error.message + (f"; {error.hint}" if error.hint else ""))
        except Exception as error:  # a network of one's own may raise anything
            for line in traceback.format_exc().splitlines():
                self.progress.say(line)
            self._fails(what, f"{type(error).__name__}: {error}")

    def members(self, sampling: Sampling) -> tuple[Member, ...]:
        """Returns the networks beside the one that is sampled, which have been trained."""
        return members_trained([self.checkpoints[one] for one in sampling.beside], self.database)

    def skip(self, what: str, reason: str) -> None:
        """Leaves a job out, whose network is not there."""
        self.progress.step(what)
        self._fails(what, reason)

    def _fails(self, what: str, reason: str) -> None:
        self.progress.say(f"failed: {what}: {reason}")
        self.outcome.failed.append(what)


def study_run(
    plan: Plan, written: str, cells: Sequence[Cell], database: str | Path | None, watcher: Watcher
) -> StudyOutcome:  # fmt: skip
    """Runs all cells and returns what they made; what was finished before is not done again.

    `written` is the plan as it was given.
    Raises BadInput where there is no such data set, DatabaseError where the results cannot be kept. On that, and on
    KeyboardInterrupt, what is finished is safe.
    """
    dataset = open_dataset(plan.dataset, data_dir=cells[0].training.sources.data_dir)
    works = [_steps(cell, dataset) for cell in cells]
    with open_for_writing(database) as db:
        number = keep_study(db, plan.name, written)
    progress = Progress(watcher, [step.work for steps in works for step in steps])
    study = _Study(number, database, progress, StudyOutcome(number))
    try:
        for cell, steps in zip(cells, works, strict=True):
            _run(study, cell, [step.what for step in steps])
    finally:
        progress.close()
    if not study.outcome.failed:
        with open_for_writing(database) as db:
            if dropped := keep_only(db, number, study.outcome.runs):
                watcher.say(f"{dropped} runs are no longer part of the plan; they are kept, outside the study")
    return study.outcome


def _run(study: _Study, cell: Cell, steps: list[str]) -> None:
    what, *others = steps
    base = cell.begins_with
    if base and base not in study.checkpoints:
        for step in steps:
            study.skip(step, f"there is no network of {base} to begin with")
        return
    with study.step(what):
        request = cell.beginning_with(study.checkpoints[base]) if base else cell.training
        outcome = train_run(request, study.database, study.progress)
        study.checkpoints[cell.place] = outcome.checkpoint_id
    left = iter(others)
    for sampling in cell.samplings:
        _sample(study, cell.place, sampling, lambda: next(left))


def _sample(study: _Study, place: Place, sampling: Sampling, step: Callable[[], str]) -> None:
    checkpoint, run = study.checkpoints.get(place), None
    what = step()
    missing = [one for one in (place, *sampling.beside) if one not in study.checkpoints]
    if checkpoint is None or missing:
        study.skip(what, "there is no network" if checkpoint is None else f"there is no network of {missing[0]}")
    else:
        with study.step(what):
            certified = certify_run(
                sampling.of(checkpoint, study.members(sampling)), study.database, study.progress
            )  # fmt: skip
            run = certified.run_id
            _keep(study, place, sampling, run, certified.sampled)
    if sampling.ood is None:
        return
    what = step()
    if checkpoint is None or run is None:
        study.skip(what, "its inputs are not certified")
        return
    with study.step(what):
        request = sampling.ood_of(checkpoint, run, study.members(sampling))
        assert request is not None
        compared = ood_run(request, study.database, study.progress)
        _keep(study, place, sampling, compared.run_id, compared.sampled)


def _keep(study: _Study, place: Place, sampling: Sampling, run: int, sampled: int) -> None:
    study.outcome.runs.append(run)
    study.outcome.sampled += sampled
    with open_for_writing(study.database) as db:
        add_member(db, study.number, RunOfStudy(run, *place, sampling.predictor))
