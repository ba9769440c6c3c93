"""The in-distribution side of an out-of-distribution run, taken from a finished certify run.

Invariant: evidence is taken over only where sampling anew would give the same bits: same model, data, noise and
machinery. Everything that could differ is compared before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.datasets.dataset import Split
from rsuq_cli.datasets.subset import spread
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.models.custom import is_custom
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.statistics import NONE
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import EvidenceRow, RunRow
from rsuq_cli.results.runs import run_row
from rsuq_cli.results.tables import Checkpoint, table_of
from rsuq_cli.results.writer import load_edges, load_evidence
from rsuq_cli.run.configuration import DENOISER_CONTENT, DROPOUT_RATES, MEMBERS_SOURCE, NOISE_GENERATOR
from rsuq_cli.run.data import data_of
from rsuq_cli.run.edges import bins_of, check_counted
from rsuq_cli.run.network.recorded_normalisation import normalisation_of, same_normalisation
from rsuq_cli.run.record import denoiser_of, members_of, monte_carlo_of, rejecter_of
from rsuq_cli.run.sources import Opened
from rsuq_cli.run.stored import factory_file, has_own_weights
from rsuq_cli.spelling import path_of
from rsuq_cli.uncertainty.measures import check_known
from rsuq_cli.uncertainty.predictor import PREDICTOR, Predictor, predictor_of

_SAME = (
    *("model", "weights_sha256", "source_sha256", "dataset", "split", "sigma", "n0", "n", "seed"),
    *("noise", "noise_block", NOISE_GENERATOR, "device", "precision", "preparation", PREDICTOR, DROPOUT_RATES),
    *(MEMBERS_SOURCE, DENOISER_CONTENT),
)


@dataclass(frozen=True, eq=False)
class Reused:
    """A finished certify run, those of its inputs that are compared, their evidence, and its bins."""

    run: RunRow
    split: Split
    evidence: Mapping[int, EvidenceRow]
    edges: dict[str, MeasureEdges]

    def rows(self) -> list[EvidenceRow]:
        """Returns the evidence under the positions of the new run, whose first inputs these are."""
        return [
            replace(self.evidence[int(index)], input_index=position)
            for position, index in enumerate(self.split.indices)
        ]

    def check(self, configuration: Mapping[str, Any]) -> None:
        """Raises BadInput where the new run would sample the same inputs differently."""
        if "stopping" in self.run.configuration:  # bounds of a fixed n do not hold for its samples
            raise BadInput(
                f"run {self.run.id} stopped its inputs as soon as they were decided",
                "leave --run out, and the in-distribution side is sampled anew",
            )
        if not same_normalisation(configuration, self.run.configuration):
            raise BadInput(
                f"run {self.run.id} was made with another normalisation",
                "leave --run out, and the in-distribution side is sampled anew",
            )
        for name in _SAME:
            before, now = self.run.configuration.get(name), configuration.get(name)
            if before != now:
                raise BadInput(
                    f"run {self.run.id} was made with another {name}: {_short(before)}, not {_short(now)}",
                    "leave --run out, and the in-distribution side is sampled anew",
                )


def settings_of_run(db: Database, run_id: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a finished certify run by their names; `given` are those that the user sets too.

    Raises BadInput where there is no such run, it is not finished, or one of `given` is another than the run's.
    """
    run = run_row(db, run_id)
    if run.kind != "certify":
        raise BadInput(f"run {run_id} is no certify run but {run.kind}", "rsuq runs lists them")
    if run.status != "complete":
        raise BadInput(f"run {run_id} is not finished", "the same rsuq certify command goes on")
    dataset, image_size = data_of(run)
    settings: dict[str, Any] = {
        "model": run.model, "dataset": dataset, "sigma": run.sigma, "n0": run.n0, "n": run.n, "seed": run.seed,
        "split": run.split, "precision": run.precision,
    }  # fmt: skip
    for name, value in settings.items():
        if name in given and given[name] != value:
            raise BadInput(f"run {run_id} has {name} = {value}, not {given[name]}", f"leave --{name} out")
    settings["factory_file"] = factory_file(run)
    settings["predictor"] = _same_predictor(run, given)
    settings["members"] = members_of(run.configuration)
    settings["denoiser"] = denoiser_of(run.configuration)
    settings["monte_carlo"] = monte_carlo_of(run)
    settings["rejecter"] = rejecter_of(run.configuration)
    settings["weights"] = given.get("weights") or _weights(db, run)
    settings["assumed"] = normalisation_of(run.configuration) or NONE
    settings["recorded_classes"] = None if run.class_names is None else tuple(run.class_names)
    # A factory's own weights, even where a checkpoint was trained since.
    settings["pretrained"] = is_library(run.model) and settings["weights"] is None
    settings["untrained"] = is_custom(run.model) and settings["weights"] is None
    if image_size is not None:
        settings["image_size"] = image_size
    return settings


def reused_evidence(db: Database, request: OodRequest, opened: Opened) -> Reused:
    """Returns the evidence of the run that is asked for, at most `--limit` inputs, spread evenly.

    Raises BadInput where its bins lack a threshold, or the data have changed since.
    """
    assert request.run is not None
    run = run_row(db, request.run)
    evidence = {row.input_index: row for row in load_evidence(db, run.id)}
    edges = bins_of(load_edges(db, run.id))
    check_counted(run.id, edges, request.certify.measures)
    check_known(run.id, edges)
    threshold = request.certify.threshold
    for measure in request.certify.measures:
        if threshold is not None and not edges[measure].has(threshold):
            raise BadInput(
                f"run {run.id} has no counts of {measure} at {threshold:g}",
                "give --coverage, whose thresholds it has, or leave --run out",
            )
    indices = np.array(sorted(evidence), dtype=np.int64)
    if opened.dataset.load(run.split, indices).sha256() != run.subset_sha256:  # type: ignore[arg-type]
        raise BadInput(f"the data of run {run.id} have changed since", "leave --run out, and they are sampled anew")
    chosen = spread(indices, request.certify.limit)
    return Reused(run, opened.dataset.load(run.split, chosen), evidence, edges)  # type: ignore[arg-type]


def _same_predictor(run: RunRow, given: Mapping[str, Any]) -> Predictor:
    """Returns the run's predictor; raises BadInput where `given` names another."""
    predictor = predictor_of(run.configuration)
    for name in ("views", "decide"):
        if name in given and given[name] != getattr(predictor, name):
            raise BadInput(f"run {run.id} has {name} = {getattr(predictor, name)}, not {given[name]}",
                           f"leave --{name} out")  # fmt: skip
    return predictor


def _weights(db: Database, run: RunRow) -> Path | None:
    if run.checkpoint_id is not None:
        checkpoint = table_of(Checkpoint)
        with db.read() as connection:
            wanted = checkpoint.select().where(checkpoint.c.id == run.checkpoint_id)
            return path_of(connection.execute(wanted).mappings().one()["file"])
    # Without a weights file the source of a factory is its own file, or its name.
    return None if has_own_weights(run) else path_of(str(run.source))


def _short(value: Any) -> str:
    return str(value)[:16]
