"""The model and the data that a run is about.

Invariant: nothing is written here; a run that cannot start leaves every file as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.names import kept_under
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.cautions import other_sigma
from rsuq_cli.jobs.engines import Recipe
from rsuq_cli.jobs.normalising import normalised
from rsuq_cli.jobs.request import Sources
from rsuq_cli.jobs.watching import Watcher
from rsuq_cli.models.custom import is_custom
from rsuq_cli.models.fingerprint import Fingerprint, fingerprint_of
from rsuq_cli.models.opening import LoadedModel, open_model
from rsuq_cli.models.zoo import NAMES, unknown_model
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.location import locate
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.results.writer import newest_checkpoint


@dataclass(frozen=True)
class Opened:
    """A data set, the name it is kept under, the size its images were resized to, a model, its checkpoint if ours.

    `fingerprint` is what the model computes, `recipe` how another process opens the same model; `warnings` belong to
    whatever is found out about it.
    """

    dataset: Dataset
    dataset_name: str
    image_size: int | None
    model: LoadedModel
    checkpoint: CheckpointRow | None
    fingerprint: Fingerprint
    recipe: Recipe
    warnings: tuple[str, ...] = ()


def open_sources(sources: Sources, sigma: float, database: str | Path | None, watcher: Watcher) -> Opened:
    """Returns data and model, the newest checkpoint trained for (model, data set, sigma) where no weights are named.

    Raises BadInput where there is no such data set or model, or no checkpoint (with the command that trains one).
    """
    dataset = open_dataset(sources.dataset, data_dir=sources.data_dir, image_size=sources.image_size)
    dataset.tell(watcher.say)
    name = kept_under(dataset.name, sources.image_size)
    checkpoint = None if sources.weights else _checkpoint(sources.model, name, sigma, database)
    weights = sources.weights
    if checkpoint:
        weights = Path(checkpoint.file)
        if not weights.exists():
            raise BadInput(f"checkpoint {checkpoint.id} is recorded at {weights}, which is not there", "give --weights")
        watcher.say(f"checkpoint {checkpoint.id}: {weights.name}")
    elif weights is None:
        if not is_custom(sources.model):
            raise _untrained(sources, sigma)
        watcher.say(f"no checkpoint of {sources.model} for {name} at sigma {sigma:g}: using the factory's own weights")
    model = open_model(sources.model, shape=dataset.shape, num_classes=dataset.num_classes, weights=weights)
    for note in model.notes:
        watcher.say(note)
    model, warnings = normalised(model, dataset, sources, sigma, watcher)
    if sources.weights and (caution := other_sigma(model, sigma)):
        watcher.say(f"warning: {caution}")
        warnings += (caution,)
    fingerprint = fingerprint_of(model.module, dataset.shape)
    mean, std = model.normalisation or (None, None)
    recipe = Recipe(
        sources.model, dataset.shape, dataset.num_classes, weights, mean, std, model.weights_sha256, fingerprint
    )  # fmt: skip
    return Opened(dataset, name, sources.image_size, model, checkpoint, fingerprint, recipe, warnings)


def _checkpoint(model: str, dataset: str, sigma: float, database: str | Path | None) -> CheckpointRow | None:
    path = locate(database).path
    if path is not None and not path.exists():
        return None
    with open_for_writing(database) as db:
        return newest_checkpoint(db, model, dataset, sigma)


def _untrained(sources: Sources, sigma: float) -> BadInput:
    if sources.model not in NAMES:
        return unknown_model(sources.model)
    options = f" --dataset {sources.dataset}" if sources.dataset != "digits" else ""
    options += f" --image-size {sources.image_size}" if sources.image_size else ""
    return BadInput(
        f"there is no checkpoint of {sources.model} for {sources.dataset} at sigma {sigma:g}",
        f"train it: rsuq train --model {sources.model}{options} --sigma {sigma:g}  (or give --weights)",
    )
