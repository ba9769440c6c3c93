"""Where the forward pass runs, and in which precision.

Invariant: what was chosen is what runs, or the user is told in one line; nothing falls back silently.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch

from rsuq_cli.errors import BadInput, RunIncomplete

Precision = Literal["fp32", "tf32", "bf16"]
# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# The first compute capability with tf32; cards before it compute in float32, whatever is set.
_TF32_SINCE = 8
# How torch, cuDNN and cuBLAS say that memory is full: cuDNN without room for its workspace finds no engine.
_FULL = ("out of memory", "can't allocate memory", "unable to find an engine", "status_alloc_failed")
# On the CPU, batches are a multiple of so many rows.
ROW_MULTIPLE = 32
# So many workers are allowed on the smallest machine; more than a few for each processor only take memory.
FEWEST_AT_MOST = 16


def resolve_device(name: str = "auto") -> torch.device:
    """Returns the device of that name; "auto" takes CUDA, then MPS, then the CPU.

    Raises BadInput for an absent one, and for several.
    """
    if "," in name:
        raise BadInput(f"--device {name} lists several, and this runs on one", "name one of them")
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"unknown device {name!r}", "use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise BadInput("CUDA was asked for and is not available here", "use --device cpu, or --device auto")
        index = device.index or 0
        if index >= torch.cuda.device_count():
            raise BadInput(f"there is no CUDA device {index}", f"this machine has {torch.cuda.device_count()}")
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadInput("MPS was asked for and is not available here", "use --device cpu, or --device auto")
    if device.type not in ("cpu", "mps"):
        raise BadInput(f"device {name!r} is not supported", "use auto, cpu, cuda, cuda:N or mps")
    return device


def resolve_devices(names: str, workers: int = 1) -> list[torch.device]:
    """Returns the device of every worker: those listed as "cuda:0,cuda:1", or one device `workers` times.

    Raises BadInput for absent devices, a mixture of kinds, and several workers on each of several devices.
    """
    devices = [resolve_device(name.strip()) for name in names.split(",")]
    if workers < 1:
        raise BadInput(f"--workers is {workers}", "give at least 1")
    if workers > (most := max(FEWEST_AT_MOST, 4 * (os.cpu_count() or 1))):
        raise BadInput(f"--workers is {workers}", f"give at most {most} on this machine: each is a process of its own")
    if len({device.type for device in devices}) > 1:
        raise BadInput(f"--device {names} mixes kinds of devices", "evidence of one run comes from one kind")
    if len(devices) > 1 and workers not in (1, len(devices)):
        raise BadInput(f"{workers} workers on {len(devices)} devices", "leave --workers out: there is one for each")
    return devices * workers if len(devices) == 1 else devices


def check_precision(precision: str, device: torch.device) -> Precision:
    """Returns the precision, or raises BadInput where the device does not have it."""
    if precision not in PRECISIONS:
        raise BadInput(f"unknown precision {precision!r}", f"use one of {', '.join(PRECISIONS)}")
    if precision == "tf32" and device.type != "cuda":
        raise BadInput("tf32 is a mode of NVIDIA GPUs", f"use --precision fp32 or bf16 on {device.type}")
    if precision == "tf32" and torch.cuda.is_available() and torch.cuda.get_device_capability(device)[0] < _TF32_SINCE:
        raise BadInput(f"{device} has no tf32: it came with compute capability 8.0", "use --precision fp32")
    return precision


@contextlib.contextmanager
def inference(device: torch.device, precision: Precision) -> Iterator[None]:
    """Runs its body without gradients in the precision asked for, deterministically, and restores the settings."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    # Benchmarking may pick another algorithm, with other rounding, for the same shape: evidence must not depend on it.
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        with tf32(allowed=precision == "tf32"), torch.inference_mode(), autocast:
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


@contextlib.contextmanager
def tf32(*, allowed: bool) -> Iterator[None]:
    """Sets whether TF32 may be used, in the old settings of torch and the new ones, and restores both.

    Once a user's file has set a new one, torch refuses to read the old one that disagrees with it.
    """
    old: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    layers = [getattr(torch.backends.cudnn, name, None) for name in ("conv", "rnn")]
    new: list[Any] = [one for one in (*old, *layers) if hasattr(one, "fp32_precision")]
    before_old = [_allows_tf32(one) for one in old]
    before_new = [one.fp32_precision for one in new]
    for one in old:
        one.allow_tf32 = allowed
    for one in new:
        if one is not torch.backends.cudnn:  # its layers are set; by itself it would speak for both again
            one.fp32_precision = "tf32" if allowed else "ieee"
    try:
        yield
    finally:
        for one, was in zip(old, before_old, strict=True):
            if was is not None:
                one.allow_tf32 = was
        for one, was in zip(new, before_new, strict=True):
            if one.fp32_precision != was:
                one.fp32_precision = was


def _allows_tf32(settings: Any) -> bool | None:
    """Returns an old setting, None where torch cannot say it any more."""
    try:
        return bool(settings.allow_tf32)
    except RuntimeError:
        return None


def keep_freed_memory() -> None:
    """Tells the C library to keep the memory of freed batches for the next ones, where it can be told (glibc).

    It would give large blocks back to the system, which clears them anew for every layer of every batch: a good part
    of the time of a small network. What is kept is bounded by one batch.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_THRESHOLD, 2**30)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Returns the tensor on the device, without waiting for what the device is doing."""
    if device.type == "cuda" and tensor.device.type == "cpu" and torch.cuda.is_available():
        tensor = tensor.pin_memory()  # a copy from other memory may wait for the forward pass before it
    return tensor.to(device, non_blocking=True)


def smaller_batch(rows: int, device: torch.device, error: BaseException) -> int:
    """Returns the rows of a batch to go on with where one of `rows` met a full memory, half of it or a little less.

    Raises the error where it says anything else, and RunIncomplete where there is no smaller batch.
    """
    if not is_out_of_memory(error):
        raise error
    least = ROW_MULTIPLE if device.type == "cpu" else 1
    if rows <= least:
        raise RunIncomplete(
            f"{device} is out of memory even with a batch of {least}", "use a smaller model or another device"
        ) from error
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return max(least, rows // 2 // least * least)


@contextlib.contextmanager
def room_for(what: str, device: torch.device, hint: str) -> Iterator[None]:
    """Raises BadInput with the hint where its body meets a full memory of the device."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise BadInput(f"{device} has no memory for {what}", hint) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an exception of torch says that the device's memory is full."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(told in text for told in _FULL)
