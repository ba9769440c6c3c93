"""How good a network is while it is trained: on held-out images, clean and under noise, and what radius it promises.

Invariant: the same seed has the same noise, so epochs and calls compare; the network's mode is as it was afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from rsuq_cli.datasets.dataset import Dataset, Split, pixels
from rsuq_cli.training.objectives.base import add_noise, draw, log_mean, log_softmaxes, repeated
from rsuq_cli.uncertainty.scores import is_answer

EVALUATION_BATCH = 512
EVALUATION_SUBSET = 1000  # images of the train split that stand in for an empty calibration split
# What a soft radius is measured with: noises of each image, at most so many images, and the largest share that counts.
_NOISES, _IMAGES, _MOST = 4, 200, 1 - 1e-3


class Accuracy(NamedTuple):
    """Shares of right answers in [0, 1], without noise and with one noise draw per image."""

    clean: float
    noisy: float


def evaluation_of(dataset: Dataset) -> Split:
    """Returns the inputs that a training is measured on: calibration, or part of train where that is empty."""
    if len(dataset.indices("calibration")):
        return dataset.load("calibration")
    return dataset.load("train", dataset.indices("train")[:EVALUATION_SUBSET])


def accuracy(model: nn.Module, split: Split, *, sigma: float, seed: int, device: torch.device) -> Accuracy:
    """Returns the accuracy of `model` in eval mode on a split, clean and under noise; the same seed, the same noise."""
    generator = torch.Generator(device=device).manual_seed(epoch_seed(seed, 0))
    right = torch.zeros(2, dtype=torch.int64, device=device)
    batches = zip(*(torch.split(part, EVALUATION_BATCH) for part in (split.images, split.labels)), strict=True)
    with _evaluated(model):
        for images, labels in batches:
            clean, answers = pixels(images.to(device)), labels.to(device)
            # A network may write into what it is given, and floats on their own device are the data themselves.
            right[0] += _right(model(clean.clone()), answers)
            right[1] += _right(model(add_noise(clean, sigma, generator)), answers)
    clean_share, noisy_share = (count / len(split) for count in right.tolist())
    return Accuracy(clean_share, noisy_share)


def _right(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Returns how many logits `[N, K]` name the class in `answers` `[N]`; what is not all finite names none."""
    return ((logits.argmax(1) == answers) & is_answer(logits)).sum()


def soft_acr(model: nn.Module, split: Split, *, sigma: float, seed: int, device: torch.device) -> float:
    """Returns the average of sigma · Φ⁻¹(π̄_y) over the images (pixel units), π̄ the mean softmax over a few noises.

    0 where the class is wrong, or has not half of it. It is no certificate: four noises, and no bound. They cannot
    promise more than 3.1 sigma.
    """
    generator = torch.Generator(device=device).manual_seed(epoch_seed(seed, 0))
    # Spread over the split: the first images of a folder are all of its first class.
    chosen = torch.arange(min(len(split), _IMAGES)) * len(split) // min(len(split), _IMAGES)
    images, labels = split.images[chosen], split.labels[chosen]
    total = 0.0
    with _evaluated(model):
        for begin in range(0, len(images), EVALUATION_BATCH // _NOISES):
            part = slice(begin, begin + EVALUATION_BATCH // _NOISES)
            clean, answers = pixels(images[part].to(device)), labels[part].to(device)
            noisy = draw(clean, _NOISES, sigma, generator).add_(repeated(clean, _NOISES))
            mean = log_mean(log_softmaxes(model(noisy), _NOISES)).exp()
            own = mean.gather(1, answers[:, None])[:, 0].nan_to_num(0.0)
            # On the host: a GPU of Apple's has no float64.
            radius = torch.special.ndtri(own.clamp(0.5, _MOST).cpu().double())
            total += float(torch.where(mean.argmax(1).cpu() == labels[part].cpu(), radius, 0.0).sum())
    return sigma * total / len(images)


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    """Has the network in eval mode and without gradients for its body."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def epoch_seed(seed: int, epoch: int) -> int:
    """Returns a well-mixed seed below 2^63; epoch 0 is the evaluation's."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]) >> 1
