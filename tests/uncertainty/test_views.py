"""Views: what they show of an image, by hand, and what certificates need of them."""

from __future__ import annotations

import pytest
import torch

from rsuq_cli.uncertainty.views import ALL, View, viewed

IMAGE = torch.arange(12.0).view(1, 1, 3, 4)


@pytest.mark.parametrize(
    ("view", "rows"),
    [
        (View(False, 0, 0), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]),
        (View(True, 0, 0), [[3, 2, 1, 0], [7, 6, 5, 4], [11, 10, 9, 8]]),
        (View(False, 0, 1), [[1, 0, 1, 2], [5, 4, 5, 6], [9, 8, 9, 10]]),
        (View(False, 1, 0), [[4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7]]),
        (View(True, 1, 1), [[6, 7, 6, 5], [2, 3, 2, 1], [6, 7, 6, 5]]),
    ],
)
def test_what_a_view_shows(view: View, rows: list[list[int]]) -> None:
    assert viewed(IMAGE, view)[0, 0].tolist() == rows


def test_the_views_are_all_different_and_the_first_is_the_image() -> None:
    random = torch.rand(2, 3, 8, 8)
    seen = [viewed(random, view) for view in ALL]
    assert seen[0] is random
    assert len({tuple(one.flatten().tolist()) for one in seen}) == len(ALL) == 8
    assert not any(view.mirrored for view in ALL[::2])
    assert all(view.mirrored for view in ALL[1::2])


def test_each_pixel_of_a_view_has_the_noise_of_one_pixel() -> None:
    noise = torch.randn(4000, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    for view in ALL:
        torch.testing.assert_close(viewed(noise, view).std(dim=0), torch.ones(1, 5, 5), atol=0.06, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 4), (2, 1, 2, 2)])
def test_the_smallest_images_have_views_too(shape: tuple[int, ...]) -> None:
    images = torch.rand(*shape)
    for view in ALL:
        assert viewed(images, view).shape == shape


def test_a_view_is_of_one_row_alone_and_gradients_pass_through() -> None:
    images = torch.rand(3, 1, 4, 4, requires_grad=True)
    for view in ALL:
        (gradient,) = torch.autograd.grad(viewed(images, view)[1].sum(), images, retain_graph=True)
        assert not gradient[[0, 2]].any()
        assert float(gradient[1].sum()) == 16


def test_what_is_written_into_a_view_is_not_in_the_image() -> None:
    images = torch.rand(1, 1, 4, 4)
    before = images.clone()
    for view in ALL[1:]:
        viewed(images, view).zero_()
    assert torch.equal(images, before)
