"""Predict: the answer of the deployed, smoothed, uncertainty-aware classifier on images of one's own.

Invariant: an image is sampled by the engine that certifies, with the same settings; so an image that is in the data set
gets the noise of its position there, and the very answer that certify gives it. Any other image gets noise keyed by its
pixels: the same image has the same answer everywhere, and two images independent errors. Nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rsuq_cli.auditing.judge import claimed_mass
from rsuq_cli.certificates.certificate import NOBODY
from rsuq_cli.certificates.evidence import MeasureEdges, float32_floor
from rsuq_cli.certificates.method import Method
from rsuq_cli.certificates.repeated import certain_again
from rsuq_cli.certificates.stopping import Stopping
from rsuq_cli.datasets.contents import content_index
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.single_image import position_in, read_image
from rsuq_cli.errors import BadInput
from rsuq_cli.models.custom import is_custom
from rsuq_cli.models.loading import LoadedModel
from rsuq_cli.models.members import dropout_rates
from rsuq_cli.readings.pages import LabelledEvidence
from rsuq_cli.readings.scoring import Decider, Scored, sample_rows
from rsuq_cli.results.database import open_for_reading
from rsuq_cli.results.location import locate
from rsuq_cli.results.rows import RunRow, SampleRow
from rsuq_cli.results.runs import list_runs
from rsuq_cli.results.selection import Selection, chosen_scorings
from rsuq_cli.results.writer import load_edges
from rsuq_cli.run.configuration import (
    CALIBRATION_IMAGES,
    DENOISER_CONTENT,
    DROPOUT_RATES,
    MEMBERS_SOURCE,
    recorded_fingerprint,
    without,
)
from rsuq_cli.run.edges import bins_of, run_edges, serves
from rsuq_cli.run.network.recorded_normalisation import NORMALISATION, recorded, same_normalisation
from rsuq_cli.run.ready import Inputs, open_request
from rsuq_cli.run.record import CALIBRATION, calibration_sha256, members_source
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.sampler import Sampling, check_eight_bit, edges_at
from rsuq_cli.run.sources import Opened
from rsuq_cli.run.stored import certify_run_row, reopen
from rsuq_cli.run.unanswered import check_answers
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.device import resolve_device
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.grid_noise import sampling_error
from rsuq_cli.sampling.workers import Solo
from rsuq_cli.spelling import spelled
from rsuq_cli.uncertainty.predictor import PREDICTOR
from rsuq_cli.uncertainty.thresholds import chosen_thresholds


@dataclass(frozen=True)
class FromRun:
    """The settings of a certify run, read as one of its scorings (the first unless named), where its files are now."""

    run_id: int
    scoring_id: int | None = None
    weights: Path | None = None
    data_dir: Path | None = None
    device: str | None = None


@dataclass(frozen=True)
class PredictRequest:
    """Images to answer, and the settings: of a run, or those of a certify command with one measure and threshold.

    `index` is the input of the data set whose noise is used, None for the image's own.
    """

    images: tuple[Path, ...]
    settings: FromRun | CertifyRequest
    index: int | None = None
    resize: bool = False

    def __post_init__(self) -> None:
        if self.index is not None and not 0 <= self.index < 2**31:
            raise BadInput(f"--index is {self.index}", "give the position of an input in its data set")
        if self.index is not None and len(self.images) > 1:
            raise BadInput(f"one --index for {len(self.images)} images", "give one image, or leave --index out")
        if isinstance(self.settings, CertifyRequest):
            readings = len(self.settings.measures) * max(1, len(self.settings.wanted_coverages))
            if readings > 1:
                raise BadInput("an answer has one threshold of one measure", "give --uncertainty and --coverage once")


@dataclass(frozen=True)
class Prediction:
    """The answer to one image. `in_dataset` says that its noise is that of this input of the data set."""

    file: str
    index: int
    in_dataset: bool
    class_name: str
    row: SampleRow
    smoothed: Smoothed

    @property
    def certain_again(self) -> float | None:
        """The least probability that fresh samples answer the class with certainty, given that the certificate holds.

        None where the answer is not certain, and where it is not known (`certificates.repeated`).
        """
        if self.row.decision != "certain":
            return None
        method, smoothed = self.smoothed.method, self.smoothed
        return certain_again(method, smoothed.n0, smoothed.n, claimed_mass(self.row.radius_cc, method.sigma))


@dataclass(frozen=True)
class Smoothed:
    """A smoothed classifier as it was certified, and the data set that it was certified on.

    `decider` says when an image needs no more samples; None where it gets all n.
    """

    dataset: Dataset
    model: LoadedModel
    sampling: Sampling
    split: str
    n0: int
    n: int
    measure: str
    threshold: float
    method: Method
    run_id: int | None
    decider: Decider | None = None


def predict_run(request: PredictRequest, database: str | Path | None, watcher: Watcher) -> list[Prediction]:
    """Returns the answers in the order of the images.

    Raises BadInput for an image that cannot be read or has another shape, and for settings that cannot be had.
    """
    if isinstance(request.settings, FromRun):
        smoothed, engine = _of_run(request.settings, database, watcher)
    else:
        smoothed, engine = _of_settings(request.settings, database, watcher)
    images = [
        read_image(path, smoothed.dataset.shape, resize=request.resize, tell=watcher.say) for path in request.images
    ]
    if smoothed.sampling.noise == "grid":
        for path, image in zip(request.images, images, strict=True):
            check_eight_bit(image, str(path))
    answers = []
    watcher.begin("predict", len(images) * (smoothed.n0 + smoothed.n))
    try:
        for path, image in zip(request.images, images, strict=True):
            check_answers(engine, image[None], [content_index(image)])
            answers.append(_answer(path, image, request.index, smoothed, engine))
            watcher.advance(smoothed.n0 + smoothed.n)
    finally:
        watcher.end()
    for notice in engine.notices:
        watcher.say(notice)
    return answers


def _answer(path: Path, image: torch.Tensor, given: int | None, smoothed: Smoothed, engine: Engine) -> Prediction:
    found = given if given is not None else position_in(smoothed.dataset, smoothed.split, image)
    index = found if found is not None else content_index(image)
    decider = smoothed.decider
    edges = decider.edges if decider else edges_at(smoothed.measure, smoothed.threshold)
    sampled = Solo(engine).sample(image[None], [index], edges, n0=smoothed.n0, n=smoothed.n, decider=decider)
    (counted,) = [one for part in sampled for one in part]
    scored = Scored(0, smoothed.measure, smoothed.threshold, smoothed.method)
    (row,) = sample_rows([LabelledEvidence(index, 0, counted.read({smoothed.measure}))], [scored], edges)
    name = "none" if row.class_index == NOBODY else smoothed.dataset.class_names[row.class_index]
    return Prediction(spelled(path), index, found is not None, name, row, smoothed)


def _of_run(settings: FromRun, database: str | Path | None, watcher: Watcher) -> tuple[Smoothed, Engine]:
    with open_for_reading(database) as db:
        run = certify_run_row(db, settings.run_id)
        edges = bins_of(load_edges(db, run.id))
        with db.read() as connection:
            of_this = [dict(row) for row in chosen_scorings(connection, Selection(runs=(run.id,)))]
    scoring = _chosen(of_this, settings)
    watcher.say(f"run {run.id}: {run.model} on {run.dataset}, {scoring['measure']} at {scoring['threshold']:.4g}")
    opened = reopen(run, watcher, weights=settings.weights, data_dir=settings.data_dir, device=settings.device)
    scored = _scored(run, scoring)
    smoothed = Smoothed(
        opened.dataset, opened.model, opened.sampling, run.split, run.n0, run.n, scored.measure,
        float32_floor(scored.threshold), scored.method, run.id, _decider(run, of_this, edges),
    )  # fmt: skip
    return smoothed, opened.engine()


def _scored(run: RunRow, scoring: Mapping[str, Any]) -> Scored:
    method = Method.of_scoring(run.sigma, scoring, run.configuration)
    return Scored(scoring["scoring_id"], scoring["measure"], scoring["threshold"], method)


def _decider(run: RunRow, scorings: Sequence[Mapping[str, Any]], edges: Mapping[str, MeasureEdges]) -> Decider | None:
    """Returns the run's stopping rule: it asks whether the readings that the run was begun with are decided."""
    rule = run.configuration.get("stopping")
    if rule is None:
        return None
    deciding = [
        _scored(run, scoring)
        for scoring in scorings
        if all(scoring[name] == rule[name] for name in ("rule", "competitors", "alpha", "family_size"))
        and scoring["bounds_version"] == rule.get("bounds_version", 1)
        and scoring["measure"] in rule["measures"]
        and (
            scoring["threshold"] == rule["threshold"]
            if rule["threshold"] is not None
            else scoring["threshold_coverage"] in rule["coverages"]
        )
    ]
    stopping = Stopping(run.n, tuple(rule["guarantees"]), rule["at_radius"], rule["tolerance"])
    return Decider(stopping, tuple(deciding), edges)


def _chosen(of_run: Sequence[Mapping[str, Any]], settings: FromRun) -> Mapping[str, Any]:
    known = {scoring["scoring_id"]: scoring for scoring in of_run if scoring["threshold"] is not None}
    if not known:
        raise BadInput(f"run {settings.run_id} has no scoring with a threshold", "rsuq certify makes one")
    chosen = min(known) if settings.scoring_id is None else settings.scoring_id
    if chosen not in known:
        raise BadInput(f"run {settings.run_id} has no scoring {chosen}", f"it has {', '.join(map(str, sorted(known)))}")
    return known[chosen]


def _of_settings(request: CertifyRequest, database: str | Path | None, watcher: Watcher) -> tuple[Smoothed, Engine]:
    resolve_device(request.machine.device)  # images are answered on one
    ready = open_request(request, database, watcher, lambda opened: Inputs())
    opened, engine = ready.opened, ready.engine
    method = request.method
    if request.noise == "grid":
        error = sampling_error(request.sigma, math.prod(opened.dataset.shape), request.n0 + request.n)
        method = method._replace(sampling_error=error)
    (measure,) = request.measures
    threshold = request.threshold
    if threshold is None:
        edges = _known_edges(request, opened, ready.sampling, database)
        if edges is None:
            edges = run_edges(request, opened.dataset, engine, [], watcher).edges
        (chosen,) = chosen_thresholds(edges, request.measures, threshold=None, coverages=request.wanted_coverages)
        threshold = chosen.value
    smoothed = Smoothed(
        opened.dataset, opened.model, ready.sampling, request.split, request.n0, request.n, measure,
        float32_floor(threshold), method, None,
    )  # fmt: skip
    return smoothed, engine


def _known_edges(
    request: CertifyRequest, opened: Opened, sampling: Sampling, database: str | Path | None
) -> Mapping[str, MeasureEdges] | None:
    """Returns the bins of the newest run of this smoothed classifier that has the threshold asked for.

    What certify calibrated is taken over, not calibrated again: it is quicker, and the answers agree.
    """
    path = locate(database).path
    if path is not None and not path.exists():
        return None
    same = {
        "model": opened.model.spec, "weights_sha256": opened.model.weights_sha256,
        "source_sha256": opened.model.source_sha256, CALIBRATION: calibration_sha256(opened.dataset),
        CALIBRATION_IMAGES: opened.dataset.load("calibration").sha256(), "dataset": opened.dataset_name,
        "sigma": request.sigma, "seed": request.seed, "noise": request.noise, "device": sampling.device.type,
        "precision": sampling.precision,
        DENOISER_CONTENT: (opened.denoiser and opened.denoiser.content_sha256) or None,
        PREDICTOR: request.predictor.recorded().get(PREDICTOR),
        DROPOUT_RATES: dropout_rates(opened.model.module) or None,
        MEMBERS_SOURCE: members_source(opened.others) or None,
    } | recorded(opened.model.normalisation)  # fmt: skip
    with open_for_reading(database) as db:
        for run in reversed(list_runs(db)):
            if run.kind == "certify" and _is_of(run, opened, same):
                edges = bins_of(load_edges(db, run.id))
                if serves(edges, request):
                    return edges
    return None


def _is_of(run: RunRow, opened: Opened, same: Mapping[str, Any]) -> bool:
    """Returns whether a run has these settings, and its network gave the answers of the one that is open."""
    if not same_normalisation(run.configuration, same):
        return False
    compared = without(same, NORMALISATION, CALIBRATION_IMAGES)
    if any(run.configuration.get(name) != value for name, value in compared.items()):
        return False
    if run.configuration.get(CALIBRATION_IMAGES, same[CALIBRATION_IMAGES]) != same[CALIBRATION_IMAGES]:
        return False  # it says nothing where it is from before they were recorded
    known = recorded_fingerprint(run.configuration)
    return not is_custom(run.model) if known is None else known.agrees(opened.fingerprint)
