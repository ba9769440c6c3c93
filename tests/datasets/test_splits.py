"""The calibration split: a function of labels and seed, stratified, disjoint from training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsuq_cli.datasets.splits import hold_out, stratified_sample

some_labels = arrays(np.int64, st.integers(0, 300), elements=st.integers(0, 6))


@given(labels=some_labels, share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_every_class_gives_in_proportion_and_keeps_an_input(labels, share, seed):
    count = int(share * len(labels))
    chosen = stratified_sample(labels, count, seed=seed)
    assert len(chosen) <= count
    assert (np.diff(chosen) > 0).all()
    for c, size in zip(*np.unique(labels, return_counts=True), strict=True):
        taken = int((labels[chosen] == c).sum())
        exact = count * size / len(labels)
        assert taken <= size - 1
        assert min(np.floor(exact), size - 1) <= taken <= np.ceil(exact)


@given(labels=some_labels)
def test_division_is_a_partition(labels):
    train, calibration = hold_out(labels)
    assert np.array_equal(np.sort(np.concatenate([train, calibration])), np.arange(len(labels)))
    assert train.dtype == calibration.dtype == np.int64


@pytest.mark.parametrize(
    ("total", "held_out"), [(0, 0), (1, 0), (10, 1), (11, 2), (1000, 100), (20_000, 2000), (50_000, 2000)]
)
def test_ten_percent_at_most_two_thousand(total, held_out):
    assert len(hold_out(np.zeros(total, np.int64)).calibration) == held_out


def test_balanced_labels_give_balanced_calibration():
    labels = np.repeat(np.arange(100), 500)
    assert np.bincount(labels[hold_out(labels).calibration]).tolist() == [20] * 100


def test_the_choice_is_the_same_for_ever():
    # Frozen: checkpoints in the field were trained without exactly these inputs.
    assert hold_out(np.arange(60) % 3).calibration.tolist() == [2, 7, 12, 40, 48, 56]


def test_another_seed_chooses_others():
    labels = np.arange(1000) % 2
    assert not np.array_equal(stratified_sample(labels, 100, seed=1), stratified_sample(labels, 100, seed=2))
