"""One pass without noise: the class and every measure of the inputs themselves.

Invariant: the function is the one that is sampled (folded, in the same precision, in full batches of a multiple of 32
rows), so that clean and smoothed scores differ by the noise alone.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.datasets.dataset import pixels
from rsuq_cli.sampling.device import smaller_batch
from rsuq_cli.sampling.forward import Forward
from rsuq_cli.uncertainty.scores import Scores


class CleanPass(NamedTuple):
    """Class `[N]` and the value of every measure, `[N]` each, in float64; `seconds` is what the pass took."""

    classes: npt.NDArray[np.int64]
    values: dict[str, npt.NDArray[np.float64]]
    seconds: float


def clean_pass(forward: Forward, images: torch.Tensor, *, batch_size: int) -> CleanPass:
    """Returns what the model says of images `[N, C, H, W]` (uint8 or [0, 1] floats) without noise.

    Logits that are not all finite are no answer: the class is -1, and every measure infinite. A full memory of the
    device halves the batches. Raises RunIncomplete where there are no smaller ones.
    """
    started = time.perf_counter()
    classes: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    start = 0
    while start < len(images):
        try:
            scores = _scores(forward, images[start : start + batch_size], batch_size)
        except RuntimeError as error:
            batch_size = smaller_batch(batch_size, forward.device, error)
            continue
        rows = min(batch_size, len(images) - start)
        classes.append(scores.classes.where(scores.answered, -1)[:rows].cpu())
        values.append(scores.values[:, :rows].cpu())
        start += rows
    every = torch.cat(values, dim=1).double().numpy()
    by_measure = {measure: every[row] for row, measure in enumerate(forward.predictor.measures)}
    return CleanPass(torch.cat(classes).numpy().astype(np.int64), by_measure, time.perf_counter() - started)


def _scores(forward: Forward, images: torch.Tensor, rows: int) -> Scores:
    """Returns the scores of a batch of so many rows, dark ones after the images."""
    padded = torch.zeros((rows, *images.shape[1:]), device=forward.device)
    padded[: len(images)] = pixels(images.to(forward.device))
    return forward(padded)
