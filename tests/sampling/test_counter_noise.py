"""Noise of a counter is a function of (seed, stream, input, sample, pixel) alone, and it is Gaussian."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from counters import by_hand, counter_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling import counter_noise
from rsuq_cli.sampling.counter_noise import CounterNoise, gaussian_noise
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.noise import Copies, GaussianNoise, Stream
from rsuq_cli.sampling.philox import PHILOX, rows_of, words
from rsuq_cli.uncertainty.thresholds import calibrated_edges

CPU = torch.device("cpu")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SHAPE = (1, 2, 3)
Array = npt.NDArray[np.float32]


def drawn(
    size: int, *, seed: int = 0, stream: Stream = Stream.ESTIMATION, index: int = 7, start: int = 0,
    shape: tuple[int, int, int] = SHAPE, device: str = "cpu",
) -> Array:  # fmt: skip
    """Returns standard normal samples, flattened: `[size, C * H * W]`."""
    place = torch.device(device)
    out = torch.empty((size, *shape), device=place)
    source = CounterNoise(seed=seed, sigma=1.0, shape=shape, device=place)
    source.write(out, torch.zeros((1, *shape), device=place), [Copies(stream, index, start, size)])
    return out.flatten(1).cpu().numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pixels", [1, 2, 3, 4, 5, 6, 7, 9])
def test_a_value_is_the_transform_of_its_words(device: str, pixels: int) -> None:
    """Against Box and Muller's formula in float64, on words of plain integers."""
    found = drawn(3, seed=2**40 + 5, stream=Stream.TRIAL, index=9, start=98, shape=(1, 1, pixels), device=device)
    groups = -(-pixels // 4)
    for row in range(3):
        for pixel in range(pixels):
            random = by_hand((5, 2**8), counter_of(Stream.TRIAL, 9, 98 + row, pixel % groups))
            half, side = divmod(pixel // groups, 2)
            radius = math.sqrt(-2 * math.log((random[2 * half] + 0.5) / 2**32))
            angle = 2 * math.pi * random[2 * half + 1] / 2**32
            assert found[row, pixel] == pytest.approx(radius * (math.sin if side else math.cos)(angle), abs=5e-6)


@pytest.mark.parametrize("device", DEVICES)
@given(cuts=st.lists(st.integers(1, 300), min_size=1, max_size=6), start=st.integers(0, 300))
def test_any_cut_into_batches_gives_the_same_bits(device: str, cuts: list[int], start: int) -> None:
    whole = drawn(start + sum(cuts), device=device)[start:]
    starts = start + np.cumsum([0, *cuts[:-1]])
    pieces = [drawn(size, start=int(at), device=device) for size, at in zip(cuts, starts, strict=True)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_a_batch_that_is_made_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    whole = drawn(20)
    monkeypatch.setattr(counter_noise, "_VALUES_AT_ONCE", rows * math.prod(SHAPE))
    np.testing.assert_array_equal(drawn(20), whole)


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_of_many_inputs_is_what_each_has_alone(device: str) -> None:
    images = torch.randint(0, 256, (3, *SHAPE), dtype=torch.uint8).to(device)
    source = CounterNoise(seed=4, sigma=0.37, shape=SHAPE, device=torch.device(device))
    wanted = [Copies(Stream.SELECTION, 3, 95, 7), Copies(Stream.ESTIMATION, 3, 0, 20), Copies(Stream.TRIAL, 0, 1, 1)]
    out = torch.empty((28, *SHAPE), device=device)
    source.write(out, images, wanted)
    for image, copies, found in zip(images, wanted, torch.split(out, [7, 20, 1]), strict=True):
        noise = torch.from_numpy(
            drawn(copies.size, seed=4, stream=copies.stream, index=copies.input_index, start=copies.start)
        )
        expected = image.cpu().float() / 255 + 0.37 * noise.view(-1, *SHAPE)
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=2e-6)


def test_every_part_of_the_key_counts_and_keys_are_uncorrelated() -> None:
    keys = [
        (seed, stream, index, start)
        for seed in (0, 1, 2**40)
        for stream in Stream
        for index in (0, 1, 2**62 + 1)
        for start in (0, 100)
    ]
    blocks = np.stack([
        drawn(100, seed=seed, stream=stream, index=index, start=start, shape=(1, 10, 10)).ravel()
        for seed, stream, index, start in keys
    ])  # fmt: skip
    correlation = np.corrcoef(blocks) - np.eye(len(keys))
    # 2,556 pairs of 10,000 values each: the largest of so many is near 3.6 standard errors of 0.01.
    assert np.abs(correlation).max() < 0.05


def test_the_length_of_a_sample_is_chi_distributed() -> None:
    values = drawn(200, shape=(3, 16, 16)).astype(np.float64)
    assert stats.kstest((values**2).sum(axis=1), stats.chi2(values.shape[1]).cdf).pvalue > 1e-4


def test_the_extreme_words_have_finite_values() -> None:
    """The radius of word 0 is the largest, sqrt(66 log 2); that of the last word is 0, as 1 is the nearest float."""
    found = drawn(1, shape=(1, 1, 4))[0]
    assert np.isfinite(found).all()
    extreme = torch.tensor([0, 2**32 - 1])
    radius = extreme.to(torch.float32).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    assert radius.tolist() == [pytest.approx(math.sqrt(66 * math.log(2))), 0.0]


@pytest.mark.slow
def test_ten_million_values_are_independent_and_normal() -> None:
    values = drawn(10_000, shape=(1, 10, 100), start=12_345).astype(np.float64)
    flat = values.ravel()
    count = flat.size
    assert count == 10**7
    # Moments 1 to 4 of N(0, 1) are 0, 1, 0, 3, with variances 1, 2, 15, 96 over the count.
    for power, expected, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs((flat**power).mean() - expected) < 5 * np.sqrt(variance / count)
    assert stats.kstest(flat, "norm").pvalue > 1e-4
    for level in (4.0, 5.0):  # the tails are what large radii hang on
        assert stats.binomtest(int((np.abs(flat) > level).sum()), count, 2 * stats.norm.sf(level)).pvalue > 1e-4
    # Neighbours, values of one group (250 apart), and their squares, which share a radius.
    for powers in (values, values**2 - 1):
        deviation = (powers**2).mean()
        for lag in (1, 2, 249, 250, 251, 500, 750):
            product = (powers[:, lag:] * powers[:, :-lag]) / deviation
            assert abs(product.mean()) < 5 / np.sqrt(product.size), lag
        for lag in (1, 2, 100):
            product = (powers[lag:] * powers[:-lag]) / deviation
            assert abs(product.mean()) < 5 / np.sqrt(product.size), lag


@pytest.mark.slow
def test_the_bits_of_ten_million_words_are_fair() -> None:
    rows = rows_of([Copies(Stream.ESTIMATION, 3, 0, 2_500)])
    for part in words(11, torch.from_numpy(rows.counters), 1_000):
        ones = np.unpackbits(part.numpy().astype("<u4").view(np.uint8).reshape(-1, 4), axis=1).sum(axis=0)
        assert np.abs(ones - part.numel() / 2).max() < 5 * np.sqrt(part.numel() / 4)


# The engine


def test_numpy_draws_on_the_cpu_and_philox_elsewhere_or_where_it_is_named() -> None:
    usual = gaussian_noise(seed=0, sigma=0.5, shape=SHAPE, device=CPU)
    assert isinstance(usual, GaussianNoise)
    assert usual.generator is None
    for device, named in ((CPU, PHILOX), (torch.device("cuda:0"), None), (torch.device("mps"), None)):
        other = gaussian_noise(seed=0, sigma=0.5, shape=SHAPE, device=device, generator=named)
        assert isinstance(other, CounterNoise)
        assert other.generator == PHILOX


def test_evidence_does_not_depend_on_the_batches() -> None:
    shape = (1, 8, 8)
    torch.manual_seed(0)
    model = build("mlp", shape=shape, num_classes=10).eval()
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    edges = calibrated_edges({}, thresholds={"entropy": (0.5, 1.0)}, coverages=())
    found = []
    for batch_size in (32, 64, 160):
        noise = CounterNoise(seed=1, sigma=0.5, shape=shape, device=CPU)
        engine = Engine(
            model, shape=shape, num_classes=10, sigma=0.5, seed=1, device=CPU, batch_size=batch_size, noise=noise
        )
        assert engine.noise_generator == PHILOX
        counted = [one for part in engine.sample(images, [4, 5, 6], edges, n0=17, n=133) for one in part]
        found.append([one.histograms["entropy"].estimation.tolist() for one in counted])
    assert found[0] == found[1] == found[2]
