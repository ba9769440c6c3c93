"""`npz:PATH`: the user's own arrays `x_train, y_train, x_test, y_test`, and `classes` if the classes have names.

Invariant: pixels are certified as they are stored. uint8 stays uint8, floats stay float32 and are never put on the
8-bit grid; whatever is not a picture in [0, 1] with a label in range is refused, not mended.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.datasets.arrays import ArrayDataset, FileName
from rsuq_cli.datasets.dataset import Arrays, Indices, SplitName
from rsuq_cli.errors import BadInput
from rsuq_cli.spelling import spelled

KEYS = "the keys are x_train, y_train, x_test, y_test (the first two optional) and, for names, classes"
LAYOUTS = "images are [N, H, W], [N, H, W, C] or [N, C, H, W] with C of 1 or 3"
VALUES = "images are uint8 (0 to 255) or floats in [0, 1]"
CHANNELS = (1, 3)
MOST_CLASSES = 100_000  # a larger label is a mistake, and would only exhaust the memory
READ_ERRORS = (  # what zipfile and numpy raise for a file that is damaged, encrypted, or claims impossible sizes
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


class NpzDataset(ArrayDataset):
    """Arrays of images, [N, H, W], [N, H, W, C] or [N, C, H, W] with C of 1 or 3, uint8 or floats in [0, 1].

    Channels are first where axis 1 is 1 or 3, else last. The classes are those of `classes` (an array of names), else 0
    to the largest label in `y_train`, or in `y_test` without training data; there are then no train and no calibration
    splits. Labels that are all of 1 to K and never 0 are K classes. Nothing is known of the pictures, so no
    augmentation is offered.
    """

    def __init__(
        self, path: Path, *, image_size: int | None = None, unlabelled: bool = False,
        recorded: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """Reads the labels and the headers of the images. Raises `BadInput` where the file does not hold a data set.

        `unlabelled` takes x_test alone, as one class; `recorded` are the class names of results that are kept.
        """
        self.path = path
        headers = _headers(path)
        training = ("x_train" in headers or "y_train" in headers) and not unlabelled
        files: list[FileName] = ["train", "test"] if training else ["test"]
        self._labels = {file: self._checked_labels(file, headers, unlabelled=unlabelled) for file in files}
        if not len(self._labels["test"]):
            raise BadInput(f"{path} has no test inputs: x_test is empty", KEYS)
        shapes = {file: _image_shape(path, f"x_{file}", headers[f"x_{file}"]) for file in files}
        if len(set(shapes.values())) > 1:
            raise BadInput(f"{path}: images of x_train are {shapes['train']}, those of x_test {shapes['test']}", KEYS)
        named = "classes" in headers and not unlabelled
        class_names = self._class_names(named=named)
        # Results from when 1 to K were K + 1 classes are about those.
        from_one = self._begin_at_one(class_names, named=named) and (named or list(recorded or ()) != [*class_names])
        if from_one:
            class_names = class_names if named else class_names[1:]
            self._labels = {file: labels - 1 for file, labels in self._labels.items()}
        for file, labels in self._labels.items():
            if len(labels) and labels.max() >= len(class_names):
                raise BadInput(
                    f"{path}: y_{file} holds the label {labels.max()}, but there are {len(class_names)} classes",
                    "labels are 0 to the number of classes − 1",
                )
        super().__init__(f"npz:{spelled(path)}", class_names, shapes["test"], image_size=image_size)
        if from_one:
            k = len(class_names)
            self.note(
                f"{self.name}: labels are 1 to {k} and never 0: they are read as {k} classes, label 1 as the first "
                f"output of a model (for a model with {k + 1} outputs, store {k + 1} names as `classes`)"
            )

    def indices(self, split: SplitName) -> Indices:
        """Returns the positions available in `split`, ascending; no image is read."""
        if self._file_of(split) not in self._labels:
            return np.empty(0, np.int64)
        return super().indices(split)

    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        if self._file_of(split) not in self._labels:
            return Arrays(torch.empty((0, *self.shape), dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        return super()._read(split, indices)

    def _read_labels(self, file: FileName) -> Indices:
        return self._labels[file]

    def _read_file(self, file: FileName) -> Arrays:
        key = f"x_{file}"
        values = _array(self.path, key)
        if values.dtype == np.uint8:
            _check_not_black(self.path, key, values)
        else:
            values = _checked_floats(self.path, key, values)
        if values.ndim == 3:
            values = values[:, np.newaxis]
        elif values.shape[1] not in CHANNELS:
            values = values.transpose(0, 3, 1, 2)
        return Arrays(torch.from_numpy(np.ascontiguousarray(values)), torch.from_numpy(self._labels[file]))

    def _checked_labels(self, file: FileName, headers: dict[str, Header], *, unlabelled: bool) -> Indices:
        """Returns y_train or y_test as int64 [N], all 0 if `unlabelled`; [N, 1] and whole floats are accepted."""
        for key in (f"x_{file}",) if unlabelled else (f"x_{file}", f"y_{file}"):
            if key not in headers:
                raise BadInput(f"{self.path} has no array {key}, only {', '.join(sorted(headers))}", KEYS)
        key, count = f"y_{file}", (headers[f"x_{file}"].shape or (0,))[0]
        if unlabelled:
            return np.zeros(count, dtype=np.int64)
        labels = _array(self.path, key)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or len(labels) != count:
            rows = labels.ndim == 2 and len(labels) == count
            raise BadInput(
                f"{self.path}: {key} has shape {labels.shape} for {count} images",
                f"give one label an image: of one-hot rows {key}.argmax(1)" if rows else "give one label an image",
            )
        if labels.dtype.kind not in "iuf" or not (np.isfinite(labels) & (labels == np.floor(labels))).all():
            raise BadInput(f"{self.path}: {key} holds labels that are not whole numbers", "labels are 0, 1, 2, …")
        if len(labels) and (labels.min() < 0 or labels.max() >= MOST_CLASSES):
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise BadInput(f"{self.path}: {key} holds the label {int(wrong)}", f"labels are 0 to {MOST_CLASSES - 1}")
        return labels.astype(np.int64)

    def _begin_at_one(self, class_names: tuple[str, ...], *, named: bool) -> bool:
        """Whether labels count the classes from 1: 0 is in no file, and each of 1 to the last is in the first one.

        A test file alone may lack class 0 by chance, but then a model has one output more than there are classes, and
        is refused.
        """
        present = [np.unique(labels) for labels in self._labels.values() if len(labels)]
        last = len(class_names) if named else len(class_names) - 1
        return (
            last > 1
            and all(labels[0] == 1 and labels[-1] <= last for labels in present)
            and np.array_equal(present[0], np.arange(1, last + 1))
        )

    def _class_names(self, *, named: bool) -> tuple[str, ...]:
        if named:
            names = _array(self.path, "classes")
            if names.ndim != 1 or not len(names):
                raise BadInput(f"{self.path}: classes has shape {names.shape}", "give one name a class")
            return tuple(n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in names.tolist())
        # An empty y_train says nothing about the classes.
        training = self._labels.get("train")
        labels = self._labels["test"] if training is None or not len(training) else training
        return tuple(str(c) for c in range(int(labels.max()) + 1))


class Header(NamedTuple):
    """Shape and type of an array in an archive, known without reading its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _headers(path: Path) -> dict[str, Header]:
    """Returns the header of every array in the archive. Raises `BadInput` where `path` is none."""
    if not path.is_file():
        raise BadInput(f"no file {path}", "write it as npz:PATH; numpy.savez makes such a file")
    headers: dict[str, Header] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as stream:
                        headers[member.removesuffix(".npy")] = _header(stream)
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    return headers


def _header(stream: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return Header(shape, dtype)


def _array(path: Path, key: str) -> npt.NDArray[Any]:
    """Returns one array of the archive. Nothing is ever unpickled: such a file could run code of its own."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            array: npt.NDArray[Any] = archive[key]
            return array
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error


def _image_shape(path: Path, key: str, header: Header) -> tuple[int, int, int]:
    """Returns (C, H, W) of the images, whichever of the three layouts they have."""
    dims, dtype = header
    if dtype != np.uint8 and dtype.kind != "f":
        raise BadInput(f"{path}: {key} has type {dtype}", VALUES)
    shape: tuple[int, ...] = ()
    if len(dims) == 3:
        shape = (1, dims[1], dims[2])
    elif len(dims) == 4 and dims[1] in CHANNELS:
        shape = dims[1:]
    elif len(dims) == 4 and dims[3] in CHANNELS:
        shape = (dims[3], dims[1], dims[2])
    if len(shape) != 3 or 0 in shape:
        raise BadInput(f"{path}: {key} has shape {dims}", LAYOUTS)
    return shape


def _checked_floats(path: Path, key: str, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns floats as float32 after making sure that each lies in [0, 1]."""
    if not np.isfinite(values).all():
        raise BadInput(f"{path}: {key} holds NaN or infinite values", VALUES)
    if values.size and (values.min() < 0 or values.max() > 1):
        raise BadInput(
            f"{path}: {key} holds values outside [0, 1], from {values.min():g} to {values.max():g}",
            "divide by 255, or store 8-bit pixels as uint8; normalisation belongs into the model",
        )
    return values.astype(np.float32, copy=False)


def _check_not_black(path: Path, key: str, values: npt.NDArray[np.uint8]) -> None:
    """Raises BadInput for 0 and 1 in place of 0 and 255."""
    if values.size and values.max() == 1:
        raise BadInput(
            f"{path}: {key} is uint8 and holds nothing above 1 of 255: its pictures are black",
            "store 0 and 255, or floats in [0, 1]",
        )


def _unreadable(path: Path, error: Exception) -> BadInput:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BadInput(f"{path} cannot be read as an npz archive: {reason}", "numpy.savez makes such a file")
