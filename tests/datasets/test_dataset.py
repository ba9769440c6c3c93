"""Splits, their hashes, pixels, and what every data set does with indices."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from rsuq_cli.datasets.dataset import Arrays, Dataset, Split, pixels
from rsuq_cli.errors import BadInput


class Counted(Dataset):
    """Ten 1×1 images whose value is their position; counts how often they are read."""

    def __init__(self) -> None:
        super().__init__("counted", ("a", "b"), (1, 1, 1), augment_crop=False, augment_flip=False)
        self.reads = 0

    def indices(self, split):
        return {"train": np.arange(0, 8), "calibration": np.arange(8, 10), "test": np.arange(10)}[split]

    def _read(self, split, indices):
        self.reads += 1
        values = torch.from_numpy(indices.copy())
        return Arrays(values.to(torch.uint8).reshape(-1, 1, 1, 1), values % 2)


def split(images=None, labels=(0, 1), indices=(3, 5)):
    images = torch.arange(8, dtype=torch.uint8).reshape(2, 1, 2, 2) if images is None else images
    return Split(images, torch.tensor(labels), np.array(indices, dtype=np.int64))


def test_equal_content_has_equal_hash():
    assert split().sha256() == split().sha256()
    assert len(split().sha256()) == 64


@pytest.mark.parametrize(
    "other",
    [
        split(images=torch.arange(1, 9, dtype=torch.uint8).reshape(2, 1, 2, 2)),
        split(images=torch.arange(8, dtype=torch.uint8).reshape(2, 1, 1, 4)),
        split(images=torch.arange(8, dtype=torch.int8).reshape(2, 1, 2, 2)),
        split(labels=(0, 0)),
        split(indices=(3, 6)),
    ],
    ids=["pixels", "shape", "type", "labels", "indices"],
)
def test_any_difference_changes_the_hash(other):
    assert other.sha256() != split().sha256()


def test_the_hash_does_not_depend_on_memory_layout():
    images = torch.arange(12, dtype=torch.uint8).reshape(2, 3, 1, 2)
    strided = images.to(memory_format=torch.channels_last)
    assert split(images=strided).sha256() == split(images=images).sha256()


def test_a_split_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="2 images, 2 labels, 3 indices"):
        split(indices=(1, 2, 3))


def test_pixels_divides_bytes_and_keeps_floats():
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(pixels(every), torch.arange(256).reshape(1, 1, 16, 16) / 255)
    assert pixels(every).dtype == torch.float32
    assert every.flatten()[255] == 255
    floats = torch.rand(2, 1, 2, 2)
    assert pixels(floats) is floats
    with pytest.raises(TypeError, match="float64"):
        pixels(floats.double())


def test_load_keeps_the_order_asked_for():
    loaded = Counted().load("test", np.array([7, 2, 4]))
    assert loaded.images.flatten().tolist() == [7, 2, 4]
    assert loaded.labels.tolist() == [1, 0, 0]
    assert loaded.indices.tolist() == [7, 2, 4]
    assert len(loaded) == 3


def test_a_held_split_is_not_read_again_and_a_dropped_one_is_freed():
    dataset = Counted()
    first = dataset.load("train")
    assert dataset.load("train") is first
    assert dataset.load("train", np.arange(8)) is first
    assert dataset.reads == 1
    assert dataset.load("test", np.arange(8)) is not first
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("name", "index"), [("train", 8), ("calibration", 0), ("test", 10), ("test", -1)])
def test_an_index_of_another_split_is_refused(name, index):
    with pytest.raises(BadInput, match=f"input {index} is not in the {name} split of counted"):
        Counted().load(name, np.array([index]))


def test_description():
    dataset = Counted()
    assert dataset.num_classes == 2
    assert dataset.calibration_indices.tolist() == [8, 9]
    assert repr(dataset) == "<data set counted: 2 classes, shape (1, 1, 1)>"
