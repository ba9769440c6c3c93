"""Pooling with a gradient of one order, against torch's own on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.pooling import OrderedPooling


@pytest.mark.parametrize("size", [(7, 7), (5, 8), (4, 4), (8, 8), (9, 2)])
@pytest.mark.parametrize("wanted", [(4, 4), 3, (None, 2), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_torchs_pooling_and_its_gradient(
    size: tuple[int, int], wanted: int | tuple[int | None, int], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 2, *size, generator=generator).to(dtype)
    pool = nn.AdaptiveAvgPool2d(wanted)
    found = []
    for ordered in (False, True):
        given = images.clone().requires_grad_()
        if ordered:
            with OrderedPooling():
                pooled, other = pool(given), F.adaptive_avg_pool2d(given, output_size=wanted)
            assert torch.equal(pooled, other)
        else:
            pooled = pool(given)
        pooled.backward(torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1)).to(dtype))
        assert given.grad is not None
        found.append((pooled.detach(), given.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert found[1][1].dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found[1][1].float(), found[0][1].float(), rtol=tolerance, atol=tolerance)


def test_windows_that_overlap_have_the_gradient_in_one_order_and_others_torchs() -> None:
    """What torch adds atomically on CUDA is the node `AdaptiveAvgPool2DBackward0` of sizes that do not divide."""
    for side, ordered in ((7, True), (8, False)):
        with OrderedPooling():
            pooled = nn.AdaptiveAvgPool2d(4)(torch.zeros(1, 1, side, side, requires_grad=True))
        assert (type(pooled.grad_fn).__name__ == "_PoolBackward") == ordered
    assert nn.AdaptiveAvgPool2d(4)(torch.zeros(1, 1, 7, 7, requires_grad=True)).grad_fn is not None
    with OrderedPooling():
        assert nn.AdaptiveAvgPool2d(4)(torch.zeros(1, 1, 7, 7)).grad_fn is None
