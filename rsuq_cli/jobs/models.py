"""Files of checkpoints: brought in, given away, and deleted.

Invariant: a file that is brought in has shown that it fits its model, and lies beside the results before its row is in
the database; the same bytes are the same checkpoint. A file that is not the recorded one is never deleted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.names import kept_under
from rsuq_cli.errors import BadInput
from rsuq_cli.files import check_output, new_file
from rsuq_cli.jobs.training.ready import default_checkpoint_dir
from rsuq_cli.models.checkpoints import (
    SAFETENSORS,
    CheckpointMetadata,
    as_safetensors,
    checkpoint_file_name,
    metadata_of,
    sha256_of,
    write_atomically,
)
from rsuq_cli.models.custom import is_custom
from rsuq_cli.models.denoiser import DENOISERS
from rsuq_cli.models.fingerprint import fingerprint_of
from rsuq_cli.models.loading import open_model
from rsuq_cli.models.statistics import Statistics
from rsuq_cli.models.weights import read_weights
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.names import NO_LABELS, REJECTER, Labels
from rsuq_cli.results.rows import CheckpointRow, NewCheckpoint
from rsuq_cli.results.writer import record_checkpoint
from rsuq_cli.run.configuration import FINGERPRINT
from rsuq_cli.run.labels import give_labels
from rsuq_cli.run.network.own import NETWORK, network_of
from rsuq_cli.run.request import check_sigma
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.spelling import path_of

CARD = "README.md"
# What was minimised is not known of weights that somebody else trained.
UNKNOWN_OBJECTIVE = "unknown"
_NORMALISATION = re.compile(r"(?:^|\.)(?:0|normalise|normalize)\.(mean|std)$")


@dataclass(frozen=True)
class ImportRequest:
    """A file of weights; what it does not say of itself has to be given."""

    file: Path
    model: str | None = None
    dataset: str | None = None
    sigma: float | None = None
    objective: str | None = None
    image_size: int | None = None
    data_dir: Path | None = None
    labels: Labels = NO_LABELS

    def __post_init__(self) -> None:
        if self.sigma is not None:
            check_sigma(self.sigma)


class Described(NamedTuple):
    """What is to be known of a checkpoint's file: what it says about itself, and the normalisation in its weights."""

    metadata: CheckpointMetadata | None
    normalisation: Statistics | None


class _Subject(NamedTuple):
    model: str
    dataset: str
    sigma: float
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]


def import_model(request: ImportRequest, database: str | Path | None, watcher: Watcher) -> int:
    """Returns the number of the checkpoint with these bytes, copied beside the results and recorded unless it is there.

    Raises BadInput for a file that is no weights, does not fit the model, or lacks what is not given.
    """
    if not request.file.is_file():
        raise BadInput(f"there is no weights file {request.file}", "check the path")
    metadata = metadata_of(request.file)
    subject = _subject(request, metadata)
    model = open_model(subject.model, shape=subject.shape, num_classes=len(subject.class_names), weights=request.file)
    digest = sha256_of(request.file)
    copy = default_checkpoint_dir(database) / checkpoint_file_name(
        subject.model, subject.dataset, subject.sigma, digest, request.file.suffix
    )
    settings: dict[str, Any] = dict(metadata.config) if metadata else {"imported": request.file.name}
    recorded = metadata.fingerprint if metadata else None
    settings[FINGERPRINT] = recorded or fingerprint_of(model.module, subject.shape).to_json()
    if is_custom(subject.model):
        settings[NETWORK] = network_of(model)
    new = NewCheckpoint(
        model=subject.model,
        dataset=subject.dataset,
        sigma=subject.sigma,
        objective=request.objective or (metadata.objective if metadata else UNKNOWN_OBJECTIVE),
        file=str(copy.resolve()),
        sha256=digest,
        accuracy_clean=metadata.accuracy_clean if metadata else None,
        accuracy_noisy=metadata.accuracy_noisy if metadata else None,
        configuration={**settings, "shape": list(subject.shape), "class_names": list(subject.class_names)},
    )
    with open_for_writing(database) as db:
        if not (copy.exists() and sha256_of(copy) == digest):
            write_atomically(copy, request.file.read_bytes())
        number = record_checkpoint(db, new)
        give_labels(db, "checkpoint", number, request.labels, watcher)
    return number


def described(checkpoint: CheckpointRow) -> Described:
    """Returns what the file of a checkpoint says; raises BadInput where it is not there, or not the recorded one."""
    file = path_of(checkpoint.file)
    if not file.exists():
        raise BadInput(f"checkpoint {checkpoint.id} is recorded at {file}, which is not there", "bring the file back")
    if sha256_of(file) != checkpoint.sha256:
        raise BadInput(f"{file} is not the file of checkpoint {checkpoint.id} any more", "bring the old file back")
    found = {}
    for name, tensor in read_weights(file).tensors.items():
        if part := _NORMALISATION.search(name):
            found[part[1]] = tuple(float(value) for value in tensor.flatten())
    known = Statistics(found["mean"], found["std"]) if found.keys() == {"mean", "std"} else None
    return Described(metadata_of(file), known)


def check_network(checkpoint: CheckpointRow) -> None:
    """Raises BadInput for a denoiser and a rejecter: a card and a program are of a network that answers."""
    kinds = {"denoiser": checkpoint.model in DENOISERS, "rejecter": checkpoint.objective == REJECTER}
    for kind, it_is in kinds.items():
        if it_is:
            raise BadInput(
                f"checkpoint {checkpoint.id} is a {kind} and no network", f"its file is {checkpoint.file}: copy that"
            )


def export_targets(
    checkpoint: CheckpointRow, folder: Path, others: Sequence[str] = (), *, force: bool
) -> tuple[Path, Path]:
    """Returns where the weights and the card go, with files of other names beside them.

    Raises BadInput where one of them cannot be written, before anything is.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file", "name a folder")
    weights, card = folder / f"{path_of(checkpoint.file).stem}{SAFETENSORS}", folder / CARD
    if folder.exists():
        for path in (weights, card, *(folder / name for name in others)):
            check_output(path, force=force)
    return weights, card


def export_weights(checkpoint: CheckpointRow, target: Path, *, force: bool) -> None:
    """Writes the weights as safetensors: the very bytes of a file that is one already."""
    source = path_of(checkpoint.file)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = source.read_bytes() if source.suffix == SAFETENSORS else as_safetensors(read_weights(source).tensors)
    with new_file(target, force=force) as stream:
        stream.write(content)


def delete_file(checkpoint: CheckpointRow) -> bool:
    """Deletes the file of a checkpoint and returns whether it did: one that is gone, or another one, is left alone."""
    file = path_of(checkpoint.file)
    if not file.is_file() or sha256_of(file) != checkpoint.sha256:
        return False
    try:
        file.unlink()
    except OSError as error:
        raise BadInput(f"cannot delete {file}: {error.strerror or error}", "delete it by hand") from error
    return True


def _subject(request: ImportRequest, metadata: CheckpointMetadata | None) -> _Subject:
    if metadata is not None:
        said = {"model": metadata.model, "dataset": metadata.dataset, "sigma": metadata.sigma}
        for name, value in said.items():
            given = getattr(request, name)
            # A network of one's own may lie elsewhere here.
            moved = name == "model" and given is not None and is_custom(given) and is_custom(metadata.model)
            if given is not None and given != value and not moved:
                raise BadInput(f"--{name} is {given}, and the file says {value}", f"leave --{name} out")
        return _Subject(
            request.model or metadata.model, metadata.dataset, metadata.sigma, metadata.shape, metadata.class_names
        )
    if request.model is None or request.dataset is None or request.sigma is None:
        raise BadInput(
            f"{request.file} does not say what it is", "give --model, --dataset and --sigma that it was trained for"
        )
    dataset = open_dataset(request.dataset, data_dir=request.data_dir, image_size=request.image_size)
    name = kept_under(dataset.name, request.image_size)
    return _Subject(request.model, name, request.sigma, dataset.shape, tuple(dataset.class_names))
