"""The sampling engine: inputs and noise in, counts out.

Invariant: counts stay on the device while they are gathered, and its memory depends on the batch alone, not on n or on
how many inputs there are. On the CPU the forward pass sees a multiple of 32 rows (the last are padding): from 16 rows
on, its kernels give every row the same bits whatever the batch size, so the evidence does not depend on it. Elsewhere,
and compiled, batches are always full.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.errors import BadInput
from rsuq_cli.sampling.agreement import differing, made_up_inputs
from rsuq_cli.sampling.counter_noise import gaussian_noise
from rsuq_cli.sampling.device import (
    ROW_MULTIPLE,
    Precision,
    inference,
    is_out_of_memory,
    keep_freed_memory,
    room_for,
    sent,
    smaller_batch,
)
from rsuq_cli.sampling.forward import Forward, Preparation
from rsuq_cli.sampling.noise import Copies, Perturbation, Stream
from rsuq_cli.sampling.packing import Piece, Stretch, Task, cut, pack, samples_in
from rsuq_cli.sampling.tally import STREAMS, Bins, Counted, Tally
from rsuq_cli.sampling.watch import KEPT, Watch
from rsuq_cli.uncertainty.predictor import PLAIN, Predictor
from rsuq_cli.uncertainty.rejecter import Rejecter
from rsuq_cli.uncertainty.scores import Scores, look_like_probabilities

# Numbers of inputs in their data set; the noise of an input depends on its number.
Indices = Sequence[int] | npt.NDArray[np.int64]
# How many noisy inputs are tried before anything is sampled.
_TRIED = 32


@dataclass
class Meter:
    """Samples and seconds spent on them so far."""

    samples: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Samples per second, 0 before the first."""
        return self.samples / self.seconds if self.seconds else 0.0


class Answers(NamedTuple):
    """Class `[S]` (−1 without an answer) and every measure `[S]` of S samples.

    `are_probabilities` says that what the model gave as logits looks like probabilities in every one of them.
    """

    classes: npt.NDArray[np.int64]
    values: dict[str, npt.NDArray[np.float32]]
    are_probabilities: bool


class _Outcome(NamedTuple):
    """What the predictor said of a batch, padding at the end; `passes` `[rows, T, K]` are its logits."""

    batch: list[Piece]
    passes: torch.Tensor
    scores: Scores


def automatic_batch_size(shape: tuple[int, int, int], device: torch.device) -> int:
    """Returns the rows of a batch where the user names none; on a CPU larger ones gain nothing (`batch_sizes.py`)."""
    values = shape[0] * shape[1] * shape[2]
    budget, least, most = (2**21, 32, 4096) if device.type == "cpu" else (2**24, 64, 8192)
    return max(least, min(most, budget // values // ROW_MULTIPLE * ROW_MULTIPLE))


def _room_for(rows: int, shape: tuple[int, int, int], device: torch.device) -> torch.Tensor:
    """Returns zeros `[rows, C, H, W]`; raises BadInput where the device has no room for them."""
    try:
        return torch.zeros((rows, *shape), device=device)
    except (RuntimeError, TypeError) as error:  # a TypeError is a number of rows that is beyond any memory
        if isinstance(error, RuntimeError) and not is_out_of_memory(error) and "overflow" not in str(error):
            raise
        raise BadInput(f"{device} has no memory for a batch of {rows:,}", "give a smaller --batch-size") from error


class Engine:
    """Samples a model under noise of one kind, sigma and seed, asked as `predictor` says.

    `model` maps `[N, C, H, W]` in [0, 1], plus noise, to logits `[N, K]`; it is used in eval mode on `device`.
    `batch_size` is rounded up to a multiple of 32; a full memory of the device halves it, and `notices` says so.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        shape: tuple[int, int, int],
        num_classes: int,
        sigma: float,
        seed: int,
        device: torch.device,
        precision: Precision = "fp32",
        batch_size: int | None = None,
        compiled: bool = False,
        noise: Perturbation | None = None,
        allowed: Preparation | None = None,
        predictor: Predictor = PLAIN,
        rejecter: Rejecter | None = None,
    ) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.shape, self.num_classes = shape, num_classes
        self.sigma, self.seed, self.predictor, self.rejecter = sigma, seed, predictor, rejecter
        self.device, self.precision = device, precision
        wanted = automatic_batch_size(shape, device) if batch_size is None else batch_size
        self.batch_size = -(-wanted // ROW_MULTIPLE) * ROW_MULTIPLE
        self.meter = Meter()
        self.notices: list[str] = []
        self._opened = partial(
            Forward, model, shape, device, precision, sigma=sigma, predictor=predictor, rejecter=rejecter
        )
        with room_for("the model", device, "use a smaller model or another device"):
            self._forward = self._opened(compiled=compiled, allowed=allowed)
        self._noise = noise or gaussian_noise(seed=seed, sigma=sigma, shape=shape, device=device)
        self._buffer = _room_for(self.batch_size, shape, device)
        self._watch = Watch(self._forward, self._rows(1))
        if compiled:
            self._warm_up()
        self.notices += self._forward.notes

    def _warm_up(self) -> None:
        """Compiles, or finds that it cannot be: `preparation` says what will run from the first sample on."""
        inputs = made_up_inputs(self.shape, self.sigma, ROW_MULTIPLE).to(self.device)
        while True:
            try:
                self._buffer.copy_(inputs[torch.arange(self.batch_size, device=self.device) % ROW_MULTIPLE])
                self._forward.check_compiled(self._buffer)
                break
            except RuntimeError as error:
                self._halve(error)
        self._watch.rows = self._rows(1)

    @property
    def preparation(self) -> Preparation:
        """What was done to the model for speed."""
        return self._forward.preparation

    @property
    def noise_generator(self) -> str | None:
        """What makes the noise, as `Perturbation.generator` says."""
        return self._noise.generator

    def sample(
        self, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], *, n0: int, n: int
    ) -> Iterator[list[Counted]]:
        """Yields inputs as they finish, with n0 selection and n estimation samples each, counted by class and bin.

        `images` `[N, C, H, W]` (uint8 or [0, 1] floats) are sampled in their order; `indices` `[N]` are their numbers
        in the data set, which the noise depends on. `edges` holds the bin edges of every measure that is counted.
        """
        stretches = (Stretch(Stream.SELECTION, 0, n0), Stretch(Stream.ESTIMATION, 0, n))
        return self.count(images, indices, edges, (Task(p, stretches) for p in range(len(images))))

    def count(
        self, images: torch.Tensor, indices: Indices, edges: Mapping[str, MeasureEdges], tasks: Iterable[Task | None]
    ) -> Iterator[list[Counted]]:
        """Yields the counts of tasks as they finish; None among the tasks flushes what has gathered.

        Tasks are taken when there is room in a batch, so an iterable can make them from what was yielded before.
        """
        bins = Bins(edges, self.num_classes, self.device)
        tally: Tally | None = None
        waiting: Tally | None = None
        for batch in pack(tasks, self.batch_size):
            with self._metered(batch):
                tally = Tally(batch, bins, tally)
                for outcome in self._run(images, indices, batch, bins.measures):
                    tally.add(outcome.batch, outcome.scores)
                tally.settle()
                # A GPU goes on with the next batch while the host reads the last one; a CPU has nothing to overlap.
                ready, waiting = (tally, None) if self.device.type == "cpu" else (waiting, tally)
                done = ready.report() if ready else []
            yield done
        if waiting:
            yield waiting.report()
        self._watch.conclude()

    def uncertainties(
        self, images: torch.Tensor, indices: Indices, *, draws: int
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Returns every measure on `draws` noisy copies of each image, `[N * draws]`, from the calibration stream."""
        return self.answers(images, indices, draws=draws).values

    def answers(self, images: torch.Tensor, indices: Indices, *, draws: int) -> Answers:
        """Returns what the model says of `draws` noisy copies of each image, from the calibration stream."""
        classes, values, alike = [], [], []
        for outcome in self._calibrating(images, indices, draws):
            rows = samples_in(outcome.batch)
            answered = outcome.scores.answered[:rows].cpu()
            classes.append(torch.where(answered, outcome.scores.classes[:rows].cpu(), -1))
            values.append(outcome.scores.values[:, :rows].cpu())
            alike.append(look_like_probabilities(outcome.passes[:, 0])[:rows].cpu()[answered])
        every = torch.cat(values, dim=1).numpy()
        by_measure = {measure: every[row] for row, measure in enumerate(self.predictor.measures)}
        answered_alike = torch.cat(alike)
        are_probabilities = len(answered_alike) > 0 and bool(answered_alike.all())
        return Answers(torch.cat(classes).numpy().astype(np.int64), by_measure, are_probabilities)

    def passes(self, images: torch.Tensor, indices: Indices, *, draws: int) -> Iterator[torch.Tensor]:
        """Yields the logits of every pass `[rows, T, K]` over `draws` noisy copies of each image, as `answers` asks."""
        for outcome in self._calibrating(images, indices, draws):
            yield outcome.passes[: samples_in(outcome.batch)].cpu()

    def _calibrating(self, images: torch.Tensor, indices: Indices, draws: int) -> Iterator[_Outcome]:
        tasks = (Task(p, (Stretch(Stream.CALIBRATION, 0, draws),)) for p in range(len(images)))
        for batch in pack(tasks, self.batch_size):
            with self._metered(batch):
                yield from self._run(images, indices, batch)

    def trial(self, images: torch.Tensor, indices: Indices) -> npt.NDArray[np.bool_]:
        """Returns which of some noisy copies of the images `[N, C, H, W]`, spread over them, have an answer.

        They are watched as all samples are; and where the model is prepared for speed, and that changes an answer, it
        goes on as it is. Raises Refuted where it does not answer for one input at a time.
        """
        chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), _TRIED)).round().astype(np.int64))
        copies = -(-_TRIED // len(chosen))
        tasks = (Task(int(position), (Stretch(Stream.TRIAL, 0, copies),)) for position in chosen)
        parts = []
        for batch in pack(tasks, min(self.batch_size, _TRIED)):
            for outcome in self._run(images, indices, batch):
                rows = samples_in(outcome.batch)
                parts.append(outcome.scores.answered[:rows].cpu())
                if self._forward.prepared:
                    self._check_prepared(self.noisy(images, indices, outcome.batch), min(rows, KEPT))
        return torch.cat(parts).numpy()

    def _check_prepared(self, noisy: torch.Tensor, rows: int) -> None:
        """Goes on with the model as it is where a preparation changes its answers to the first rows of a batch."""
        with inference(self.device, self.precision):
            own = self._forward.own_logits(noisy[:rows])
            prepared = self._forward.logits(noisy)[:rows]
        if not bool(differing(own, prepared, self.precision).any()):
            return
        self._forward = self._opened(compiled=False, allowed=Preparation())
        self._watch = Watch(self._forward, self._rows(1))
        self.notices.append("what makes the network faster changes its answers to these inputs: sampling it as it is")

    def logits(self, images: torch.Tensor, indices: Indices, batch: list[Piece]) -> torch.Tensor:
        """Returns the logits `[rows, K]` of one batch of noisy inputs, padding at the end; for measurements."""
        return self._forward.logits(self.noisy(images, indices, batch))

    def forward_fixed(self) -> torch.Tensor:
        """Returns the logits of whatever the batch buffer holds: the forward pass alone, for measurements."""
        return self._forward.logits(self._buffer)

    def _run(
        self, images: torch.Tensor, indices: Indices, batch: list[Piece], measures: Sequence[str] | None = None
    ) -> Iterator[_Outcome]:
        """Yields the outcome of a batch, scored by the measures named or by all of them.

        It comes in parts once the device's memory has been full.
        """
        queue = list(cut(batch, self.batch_size))
        while queue:
            try:
                outcome = self._asked(self.noisy(images, indices, queue[0]), queue[0], measures)
            except RuntimeError as error:
                self._halve(error)
                queue = list(cut((piece for part in queue for piece in part), self.batch_size))
                continue
            self.notices += [note for note in self._forward.notes if note not in self.notices]
            yield outcome
            del queue[0]

    def _asked(self, noisy: torch.Tensor, batch: list[Piece], measures: Sequence[str] | None) -> _Outcome:
        used = samples_in(batch)
        kept = self._watch.keep(noisy, used)
        with inference(self.device, self.precision):
            passes = self._forward.passes(noisy)
            self._check_shape(passes, noisy)
            wanted = self.predictor.measures if measures is None else measures
            outcome = _Outcome(batch, passes, self._forward.scored(passes, wanted))
        if kept is not None:
            self._watch.compare(kept, passes, used)
        return outcome

    def _check_shape(self, passes: torch.Tensor, noisy: torch.Tensor) -> None:
        if passes.shape != (len(noisy), self.predictor.passes, self.num_classes):
            raise BadInput(
                f"the model gives logits of shape {[len(passes), *passes.shape[2:]]} for {len(noisy)} inputs, not "
                f"{[len(noisy), self.num_classes]}",
                "return [N, classes] for batches of any size",
            )

    def noisy(self, images: torch.Tensor, indices: Indices, batch: Sequence[Piece]) -> torch.Tensor:
        """Returns the noisy inputs of a batch `[rows, C, H, W]` in memory that the next batch takes over.

        Rows after those of the pieces are padding, dark.
        """
        # Only the inputs of this batch: all of them together may be more than the device holds.
        here = sent(images[[piece.position for piece in batch]], self.device)
        wanted = [Copies(one.stream, int(indices[one.position]), one.start, one.size) for one in batch]
        samples = samples_in(batch)
        self._noise.write(self._buffer[:samples], here, wanted)
        rows = self._rows(samples)
        self._buffer[
            samples:rows
        ].zero_()  # a network that writes into its input would make what it left there ever larger
        return self._buffer[:rows]

    def _rows(self, samples: int) -> int:
        """Returns the rows of a forward pass for so many samples."""
        if self.device.type != "cpu" or self.preparation.compiled:
            return self.batch_size  # other kernels may be taken for another shape, or have to be compiled for it
        return -(-samples // ROW_MULTIPLE) * ROW_MULTIPLE

    def _halve(self, error: RuntimeError) -> None:
        """Goes on with smaller batches; raises the error where it is not of a full memory."""
        self.batch_size = smaller_batch(self.batch_size, self.device, error)
        # A part of the old one: there may be no memory for another while the failed forward pass still holds its own.
        self._buffer = self._buffer[: self.batch_size]
        self._watch.rows = self._rows(1)
        self.notices.append(f"{self.device} is out of memory: going on with batches of {self.batch_size}")

    @contextlib.contextmanager
    def _metered(self, batch: list[Piece]) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.meter.samples += samples_in(batch)
        self.meter.seconds += time.perf_counter() - started


__all__ = ["STREAMS", "Answers", "Counted", "Engine", "Indices", "Meter", "automatic_batch_size"]
