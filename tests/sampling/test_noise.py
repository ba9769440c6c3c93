"""Noise is a function of (seed, stream, input, block) alone, and it is Gaussian."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rsuq_cli.sampling.noise import BLOCK, Copies, GaussianNoise, Stream, parts

SHAPE = (1, 2, 3)


def drawn(
    source: GaussianNoise,
    *,
    stream: Stream = Stream.ESTIMATION,
    input_index: int = 7,
    start: int = 0,
    size: int = BLOCK,
) -> npt.NDArray[np.float32]:
    """Returns samples of one fill, flattened: `[size, C * H * W]`."""
    out = torch.empty((size, *source._block.shape[1:]))
    source._draw_all(list(parts(out, Copies(stream, input_index, start, size))))
    return out.flatten(1).numpy()


def new_source(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> GaussianNoise:
    return GaussianNoise(seed=seed, sigma=0.37, shape=shape)


def brute_force(seed: int, stream: Stream, input_index: int, samples: int) -> npt.NDArray[np.float32]:
    """Returns the first samples of an input's stream on the CPU, block by block, from numpy alone."""
    blocks = [
        np.random.Generator(
            np.random.SFC64(np.random.SeedSequence((seed, int(stream), input_index, block)))
        ).standard_normal((BLOCK, int(np.prod(SHAPE))), dtype=np.float32)
        for block in range(-(-samples // BLOCK))
    ]
    return np.concatenate(blocks)[:samples]


def test_the_noise_of_a_release_stays() -> None:
    # Runs go on with the noise they began with: a change here orphans every unfinished run.
    np.testing.assert_array_equal(drawn(new_source(3), size=350), brute_force(3, Stream.ESTIMATION, 7, 350))


@given(cuts=st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=6), start=st.integers(0, 3 * BLOCK))
def test_any_cut_into_fills_gives_the_same_rows(cuts: list[int], start: int) -> None:
    whole = drawn(new_source(), size=start + sum(cuts))[start:]
    source = new_source()
    pieces, at = [], start
    for size in cuts:
        pieces.append(drawn(source, start=at, size=size))
        at += size
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@given(
    jobs=st.lists(
        st.tuples(st.sampled_from(Stream), st.integers(0, 3), st.integers(0, 250), st.integers(1, 150)), max_size=8
    )
)
def test_what_was_drawn_before_does_not_matter(jobs: list[tuple[Stream, int, int, int]]) -> None:
    used = new_source()
    for stream, input_index, start, size in jobs:
        np.testing.assert_array_equal(
            drawn(used, stream=stream, input_index=input_index, start=start, size=size),
            drawn(new_source(), stream=stream, input_index=input_index, start=start, size=size),
        )


def test_torchs_own_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(0)
    state, first = torch.get_rng_state(), drawn(new_source())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    np.testing.assert_array_equal(drawn(new_source()), first)


def test_every_part_of_the_key_counts_and_keys_are_uncorrelated() -> None:
    shape = (1, 10, 10)
    keys = [
        (seed, stream, input_index, block)
        for seed in (0, 1, 2**40)
        for stream in Stream
        for input_index in (0, 1, 70_000)
        for block in (0, 1)
    ]
    blocks = np.stack([
        drawn(new_source(seed, shape), stream=stream, input_index=i, start=block * BLOCK).ravel()
        for seed, stream, i, block in keys
    ])  # fmt: skip
    correlation = np.corrcoef(blocks) - np.eye(len(keys))
    # 1,431 pairs of 10,000 values each: the largest of so many is near 3.4 standard errors of 0.01.
    assert np.abs(correlation).max() < 0.05


def test_neighbouring_samples_and_pixels_are_uncorrelated() -> None:
    values = drawn(new_source(shape=(1, 8, 8)), size=20_000)
    for lagged in (values[1:] * values[:-1], values[:, 1:] * values[:, :-1]):
        assert abs(lagged.mean()) < 5 / np.sqrt(lagged.size)


@pytest.mark.parametrize("stream", Stream)
def test_it_is_standard_normal(stream: Stream) -> None:
    values = drawn(new_source(shape=(1, 8, 8)), stream=stream, size=5_000).ravel().astype(np.float64)
    count = len(values)
    # Moments 1 to 4 of N(0, 1) are 0, 1, 0, 3, with variances 1, 2, 15, 96 over the count.
    for power, expected, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs((values**power).mean() - expected) < 5 * np.sqrt(variance / count)
    assert stats.kstest(values, "norm").pvalue > 1e-4
    # The tail is what large radii hang on: 4 sigma is passed by 6.3 in 100,000.
    assert stats.binomtest(int((np.abs(values) > 4).sum()), count, 2 * stats.norm.sf(4)).pvalue > 1e-4


def test_the_length_of_a_sample_is_chi_distributed() -> None:
    values = drawn(new_source(shape=(3, 16, 16)), size=2 * BLOCK)
    assert len(np.unique(values[:, 0])) == 2 * BLOCK
    assert stats.kstest((values**2).sum(axis=1), stats.chi2(values.shape[1]).cdf).pvalue > 1e-4


# Noisy inputs


def written(source: GaussianNoise, image: torch.Tensor, *, start: int = 0, size: int = 10) -> torch.Tensor:
    out = torch.empty((size, *image.shape))
    source.write(out, image[None], [Copies(Stream.ESTIMATION, 7, start, size)])
    return out


def test_a_noisy_input_is_the_image_and_sigma_times_the_noise() -> None:
    image = torch.rand(SHAPE)
    expected = image.double().numpy() + 0.37 * brute_force(0, Stream.ESTIMATION, 7, 250).reshape(250, *SHAPE).astype(
        np.float64
    )
    np.testing.assert_allclose(written(new_source(), image, size=250), expected, rtol=0, atol=1e-6)


def test_bytes_and_their_floats_are_the_same_image_and_other_floats_are_not_rounded() -> None:
    image = torch.arange(6, dtype=torch.uint8).view(SHAPE) * 51
    assert torch.equal(written(new_source(), image), written(new_source(), image.float() / 255))
    assert not torch.equal(written(new_source(), image), written(new_source(), image.float() / 255 + 1e-3))


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 7, 3), (1, 8, 8)])
@pytest.mark.parametrize("threads", [1, 2])
def test_any_cut_into_writes_gives_the_same_bits(shape: tuple[int, int, int], threads: int) -> None:
    """Sizes that no vector register divides: the odd pixels at the end are computed like the others."""
    image, before = torch.rand(shape, generator=torch.Generator().manual_seed(0)), torch.get_num_threads()
    whole = written(new_source(shape=shape), image, size=450)
    torch.set_num_threads(threads)
    try:
        for size in (1, 3, 37, 64, 100, 230):
            source = new_source(shape=shape)
            pieces = [written(source, image, start=at, size=min(size, 450 - at)) for at in range(0, 450, size)]
            assert torch.equal(torch.cat(pieces), whole)
    finally:
        torch.set_num_threads(before)
