"""`folder:PATH`: image files in `train/<class>/*` and `test/<class>/*`, or images without classes in one folder.

Invariant: only the images that are asked for are decoded. A position counts the files of `train/` (or `test/`), classes
in alphabetical order and files in alphabetical order within each.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from rsuq_cli.datasets.dataset import Arrays, Dataset, Indices, SplitName
from rsuq_cli.datasets.pictures import ON_WHITE, read_header, read_picture
from rsuq_cli.datasets.splits import Division, hold_out
from rsuq_cli.errors import BadInput
from rsuq_cli.spelling import spelled

LAYOUT = "the layout is train/<class>/<image> and test/<class>/<image>"
FIRST_FILES = 32  # how many files tell whether a set is grey
SMALLEST_PHOTOGRAPH = 32  # below this side, a picture is no photograph that may be shifted and mirrored
DECODED_AT_ONCE = 64  # files per task of the thread pool
# So many pictures with no more than so many levels between them are one picture.
FEWEST_ALIKE, MOST_ALIKE = 4, 8


class Files(NamedTuple):
    """The files of `train/` or `test/`, class by class, and the label of each, [N]."""

    paths: tuple[Path, ...]
    labels: Indices


class _Decoded(NamedTuple):
    """An image as [C, H, W] uint8, and whether any of it was transparent."""

    pixels: npt.NDArray[np.uint8]
    transparent: bool


class FolderDataset(Dataset):
    """Image files in class folders, decoded by Pillow on several threads when they are loaded.

    All images share the size of the first, or are resized to squares of `image_size` (bilinear, antialiased). A set is
    grey, C = 1, when every one of some files spread over it is grey, else RGB; a stray image of the other kind is
    converted. Pictures are turned as their EXIF orientation says, and put on white where they are transparent. With
    `train/` missing there is no training and no calibration split.
    """

    def __init__(self, path: Path, *, image_size: int | None = None, unlabelled: bool = False) -> None:
        """Lists the files below `path` and opens the first few. Raises `BadInput` where the layout is not kept.

        `unlabelled` takes all images in `path` and in the folders directly below it as one class of test inputs.
        """
        self.path = path
        self._image_size = image_size
        class_names, self._files = _unlabelled(path) if unlabelled else _labelled(path)
        self._first_file = next(iter(self._files.values())).paths[0]
        channels = 1 if self._is_grey() else 3
        width, height = (image_size, image_size) if image_size else read_header(self._first_file).size
        photograph = channels == 3 and min(width, height) >= SMALLEST_PHOTOGRAPH
        super().__init__(
            f"folder:{spelled(path)}",
            class_names,
            (channels, height, width),
            augment_crop=photograph,
            augment_flip=photograph,
        )

    @cached_property
    def _division(self) -> Division:
        empty = np.empty(0, np.int64)
        return hold_out(self._files["train"].labels) if "train" in self._files else Division(empty, empty)

    def indices(self, split: SplitName) -> Indices:
        """Returns the positions available in `split`, ascending; no image is decoded."""
        if split == "test":
            return np.arange(len(self._files["test"].paths), dtype=np.int64)
        return self._division.calibration if split == "calibration" else self._division.train

    def labels(self, split: SplitName) -> Indices:
        """Returns the label of every input of `split`; no image is decoded."""
        positions = self.indices(split)
        return self._files["test" if split == "test" else "train"].labels[positions] if len(positions) else positions

    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        images = np.empty((len(indices), *self.shape), dtype=np.uint8)
        if not len(indices):
            return Arrays(torch.from_numpy(images), torch.empty(0, dtype=torch.int64))
        paths, labels = self._files["test" if split == "test" else "train"]

        transparent = np.zeros(len(indices), dtype=bool)

        def decode_run(start: int) -> None:
            for row in range(start, min(start + DECODED_AT_ONCE, len(indices))):
                images[row], transparent[row] = self._decode(paths[indices[row]])

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            # list() brings the first failure here, in the order of the files, and cancels what has not begun.
            list(threads.map(decode_run, range(0, len(indices), DECODED_AT_ONCE)))
        self._check_transparent(images[transparent])
        return Arrays(torch.from_numpy(images), torch.from_numpy(labels[indices]))

    def _decode(self, path: Path) -> _Decoded:
        """Returns one image of the size of all."""
        channels, height, width = self.shape
        image, transparent = read_picture(path, channels)
        if self._image_size is not None:
            image = image.resize((width, height), Image.Resampling.BILINEAR)  # antialiases when it shrinks
        elif image.size != (width, height):
            raise BadInput(
                f"{path} is {image.width}×{image.height} pixels, {self._first_file} is {width}×{height}",
                "resize all images to squares with --image-size",
            )
        return _Decoded(np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1), transparent)

    def _check_transparent(self, images: npt.NDArray[np.uint8]) -> None:
        """Says of the images [N, C, H, W] that had transparent parts, raises BadInput where white swallowed them."""
        if not len(images):
            return
        self.note(f"{self.name}: {ON_WHITE}")
        spread = images.max(axis=0).astype(int) - images.min(axis=0)
        if len(images) >= FEWEST_ALIKE and spread.max() <= MOST_ALIKE:
            raise BadInput(
                f"{self.name}: the pictures with transparent parts are all alike on white",
                "put them on the background that shows them, and save them without transparency",
            )

    def _is_grey(self) -> bool:
        """Whether every one of some files, spread evenly over the first of train and test, is grey."""
        paths = next(iter(self._files.values())).paths
        spread = np.unique(np.linspace(0, len(paths) - 1, FIRST_FILES).astype(int))
        return all(read_header(paths[i]).mode == "L" for i in spread)


class Listing(NamedTuple):
    """What lies in a data set's folder: the names of its classes, and the files of `train` and `test`."""

    class_names: tuple[str, ...]
    files: dict[str, Files]


def _labelled(path: Path) -> Listing:
    folders = {name: _class_folders(path / name) for name in ("train", "test") if (path / name).is_dir()}
    if "test" not in folders:
        raise BadInput(f"{path} has no folder test/" if path.is_dir() else f"no folder {path}", LAYOUT)
    class_names = tuple(spelled(folder.name) for folder in folders.get("train", folders["test"]))
    return Listing(class_names, {name: _files(of_classes, class_names) for name, of_classes in folders.items()})


def _unlabelled(path: Path) -> Listing:
    """Returns all images in a folder and in the folders directly below it, in alphabetical order of their paths."""
    if not path.is_dir():
        raise BadInput(f"no folder {path}", "name a folder of images")
    try:
        inner = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
        loose = any(p.is_file() and not p.name.startswith(".") for p in path.iterdir())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    # A folder without any images is refused where it is listed.
    folders = ([path] if loose or not inner else []) + inner
    paths = tuple(image for folder in folders for image in _images(folder, nested=folder == path))
    return Listing(("unlabelled",), {"test": Files(paths, np.zeros(len(paths), dtype=np.int64))})


def _class_folders(folder: Path) -> list[Path]:
    """Returns the class folders below `folder` in alphabetical order. Raises `BadInput` where there are none."""
    try:
        classes = sorted(
            (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=attrgetter("name")
        )
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}", "check its permissions") from error
    if not classes:
        raise BadInput(f"{folder} has no class folders", LAYOUT)
    return classes


def _files(folders: list[Path], class_names: tuple[str, ...]) -> Files:
    """Returns the files of the class folders; `class_names` gives the labels. Raises `BadInput` for an empty class."""
    paths: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        name = spelled(folder.name)
        if name not in class_names:
            raise BadInput(f"{folder} is a class that train/ does not have", f"train/ has {', '.join(class_names)}")
        of_class = _images(folder)
        paths += of_class
        labels += [class_names.index(name)] * len(of_class)
    return Files(tuple(paths), np.array(labels, dtype=np.int64))


def _images(folder: Path, *, nested: bool = False) -> list[Path]:
    """Returns the files directly in a folder in alphabetical order; hidden ones are none of the data.

    Folders in it are left out where they may be there (`nested`).
    """
    try:
        with os.scandir(folder) as listing:
            entries = [e for e in listing if not e.name.startswith(".") and e.name != "Thumbs.db"]
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}", "check its permissions") from error
    folders = [e.path for e in entries if e.is_dir()]
    if folders and not nested:
        raise BadInput(f"{folders[0]} is a folder inside a class folder", LAYOUT)
    entries = [e for e in entries if e.path not in folders]
    if not entries:
        raise BadInput(f"{folder} holds no images", LAYOUT)
    return sorted((Path(e.path) for e in entries), key=attrgetter("name"))
