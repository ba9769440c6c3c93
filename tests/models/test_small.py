"""The small networks: shapes, and one answer per image whatever its batch."""

import pytest
import torch
from torch import nn

from rsuq_cli.models.small import CNN, MLP


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (1, 2, 2), (2, 16, 5)])
@pytest.mark.parametrize("network", [CNN, MLP])
def test_any_small_image_gives_one_logit_per_class(network: type[nn.Module], shape: tuple[int, int, int]) -> None:
    model = network(shape, 7)
    assert model(torch.rand(4, *shape)).shape == (4, 7)


def test_what_is_read_position_by_position_is_at_most_four_by_four() -> None:
    sizes: list[torch.Size] = []
    for side in (8, 28, 64):
        model = CNN((1, side, side), 10).eval()
        model.pool.register_forward_hook(lambda _module, _inputs, out: sizes.append(out.shape[2:]))
        model(torch.rand(1, 1, side, side))
    assert [tuple(size) for size in sizes] == [(2, 2), (4, 4), (4, 4)]


def test_the_cnn_is_cheap() -> None:
    assert sum(parameter.numel() for parameter in CNN((1, 8, 8), 10).parameters()) < 100_000
