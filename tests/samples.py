"""Models and data that need no training: written as a user would write them, a `file.py:factory` and an `npz`.

Two sets. `blobs`: three classes on 2×2 pixels and a linear network, the quickest thing that can be right, wrong and
uncertain. `half_space`: two classes whose true distances to every boundary are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logit

# SLOW_FORWARD (seconds) makes a run last as long as a test needs; INTERRUPT_AT is the forward pass that Ctrl-C hits,
# those on one or two rows, with which networks are looked at, not counted; MOST_ROWS is all that fits into memory.
BLOBS_MODEL = """
import os
import time

import torch
from torch import nn


class Net(nn.Module):
    passes = 0

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(6 * torch.eye(3, 4))

    def forward(self, x):
        Net.passes += len(x) > 2
        if "SLOW_FORWARD" in os.environ:  # a sleep of 0 gives the core away, thousands of times in a run
            time.sleep(float(os.environ["SLOW_FORWARD"]))
        if len(x) > 2 and os.environ.get("INTERRUPT_AT") == str(Net.passes):
            raise KeyboardInterrupt
        if len(x) > int(os.environ.get("MOST_ROWS", 10**9)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.fc(x.flatten(1))


def make():
    return Net()
"""

HALF_SPACE_MODEL = """
import torch
from torch import nn


class HalfSpace(nn.Module):
    def forward(self, x):
        signed = x.flatten(1).sum(1) - 0.8
        return torch.stack([signed, -signed], dim=1)
"""


@dataclass(frozen=True)
class Sample:
    """A model and a data set as the command line names them."""

    model: str
    dataset: str

    @property
    def flags(self) -> tuple[str, ...]:
        """What chooses them."""
        return "--model", self.model, "--dataset", self.dataset


def write_npz(path: Path, **arrays: npt.ArrayLike) -> str:
    """Writes arrays and returns the name of the data set."""
    np.savez(path, **{name: np.asarray(values) for name, values in arrays.items()})  # type: ignore[arg-type]
    return f"npz:{path}"


def blob_arrays(*, train: int = 60, test: int = 12, seed: int = 0) -> dict[str, Any]:
    """Returns float32 images [N, 1, 2, 2], one bright pixel for each class, and labels."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(count) % 3
        images = random.uniform(0, 0.4, (count, 4))
        images[np.arange(count), labels] += random.uniform(0.1, 0.6, count)
        arrays |= {f"x_{part}": images.reshape(count, 1, 2, 2).astype(np.float32), f"y_{part}": labels}
    return arrays


def write_blobs(folder: Path) -> Sample:
    """Writes the three classes on 2×2 pixels and their network."""
    (folder / "blobs.py").write_text(BLOBS_MODEL)
    return Sample(f"{folder / 'blobs.py'}:make", write_npz(folder / "blobs.npz", **blob_arrays()))


@dataclass(frozen=True)
class HalfSpace(Sample):
    """The half-space classifier w·x + b with w = (1, 1, 1, 1), b = −0.8: inputs, and the exact truth about them.

    It is certain where |w·x + b| > t; the three radii under the majority rule are then the distances to three parallel
    planes.
    """

    inputs: npt.NDArray[np.float32]

    THRESHOLD = 0.4
    NORM = 2.0

    @property
    def margin(self) -> float:
        """t, the margin below which the softmax confidence of the logits (m, −m) leaves more than the threshold."""
        return float(logit(1 - self.THRESHOLD)) / 2

    def distances(self) -> dict[str, npt.NDArray[np.float64]]:
        """Returns the exact radii of every input, by column name; the decision is certain where CC is positive."""
        signed = np.abs(self.inputs.reshape(len(self.inputs), -1).astype(np.float64).sum(axis=1) - 0.8)
        offsets = {"radius_cc": -self.margin, "radius_standard": 0.0, "radius_ncl": self.margin}
        return {name: np.maximum(signed + offset, 0) / self.NORM for name, offset in offsets.items()}


def write_half_space(folder: Path, distances: Iterable[float]) -> HalfSpace:
    """Writes the half-space classifier, and inputs at these signed distances from its boundary."""
    (folder / "half_space.py").write_text(HALF_SPACE_MODEL)
    signed = np.asarray(list(distances), dtype=np.float64)
    # Four pixels p each give w·x + b = 4p − 0.8 = 2 · distance.
    inputs = np.repeat((0.8 + 2 * signed)[:, None] / 4, 4, axis=1).reshape(-1, 1, 2, 2).astype(np.float32)
    dataset = write_npz(folder / "half_space.npz", x_test=inputs, y_test=(signed < 0).astype(np.int64))
    return HalfSpace(f"{folder / 'half_space.py'}:HalfSpace", dataset, inputs)


# Brightness levels of a picture, one for each class; evenly spaced, so that a wrong scale gives the wrong class.
LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def level_arrays(*, train: int = 210, test: int = 14, channels: int = 3) -> dict[str, Any]:
    """Returns uint8 images [N, C, 2, 2] of one brightness each, with a cast of its own in every channel, and labels."""
    arrays: dict[str, Any] = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(count) % len(LEVELS)
        flat = np.rint(255 * np.asarray(LEVELS))[labels].astype(np.uint8)
        images = np.broadcast_to(flat[:, None, None, None], (count, channels, 2, 2)).copy()
        images += np.arange(channels, dtype=np.uint8)[None, :, None, None]
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    return arrays


def write_levels_weights(
    path: Path, mean: tuple[float, ...], std: tuple[float, ...], *, channels: int = 3, **beside: Any
) -> Path:
    """Writes an `mlp` as others publish it, without its normalisation: right only where pixels get this one first.

    It answers with the class whose normalised brightness is nearest. `beside` is kept with the state dict.
    """
    import torch

    from rsuq_cli.models.small import MLP

    network = MLP((channels, 2, 2), len(LEVELS))
    means, deviations = np.asarray(mean), np.asarray(std)
    centres = torch.tensor([float(np.mean((level - means) / deviations)) for level in LEVELS])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.fc1.weight[0] = 1 / (4 * channels)
        network.fc1.bias[0] = 50.0  # above 0 whatever the pixels are, so that the ReLU lets it pass
        network.fc2.weight[0, 0] = 1.0
        gap = float(centres[1] - centres[0])
        network.fc.weight[:, 0] = 12 * centres / gap**2
        network.fc.bias.copy_(-(6 * centres.square() + 12 * 50.0 * centres) / gap**2)
    published = {f"1.module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"arch": "mlp", "state_dict": published, **beside}, path)
    return path
