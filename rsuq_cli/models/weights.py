"""Weights from files: safetensors or torch, in the layouts that published smoothing checkpoints use.

Invariant: no file is ever unpickled. What torch's `weights_only=True` does not read is refused, with the reason.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.checkpoints import HEADER_KEY, openable
from rsuq_cli.models.parameter_names import AVERAGED, NORMALISE, Spelled, spelled_like
from rsuq_cli.models.parts import chosen_weights, located, settings_of

# What checkpoints hold beside their weights that is no tensor: settings and figures, of these packages.
_BESIDE_WEIGHTS = ("numpy", "argparse", "omegaconf", "pathlib", "yacs", "easydict", "collections", "datetime")


@dataclass(frozen=True)
class StateDict:
    """Tensors by name as the file spells them, the architecture that the file names (or None), and other metadata.

    `part` is what they lie under in the file ("" for all of it), `others` the other sets of weights there, and `unread`
    averages that are no state dicts.
    """

    tensors: dict[str, torch.Tensor]
    arch: str | None
    metadata: dict[str, Any]
    part: str = ""
    others: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


class Fit(NamedTuple):
    """How weights fitted a model: whether they hold its normalisation, and what should be said of them, by the line."""

    normalised: bool
    notes: tuple[str, ...]


class _Mistaken(NamedTuple):
    what: str
    then: str


def read_weights(path: Path) -> StateDict:
    """Returns the weights in a safetensors or torch file, on the CPU; `FILE#PART` names a part of one.

    Torch files hold a state dict, or a dict with one under `state_dict` and an `arch` (released code of Cohen et al.
    2019). Raises BadInput for a file that is missing, corrupt, holds no tensors, or asks to run code when loaded.
    """
    path, part = located(path)
    if not path.is_file():
        raise BadInput(f"there is no weights file {path}", "check the path")
    try:
        return _read_safetensors(path, part) if _is_safetensors(path) else _read_torch(path, part)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}", "check the file's permissions") from error


def load_into(model: nn.Module, state: StateDict, path: Path) -> Fit:
    """Loads `state` into `model`, every weight of both accounted for; `path` is named in errors and notes.

    Names may carry what wrappers put before or into them. Missing `num_batches_tracked` counters and a missing
    normalisation keep the model's own values; losses, metrics and other copies of the network are left out, and told.
    Raises BadInput, and leaves the model as it was, for another class count, another input shape, missing or unexpected
    weights, two networks that fit alike, and weights that are not finite.
    """
    own = model.state_dict()
    spelled = spelled_like(own, state.tensors)
    tensors = spelled.tensors
    said = f"; the file names itself {state.arch}" if state.arch else ""
    missing = [name for name in own if name not in tensors and not _may_be_missing(name)]
    if missing or spelled.unexpected:
        parts = [_some("missing", missing)] if missing else []
        parts += [_some("unexpected", spelled.unexpected)] if spelled.unexpected else []
        raise BadInput(f"{path} does not fit the model: {'; '.join(parts)}{said}", "give the model it was trained as")
    for name in tensors:
        if name.startswith(NORMALISE) and tensors[name].numel() == own[name].numel():
            tensors[name] = tensors[name].view(own[name].shape)
    _check_shapes(own, tensors, path, said)
    _check_kinds(own, tensors, path)
    spoiled = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if spoiled:
        raise BadInput(f"{path} holds values that are not finite: {_some('in', spoiled)}", "its training diverged")
    notes = _notes(spelled, state, path)
    model.load_state_dict({**own, **tensors})
    return Fit(any(name.startswith(NORMALISE) for name in tensors), notes)


def _notes(spelled: Spelled, state: StateDict, path: Path) -> tuple[str, ...]:
    """Returns what to say of weights that could be mistaken for others; raises BadInput where two fit alike."""
    taken, others = state.part, list(state.others)
    if spelled.rivals:
        taken, *others = (prefix.rstrip(".") or "the plain names" for prefix in (spelled.prefix, *spelled.rivals))
        if not AVERAGED.search(spelled.prefix) and not all(AVERAGED.search(rival) for rival in spelled.rivals):
            choice = f"choose: --weights {located(path).file}#{others[0]}"
            raise BadInput(f"{path} holds networks that fit alike: {', '.join((taken, *others))}", choice)
    elif AVERAGED.search(spelled.prefix):
        taken = spelled.prefix.rstrip(".")
    notes = []
    if others:
        averaged = "averaged weights" if all(map(AVERAGED.search, others)) else "other weights"
        notes.append(
            f"{path} holds {averaged} too ({', '.join(others)}): taking {taken}; "
            f"--weights {located(path).file}#{others[0]} takes the others"
        )
    elif not located(path).part and AVERAGED.search(taken):
        notes.append(f"{path}: taking the averaged weights {taken}, the only ones in it")
    if state.unread:
        notes.append(f"{path} holds {', '.join(state.unread)} too, which is no state dict and is not read")
    left_out = [name for name in spelled.left_out if not any(name.startswith(one) for one in spelled.rivals if one)]
    if left_out:
        notes.append(f"{path}: left out what is no part of the network: {_some('tensors', left_out)}")
    return tuple(notes)


def _is_safetensors(path: Path) -> bool:
    """Tells by content: eight bytes of header length, then a JSON object. No torch file begins so."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size


def _read_safetensors(path: Path, part: str) -> StateDict:
    try:
        with openable(path) as found, safetensors.safe_open(found, framework="pt", device="cpu") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = json.loads(header[HEADER_KEY]) if HEADER_KEY in header else dict(header)
    except (safetensors.SafetensorError, ValueError) as error:
        raise _corrupt(path, error) from error
    if not tensors or not isinstance(metadata, dict):
        raise BadInput(f"{path} holds no weights", "give a state dict or a checkpoint")
    arch = metadata.get("model") or metadata.get("arch")
    if part:
        tensors = dict(chosen_weights(tensors, part, path).tensors)
    return StateDict(tensors, str(arch) if arch else None, metadata, part)


def _read_torch(path: Path, part: str) -> StateDict:
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
            f"save it anew with torch.save({_saved_anew(refused)}, ...) where you trust it",
        ) from error
    if not isinstance(content, Mapping):
        raise BadInput(f"{path} holds a {type(content).__name__}, not a state dict", "save model.state_dict()")
    chosen = chosen_weights(content, part, path)
    strange = [str(name) for name, value in chosen.tensors.items() if not isinstance(value, torch.Tensor)]
    if strange or not chosen.tensors:
        reason = f"{strange[0]!r} is no tensor" if strange else "it is empty"
        raise BadInput(f"{path} holds no state dict: {reason}", "save model.state_dict()")
    metadata = settings_of(content)
    arch = metadata.get("arch")
    tensors = {str(name): value for name, value in chosen.tensors.items()}
    return StateDict(tensors, str(arch) if arch else None, metadata, chosen.part, chosen.others, chosen.unread)


def _refusal(error: Exception) -> str | None:
    """Returns what a file asks for beyond tensors, or None where it is merely damaged."""
    text = str(error)
    if "TorchScript" in text:
        return "it is a TorchScript archive, which holds code"
    found = re.search(r"GLOBAL (\S+)", text) or re.search(r"(?:Unsupported class|type) (\S+)", text)
    if isinstance(error, pickle.UnpicklingError) and found:
        return f"loading it would run {found.group(1)}"
    return None


def _saved_anew(refused: str) -> str:
    """Returns the expression that has the weights of a refused file and nothing else."""
    if "TorchScript" in refused:
        return "torch.jit.load(FILE).state_dict()"
    beside = any(f"run {package}" in refused for package in _BESIDE_WEIGHTS)
    return 'torch.load(FILE, weights_only=False)["state_dict"]' if beside else "model.state_dict()"


def _corrupt(path: Path, error: Exception) -> BadInput:
    with contextlib.suppress(OSError):
        if (known := _something_else(path)) is not None:
            return BadInput(f"{path} holds no weights: it is {known.what}", known.then)
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return BadInput(f"{path} is no readable weights file: {reason}", "it may be damaged or cut short: fetch it again")


def _something_else(path: Path) -> _Mistaken | None:
    """Returns what a file is that is often taken for weights, None where its beginning does not tell."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        return _Mistaken("empty", "fetch it again")
    if start.startswith(b"<") and b"html" in start:
        return _Mistaken("a web page", "fetch the file itself, not the page about it")
    if start.startswith(b"version https://git-lfs"):
        return _Mistaken("a pointer of Git LFS to them", "fetch the file itself: git lfs pull")
    if start.startswith(b"\x1f\x8b"):
        return _Mistaken("compressed", "unpack it with gunzip or tar")
    if start.startswith(b"{") and b"weight_map" in start + path.name.encode(errors="replace"):
        return _Mistaken("an index of several files", "put their tensors into one safetensors file")
    return None


def _may_be_missing(name: str) -> bool:
    return name.endswith("num_batches_tracked") or name.startswith(NORMALISE)


def _check_shapes(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], path: Path, said: str) -> None:
    """Raises BadInput for the first shape that differs, in the user's terms where that can be told."""
    names = [name for name in own if not name.startswith(NORMALISE) and own[name].ndim]
    normalisation = [name for name in own if name.startswith(NORMALISE)]
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


def _check_kinds(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raises BadInput for a weight that copying would turn into another number, or that has none."""
    for name, value in tensors.items():
        mine = own.get(name)
        if value.is_meta:
            raise BadInput(f"{path} holds names and shapes without values: {name}", "save the weights themselves")
        if not isinstance(mine, torch.Tensor) or mine.is_quantized or not mine.is_floating_point():
            continue
        if value.layout is not torch.strided or value.is_quantized or not (value.is_floating_point() or not value.ndim):
            kind = "quantised" if value.is_quantized else str(value.dtype).removeprefix("torch.")
            kind = kind if value.layout is torch.strided else "sparse"
            raise BadInput(
                f"{path} holds {kind} numbers for {name}, which is {str(mine.dtype).removeprefix('torch.')} in the "
                "network",
                "save the weights as the network uses them, before they were quantised or packed",
            )


def _some(what: str, names: Iterable[str]) -> str:
    listed = list(names)
    return f"{len(listed)} {what} ({', '.join(listed[:3])}{', …' if len(listed) > 3 else ''})"
