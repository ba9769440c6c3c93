"""The quickstart's settings: a small network on the embedded digits, sigma = 0.25, entropy at coverage 0.9."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rsuq_cli.datasets.names import without
from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.jobs.training.request import TrainRequest
from rsuq_cli.jobs.training.run import train_run
from rsuq_cli.run.request import CertifyRequest, Machine, Sources
from rsuq_cli.run.watcher import Watcher

MODEL, DATASET, SIGMA = "cnn", "digits", 0.25
MEASURES = ("entropy", "margin")
# Two digits that a second network never sees stand for inputs that are near; it needs fewer epochs to show how.
HELD_OUT, HELD_OUT_EPOCHS = "8,9", 20
OOD_SETS = ("held-out", "noise:smooth", "photo-patches")
OOD_INPUTS, OOD_SAMPLES = 100, 500


def trained(device: str, database: str | Path | None, watcher: Watcher) -> int:
    """Trains the quickstart's network, unless that has been done, and returns the number of its checkpoint."""
    request = TrainRequest(Sources(MODEL, DATASET), SIGMA, machine=Machine(device))
    return train_run(request, database, watcher).checkpoint_id


def trained_without_classes(device: str, database: str | Path | None, watcher: Watcher) -> int:
    """Trains the network that two digits are held out of, unless that has been done, and returns its checkpoint."""
    sources = Sources(MODEL, without(DATASET, HELD_OUT))
    request = TrainRequest(sources, SIGMA, epochs=HELD_OUT_EPOCHS, machine=Machine(device))
    return train_run(request, database, watcher).checkpoint_id


def certify_request(n: int, limit: int | None, device: str) -> CertifyRequest:
    """Returns the quickstart's certify run."""
    return CertifyRequest(
        Sources(MODEL, DATASET), SIGMA, n=n, limit=limit, measures=MEASURES, coverages=(0.9,), machine=Machine(device)
    )


def ood_request(n: int, limit: int | None, device: str) -> OodRequest:
    """Returns the quickstart's out-of-distribution run: one near set and two far ones, on fewer inputs and samples."""
    certify = CertifyRequest(
        Sources(MODEL, without(DATASET, HELD_OUT)), SIGMA, n=min(n, OOD_SAMPLES),
        limit=min(limit or OOD_INPUTS, OOD_INPUTS), machine=Machine(device),
    )  # fmt: skip
    return OodRequest(certify, OOD_SETS, radii=(0.0, SIGMA / 2, SIGMA))


def of_checkpoint(request: CertifyRequest, checkpoint: int) -> CertifyRequest:
    """Returns the request for a checkpoint, whatever else was trained for the same model and data."""
    return replace(request, sources=replace(request.sources, checkpoint=str(checkpoint)))
