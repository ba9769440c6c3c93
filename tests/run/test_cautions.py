"""What is said before sampling: another sigma, accuracy near chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rsuq_cli.run.cautions import is_near_chance, other_sigma


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"sigma": 0.5}, "trained at sigma 0.5, and are certified at sigma 0.25; --sigma 0.5 is its own"),
        ({"noise_sd": 0.0}, "trained without noise"),
        ({"noise_sd": "0.12"}, "at sigma 0.12"),
        ({"noise_std": 1}, "at sigma 1,"),
        ({"noise_level": 128}, "at sigma 0.50196"),
        ({"sigma": 0.25}, ""),
        ({"sigma": 64 / 255}, ""),
        ({"sigma": 64}, ""),
        ({"sigma": "big", "noise_sd": None}, ""),
        ({"sigma": True}, ""),
        ({"sigma": float("nan")}, ""),
        ({"epoch": 90}, ""),
    ],
)
def test_weights_of_another_sigma(metadata: dict[str, Any], words: str) -> None:
    line = other_sigma(metadata, "w.pth", 0.25)
    assert words in line
    assert bool(line) == bool(words)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("models/cifar10/resnet110/noise_0.50/checkpoint.pth.tar", "at sigma 0.5,"),
        ("models/cifar10/noise_0.25/checkpoint.pth.tar", ""),
        ("/data/noise_0.50/resnet110/noise_0.25/best.pth", ""),
        ("cnn-digits-sigma0.12-01234567.safetensors", "at sigma 0.12,"),
        ("resnet110.pth", ""),
    ],
)
def test_the_folder_of_a_released_checkpoint_tells_its_sigma(source: str, words: str) -> None:
    line = other_sigma({}, source, 0.25)
    assert words in line
    assert bool(line) == bool(words)


LABELS = np.arange(200) % 10


def test_answers_that_know_nothing_of_the_labels_are_near_chance() -> None:
    random = np.random.default_rng(0)
    assert is_near_chance(LABELS, np.zeros(200, dtype=np.int64))
    assert is_near_chance(LABELS, np.full(200, -1))
    assert sum(is_near_chance(LABELS, random.integers(0, 10, 200)) for _ in range(300)) >= 297
    # The commonest class as the only answer, or nearly.
    skewed = (random.random(500) < 0.1).astype(np.int64)
    assert is_near_chance(skewed, np.zeros(500, dtype=np.int64))
    assert is_near_chance(skewed, (random.random(500) < 0.02).astype(np.int64))


def test_answers_that_know_something_are_not() -> None:
    random = np.random.default_rng(0)
    assert not is_near_chance(LABELS, LABELS)
    known = np.where(random.random(200) < 0.3, LABELS, random.integers(0, 10, 200))
    assert not is_near_chance(LABELS, known)
    skewed = (random.random(500) < 0.1).astype(np.int64)
    assert not is_near_chance(skewed, skewed)


def test_too_few_labels_or_one_class_tell_nothing() -> None:
    assert not is_near_chance(LABELS[:19], np.zeros(19, dtype=np.int64))
    assert not is_near_chance(np.zeros(100, dtype=np.int64), np.zeros(100, dtype=np.int64))


def test_the_spread_is_that_of_all_orders() -> None:
    """Against every order of a small set: expectation and variance of the matches."""
    random = np.random.default_rng(1)
    labels, answers = np.repeat([0, 1, 2], [10, 10, 4]), np.repeat([0, 1, 2], [14, 6, 4])
    matches = np.array([(labels == random.permutation(answers)).sum() for _ in range(4000)])
    bar = matches.mean() + 3 * matches.std()
    for right in (int(bar) - 1, int(bar) + 2):
        # The same answers, placed so that so many are right.
        for _ in range(20000):
            placed = random.permutation(answers)
            if (labels == placed).sum() == right:
                assert is_near_chance(labels, placed) == (right <= bar)
                break
        else:
            pytest.skip(f"no order with {right} right was drawn")
