"""Channel statistics against numpy."""

import numpy as np
import pytest
import torch

from rsuq_cli.datasets.dataset import Split
from rsuq_cli.errors import BadInput
from rsuq_cli.training.statistics import CHUNK, channel_statistics


def split_of(images: torch.Tensor) -> Split:
    return Split(images, torch.zeros(len(images), dtype=torch.int64), np.arange(len(images)))


@pytest.mark.parametrize("count", [1, CHUNK, 2 * CHUNK + 3])
def test_they_agree_with_numpy_over_chunks(count: int) -> None:
    images = torch.randint(0, 256, (count, 3, 4, 4), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    statistics = channel_statistics(split_of(images))
    values = images.numpy().astype(np.float64) / 255
    assert statistics.mean == pytest.approx(values.mean((0, 2, 3)), rel=1e-6)
    assert statistics.std == pytest.approx(values.std((0, 2, 3)), rel=1e-6)


def test_float_images_are_taken_as_they_are() -> None:
    images = torch.tensor([0.25, 0.75]).view(2, 1, 1, 1)
    assert channel_statistics(split_of(images)) == ((0.5,), (0.25,))


def test_a_channel_that_never_changes_can_be_divided_by() -> None:
    assert channel_statistics(split_of(torch.full((3, 1, 2, 2), 0.1))).std == (1.0,)


def test_no_images_are_refused() -> None:
    with pytest.raises(BadInput, match="no training images"):
        channel_statistics(split_of(torch.zeros(0, 1, 2, 2)))
