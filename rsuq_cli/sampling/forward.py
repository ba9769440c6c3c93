"""The forward pass, prepared for speed: the same function up to rounding, and what was done to it on record.

Invariant: a preparation that fails, or changes the answers to noisy inputs by more than rounding, is left out; the
certificate is about the function that ran, so `Preparation` is stored with every run.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import nn

from rsuq_cli.sampling.agreement import differing, made_up_inputs
from rsuq_cli.sampling.casting import cast_once
from rsuq_cli.sampling.compiler import constant
from rsuq_cli.sampling.device import Precision, inference, is_out_of_memory
from rsuq_cli.uncertainty.predictor import PLAIN, Predictor
from rsuq_cli.uncertainty.rejecter import Rejecter
from rsuq_cli.uncertainty.scores import Scores, scores
from rsuq_cli.uncertainty.views import passes_of

# How many inputs a preparation is tried on: as many as that many pixel values allow.
_TRIED_VALUES, _FEWEST, _MOST = 2**18, 8, 16


@dataclass(frozen=True)
class Preparation:
    """What was done to a model before it was sampled, or what may be done."""

    folded: bool = False  # batch norm folded into the convolutions before it
    channels_last: bool = False
    compiled: bool = False


class Forward:
    """A model ready to be sampled in one precision on one device, at noise of `sigma` (pixel units), as the predictor
    asks it.

    Of `allowed`, what changes the model's answers to noisy inputs is left out; None allows all but compiling. `notes`
    say in a line each why something is not in force.
    """

    def __init__(
        self,
        model: nn.Module,
        shape: tuple[int, ...],
        device: torch.device,
        precision: Precision,
        *,
        compiled: bool,
        sigma: float = 0.0,
        allowed: Preparation | None = None,
        predictor: Predictor = PLAIN,
        rejecter: Rejecter | None = None,
    ) -> None:
        self.device, self.precision = device, precision
        self.predictor, self.rejecter = predictor, rejecter
        self.notes: list[str] = []
        may = allowed or Preparation(folded=True, channels_last=True)
        self._own = model.eval()
        trial = _Trial(model, shape, sigma)
        # Folded before it is moved: the device holds one model, not the given one and what folding leaves behind too.
        folded = self._folded(trial) if may.folded else None
        module = (model if folded is None else folded).to(device)
        spatial = any(isinstance(part, nn.Conv2d) for part in module.modules()) and device.type != "mps"
        turned = self._turned(module, trial, own=folded is None) if may.channels_last and spatial else None
        self._format = torch.contiguous_format if turned is None else torch.channels_last
        self._module = module if turned is None else turned
        if precision == "bf16" and device.type == "cuda":
            self._module = cast_once(self._module, trial.inputs.to(device).contiguous(memory_format=self._format))
        self._compiled = constant(self._module, device) if compiled else None
        self.preparation = Preparation(folded is not None, turned is not None, compiled)

    @property
    def prepared(self) -> bool:
        """Whether what runs is anything but the model itself."""
        return self.preparation != Preparation()

    def __call__(self, noisy: torch.Tensor) -> Scores:
        """Returns the classes of a batch `[rows, C, H, W]`, and every measure that the predictor has."""
        with inference(self.device, self.precision):
            return self.scored(self.passes(noisy), self.predictor.measures)

    def scored(self, passes: torch.Tensor, measures: Iterable[str]) -> Scores:
        """Returns the classes that the predictor names of its passes, and these measures."""
        return scores(passes, measures, self.predictor.decide, self.rejecter)

    def passes(self, noisy: torch.Tensor) -> torch.Tensor:
        """Returns the logits of every pass over a batch, `[rows, T, K]` in float32; the batch is the model's.

        The plain pass is the first.
        """
        return passes_of(self.logits, noisy, self.predictor.views)

    def logits(self, noisy: torch.Tensor) -> torch.Tensor:
        """Returns the logits `[rows, K]` of a batch, or `[rows, M, K]` of M networks; the batch is the model's."""
        laid_out = noisy.contiguous(memory_format=self._format)
        if self._compiled is not None:
            try:
                return self._compiled(laid_out)
            except Exception as error:  # whatever the compiler's tool chain raises; the plain module is there
                if is_out_of_memory(error):
                    raise
                reason = " ".join(str(error).split())[:120]
                self._without_compiler(f"torch.compile failed, going on without it ({type(error).__name__}: {reason})")
        logits: torch.Tensor = self._module(laid_out)
        return logits

    def own_logits(self, noisy: torch.Tensor) -> torch.Tensor:
        """Returns what the model as it was given says of a batch, wherever it is."""
        place = next(chain(self._own.parameters(), self._own.buffers(), [noisy])).device
        logits: torch.Tensor = self._own(noisy.to(place, copy=True).contiguous())
        return logits.to(noisy.device, copy=True)

    def check_compiled(self, noisy: torch.Tensor) -> None:
        """Leaves the compiler out where what it made answers a batch `[rows, C, H, W]` otherwise than the model."""
        with inference(self.device, self.precision):
            found = self.logits(noisy.clone())
            if self._compiled is not None and bool(differing(self._module(noisy.clone()), found, self.precision).any()):
                self._without_compiler("torch.compile changes the answers, going on without it")

    def _without_compiler(self, note: str) -> None:
        self.notes.append(note)
        self._compiled = None
        self.preparation = replace(self.preparation, compiled=False)

    def _folded(self, trial: _Trial) -> nn.Module | None:
        """Returns a copy with batch norm folded into convolutions, None where there is none to fold, or it cannot be.

        Jacob et al. 2018, section 3.2.
        """
        if not any(isinstance(part, nn.BatchNorm2d) for part in self._own.modules()):
            return None
        from torch.fx.experimental.optimization import fuse

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                folded: nn.Module = fuse(self._own)
            if trial.changes(folded):
                self.notes.append("folding batch norm into the convolutions changes the answers, going on without it")
                return None
        except Exception:  # whatever tracing a user's network raises: it is then run as it is
            return None
        return folded.requires_grad_(False).eval()

    def _turned(self, module: nn.Module, trial: _Trial, *, own: bool) -> nn.Module | None:
        """Returns the module with its memory laid out by pixels, None where it answers otherwise then."""
        try:
            # The caller's own model keeps its memory layout.
            turned = (copy.deepcopy(module) if own else module).to(memory_format=torch.channels_last)
            changed = trial.changes(turned, torch.channels_last)
        except Exception as error:  # whatever a user's network raises: a `.view` of what lies elsewhere, say
            if is_out_of_memory(error):
                raise
            changed = True
        if not changed:
            return turned
        if not own:
            module.to(memory_format=torch.contiguous_format)
        self.notes.append("the network does not take images laid out by pixels (channels last): sampling it as it is")
        return None


class _Trial:
    """What a model says of made-up noisy inputs, to compare prepared ones with."""

    def __init__(self, model: nn.Module, shape: tuple[int, ...], sigma: float) -> None:
        rows = max(_FEWEST, min(_MOST, _TRIED_VALUES // math.prod(shape)))
        self._model = model
        self.inputs = made_up_inputs(shape, sigma, rows)
        self._expected: torch.Tensor | None = None

    def changes(self, module: nn.Module, layout: torch.memory_format = torch.contiguous_format) -> bool:
        """Returns whether a module answers otherwise than the model."""
        if self._expected is None:
            self._expected = self._answers(self._model, torch.contiguous_format)
        return bool(differing(self._expected, self._answers(module, layout)).any())

    def _answers(self, module: nn.Module, layout: torch.memory_format) -> torch.Tensor:
        place = next(chain(module.parameters(), module.buffers(), [self.inputs])).device
        # A coarse precision would hide what a preparation changes.
        with inference(place, "fp32"):
            # A copy each, which the module may write into.
            given = self.inputs.to(place, copy=True).contiguous(memory_format=layout)
            logits: torch.Tensor = module(given)
        return logits.to("cpu", copy=True)  # which a module may write its next answers into
