"""A stored run, opened again: its model and its inputs, known to be the ones that were certified.

Invariant: what is returned has the hashes, and gives the answers, that the run recorded; anything else is refused,
since a certificate is about one function on given inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsuq_cli.datasets.dataset import Dataset, Split
from rsuq_cli.errors import BadInput
from rsuq_cli.models.custom import is_custom
from rsuq_cli.models.denoised import LoadedDenoiser, behind, open_denoiser
from rsuq_cli.models.fingerprint import fingerprint_of
from rsuq_cli.models.loading import LoadedModel, open_model
from rsuq_cli.models.members import dropout_rates, joined, opened_members, under_dropout
from rsuq_cli.models.parts import located
from rsuq_cli.models.spec import is_library
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.runs import run_row
from rsuq_cli.run.configuration import DENOISER_CONTENT, DROPOUT_RATES, FACTORY_FILE, MEMBERS_SOURCE, NOISE_GENERATOR
from rsuq_cli.run.data import inputs_of, open_data_of
from rsuq_cli.run.network.recognition import check_same_network
from rsuq_cli.run.network.recorded_normalisation import normalisation_of
from rsuq_cli.run.record import denoiser_of, members_of, members_source, monte_carlo_of, rejecter_of
from rsuq_cli.run.rejecter import read_rejecter, without_fitted
from rsuq_cli.run.sampler import Sampling, open_engine
from rsuq_cli.run.unseen import unseen_calibration
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.device import check_precision, resolve_device
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.forward import Preparation
from rsuq_cli.spelling import path_of
from rsuq_cli.uncertainty.predictor import predictor_of


@dataclass(frozen=True)
class Reopened:
    """A certify run with its data set and model; `sampling` is how it was sampled, on a device that is here."""

    run: RunRow
    dataset: Dataset
    model: LoadedModel
    sampling: Sampling

    @property
    def on_grid(self) -> bool:
        """Whether the guarantees are about 8-bit inputs only."""
        return self.sampling.noise == "grid"

    def engine(self, *, seed: int | None = None) -> Engine:
        """Returns an engine that samples as the run did, or with noise of another seed."""
        sampling = self.sampling if seed is None else self.sampling._replace(seed=seed)
        return open_engine(self.model, self.dataset, sampling)

    def subset(self) -> Split:
        """Returns the run's inputs; raises BadInput where they are not what they were."""
        return inputs_of(self.run, self.dataset)


def certify_run_row(db: Database, run_id: int) -> RunRow:
    """Returns a certify run that has evidence; raises BadInput for any other."""
    run = run_row(db, run_id)
    if run.kind != "certify":
        raise BadInput(f"run {run_id} has no evidence: it is of the kind {run.kind}", "name a run of rsuq certify")
    if not run.finished:
        raise BadInput(f"run {run_id} has no evidence yet", "the rsuq certify command that began it goes on")
    return run


def reopen(
    run: RunRow, watcher: Watcher, *, weights: Path | None = None, data_dir: Path | None = None,
    device: str | None = None, batch_size: int | None = None,
) -> Reopened:  # fmt: skip
    """Returns the run's data set and model, on the device it ran on unless another is named.

    `weights` says where the weights file is now. Raises BadInput where something is not there, or has changed.
    """
    configuration = run.configuration
    place = resolve_device(run.device if device is None else device)
    dataset = open_data_of(run, data_dir)
    file = weights or _weights_file(run)
    if file and not located(file).file.exists():
        where = "" if file.is_absolute() else ", as seen from the folder it was certified in"
        raise BadInput(f"the weights of run {run.id} are recorded at {file}{where}: not there", "give --weights")
    mean, std = normalisation_of(configuration) or (None, None)
    model = open_model(
        run.model, shape=dataset.shape, num_classes=dataset.num_classes, weights=file, mean=mean, std=std,
        file=factory_file(run),
    )  # fmt: skip
    others = opened_members(
        members_of(configuration), shape=dataset.shape, num_classes=dataset.num_classes,
        normalisation=normalisation_of(configuration),
    )  # fmt: skip
    denoiser = _denoiser_of(run, dataset)
    if run.split == "calibration":  # its images are those that training did not see
        seen = [one.metadata for one in (model, *others)] + ([dict(denoiser.metadata)] if denoiser else [])
        for position, metadata in enumerate(seen):
            dataset = unseen_calibration(dataset, run.dataset, metadata, "", seen[:position]).dataset
    recorded = rejecter_of(configuration)
    rejecter = None if recorded is None else read_rejecter(recorded)
    if rejecter and run.split == "calibration":
        dataset = without_fitted(dataset, rejecter.fitted).dataset
    _check_unchanged(run, model)
    model = behind(joined(model, others), denoiser)
    check_same_network(run, fingerprint_of(model.module, dataset.shape), watcher)
    model = under_dropout(model, monte_carlo_of(run), dataset.shape)
    if members_source(others) != configuration.get(MEMBERS_SOURCE, []):
        raise BadInput(f"the file of a member is not that of run {run.id}", "bring it back, or certify anew")
    if dropout_rates(model.module) != configuration.get(DROPOUT_RATES, []):
        raise BadInput(f"{run.model} has other dropout layers than in run {run.id}", "bring them back, or certify anew")
    # What was compiled, and what ran on a GPU, was certified in batches of one size, for which a CPU may have no room.
    if was_compiled(configuration) or place.type != "cpu":
        batch_size = configuration.get("batch_size", batch_size)
    sampling = Sampling(
        run.sigma, run.seed, str(configuration.get("noise", "gaussian")), place,
        check_precision(run.precision, place), batch_size, was_compiled(configuration), preparation_of(configuration),
        predictor_of(configuration), configuration.get(NOISE_GENERATOR),
        rejecter.computes if rejecter else None,
    )  # fmt: skip
    return Reopened(run, dataset, model, sampling)


def _denoiser_of(run: RunRow, dataset: Dataset) -> LoadedDenoiser | None:
    wanted = denoiser_of(run.configuration)
    if wanted is None:
        return None
    found = open_denoiser(wanted, dataset.shape)
    if found.content_sha256 != run.configuration.get(DENOISER_CONTENT, ""):
        raise BadInput(
            f"the denoiser {wanted.spec} has other weights than in run {run.id}", "bring them back, or certify anew"
        )
    return found


def factory_file(run: RunRow) -> Path | None:
    """Returns where the source of the run's own network was, as far as the run says."""
    recorded = run.configuration.get(FACTORY_FILE)
    if recorded is None and is_custom(run.model) and (run.source or "").endswith(".py"):
        recorded = run.source  # before it was recorded by itself
    return None if recorded is None else path_of(recorded)


def has_own_weights(run: RunRow) -> bool:
    """Returns whether the run's weights were no file's: a factory made them, or a library publishes them."""
    if run.source is None or (is_library(run.model) and run.source == run.model):
        return True
    return is_custom(run.model) and (run.source == run.model or run.source.endswith(".py"))


def _weights_file(run: RunRow) -> Path | None:
    """Returns where the run's weights were; None for the weights that a factory makes by itself."""
    if has_own_weights(run):
        return None
    assert run.source is not None
    return path_of(run.source)


def _check_unchanged(run: RunRow, model: LoadedModel) -> None:
    for what, key, found in (
        ("weights", "weights_sha256", model.weights_sha256),
        ("source", "source_sha256", model.source_sha256),
    ):
        recorded = str(run.configuration.get(key, ""))
        if found != recorded:
            raise BadInput(
                f"the {what} of {run.model} are not those of run {run.id}: "
                f"sha256 {found[:12] or 'none'}, recorded {recorded[:12] or 'none'}",
                "give --weights with the old file, or certify the new one",
            )


def preparation_of(configuration: Mapping[str, Any]) -> Preparation | None:
    """Returns what was done to the model of a run for speed, None where that was not recorded."""
    stored = configuration.get("preparation")
    if not stored:
        return None
    return Preparation(bool(stored.get("folded", False)), bool(stored.get("channels_last", False)))


def was_compiled(configuration: Mapping[str, Any]) -> bool:
    """Returns whether a run sampled through the compiler."""
    preparation = configuration.get("preparation") or {}
    return bool(preparation.get("compiled", False))
