"""The quickstart's settings: a small network on the embedded digits, sigma = 0.25, entropy at coverage 0.9."""

from __future__ import annotations

from pathlib import Path

from rsuq_cli.datasets.names import without
from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.jobs.train import TrainRequest, train_run
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.writer import newest_checkpoint
from rsuq_cli.run.request import CertifyRequest, Sources
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.device import resolve_device
from rsuq_cli.spelling import path_of

MODEL, DATASET, SIGMA = "cnn", "digits", 0.25
MEASURES = ("entropy", "margin")
# Two digits that a second network never sees stand for inputs that are near; it needs fewer epochs to show how.
HELD_OUT, HELD_OUT_EPOCHS = "8,9", 20
OOD_SETS = ("held-out", "noise:smooth", "photo-patches")
OOD_INPUTS, OOD_SAMPLES = 100, 500


def trained(device: str, database: str | Path | None, watcher: Watcher) -> None:
    """Trains the quickstart's network, unless a checkpoint of it is there."""
    _train(DATASET, None, device, database, watcher)


def trained_without_classes(device: str, database: str | Path | None, watcher: Watcher) -> None:
    """Trains the network that two digits are held out of, unless a checkpoint of it is there."""
    _train(without(DATASET, HELD_OUT), HELD_OUT_EPOCHS, device, database, watcher)


def certify_request(n: int, limit: int | None, device: str) -> CertifyRequest:
    """Returns the quickstart's certify run."""
    return CertifyRequest(
        Sources(MODEL, DATASET, device=device), SIGMA, n=n, limit=limit, measures=MEASURES, coverages=(0.9,)
    )


def ood_request(n: int, limit: int | None, device: str) -> OodRequest:
    """Returns the quickstart's out-of-distribution run: one near set and two far ones, on fewer inputs and samples."""
    certify = CertifyRequest(
        Sources(MODEL, without(DATASET, HELD_OUT), device=device), SIGMA, n=min(n, OOD_SAMPLES),
        limit=min(limit or OOD_INPUTS, OOD_INPUTS),
    )  # fmt: skip
    return OodRequest(certify, OOD_SETS, radii=(0.0, SIGMA / 2, SIGMA))


def _train(dataset: str, epochs: int | None, device: str, database: str | Path | None, watcher: Watcher) -> None:
    resolve_device(device)  # before the database is made
    with open_for_writing(database) as db:
        known = newest_checkpoint(db, MODEL, dataset, SIGMA)
    if known is None or not path_of(known.file).exists():
        train_run(TrainRequest(Sources(MODEL, dataset, device=device), SIGMA, epochs=epochs), database, watcher)
