"""A data set without some of its classes, and those classes as a set of their own.

Invariant: positions are those of the whole data set, so an input has one number whether its class is in or out. The
name says which classes are out, `digits-without-8,9`, and opens the same data wherever a data set is named. A class is
meant by its name, and by its id where no class has that name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rsuq_cli.datasets.dataset import Arrays, Dataset, Indices, Listener, Split, SplitName
from rsuq_cli.datasets.names import BY_NAME, without
from rsuq_cli.errors import BadInput, nearest


class HeldOutDataset(Dataset):
    """The other classes of a data set, numbered anew from 0, in every split."""

    def __init__(self, whole: Dataset, classes: Sequence[str], recorded: Sequence[str] | None = None) -> None:
        """`classes` are names or ids; `recorded` are the names of the classes that are in, where they are on record.

        Raises `BadInput` for an unknown one, and where fewer than two would be left.
        """
        self.whole = whole
        self.held_out = _held_out(whole, classes, recorded)
        self.kept = _others(whole, self.held_out)
        if len(self.kept) < 2:
            raise BadInput(
                f"{len(self.kept)} of the {whole.num_classes} classes of {whole.name} would be left",
                "hold out fewer, so that there are two to tell apart",
            )
        super().__init__(
            without(whole.name, ",".join(_spelling(whole, c) for c in self.held_out)),
            tuple(whole.class_names[c] for c in self.kept),
            whole.shape,
            augment_crop=whole.augment_crop,
            augment_flip=whole.augment_flip,
        )
        self._new_label = torch.full((whole.num_classes,), -1)
        self._new_label[list(self.kept)] = torch.arange(len(self.kept))
        names = ", ".join(whole.class_names[c] for c in self.held_out)
        self.note(f"held out of {whole.name}: {'class' if len(self.held_out) == 1 else 'classes'} {names}")

    def tell(self, listener: Listener) -> None:
        """Passes on what there is to say of the whole data set too."""
        self.whole.tell(listener)
        super().tell(listener)

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


def _held_out(whole: Dataset, classes: Sequence[str], recorded: Sequence[str] | None) -> tuple[int, ...]:
    """Returns the ids of the classes that are out, ascending.

    Names of older results have ids even where a class is called by the number of another: what is on record tells.
    """
    by_name = tuple(sorted({_class_id(whole, one) for one in classes}))
    if recorded is None or [whole.class_names[c] for c in _others(whole, by_name)] == list(recorded):
        return by_name
    by_id = tuple(sorted({int(one) for one in classes if one.isdecimal() and int(one) < whole.num_classes}))
    ids_fit = [whole.class_names[c] for c in _others(whole, by_id)] == list(recorded)
    return by_id if ids_fit else by_name


def _others(whole: Dataset, held_out: Sequence[int]) -> tuple[int, ...]:
    return tuple(c for c in range(whole.num_classes) if c not in held_out)


def _class_id(dataset: Dataset, word: str) -> int:
    if word in dataset.class_names:
        return dataset.class_names.index(word)
    if word.startswith(BY_NAME) and word.removeprefix(BY_NAME) in dataset.class_names:
        return dataset.class_names.index(word.removeprefix(BY_NAME))
    if word.isdecimal() and int(word) < dataset.num_classes:
        return int(word)
    raise BadInput(f"{dataset.name} has no class {word!r}", nearest(word, dataset.class_names))


def _spelling(dataset: Dataset, class_id: int) -> str:
    """Returns how a class is written in a name: its id, unless that is the name of another class."""
    name = dataset.class_names[class_id]
    for word in (str(class_id), BY_NAME + name):
        if "," not in word and word == word.strip() and _class_id(dataset, word) == class_id:
            return word
    raise BadInput(
        f"class {class_id} of {dataset.name} cannot be held out by its name {name!r}: "
        f"its id is the name of class {_class_id(dataset, str(class_id))}",
        "give the classes other names",
    )
