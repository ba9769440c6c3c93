"""The forward pass, prepared for speed: the same function up to rounding, and what was done to it on record.

Invariant: a preparation that fails, or changes the logits by more than rounding, is left out; the certificate is about
the function that ran, so `Preparation` is stored with every run.
"""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from torch import nn

from rsuq_cli.sampling.device import Precision, inference
from rsuq_cli.uncertainty import Scores, scores


@dataclass(frozen=True)
class Preparation:
    """What was done to a model before it was sampled."""

    folded: bool = False  # batch norm folded into the convolutions before it
    channels_last: bool = False
    compiled: bool = False


class Forward:
    """A model ready to be sampled in one precision on one device.

    `note` is empty, or says in one line why a preparation that was asked for is not in force.
    """

    def __init__(
        self, model: nn.Module, shape: tuple[int, ...], device: torch.device, precision: Precision, *, compiled: bool
    ) -> None:
        self.device, self.precision = device, precision
        self.note = ""
        # Folded before it is moved: the device holds one model, not the given one and what folding leaves behind too.
        folded = _folded(model.eval(), shape)
        module = (model if folded is None else folded).to(device)
        spatial = any(isinstance(part, nn.Conv2d) for part in module.modules()) and device.type != "mps"
        if spatial:
            if folded is None:
                module = copy.deepcopy(module)  # the caller's own model keeps its memory layout
            module = module.to(memory_format=torch.channels_last)
        self._format = torch.channels_last if spatial else torch.contiguous_format
        self._module = module
        self._compiled = _compile(module, device) if compiled else None
        self.preparation = Preparation(folded is not None, spatial, compiled)

    def __call__(self, noisy: torch.Tensor) -> tuple[torch.Tensor, Scores]:
        """Returns class `[rows]` and scores of a batch `[rows, C, H, W]`."""
        with inference(self.device, self.precision):
            logits = self.logits(noisy).float()
            return logits.argmax(dim=1), scores(logits)

    def logits(self, noisy: torch.Tensor) -> torch.Tensor:
        """Returns the logits `[rows, K]` of a batch, in the precision of the forward pass."""
        laid_out = noisy.contiguous(memory_format=self._format)
        if self._compiled is not None:
            try:
                return self._compiled(laid_out)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever the compiler's tool chain raises; the plain module is there
                reason = " ".join(str(error).split())[:120]
                self.note = f"torch.compile failed, going on without it ({type(error).__name__}: {reason})"
                self._compiled = None
                self.preparation = replace(self.preparation, compiled=False)
        logits: torch.Tensor = self._module(laid_out)
        return logits


def _folded(model: nn.Module, shape: tuple[int, ...]) -> nn.Module | None:
    """Returns a copy with batch norm folded into convolutions, None where there is none to fold or it does not fit.

    Jacob et al. 2018, section 3.2. A model that cannot be traced, or answers differently afterwards, stays as it is.
    """
    if not any(isinstance(part, nn.BatchNorm2d) for part in model.modules()):
        return None
    device = next(chain(model.parameters(), model.buffers(), [torch.empty(0)])).device
    from torch.fx.experimental.optimization import fuse

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folded: nn.Module = fuse(model)
        generator = torch.Generator().manual_seed(0)
        with inference(device, "fp32"):
            for rows in (2, 3):
                probe = torch.rand(rows, *shape, generator=generator).to(device)
                before, after = model(probe), folded(probe)
                scale = before.abs().max().clamp_min(1.0)
                if not torch.allclose(before, after, rtol=1e-3, atol=float(1e-3 * scale)):
                    return None
    except Exception:  # whatever tracing a user's network raises: it is then run as it is
        return None
    return folded.requires_grad_(False).eval()


def _compile(module: nn.Module, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns the module behind torch's compiler, whose results are kept between runs in the user's cache folder."""
    import platformdirs

    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(platformdirs.user_cache_dir("rsuq")) / "compiled"))
    import torch._inductor.config as inductor

    # It warns of a missing CUDA on every machine without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

    # Weights are constants here: freezing lets the compiler lay them out for the CPU's kernels beforehand.
    inductor.freezing = device.type == "cpu"
    return torch.compile(module, dynamic=False)
