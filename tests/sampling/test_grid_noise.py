"""Grid noise against exact probabilities, and a network on which floating-point noise is wrong and grid noise right."""

from __future__ import annotations

from bisect import bisect_right
from decimal import Context, Decimal, localcontext
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from counters import by_hand, counter_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.errors import BadInput
from rsuq_cli.sampling.grid_noise import (
    LARGEST_SIGMA,
    LEVELS,
    GridNoise,
    RoundedGaussian,
    rounded_gaussian,
    sampling_error,
)
from rsuq_cli.sampling.noise import BLOCK, Copies, GaussianNoise, Stream
from rsuq_cli.sampling.philox import PHILOX

SHAPE = (1, 2, 3)
# Numpy's noise and Philox's, which is the same everywhere.
SOURCES = [("cpu", None), ("cpu", PHILOX), *([("cuda", PHILOX)] if torch.cuda.is_available() else [])]
BITS = 63
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")
Source = tuple[str, str | None]


def probabilities(distribution: RoundedGaussian) -> dict[int, Decimal]:
    """Returns what is sampled, value by value, exactly."""
    thresholds = [0, *(int(t) for t in distribution.thresholds), 2**BITS]
    return {
        distribution.lowest + j: Decimal(high - low) / 2**BITS for j, (low, high) in enumerate(pairwise(thresholds))
    }


def upper_tail(x: Decimal) -> Decimal:
    """Returns P(N(0, 1) > x) for x >= 0 by 1/2 − φ(x) (x + x³/3 + x⁵/15 + …), whose terms are all positive."""
    total, term, odd = x, x, 1
    while term > total * Decimal("1e-75"):
        odd += 2
        term = term * x * x / odd
        total += term
    return Decimal("0.5") - (-x * x / 2).exp() / (2 * PI).sqrt() * total


def exact(value: int, sigma: float) -> Decimal:
    """Returns P(round(255 sigma N(0, 1)) = value), in the digits of the context, without the package's library."""
    deviation = Decimal(sigma) * LEVELS
    if value == 0:
        return 1 - 2 * upper_tail(Decimal("0.5") / deviation)
    low, high = (abs(value) - Decimal("0.5")) / deviation, (abs(value) + Decimal("0.5")) / deviation
    return upper_tail(low) - upper_tail(high)


@pytest.mark.parametrize("sigma", [0.001, 0.02, 0.25, pytest.param(0.5, marks=pytest.mark.slow)])
def test_the_distribution_is_within_its_stated_distance_of_the_rounded_gaussian(sigma: float) -> None:
    distribution = rounded_gaussian(sigma)
    with localcontext(Context(prec=80)):
        sampled = probabilities(distribution)
        inside = sum((abs(p - exact(value, sigma)) for value, p in sampled.items()), Decimal(0))
        outside = 1 - sum((exact(value, sigma) for value in sampled), Decimal(0))
        assert outside >= 0
        distance = (inside + outside) / 2
        assert sum(sampled.values()) == 1
        assert all(p >= 0 for p in sampled.values())
        # Stated, with room only for the roundings that the docstring counts.
        assert distance <= distribution.distance < 1e-15
        assert distribution.distance < 20 * (distance + Decimal(2) ** -60)


def new_noise(
    sigma: float = 0.25, seed: int = 0, shape: tuple[int, int, int] = SHAPE, source: Source = SOURCES[0]
) -> GridNoise:
    return GridNoise(sigma, seed, shape, torch.device(source[0]), source[1])


def levels(
    noise: GridNoise,
    image: torch.Tensor,
    *,
    size: int,
    start: int = 0,
    stream: Stream = Stream.ESTIMATION,
    index: int = 7,
) -> npt.NDArray[np.int64]:
    """Returns noisy inputs in units of 1/255, having seen that they are whole numbers of them."""
    out = torch.empty((size, *image.shape), device=noise.device)
    noise.write(out, image[None].to(noise.device), [Copies(stream, index, start, size)])
    units = (out.double() * LEVELS).round()
    assert torch.equal((units / LEVELS).float(), out)
    return units.long().cpu().numpy()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("sigma", [0.004, 0.25, 4.0])
def test_the_samples_have_the_exact_probabilities(sigma: float, source: Source) -> None:
    shape = (1, 20, 20)
    image = torch.zeros(shape, dtype=torch.uint8)
    values = levels(new_noise(sigma, shape=shape, source=source), image, size=1500).ravel()
    deviation = sigma * LEVELS
    edges = np.unique(np.round(np.linspace(-4.5, 4.5, 80) * deviation)) + 0.5
    expected = np.diff([0.0, *stats.norm.cdf(edges / deviation), 1.0]) * len(values)
    observed = np.bincount(np.searchsorted(edges, values), minlength=len(expected))
    kept = expected > 5
    observed = np.append(observed[kept], observed[~kept].sum())
    expected = np.append(expected[kept], expected[~kept].sum())
    assert stats.chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 1e-4


@pytest.mark.parametrize("sigma", [0.02, 0.25])
def test_every_single_value_has_its_probability(sigma: float) -> None:
    shape = (1, 20, 20)
    values = levels(new_noise(sigma, shape=shape), torch.zeros(shape, dtype=torch.uint8), size=2000).ravel()
    deviation = sigma * LEVELS
    span = np.arange(-int(3 * deviation), int(3 * deviation) + 1)
    expected = (stats.norm.cdf((span + 0.5) / deviation) - stats.norm.cdf((span - 0.5) / deviation)) * len(values)
    observed = np.bincount(values + 10_000, minlength=20_001)[span + 10_000]
    rest = len(values) - observed.sum(), len(values) - expected.sum()
    assert stats.chisquare([*observed, rest[0]], [*expected, rest[1]]).pvalue > 1e-4


def test_philoxs_values_are_those_of_the_thresholds_counted_by_hand() -> None:
    """Words 2k and 2k + 1 of a group are the 63 bits behind pixel g + 3k of five."""
    noise = new_noise(seed=3, shape=(1, 1, 5), source=("cpu", PHILOX))
    found = levels(noise, torch.full((1, 1, 5), 9, dtype=torch.uint8), start=40, size=2, stream=Stream.TRIAL, index=8)
    for row, sample in enumerate((40, 41)):
        words = [by_hand((3, 0), counter_of(Stream.TRIAL, 8, sample, group)) for group in range(3)]
        pairs = [words[pixel % 3][2 * (pixel // 3) :][:2] for pixel in range(5)]
        thresholds = noise.distribution.thresholds.tolist()
        expected = [noise.distribution.lowest + bisect_right(thresholds, (a << 32 | b) >> 1) for a, b in pairs]
        assert found[row].ravel().tolist() == [9 + value for value in expected]


@pytest.mark.parametrize("source", SOURCES)
@given(cuts=st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=5), start=st.integers(0, 3 * BLOCK))
def test_any_cut_into_fills_gives_the_same_rows(source: Source, cuts: list[int], start: int) -> None:
    image = torch.arange(6, dtype=torch.uint8).reshape(SHAPE) * 40
    whole = levels(new_noise(source=source), image, size=start + sum(cuts))[start:]
    noise = new_noise(source=source)
    pieces, at = [], start
    for size in cuts:
        pieces.append(levels(noise, image, size=size, start=at))
        at += size
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("source", SOURCES)
def test_every_part_of_the_key_counts_and_the_image_is_only_added(source: Source) -> None:
    dark, bright = (torch.full(SHAPE, level, dtype=torch.uint8) for level in (0, 200))
    keys = [(s, stream, i) for s in (0, 1) for stream in Stream for i in (0, 2**31 - 1)]
    drawn = [levels(new_noise(seed=s, source=source), dark, size=50, stream=stream, index=i) for s, stream, i in keys]
    assert len({one.tobytes() for one in drawn}) == len(keys)
    over, under = (levels(new_noise(source=source), image, size=250) for image in (bright, dark))
    np.testing.assert_array_equal(over - 200, under)


def test_neighbours_are_uncorrelated() -> None:
    values = levels(new_noise(shape=(1, 8, 8)), torch.zeros((1, 8, 8), dtype=torch.uint8), size=5_000)
    flat = values.reshape(len(values), -1) / (0.25 * LEVELS)
    for lagged in (flat[1:] * flat[:-1], flat[:, 1:] * flat[:, :-1]):
        assert abs(lagged.mean()) < 5 / np.sqrt(lagged.size)


def test_only_8_bit_images_and_no_huge_sigma() -> None:
    out = torch.empty((1, *SHAPE))
    with pytest.raises(TypeError, match="uint8"):
        new_noise().write(out, torch.zeros((1, *SHAPE)), [Copies(Stream.SELECTION, 0, 0, 1)])
    with pytest.raises(BadInput, match="too large"):
        new_noise(LARGEST_SIGMA * 1.01)
    with pytest.raises(BadInput, match="too large"):
        rounded_gaussian(float("nan"))


def test_the_sampling_error_adds_up_over_pixels_and_samples() -> None:
    one = rounded_gaussian(0.25).distance
    assert sampling_error(0.25, 3 * 32 * 32, 100_100) == pytest.approx(one * 3072 * 100_100)
    assert sampling_error(0.25, 3 * 224 * 224, 100_100) < 1e-5


class Coarse(nn.Module):
    """Class 0 where the first pixel is a multiple of 2^-24, class 1 elsewhere: it reads the bits that a sum loses."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = x.flatten(1)[:, 0] * 2.0**24
        coarse = (scaled == scaled.floor()).float()
        return torch.stack([coarse, 1 - coarse], dim=1)


class Trap:
    """Two one-pixel inputs, white and grey, and how often `Coarse` says 0 there."""

    SIGMA = 0.25
    SAMPLES = 100_000
    GREY = 14

    @classmethod
    def share(cls, noise: GaussianNoise | GridNoise, level: int) -> float:
        out = torch.empty((cls.SAMPLES, 1, 1, 1))
        image = torch.full((1, 1, 1, 1), level, dtype=torch.uint8)
        noise.write(out, image, [Copies(Stream.ESTIMATION, 0, 0, len(out))])
        return float((Coarse()(out).argmax(1) == 0).double().mean())

    @classmethod
    def radius(cls, noise: GaussianNoise | GridNoise) -> float:
        """Returns the radius that Cohen's certificate gives the white input."""
        count = round(cls.share(noise, LEVELS) * cls.SAMPLES)
        return cls.SIGMA * float(stats.norm.ppf(clopper_pearson_lower(count, cls.SAMPLES, 0.001)))


def test_float_noise_certifies_what_is_false() -> None:
    noise = GaussianNoise(seed=0, sigma=Trap.SIGMA, shape=(1, 1, 1))
    distance = (LEVELS - Trap.GREY) / LEVELS
    assert Trap.radius(noise) > distance
    # Inside the certified ball the class is another, by far more than sampling can explain.
    assert Trap.share(noise, Trap.GREY) < 0.45


def test_grid_noise_certifies_what_is_true_of_every_8_bit_input() -> None:
    noise = new_noise(Trap.SIGMA, shape=(1, 1, 1))
    radius = Trap.radius(noise)
    assert radius > 0.3
    span = np.arange(-3000, 3000)
    deviation = Trap.SIGMA * LEVELS
    mass = stats.norm.cdf((span + 0.5) / deviation) - stats.norm.cdf((span - 0.5) / deviation)
    for level in range(LEVELS + 1):
        if (LEVELS - level) / LEVELS <= radius:
            says_0 = Coarse()(torch.from_numpy((level + span) / np.float32(LEVELS)).float()[:, None]).argmax(1) == 0
            assert mass[says_0.numpy()].sum() > 0.5, level
