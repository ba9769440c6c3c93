"""From a name or a path to a data set.

Invariant: opening imports and reads only what the named set needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.held_out import HeldOutDataset
from rsuq_cli.datasets.names import held_out_name, parted
from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.spelling import path_of

EMBEDDED = ("digits",)
TORCHVISION = ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")
# In pixels; a single image of this side has more values than any network here takes.
LARGEST_SIDE = 16_384
OWN = ("folder:PATH", "npz:PATH")


def open_dataset(
    name: str, *, data_dir: Path | None = None, image_size: int | None = None, recorded: Sequence[str] | None = None
) -> Dataset:
    """Returns the data set called `name`: one of `EMBEDDED` or `TORCHVISION`, `folder:PATH` or `npz:PATH`.

    Any of them with classes held out is `NAME-without-CLASSES`, such as `digits-without-8,9`.

    `data_dir` is where the torchvision sets are found or downloaded to (default: `default_data_dir()`); `image_size`
    resizes every image to a square of that side in pixels; `recorded` are the class names that results of these data
    are kept with, for names that can be read in two ways.

    Raises `BadInput` for an unknown name, an image size below 1 or above `LARGEST_SIDE`, and a path that does not
    hold such a data set.
    """
    if image_size is not None and image_size < 1:
        raise BadInput(f"the image size {image_size} is below 1 pixel", "give the side of the square in pixels")
    if image_size is not None and image_size > LARGEST_SIDE:
        raise BadInput(f"the image size {image_size} is above {LARGEST_SIDE:,} pixels", "give a smaller side")
    if parts := held_out_name(name):
        whole = open_dataset(parts.dataset, data_dir=data_dir, image_size=image_size)
        return HeldOutDataset(whole, parts.classes, recorded)
    kind, colon, path = name.partition(":")
    if colon and kind in ("folder", "npz"):
        return _open_path(kind, path, image_size, recorded)
    if name == "digits":
        from rsuq_cli.datasets.digits import Digits

        return Digits(image_size=image_size)
    if name in TORCHVISION:
        from rsuq_cli.datasets.vision import VisionDataset

        return VisionDataset(name, data_dir or default_data_dir(), image_size=image_size)
    raise BadInput(f"unknown data set {name!r}", _hint(name))


def default_data_dir() -> Path:
    """Returns the folder for downloaded sets below the user's data directory."""
    return Path(platformdirs.user_data_dir("rsuq")) / "datasets"


def _open_path(kind: str, path: str, image_size: int | None, recorded: Sequence[str] | None) -> Dataset:
    if not path:
        raise BadInput(f"{kind}: names no path", f"write it as {kind}:PATH")
    try:
        absolute = path_of(path).expanduser().resolve()
        absolute.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: the home of a user who is not there
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} cannot be opened: {reason}", f"write it as {kind}:PATH") from error
    if kind == "folder":
        from rsuq_cli.datasets.folder import FolderDataset

        return FolderDataset(absolute, image_size=image_size)
    from rsuq_cli.datasets.npz import NpzDataset

    return NpzDataset(absolute, image_size=image_size, recorded=recorded)


def _hint(name: str) -> str:
    """Says what the user may have meant: a path without its kind, or a misspelt name."""
    with contextlib.suppress(OSError):  # a name that no file can have
        if name and Path(name).is_dir():
            return f"for your own images write folder:{name}"
        if name and Path(name).is_file():
            return f"for your own arrays write npz:{name}"
    if (sized := parted(name)).image_size is not None:
        return f"images are resized with --dataset {sized.dataset} --image-size {sized.image_size}"
    return nearest(name, (*EMBEDDED, *TORCHVISION, *OWN))
