"""Whole files in memory: held once, split into views, resized without changing type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.datasets.arrays import ArrayDataset, resized
from rsuq_cli.datasets.dataset import Arrays

TRAIN, TEST = 50, 7


class Numbered(ArrayDataset):
    """Images whose only pixel is their position (tests from 100 on), with two classes."""

    reads = 0

    def __init__(self) -> None:
        super().__init__("numbered", ("even", "odd"), (1, 1, 1))

    def _read_file(self, file):
        self.reads += 1
        values = torch.arange(TRAIN) if file == "train" else torch.arange(100, 100 + TEST)
        return Arrays(values.to(torch.uint8).reshape(-1, 1, 1, 1), values % 2)


def storage(images: torch.Tensor) -> int:
    return images.untyped_storage().data_ptr()


def test_splits_are_disjoint_views_of_one_tensor():
    dataset = Numbered()
    train, calibration, test = (dataset.load(s) for s in ("train", "calibration", "test"))
    assert sorted([*train.indices, *calibration.indices]) == list(range(TRAIN))
    assert len(calibration) == 5
    assert storage(train.images) == storage(calibration.images) != storage(test.images)
    assert train.images.untyped_storage().nbytes() == TRAIN
    assert dataset.reads == 2


@pytest.mark.parametrize("name", ["train", "calibration", "test"])
def test_pixels_and_labels_belong_to_their_index(name):
    loaded = Numbered().load(name)
    first = 100 if name == "test" else 0
    assert np.array_equal(loaded.images.flatten().numpy(), loaded.indices + first)
    assert np.array_equal(loaded.labels.numpy(), loaded.indices % 2)


@given(data=st.data())
def test_any_subset_in_any_order(data):
    dataset = Numbered()
    name = data.draw(st.sampled_from(["train", "calibration", "test"]))
    wanted = data.draw(st.lists(st.sampled_from(dataset.indices(name).tolist()), unique=True))
    loaded = dataset.load(name, np.array(wanted, dtype=np.int64))
    assert loaded.images.flatten().tolist() == [i + 100 if name == "test" else i for i in wanted]
    assert loaded.images.shape == (len(wanted), 1, 1, 1)


def test_a_run_of_inputs_is_a_view():
    dataset = Numbered()
    whole, part = dataset.load("test"), dataset.load("test", np.arange(2, 5))
    assert storage(part.images) == storage(whole.images)
    assert part.images.flatten().tolist() == [102, 103, 104]


@pytest.mark.parametrize("side", [3, 8, 20])
def test_resizing_keeps_a_constant_image_and_its_type(side):
    grey = torch.full((3, 1, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(resized(grey, (side, side)), torch.full((3, 1, side, side), 77, dtype=torch.uint8))
    floats = resized(torch.full((3, 1, 8, 8), 0.3), (side, side))
    assert floats.dtype == torch.float32
    torch.testing.assert_close(floats, torch.full((3, 1, side, side), 0.3))


def test_resizing_antialiases():
    # Halving a fine checkerboard must give grey; without antialiasing it gives black or white.
    board = ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float().reshape(1, 1, 16, 16)
    assert (resized(board, (4, 4)) - 0.5).abs().max() < 0.05


@given(seed=st.integers(0, 100), side=st.integers(1, 12))
def test_resized_pixels_stay_in_range(seed, side):
    images = torch.randint(0, 2, (2, 1, 5, 5), generator=torch.Generator().manual_seed(seed)).float()
    out = resized(images, (side, side))
    assert out.min() >= 0
    assert out.max() <= 1


def test_the_same_size_costs_nothing():
    images = torch.zeros(1, 1, 4, 4)
    assert resized(images, (4, 4)) is images
