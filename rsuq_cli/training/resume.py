"""The state of an unfinished training run, kept after every epoch.

Invariant: a state file is whole, is read without running code, and is used only for the run that wrote it: same
settings, data and network.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rsuq_cli.datasets.dataset import Split
from rsuq_cli.models.checkpoints import write_atomically
from rsuq_cli.training.settings import TrainSettings


@dataclass(frozen=True)
class EpochRecord:
    """One finished epoch, counted from 1: mean training loss, accuracies in [0, 1], and its wall-clock seconds.

    `soft_acr` (pixel units) is the average radius that a few noises promise, None where it was not measured.
    """

    epoch: int
    loss: float
    accuracy_clean: float
    accuracy_noisy: float
    seconds: float
    soft_acr: float | None = None


@dataclass(frozen=True)
class ResumeState:
    """What a run needs to go on after its last finished epoch. No random state: that follows from seed and epoch.

    `fingerprint` is the hash of what must be equal for it, `computed` the fingerprint of the network before its first
    epoch, None for one whose code does not change. `memory` is what the objective keeps from step to step,
    `average` the averaged weights where there are any.
    """

    fingerprint: str
    model: dict[str, Any]
    optimizer: dict[str, Any]
    history: tuple[EpochRecord, ...]
    computed: list[list[float | None]] | None = None
    memory: dict[str, Any] | None = None
    average: dict[str, Any] | None = None


def fingerprint(settings: TrainSettings, model: nn.Module, train: Split, evaluation: Split) -> str:
    """Returns the hex sha256 of everything that must be equal for a run to be continued."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    what = [settings.recorded(), shapes, train.sha256(), evaluation.sha256()]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def save_state(path: Path, state: ResumeState) -> None:
    """Writes the state atomically; raises BadInput where the folder cannot be written or the disk is full."""
    # Through memory, since torch's own writer turns a full disk into an error that does not say so.
    buffer = io.BytesIO()
    torch.save({**vars(state), "history": [asdict(record) for record in state.history]}, buffer)
    write_atomically(path, buffer.getvalue())


def load_state(path: Path) -> ResumeState | None:
    """Returns the state in a file; None where it is damaged or none of ours."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        history = tuple(EpochRecord(**record) for record in content.pop("history"))
        return ResumeState(**content, history=history)
    except Exception:  # torch raises a dozen kinds for a damaged file
        return None
