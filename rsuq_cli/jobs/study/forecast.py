"""What a study would do, cell by cell, without doing it: what is finished, and what the rest costs.

Invariant: nothing is written and no sample counted. Hours come from measured rates: of epochs that the database
remembers for the same network, and of a short warm-up of each network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.subset import subset
from rsuq_cli.errors import RsuqError
from rsuq_cli.jobs.certify_plan import CertifyPlan, added_bytes, certify_plan
from rsuq_cli.jobs.ensemble import members_trained
from rsuq_cli.jobs.ood.plan import ood_plan
from rsuq_cli.jobs.study.grid import Cell, Place, Sampling
from rsuq_cli.jobs.training.plan import TrainPlan, train_plan
from rsuq_cli.models.custom import is_custom, load_factory
from rsuq_cli.models.dropout import with_dropout
from rsuq_cli.models.library import from_library
from rsuq_cli.models.member import Member
from rsuq_cli.models.members import Members
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.zoo import build
from rsuq_cli.results.checkpoints import list_checkpoints
from rsuq_cli.results.database import open_for_lookup
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.sampling.device import check_precision, resolve_devices
from rsuq_cli.sampling.engine import Engine

# A step of training is a forward and a backward pass; of the latter a network takes about twice as long.
_TRAINING_PASSES = 3


# Inputs that a rate is measured on.
_MEASURED = 3


class Rate(NamedTuple):
    """Samples per second of a network, what an input adds to the database, and how many there are to certify."""

    samples_per_second: float
    bytes: float
    inputs: int


@dataclass(frozen=True)
class StepForecast:
    """A job of the study: what there is of it, and what the rest costs.

    `finished` of `total` are epochs of a training, else inputs. `samples` are still to be drawn, `seconds` what the
    rest takes, None where it cannot be told, `bytes` what it adds to the database; `ceiling` is the largest radius that
    (n, α) allows, in pixel units, None for a training. `problem` says why it cannot be told.
    """

    network: str
    objective: str
    sigma: float
    seed: int
    job: str
    predictor: str
    finished: int
    total: int
    samples: int
    seconds: float | None
    bytes: int
    ceiling: float | None
    problem: str = ""


def forecast(cells: Sequence[Cell], database: str | Path | None) -> list[StepForecast]:
    """Returns what every job of the cells would do and cost, in their order."""
    there = _There(database)
    found = []
    for cell in cells:
        plan = there.training(cell)
        found.append(_training(there, cell, plan))
        for sampling in cell.samplings:
            found.extend(_sampling(there, cell.place, sampling, plan))
    return found


class _There:
    """What the database has, and the rates that were measured so far."""

    def __init__(self, database: str | Path | None) -> None:
        self.database, self.watcher = database, _Silent()
        self._checkpoints: dict[Place, int] = {}
        self._rates: dict[tuple[str, str], Rate] = {}
        with open_for_lookup(database) as db:
            rows = [] if db is None else list_checkpoints(db)
        # Seconds of an epoch, of networks that were trained before.
        self.epochs = {
            (row.model, row.dataset): row.configuration["epochs_seconds"] / row.configuration["epochs"]
            for row in rows
            if row.configuration.get("epochs_seconds") and row.configuration.get("epochs")
        }

    def training(self, cell: Cell) -> TrainPlan | None:
        """Returns the plan of a training; None where the network that it begins with is not there yet."""
        request = cell.training
        if cell.begins_with is not None:
            if cell.begins_with not in self._checkpoints:
                return None
            request = cell.beginning_with(self._checkpoints[cell.begins_with])
        plan = train_plan([request], self.database, self.watcher)
        if plan.trained is not None:
            self._checkpoints[cell.place] = plan.trained
        return plan

    def certifying(self, place: Place, sampling: Sampling) -> CertifyPlan:
        """Returns the plan of a certify run of a network that is trained."""
        request = sampling.of(self._checkpoints[place], self._members(sampling))
        return certify_plan(request, self.database, self.watcher)

    def has_members(self, sampling: Sampling) -> bool:
        """Returns whether all the networks beside the one that is sampled are trained."""
        return all(one in self._checkpoints for one in sampling.beside)

    def _members(self, sampling: Sampling) -> tuple[Member, ...]:
        return members_trained([self._checkpoints[one] for one in sampling.beside], self.database)

    def rate(self, place: Place, sampling: Sampling) -> Rate:
        """Returns how fast a network is that nobody has trained yet, and how large its evidence; measured once."""
        key = (place.network, sampling.predictor)
        if key not in self._rates:
            self._rates[key] = _measured(sampling.certify)
        return self._rates[key]

    def comparing(self, place: Place, sampling: Sampling, run: int) -> StepForecast:
        """Returns what is left of the OOD run of a network that is certified."""
        request = sampling.ood_of(self._checkpoints[place], run, self._members(sampling))
        assert request is not None
        try:
            plan = ood_plan(request, self.database, self.watcher)
        except RsuqError as error:
            return StepForecast(*place, "ood", sampling.predictor, 0, 0, 0, None, 0, None, error.message)
        finished, total = sum(plan.finished.values()), sum(plan.inputs.values())
        seconds = plan.seconds if plan.samples else 0.0
        return StepForecast(*place, "ood", sampling.predictor, finished, total, plan.samples, seconds, 0, None)


class _Silent:
    """Hears what is said of every cell, which is for a run to say."""

    def say(self, line: str) -> None: ...

    def begin(self, task: str, total: int) -> None: ...

    def advance(self, units: int, note: str = "") -> None: ...

    def end(self) -> None: ...


def _training(there: _There, cell: Cell, plan: TrainPlan | None) -> StepForecast:
    if plan is None:
        epochs = cell.training.epochs or 0
        return StepForecast(*cell.place, "train", "", 0, epochs, 0, None, 0, None)
    epochs = int(plan.settings["epochs"])
    finished = epochs if plan.trained is not None else plan.finished_epochs
    seconds = 0.0 if finished == epochs else plan.seconds
    if seconds is None:
        known = there.epochs.get((plan.model, plan.dataset))
        seconds = None if known is None else known * (epochs - finished)
    if seconds is None and cell.samplings:  # a cell may be there for the ensemble of another only
        rate = there.rate(cell.place, cell.samplings[0])
        passes = rate.samples_per_second * cell.samplings[0].certify.predictor.passes
        seconds = _TRAINING_PASSES * plan.inputs * (epochs - finished) / passes
    return StepForecast(*cell.place, "train", "", finished, epochs, 0, seconds, 0, None)


def _sampling(there: _There, place: Place, sampling: Sampling, training: TrainPlan | None) -> list[StepForecast]:
    """Returns what is left of a certify run and, where there is one, of the OOD run beside it."""
    ceiling = sampling.certify.ceiling
    if training is None or training.trained is None or not there.has_members(sampling):
        return _ahead(place, sampling, there.rate(place, sampling))
    try:
        plan = there.certifying(place, sampling)
    except RsuqError as error:
        return [StepForecast(*place, "certify", sampling.predictor, 0, 0, 0, None, 0, ceiling, error.message)]
    certify = StepForecast(
        *place, "certify", sampling.predictor, plan.finished, plan.inputs, plan.samples,
        plan.seconds if plan.samples else 0.0, plan.bytes, ceiling,
    )  # fmt: skip
    if sampling.ood is None:
        return [certify]
    if plan.run_id is not None and plan.finished == plan.inputs:
        return [certify, there.comparing(place, sampling, plan.run_id)]
    each = plan.bytes / max(1, plan.inputs - plan.finished)
    return [certify, _ood(place, sampling, Rate(plan.samples_per_second, each, plan.inputs))]


def _ahead(place: Place, sampling: Sampling, rate: Rate) -> list[StepForecast]:
    """Returns all of a network's sampling, of which there is nothing yet."""
    request = sampling.certify
    samples = rate.inputs * (request.n0 + request.n)
    certify = StepForecast(
        *place, "certify", sampling.predictor, 0, rate.inputs, samples, samples / rate.samples_per_second,
        round(rate.inputs * rate.bytes), request.ceiling,
    )  # fmt: skip
    return [certify] if sampling.ood is None else [certify, _ood(place, sampling, rate)]


def _ood(place: Place, sampling: Sampling, rate: Rate) -> StepForecast:
    """Returns the OOD run as if nothing of it were there and every set had as many inputs as are asked for."""
    assert sampling.ood is not None
    request = sampling.ood.certify
    inputs = (request.limit or rate.inputs) * (len(sampling.ood.sets) + (request.n != sampling.certify.n))
    samples = inputs * (request.n0 + request.n)
    return StepForecast(
        *place, "ood", sampling.predictor, 0, inputs, samples, samples / rate.samples_per_second,
        round(inputs * rate.bytes), None,
    )  # fmt: skip


def _measured(request: CertifyRequest) -> Rate:
    """Returns the rate of a network with weights that nobody trained, on a few of the inputs to certify."""
    sources = request.sources
    dataset = open_dataset(sources.dataset, data_dir=sources.data_dir, image_size=sources.image_size)
    machine = request.machine
    devices = resolve_devices(machine.device, machine.workers)
    if is_custom(sources.model):
        module = load_factory(sources.model, shape=dataset.shape, num_classes=dataset.num_classes).module
    elif is_library(sources.model):
        module = from_library(sources.model, shape=dataset.shape, outputs=dataset.num_classes).module
    else:
        module = build(sources.model, shape=dataset.shape, num_classes=dataset.num_classes)
    masks = sources.monte_carlo
    asked = module if masks is None else with_dropout(module, masks, dataset.shape, sources.model)
    # The others of an ensemble take as long as the first.
    copies = 1 + len(request.predictor.members)
    whole = asked if copies == 1 else Members([asked] * copies)
    engine = Engine(
        whole, shape=dataset.shape, num_classes=dataset.num_classes, sigma=request.sigma, seed=request.seed,
        device=devices[0], precision=check_precision(machine.precision, devices[0]), batch_size=machine.batch_size,
        predictor=request.predictor,
    )  # fmt: skip
    chosen = subset(dataset, request.split, request.skip, request.limit).indices  # type: ignore[arg-type]
    split = dataset.load(request.split, chosen[:_MEASURED])  # type: ignore[arg-type]
    draws = min(engine.batch_size, request.n0 + request.n)
    engine.answers(split.images[:1], split.indices[:1], draws=draws)  # the first batch pays for all's start
    engine.meter.samples, engine.meter.seconds = 0, 0.0
    each = added_bytes(request, engine, split)
    return Rate(engine.meter.rate * len(devices), each, len(chosen))
