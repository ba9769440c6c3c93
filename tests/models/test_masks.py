"""Masks from the input's own bits: the generator by its known answers, the masks by their statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from rsuq_cli.models.masks import dropped, keys_of, mixed

STEP = 0x9E3779B97F4A7C15


def splitmix64(seed: int, count: int) -> list[int]:
    """The generator as published, in Python's integers."""
    found, state = [], seed
    for _ in range(count):
        state = (state + STEP) % 2**64
        value = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
        found.append(value ^ (value >> 31))
    return found


def test_the_generator_gives_the_published_numbers() -> None:
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert splitmix64(1234567, 5) == known
    states = torch.tensor([(1234567 + place * STEP) % 2**64 for place in range(1, 6)], dtype=torch.uint64)
    ours = mixed(states.view(torch.int64)).view(torch.uint64)
    assert ours.tolist() == known


def noisy(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_keys_differ_wherever_inputs_do_and_do_not_depend_on_the_batch() -> None:
    images = noisy(2000)
    keys = keys_of(images, 0)
    assert len(set(keys.tolist())) == 2000
    assert (keys_of(images.flip(0), 0).flip(0) == keys).all()
    assert (keys_of(images[7:8], 0) == keys[7]).all()
    assert (keys_of(images, 1) != keys).all()
    moved = images[:1].repeat(48, 1, 1, 1)
    moved.view(48, 48)[torch.arange(48), torch.arange(48)] = torch.nextafter(
        moved.view(48, 48).diagonal(), torch.tensor(2.0)
    )
    assert len({*keys_of(moved, 0).tolist(), int(keys[0])}) == 49
    assert (keys_of(torch.zeros(1, 3, 4, 4), 0) == keys_of(-torch.zeros(1, 3, 4, 4), 0)).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_mask_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    found = dropped(torch.ones(4000, 50), keys_of(noisy(4000), 0), rate, turn=0, layer=0)
    assert found.unique().tolist() == [0.0, pytest.approx(1 / (1 - rate))]
    share = float((found == 0).double().mean())
    assert share == pytest.approx(rate, abs=5 * (rate * (1 - rate) / 200_000) ** 0.5)


def kept(turn: int = 0, layer: int = 0, seed: int = 0) -> np.ndarray:
    keys = keys_of(noisy(4000), seed)
    return (dropped(torch.ones(4000, 50), keys, 0.5, turn=turn, layer=layer) > 0).numpy()


@pytest.mark.parametrize("other", [{"turn": 1}, {"layer": 1}, {"seed": 1}], ids=str)
def test_masks_of_other_passes_layers_and_seeds_are_independent(other: dict[str, int]) -> None:
    table = np.histogram2d(kept().ravel(), kept(**other).ravel(), bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_elements_and_samples_are_independent() -> None:
    mask = kept().astype(float)
    bound = 5.5 / np.sqrt(len(mask))
    assert np.abs(np.corrcoef(mask.T) - np.eye(50)).max() < bound
    assert np.abs(np.corrcoef(mask[:200]) - np.eye(200)).max() < 5.5 / np.sqrt(50)
    counts = np.bincount(mask.sum(axis=1).astype(int), minlength=51)
    expected = 4000 * stats.binom.pmf(np.arange(51), 50, 0.5)
    inside = expected > 20
    statistic = ((counts - expected)[inside] ** 2 / expected[inside]).sum()
    assert stats.chi2.sf(statistic, inside.sum() - 1) > 1e-4


def test_whole_channels_are_dropped() -> None:
    found = dropped(torch.ones(100, 8, 3, 3), keys_of(noisy(100), 0), 0.5, turn=0, layer=0, by_channel=True)
    assert ((found == 0).flatten(2).all(dim=2) | (found > 0).flatten(2).all(dim=2)).all()
    assert 0.3 < float((found == 0).double().mean()) < 0.7
