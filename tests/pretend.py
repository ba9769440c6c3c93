"""A pretend GPU: real numbers on the CPU behind tensors that say that they are on `cuda:0`.

Invariant: what a device would refuse is refused (operands on two devices, a generator of another device, float64 where
there is none), and whatever makes the host wait is recorded with the line of the package that caused it. Gradients are
made up, since torch's engine asks the driver for them; all else is computed, so that evidence can be compared.

For a process of its own: it replaces parts of `torch.cuda`, and gives torch a device guard for good.
"""

from __future__ import annotations

import types
from contextlib import ExitStack
from typing import Any, Self
from unittest import mock

import torch
import torch._dynamo  # before torch.Generator is replaced, which it reads when it is imported
from pretend_operations import REAL_GENERATOR, Operations, whole
from pretend_tensor import Held
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Gradients that are added atomically, by the name of their node, as torch.use_deterministic_algorithms documents.
_ATOMIC = (
    *("ScaledDotProduct", "UpsampleBilinear", "UpsampleBicubic", "ReplicationPad", "ReflectionPad", "Embedding"),
    *("IndexPut", "CumSum", "AdaptiveMaxPool", "MaxUnpool", "GridSampler"),
)


class _Mode(TorchDispatchMode):
    """Sees every operation below autograd and autocast."""

    def __init__(self, device: Pretend) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _is_composition(func):
            with self:  # in inference mode torch hands these on whole
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        return self.device.run(func, args, dict(kwargs or {}))


def _is_composition(func: Any) -> bool:
    if func in (aten.is_pinned.default, aten._pin_memory.default) or func._schema.name == "aten::contiguous":
        return False
    found: bool = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    return found


class _Event:
    """Remembers how much had happened when it was recorded: that is what waiting for it waits for."""

    def __init__(self, device: Pretend) -> None:
        self.device, self.behind = device, -1

    def record(self, *_: Any) -> None:
        """Stands behind all that was launched."""
        self.behind = len(self.device.record.log)

    def synchronize(self) -> None:
        """Waits for what it stands behind."""
        self.device.record.add("event", "synchronize", self.behind)


class Pretend(Operations):
    """While it is entered, torch has so many GPUs; `record` says what they were asked for."""

    def __init__(self, *, count: int = 1, capability: tuple[int, int] = (9, 0), float64: bool = True) -> None:
        super().__init__(float64=float64)
        self.count, self.capability = count, capability
        self.current: list[int] = []  # the devices that were made the current one

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        if not torch.cuda.is_available():
            torch._C._ensureCUDADeviceGuardSet()  # one that does nothing, which torch has for its own fake tensors
        properties = types.SimpleNamespace(
            major=self.capability[0], minor=self.capability[1], multi_processor_count=132, name="pretend",
            total_memory=80 * 2**30,
        )  # fmt: skip
        for owner, name, value in (
            (torch.cuda, "is_available", lambda: True),
            (torch.cuda, "device_count", lambda: self.count),
            (torch.cuda, "current_device", lambda: 0),
            (torch.cuda, "get_device_properties", lambda *_: properties),
            (torch.cuda, "get_device_capability", lambda *_: self.capability),
            (torch.cuda, "synchronize", lambda *_: self.record.add("wait", "synchronize")),
            (torch.cuda, "empty_cache", lambda: None),
            (torch.cuda, "get_rng_state", lambda *_: torch.zeros(16, dtype=torch.uint8)),
            (torch.cuda, "set_rng_state", lambda *_: None),
            (torch.cuda, "manual_seed_all", lambda *_: None),
            (torch.cuda, "current_stream", lambda *_: None),
            (torch.cuda, "Event", lambda *_, **__: _Event(self)),
            (torch.cuda, "set_device", lambda device: self.current.append(torch.device(device).index or 0)),
            (torch.cuda, "_lazy_init", lambda: None),
            (torch.autograd, "grad", self._grad),
            (torch, "Generator", self._generators()),
        ):
            self._stack.enter_context(mock.patch.object(owner, name, value))
        self._stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        # Module.to() makes new parameters then, as it does between real kinds of devices.
        future = torch.__future__
        before = future.get_overwrite_module_params_on_conversion()
        self._stack.callback(future.set_overwrite_module_params_on_conversion, before)
        future.set_overwrite_module_params_on_conversion(True)
        self.mode = self._stack.enter_context(_Mode(self))
        Held.place = self
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        Held.place = None

    def _generators(self) -> type:
        """Returns what stands for torch.Generator: the CPU's, remembered as one of the device it was asked for on."""
        known = self.generators

        class Kind(type):
            def __instancecheck__(cls, instance: object) -> bool:
                return isinstance(instance, REAL_GENERATOR)

        class Generator(metaclass=Kind):
            def __new__(cls, device: Any = "cpu") -> Any:
                made: Any = REAL_GENERATOR("cpu")
                known[made._cdata] = made, whole(torch.device(device))
                return made

        return Generator

    def leaves(self, root: torch.Tensor) -> list[Any]:
        """Returns what the gradient of a tensor would reach, and notes what is added atomically on the way."""
        found, seen, todo = [], set(), [root.grad_fn]
        while todo:
            node: Any = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if hasattr(node, "variable"):
                found.append(node.variable)
            name = type(node).__name__
            if name.startswith("AdaptiveAvgPool2D"):
                (height, width), (rows, columns) = node._saved_self.shape[-2:], node._input_metadata[0].shape[-2:]
                if height % rows or width % columns:  # else torch takes a kernel that adds nothing atomically
                    self.record.atomic[f"{name} {height}x{width} to {rows}x{columns}"] += 1
            elif name.startswith(_ATOMIC):
                self.record.atomic[name] += 1
            todo += [next_ for next_, _ in node.next_functions]
        self.record.add("backward", "")
        return found

    def _grad(self, outputs: Any, inputs: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        for one in outputs:
            assert one.requires_grad, "an output does not require gradients"
            self.leaves(one)
        seeded = REAL_GENERATOR().manual_seed(1)
        return tuple(Held(torch.randn(one.shape, generator=seeded), one.device) for one in inputs)
