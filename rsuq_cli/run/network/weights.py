"""The weights of a model: a file that is named, the newest checkpoint that is its own, or what a factory makes.

Invariant: nothing is written, and nothing is taken that could be another network's; what is missing is refused with the
command that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import BadInput
from rsuq_cli.models.custom import is_custom, load_factory
from rsuq_cli.models.zoo import NAMES, unknown_model
from rsuq_cli.results.database import open_for_lookup
from rsuq_cli.results.writer import checkpoints_of_data, newest_checkpoint
from rsuq_cli.run.network.own import Found, own_checkpoint
from rsuq_cli.run.request import Sources
from rsuq_cli.spelling import path_of


def found_checkpoint(
    sources: Sources, dataset: Dataset, name: str, sigma: float, database: str | Path | None
) -> Found:  # fmt: skip
    """Returns the newest checkpoint of the model for the data kept under `name`, unless other weights are asked for.

    A model of the zoo has its name, a user's own its file and shapes. Raises BadInput where there is none for a model
    of the zoo, and where the checkpoint's file is gone.
    """
    _check_untrained(sources)
    if sources.weights or sources.untrained:
        return Found(None)
    found = _recorded(sources, dataset, name, sigma, database)
    if found.checkpoint is None and not is_custom(sources.model):
        raise _without_checkpoint(sources, sigma)
    if found.checkpoint and not path_of(found.checkpoint.file).exists():
        raise BadInput(
            f"checkpoint {found.checkpoint.id} is recorded at {found.checkpoint.file}, which is not there",
            "give --weights",
        )
    return found


def untrained_network(sources: Sources, sigma: float, notes: Sequence[str]) -> BadInput:
    """Returns the error for a factory that draws its weights; `notes` are about checkpoints that are not its own."""
    ways = f"train it: {_train_line(sources, sigma)}  (or give --weights, or --untrained)"
    return BadInput(
        f"{sources.model} is untrained: its factory makes other weights under every seed", "; ".join([ways, *notes])
    )


def _check_untrained(sources: Sources) -> None:
    if sources.untrained and not is_custom(sources.model):
        raise BadInput(f"--untrained is for a network of your own, not for {sources.model}", "leave it out")
    if sources.untrained and sources.weights:
        raise BadInput("both --untrained and --weights are given", "leave --untrained out")


def _recorded(sources: Sources, dataset: Dataset, name: str, sigma: float, database: str | Path | None) -> Found:
    with open_for_lookup(database) as db:
        if db is None:
            return Found(None)
        if not is_custom(sources.model):
            return Found(newest_checkpoint(db, sources.model, name, sigma))
        recorded = [row for row in checkpoints_of_data(db, name, sigma) if is_custom(row.model)]
    if not recorded:
        return Found(None)
    custom = load_factory(
        sources.model, shape=dataset.shape, num_classes=dataset.num_classes, file=sources.factory_file
    )  # fmt: skip
    return own_checkpoint(custom, recorded, dataset.shape, dataset.num_classes)


def _without_checkpoint(sources: Sources, sigma: float) -> BadInput:
    if sources.model not in NAMES:
        return unknown_model(sources.model)
    return BadInput(
        f"there is no checkpoint of {sources.model} for {sources.dataset} at sigma {sigma:g}",
        f"train it: {_train_line(sources, sigma)}  (or give --weights)",
    )


def _train_line(sources: Sources, sigma: float) -> str:
    options = f" --dataset {sources.dataset}" if sources.dataset != "digits" else ""
    options += f" --image-size {sources.image_size}" if sources.image_size else ""
    return f"rsuq train --model {sources.model}{options} --sigma {sigma:g}"
