"""torch's compiler, for networks whose weights are constants and for ones that are being trained.

Invariant: what is compiled shares the weights of the module that is given, and its results are kept between runs in the
user's cache folder. It rounds otherwise than the module: who asks for it records that.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn


def constant(module: nn.Module, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns the module compiled for weights that never change: freezing lets the compiler lay them out for a CPU."""
    return cast("Callable[[torch.Tensor], torch.Tensor]", _compiled(module, freezing=device.type == "cpu"))


def compiled(module: nn.Module) -> nn.Module:
    """Returns the module compiled for training: its modes, parameters and gradients are those of the module."""
    return cast("nn.Module", _compiled(module, freezing=False))


def _compiled(module: nn.Module, *, freezing: bool) -> Any:
    import platformdirs

    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(platformdirs.user_cache_dir("rsuq")) / "compiled"))
    import torch._inductor.config as inductor

    # It warns of a missing CUDA on every machine without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    inductor.freezing = freezing
    return torch.compile(module, dynamic=False)
