"""Whose name is this? The weights of a file under the names that a model gives them.

Invariant: names are compared with the model's own, so no wrapper has to be known beforehand; a tensor is used, belongs
to what training left behind, or is reported. None is dropped in silence that could change the network's answers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

# Parts of a name that a wrapper puts anywhere in it (DataParallel, torch.compile, Opacus, Lightning, FSDP).
_WRAPPER_PARTS = frozenset(
    ("module", "_orig_mod", "_module", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
)
AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged?|polyak|shadow|teacher|target)([._]|$)", re.IGNORECASE)
_COUNTER = re.compile(r"(^|\.)n_averaged$")
# What a training module keeps beside its network: losses and metrics, by the first part of their names.
_TRAINING = re.compile(
    r"(criterion|criteria|loss\w*|\w+_loss|lossf\w*|\w*metrics?|(\w+_)?(acc|accuracy|auroc|f1|ece|confusion_matrix))$",
    re.IGNORECASE,
)
# What normalisation layers call what they subtract and divide by, and the beginning of ours.
_MEANS, _DEVIATIONS = ("mean", "means", "mu"), ("std", "stds", "sd", "sds", "sigma")
NORMALISE = "normalise."


@dataclass(frozen=True)
class Spelled:
    """The tensors of a file under the model's names, and what became of the others, by their names in the file.

    `prefix` stood before the names ("" for none); `rivals` are other prefixes under which the whole model lies too.
    """

    tensors: dict[str, torch.Tensor]
    prefix: str
    unexpected: tuple[str, ...]
    left_out: tuple[str, ...]
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class _Reading:
    """One way to read a file: what stands before the names in the file and in the model, and how well they agree."""

    prefix: str
    own_prefix: str
    names: int
    shapes: int

    @property
    def rank(self) -> tuple[int, int, bool, int, int]:
        plain = not AVERAGED.search(self.prefix)
        return self.names, self.shapes, plain, -len(self.prefix), -len(self.own_prefix)


def spelled_like(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> Spelled:
    """Returns `tensors` under the names of `own`, read in the way in which most names, and then shapes, agree.

    Comparing with the model keeps a user's own `Sequential`, whose names begin with `1.` by right.
    """
    mine, theirs = _without_wrappers(own, tensors)
    readings = [
        _Reading(prefix, own_prefix, names, _equal_shapes(own, tensors, mine, theirs, prefix, own_prefix))
        for own_prefix in _common_prefixes(mine)
        for prefix, names in _prefixes(mine, theirs, own_prefix).items()
    ]
    best = max(readings, key=lambda reading: reading.rank, default=_Reading("", "", 0, 0))
    found = {
        mine[best.own_prefix + name.removeprefix(best.prefix)]: theirs[name]
        for name in theirs
        if name.startswith(best.prefix) and best.own_prefix + name.removeprefix(best.prefix) in mine
    }
    found |= _normalisation(own, tensors, theirs, best.prefix, found)
    used = set(found.values())
    rivals = {
        reading.prefix
        for reading in readings
        if (reading.names, reading.shapes, reading.own_prefix) == (best.names, best.shapes, best.own_prefix)
        and reading.prefix != best.prefix
    }
    rest = {s: n for s, n in theirs.items() if n not in used and not _is_counter(n, tensors[n])}
    left_out = _left_by_training(rest, rivals, len(own))
    return Spelled(
        {name: tensors[in_file] for name, in_file in found.items()},
        best.prefix,
        tuple(name for name in rest.values() if name not in left_out),
        tuple(left_out),
        tuple(sorted(rivals)),
    )


def _is_counter(name: str, value: torch.Tensor) -> bool:
    """Returns whether a tensor is the number of models in an average, which no answer depends on."""
    return bool(_COUNTER.search(name)) and value.numel() == 1


def _left_by_training(rest: Mapping[str, str], rivals: Iterable[str], size: int) -> list[str]:
    """Returns which of the unused names are losses, metrics, or another copy of the network."""
    groups = Counter(short.split(".")[0] for short in rest)
    copies = {group for group, count in groups.items() if AVERAGED.search(group) and 2 * count >= size}
    return [
        name
        for short, name in rest.items()
        if (group := short.split(".")[0]) in copies
        or ("." in short and _TRAINING.match(group))
        or any(rival and short.startswith(rival) for rival in rivals)
    ]


def _without_wrappers(*sides: Iterable[str]) -> list[dict[str, str]]:
    """Returns for each side its names by their short forms; the names themselves where two would have the same."""
    short = [{_short(name): name for name in side} for side in sides]
    if any(len(names) != len(list(side)) for names, side in zip(short, sides, strict=True)):
        return [{name: name for name in side} for side in sides]
    return short


def _short(name: str) -> str:
    parts = name.split(".")
    return ".".join(part for part in parts[:-1] if part not in _WRAPPER_PARTS) + "." * (len(parts) > 1) + parts[-1]


def _common_prefixes(names: Iterable[str]) -> list[str]:
    """Returns what all names of a model begin with, from nothing on; its normalisation layer does not count."""
    parts = [name.split(".") for name in names if not name.startswith(NORMALISE)]
    prefixes, depth = [""], 0
    while parts and all(len(one) > depth + 1 and one[depth] == parts[0][depth] for one in parts):
        depth += 1
        prefixes.append(".".join(parts[0][:depth]) + ".")
    return prefixes


def _prefixes(mine: Mapping[str, str], theirs: Iterable[str], own_prefix: str) -> Counter[str]:
    """Returns for every beginning of names in a file how many of the rests are names in the model."""
    counts: Counter[str] = Counter()
    for name in theirs:
        parts = name.split(".")
        for depth in range(len(parts)):
            if own_prefix + ".".join(parts[depth:]) in mine:
                counts["".join(f"{part}." for part in parts[:depth])] += 1
    return counts


def _equal_shapes(
    own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], mine: Mapping[str, str],
    theirs: Mapping[str, str], prefix: str, own_prefix: str,
) -> int:  # fmt: skip
    pairs = (
        (own[mine[own_prefix + short.removeprefix(prefix)]], tensors[name])
        for short, name in theirs.items()
        if short.startswith(prefix) and own_prefix + short.removeprefix(prefix) in mine
    )
    return sum(ours.shape == other.shape for ours, other in pairs)


def _normalisation(
    own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], theirs: Mapping[str, str], prefix: str,
    found: Mapping[str, str],
) -> dict[str, str]:  # fmt: skip
    """Returns where a file keeps mean and deviation for the model's normalisation layer: both of them, or neither.

    They lie beside the network whose names begin with `prefix`, in a layer that comes before it or in none.
    """
    both: dict[str, str] = {}
    used = set(found.values())
    for short, name in theirs.items():
        *where, last = short.split(".")
        if name in used or last not in _MEANS + _DEVIATIONS:
            continue
        if where and (where[-1] == "0" or where[-1].startswith("norm")):
            where.pop()
        ours = NORMALISE + ("mean" if last in _MEANS else "std")
        beside = prefix.startswith("".join(f"{part}." for part in where))
        if beside and ours in own and ours not in found and tensors[name].numel() == own[ours].numel():
            both.setdefault(ours, name)
    return both if len(both) == 2 else {}
