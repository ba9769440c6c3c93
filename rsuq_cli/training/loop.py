"""The training loop: data on the device, fresh noise every step, a state file after every epoch.

Invariant: all randomness of epoch k is a function of (seed, k), so an interrupted and resumed run ends with the same
weights as an uninterrupted one on the same device, bit for bit; and nothing inside an epoch waits for the host.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rsuq_cli.datasets.dataset import Dataset, Split, pixels
from rsuq_cli.errors import BadInput
from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.sampling.compiler import compiled
from rsuq_cli.sampling.device import is_out_of_memory, tf32
from rsuq_cli.training.augment import augment
from rsuq_cli.training.evaluation import accuracy, epoch_seed, evaluation_of, soft_acr
from rsuq_cli.training.objectives.base import IMAGES, Batch, Data
from rsuq_cli.training.objectives.registry import objective_named
from rsuq_cli.training.pooling import OrderedPooling
from rsuq_cli.training.resume import EpochRecord, ResumeState, fingerprint, load_state, save_state
from rsuq_cli.training.settings import TrainSettings, learning_rate


class StepProgress(NamedTuple):
    """How far an epoch is: `step` of `steps` done in `epoch` (from 1) of `epochs`."""

    epoch: int
    epochs: int
    step: int
    steps: int


@dataclass(frozen=True)
class TrainResult:
    """A finished run. Accuracies are in [0, 1], on the calibration split, without and with one draw of noise.

    `seconds` counts all epochs, also those of interrupted calls before; `resumed_after` is the number of epochs that
    those had finished. `restarted` says why a resume file was there and not used, "" otherwise, and `uncompiled` why
    the compiler that was asked for was left out.
    """

    epochs_done: int
    accuracy_clean: float
    accuracy_noisy: float
    seconds: float
    history: tuple[EpochRecord, ...]
    resumed_after: int = 0
    restarted: str = ""
    uncompiled: str = ""


def train(
    model: nn.Module,
    dataset: Dataset,
    settings: TrainSettings,
    *,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_step: Callable[[StepProgress], None] | None = None,
    resume_file: Path | None = None,
    network: Fingerprint | None = None,
) -> TrainResult:
    """Trains `model` in place with SGD (Nesterov momentum), leaves it on `device` in eval mode, returns what happened.

    With `resume_file` the state is kept there after every epoch, and the same call goes on after the last finished
    one; a file of another run is replaced. `network` is what the untrained model computes, given where its code may
    have changed since: the file of one that computed something else is not used. KeyboardInterrupt passes through. The
    file stays: the caller removes it when the checkpoint is safe. The caller seeds torch before building the model, if
    weights must be reproducible.
    Raises BadInput for too little training data, a model without parameters, a run that diverges, too little
    memory on the device, and a resume file that cannot be written.
    """
    split, evaluation = _splits(dataset)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise BadInput("the model has no parameters to train", "certify it as it is")
    devices = [device] if device.type == "cuda" else []
    try:
        # Dropout and the like draw from torch's global generator: seeded here, and given back as it was.
        with torch.random.fork_rng(devices=devices), _precision(settings, device):
            return _Trainer(model, dataset, split, evaluation, settings, device, network).run(
                on_epoch, on_step, resume_file
            )
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise BadInput(
            f"out of memory on {device} at a batch size of {settings.batch_size}", "give a smaller --batch-size"
        ) from error


class _Trainer:
    """One run: the model and everything that changes with it."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        split: Split,
        evaluation: Split,
        settings: TrainSettings,
        device: torch.device,
        network: Fingerprint | None,
    ) -> None:
        self.model = model.to(device)
        self.settings = settings
        self.device = device
        self.evaluation = evaluation
        self.network = network
        self.fingerprint = fingerprint(settings, model, split, evaluation)
        self.images, self.labels = split.images.to(device), split.labels.to(device)
        self.crop, self.flip = dataset.augment_crop, dataset.augment_flip
        self.objective = objective_named(settings.objective, settings.parameters, sigma=settings.sigma)
        # What the objective keeps from step to step; how many images there are is known to it from the first.
        self.memory: dict[str, torch.Tensor] = {IMAGES: torch.tensor(len(split))}
        # Batches of equal size rather than a small last one, whose batch statistics would be poor.
        self.steps = max(1, len(split) // settings.batch_size)
        # The same weights; what is measured and kept is the network itself.
        self.asked: nn.Module = compiled(self.model) if settings.compiled else self.model
        self.uncompiled = ""
        self.optimizer = torch.optim.SGD(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.momentum > 0,
        )
        self.average: AveragedModel | None = None
        if settings.ema:
            # With its batch statistics: those of the last steps are not of these weights.
            averaging = get_ema_multi_avg_fn(settings.ema)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True).requires_grad_(False)

    @property
    def outcome(self) -> nn.Module:
        """What is measured, and kept in the end: the network, or its averaged weights."""
        return self.model if self.average is None else self.average.module

    def run(
        self,
        on_epoch: Callable[[EpochRecord], None] | None,
        on_step: Callable[[StepProgress], None] | None,
        resume_file: Path | None,
    ) -> TrainResult:
        """Trains the epochs that are left and returns the result."""
        history, restarted = self._resume(resume_file)
        resumed_after = len(history)
        for epoch in range(len(history) + 1, self.settings.epochs + 1):
            record = self._epoch(epoch, on_step)
            history.append(record)
            if resume_file is not None:
                state = self.model.state_dict(), self.optimizer.state_dict()
                computed = self.network.to_json() if self.network else None
                average = _state_of(self.average) if self.average else None
                save_state(
                    resume_file,
                    ResumeState(self.fingerprint, *state, tuple(history), computed, self.memory, average),
                )
            if on_epoch is not None:
                on_epoch(record)
        self.model.load_state_dict(self.outcome.state_dict())
        self.model.eval()
        last, seconds = history[-1], sum(record.seconds for record in history)
        return TrainResult(
            epochs_done=len(history),
            accuracy_clean=last.accuracy_clean,
            accuracy_noisy=last.accuracy_noisy,
            seconds=seconds,
            history=tuple(history),
            resumed_after=resumed_after,
            restarted=restarted,
            uncompiled=self.uncompiled,
        )

    def _resume(self, path: Path | None) -> tuple[list[EpochRecord], str]:
        """Returns the finished epochs of the resume file, whose state is then in place, and why it was not used."""
        if path is None or not path.exists():
            return [], ""
        state = load_state(path)
        if state is None:
            return [], f"{path} is damaged"
        if state.fingerprint != self.fingerprint:
            return [], f"{path} belongs to a run of other settings, data or network"
        if self.network and state.computed is None:
            return [], f"{path} does not say what the network computed"
        if self.network and not self.network.agrees(Fingerprint.of_json(state.computed or [])):
            return [], f"the network computes something else than when {path} was begun"
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        if self.average is not None and state.average is not None:
            _load_average(self.average, state.average)
        # Numbers stay on the host: a GPU of Apple's has no float64.
        self.memory |= {
            name: kept.to(self.device) if kept.dim() else kept for name, kept in (state.memory or {}).items()
        }
        return list(state.history), ""

    def _epoch(self, epoch: int, on_step: Callable[[StepProgress], None] | None) -> EpochRecord:
        """Trains one epoch, counted from 1, and measures it."""
        started = time.perf_counter()
        seed = epoch_seed(self.settings.seed, epoch)
        torch.manual_seed(seed)
        generator = torch.Generator(device=self.device).manual_seed(seed)
        order = self.objective.order(self.model, self._data(epoch, generator))
        total = torch.zeros((), device=self.device)
        self.model.train()
        for step, batch in enumerate(order.tensor_split(self.steps)):
            rate = learning_rate(self.settings, (epoch - 1) * self.steps + step, self.settings.epochs * self.steps)
            total += self._step(batch, rate, generator, epoch / self.settings.epochs)
            if on_step is not None:
                on_step(StepProgress(epoch, self.settings.epochs, step + 1, self.steps))
        loss = total.item() / self.steps
        if not math.isfinite(loss):
            raise BadInput(f"training diverged in epoch {epoch}: the loss is {loss}", "give a smaller learning rate")
        sigma, seed = self.settings.sigma, self.settings.seed
        measured = accuracy(self.outcome, self.evaluation, sigma=sigma, seed=seed, device=self.device)
        promised = soft_acr(self.outcome, self.evaluation, sigma=sigma, seed=seed, device=self.device)
        return EpochRecord(epoch, loss, measured.clean, measured.noisy, time.perf_counter() - started, promised)

    def _data(self, epoch: int, generator: torch.Generator) -> Data:
        """Returns all that is trained on, as an objective may look at it before an epoch."""
        before = (epoch - 1) / self.settings.epochs
        return Data(self.images, self.labels, self.settings.sigma, generator, before, self.memory)

    def _step(self, rows: torch.Tensor, rate: float, generator: torch.Generator, progress: float) -> torch.Tensor:
        """Takes one step on the images at the positions `rows` and returns their loss, still on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images = augment(self.images[rows], crop=self.crop, flip=self.flip, generator=generator)
        self.optimizer.zero_grad(set_to_none=True)
        autocast = self.settings.autocast and self.device.type == "cuda"
        batch = Batch(pixels(images), self.labels[rows], self.settings.sigma, generator, progress, rows, self.memory)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=autocast):
            loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss.detach()

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Returns the loss of a batch, without the compiler from the first time on that it fails."""
        if self.asked is self.model:
            return self.objective(self.model, batch)
        drawn = batch.generator.get_state()
        try:
            return self.objective(self.asked, batch)
        except BadInput:
            raise
        except Exception as error:  # whatever the compiler's tool chain raises; the plain module is there
            if is_out_of_memory(error):
                raise
            self.uncompiled = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            self.asked = self.model.train()
            batch.generator.set_state(drawn)
            return self.objective(self.model, batch)


# A module may have names of its own for its state, which only its own two methods know.
_AVERAGED, _COUNT = "module.", "n_averaged"


def _state_of(average: AveragedModel) -> dict[str, torch.Tensor]:
    own = average.module.state_dict()
    return {_COUNT: average.n_averaged, **{f"{_AVERAGED}{name}": value for name, value in own.items()}}


def _load_average(average: AveragedModel, state: dict[str, torch.Tensor]) -> None:
    own = {name.removeprefix(_AVERAGED): value for name, value in state.items() if name != _COUNT}
    average.module.load_state_dict(own)
    average.n_averaged.copy_(state[_COUNT])


def _splits(dataset: Dataset) -> tuple[Split, Split]:
    """Returns the train split and the one to measure on."""
    positions = dataset.indices("train")
    if len(positions) < 2:
        raise BadInput(f"{dataset.name} has {len(positions)} training images", "give a data set with a train split")
    return dataset.load("train"), evaluation_of(dataset)


@contextlib.contextmanager
def _precision(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Makes convolutions and pooling on CUDA repeatable, sets whether TF32 may be used, and restores what was there."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        with tf32(allowed=settings.precision != "fp32"), OrderedPooling():
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
