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
from rsuq_cli.sampling.forward import Forward


class CleanPass(NamedTuple):
    """Class `[N]` and the value of every measure, `[N]` each, in float64; `seconds` is what the pass took."""

    classes: npt.NDArray[np.int64]
    values: dict[str, npt.NDArray[np.float64]]
    seconds: float


def clean_pass(forward: Forward, images: torch.Tensor, *, batch_size: int) -> CleanPass:
    """Returns what the model says of images `[N, C, H, W]` (uint8 or [0, 1] floats) without noise.

    Logits that are not all finite are no answer: the class is -1, and every measure infinite.
    """
    started = time.perf_counter()
    classes, values = [], []
    for start in range(0, len(images), batch_size):
        batch = pixels(images[start : start + batch_size].to(forward.device))
        padded = torch.zeros((batch_size, *images.shape[1:]), device=forward.device)
        padded[: len(batch)] = batch
        scores = forward(padded)
        classes.append(scores.classes.where(scores.answered, -1)[: len(batch)].cpu())
        values.append(scores.values[:, : len(batch)].cpu())
    every = torch.cat(values, dim=1).double().numpy()
    by_measure = {measure: every[row] for row, measure in enumerate(forward.predictor.measures)}
    return CleanPass(torch.cat(classes).numpy().astype(np.int64), by_measure, time.perf_counter() - started)
