"""Fit a rejecter to what a network says of noisy calibration images, and keep it among the checkpoints.

Invariant: the images that it is fitted on are one half of those that no network was trained on, and the file names
them: the other half is what calibrates thresholds. The row is in the database once the file is whole.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.datasets.dataset import Dataset, Split
from rsuq_cli.datasets.splits import stratified_sample
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.rejecter.request import RejecterRequest
from rsuq_cli.jobs.training.ready import default_checkpoint_dir
from rsuq_cli.models.checkpoints import checkpoint_file_name, write_atomically
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.names import REJECTER
from rsuq_cli.results.rows import NewCheckpoint
from rsuq_cli.results.writer import record_checkpoint
from rsuq_cli.run.labels import give_labels
from rsuq_cli.run.ready import Inputs, Part, Ready, open_request
from rsuq_cli.run.rejecter import FittedRejecter, asked_for
from rsuq_cli.run.sources import Opened
from rsuq_cli.run.unseen import FEWEST
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.training.rejecter.fit import Fit, fitted
from rsuq_cli.training.rejecter.temperature import fitted_temperatures
from rsuq_cli.training.rejecter.worth import Draws, Floats, Outcome, outcome
from rsuq_cli.uncertainty.forms import Outputs, form_of
from rsuq_cli.uncertainty.rejecter import features
from rsuq_cli.uncertainty.scores import is_answer

# Noisy copies that a fit takes: more change what it finds by less than other images would.
SAMPLES = 16_000
_FEWEST_DRAWS = 16
_SEED = 60452


@dataclass(frozen=True)
class FitOutcome:
    """The rejecter as a checkpoint, the price that was chosen, and what it is expected to gain and cost at the
    coverage, beside the measures that need no fit, on the same draws.
    """

    rejecter_id: int
    file: str
    model: str
    dataset: str
    sigma: float
    images: int
    draws: int
    kind: str
    coverage: float
    max_cc_cost: float
    price: float
    affordable: bool
    expected: Outcome
    beside: Mapping[str, Outcome]


def fit_rejecter(request: RejecterRequest, database: str | Path | None, watcher: Watcher) -> FitOutcome:
    """Fits the rejecter, keeps it, and returns what it is like; the same request again finds the same file.

    Raises BadInput where there are too few images that no network was trained on, and where nothing can be gained.
    """
    ready = open_request(request.sampling, database, watcher, _half)
    (part,) = ready.inputs.parts
    draws = max(_FEWEST_DRAWS, math.ceil(SAMPLES / len(part)))
    watcher.say(f"fitting on {len(part):,} held-out inputs × {draws} noisy copies; thresholds keep the other half")
    seen, logits, measures = _draws(ready, part.split, draws)
    fit = _fit(request, seen, logits)
    if not fit.affordable:
        what = "the cheapest is taken" if request.kind == "linear" else "temperatures have no price"
        watcher.say(f"warning: no price keeps the cost to {100 * request.max_cc_cost:g} %: {what}")
    number, file = _kept(request, ready.opened, part.split, fit, database, watcher)
    return FitOutcome(
        number, str(file), ready.opened.model.spec, ready.opened.dataset_name, request.sigma, len(part), draws,
        request.kind, request.coverage, request.max_cc_cost, fit.price, fit.affordable, fit.expected,
        {name: outcome(seen, values, request.coverage) for name, values in measures.items()},
    )  # fmt: skip


def _fit(request: RejecterRequest, seen: Draws, logits: npt.NDArray[np.float32]) -> Fit:
    if request.kind == "temperature":
        return fitted_temperatures(seen, logits, coverage=request.coverage, max_cost=request.max_cc_cost)
    return fitted(seen, coverage=request.coverage, max_cost=request.max_cc_cost)


def _half(opened: Opened) -> Inputs:
    """Returns half of the calibration images, each class in proportion; raises BadInput for too few of them."""
    dataset: Dataset = opened.dataset
    available = dataset.calibration_indices
    chosen = available[stratified_sample(dataset.labels("calibration"), len(available) // 2, seed=_SEED)]
    if len(chosen) < FEWEST or len(available) - len(chosen) < FEWEST:
        raise BadInput(
            f"{dataset.name} has {len(available)} calibration images that no network was trained on, too few for a "
            "rejecter and a threshold",
            f"take a data set that holds out {2 * FEWEST} or more",
        )
    split = dataset.load("calibration", chosen)
    return Inputs(parts=(Part(dataset.name, split, split.indices, split.indices),))


def _draws(
    ready: Ready[Inputs], split: Split, draws: int
) -> tuple[Draws, npt.NDArray[np.float32], dict[str, Floats]]:  # fmt: skip
    """Returns what the networks say of noisy copies of the images, their logits `[S, T, K]`, and the measures that a
    rejecter stands beside.

    Copies without an answer are left out: they are rejected whatever is fitted.
    """
    decide = ready.engine.predictor.decide
    names = [name for name in ("margin", "own_margin") if name in ready.engine.predictor.measures]
    labels, images = np.repeat(split.labels.numpy(), draws), np.repeat(np.arange(len(split)), draws)
    found, logits, answered, classes, right = [], [], [], [], []
    values: dict[str, list[Floats]] = {name: [] for name in names}
    start = 0
    for passes in ready.engine.passes(split.images, split.indices, draws=draws):
        of = Outputs(passes, decide)
        rows = np.arange(start, start + len(passes))
        start += len(passes)
        found.append(features(of).double().numpy())
        logits.append(of.passes.numpy())
        answered.append(is_answer(of.passes.flatten(1)).numpy())
        classes.append(of.decided.numpy())
        right.append(of.p.double().numpy()[np.arange(len(rows)), labels[rows]])
        for name in names:
            values[name].append(form_of(name).value(of).double().numpy())
    keep = np.concatenate(answered)
    if not keep.any():
        raise BadInput("the network answers no noisy calibration input", "it needs logits that are finite numbers")
    every = Draws(np.concatenate(found), np.concatenate(classes), labels, images, np.concatenate(right))
    measures = {name: np.concatenate(parts)[keep] for name, parts in values.items()}
    return every.of(keep), np.concatenate(logits)[keep], measures


def _kept(
    request: RejecterRequest, opened: Opened, split: Split, fit: Fit, database: str | Path | None, watcher: Watcher
) -> tuple[int, Path]:  # fmt: skip
    """Returns the number of the rejecter among the checkpoints, and its file."""
    rejecter = FittedRejecter(
        dataset=opened.dataset_name, sigma=request.sigma, classes=opened.dataset.num_classes,
        weights_sha256=opened.model.weights_sha256, predictor=asked_for(request.predictor),
        coefficients=tuple(map(float, fit.linear.coefficients.astype(np.float32))),
        bias=float(np.float32(fit.linear.bias)), seen=SeenImages.of(split.images).packed(), price=fit.price,
        toll=fit.toll, coverage=request.coverage, gain=fit.expected.gain, cost=fit.expected.cost,
        kind=request.kind,
    )  # fmt: skip
    content = rejecter.to_bytes()
    digest = hashlib.sha256(content).hexdigest()
    model = f"rejecter of {opened.model.spec}"
    folder = request.folder or default_checkpoint_dir(database)
    file = folder / checkpoint_file_name(model, opened.dataset_name, request.sigma, digest, ".json")
    write_atomically(file, content)
    new = NewCheckpoint(
        model=model, dataset=opened.dataset_name, sigma=request.sigma, objective=REJECTER, file=str(file.resolve()),
        sha256=digest, accuracy_clean=None, accuracy_noisy=None,
        configuration={
            "network": opened.checkpoint.id if opened.checkpoint else opened.which,
            **rejecter.predictor, "kind": request.kind, "price": fit.price,
            "coverage": request.coverage, "max_cc_cost": request.max_cc_cost,
            "gain": fit.expected.gain, "cost": fit.expected.cost,
        },
    )  # fmt: skip
    with open_for_writing(database) as db:
        number = record_checkpoint(db, new)
        give_labels(db, "checkpoint", number, request.labels, watcher)
    return number, file
