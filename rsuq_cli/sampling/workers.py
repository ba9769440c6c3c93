"""Who samples: one engine in this process, or several processes side by side, one on each device or core.

Invariant: the noise of an input depends on the input alone, so which worker samples it does not matter: the evidence
is that of one engine on one of the devices. Workers only count; their parent is the one writer.
"""

from __future__ import annotations

import queue
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.multiprocessing as processes

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.errors import RsuqError, RunIncomplete
from rsuq_cli.sampling.engine import Counted, Engine, Indices, Meter
from rsuq_cli.sampling.until import Decider, sample_until

# Makes the engine of one worker on the named device; it must be picklable, and is called in the worker.
EngineMaker = Callable[[str], Engine]
_ENOUGH_BATCHES = 8
_PATIENCE_SECONDS = 1.0


class Sampler(Protocol):
    """Samples inputs; `meter` and `notices` are those of all its processes. Left as a context, it has none running."""

    meter: Meter
    notices: list[str]

    def sample(
        self,
        images: torch.Tensor,
        indices: Indices,
        edges: Mapping[str, MeasureEdges],
        *,
        n0: int,
        n: int,
        decider: Decider | None = None,
    ) -> Iterator[list[Counted]]:
        """Yields inputs as they finish, as `Engine.sample` or with a decider `sample_until` does, in no fixed order."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Solo:
    """Samples with one engine, in this process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.meter, self.notices = engine.meter, engine.notices

    def sample(
        self, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n0: int, n: int,
        decider: Decider | None = None,
    ) -> Iterator[list[Counted]]:  # fmt: skip
        """Yields inputs as `Sampler.sample` says."""
        if decider is None:
            return self.engine.sample(images, indices, edges, n0=n0, n=n)
        return sample_until(self.engine, images, indices, edges, n0=n0, decider=decider)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class _Start(NamedTuple):
    """What every worker is told at its start."""

    make_engine: EngineMaker
    device: str
    threads: int


class _Chunk(NamedTuple):
    """Inputs for one worker. Images are copied over: shared memory is scarce in containers, and these are small."""

    positions: list[int]
    images: npt.NDArray[Any]
    indices: list[int]
    edges: Mapping[str, MeasureEdges]
    n0: int
    n: int
    decider: Decider | None


class _Report(NamedTuple):
    """What a worker says: finished inputs with the samples and notices since its last word, an error, a chunk's end."""

    finished: list[Counted]
    samples: int = 0
    notices: tuple[str, ...] = ()
    error: RsuqError | str | None = None
    chunk_done: bool = False


class Crew:
    """Samples in one process for each of `devices` ("cpu", "cpu" or "cuda:0", "cuda:1"), which live with the context.

    On the CPU the workers share the threads of this process between them.
    """

    def __init__(self, make_engine: EngineMaker, devices: Sequence[str], batch_size: int) -> None:
        self.batch_size = batch_size
        self.meter = Meter()
        self.notices: list[str] = []
        context = processes.get_context("spawn")
        self._todo, self._reports = context.Queue(), context.Queue()
        threads = max(1, torch.get_num_threads() // len(devices))
        starts = [_Start(make_engine, device, threads) for device in devices]
        self._workers = [
            context.Process(target=_work, args=(start, self._todo, self._reports), daemon=True) for start in starts
        ]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What has not been sent yet is for nobody any more; waiting for it would never end.
        self._todo.cancel_join_thread()
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join()

    def sample(
        self, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n0: int, n: int,
        decider: Decider | None = None,
    ) -> Iterator[list[Counted]]:  # fmt: skip
        """Yields inputs as `Sampler.sample` says; to be iterated to its end. Raises what a worker raises."""
        size = max(1, -(-_ENOUGH_BATCHES * self.batch_size // (n0 + n)))
        chunks = list(_chunks(len(images), size, len(self._workers)))
        for positions in chunks:
            numbers = [int(indices[position]) for position in positions]
            self._todo.put(_Chunk(positions, images[positions].numpy(), numbers, dict(edges), n0, n, decider))
        return self._gather(len(chunks))

    def _gather(self, running: int) -> Iterator[list[Counted]]:
        last = time.perf_counter()
        while running:
            try:
                report: _Report = self._reports.get(timeout=_PATIENCE_SECONDS)
            except queue.Empty:
                if any(worker.exitcode is not None for worker in self._workers):
                    raise RunIncomplete("a sampling worker was killed", "fewer --workers take less memory") from None
                continue
            if isinstance(report.error, RsuqError):
                raise report.error
            if report.error:
                raise RuntimeError(f"a sampling worker failed:\n{report.error}")
            running -= report.chunk_done
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


def _work(start: _Start, todo: Any, reports: Any) -> None:
    try:
        torch.set_num_threads(start.threads)
        engine = start.make_engine(start.device)
        sampler = Solo(engine)
        said = counted = 0
        while True:
            chunk: _Chunk = todo.get()
            images = torch.from_numpy(np.array(chunk.images))
            sampled = sampler.sample(
                images, chunk.indices, chunk.edges, n0=chunk.n0, n=chunk.n, decider=chunk.decider
            )  # fmt: skip
            for finished in sampled:
                whole = [one._replace(position=chunk.positions[one.position]) for one in finished]
                samples = engine.meter.samples
                reports.put(_Report(whole, samples - counted, tuple(engine.notices[said:])))
                said, counted = len(engine.notices), samples
            reports.put(_Report([], chunk_done=True))
    except KeyboardInterrupt:
        # The parent hears of it too, and ends the run.
        return
    except RsuqError as error:
        reports.put(_Report([], error=error))
    except Exception:
        reports.put(_Report([], error=traceback.format_exc()))
