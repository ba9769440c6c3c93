"""A user's own network: which checkpoint is of it, and whether it was trained at all.

Invariant: it is known by its file, resolved, the factory's name in there and the shapes of its weights; how it was
spelled, and from which working directory, makes no difference, and a namesake elsewhere is another network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rsuq_cli.models.custom import CustomModel, Origin, kept_modules, shapes_sha256
from rsuq_cli.models.fingerprint import fingerprint_of
from rsuq_cli.models.loading import LoadedModel, open_model
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.run.configuration import recorded_fingerprint
from rsuq_cli.spelling import path_of, spelled

# Where a checkpoint's configuration says whose it is.
NETWORK = "network"
Shape = tuple[int, int, int]


class Found(NamedTuple):
    """The checkpoint of a network, None where there is none, and lines about it or about those that are not its own."""

    checkpoint: CheckpointRow | None
    notes: tuple[str, ...] = ()


def network_of(network: CustomModel | LoadedModel) -> dict[str, str]:
    """Returns what a checkpoint keeps to be found by: file, factory, and a hash of the names and shapes of weights."""
    origin = Origin(network.source_file, network.spec.rpartition(":")[2])
    return _place(origin, network.spec) | {"shapes_sha256": shapes_sha256(network.module)}


def origin_sha256(origin: Origin, spec: str) -> str:
    """Returns a hash of where a factory lies: it keeps the files of two networks apart, and tells nobody's folders."""
    return hashlib.sha256(repr(_place(origin, spec)).encode()).hexdigest()


def is_of(row: CheckpointRow, origin: Origin, spec: str) -> bool:
    """Returns whether a checkpoint is of the factory that lies there, whatever the shapes."""
    theirs = row.configuration.get(NETWORK) or {}
    return all(theirs.get(name) == value for name, value in _place(origin, spec).items())


def own_checkpoint(custom: CustomModel, recorded: Sequence[CheckpointRow], shape: Shape, num_classes: int) -> Found:
    """Returns the first of the `recorded` checkpoints that is of this network, and else what is close to being it.

    Where the file of a checkpoint is gone, and this network answers with its weights as it did, the file has moved.
    """
    own, notes = network_of(custom), []
    for row in recorded:
        theirs = row.configuration.get(NETWORK)
        if theirs == own:
            return Found(row)
        if theirs is None:
            if row.model == custom.spec:
                notes.append(
                    f"checkpoint {row.id} of {row.model} does not say of which file it is: "
                    f"if it is of this one, give --weights {row.file}, or rsuq models import {row.file}"
                )
        elif is_of(row, custom.origin, custom.spec):
            notes.append(f"checkpoint {row.id} of {row.model} has weights of other shapes")
        elif may_have_moved(theirs, own):
            if _answers_as(row, custom, shape, num_classes):
                return Found(row, (f"checkpoint {row.id} is of {theirs['file']}, which has moved to {own['file']}",))
            notes.append(
                f"checkpoint {row.id} is of {theirs['file']}, which is not there any more: "
                f"if {custom.spec} is that network, give --weights {row.file}"
            )
    return Found(None, tuple(notes[:1]))


def is_drawn(model: LoadedModel, shape: Shape, num_classes: int, *, file: Path | None = None) -> bool:
    """Returns whether a factory's own weights, or what it computes, are others under another seed."""
    with kept_modules():
        again = open_model(model.spec, shape=shape, num_classes=num_classes, file=file, seed=1)
    if again.weights_sha256 != model.weights_sha256:
        return True
    return not fingerprint_of(again.module, shape).agrees(fingerprint_of(model.module, shape))


def _place(origin: Origin, spec: str) -> dict[str, str]:
    return {"file": spelled(origin.file or spec.rpartition(":")[0]), "factory": origin.factory}


def may_have_moved(theirs: dict[str, str], own: dict[str, str]) -> bool:
    same = all(theirs.get(name) == own[name] for name in ("factory", "shapes_sha256"))
    return same and not path_of(theirs["file"]).exists()


def _answers_as(row: CheckpointRow, custom: CustomModel, shape: Shape, num_classes: int) -> bool:
    """Returns whether the network with the checkpoint's weights answers as the checkpoint's own did."""
    known, weights = recorded_fingerprint(row.configuration), path_of(row.file)
    if known is None or not weights.exists():
        return False
    model = open_model(custom.spec, shape=shape, num_classes=num_classes, weights=weights, file=custom.source_file)
    return fingerprint_of(model.module, shape).agrees(known)
