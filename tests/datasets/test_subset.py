"""Which inputs are taken where not all are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from samples import write_npz

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.subset import in_class_order, same_subset, spread, subset


def _sorted_set(path: Path, classes: int = 3, each: int = 10) -> str:
    labels = np.repeat(np.arange(classes), each)
    return write_npz(path, x_test=np.zeros((len(labels), 2, 2), np.uint8), y_test=labels)


def test_data_in_class_order_are_told_from_mixed_ones() -> None:
    random = np.random.default_rng(0)
    for classes in (2, 3, 10, 100):
        labels = np.repeat(np.arange(classes), 20)
        assert in_class_order(labels)
        assert in_class_order(labels[::-1])
        assert in_class_order(labels[random.random(len(labels)) < 0.5])  # some are missing
        assert not in_class_order(random.permutation(labels))
        assert not in_class_order(np.tile(np.arange(classes), 20))
    assert not in_class_order(np.repeat([1], 50))
    assert not in_class_order(np.array([], dtype=np.int64))
    assert not in_class_order(np.array([1]))
    for name in ("digits", "digits-without-8,9"):
        assert not in_class_order(open_dataset(name).labels("test"))


def test_data_in_class_order_are_spread_and_mixed_ones_cut_off(tmp_path: Path) -> None:
    dataset = open_dataset(_sorted_set(tmp_path / "a.npz"))
    chosen = subset(dataset, "test", 1, 6)
    assert (chosen.indices.tolist(), chosen.evenly) == ([0, 5, 10, 15, 20, 25], True)
    chosen = subset(dataset, "test", 2, 5)
    assert (chosen.indices.tolist(), chosen.evenly) == ([0, 6, 12, 18, 24], True)
    digits = open_dataset("digits")
    chosen = subset(digits, "test", 2, 5)
    assert (chosen.indices.tolist(), chosen.evenly) == (digits.indices("test")[:10:2].tolist(), False)


@pytest.mark.parametrize("limit", [None, 30, 40])
def test_nothing_is_spread_where_all_are_taken(tmp_path: Path, limit: int | None) -> None:
    dataset = open_dataset(_sorted_set(tmp_path / "a.npz"))
    chosen = subset(dataset, "test", 1, limit)
    assert (chosen.indices.tolist(), chosen.evenly) == (list(range(30)), False)


def test_the_same_subset_is_found_again_and_the_old_one_too(tmp_path: Path) -> None:
    dataset = open_dataset(_sorted_set(tmp_path / "a.npz"))
    assert same_subset(dataset, "test", 2, 5, evenly=True).tolist() == [0, 6, 12, 18, 24]
    assert same_subset(dataset, "test", 2, 5, evenly=False).tolist() == [0, 2, 4, 6, 8]


def test_spread_takes_every_part_alike() -> None:
    indices = np.arange(10, 20)
    assert spread(indices, 5).tolist() == [10, 12, 14, 16, 18]
    assert spread(indices, 20) is indices
