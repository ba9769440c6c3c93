"""Images that training saw, kept out of what they would spoil: the calibration of thresholds.

Invariant: what a checkpoint says that it was trained on calibrates nothing. It is replaced by images of the train file
that training did not see, and where too few are left there is no calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.datasets.dataset import Dataset, Indices, Split
from rsuq_cli.datasets.fitted import FittedDataset
from rsuq_cli.datasets.subset import spread

# The key of a checkpoint's metadata.
TRAINED_ON = "trained_on"
# Fewer images say too little about a threshold.
FEWEST = 10


class Unseen(NamedTuple):
    """The data with calibration images that training did not see, and what belongs to the run, "" where nothing."""

    dataset: Dataset
    warning: str = ""


def seen_images(metadata: Mapping[str, Any]) -> SeenImages | None:
    """Returns the images that the weights say they were trained on; None where they do not say."""
    stored = metadata.get(TRAINED_ON)
    return SeenImages.unpacked(stored) if isinstance(stored, str) and stored else None


def unseen_calibration(
    dataset: Dataset, name: str, metadata: Mapping[str, Any], which: str, before: Sequence[Mapping[str, Any]] = ()
) -> Unseen:
    """Returns the data set, kept under `name`, without calibration images that `which` was trained on.

    Nor are images put in their place that networks `before` it, whose metadata these are, were trained on.
    """
    held_out = dataset.calibration_indices
    seen = seen_images(metadata)
    if not len(held_out):
        return Unseen(dataset)
    if seen is None:
        return Unseen(dataset, _moved(held_out, name, metadata, which))
    spoiled = seen.among(dataset.load("calibration").images)
    if not spoiled.any():
        return Unseen(dataset)
    count = f"{int(spoiled.sum()):,} of the {len(held_out):,} calibration images of {dataset.name}"
    everyone = [seen, *filter(None, map(seen_images, before))]
    chosen = _replaced(dataset, held_out[~spoiled], everyone, len(held_out))
    if len(chosen) < max(FEWEST, len(held_out) / 2):
        return Unseen(
            FittedDataset(dataset, calibration=np.empty(0, dtype=np.int64)),
            f"{count} are among those that {which} was trained on, and too few others are left to calibrate with",
        )
    return Unseen(
        FittedDataset(dataset, calibration=chosen),
        f"{count} are among those that {which} was trained on: thresholds are calibrated on {len(chosen):,} images "
        "that it did not see",
    )


def seen_warning(split: Split, metadata: Mapping[str, Any], which: str) -> str:
    """Returns a line where training saw some of the inputs that are certified; "" where it did not."""
    seen = seen_images(metadata)
    count = 0 if seen is None else int(seen.among(split.images).sum())
    return f"{count:,} of the {len(split):,} inputs are among the images that {which} was trained on" if count else ""


def _replaced(dataset: Dataset, kept: Indices, seen: Sequence[SeenImages], wanted: int) -> Indices:
    """Returns the calibration images that are kept, filled up with other unseen ones of the train file."""
    train = dataset.load("train")
    others = train.indices[~np.any([one.among(train.images) for one in seen], axis=0)]
    return np.sort(np.concatenate([kept, spread(others, wanted - len(kept))]))


def _moved(held_out: Indices, name: str, metadata: Mapping[str, Any], which: str) -> str:
    """Returns a line where a checkpoint from before images were hashed held out others than those that calibrate."""
    before = metadata.get("calibration_indices")
    if metadata.get("dataset") != name or not isinstance(before, (list, tuple)) or not before:
        return ""
    if list(before) == held_out.tolist():
        return ""
    return f"{which} held out other images than those that calibrate now: it may have been trained on some of these"
