"""Tensors that say that they are on `cuda:0`, with their numbers on the CPU, and a record of what was asked of them.

Invariant: nothing is done with the numbers but by the device that a tensor is on; what reads them on the host is noted.
"""

from __future__ import annotations

import sys
import types
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")


class Happened(NamedTuple):
    """A launch, a copy, a wait or a backward pass, what it was, and the line of the package that caused it.

    `behind` is how much had happened when an event was recorded that is waited for, -1 for all else.
    """

    kind: str
    what: str
    line: str
    behind: int = -1


@dataclass
class Record:
    """What a device was asked for, in order, and which gradients are not repeatable."""

    log: list[Happened] = field(default_factory=list)
    atomic: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, what: str, behind: int = -1) -> None:
        """Notes what happens now."""
        self.log.append(Happened(kind, what, line_of_package(), behind))

    def waits(self) -> Counter[str]:
        """Returns how often the host waited for all that was launched, by the reason and the line."""
        return Counter(f"{one.what} at {one.line}" for one in self.log if one.kind == "wait")

    def launches(self, part: str = "") -> int:
        """Returns how many kernels were launched, by lines that hold `part`."""
        return sum(one.kind == "launch" and part in one.line for one in self.log)

    def clear(self) -> None:
        """Forgets all of it."""
        self.log.clear()
        self.atomic.clear()


def line_of_package() -> str:
    """Returns the file, line and function of the package that is running."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame:
        # A mode for torch's functions stands between a line and what it calls.
        if "rsuq_cli" in frame.f_code.co_filename and frame.f_code.co_name != "__torch_function__":
            return f"{frame.f_code.co_filename.split('rsuq_cli/')[-1]}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"


class Held(torch.Tensor):
    """A tensor on the pretend device; `numbers` is where its numbers are."""

    place: ClassVar[Any] = None  # the device, as long as there is one
    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, real: torch.Tensor, device: torch.device) -> Held:
        held: Held = torch.Tensor._make_wrapper_subclass(
            cls, real.shape, strides=real.stride(), storage_offset=real.storage_offset(), dtype=real.dtype,
            device=device,
        )  # fmt: skip
        held.numbers = real
        return held

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, kinds: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        assert Held.place is not None, "the pretend device is gone"
        return Held.place.mode.__torch_dispatch__(func, kinds, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, list):  # torch makes a tensor of it, and copies that
            assert Held.place is not None
            Held.place.record.add("wait", "index by a list")
            key = Held(torch.tensor(key), self.device)
        return super().__getitem__(key)

    def tolist(self) -> Any:
        """Reads all values, and waits for them."""
        assert Held.place is not None
        Held.place.record.add("wait", "tolist")
        return self.numbers.tolist()

    def numpy(self, **_: Any) -> Any:
        """Raises, as a device does."""
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.numbers.detach().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied: torch.Tensor = Held(self.numbers.detach().clone(memory_format=torch.preserve_format), self.device)
        if isinstance(self, torch.nn.Parameter) or getattr(self, "_is_param", False):
            copied = torch.nn.Parameter(copied, requires_grad=self.requires_grad)
        memo[id(self)] = copied
        return copied

    def backward(self, *_: Any, **__: Any) -> None:
        """Gives every leaf a gradient that is made up."""
        assert Held.place is not None
        for leaf in Held.place.leaves(self):
            made_up = Held(leaf.numbers.detach() * 1e-3, leaf.device)
            leaf.grad = made_up if leaf.grad is None else leaf.grad + made_up

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Held({tuple(self.shape)}, {self.dtype}, {self.device})"
