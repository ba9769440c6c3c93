"""Whether a training has been done already: which checkpoint the same command made.

Invariant: a checkpoint stands for a training only where it records the same settings, network, images and labels, and
its file is the recorded one; one that comes close is named with what is different.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.models.checkpoints import read_metadata, sha256_of
from rsuq_cli.models.custom import CustomModel, is_custom
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.results.writer import checkpoints_of_data
from rsuq_cli.run.network.own import NETWORK, is_of, may_have_moved, network_of
from rsuq_cli.spelling import path_of
from rsuq_cli.training.settings import LATER, TrainSettings

# What a checkpoint's configuration holds of its training beside the settings.
TRAIN, CALIBRATION, CLASSES = "train_sha256", "calibration_sha256", "classes"
SOURCE, UNTRAINED = "source_sha256", "untrained_fingerprint"
BEGUN_WITH = (TRAIN, CALIBRATION, CLASSES, SOURCE, UNTRAINED)


class Training(NamedTuple):
    """What is to be trained on which data, kept under `name`; of a user's own network, what it computes untrained."""

    model: str
    custom: CustomModel | None
    untrained: Fingerprint | None
    dataset: Dataset
    name: str
    settings: TrainSettings

    def begun_with(self) -> dict[str, Any]:
        """Returns what the checkpoint records, so that the same training is known again."""
        found: dict[str, Any] = {
            TRAIN: self.dataset.load("train").sha256(),
            CALIBRATION: self.dataset.load("calibration").sha256(),
            CLASSES: list(self.dataset.class_names),
        }
        if self.custom and self.untrained:
            found |= {SOURCE: self.custom.source_sha256, UNTRAINED: self.untrained.to_json()}
        return found


class Trained(NamedTuple):
    """The checkpoint that stands for a training, None where there is none, and why one that comes close does not."""

    checkpoint: CheckpointRow | None
    reason: str = ""


def trained_already(db: Database, training: Training) -> Trained:
    """Returns the newest checkpoint of this very training."""
    settings, reasons = training.settings.recorded(), []
    begun_with: dict[str, Any] = {}
    for row in checkpoints_of_data(db, training.name, training.settings.sigma):
        known = row.configuration
        of_other_settings = any(known.get(name, value) != value for name, value in settings.items())
        # A checkpoint that began with drawn weights, say, does not say so.
        wanted = training.settings
        began_otherwise = any(known.get(name, absent) != getattr(wanted, name) for name, absent in LATER.items())
        # Nor does a training whose objective has no parameters; one that has some is another.
        began_otherwise |= bool(known.get("parameters")) and not wanted.parameters
        if "epochs" not in known or of_other_settings or began_otherwise or not _may_be_of(row, training):
            continue
        begun_with = begun_with or training.begun_with()
        reason = _unrecorded(row, settings) or _difference(row, training, begun_with) or _lost(row)
        if not reason:
            return Trained(row)
        reasons.append(reason)
    return Trained(None, reasons[0] if reasons else "")


def _may_be_of(row: CheckpointRow, training: Training) -> bool:
    """Returns whether a checkpoint is of this network, as far as its name and place tell."""
    if training.custom is None:
        return row.model == training.model
    theirs = row.configuration.get(NETWORK)
    if theirs is None:
        return row.model == training.model
    own = network_of(training.custom)
    return is_of(row, training.custom.origin, training.custom.spec) or may_have_moved(theirs, own)


def _unrecorded(row: CheckpointRow, settings: Mapping[str, Any]) -> str:
    missing = [name.replace("_", " ") for name in settings if name not in row.configuration]
    return f"checkpoint {row.id} does not record its {missing[0]}" if missing else ""


def _difference(row: CheckpointRow, training: Training, begun_with: Mapping[str, Any]) -> str:
    """Returns in what a checkpoint of the same settings was trained differently, "" where it was not."""
    if training.custom and (other := _other_network(row, training)):
        return other
    known = row.configuration
    if TRAIN not in known:
        return "" if _saw_the_same(row, training) else f"checkpoint {row.id} does not record what it was trained on"
    if known[TRAIN] != begun_with[TRAIN]:
        return f"checkpoint {row.id} was trained on other images or labels of {training.name}"
    if known.get(CLASSES) != begun_with[CLASSES]:
        return f"the classes of {training.name} have other names than when checkpoint {row.id} was trained"
    if known.get(CALIBRATION) != begun_with[CALIBRATION]:
        return f"checkpoint {row.id} was measured on other calibration images of {training.name}"
    return ""


def _other_network(row: CheckpointRow, training: Training) -> str:
    """Returns why a checkpoint is of another network than this one of the user's own."""
    assert training.custom is not None
    assert training.untrained is not None
    own, known = network_of(training.custom), row.configuration
    if NETWORK not in known:
        return f"checkpoint {row.id} does not record of which file its network is"
    if known[NETWORK]["shapes_sha256"] != own["shapes_sha256"]:
        return f"the weights of {training.model} have other shapes than those of checkpoint {row.id}"
    if UNTRAINED not in known or SOURCE not in known:
        return f"checkpoint {row.id} does not record what its network computed before training"
    if known[SOURCE] != training.custom.source_sha256:
        return f"the file of {training.model} has changed since checkpoint {row.id}"
    if not Fingerprint.of_json(known[UNTRAINED]).agrees(training.untrained):
        return f"{training.model} computes something else untrained than when checkpoint {row.id} was trained"
    return ""


def _saw_the_same(row: CheckpointRow, training: Training) -> bool:
    """Returns whether a checkpoint from before its data were recorded was trained on these: by what its file says.

    That is of the images alone, so it suffices where the labels are not the user's.
    """
    if training.custom or ":" in training.dataset.name or _lost(row):
        return False
    metadata = None if is_custom(row.model) else read_metadata(path_of(row.file))
    if metadata is None or metadata.class_names != tuple(training.dataset.class_names):
        return False
    return metadata.trained_on == SeenImages.of(training.dataset.load("train").images).packed()


def _lost(row: CheckpointRow) -> str:
    file = path_of(row.file)
    if not file.is_file():
        return f"the file of checkpoint {row.id} is not there any more: {row.file}"
    if sha256_of(file) != row.sha256:
        return f"the file of checkpoint {row.id} is another one now: {row.file}"
    return ""
