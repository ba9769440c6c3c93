"""A data set as a trained network needs it: its classes in the network's order, or other calibration images.

Invariant: positions and pixels are those of the data set; labels and class names are permuted together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rsuq_cli.datasets.dataset import Arrays, Dataset, Indices, Listener, SplitName

_TRAIN_FILE: tuple[SplitName, ...] = ("train", "calibration")


class FittedDataset(Dataset):
    """A data set with its classes numbered anew, among others where a network knows more, or with other calibration
    images.
    """

    def __init__(
        self,
        whole: Dataset,
        *,
        order: Sequence[int] | None = None,
        calibration: Indices | None = None,
        among: Sequence[str] | None = None,
    ) -> None:
        """`order` has the old number of every class, `calibration` positions in the train file.

        `among`, in the place of `order`, are names in their new order: of all classes, and of others that no input has.
        """
        self.whole = whole
        order = range(whole.num_classes) if order is None else order
        super().__init__(
            whole.name,
            tuple(whole.class_names[c] for c in order) if among is None else tuple(among),
            whole.shape,
            augment_crop=whole.augment_crop,
            augment_flip=whole.augment_flip,
        )
        self._new_label = torch.argsort(torch.tensor(list(order)))
        if among is not None:
            self._new_label = torch.tensor([list(among).index(name) for name in whole.class_names])
        self._calibration = calibration

    def tell(self, listener: Listener) -> None:
        """Says what the data set has to say."""
        self.whole.tell(listener)

    def indices(self, split: SplitName) -> Indices:
        """Returns the positions available in `split`; what calibrates is not trained on."""
        if self._calibration is None or split == "test":
            return self.whole.indices(split)
        if split == "calibration":
            return self._calibration
        return np.setdiff1d(self.whole.indices("train"), self._calibration)

    def labels(self, split: SplitName) -> Indices:
        """Returns the new label of every input of `split`."""
        if self._calibration is None or split == "test":
            old = self.whole.labels(split)
        else:
            by_position = {
                int(position): int(label)
                for part in _TRAIN_FILE
                for position, label in zip(self.whole.indices(part), self.whole.labels(part), strict=True)
            }
            old = np.array([by_position[int(position)] for position in self.indices(split)], dtype=np.int64)
        labels: Indices = self._new_label.numpy()[old]
        return labels

    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        if split != "calibration" or self._calibration is None:
            part = self.whole.load(split, indices)
            return Arrays(part.images, self._new_label[part.labels])
        # Some lie in the train split of the data set.
        own = np.isin(indices, self.whole.indices("calibration"))
        parts = [self.whole.load("train", indices[~own]), self.whole.load("calibration", indices[own])]
        back = torch.from_numpy(np.argsort(np.concatenate([np.flatnonzero(~own), np.flatnonzero(own)])))
        images, labels = torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
        return Arrays(images[back], self._new_label[labels[back]])


def original(dataset: Dataset) -> Dataset:
    """Returns the data set as it was opened."""
    return original(dataset.whole) if isinstance(dataset, FittedDataset) else dataset
