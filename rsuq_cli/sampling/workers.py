"""Several processes that sample side by side: one on each device, or one on each core.

Invariant: the noise of an input depends on the input alone, so which worker samples it does not matter: the evidence
is that of one engine on one of the devices. Workers only count; their parent is the one writer.
"""

from __future__ import annotations

import queue
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.multiprocessing as processes

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.errors import RsuqError
from rsuq_cli.sampling.engine import Counted, Engine, Indices, Meter
from rsuq_cli.sampling.sequential import Decider, sample_until

# Makes the engine of one worker on the named device; it must be picklable, and is called in the worker.
EngineMaker = Callable[[str], Engine]
_ENOUGH_BATCHES = 8
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class _Job:
    """What every worker is told at its start."""

    make_engine: EngineMaker
    device: str
    threads: int
    images: torch.Tensor
    indices: Sequence[int]
    edges: Mapping[str, MeasureEdges]
    n0: int
    n: int
    decider: Decider | None


@dataclass(frozen=True)
class _Report:
    """What a worker says: finished inputs with the samples and notices since its last word, an error, or its end."""

    finished: list[Counted]
    samples: int = 0
    notices: tuple[str, ...] = ()
    error: RsuqError | str | None = None
    done: bool = False


class Crew:
    """Samples like an `Engine`, by one process for each of `devices` ("cpu", "cpu" or "cuda:0", "cuda:1").

    On the CPU the workers share the threads of this process between them. `meter` and `notices` are those of all
    workers together.
    """

    def __init__(self, make_engine: EngineMaker, devices: Sequence[str], batch_size: int) -> None:
        self.make_engine, self.devices = make_engine, tuple(devices)
        self.batch_size = batch_size
        self.meter = Meter()
        self.notices: list[str] = []

    def sample(
        self, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n0: int, n: int,
        decider: Decider | None = None,
    ) -> Iterator[list[Counted]]:  # fmt: skip
        """Yields inputs as they finish, as `Engine.sample` or with a decider `sample_until` does, in no fixed order.

        Raises what a worker raises; whatever happens, no worker outlives the iteration.
        """
        context = processes.get_context("spawn")
        todo, reports = context.Queue(), context.Queue()
        for chunk in _chunks(len(images), max(1, -(-_ENOUGH_BATCHES * self.batch_size // (n0 + n))), len(self.devices)):
            todo.put(chunk)
        threads = max(1, torch.get_num_threads() // len(self.devices))
        numbers = [int(index) for index in indices]
        workers = []
        for device in self.devices:
            job = _Job(self.make_engine, device, threads, images, numbers, dict(edges), n0, n, decider)
            todo.put(None)
            workers.append(context.Process(target=_work, args=(job, todo, reports), daemon=True))
        try:
            for worker in workers:
                worker.start()
            yield from self._gather(workers, reports)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join()

    def _gather(self, workers: Sequence[Any], reports: Any) -> Iterator[list[Counted]]:
        running = len(workers)
        last = time.perf_counter()
        while running:
            try:
                report: _Report = reports.get(timeout=_PATIENCE_SECONDS)
            except queue.Empty:
                if any(worker.exitcode not in (None, 0) for worker in workers):
                    raise RuntimeError("a sampling worker was killed") from None
                continue
            if isinstance(report.error, RsuqError):
                raise report.error
            if report.error:
                raise RuntimeError(f"a sampling worker failed:\n{report.error}")
            running -= report.done
            now = time.perf_counter()
            self.meter.samples += report.samples
            self.meter.seconds += now - last
            last = now
            self.notices += [notice for notice in report.notices if notice not in self.notices]
            yield report.finished


def _chunks(inputs: int, size: int, workers: int) -> Iterator[list[int]]:
    """Returns positions in runs long enough to fill batches, and short enough to keep every worker busy to the end."""
    fair = max(1, min(size, -(-inputs // (4 * workers))))
    for start in range(0, inputs, fair):
        yield list(range(start, min(start + fair, inputs)))


def _sampled(engine: Engine, job: _Job, images: torch.Tensor, indices: Indices) -> Iterator[list[Counted]]:
    if job.decider is None:
        return engine.sample(images, indices, job.edges, n0=job.n0, n=job.n)
    return sample_until(engine, images, indices, job.edges, n0=job.n0, decider=job.decider)


def _work(job: _Job, todo: Any, reports: Any) -> None:
    try:
        torch.set_num_threads(job.threads)
        engine = job.make_engine(job.device)
        said = counted = 0
        while (chunk := todo.get()) is not None:
            indices = [job.indices[position] for position in chunk]
            for finished in _sampled(engine, job, job.images[chunk], indices):
                whole = [one._replace(position=chunk[one.position]) for one in finished]
                samples = engine.meter.samples
                reports.put(_Report(whole, samples - counted, tuple(engine.notices[said:])))
                said, counted = len(engine.notices), samples
        reports.put(_Report([], done=True))
    except KeyboardInterrupt:
        # The parent hears of it too, and ends the run.
        return
    except RsuqError as error:
        reports.put(_Report([], error=error, done=True))
    except Exception:
        reports.put(_Report([], error=traceback.format_exc(), done=True))
