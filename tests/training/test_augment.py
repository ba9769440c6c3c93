"""Crop and flip against one image at a time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from rsuq_cli.training.augment import augment, random_crop, random_flip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 4),
    st.integers(0, 99), st.sampled_from([torch.uint8, torch.float32]),
)  # fmt: skip
def test_a_crop_is_a_window_of_the_padded_image(
    count: int, channels: int, height: int, width: int, padding: int, seed: int, dtype: torch.dtype
) -> None:
    images = torch.randint(1, 256, (count, channels, height, width), generator=generator(seed)).to(dtype)
    cropped = random_crop(images, padding, generator(seed))
    assert cropped.shape == images.shape
    assert cropped.dtype == dtype
    padded = F.pad(images, (padding,) * 4)
    for image, result in zip(padded, cropped, strict=True):
        windows = image.unfold(1, height, 1).unfold(2, width, 1).movedim((1, 2), (0, 1)).flatten(0, 1)
        assert any(torch.equal(window, result) for window in windows)


def test_every_shift_occurs_equally_often_and_independently() -> None:
    images = torch.zeros(20_000, 1, 5, 5, dtype=torch.uint8)
    images[:, :, 2, 2] = 1
    places = random_crop(images, 1, generator()).sum((0, 1))[1:4, 1:4]
    assert places.sum() == 20_000
    assert places.double().div(20_000).sub(1 / 9).abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_flip_mirrors_whole_images_half_of_the_time(dtype: torch.dtype) -> None:
    images = torch.arange(12).view(1, 2, 2, 3).repeat(4000, 1, 1, 1).to(dtype)
    flipped = random_flip(images, generator())
    mirrored = (flipped == images.flip(-1)).all(dim=(1, 2, 3))
    assert (mirrored | (flipped == images).all(dim=(1, 2, 3))).all()
    assert mirrored.double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert flipped.dtype == dtype


@pytest.mark.parametrize(("side", "furthest"), [(16, 1), (17, 4), (32, 4)])
def test_the_padding_suits_the_size(side: int, furthest: int) -> None:
    images = torch.zeros(3000, 1, side, side)
    images[:, :, side // 2, side // 2] = 1
    moved = augment(images, crop=True, flip=False, generator=generator()).nonzero()[:, 2:] - side // 2
    assert moved.abs().max() == furthest


def test_nothing_asked_is_nothing_done() -> None:
    images = torch.rand(3, 1, 8, 8)
    source = generator()
    before = source.get_state()
    assert augment(images, crop=False, flip=False, generator=source) is images
    assert torch.equal(source.get_state(), before)
