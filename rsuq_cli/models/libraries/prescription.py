"""What a library prescribes for one of its models: how an image becomes what the network sees, and what it answers.

Invariant: values are in pixel units, for pixels in [0, 1]; nothing heavy is imported here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rsuq_cli.errors import BadInput
from rsuq_cli.models.statistics import Statistics

# How torch calls what Pillow calls by these numbers; others have no counterpart that is differentiable.
PILLOW = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}


class Prescription(NamedTuple):
    """How a library shows images to a network, and what its outputs stand for.

    `size` is the (C, H, W) that the network sees. An image of another size is resized to `resize`, (H, W) or the length
    of its shorter side, by `interpolation`, and cut to its centre. `classes` has all names of every output, () where
    they are not known, and `outputs` is their number.
    """

    size: tuple[int, int, int]
    resize: int | tuple[int, int]
    interpolation: str
    statistics: Statistics
    outputs: int
    classes: tuple[tuple[str, ...], ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name for every output; where several outputs have the same, their numbers are added."""
        first = [names[0] for names in self.classes]
        often = Counter(first)
        return tuple(name if often[name] == 1 else f"{name} ({at})" for at, name in enumerate(first))

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Returns the (H, W) that an image of this size is resized to before it is cut."""
        if isinstance(self.resize, tuple):
            return self.resize
        shorter = min(height, width)
        return (self.resize * height // shorter, self.resize * width // shorter)


def plain(name: str) -> str:
    """Returns a class name as it is compared: without the differences between how people write words."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def synonyms(label: str) -> tuple[str, ...]:
    """Returns a label such as "tench, Tinca tinca", and the names that it lists."""
    parts = [part.strip() for part in label.split(",")]
    return tuple(dict.fromkeys(part for part in (label, *parts) if part))


def interpolation_of(spec: str, number: int) -> str:
    """Returns torch's name of a way to resize; raises BadInput for one that torch has not."""
    if number not in PILLOW:
        raise BadInput(f"{spec} resizes images in a way that torch has not", "give data of the size that it sees")
    return PILLOW[number]


def unloadable(spec: str, error: Exception) -> BadInput:
    """Returns what to say of a library that cannot give its weights, or what it says of them."""
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return BadInput(
        f"{spec} cannot be loaded: {type(error).__name__}: {reason}",
        "its library fetches it from the network once and keeps it; without one, name a file with --weights",
    )


def missing(package: str, extra: str) -> BadInput:
    """Returns what to say where a library is not installed."""
    return BadInput(f"{package} is not installed", f"pip install 'rsuq[{extra}]'")


def imagenet_classes(categories: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Returns the names of each class of ImageNet-1k, with those of WordNet where timm is installed."""
    own = [synonyms(name) for name in categories]
    try:
        from timm.data import ImageNetInfo
    except ImportError:
        return tuple(own)
    info = ImageNetInfo("imagenet-1k")
    if len(own) != info.num_classes():
        return tuple(own)
    return tuple((*names, info.index_to_label_name(at)) for at, names in enumerate(own))
