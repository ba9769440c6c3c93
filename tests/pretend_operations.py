"""What a device does with an operation: refuses it, or runs it and notes launches, copies and waits.

Invariant: operands on two devices, a generator of another device and, where there is none, float64 raise as they do on
a device. A copy waits for all that was launched unless it is from or to pinned memory, and told not to wait.
"""

from __future__ import annotations

from typing import Any

import torch
from pretend_tensor import CPU, CUDA, Held, Record, line_of_package
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
REAL_GENERATOR: Any = torch.Generator
# Their answers are read on the host.
_READS = {
    "_local_scalar_dense", "nonzero", "masked_select", "bincount", "equal", "is_nonzero", "_unique2", "unique_dim",
}  # fmt: skip
# No kernel runs for these.
_FREE = {
    *(
        "view",
        "_unsafe_view",
        "expand",
        "slice",
        "select",
        "t",
        "transpose",
        "permute",
        "unsqueeze",
        "squeeze",
        "alias",
    ),
    *("detach", "as_strided", "split", "split_with_sizes", "unbind", "_reshape_alias", "unfold", "lift_fresh", "empty"),
    *("empty_like", "new_empty", "empty_strided", "new_empty_strided", "set_", "resize_", "is_same_size", "detach_"),
}
# These take indices from the host, by copying them.
_INDEXED = {"index", "index_put_", "_index_put_impl_"}


class Operations:
    """The operations of a device and what it was asked for."""

    def __init__(self, *, float64: bool) -> None:
        self.float64 = float64
        self.record = Record()
        self.generators: dict[int, tuple[Any, torch.device]] = {}
        self.pinned: dict[int, torch.Tensor] = {}

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Returns what the operation gives."""
        if func is aten._pin_memory.default:
            return self._pin(args[0].clone())
        if func is aten.is_pinned.default:
            return args[0].data_ptr() in self.pinned if not isinstance(args[0], Held) else False
        found = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        held = [one for one in found if isinstance(one, Held)]
        target = None if kwargs.get("device") is None else whole(torch.device(kwargs["device"]))
        if not held and (target is None or target.type != "cuda"):
            pinned = kwargs.pop("pin_memory", None)
            out = func(*args, **kwargs)
            return self._pin(out) if pinned else out
        if not self.float64:
            self._refuse_float64(func, args, kwargs)
        if func is aten._to_copy.default:
            return self._to_copy(args[0], kwargs, target)
        if func is aten.copy_.default:
            return self._copy(*args, **kwargs)
        place = target if target is not None and target.type == "cuda" else held[0].device
        self._check(func, found, args, kwargs, place)
        return self._launched(func, args, kwargs, held, place)

    def _pin(self, tensor: torch.Tensor) -> torch.Tensor:
        self.pinned[tensor.data_ptr()] = tensor
        return tensor

    def _check(self, func: Any, found: list[torch.Tensor], args: Any, kwargs: dict[str, Any], place: Any) -> None:
        """Raises where a device would, and notes what waits."""
        name = name_of(func)
        devices = {one.device for one in found if isinstance(one, Held)}
        for one in found:
            if isinstance(one, Held) or (one.dim() == 0 and not name.startswith(("index_add", "scatter", "searchs"))):
                continue  # a number on the host goes with any device
            if name in _INDEXED:
                self.record.add("wait", "index from the host")
            else:
                devices.add(one.device)
        if len(devices) > 1:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{' and '.join(sorted(map(str, devices)))}! ({func} at {line_of_package()})"
            )
        generator = kwargs.get("generator") or next((one for one in args if isinstance(one, REAL_GENERATOR)), None)
        if generator is not None:
            _, its = self.generators.get(generator._cdata, (None, CPU))
            if its != place:
                raise RuntimeError(f"Expected a '{place}' generator device but found '{its}' (at {line_of_package()})")
        masks = args[1] if name in _INDEXED else ()
        if name in _READS or any(isinstance(one, Held) and one.dtype == torch.bool for one in masks or ()):
            self.record.add("wait", name)

    def _launched(self, func: Any, args: Any, kwargs: dict[str, Any], held: list[Held], place: torch.device) -> Any:
        name = name_of(func)
        if name not in _FREE:
            self.record.add("launch", name)
        known = {id(one.numbers): one for one in held}
        real_args, real_kwargs = tree_map(real_of, args), tree_map(real_of, kwargs)
        real_kwargs = {name: value for name, value in real_kwargs.items() if name != "pin_memory"}
        if real_kwargs.get("device") is not None:
            real_kwargs["device"] = CPU
        if func is aten.cudnn_batch_norm.default:  # which CUDA takes for training in float32
            out = (*aten.native_batch_norm.default(*real_args), torch.empty(0, dtype=torch.uint8))
        else:
            out = func(*real_args, **real_kwargs)
        # In inference mode a view of a usual tensor is a usual tensor, and all else is not.
        views = any(one.alias_info is not None for one in func._schema.returns)
        usual = torch.is_inference_mode_enabled() and views and not all(one.is_inference() for one in held)

        def close(one: Any) -> Any:
            if not isinstance(one, torch.Tensor):
                return one
            return known[id(one)] if id(one) in known else on_device(one, place, usual=usual)

        return tree_map(close, out)

    def _to_copy(self, source: torch.Tensor, kwargs: dict[str, Any], target: torch.device | None) -> torch.Tensor:
        rest = {name: value for name, value in kwargs.items() if name not in ("device", "non_blocking", "pin_memory")}
        place = source.device if target is None else target
        real = real_of(source)
        out = aten._to_copy.default(real, **rest)
        out = real.clone() if out is real else out
        self._note_copy(source.device, place, real, None, waits=not kwargs.get("non_blocking", False))
        return Held(out, place) if place.type == "cuda" else out

    def _copy(self, target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        aten.copy_.default(real_of(target), real_of(source))
        self._note_copy(source.device, target.device, real_of(source), real_of(target), waits=not non_blocking)
        return target

    def _note_copy(
        self, here: torch.device, there: torch.device, source: torch.Tensor, target: torch.Tensor | None, *, waits: bool
    ) -> None:
        if here == there:
            self.record.add("launch", "copy")
            return
        host = source if here.type == "cpu" else target
        # A copy to the host that is made for it lies in usual memory, and is not there yet where it does not wait.
        pinned = host is not None and (host.data_ptr() in self.pinned or self.in_pinned(host))
        direction = "copy to the device" if there.type == "cuda" else "copy to the host"
        self.record.add("wait" if waits or not pinned else "copy", direction)

    def in_pinned(self, tensor: torch.Tensor) -> bool:
        """Returns whether a tensor lies in pinned memory, or in a part of it."""
        at = tensor.data_ptr()
        return any(start <= at < start + whole_.nbytes for start, whole_ in self.pinned.items())

    def _refuse_float64(self, func: Any, args: Any, kwargs: dict[str, Any]) -> None:
        moved = func is aten._to_copy.default and kwargs.get("dtype") is None and args[0].dtype == torch.float64
        to_host = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu"
        if (kwargs.get("dtype") == torch.float64 or moved) and not to_host:
            raise TypeError(f"the device has no float64 ({func} at {line_of_package()})")


def name_of(func: Any) -> str:
    """Returns the name of an operation, without its overload."""
    name: str = func._schema.name.split("::")[-1]
    return name


def real_of(one: Any) -> Any:
    """Returns the numbers behind a tensor of the device, and anything else as it is."""
    return one.numbers if isinstance(one, Held) else one


def on_device(real: torch.Tensor, place: torch.device, *, usual: bool) -> Held:
    """Returns numbers as a tensor of a device."""
    if not usual:
        return Held(real, place)
    with torch.inference_mode(False):
        return Held(real, place)


def whole(device: torch.device) -> torch.device:
    """Returns a device with its number."""
    return CUDA if device.type == "cuda" and device.index is None else device
