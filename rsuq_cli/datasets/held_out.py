"""A data set without some of its classes, and those classes as a set of their own.

Invariant: positions are those of the whole data set, so an input has one number whether its class is in or out. The
name says which classes are out, `digits-without-8,9`, and opens the same data wherever a data set is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from rsuq_cli.datasets.dataset import Arrays, Dataset, Indices, Split, SplitName
from rsuq_cli.errors import BadInput, nearest

SEPARATOR = "-without-"


class HeldOutName(NamedTuple):
    """The two parts of a name such as `digits-without-8,9`: a data set, and the classes that are held out of it."""

    dataset: str
    classes: tuple[str, ...]


def held_out_name(name: str) -> HeldOutName | None:
    """Returns the parts of the name of a data set with classes held out, None where it is no such name."""
    dataset, separator, classes = name.rpartition(SEPARATOR)
    if not (separator and dataset and classes) or "/" in classes:
        return None
    return HeldOutName(dataset, tuple(part.strip() for part in classes.split(",")))


def without(dataset: str, classes: str) -> str:
    """Returns the name of a data set with these classes, ids or names split by commas, held out."""
    return f"{dataset}{SEPARATOR}{classes}"


class HeldOutDataset(Dataset):
    """The other classes of a data set, numbered anew from 0, in every split."""

    def __init__(self, whole: Dataset, classes: Sequence[str]) -> None:
        """`classes` are ids or names. Raises `BadInput` for an unknown one, and where fewer than two would be left."""
        self.whole = whole
        self.held_out = tuple(sorted({_class_id(whole, one) for one in classes}))
        self.kept = tuple(c for c in range(whole.num_classes) if c not in self.held_out)
        if len(self.kept) < 2:
            raise BadInput(
                f"{len(self.kept)} of the {whole.num_classes} classes of {whole.name} would be left",
                "hold out fewer, so that there are two to tell apart",
            )
        super().__init__(
            without(whole.name, ",".join(map(str, self.held_out))),
            tuple(whole.class_names[c] for c in self.kept),
            whole.shape,
            augment_crop=whole.augment_crop,
            augment_flip=whole.augment_flip,
        )
        self._new_label = torch.full((whole.num_classes,), -1)
        self._new_label[list(self.kept)] = torch.arange(len(self.kept))

    def indices(self, split: SplitName) -> Indices:
        """Returns the positions of the inputs of `split` whose class is in."""
        return self._positions(split, self.kept)

    def labels(self, split: SplitName) -> Indices:
        """Returns the new label of every input of `split`."""
        labels = self.whole.labels(split)
        return self._new_label.numpy()[labels[np.isin(labels, self.kept)]]

    def held_out_indices(self, split: SplitName) -> Indices:
        """Returns the positions of the inputs of `split` whose class is out."""
        return self._positions(split, self.held_out)

    def load_held_out(self, split: SplitName, indices: Indices) -> Split:
        """Returns inputs of the classes that are out, with their labels in the whole data set."""
        return self.whole.load(split, indices)

    def _positions(self, split: SplitName, classes: tuple[int, ...]) -> Indices:
        return self.whole.indices(split)[np.isin(self.whole.labels(split), classes)]

    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        part = self.whole.load(split, indices)
        return Arrays(part.images, self._new_label[part.labels])


def _class_id(dataset: Dataset, name: str) -> int:
    if name.isdecimal() and int(name) < dataset.num_classes:
        return int(name)
    if name in dataset.class_names:
        return dataset.class_names.index(name)
    raise BadInput(f"{dataset.name} has no class {name!r}", nearest(name, dataset.class_names))
