"""What a training is asked for, and what comes of it. Invariant: nothing here is read from a file or a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rsuq_cli.models.denoiser import check_name
from rsuq_cli.results.names import NO_LABELS, Labels
from rsuq_cli.run.request import ANY_MACHINE, Machine, Sources, check_sigma
from rsuq_cli.training.objectives.base import Value


@dataclass(frozen=True)
class TrainRequest:
    """One training; None stands for what suits the model, `parameters` are of the objective.

    `init` is the checkpoint, by number or name, or the file whose weights it begins with. With `classifier`, a
    checkpoint, file or model, the model of the sources is a denoiser in front of it. `frozen_body` trains the last
    layer alone. Raises BadInput for a sigma out of its range, and for no denoiser before a classifier.
    """

    sources: Sources
    sigma: float
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: str = "one-cycle"
    objective: str = "gaussian"
    parameters: Mapping[str, Value] = field(default_factory=dict)
    init: str | None = None
    ema: float = 0.0
    seed: int = 0
    checkpoint_dir: Path | None = None
    fresh: bool = False
    labels: Labels = NO_LABELS
    machine: Machine = ANY_MACHINE
    classifier: str | None = None
    frozen_body: bool = False

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        if self.classifier is not None:
            check_name(self.sources.model)


@dataclass(frozen=True)
class TrainOutcome:
    """A recorded checkpoint; accuracies in [0, 1] on the calibration split, None where one that is shown has none."""

    checkpoint_id: int
    model: str
    dataset: str
    sigma: float
    objective: str
    epochs: int
    accuracy_clean: float | None
    accuracy_noisy: float | None
    seconds: float | None
    file: str
    sha256: str
