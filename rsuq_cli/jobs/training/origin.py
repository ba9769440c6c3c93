"""Where a training begins that does not draw its weights: a checkpoint, or a file of weights.

Invariant: what is begun with is known by its bytes, and recorded with what comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.errors import BadInput
from rsuq_cli.models.checkpoints import metadata_of, sha256_of
from rsuq_cli.models.weights import load_into, read_weights
from rsuq_cli.results.database import open_for_lookup
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.run.network.weights import checkpoint_named, objective_text
from rsuq_cli.run.unseen import TRAINED_ON, seen_images
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.spelling import path_of, spelled

# What a checkpoint's configuration holds of the one that it began with.
ANCESTRY = "began_with"


@dataclass(frozen=True)
class Origin:
    """Weights to begin with; `checkpoint` is None where a file is named."""

    file: Path
    sha256: str
    checkpoint: CheckpointRow | None

    def load_into(self, model: nn.Module, watcher: Watcher) -> None:
        """Puts the weights into a model; raises BadInput where they do not fit."""
        for note in load_into(model, read_weights(self.file), self.file).notes:
            watcher.say(note)

    def seen(self) -> SeenImages | None:
        """Returns the images that the weights say they were trained on; None where they do not say."""
        known = metadata_of(self.file)
        return None if known is None else seen_images({TRAINED_ON: known.trained_on})

    def recorded(self) -> dict[str, Any]:
        """Returns what is kept of it, and of what it began with itself."""
        kept: dict[str, Any] = {"file": spelled(self.file), "sha256": self.sha256}
        if self.checkpoint is not None:
            kept |= {
                "checkpoint": self.checkpoint.id,
                "objective": objective_text(self.checkpoint),
                "sigma": self.checkpoint.sigma,
            }
            if ANCESTRY in self.checkpoint.configuration:
                kept[ANCESTRY] = self.checkpoint.configuration[ANCESTRY]
        return {ANCESTRY: kept}


def origin_of_weights(named: str, database: str | Path | None) -> Origin:
    """Returns the weights of a checkpoint, by number or name, or of a file.

    Raises BadInput where there is neither, and where the file of a checkpoint is gone or another one now.
    """
    file = path_of(named)
    if file.is_file() and not named.isdecimal():
        return Origin(file, sha256_of(file), None)
    with open_for_lookup(database) as db:
        try:
            checkpoint = checkpoint_named(db, named)
        except BadInput as error:
            raise BadInput(f"{error.message}, and no file {named}", error.hint) from None
    file = path_of(checkpoint.file)
    if not file.is_file():
        raise BadInput(
            f"the file of checkpoint {checkpoint.id} is not there any more: {checkpoint.file}", "name a file"
        )
    if sha256_of(file) != checkpoint.sha256:
        raise BadInput(f"the file of checkpoint {checkpoint.id} is another one now: {checkpoint.file}", "name a file")
    return Origin(file, checkpoint.sha256, checkpoint)
