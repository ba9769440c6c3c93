"""Tensors on their way from a device to the host.

Invariant: on CUDA the copy stands behind what was launched before it and nothing else, and waiting for it waits for no
later kernel; what arrives is the host's own, and holds no pinned memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


class Landing:
    """Starts to copy tensors of one device to the host, without waiting for it on CUDA."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._event: torch.cuda.Event | None = None
        if tensors[0].device.type != "cuda":
            self._host = [tensor.cpu() for tensor in tensors]
            return
        self._host = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
        for host, tensor in zip(self._host, tensors, strict=True):
            host.copy_(tensor, non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record(torch.cuda.current_stream(tensors[0].device))

    def arrays(self) -> list[npt.NDArray[Any]]:
        """Returns the tensors' values once they are there."""
        if self._event is None:
            return [host.numpy() for host in self._host]
        self._event.synchronize()
        # Pinned memory is scarce, and evidence is kept for long.
        return [np.array(host.numpy()) for host in self._host]
