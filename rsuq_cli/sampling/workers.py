"""Who samples: one engine in this process, or several processes side by side, one on each device or core.

Invariant: the noise of an input depends on the input alone, so which worker samples it does not matter: the evidence
is that of one engine on one of the devices. Workers only count; their parent is the one writer. It gives each a few
inputs at a time, and those of one that dies go elsewhere.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.multiprocessing as processes

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.errors import RsuqError, RunIncomplete
from rsuq_cli.sampling.engine import Counted, Engine, Indices, Meter
from rsuq_cli.sampling.finished import Finished, finished_of
from rsuq_cli.sampling.handing_out import MOST_LOSSES, Chunk, HandingOut, chunks_of
from rsuq_cli.sampling.until import Decider, sample_until

# Makes the engine of one worker on the named device; it must be picklable, and is called in the worker.
EngineMaker = Callable[[str], Engine]
_ENOUGH_BATCHES = 8


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
    ) -> Iterator[list[Finished]]:
        """Yields inputs as they finish, as `Engine.sample` or with a decider `sample_until` does, in no fixed order."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def counted_by(
    engine: Engine, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n0: int, n: int,
    decider: Decider | None,
) -> Iterator[list[Counted]]:  # fmt: skip
    """Yields what one engine counts, as `Sampler.sample` says."""
    if decider is None:
        return engine.sample(images, indices, edges, n0=n0, n=n)
    return sample_until(engine, images, indices, edges, n0=n0, decider=decider)


def chunk_size(batch_size: int, samples: int) -> int:
    """Returns how many inputs of so many samples are enough to fill batches."""
    return max(1, -(-_ENOUGH_BATCHES * batch_size // samples))


class Solo:
    """Samples with one engine, in this process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.meter, self.notices = engine.meter, engine.notices

    def sample(
        self, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n0: int, n: int,
        decider: Decider | None = None,
    ) -> Iterator[list[Finished]]:  # fmt: skip
        """Yields inputs as `Sampler.sample` says."""
        for counted in counted_by(self.engine, images, indices, edges, n0=n0, n=n, decider=decider):
            yield [finished_of(one, at_hand=True) for one in counted]

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


class Load(NamedTuple):
    """Inputs for one worker and how they are sampled; `sampling` and `number` say which chunk of which sampling.

    Images are copied over: shared memory is scarce in containers, and these are small.
    """

    sampling: int
    number: int
    positions: tuple[int, ...]
    images: npt.NDArray[Any]
    indices: list[int]
    edges: Mapping[str, MeasureEdges]
    n0: int
    n: int
    decider: Decider | None


class _Report(NamedTuple):
    """What a worker says of a chunk: what is finished, the samples and notices since its last word, an error, its end.

    Before its first chunk it says that it is ready.
    """

    finished: Sequence[Finished] = ()
    samples: int = 0
    notices: tuple[str, ...] = ()
    error: RsuqError | str | None = None
    chunk: tuple[int, int] | None = None
    chunk_done: bool = False


class _Worker:
    """A process with its connection; it is not the one to be given anything before it is `ready`."""

    def __init__(self, start: _Start) -> None:
        context = processes.get_context("spawn")
        self.start = start
        self.ready = False
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(start, theirs), daemon=True)
        self.process.start()
        theirs.close()  # or its end would not be noticed

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()

    def give(self, load: Load) -> None:
        """Sends a chunk; one that has died meanwhile is noticed where its reports are read."""
        try:
            self.connection.send(load)
        except OSError:
            return

    def said(self) -> Iterator[_Report | None]:
        """Yields what is to be read now, and None at the end of a worker that has died."""
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            yield None


class Crew:
    """Samples in one process for each of `devices` ("cpu", "cpu" or "cuda:0", "cuda:1"), which live with the context.

    On the CPU the workers share the threads of this process between them. One that is killed is started again.
    """

    def __init__(self, make_engine: EngineMaker, devices: Sequence[str], batch_size: int) -> None:
        self.batch_size = batch_size
        self.meter = Meter()
        self.notices: list[str] = []
        threads = max(1, torch.get_num_threads() // len(devices))
        self._starts = [_Start(make_engine, device, threads) for device in devices]
        self._workers: list[_Worker] = []
        self._samplings = 0
        self._deaths_at_start = 0

    def __enter__(self) -> Self:
        self._workers = [_Worker(start) for start in self._starts]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.stop()
        self._workers = []

    def sample(
        self, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n0: int, n: int,
        decider: Decider | None = None,
    ) -> Iterator[list[Finished]]:  # fmt: skip
        """Yields inputs as `Sampler.sample` says; to be iterated to its end. Raises what a worker raises."""
        self._samplings += 1
        sampling = self._samplings

        def load(chunk: Chunk) -> Load:
            positions = list(chunk.positions)
            numbers = [int(indices[position]) for position in positions]
            return Load(
                sampling, chunk.number, chunk.positions, images[positions].numpy(), numbers, dict(edges), n0, n, decider
            )  # fmt: skip

        chunks = chunks_of(len(images), chunk_size(self.batch_size, n0 + n), len(self._workers))
        return self._gather(HandingOut(chunks), sampling, load, indices)

    def _gather(
        self, handing: HandingOut, sampling: int, load: Callable[[Chunk], Load], indices: Indices
    ) -> Iterator[list[Finished]]:
        last = time.perf_counter()
        while handing.open:
            for worker in self._workers:
                if worker.ready:
                    handing.join(worker)
            for order in handing.orders():
                order.worker.give(load(order.chunk))  # type: ignore[attr-defined]
            ready = wait([worker.connection for worker in self._workers])
            for worker in [one for one in self._workers if one.connection in ready]:
                for report in worker.said():
                    if report is None:
                        self._replace(worker, handing, indices)
                        break
                    now = time.perf_counter()
                    finished = self._taken(worker, report, handing, sampling, now - last)
                    last = now
                    if report.samples or finished:
                        yield finished

    def _taken(
        self, worker: _Worker, report: _Report, handing: HandingOut, sampling: int, seconds: float
    ) -> list[Finished]:
        """Returns the inputs of a report that nobody has given before; raises the error that it tells of."""
        if isinstance(report.error, RsuqError):
            raise report.error
        if report.error:
            raise RuntimeError(f"a sampling worker failed:\n{report.error}")
        worker.ready = True
        self.meter.samples += report.samples
        self.meter.seconds += seconds
        self.notices += [notice for notice in report.notices if notice not in self.notices]
        if report.chunk is None or report.chunk[0] != sampling:
            return []
        finished = [one for one in report.finished if handing.take(one.position)]
        if report.chunk_done:
            handing.done(worker, report.chunk[1])
        return finished

    def _replace(self, worker: _Worker, handing: HandingOut, indices: Indices) -> None:
        """Starts a worker in the place of one that died, whose inputs are given to others first.

        Raises RunIncomplete where an input, or the start itself, has killed too many.
        """
        lost = handing.lost(worker)
        if lost is not None:
            numbers = ", ".join(str(int(indices[position])) for position in lost.positions)
            raise RunIncomplete(
                f"a sampling worker was killed {MOST_LOSSES} times at inputs {numbers}",
                "fewer --workers or a smaller --batch-size take less memory",
            )
        self._deaths_at_start += not worker.ready
        if self._deaths_at_start >= MOST_LOSSES:
            raise RunIncomplete("a sampling worker was killed as it started", "fewer --workers take less memory")
        worker.stop()
        self._workers[self._workers.index(worker)] = _Worker(worker.start)


def sampled_load(engine: Engine, load: Load) -> Iterator[list[Finished]]:
    """Yields the finished inputs of a chunk, in their positions of the whole sampling, packed."""
    images = torch.from_numpy(np.array(load.images))
    counting = counted_by(
        engine, images, load.indices, load.edges, n0=load.n0, n=load.n, decider=load.decider
    )  # fmt: skip
    for counted in counting:
        yield [finished_of(one)._replace(position=load.positions[one.position]) for one in counted]


def _work(start: _Start, connection: Connection) -> None:
    try:
        torch.set_num_threads(start.threads)
        if torch.device(start.device).type == "cuda":
            torch.cuda.set_device(start.device)  # or pinned memory would be the first device's
        engine = start.make_engine(start.device)
        connection.send(_Report())
        todo = _received(connection)
        said = counted = 0
        while (load := todo.get()) is not None:
            chunk = (load.sampling, load.number)
            for finished in sampled_load(engine, load):
                samples = engine.meter.samples
                connection.send(_Report(finished, samples - counted, tuple(engine.notices[said:]), chunk=chunk))
                said, counted = len(engine.notices), samples
            connection.send(_Report(chunk=chunk, chunk_done=True))
    except (KeyboardInterrupt, BrokenPipeError):
        # The parent hears of an interruption, too, and ends the run; or it is not there any more.
        return
    except RsuqError as error:
        connection.send(_Report(error=error))
    except Exception:
        connection.send(_Report(error=traceback.format_exc()))


def _received(connection: Connection) -> queue.SimpleQueue[Load | None]:
    """Returns chunks as they come, None at the end: taken at once, so that the parent never waits to be rid of one."""
    todo: queue.SimpleQueue[Load | None] = queue.SimpleQueue()

    def receive() -> None:
        try:
            while True:
                todo.put(connection.recv())
        except (EOFError, OSError):
            todo.put(None)

    threading.Thread(target=receive, daemon=True).start()
    return todo
