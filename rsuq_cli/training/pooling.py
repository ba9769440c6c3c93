"""Adaptive average pooling whose gradient is summed in one order, so that training on a GPU can be repeated.

Invariant: what is computed forwards is torch's, bit for bit. Where windows overlap, which they do where the size is not
divided evenly, torch's gradient on CUDA is added up atomically, in an order that changes from run to run; here it is a
product of two small matrices.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class OrderedPooling(TorchFunctionMode):
    """Within it, `adaptive_avg_pool2d` has a gradient that is the same every time, in modules and functions alike."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.adaptive_avg_pool2d:
            return func(*args, **(kwargs or {}))
        return _pooled(*args, **(kwargs or {}))


def _pooled(input: torch.Tensor, output_size: int | tuple[int | None, int | None]) -> torch.Tensor:
    wanted = output_size if isinstance(output_size, Iterable) else (output_size, output_size)
    rows, columns = (side if one is None else one for one, side in zip(wanted, input.shape[-2:], strict=True))
    if not input.requires_grad or not (input.shape[-2] % rows or input.shape[-1] % columns):
        return F.adaptive_avg_pool2d(input, output_size)
    pooled: torch.Tensor = _Pool.apply(input, rows, columns)
    return pooled


class _Pool(torch.autograd.Function):
    """Torch's pooling, and its gradient as a product: every output is a mean over a window of rows and columns."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        ctx.size = images.shape[-2:]
        return F.adaptive_avg_pool2d(images, (rows, columns))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = gradients
        height, width = ctx.size
        down = _windows(height, gradient.shape[-2], gradient.device)
        across = _windows(width, gradient.shape[-1], gradient.device)
        return (down.t() @ gradient.float() @ across).to(gradient.dtype), None, None


@lru_cache(maxsize=64)
def _windows(size: int, windows: int, device: torch.device) -> torch.Tensor:
    """Returns the share `[windows, size]` that each position has in each mean."""
    shares = torch.zeros(windows, size)
    for window in range(windows):
        first, end = window * size // windows, -(-(window + 1) * size // windows)
        shares[window, first:end] = 1.0 / (end - first)
    return shares.to(device)
