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

import numpy as np
import torch
from torch import nn

from rsuq_cli.datasets.dataset import Dataset, Split, pixels
from rsuq_cli.errors import BadInput
from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.training.augment import augment
from rsuq_cli.training.objectives.base import add_noise
from rsuq_cli.training.objectives.registry import objective_named
from rsuq_cli.training.resume import EpochRecord, ResumeState, fingerprint, load_state, save_state
from rsuq_cli.training.settings import TrainSettings, learning_rate
from rsuq_cli.uncertainty.scores import is_answer

EVALUATION_BATCH = 512
EVALUATION_SUBSET = 1000  # images of the train split that stand in for an empty calibration split


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
    those had finished. `restarted` says why a resume file was there and not used, "" otherwise.
    """

    epochs_done: int
    accuracy_clean: float
    accuracy_noisy: float
    seconds: float
    history: tuple[EpochRecord, ...]
    resumed_after: int = 0
    restarted: str = ""


class Accuracy(NamedTuple):
    """Shares of right answers in [0, 1], without noise and with one noise draw per image."""

    clean: float
    noisy: float


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
    except torch.OutOfMemoryError as error:
        raise BadInput(
            f"out of memory on {device} at a batch size of {settings.batch_size}", "give a smaller --batch-size"
        ) from error


def accuracy(model: nn.Module, split: Split, *, sigma: float, seed: int, device: torch.device) -> Accuracy:
    """Returns the accuracy of `model` in eval mode on a split, clean and under noise; the same seed, the same noise."""
    generator = torch.Generator(device=device).manual_seed(_epoch_seed(seed, 0))
    was_training = model.training
    model.eval()
    right = torch.zeros(2, dtype=torch.int64, device=device)
    batches = zip(*(torch.split(part, EVALUATION_BATCH) for part in (split.images, split.labels)), strict=True)
    with torch.inference_mode():
        for images, labels in batches:
            clean, answers = pixels(images.to(device)), labels.to(device)
            # A network may write into what it is given, and floats on their own device are the data themselves.
            right[0] += _right(model(clean.clone()), answers)
            right[1] += _right(model(add_noise(clean, sigma, generator)), answers)
    model.train(was_training)
    clean_share, noisy_share = (right.double() / len(split)).tolist()
    return Accuracy(clean_share, noisy_share)


def _right(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Returns how many logits `[N, K]` name the class in `answers` `[N]`; what is not all finite names none."""
    return ((logits.argmax(1) == answers) & is_answer(logits)).sum()


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
        self.objective = objective_named(settings.objective, settings.parameters)
        # Batches of equal size rather than a small last one, whose batch statistics would be poor.
        self.steps = max(1, len(split) // settings.batch_size)
        self.optimizer = torch.optim.SGD(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.momentum > 0,
        )

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
                save_state(resume_file, ResumeState(self.fingerprint, *state, tuple(history), computed))
            if on_epoch is not None:
                on_epoch(record)
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
        return list(state.history), ""

    def _epoch(self, epoch: int, on_step: Callable[[StepProgress], None] | None) -> EpochRecord:
        """Trains one epoch, counted from 1, and measures it."""
        started = time.perf_counter()
        seed = _epoch_seed(self.settings.seed, epoch)
        torch.manual_seed(seed)
        generator = torch.Generator(device=self.device).manual_seed(seed)
        order = torch.randperm(len(self.labels), device=self.device, generator=generator)
        total = torch.zeros((), device=self.device)
        self.model.train()
        for step, batch in enumerate(order.tensor_split(self.steps)):
            rate = learning_rate(self.settings, (epoch - 1) * self.steps + step, self.settings.epochs * self.steps)
            total += self._step(batch, rate, generator)
            if on_step is not None:
                on_step(StepProgress(epoch, self.settings.epochs, step + 1, self.steps))
        loss = total.item() / self.steps
        if not math.isfinite(loss):
            raise BadInput(f"training diverged in epoch {epoch}: the loss is {loss}", "give a smaller learning rate")
        measured = accuracy(
            self.model, self.evaluation, sigma=self.settings.sigma, seed=self.settings.seed, device=self.device
        )
        return EpochRecord(epoch, loss, measured.clean, measured.noisy, time.perf_counter() - started)

    def _step(self, batch: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
        """Takes one step on the images at positions `batch` and returns their loss, still on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images = augment(self.images[batch], crop=self.crop, flip=self.flip, generator=generator)
        self.optimizer.zero_grad(set_to_none=True)
        autocast = self.settings.autocast and self.device.type == "cuda"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=autocast):
            loss = self.objective(
                self.model, pixels(images), self.labels[batch], sigma=self.settings.sigma, generator=generator
            )
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


def _splits(dataset: Dataset) -> tuple[Split, Split]:
    """Returns the train split and the one to measure on."""
    positions = dataset.indices("train")
    if len(positions) < 2:
        raise BadInput(f"{dataset.name} has {len(positions)} training images", "give a data set with a train split")
    return dataset.load("train"), evaluation_of(dataset)


def evaluation_of(dataset: Dataset) -> Split:
    """Returns the inputs that a training is measured on: calibration, or part of train where that is empty."""
    if len(dataset.indices("calibration")):
        return dataset.load("calibration")
    return dataset.load("train", dataset.indices("train")[:EVALUATION_SUBSET])


def _epoch_seed(seed: int, epoch: int) -> int:
    """Returns a well-mixed seed below 2^63; epoch 0 is the evaluation's."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]) >> 1


@contextlib.contextmanager
def _precision(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Makes convolutions on CUDA repeatable and sets whether they may use TF32; restores what was there before."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    if device.type == "cuda":
        matmul.allow_tf32 = cudnn.allow_tf32 = settings.precision != "fp32"
        cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
