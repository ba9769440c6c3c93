"""The embedded digits: scikit-learn's own pixels and labels, divided once and for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from rsuq_cli.datasets.digits import Digits


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


def test_description(digits):
    assert digits.name == "digits"
    assert digits.class_names == tuple("0123456789")
    assert digits.shape == (1, 8, 8)
    assert not digits.augment_flip


def test_three_splits_partition_the_array(digits):
    sizes = [len(digits.indices(s)) for s in ("train", "calibration", "test")]
    assert sizes == [1077, 360, 360]
    every = np.concatenate([digits.indices(s) for s in ("train", "calibration", "test")])
    assert np.array_equal(np.sort(every), np.arange(1797))
    assert np.array_equal(digits.calibration_indices, digits.indices("calibration"))


@pytest.mark.parametrize("name", ["train", "calibration", "test"])
def test_inputs_are_scikit_learns_at_their_positions(digits, name):
    images, labels = load_digits(return_X_y=True)
    split = digits.load(name)
    assert split.images.dtype == torch.uint8
    assert np.array_equal(split.labels.numpy(), labels[split.indices])
    exact = images[split.indices].reshape(-1, 1, 8, 8) * 255 / 16
    assert np.abs(split.images.numpy() - exact).max() <= 0.5


def test_every_class_has_its_share(digits):
    for name, share in (("test", 0.2), ("calibration", 0.2), ("train", 0.6)):
        counts = np.bincount(digits.load(name).labels.numpy(), minlength=10)
        whole = np.bincount(load_digits().target)
        assert np.abs(counts - share * whole).max() <= 1.5


def test_the_division_never_changes(digits):
    # Frozen: positions are keys in databases, and checkpoints were trained without these inputs.
    assert digits.indices("test")[:8].tolist() == [10, 12, 18, 23, 25, 30, 35, 36]
    assert digits.calibration_indices[:8].tolist() == [0, 11, 15, 16, 20, 31, 37, 38]
    assert digits.load("test").sha256() == "bcc6053efe5d75129399d06110358a3dc81b4a9ca1ee6808cadcbf675cff0c16"


def test_image_size():
    split = Digits(image_size=16).load("test", Digits().indices("test")[:3])
    assert split.images.shape == (3, 1, 16, 16)
