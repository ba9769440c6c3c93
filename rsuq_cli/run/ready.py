"""From a request to an open sampler: the one way that certify, ood and predict take, and in which their plans look.

Invariant: nothing is written here, and nothing sampled but a trial; what cannot be sampled is refused, and nothing is
left open. Which inputs are taken is the caller's choice, once model and data are known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.datasets.dataset import Indices, Split
from rsuq_cli.results.rows import RunRow
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.sampler import Sampling, check_eight_bit, open_engine, open_sampler, worth_compiling
from rsuq_cli.run.shard import Shard
from rsuq_cli.run.sources import Opened, open_sources
from rsuq_cli.run.stored import preparation_of, was_compiled
from rsuq_cli.run.unanswered import check_answers
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.device import check_precision, resolve_devices
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.workers import Sampler


@dataclass(frozen=True, eq=False)
class Part:
    """Inputs of one set: `noise` `[N]` is what their noise depends on, `stored` `[N]` their numbers in the run."""

    name: str
    split: Split
    noise: Indices
    stored: Indices

    def __len__(self) -> int:
        return len(self.split)

    def without(self, finished: Collection[int]) -> Part:
        """Returns the inputs whose numbers in the run are not among those that are finished."""
        return self._only(~np.isin(self.stored, list(finished)))

    def of_shard(self, shard: Shard, start: int = 0) -> Part:
        """Returns the inputs of a shard; `start` is the position of the first one of these in the run."""
        return self._only(shard.of(np.arange(start, start + len(self))))

    def _only(self, left: npt.NDArray[np.bool_]) -> Part:
        if left.all():
            return self
        split = Split(self.split.images[left], self.split.labels[left], self.split.indices[left])
        return Part(self.name, split, self.noise[left], self.stored[left])


@dataclass(frozen=True, eq=False, kw_only=True)
class Inputs:
    """The inputs of a run, those in distribution first, and what should be known about them, by the line.

    `before` is a run whose evidence is taken over, with its bins: the model is made ready as it was then.
    """

    parts: tuple[Part, ...] = ()
    warnings: tuple[str, ...] = ()
    before: RunRow | None = None
    edges: Mapping[str, MeasureEdges] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def of_shard(self, shard: Shard) -> tuple[Part, ...]:
        """Returns the parts with the inputs of a shard only; positions go on from one part to the next."""
        starts = accumulate(map(len, self.parts), initial=0)
        return tuple(part.of_shard(shard, start) for part, start in zip(self.parts, starts, strict=False))


Chosen = TypeVar("Chosen", bound=Inputs)


@dataclass(frozen=True, eq=False)
class Ready(Generic[Chosen]):
    """Model and data, the inputs, and who samples them: `engine` in this process, `sampler` on all `devices`."""

    opened: Opened
    inputs: Chosen
    sampling: Sampling
    devices: Sequence[torch.device]
    engine: Engine
    sampler: Sampler

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is known about model, data and inputs before the first sample."""
        return (*self.opened.warnings, *self.inputs.warnings)

    def rate(self, samples: int) -> float:
        """Returns the samples per second of all workers, by one more batch: the first ones pay for all's start."""
        engine, first = self.engine, self.inputs.parts[0]
        draws = min(engine.batch_size, samples)
        for _ in range(1 if engine.meter.samples else 2):
            before = replace(engine.meter)
            engine.uncertainties(first.split.images[:1], first.noise[:1], draws=draws)
        one = (engine.meter.samples - before.samples) / (engine.meter.seconds - before.seconds)
        return one * len(self.devices)


def open_request(
    request: CertifyRequest, database: str | Path | None, watcher: Watcher, choose: Callable[[Opened], Chosen]
) -> Ready[Chosen]:
    """Returns what `request` would sample: `choose` names the inputs of what was opened.

    Raises BadInput where model, data or device cannot be had, and for a model that answers nothing.
    """
    machine = request.machine
    devices = resolve_devices(machine.device, machine.workers)
    precision = check_precision(machine.precision, devices[0])
    opened = open_sources(request.sources, request.sigma, devices[0], database, watcher)
    inputs = choose(opened)
    for warning in inputs.warnings:
        watcher.say(f"warning: {warning}")
    if request.noise == "grid":
        for part in inputs.parts:
            check_eight_bit(part.split.images, part.name)
        check_eight_bit(opened.dataset.load("calibration").images, opened.dataset.name)
    if inputs.before:
        compiled, allowed = was_compiled(inputs.before.configuration), preparation_of(inputs.before.configuration)
    else:
        samples = len(inputs) * (request.n0 + request.n) * request.predictor.passes
        compiled, allowed = (
            worth_compiling(opened.model, opened.dataset.shape, samples, devices[0], machine.compile), None,
        )  # fmt: skip
    sampling = Sampling(
        request.sigma, request.seed, request.noise, devices[0], precision, machine.batch_size, compiled, allowed,
        request.predictor, rejecter=opened.rejecter.computes if opened.rejecter else None,
    )  # fmt: skip
    engine = open_engine(opened.model, opened.dataset, sampling)
    for part in inputs.parts:
        check_answers(engine, part.split.images, part.noise)
    sampler = open_sampler(engine, opened.recipe, sampling, devices)
    return Ready(opened, inputs, sampling, devices, engine, sampler)
