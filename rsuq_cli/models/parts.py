"""Which weights of a file: a checkpoint may hold raw and averaged ones, and `FILE#PART` names those that are meant.

Invariant: where a file holds several sets of weights, the plain one is taken unless another is named, and the others
are told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.models.checkpoints import sha256_of
from rsuq_cli.models.parameter_names import AVERAGED

# The names under which training scripts keep the weights beside an optimiser, an epoch and so on, in this order.
STATE_DICT_KEYS = (
    *("state_dict", "model_state_dict", "model", "net"),
    *("network", "weights", "params", "model_state", "model_dict", "net_state_dict", "state", "classifier", "backbone"),
    *("student", "module"),
)
# Settings that training scripts keep with the weights.
_SETTINGS_KEYS = ("args", "opt", "options", "config", "cfg", "hparams", "hyper_parameters")
_DEPTH = 3


class Located(NamedTuple):
    """A file, and the part of it that is meant ("" for whatever it holds)."""

    file: Path
    part: str


class Chosen(NamedTuple):
    """The tensors of a torch file that are taken, the name they lie under, and the names of the others.

    `unread` are averages that are no state dicts, such as bare lists of tensors.
    """

    tensors: Mapping[Any, Any]
    part: str
    others: tuple[str, ...]
    unread: tuple[str, ...] = ()


def located(path: Path) -> Located:
    """Returns the file and the part that `FILE#PART` names; a file that is there under its whole name has none."""
    text = str(path)
    if path.is_file() or "#" not in text:
        return Located(path, "")
    file, _, part = text.rpartition("#")
    return Located(Path(file), part)


def weights_sha256(path: Path) -> str:
    """Returns what identifies the weights that `path` names: the file's hash, another one for a named part of it.

    Raises BadInput where the file cannot be read.
    """
    file, part = located(path)
    digest = sha256_of(file)
    return hashlib.sha256(f"{digest}#{part}".encode()).hexdigest() if part else digest


def chosen_weights(content: Mapping[Any, Any], part: str, path: Path) -> Chosen:
    """Returns the weights that `part` names in a torch file, else the plain ones, else the only ones.

    Raises BadInput where there is no such part, no state dict, or several of which none is plain.
    """
    if part:
        return Chosen(_part(content, part, path), part, ())
    if content and all(isinstance(value, torch.Tensor) for value in content.values()):
        return Chosen(content, "", ())
    known = _state_dicts(content)
    raw = [name for name in known if not AVERAGED.search(name)]
    plain = next((name for key in STATE_DICT_KEYS for name in raw if name.split(".")[0] == key), None)
    if plain is None and known:
        if len(raw) != 1 and len(known) != 1:
            choice = f"choose: --weights {path}#{next(iter(known))}"
            raise BadInput(f"{path} holds several sets of weights: {', '.join(known)}", choice)
        (plain,) = raw if len(raw) == 1 else known
    if plain is None:
        empty = next((content[key] for key in STATE_DICT_KEYS if isinstance(content.get(key), Mapping)), content)
        return Chosen(empty, "", ())
    return Chosen(known[plain], plain, tuple(_others(known, plain)), tuple(_unread(content, known)))


def settings_of(content: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns what a torch file says about itself: plain values, and those of the settings it was trained with."""
    found: dict[str, Any] = {}
    for key in (*(key for key in content if key in _SETTINGS_KEYS), None):
        place = content if key is None else content[key]
        if isinstance(place, Mapping):
            found |= {str(name): value for name, value in place.items() if isinstance(value, (str, int, float, bool))}
    return found


def _part(content: Mapping[Any, Any], part: str, path: Path) -> Mapping[Any, Any]:
    """Returns what lies under a name of the file, or the tensors whose names begin with it."""
    known = _state_dicts(content)
    if part in known:
        return known[part]
    beginning = {
        name: value for place in (content, *known.values()) for name, value in place.items()
        if isinstance(value, torch.Tensor) and str(name).startswith(f"{part}.")
    }  # fmt: skip
    if not beginning:
        others = known or {str(name).split(".")[0] for name in content}
        raise BadInput(f"{path} holds no weights under {part!r}", nearest(part, others))
    return beginning


def _unread(content: Mapping[Any, Any], known: Iterable[str]) -> Iterable[str]:
    """Returns the names of averages that hold something, and no state dict."""
    read = {name.split(".")[0] for name in known}
    named = ((str(key), value) for key, value in content.items() if AVERAGED.search(str(key)))
    return (key for key, value in named if isinstance(value, (Mapping, list, tuple)) and value and key not in read)


def _others(known: Mapping[str, Mapping[Any, Any]], taken: str) -> Iterable[str]:
    """Returns the other sets of weights; a few tensors, such as the states of random generators, are none."""
    return (name for name in known if name != taken and 2 * len(known[name]) >= len(known[taken]))


def _state_dicts(content: Mapping[Any, Any], prefix: str = "", depth: int = 1) -> dict[str, Mapping[Any, Any]]:
    """Returns every mapping of tensors in a file by its place, such as `model` or `ema.state_dict`."""
    found: dict[str, Mapping[Any, Any]] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Mapping) or not value:
            continue
        if all(isinstance(one, torch.Tensor) for one in value.values()):
            found[prefix + key] = value
        elif depth < _DEPTH and (key in STATE_DICT_KEYS or AVERAGED.search(key)):
            found |= _state_dicts(value, f"{prefix}{key}.", depth + 1)
    return found
