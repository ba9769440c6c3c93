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
from rsuq_cli.models.denoiser import DENOISERS
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.zoo import NAMES, unknown_model
from rsuq_cli.results.checkpoints import checkpoint_by_number
from rsuq_cli.results.database import Database, open_for_lookup
from rsuq_cli.results.labels import number_named
from rsuq_cli.results.names import REJECTER
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.results.writer import checkpoints_of_data
from rsuq_cli.run.network.own import NETWORK, Found, own_checkpoint
from rsuq_cli.run.request import Sources
from rsuq_cli.spelling import path_of


def found_checkpoint(
    sources: Sources, dataset: Dataset, name: str, sigma: float, database: str | Path | None
) -> Found:  # fmt: skip
    """Returns the checkpoint that is named, or the newest of the model for the data kept under `name` and the objective
    asked for; none where other weights are asked for.

    A model of the zoo has its name, a user's own its file and shapes. Raises BadInput where there is none for a model
    of the zoo, and where the checkpoint's file is gone.
    """
    _check_untrained(sources)
    _check_choice(sources)
    if sources.weights or sources.untrained or sources.pretrained:
        return Found(None)
    found = _recorded(sources, dataset, name, sigma, database)
    if found.checkpoint is None and (sources.objective or not is_custom(sources.model)):
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


def _check_choice(sources: Sources) -> None:
    given = ("weights", "untrained", "pretrained", "checkpoint", "objective")
    flags = [f"--{name}" for name in given if getattr(sources, name) not in (None, False)]
    if len(flags) > 1:
        raise BadInput(f"both {flags[0]} and {flags[1]} are given", f"leave {flags[1]} out")


def _recorded(sources: Sources, dataset: Dataset, name: str, sigma: float, database: str | Path | None) -> Found:
    with open_for_lookup(database) as db:
        if sources.checkpoint is not None:
            fitting = [checkpoint_named(db, sources.checkpoint)]
        else:
            fitting = [] if db is None else checkpoints_of_data(db, name, sigma)
    recorded = [row for row in fitting if sources.objective in (None, row.objective)]
    if not is_custom(sources.model):
        found = Found(next((row for row in recorded if row.model == sources.model), None))
    elif any(is_custom(row.model) for row in recorded):
        custom = load_factory(
            sources.model, shape=dataset.shape, num_classes=dataset.num_classes, file=sources.factory_file
        )  # fmt: skip
        found = own_checkpoint(
            custom, [row for row in recorded if is_custom(row.model)], dataset.shape, dataset.num_classes
        )  # fmt: skip
    else:
        found = Found(None)
    if found.checkpoint is None:
        if sources.checkpoint is not None:
            raise _of_another(fitting[0], sources, found.notes)
        return found
    return Found(found.checkpoint, (*found.notes, *_choice(found.checkpoint, recorded)))


def checkpoint_named(db: Database | None, named: str) -> CheckpointRow:
    """Returns the network of this number or name; raises BadInput where there is none, or where several have it."""
    if db is None:
        raise BadInput(f"there is no checkpoint {named}", "`rsuq models` lists them")
    found = checkpoint_by_number(db, number_named(db, "checkpoint", named))
    if found.objective == REJECTER:
        raise BadInput(f"checkpoint {found.id} is a rejecter and no network", f"give it as --rejecter {found.id}")
    return found


def _choice(taken: CheckpointRow, recorded: Sequence[CheckpointRow]) -> list[str]:
    """Returns a line where checkpoints of the same network were trained for something else: which one was taken."""
    network = taken.configuration.get(NETWORK)
    same = [row for row in recorded if row.model == taken.model and row.configuration.get(NETWORK) == network]
    others = dict.fromkeys(objective_text(row) for row in same if objective_text(row) != objective_text(taken))
    if not others:
        return []
    return [
        f"checkpoint {taken.id}, trained for {objective_text(taken)}, is the newest; there are others for "
        f"{', '.join(others)}: choose with --objective NAME or --checkpoint ID"
    ]


def objective_text(row: CheckpointRow) -> str:
    """Returns what a checkpoint was trained for, with the parameters of the objective where it has some."""
    parameters = row.configuration.get("parameters") or {}
    return " ".join([row.objective, *(f"{name}={value}" for name, value in sorted(parameters.items()))])


def _of_another(row: CheckpointRow, sources: Sources, notes: Sequence[str]) -> BadInput:
    if row.model in DENOISERS:
        return BadInput(
            f"checkpoint {row.id} is a denoiser", f"give it as --denoiser {row.id}, and the network behind it as itself"
        )
    hint = notes[0] if notes else f"give --model {row.model}"
    return BadInput(f"checkpoint {row.id} is of {row.model}, and not of this {sources.model}", hint)


def _without_checkpoint(sources: Sources, sigma: float) -> BadInput:
    library = is_library(sources.model)
    if sources.model not in NAMES and not is_custom(sources.model) and not library:
        return unknown_model(sources.model)
    trained_for = f" trained for {sources.objective}" if sources.objective else ""
    return BadInput(
        f"there is no checkpoint of {sources.model} for {sources.dataset} at sigma {sigma:g}{trained_for}",
        f"train it: {_train_line(sources, sigma)}  (or give --weights{', or --pretrained' if library else ''})",
    )


def _train_line(sources: Sources, sigma: float) -> str:
    options = f" --dataset {sources.dataset}" if sources.dataset != "digits" else ""
    options += f" --image-size {sources.image_size}" if sources.image_size else ""
    options += f" --objective {sources.objective}" if sources.objective else ""
    return f"rsuq train --model {sources.model}{options} --sigma {sigma:g}"
