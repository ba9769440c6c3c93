"""How data sets are named: `digits`, `folder:PATH`, `npz:PATH`, `…-without-8,9`, and `…@16` where results are kept.

Invariant: every name is read here and nowhere else. Results of images that were resized are kept under `NAME@SIZE`,
whatever NAME is; a path may end in `@16` or `-without-8` itself, so a name whose path exists as it is written is never
taken apart. Nothing here needs PyTorch.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rsuq_cli.errors import BadInput
from rsuq_cli.spelling import path_of

SEPARATOR = "-without-"
# What stands before the name of a class that could be taken for the id of another.
BY_NAME = "="
_SIZED = re.compile(r"(.+)@([1-9][0-9]*)", re.DOTALL)


class KeptName(NamedTuple):
    """The two parts of a name that results are kept under: the data set's own, and the size its images were made."""

    dataset: str
    image_size: int | None


class HeldOutName(NamedTuple):
    """The two parts of a name such as `digits-without-8,9`: a data set, and the classes that are held out of it."""

    dataset: str
    classes: tuple[str, ...]


def kept_under(dataset: str, image_size: int | None) -> str:
    """Returns the name under which results are kept: images of another size are other data."""
    return dataset if image_size is None else f"{dataset}@{image_size}"


def parted(kept: str) -> KeptName:
    """Returns the parts of a name that results are kept under, as far as the name and the disk tell."""
    sized = _SIZED.fullmatch(kept)
    if sized is None or stands(kept):
        return KeptName(kept, None)
    return KeptName(sized[1], int(sized[2]))


def held_out_name(name: str) -> HeldOutName | None:
    """Returns the parts of the name of a data set with classes held out, None where it is no such name."""
    dataset, separator, classes = name.rpartition(SEPARATOR)
    if stands(name) or not (separator and dataset and classes) or (":" in dataset and "/" in classes):
        return None
    return HeldOutName(dataset, tuple(part.strip() for part in classes.split(",")))


def without(dataset: str, classes: str) -> str:
    """Returns the name of a data set with these classes, names or ids split by commas, held out.

    Raises BadInput where something else has that name.
    """
    name = f"{dataset}{SEPARATOR}{classes}"
    if stands(name):
        raise BadInput(f"{name.partition(':')[2]} is there, and would be taken for the data set", "rename it")
    return name


def stands(name: str) -> bool:
    """Returns whether the path of a `folder:PATH` or `npz:PATH` is there as it is written."""
    kind, colon, path = name.partition(":")
    if not (colon and path and kind in ("folder", "npz")):
        return False
    try:
        return path_of(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # a name that no file can have, or a home that is not there
        return False
