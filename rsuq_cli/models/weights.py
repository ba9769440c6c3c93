"""Weights from files: safetensors or torch, in the layouts that published smoothing checkpoints use.

Invariant: no file is ever unpickled. What torch's `weights_only=True` does not read is refused, with the reason.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.checkpoints import HEADER_KEY

# The names under which training scripts keep the weights beside an optimiser, an epoch and so on.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "net")

# What wrappers put in front of a parameter's name: DataParallel (`module.`), Sequential(normalise, network) (`1.`), and
# one inside the other. Which of them a file uses is found out by comparing with the model.
WRAPPERS = (r"", r"(?:module\.)+", r"(?:module\.)?1\.(?:module\.)?")
NORMALISATION = re.compile(r"(?:module\.)?(?:0|normalise|normalize)\.(mean|std|sds?)s?$")


@dataclass(frozen=True)
class StateDict:
    """Tensors by name as the file spells them, the architecture that the file names (or None), and other metadata."""

    tensors: dict[str, torch.Tensor]
    arch: str | None
    metadata: dict[str, Any]


def read_weights(path: Path) -> StateDict:
    """Returns the weights in a safetensors or torch file, on the CPU.

    Torch files hold a state dict, or a dict with one under `state_dict` and an `arch` (released code of Cohen et al.
    2019). Raises BadInput for a file that is missing, corrupt, holds no tensors, or asks to run code when loaded.
    """
    if not path.is_file():
        raise BadInput(f"there is no weights file {path}", "check the path")
    try:
        return _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}", "check the file's permissions") from error


def load_into(model: nn.Module, state: StateDict, path: Path) -> None:
    """Loads `state` into `model`, every weight of both accounted for; `path` is named in errors.

    Names may carry the wrappers of `WRAPPERS`. Missing `num_batches_tracked` counters and a missing normalisation keep
    the model's own values. Raises BadInput, and leaves the model as it was, for another class count, another input
    shape, missing or unexpected weights, and weights that are not finite.
    """
    own = model.state_dict()
    tensors = _spelled_like(own, state.tensors)
    said = f"; the file names itself {state.arch}" if state.arch else ""
    missing = [name for name in own if name not in tensors and not _may_be_missing(name)]
    unexpected = [name for name in tensors if name not in own]
    if missing or unexpected:
        parts = [_some("missing", missing)] if missing else []
        parts += [_some("unexpected", unexpected)] if unexpected else []
        raise BadInput(f"{path} does not fit the model: {'; '.join(parts)}{said}", "give the model it was trained as")
    _check_shapes(own, tensors, path, said)
    spoiled = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if spoiled:
        raise BadInput(f"{path} holds values that are not finite: {_some('in', spoiled)}", "its training diverged")
    model.load_state_dict({**own, **tensors})


def _is_safetensors(path: Path) -> bool:
    """Tells by content: eight bytes of header length, then a JSON object. No torch file begins so."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size


def _read_safetensors(path: Path) -> StateDict:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = json.loads(header[HEADER_KEY]) if HEADER_KEY in header else dict(header)
    except (safetensors.SafetensorError, ValueError) as error:
        raise _corrupt(path, error) from error
    if not tensors or not isinstance(metadata, dict):
        raise BadInput(f"{path} holds no weights", "give a state dict or a checkpoint")
    arch = metadata.get("model") or metadata.get("arch")
    return StateDict(tensors, str(arch) if arch else None, metadata)


def _read_torch(path: Path) -> StateDict:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the refusal below says it in one line
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        refused = _refusal(error)
        if refused is None:
            raise _corrupt(path, error) from error
        raise BadInput(
            f"{path} is refused: {refused}, and rsuq loads tensors only",
            "save it anew with torch.save(model.state_dict(), ...) where you trust it",
        ) from error
    if not isinstance(content, Mapping):
        raise BadInput(f"{path} holds a {type(content).__name__}, not a state dict", "save model.state_dict()")
    inner = next((content[key] for key in STATE_DICT_KEYS if isinstance(content.get(key), Mapping)), None)
    tensors = content if inner is None else inner
    strange = [str(name) for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if strange or not tensors:
        reason = f"{strange[0]!r} is no tensor" if strange else "it is empty"
        raise BadInput(f"{path} holds no state dict: {reason}", "save model.state_dict()")
    scalars = {} if inner is None else {k: v for k, v in content.items() if isinstance(v, (str, int, float, bool))}
    arch = scalars.get("arch")
    metadata = {str(key): value for key, value in scalars.items()}
    return StateDict({str(name): value for name, value in tensors.items()}, str(arch) if arch else None, metadata)


def _refusal(error: Exception) -> str | None:
    """Returns what a file asks for beyond tensors, or None where it is merely damaged."""
    text = str(error)
    if "TorchScript" in text:
        return "it is a TorchScript archive, which holds code"
    found = re.search(r"GLOBAL (\S+)", text) or re.search(r"(?:Unsupported class|type) (\S+)", text)
    if isinstance(error, pickle.UnpicklingError) and found:
        return f"loading it would run {found.group(1)}"
    return None


def _corrupt(path: Path, error: Exception) -> BadInput:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return BadInput(f"{path} is no readable weights file: {reason}", "it may be damaged or cut short: fetch it again")


def _spelled_like(own: Mapping[str, torch.Tensor], tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns `tensors` under the model's names: of all ways to drop wrappers, the one that most names agree with.

    Comparing with the model keeps a user's own `Sequential`, whose names begin with `1.` by right.
    """
    zoo = any(name.startswith("network.") for name in own)
    spellings = [
        {re.sub(rf"^{wrapper}", prefix, name): value for name, value in tensors.items()}
        for prefix in (("", "network.") if zoo else ("",))
        for wrapper in WRAPPERS
    ]
    best = max(spellings, key=lambda spelling: len(own.keys() & spelling.keys()))
    if not zoo:
        return best
    for name, value in tensors.items():
        found = NORMALISATION.match(name)
        ours = f"normalise.{'mean' if found.group(1) == 'mean' else 'std'}" if found else ""
        if ours in own and value.numel() == own[ours].numel():
            best = {key: tensor for key, tensor in best.items() if tensor is not value}
            best[ours] = value.view(own[ours].shape)
    return best


def _may_be_missing(name: str) -> bool:
    return name.endswith("num_batches_tracked") or name.startswith("normalise.")


def _check_shapes(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], path: Path, said: str) -> None:
    """Raises BadInput for the first shape that differs, in the user's terms where that can be told."""
    names = [name for name in own if not name.startswith("normalise.") and own[name].ndim]
    normalisation = [name for name in own if name.startswith("normalise.")]
    differing = [name for name in normalisation + names if name in tensors and tensors[name].shape != own[name].shape]
    if not differing:
        return
    first = differing[0]
    theirs, ours = tuple(tensors[first].shape), tuple(own[first].shape)
    if first in normalisation:
        raise BadInput(
            f"{path} was trained on inputs of {theirs[0]} channels, and the data have {ours[0]}", "give data alike"
        )
    if first == names[0] and theirs[:1] == ours[:1] and theirs[1:] != ours[1:]:
        what = f"{theirs[1]} input values" if len(theirs) == 2 else f"inputs of {theirs[1]} channels"
        raise BadInput(f"{path} was trained on {what}, and the data have {ours[1]}{said}", "give data of its shape")
    if set(differing) <= set(names[-2:]) and theirs[1:] == ours[1:]:
        raise BadInput(
            f"{path} was trained for {theirs[0]} classes, and the data have {ours[0]}{said}", "give data of its classes"
        )
    raise BadInput(f"{path} does not fit the model: {first} is {theirs}, not {ours}{said}", "name its own model")


def _some(what: str, names: Iterable[str]) -> str:
    listed = list(names)
    return f"{len(listed)} {what} ({', '.join(listed[:3])}{', …' if len(listed) > 3 else ''})"
